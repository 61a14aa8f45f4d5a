"""Batch gates on numbers small enough to check by eye."""

from datetime import UTC, date, datetime, timedelta

import pytest

from headwater.config.gates import FreshnessGate, NullRatioGate, VolumeGate
from headwater.config.tables import TableContract
from headwater.pipelines.equation import Tally, count_judged, without
from headwater.pipelines.gates import record_findings, volume_findings
from headwater.pipelines.staleness import Progress, is_stale
from headwater.pipelines.steps import BronzeBatch

CONTRACT = TableContract.model_validate(
    {
        "name": "sales",
        "source": "sales",
        "key": ["id"],
        "order": ["at"],
        "entity": "buyer",
        "columns": [
            {"name": "id", "type": "string"},
            {"name": "buyer", "type": "string"},
            {"name": "note", "type": "int", "nullable": True},
            {"name": "at", "type": "timestamp"},
        ],
    }
)
DAY = date(2025, 3, 31)


def lines(**counts: int) -> list[Tally]:
    """`ok=3, missing_buyer=1` as the tally of one batch; an empty key is no null."""
    return [tally_of("b#1", name, count) for name, count in counts.items()]


def tally_of(batch: str, name: str, records: int, *, waited: bool = False) -> Tally:
    kind, _, column = name.partition("_")
    match kind:
        case "ok":
            return Tally(batch, waited, (), (), records)
        case "missing":
            reason = "null_key" if column == "id" else f"missing:{column}"
            return Tally(batch, waited, (reason,), (column,), records)
        case "type":
            return Tally(batch, waited, (f"type:{column}",), (), records)
        case _:
            return Tally(batch, waited, (name,), (), records)


@pytest.mark.parametrize(
    ("tally", "found"),
    [
        (lines(ok=95, missing_buyer=5), ""),
        (lines(ok=94, missing_buyer=6), "6 of 100 records lack buyer, at most 5.00% may"),
        (lines(ok=94, null_key=6), ""),
        (lines(ok=94, missing_id=6), "6 of 100 records lack id, at most 5.00% may"),
        (lines(ok=1, type_note=99), ""),
        (lines(type_note=100), "- note int (readable in no record)"),
        (lines(type_note=19), ""),
        (lines(missing_at=50), "- at timestamp (in no record)"),
        (lines(missing_at=50, unparsable=50), "- at timestamp (in no record)"),
        (lines(missing_at=10, type_at=40), "- at timestamp (readable in no record)"),
        (lines(missing_at=19), "19 of 19 records lack at, at most 5.00% may"),
        ([], ""),
    ],
)
def test_nulls_and_schema(tally: list[Tally], found: str) -> None:
    findings = record_findings(NullRatioGate(), tally, CONTRACT)
    assert [each.found for each in findings.values()] == ([found] if found else [])


def test_each_batch_is_judged_by_itself_and_what_waited_not_at_all() -> None:
    tally = [
        tally_of("b#1", "ok", 50),
        tally_of("b#2", "missing_buyer", 3),
        tally_of("b#2", "ok", 7),
        tally_of("b#1", "missing_buyer", 90, waited=True),
    ]
    assert list(record_findings(NullRatioGate(), tally, CONTRACT)) == ["b#2"]


def test_records_met_before_say_nothing_about_a_batch() -> None:
    arrived = lines(ok=3, missing_buyer=12)
    left = without(arrived, lines(missing_buyer=12))
    assert [(line.reasons, line.records) for line in left] == [((), 3), (("missing:buyer",), 0)]
    assert record_findings(NullRatioGate(), left, CONTRACT) == {}
    assert record_findings(NullRatioGate(), without(arrived, lines(missing_buyer=11)), CONTRACT) != {}


def test_only_reported_is_not_held() -> None:
    gate = NullRatioGate(action="report")
    assert [each.holds for each in record_findings(gate, lines(missing_buyer=9), CONTRACT).values()] == [False]


def test_held_and_released_batches_in_the_row_equation() -> None:
    tally = [
        tally_of("b#1", "missing_buyer", 6),
        tally_of("b#1", "ok", 94),
        tally_of("b#2", "ok", 10),
        tally_of("b#0", "ok", 2, waited=True),
        tally_of("b#0", "null_key", 1),
        tally_of("b#0", "ok", 4),
    ]
    judged = count_judged(tally, held=["b#1"], released=["b#0"])
    assert (judged.extracted, judged.replayed, judged.quarantined) == (110, 7, 101)
    assert judged.reasons == {"held": 100, "null_key": 1}


@pytest.mark.parametrize(
    ("gate", "earlier", "records", "found"),
    [
        ({"min": 10}, [], 9, "9 records, at least 10 expected"),
        ({"min": 10}, [], 10, ""),
        ({"max": 10}, [], 11, "11 records, at most 10 expected"),
        ({"history": {"factor": 2, "at_least": 3}}, [9000, 10, 12, 14], 25, "25 records, 6 to 24 expected"),
        ({"history": {"factor": 2, "at_least": 3}}, [9000, 10, 12, 14], 24, ""),
        ({"history": {"factor": 2, "at_least": 3}}, [9000, 10, 12, 14], 5, "5 records, 6 to 24 expected"),
        ({"history": {"factor": 2, "at_least": 3}}, [9000, 10, 12], 500, ""),
        ({"history": {"factor": 2, "at_least": 1, "batches": 2}}, [9000, 10, 100, 100], 150, ""),
    ],
)
def test_volume(gate: dict[str, object], earlier: list[int], records: int, found: str) -> None:
    batch = BronzeBatch(id="b#9", records=records)
    findings = volume_findings(VolumeGate.model_validate(gate), earlier, [batch])
    assert [each.found.startswith(found) for each in findings.values()] == ([True] if found else [])


def test_a_new_batch_counts_for_the_next() -> None:
    gate = VolumeGate.model_validate({"history": {"factor": 2, "at_least": 1}})
    batches = [BronzeBatch(id="b#2", records=10), BronzeBatch(id="b#3", records=30)]
    assert list(volume_findings(gate, [9000], batches)) == ["b#3"]


def progress(hours: float | None, *held: str, allowed: float | None = 24) -> Progress:
    """Newest event so many hours before the end of DAY."""
    end = datetime(2025, 4, 1, tzinfo=UTC)
    gate = None if allowed is None else FreshnessGate(column="at", max_lag_hours=allowed)
    return Progress("sales", "sales", gate, None if hours is None else end - timedelta(hours=hours), held)


@pytest.mark.parametrize(
    ("given", "days_later", "stale"),
    [
        (progress(24), 0, False),
        (progress(24.01), 0, True),
        (progress(1), 1, True),
        (progress(30), -1, False),
        (progress(None), 0, False),
        (progress(500, allowed=None), 0, False),
        (progress(1, "b#1"), 0, False),
        (progress(1, "b#1", allowed=None), 1, True),
    ],
)
def test_staleness_by_date(given: Progress, days_later: int, stale: bool) -> None:  # noqa: FBT001
    own = {DAY}
    assert is_stale(given, DAY + timedelta(days=days_later), own) is stale
