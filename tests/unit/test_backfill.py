"""What a backfill finds due, and how it cuts it: from the ledger alone."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from headwater.errors import ConfigError
from headwater.pipelines.backfill import due_dates, slices
from headwater.pipelines.steps import PublishStage, Runtime, StageDates, to_payload

JANUARY = date(2024, 1, 1)


def days(first: date, count: int) -> tuple[date, ...]:
    return tuple(first + timedelta(days=each) for each in range(count))


def published(runtime: Runtime, dates: Sequence[date], version: str) -> None:
    view = runtime.project.view.name
    stage = StageDates(
        view=view, pipeline_version=version, run_date=dates[-1], dates=tuple(dates), versions={}, silver_batches={}
    )
    done = runtime.ledger.begin(runtime.stream("stage", view), to_payload(stage))
    runtime.ledger.commit(done, {"staged_version": 0})
    publish = PublishStage(
        view=view,
        run_date=dates[-1],
        stage_n=done.n,
        staged_version=0,
        dates=tuple(dates),
        silver_batches={},
        compact=(),
    )
    runtime.ledger.commit(runtime.ledger.begin(runtime.stream("publish", view), to_payload(publish)), {})


def test_due_is_what_is_missing_or_of_other_definitions(runtime: Runtime) -> None:
    now = runtime.project.view.pipeline_version
    published(runtime, days(JANUARY, 5), "before")
    published(runtime, days(JANUARY + timedelta(days=3), 4), now)
    assert due_dates(runtime, JANUARY, JANUARY + timedelta(days=8)) == (
        *days(JANUARY, 3),
        *days(JANUARY + timedelta(days=7), 2),
    )
    published(runtime, days(JANUARY, 9), now)
    assert due_dates(runtime, JANUARY, JANUARY + timedelta(days=8)) == ()


def test_a_range_that_ends_before_it_begins(runtime: Runtime) -> None:
    with pytest.raises(ConfigError) as caught:
        due_dates(runtime, JANUARY, JANUARY - timedelta(days=1))
    assert caught.value.code == "wrong_range"


@pytest.mark.parametrize(
    ("entities", "rows", "lengths"),
    [
        (10, 10_000, [60]),
        (10, 310, [31, 29]),
        (10, 400, [31, 29]),
        (10, 600, [60]),
        (10, 200, [20, 11, 20, 9]),
        (10, 5, [1] * 60),
        (0, 31, [31, 29]),
    ],
    ids=["all", "a month each", "months stay whole", "two months", "parts of months", "a date at least", "nobody"],
)
def test_slices_are_whole_months_where_they_fit(entities: int, rows: int, lengths: list[int]) -> None:
    dates = days(JANUARY, 60)
    cut = slices(dates, entities, rows)
    assert [day for part in cut for day in part] == list(dates)
    assert [len(part) for part in cut] == lengths
