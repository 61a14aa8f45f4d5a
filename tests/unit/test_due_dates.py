"""What a backfill finds due, and how it cuts it: from the ledger alone."""

from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from headwater.errors import ConfigError, DataRejected
from headwater.pipelines import backfill, run
from headwater.pipelines.audit import unpublished
from headwater.pipelines.backfill import _taken_up, due_dates, plan_backfill, slices
from headwater.pipelines.batches import last_batches
from headwater.pipelines.gold import is_staged, silver_versions
from headwater.pipelines.steps import ConformBatch, PlannedStep, PublishStage, Runtime, StageDates, to_payload

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
    published(runtime, days(JANUARY + timedelta(days=9), 1), now)
    assert due_dates(runtime, JANUARY, JANUARY + timedelta(days=8)) == (
        *days(JANUARY, 3),
        *days(JANUARY + timedelta(days=7), 2),
    )
    published(runtime, days(JANUARY, 9), now)
    assert due_dates(runtime, JANUARY, JANUARY + timedelta(days=8)) == ()


def test_a_backfill_does_not_take_up_what_other_dates_still_wait_for(runtime: Runtime) -> None:
    view = runtime.project.view.name
    for table, batches in (("transactions", 3), ("customers", 2)):
        step = ConformBatch(table=table, run_date=JANUARY, batches=(), contract="", layout="", versions={})
        for _ in range(batches):
            runtime.ledger.commit(runtime.ledger.begin(runtime.stream("silver", table), to_payload(step)), {})
    every = {"customers": 2, "transactions": 3, "user_behavior": 0, "support_tickets": 0}
    assert last_batches(runtime, runtime.project.view.tables) == every
    assert _taken_up(runtime, every) == every
    publish = PublishStage(
        view=view, run_date=JANUARY, stage_n=1, staged_version=0, dates=(JANUARY,), compact=(),
        silver_batches={"transactions": 1, "dropped": 7},
    )  # fmt: skip
    runtime.ledger.commit(runtime.ledger.begin(runtime.stream("publish", view), to_payload(publish)), {})
    assert _taken_up(runtime, every) == {**every, "transactions": 1}


def test_a_silver_batch_that_lands_while_a_slice_is_planned_is_waited_for(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conform() -> None:
        step = ConformBatch(table="customers", run_date=JANUARY, batches=(), contract="", layout="", versions={})
        runtime.ledger.commit(runtime.ledger.begin(runtime.stream("silver", "customers"), to_payload(step)), {})

    def in_between(at: Runtime) -> dict[str, int]:
        versions = silver_versions(at)
        conform()
        return versions

    for table in runtime.project.view.tables:
        write_deltalake(runtime.project.path("silver", table), pa.table({"x": [1]}))
    conform()
    monkeypatch.setattr(backfill, "silver_versions", in_between)
    *_, plan = plan_backfill(runtime, JANUARY, JANUARY, 9)
    (planned,) = plan.steps
    assert isinstance(planned.step, StageDates)
    assert planned.step.silver_batches["customers"] == 1


def test_a_range_that_nothing_could_fill(runtime: Runtime) -> None:
    today = runtime.clock().date()
    assert due_dates(runtime, today, today) == (today,)
    published(runtime, days(JANUARY, 5), "before")
    for first, last in ((JANUARY, JANUARY - timedelta(days=1)), (JANUARY, JANUARY + timedelta(days=5))):
        with pytest.raises(ConfigError) as caught:
            due_dates(runtime, first, last)
        assert caught.value.code == "wrong_range"
        assert "2024-01-05" in caught.value.message


def test_a_stage_whose_values_do_not_fit_is_closed_and_not_taken_for_staged(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = runtime.project.view
    step = StageDates(
        view=view.name, pipeline_version="1", run_date=JANUARY, dates=(JANUARY,), versions={}, silver_batches={}
    )
    stream = runtime.stream("stage", view.name)

    def refuses(*_: object) -> None:
        raise DataRejected("value_out_of_range", "spend does not fit")

    monkeypatch.setattr("headwater.pipelines.run._execute", refuses)
    for n in (0, 1):
        with pytest.raises(DataRejected):
            run._run_step(PlannedStep(stream, step, decided_on=n), runtime, session=None)
        state = runtime.ledger.stream(stream)
        assert (state.open, state.last_n) == (None, n + 1)
        assert not is_staged(state, step)
        assert unpublished(runtime) is None


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
