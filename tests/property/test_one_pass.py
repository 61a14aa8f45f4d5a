"""The law of the engine without a JVM: blocks of tiles against the definition of every feature, on random histories.

The naive side knows events and dates only. The other side gets what Spark would hand it: each entity's versions and
tiles, events merged into tiles at random, cut into batches at random.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from random import Random

import pyarrow as pa
import pytest
from tests.property.definitions import EPOCH, VIEW, Event, History, drawn, naive

from headwater.features.blocks import Slice, blocks, feature_batches, state_places

HISTORIES = 10_000 if os.environ.get("HEADWATER_SOAK") else 1_000
TOGETHER = 10
SCALES = {feature.name: 2 if feature.value and feature.value.kind == "column" else 0 for feature in VIEW.aggregates}


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
    for seed in range(share, HISTORIES // TOGETHER, 10):
        history = drawn(Random(seed), TOGETHER)
        assert computed(history, Random(-seed - 1)) == naive(history), f"seed {seed}"


def test_histories_are_worth_comparing() -> None:
    """Every feature has many values, among them none, so that equality says something."""
    rows = [row for seed in range(30) for row in naive(drawn(Random(seed), TOGETHER))]
    for index, name in enumerate(VIEW.columns[2 : 2 + len(VIEW.features)], start=2):
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
