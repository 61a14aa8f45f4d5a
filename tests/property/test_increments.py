"""Day by day from checkpoints and a log of signed changes, against the definitions, on random histories.

The log is told what arrives, what is corrected and what is taken back, in any order. The other side is the naive one of
`test_one_pass`, which knows the events that are left and the dates.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pyarrow as pa
import pytest
from tests.property.definitions import EPOCH, Event, History, drawn, naive
from tests.property.definitions import VIEW as WHOLE
from tests.property.test_one_pass import SCALES, contributed

from headwater.config.features import FeatureView
from headwater.features.algebra import operation
from headwater.features.blocks import Slice, feature_batches
from headwater.features.stored import has_days, kept_states, resumable, storable
from headwater.features.tilesets import TileSet

HISTORIES = 10_000 if os.environ.get("HEADWATER_SOAK") else 1_000
TOGETHER = 10
STORED_OPS = ("sum", "count", "mean", "variance", "std", "first_day", "last_day", "days_since_first", "days_since_last")
VIEW = FeatureView.model_validate(
    WHOLE.model_dump(exclude={"groups", "derived"})
    | {
        "groups": [
            {"table": table, "event_time": "at", "features": [
                each.model_dump() for each in group.features
                if each.op in STORED_OPS and not each.events and (each.name == "last_at_9d") == (table == "recent")
            ]}
            for table, group in zip(("sales", "claims", "recent"), (*WHOLE.groups, WHOLE.groups[0]), strict=True)
        ]
    }
)  # fmt: skip
SETS = {each.kind: each for each in storable(VIEW)}
RESUMABLE = {each.kind for each in resumable(VIEW)}


def test_what_can_be_resumed() -> None:
    """A last day within a window cannot: nothing says which day is the last when that one leaves."""
    assert [each.group.table for each in SETS.values()] == ["sales", "claims", "recent"]
    assert {SETS[kind].group.table for kind in RESUMABLE} == {"sales", "claims"}
    assert storable(WHOLE) == ()


def changes(events: Iterable[Event], sign: int, tile_set: TileSet) -> Counter[tuple[object, ...]]:
    """Sums by (who, day, known since, place)."""
    found: Counter[tuple[object, ...]] = Counter()
    for event in events:
        # Of features that share a column it is one contribution.
        given = {
            tile_set.places[feature.name, state.name][0]: contributed(state, feature, event)
            for feature in tile_set.features
            for state in operation(feature.op).states
            if state.name != "day"
        }
        found.update(
            {(event.who, event.day, event.settled, place): sign * (value or 0) for place, value in given.items()}
        )
    return found


def tiles(found: Counter[tuple[object, ...]], number: int, *, counted: bool) -> list[dict[str, object]]:
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for (who, day, known, place), value in found.items():
        key = {"who": who, "_kind": number, "_from": day, "_until": known, "_counted": counted}
        if value:
            rows.setdefault((who, day, known), key)[place] = value
    return list(rows.values())


class Log:
    """What two runs see: first some of the events, some of them wrong; then all corrected and the rest."""

    def __init__(self, history: History, rng: Random) -> None:
        by_table = {"sales": history.sales, "recent": history.sales, "claims": history.claims}
        whole = {kind: by_table[tile_set.group.table] for kind, tile_set in SETS.items()}
        self.first: dict[int, Counter[tuple[object, ...]]] = {}
        self.second: dict[int, Counter[tuple[object, ...]]] = {}
        self.taken_back = rng.random() < 0.5
        early = {id(event): rng.random() < 0.7 for events in whole.values() for event in events}
        for number, events in whole.items():
            now = [event for event in events if early[id(event)]]
            wrong = [replace(event, day=event.day + rng.choice([-1, 0, 2]), cents=7) for event in now[::3]]
            wrong = wrong if self.taken_back else []
            self.first[number] = changes([*now, *wrong], 1, SETS[number])
            later = [event for event in events if not early[id(event)]]
            self.second[number] = changes(later, 1, SETS[number])
            # Not `+`, which drops what is negative.
            self.second[number].update(changes(wrong, -1, SETS[number]))


def batches(records: list[dict[str, object]], rng: Random) -> Iterator[pa.RecordBatch]:
    places = {place for tile_set in SETS.values() for (place,) in tile_set.places.values()}
    names = ["_from", "_until", *sorted(places)]
    fields = [("who", pa.string()), ("_kind", pa.int32()), ("_counted", pa.bool_()), ("plan", pa.string())]
    states = pa.struct([(name, pa.int64()) for name in kept_states(VIEW)])
    schema = pa.schema([*fields, *((name, pa.int64()) for name in names), ("_states", states)])
    rng.shuffle(records)
    records.sort(key=lambda record: str(record["who"]))
    while records:
        size = rng.randint(1, len(records))
        yield pa.RecordBatch.from_pylist(records[:size], schema)
        records = records[size:]


def computed(
    dates: list[int], records: list[dict[str, object]], rng: Random, goes_on: Collection[int] = ()
) -> tuple[list[tuple[object, ...]], dict[str, dict[str, int]]]:
    """Rows, and the checkpoint of the last date."""
    days = tuple(EPOCH + timedelta(days=day) for day in dates)
    part = Slice(VIEW, days, SCALES, {}, frozenset(SETS), frozenset(goes_on), kept_states(VIEW))
    rows, checkpoint = [], {}
    for batch in feature_batches(batches(records, rng), part):
        for row in batch.to_pylist():
            kept_here = row.pop("_states")
            if kept_here is not None:
                assert row["who"] not in checkpoint
                checkpoint[row["who"]] = kept_here
            if row["feature_date"] is not None:
                assert (kept_here is not None) == ((row["feature_date"] - EPOCH).days == dates[-1])
                values = [
                    row[name] for name in ("who", "feature_date", *(each.name for each in VIEW.aggregates), "plan")
                ]
                rows.append(tuple((each - EPOCH).days if isinstance(each, date) else each for each in values))
    return rows, checkpoint


def resumed(checkpoint: dict[str, dict[str, int]]) -> list[dict[str, object]]:
    return [{"who": who, "_kind": -1, "_states": kept} for who, kept in checkpoint.items()]


def cells(rows: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Of the naive rows, what this view has too."""
    names = ["who", "feature_date", *(each.name for each in VIEW.aggregates), "plan"]
    places = [WHOLE.columns.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in rows]


@pytest.mark.parametrize("share", range(10))
def test_increments_equal_the_definitions(share: int) -> None:
    for seed in range(share, HISTORIES // TOGETHER, 10):
        rng = Random(-seed - 1)
        history = drawn(Random(seed), TOGETHER)
        # Days that follow each other: a checkpoint is of the day before.
        dates = list(range(history.dates[0], history.dates[-1] + 1))
        cut = rng.randint(1, len(dates))
        log = Log(history, rng)
        members = [
            {"who": each.who, "_kind": 0, "_counted": False, "_from": each.first, "_until": each.end, "plan": each.plan}
            for each in history.versions
        ]
        first = [record for kind in SETS for record in tiles(log.first[kind], kind, counted=False)]
        _, checkpoint = computed(dates[:cut], [*members, *first], rng)
        goes_on = {kind for kind in RESUMABLE if not (log.taken_back and has_days(SETS[kind]))}
        records = [*members, *resumed(checkpoint)]
        for kind in SETS:
            records += tiles(log.first[kind], kind, counted=kind in goes_on)
            records += tiles(log.second[kind], kind, counted=False)
        after = [] if cut == len(dates) else computed(dates[cut:], records, rng, goes_on)[0]
        expected = naive(History(history.versions, history.sales, history.claims, dates[cut:]))
        assert after == cells(expected), f"seed {seed}"
