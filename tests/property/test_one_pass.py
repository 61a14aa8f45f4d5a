"""The law of the engine without a JVM: blocks of tiles against the definition of every feature, on random histories.

The naive side knows events and dates only. The other side gets what Spark would hand it: each entity's versions and
tiles, events merged into tiles at random, cut into batches at random.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from random import Random

import pyarrow as pa
import pytest

from headwater.config.features import FeatureView
from headwater.features.blocks import Slice, blocks, feature_batches, state_places

HISTORIES = 10_000 if os.environ.get("HEADWATER_SOAK") else 1_000
EPOCH = date(1970, 1, 1)
AMOUNT = {"kind": "column", "column": "amount"}
WAIT = {"kind": "days_between", "start": "at", "end": "settled"}
VIEW = FeatureView.model_validate(
    {
        "name": "v",
        "version": "1",
        "entity": "who",
        "population": {"table": "people", "since": "joined"},
        "attributes": ["plan"],
        "groups": [
            {
                "table": "sales",
                "event_time": "at",
                "features": [
                    {"name": "sum_3d", "type": "decimal(18,2)", "op": "sum", "value": AMOUNT, "window_days": 3, "default": 0},
                    {"name": "count_ever", "type": "bigint", "op": "count", "default": 0},
                    {"name": "mean_7d", "type": "double", "op": "mean", "value": AMOUNT, "window_days": 7, "default": 0},
                    {"name": "min_5d", "type": "decimal(12,2)", "op": "min", "value": AMOUNT, "window_days": 5},
                    {"name": "max_ever", "type": "decimal(12,2)", "op": "max", "value": AMOUNT},
                    {"name": "max_30d", "type": "double", "op": "max", "value": AMOUNT, "window_days": 30},
                    {"name": "first_at", "type": "date", "op": "first_day"},
                    {"name": "last_at_9d", "type": "date", "op": "last_day", "window_days": 9},
                    {"name": "days_since", "type": "int", "op": "days_since_last", "cap": 8, "default": 365},
                    {"name": "age", "type": "int", "op": "days_since_first"},
                    {"name": "variance_9d", "type": "double", "op": "variance", "value": AMOUNT, "window_days": 9},
                    {"name": "std_ever", "type": "double", "op": "std", "value": AMOUNT, "default": -1},
                ],
            },
            {
                "table": "claims",
                "event_time": "at",
                "features": [
                    {"name": "claims_4d", "type": "bigint", "op": "count", "window_days": 4, "default": 0},
                    {"name": "wait_6d", "type": "double", "op": "mean", "value": WAIT, "window_days": 6, "available": "settled"},
                    {"name": "worst_wait", "type": "int", "op": "max", "value": WAIT, "available": "settled", "default": -1},
                    {"name": "settled_ever", "type": "bigint", "op": "count", "available": "settled"},
                ],
            },
        ],
    }
)  # fmt: skip
SCALES = {feature.name: 2 if feature.value and feature.value.kind == "column" else 0 for feature in VIEW.aggregates}


@dataclass(frozen=True)
class Event:
    who: str
    day: int
    cents: int | None = None
    settled: int | None = None


@dataclass(frozen=True)
class Version:
    who: str
    first: int
    end: int | None
    plan: str


@dataclass(frozen=True)
class History:
    versions: list[Version]
    sales: list[Event]
    claims: list[Event]
    dates: list[int]


def drawn(rng: Random) -> History:
    """A few entities over a few weeks: sparse and crowded days, events before and after every date, ties and gaps."""
    # Around a leap day, a month's end and a year's end alike.
    origin = rng.choice([(date(2024, 2, 29) - EPOCH).days, (date(2023, 12, 31) - EPOCH).days, -3])
    length = rng.choice([1, 2, 5, 12, 40])
    dates = sorted(rng.sample(range(origin, origin + length), rng.randint(1, length)))
    near = range(origin - rng.choice([3, 12, 50]), origin + length + 3)
    people = [f"p{number}" for number in range(rng.randint(1, 4))]
    versions, sales, claims = [], [], []
    for who in people:
        cuts = sorted(rng.sample(near, rng.randint(1, 3)))
        for number, first in enumerate(cuts):
            end = cuts[number + 1] if number + 1 < len(cuts) else rng.choice([None, None, cuts[-1] + 4])
            versions.append(Version(who, first, end, rng.choice("abc")))
    for _ in range(rng.choice([0, 1, 3, 12, 30])):
        cents = None if rng.random() < 0.1 else rng.choice([0, 1, -1, 5, -250, 99_999, 10**11])
        sales.append(Event(rng.choice([*people, "stranger"]), rng.choice(near), cents))
    for _ in range(rng.choice([0, 2, 8])):
        day = rng.choice(near)
        claims.append(Event(rng.choice(people), day, settled=rng.choice([None, day, day + rng.randint(0, 9)])))
    return History(versions, sales, claims, dates)


def rounded(total: int, divisor: int) -> float:
    exact = Decimal(total) / Decimal(divisor) if divisor in (1, 10, 100) else None
    share = Fraction(total, divisor)
    micros = (abs(share) * 1_000_000 + Fraction(1, 2)).__floor__()
    assert exact is None or abs(exact - Decimal(micros) / 1_000_000 * (1 if total >= 0 else -1)) <= Decimal("0.0000005")
    return (micros if total >= 0 else -micros) / 1_000_000


def to_micros(exact: Fraction) -> float:
    return (exact * 1_000_000 + Fraction(1, 2)).__floor__() / 1_000_000


def spread(cents: list[int]) -> Fraction:
    """The sample variance by its definition: squares of distances from the mean."""
    mean = Fraction(sum(cents), len(cents))
    return sum((each - mean) ** 2 for each in cents) / (len(cents) - 1) / 10_000


def root(exact: Fraction) -> float:
    with localcontext(prec=80):
        found = (Decimal(exact.numerator) / exact.denominator).sqrt()
        return float(found.quantize(Decimal("0.000001"), ROUND_HALF_UP))


def money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2).quantize(Decimal("0.01"), ROUND_HALF_UP)


def naive(history: History) -> list[tuple[object, ...]]:
    """Every feature by its definition, one row and one event at a time."""
    rows = []
    for version in history.versions:
        for day in history.dates:
            if version.first <= day and (version.end is None or day < version.end):
                rows.append(
                    (
                        version.who,
                        day,
                        *naive_sales(history, version.who, day),
                        *naive_claims(history, version.who, day),
                        version.plan,
                    )
                )
    return sorted(rows, key=lambda row: row[:2])


def naive_sales(history: History, who: str, day: int) -> Iterator[object]:
    past = [event for event in history.sales if event.who == who and event.day <= day]
    within = {days: [event for event in past if event.day > day - days] for days in (3, 5, 7, 9, 30)}
    amounts = {days: [event.cents for event in events if event.cents is not None] for days, events in within.items()}
    ever = [event.cents for event in past if event.cents is not None]
    yield money(sum(amounts[3]))
    yield len(past)
    yield rounded(sum(amounts[7]), 100 * len(amounts[7])) if amounts[7] else 0.0
    yield money(min(amounts[5])) if amounts[5] else None
    yield money(max(ever)) if ever else None
    yield max(amounts[30]) / 100 if amounts[30] else None
    yield min((event.day for event in past), default=None)
    yield max((event.day for event in within[9]), default=None)
    yield min(8, day - max(event.day for event in past)) if past else 365
    yield day - min(event.day for event in past) if past else None
    yield to_micros(spread(amounts[9])) if len(amounts[9]) > 1 else None
    yield root(spread(ever)) if len(ever) > 1 else -1.0


def naive_claims(history: History, who: str, day: int) -> Iterator[object]:
    past = [event for event in history.claims if event.who == who and event.day <= day]
    settled = [event for event in past if event.settled is not None and event.settled <= day]
    waits = [event.settled - event.day for event in settled if event.day > day - 6]
    yield sum(event.day > day - 4 for event in past)
    yield rounded(sum(waits), len(waits)) if waits else None
    yield max((event.settled - event.day for event in settled), default=-1)
    yield len(settled) or None


def states(feature: str, op: str, event: Event) -> dict[str, int | None]:
    if op in ("count", "first_day", "last_day", "days_since_first", "days_since_last"):
        value = 1 if feature != "settled_ever" or event.settled is not None else None
    else:
        value = event.cents
        if feature in ("wait_6d", "worst_wait"):
            value = None if event.settled is None else event.settled - event.day
    counted = value is not None
    high, low = divmod(value * value, 2**32) if counted else (None, None)
    found = {"total": value, "value": value, "low": low, "high": high}
    return {**found, "n": 1 if counted else None, "day": event.day if counted else None}


MERGES = {"total": sum, "n": sum, "low": sum, "high": sum}


def merged(name: str, op: str, values: Sequence[int]) -> int | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if name in MERGES:
        return sum(known)
    return max(known) if op in ("max", "last_day", "days_since_last") else min(known)


def records(history: History, rng: Random) -> list[dict[str, object]]:
    """What Spark would hand over: versions, and events merged by day, or some of them left as they are."""
    found: list[dict[str, object]] = [
        {"who": each.who, "_kind": 0, "_from": each.first, "_until": each.end, "plan": each.plan}
        for each in history.versions
    ]
    places = state_places(VIEW)
    for kind, (group, events) in enumerate(zip(VIEW.groups, (history.sales, history.claims), strict=True), start=1):
        together: dict[tuple[object, ...], list[Event]] = {}
        for event in events:
            apart = rng.randrange(2) if rng.random() < 0.5 else 0
            together.setdefault((event.who, event.day, event.settled, apart), []).append(event)
        for (who, day, settled, _), tile in together.items():
            record: dict[str, object] = {"who": who, "_kind": kind, "_from": day, "_until": settled}
            for feature in group.features:
                for (name, state), place in places.items():
                    if name == feature.name:
                        parts = [states(name, feature.op, event)[state] for event in tile]
                        record[place] = merged(state, feature.op, parts)
            found.append(record)
    rng.shuffle(found)
    return sorted(found, key=lambda record: str(record["who"]))


def stream(found: list[dict[str, object]], rng: Random) -> Iterator[pa.RecordBatch]:
    width = len(set(state_places(VIEW).values()))
    schema = pa.schema(
        [
            ("who", pa.string()),
            ("_kind", pa.int32()),
            ("_from", pa.int64()),
            ("_until", pa.int64()),
            ("plan", pa.string()),
        ]
        + [(f"_s{place}", pa.int64()) for place in range(width)]
    )
    while found:
        size = rng.randint(1, len(found))
        yield pa.RecordBatch.from_pylist(found[:size], schema)
        found = found[size:]


def computed(history: History, rng: Random) -> list[tuple[object, ...]]:
    dates = tuple(EPOCH + timedelta(days=day) for day in history.dates)
    part = Slice(VIEW, dates, SCALES, {}, {})
    rows = []
    for batch in feature_batches(stream(records(history, rng), rng), part):
        for row in batch.to_pylist():
            assert row.pop("stale_sources") == []
            assert row.pop("pipeline_version") == VIEW.pipeline_version
            rows.append(tuple((value - EPOCH).days if isinstance(value, date) else value for value in row.values()))
    return rows


@pytest.mark.parametrize("share", range(10))
def test_one_pass_equals_the_definitions(share: int) -> None:
    for seed in range(share * HISTORIES // 10, (share + 1) * HISTORIES // 10):
        history = drawn(Random(seed))
        assert computed(history, Random(-seed - 1)) == naive(history), f"seed {seed}"


def test_histories_are_worth_comparing() -> None:
    """Every feature has many values, among them none, so that equality says something."""
    rows = [row for seed in range(300) for row in naive(drawn(Random(seed)))]
    for index, name in enumerate(VIEW.columns[2 : 2 + len(VIEW.aggregates)], start=2):
        values = [row[index] for row in rows]
        assert len(set(values)) >= 5, name
        assert max(values.count(value) for value in set(values)) < 0.97 * len(values), name


def test_no_entity_is_split() -> None:
    found = [{"who": who, "_kind": 1, "_from": 0} for who in "aaaabbcdddde"]
    for seed in range(200):
        rng = Random(seed)
        most = rng.randint(1, 4)
        batches = stream(list(found), rng)
        cut = [t["who"].to_pylist() for t in blocks(batches, "who", entities=most, records=rng.randint(1, 12))]
        assert [who for block in cut for who in block] == list("aaaabbcdddde")
        assert all(len(set(block)) <= most for block in cut)
        assert sum(len(set(block)) for block in cut) == 5
