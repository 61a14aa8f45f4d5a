"""Which published dates late rows change, and for whom they are computed again: by the ledger alone."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest

from headwater.pipelines import gold, repair
from headwater.pipelines.feeds import FEED_GONE
from headwater.pipelines.late import LateRows, OfDates, Repair, TableChanges
from headwater.pipelines.repair import Affected, affected, may_gain_or_lose_rows, repair_of, words
from headwater.pipelines.steps import REJECTED, ConformBatch, PublishStage, Runtime, StageDates, to_payload

DAY = date(2024, 3, 1)
DATES = tuple(DAY + timedelta(days=each) for each in range(60))


def conformed(runtime: Runtime, table: str, touched: Mapping[str, int], at: int | None) -> None:
    step = ConformBatch(table=table, run_date=DAY, batches=(), contract="", layout="", versions={})
    facts = {"touched": dict(touched)} | ({} if at is None else {"silver_version": at})
    runtime.ledger.commit(runtime.ledger.begin(runtime.stream("silver", table), to_payload(step)), facts)


def published(
    runtime: Runtime,
    batches: Mapping[str, int],
    version: str = "",
    ranges: Mapping[str, str] | None = None,
    late: tuple[LateRows, ...] = (),
) -> PublishStage:
    view = runtime.project.view
    stage = StageDates(
        view=view.name, pipeline_version=version or view.pipeline_version, run_date=DAY, dates=DATES, versions={},
        silver_batches={}, late=late,
    )  # fmt: skip
    done = runtime.ledger.begin(runtime.stream("stage", view.name), to_payload(stage))
    runtime.ledger.commit(done, {"staged_version": 0})
    publish = PublishStage(
        view=view.name, run_date=DAY, stage_n=done.n, staged_version=0, dates=DATES, silver_batches=dict(batches),
        compact=(), ranges=dict(ranges or {}),
    )  # fmt: skip
    runtime.ledger.commit(runtime.ledger.begin(runtime.stream("publish", view.name), to_payload(publish)), {})
    return publish


@pytest.fixture(autouse=True)
def _people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "entities", lambda _: 100)


def test_late_rows_are_told_by_table_day_and_reach(runtime: Runtime) -> None:
    conformed(runtime, "transactions", {"2024-03-01": 50}, 1)
    published(runtime, {"transactions": 1})
    assert affected(runtime) == Affected()
    conformed(runtime, "transactions", {"2024-03-05": 3, "2024-04-20": 2, "2023-01-01": 9, "2024-06-01": 9}, 4)
    found = affected(runtime)
    assert found.whole == frozenset()
    assert found.by_entity == (*DATES[4:34], *DATES[50:])
    assert found.late == (
        LateRows(
            table="transactions", rows=5, first=date(2024, 3, 5), last=date(2024, 4, 20), dates_from=date(2024, 3, 5),
            dates_to=date(2024, 4, 29),
        ),
    )  # fmt: skip
    assert words(found.late[0]) == (
        "5 late rows of transactions (2024-03-05 .. 2024-04-20) reach 2024-03-05 .. 2024-04-29"
    )
    changes = (TableChanges(table="transactions", after=1, upto=6),)
    assert repair_of(runtime, found, {"transactions": 6}) == Repair(dates=found.by_entity, changes=changes)
    # Tiles that have not come as far as the late rows: they are late the next time as well.
    assert repair_of(runtime, found, {"transactions": 1}) is None


def test_a_batch_that_changed_nothing_has_the_version_before_it(runtime: Runtime) -> None:
    for at in (None, 3, None):
        conformed(runtime, "transactions", {}, at)
    found = Affected(
        (LateRows(table="transactions", rows=1, first=DAY, last=DAY, dates_from=DAY, dates_to=DAY),), by_entity=(DAY,)
    )
    for batch, after in ((1, None), (2, 3), (3, 3)):
        published(runtime, {"transactions": batch})
        repaired = repair_of(runtime, found, {"transactions": 9})
        assert repaired is not None
        assert repaired.changes == (TableChanges(table="transactions", after=after, upto=9),)


@pytest.mark.parametrize(("rows", "whole"), [(10, False), (11, True)])
def test_beyond_a_tenth_of_the_entities_dates_are_computed_for_everybody(
    runtime: Runtime, rows: int, whole: bool
) -> None:
    published(runtime, {})
    conformed(runtime, "transactions", {"2024-03-05": rows - 4}, 1)
    conformed(runtime, "user_behavior", {"2024-03-06": 4}, 1)
    found = affected(runtime)
    assert len(found.late) == 2
    assert (found.whole, found.by_entity) == ((frozenset(DATES[4:]), ()) if whole else (frozenset(), DATES[4:]))


def test_beyond_what_can_be_broadcast_dates_are_computed_for_everybody(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(runtime, {})
    conformed(runtime, "transactions", {"2024-03-05": 9}, 1)
    for most, whole in ((9, False), (8, True)):
        monkeypatch.setattr(repair, "_BROADCAST", most)
        assert bool(affected(runtime).whole) == whole


def test_after_a_week_nobody_knows_whether_the_change_feed_is_there(runtime: Runtime) -> None:
    published(runtime, {})
    conformed(runtime, "transactions", {"2024-04-29": 1}, 1)
    assert affected(runtime).by_entity == DATES[59:]
    later = replace(runtime, clock=lambda: runtime.clock() + timedelta(days=7))
    assert (affected(later).by_entity, affected(later).whole) == ((), frozenset(DATES[59:]))
    # Another publication in between, as of a backfill, makes the late rows no younger.
    published(runtime, {})
    assert affected(later).by_entity == ()


def test_after_a_refusal_dates_are_computed_for_everybody(runtime: Runtime) -> None:
    published(runtime, {})
    conformed(runtime, "transactions", {"2024-04-29": 1}, 1)
    view = runtime.project.view
    step = StageDates(
        view=view.name, pipeline_version=view.pipeline_version, run_date=DAY, dates=DATES[59:], versions={},
        silver_batches={},
    )  # fmt: skip
    begun = runtime.ledger.begin(runtime.stream("stage", view.name), to_payload(step))
    runtime.ledger.commit(begun, {REJECTED: "gone", "code": FEED_GONE})
    assert (affected(runtime).by_entity, affected(runtime).whole) == ((), frozenset(DATES[59:]))


def test_a_date_has_rows_of_one_definition_only(runtime: Runtime) -> None:
    published(runtime, {}, version="before")
    conformed(runtime, "transactions", {"2024-04-29": 1}, 1)
    assert (affected(runtime).by_entity, affected(runtime).whole) == ((), frozenset(DATES[59:]))


def test_dates_beyond_the_horizon_stay_as_they_are(runtime: Runtime) -> None:
    view = runtime.project.view.model_copy(update={"repair_days": 10})
    runtime = replace(runtime, project=replace(runtime.project, view=view), run_date=date(2024, 4, 29))
    published(runtime, {})
    conformed(runtime, "user_behavior", {"2024-04-01": 2}, 1)
    conformed(runtime, "transactions", {"2024-03-01": 2}, 1)
    found = affected(runtime)
    assert found.by_entity == DATES[-11:]
    too_late, late = found.late
    assert (late.table, late.beyond, late.dates_from) == ("user_behavior", 18, date(2024, 4, 19))
    assert (too_late.table, too_late.rows, too_late.beyond, too_late.dates_from) == ("transactions", 2, 30, None)
    assert [words(each) for each in found.late] == [
        "2 late rows of transactions (2024-03-01); 30 dates lie beyond the repair horizon and stay as they are",
        "2 late rows of user_behavior (2024-04-01) reach 2024-04-19 .. 2024-04-29; "
        "18 dates lie beyond the repair horizon and stay as they are",
    ]
    repaired = repair_of(runtime, found, {"transactions": 1, "user_behavior": 1})
    assert repaired is not None
    assert [each.table for each in repaired.changes] == ["user_behavior"]


def test_late_rows_that_tiles_do_not_hold_yet_wait(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch without a date would leave a staging table without a column."""
    conformed(runtime, "transactions", {}, 1)
    published(runtime, {"transactions": 1})
    conformed(runtime, "transactions", {"2024-04-29": 1}, 2)
    monkeypatch.setattr(gold, "silver_versions", lambda _: {"transactions": 1})
    plan = gold.plan_stage(replace(runtime, run_date=DATES[-1]))
    assert plan.steps == ()
    assert plan.notes[0] == "late rows wait for tiles to take them up"


def test_of_repaired_dates_not_all_rows_are_there() -> None:
    changes = Repair(dates=DATES[1:3], changes=())
    assert OfDates(dates=DATES[:4], repair=changes).whole == (DATES[0], DATES[3])
    assert OfDates(dates=DATES[:4]).whole == DATES[:4]


@pytest.mark.parametrize(
    ("table", "dates", "before", "now", "expected"),
    [
        ("transactions", DATES[:2], {}, {}, False),
        ("customers", DATES[:2], {}, {}, True),
        ("transactions", DATES[:2], {}, {"spend": "spend < 9"}, True),
        # A row that was withheld then may be let through now.
        ("transactions", DATES[:2], {"spend": "spend < 9"}, {}, True),
        ("transactions", (DAY - timedelta(days=1),), {"spend": "spend < 9"}, {}, False),
    ],
)
def test_rows_come_or_go_with_members_and_with_ranges(
    runtime: Runtime, table: str, dates: tuple[date, ...], before: dict[str, str], now: dict[str, str], expected: bool
) -> None:
    published(runtime, {}, ranges=before)
    found = Repair(dates=dates, changes=(TableChanges(table=table, after=1, upto=2),))
    step = published(runtime, {}).model_copy(update={"dates": dates, "repair": found, "ranges": now})
    assert may_gain_or_lose_rows(step, runtime) is expected
    assert may_gain_or_lose_rows(step.model_copy(update={"repair": None}), runtime) is False


@pytest.mark.parametrize(
    ("table", "beyond", "expected"), [("customers", 3, True), ("customers", 0, False), ("transactions", 3, False)]
)
def test_dates_that_a_horizon_once_left_as_they_were_may_lack_members(
    runtime: Runtime, table: str, beyond: int, expected: bool
) -> None:
    """A run for an older date, or a wider horizon, reaches them again."""
    published(
        runtime,
        {},
        late=(LateRows(table=table, rows=1, first=DAY, last=DAY, dates_from=None, dates_to=None, beyond=beyond),),
    )
    found = Repair(dates=DATES[:2], changes=(TableChanges(table="transactions", after=1, upto=2),))
    step = published(runtime, {}).model_copy(update={"dates": DATES[:2], "repair": found})
    assert may_gain_or_lose_rows(step, runtime) is expected
