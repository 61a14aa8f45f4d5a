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
from tests.property.definitions import EPOCH, VIEW, Event, History, drawn, hashed, naive

from headwater.config.aggregates import Aggregate
from headwater.config.rows import CalendarPart, ColumnValue, DaysBetween
from headwater.features.algebra import State, operation
from headwater.features.blocks import blocks
from headwater.features.slices import Slice, feature_batches
from headwater.features.tilesets import TileSet, tile_sets

HISTORIES = 10_000 if os.environ.get("HEADWATER_SOAK") else 1_000
TOGETHER = 50
SHARES = 10
SCALES = {
    each.name: 2 if each.value and each.value.kind == "column" and each.value.column == "amount" else 0
    for each in VIEW.aggregates
}


TILE_SETS = tile_sets(VIEW)
PLACES = {tile_set.kind: tile_set.places for tile_set in TILE_SETS}
READ = {
    "amount": lambda event: event.cents,
    "channel": lambda event: event.channel,
    "at": lambda event: event.hour,
}


def value(feature: Aggregate, event: Event) -> int | str | None:
    """What Spark would read of a row."""
    if any(READ[each.column](event) != each.equals for each in feature.where):
        return None
    match feature.value:
        case None:
            # Of a fact that is not known yet a tile says so; a count has no other value that could be missing.
            return 1
        case DaysBetween():
            return None if event.settled is None else event.settled - event.day
        case ColumnValue(column=name) | CalendarPart(of=name):
            return READ[name](event)


def moment(event: Event) -> int:
    return event.day * 86_400_000_000 + event.micro


def contributed(state: State, feature: Aggregate, event: Event) -> object:
    found = value(feature, event)
    if found is None:
        return None
    whole = found if isinstance(found, int) else 0
    by_name = {"n": 1, "total": found, "low": whole**2 % 2**32, "high": whole**2 // 2**32, "day": event.day}
    if state.name == "rank":
        return hashed(found)[1]
    return (moment(event), found) if state.is_pair else by_name.get(state.name, found)


def key(tile_set: TileSet, event: Event) -> str | None:
    """What tells the tiles of a day apart, beside the days."""
    if tile_set.grain == "day":
        return ""
    if tile_set.grain == "event":
        return None if value(tile_set.features[0], event) is None else str(id(event))
    found = value(tile_set.features[0].model_copy(update={"where": ()}), event)
    if found is None:
        return None
    return str(hashed(found)[0] if tile_set.grain == "register" else found)


def merged(state: State, parts: Sequence[object]) -> object:
    known = [part for part in parts if part is not None]
    return {"add": sum, "max": max, "min": min}[state.monoid](known) if known else None


def tile(tile_set: TileSet, events: Sequence[Event]) -> dict[str, object]:
    """States of events, by the columns that carry them."""
    record: dict[str, object] = {}
    places = PLACES[tile_set.kind]
    for feature in tile_set.features:
        for state in operation(feature.op).states:
            columns = places[feature.name, state.name]
            found = merged(state, [contributed(state, feature, event) for event in events])
            parts = (found if found is not None else (None, None)) if state.is_pair else (found,)
            record |= zip(columns, parts, strict=True)
    return record


def records(history: History, rng: Random, pieces: int) -> list[dict[str, object]]:
    """What Spark would hand over: versions, and the events of a day merged at random into so many pieces at most."""
    found: list[dict[str, object]] = [
        {"who": each.who, "_kind": 0, "_from": each.first, "_until": each.end, "plan": each.plan}
        for each in history.versions
    ]
    for tile_set in TILE_SETS:
        together: dict[tuple[object, ...], list[Event]] = {}
        for event in {"sales": history.sales, "claims": history.claims}[tile_set.group.table]:
            apart = rng.randrange(pieces)
            if (at := key(tile_set, event)) is not None:
                together.setdefault((event.who, event.day, event.settled, at, apart), []).append(event)
        for (who, day, settled, at, _), events in together.items():
            rng.shuffle(events)
            days = {"who": who, "_kind": tile_set.kind, "_from": day, "_until": settled, "_key": at}
            days["_time"] = moment(events[0]) if tile_set.grain == "event" else None
            found.append({**days, **tile(tile_set, events)})
    rng.shuffle(found)
    return sorted(found, key=lambda record: str(record["who"]))


NUMBERS = [f"_s{place}" for place in range(60)]
TEXTS = [f"_t{place}" for place in range(60)]
SCHEMA = pa.schema(
    [
        ("who", pa.string()),
        ("_kind", pa.int32()),
        ("_from", pa.int64()),
        ("_until", pa.int64()),
        ("plan", pa.string()),
        ("_key", pa.string()),
        ("_time", pa.int64()),
    ]
    + [(name, pa.int64()) for name in NUMBERS]
    + [(name, pa.string()) for name in TEXTS]
)


def stream(found: list[dict[str, object]], rng: Random) -> Iterator[pa.RecordBatch]:
    used = {column for places in PLACES.values() for columns in places.values() for column in columns}
    schema = pa.schema([field for field in SCHEMA if field.name not in {*NUMBERS, *TEXTS} or field.name in used])
    while found:
        size = rng.randint(1, len(found))
        yield pa.RecordBatch.from_pylist(found[:size], schema)
        found = found[size:]


def computed(history: History, rng: Random, pieces: int = 2) -> list[tuple[object, ...]]:
    dates = tuple(EPOCH + timedelta(days=day) for day in history.dates)
    part = Slice(VIEW, dates, SCALES, {})
    rows = []
    for of, batch in feature_batches(stream(records(history, rng, pieces), rng), part):
        assert of == "rows"
        for row in batch.to_pylist():
            rows.append(tuple((value - EPOCH).days if isinstance(value, date) else value for value in row.values()))
    return rows


@pytest.mark.parametrize("share", range(SHARES))
def test_one_pass_equals_the_definitions(share: int) -> None:
    for seed in range(share, HISTORIES // TOGETHER, SHARES):
        history = drawn(Random(seed), TOGETHER)
        assert computed(history, Random(-seed - 1)) == naive(history), f"seed {seed}"


def test_histories_are_worth_comparing() -> None:
    """Every feature has many values, among them none, so that equality says something."""
    rows = [row for seed in range(8) for row in naive(drawn(Random(seed), TOGETHER))]
    for index, name in enumerate(VIEW.columns[2 : 2 + len(VIEW.features)], start=2):
        values = [row[index] for row in rows]
        assert len(set(values)) >= 4, name
        assert max(values.count(value) for value in set(values)) < 0.97 * len(values), name


@pytest.fixture(scope="module")
def grouped() -> list[list[list[tuple[object, ...]]]]:
    """Some histories, each computed from days that are one tile, two, or a tile per event, in three random orders."""
    histories = [drawn(Random(-seed), TOGETHER) for seed in range(1, 6)]
    return [[computed(history, Random(pieces), pieces) for pieces in (1, 2, 1_000)] for history in histories]


@pytest.mark.parametrize("op", sorted({feature.op for feature in VIEW.features}))
def test_merging_is_associative_and_commutative(op: str, grouped: list[list[list[tuple[object, ...]]]]) -> None:
    columns = [place for place, feature in enumerate(VIEW.features, start=2) if feature.op == op]
    for merged_days, halves, events in grouped:
        for place in columns:
            found = [row[place] for row in merged_days]
            assert len(set(found)) > 1
            assert [row[place] for row in halves] == found
            assert [row[place] for row in events] == found


def test_pairs_may_be_worked_off_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entity's keys need not fit one grid."""
    monkeypatch.setattr("headwater.features.keyed._CELLS", 1)
    history = drawn(Random(3), 5)
    assert computed(history, Random(4)) == naive(history)


def test_no_entity_is_split() -> None:
    found = [{"who": who, "_kind": 1, "_from": 0} for who in "aaaabbcdddde"]
    for seed in range(200):
        rng = Random(seed)
        most = rng.randint(1, 4)
        batches = stream(list(found), rng)
        found_blocks = blocks(batches, "who", most, records=rng.randint(1, 12))
        cut = [[each.names[place].as_py() for place in each.entity] for each in found_blocks]
        assert [who for block in cut for who in block] == list("aaaabbcdddde")
        assert all(len(set(block)) <= most for block in cut)
        assert sum(len(set(block)) for block in cut) == 5
