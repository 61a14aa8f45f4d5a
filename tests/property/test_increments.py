"""From checkpoints and a log of signed changes, against the definitions, on random histories.

The log is told what arrives, what is corrected and what is taken back, in any order; who is a member was said wrongly at
first, and is said again only of whom it changes for. The other side is the naive one of `test_one_pass`, which knows the
events that are left, the versions and the dates.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import reduce
from operator import or_
from random import Random

import pyarrow as pa
import pytest
from tests.property.definitions import EPOCH, Event, History, Version, drawn, naive
from tests.property.definitions import VIEW as WHOLE
from tests.property.test_one_pass import SCALES, contributed

from headwater.config.features import FeatureView
from headwater.features import slices
from headwater.features.algebra import operation
from headwater.features.checkpoints import PLACE, Checkpoint, Resumed
from headwater.features.increment import wanted_parts
from headwater.features.kernel import Span
from headwater.features.slices import Slice, feature_batches
from headwater.features.stored import has_days, kept_states, resumable, storable
from headwater.features.tilesets import TileSet

HISTORIES = 10_000 if os.environ.get("HEADWATER_SOAK") else 1_000
TOGETHER = 10
STORED_OPS = ("sum", "count", "mean", "variance", "std", "first_day", "last_day", "days_since_first", "days_since_last")
VIEW = FeatureView.model_validate(
    WHOLE.model_dump(exclude={"groups", "derived"})
    | {
        "groups": [
            {"table": group.table, "event_time": "at", "features": [
                each.model_dump() for each in group.features if each.op in STORED_OPS and not each.events
            ]}
            for group in WHOLE.groups
        ]
    }
)  # fmt: skip
SETS = {each.kind: each for each in storable(VIEW)}
RESUMABLE = {each.kind for each in resumable(VIEW)}
NAMES = {each.name for each in VIEW.aggregates}
NUMBERS = {kind: 10 - kind for kind in SETS}


def test_what_can_be_resumed() -> None:
    """A last day within a window cannot: nothing says which day is the last when that one leaves.

    That, and what cannot be stored at all, keeps no other feature of its group from it.
    """
    assert {each.name for kind in RESUMABLE for each in SETS[kind].features} == NAMES - {"last_at_9d"}
    assert {each.name for tile_set in storable(WHOLE) for each in tile_set.features} == NAMES


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


def tiles(found: Counter[tuple[object, ...]], kind: int, batch: int) -> list[dict[str, object]]:
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for (who, day, known, place), value in found.items():
        key = {"who": who, "_kind": -1, "_tiles": NUMBERS[kind], "_from": day, "_until": known, "_batch": batch}
        if value:
            rows.setdefault((who, day, known), key)[place] = value
    return list(rows.values())


class Log:
    """What two runs see: first some of the events, some of them wrong; then all corrected and the rest."""

    def __init__(self, history: History, rng: Random) -> None:
        by_table = {"sales": history.sales, "claims": history.claims}
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


FIELDS = [
    ("who", pa.string()),
    ("_kind", pa.int32()),
    ("_tiles", pa.int32()),
    ("_sign", pa.int32()),
    ("plan", pa.string()),
]
DAYS = ["_from", "_until", "_batch", *sorted({place for each in SETS.values() for (place,) in each.places.values()})]
STREAM = pa.schema([*FIELDS, *((name, pa.int64()) for name in DAYS)])
KEPT = pa.schema(
    [
        ("who", pa.string()),
        ("plan", pa.string()),
        *((name, pa.int64()) for name in ("_member_from", *kept_states(VIEW))),
    ]
)


def batches(records: list[dict[str, object]], rng: Random) -> Iterator[pa.RecordBatch]:
    rng.shuffle(records)
    records.sort(key=lambda record: str(record["who"]))
    # What is known not to be null of a plan may become known only while it runs.
    schema = STREAM.set(1, STREAM.field("_kind").with_nullable(rng.random() < 0.5))
    while records:
        size = rng.randint(1, len(records))
        yield pa.RecordBatch.from_pylist(records[:size], schema)
        records = records[size:]


def computed(
    part: Slice, records: list[dict[str, object]], rng: Random
) -> tuple[list[tuple[object, ...]], dict[int, pa.Table]]:
    """Rows, and the checkpoint of each day that is kept."""
    part = replace(part, kept=kept_states(VIEW), stored=NUMBERS)
    rows, kept = [], defaultdict(lambda: [KEPT.empty_table()])
    # Of all entities, so where a checkpoint has to be that of the bucket it can be the only one.
    bucket = 0 if part.resumed else 3
    for of, batch in feature_batches(batches(records, rng), part, bucket):
        if of == "kept":
            (place,) = {tuple(row[name] for name in PLACE) for row in batch.to_pylist()} or {None}
            if place:
                assert place[1:] == (part.stage, bucket)
                kept[(place[0] - EPOCH).days].append(pa.Table.from_batches([batch]).select(KEPT.names).cast(KEPT))
            continue
        for row in batch.to_pylist():
            values = [row[name] for name in ("who", "feature_date", *(each.name for each in VIEW.aggregates), "plan")]
            rows.append(tuple((each - EPOCH).days if isinstance(each, date) else each for each in values))
    return rows, {day: pa.concat_tables(found) for day, found in kept.items()}


def slice_of(days: Sequence[int], **more: object) -> Slice:
    return Slice(VIEW, tuple(EPOCH + timedelta(days=day) for day in days), SCALES, {}, **more)  # type: ignore[arg-type]


def cells(rows: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Of the naive rows, what this view has too."""
    names = ["who", "feature_date", *(each.name for each in VIEW.aggregates), "plan"]
    places = [WHOLE.columns.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in rows]


def life(version: Version) -> dict[str, object]:
    days = {"_from": version.first, "_until": version.end}
    return {"who": version.who, "_kind": 0, "plan": version.plan, **days}


def joined(versions: Iterable[Version]) -> list[Version]:
    """Of every entity one life without an end, as from the first of its events."""
    firsts: dict[str, int] = {}
    for each in versions:
        firsts[each.who] = min(each.first, firsts.get(each.who, each.first))
    # A fact table has no attributes.
    return [Version(who, first, None, None) for who, first in firsts.items()]  # type: ignore[arg-type]


def misheard(versions: list[Version], rng: Random, *, joins: bool) -> list[Version]:
    """What was said of members at first: of some another begin, plan or end, of some nothing."""
    found = []
    for each in versions:
        kind = rng.random()
        if joins:
            later = replace(each, first=each.first + rng.randint(1, 5))
            found += [] if kind < 0.1 else [later if kind < 0.3 else each]
        elif kind < 0.1:
            found.append(replace(each, plan="z"))
        elif kind < 0.2 and (each.end is None or each.end > each.first + 1):
            found.append(replace(each, first=each.first + 1))
        elif kind < 0.4 and not any(other.who == each.who and other.first > each.first for other in versions):
            # That it ended was not known.
            found.append(replace(each, end=None))
        elif kind > 0.1:
            found.append(each)
    return found


def told(
    before: list[Version], now: list[Version], days: range, rng: Random, *, joins: bool
) -> list[dict[str, object]]:
    """What a stream says of members beside a checkpoint that knows those of the day before: lives that came and went.

    Some came and went, or went and came, and are told all the same.
    """
    came = [each for each in now if each not in before]
    if joins:
        return [*map(life, came)]
    went = [each for each in before if each not in now]
    both = [each for each in (*before, *now, *misheard(now, rng, joins=False)) if rng.random() < 0.2]
    signed = [*((each, 1) for each in (*came, *both)), *((each, -1) for each in (*went, *both))]
    return [{**life(each), "_sign": sign} for each, sign in signed if each.first < days.stop]


def scope(versions: Iterable[Version], wanted: Sequence[int], rng: Random) -> dict[str, range]:
    """Of some entities some days."""
    found = {}
    for who in {each.who for each in versions if rng.random() < 0.5}:
        first, last = sorted(rng.choices(range(wanted[0], wanted[-1] + 1), k=2))
        found[who] = range(first, last + 1)
    return found


def cut_to(lives: Iterable[dict[str, object]], scope: dict[str, range]) -> list[dict[str, object]]:
    """Lives as Spark cuts them to the days of a scope."""
    found = []
    for each in lives:
        if days := scope.get(str(each["who"])):
            until = days.stop if each["_until"] is None else min(int(str(each["_until"])), days.stop)
            found.append({**each, "_from": max(int(str(each["_from"])), days.start), "_until": until})
    return [each for each in found if int(str(each["_from"])) < int(str(each["_until"]))]


def matters(stored: list[dict[str, object]], resumed: Resumed, dates: Span) -> list[dict[str, object]]:
    """What is read of the log."""
    parts = wanted_parts({kind: str(kind) for kind in SETS}, [*SETS.values()], Checkpoint(resumed), dates)
    found = []
    for kind, number in NUMBERS.items():
        rows = pa.Table.from_pylist([record for record in stored if record["_tiles"] == number], STREAM)
        within = reduce(or_, (part.in_file for part in parts if part.tiles == str(kind)))
        found += rows.filter(within).to_pylist()
    return found


@pytest.mark.parametrize("share", range(10))
def test_increments_equal_the_definitions(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if share % 2:
        # Blocks of one entity, or of few.
        monkeypatch.setattr(slices, "_CELLS", 16)
    for seed in range(share, HISTORIES // TOGETHER, 10):
        rng = Random(-seed - 1)
        history = drawn(Random(seed), TOGETHER)
        dates = list(range(history.dates[0], history.dates[-1] + 1))
        cut = rng.randint(1, len(dates))
        kept_on = sorted({dates[cut - 1], *rng.sample(dates[:cut], min(cut, 2))})
        # Any day before will do, and of the dates after it not all are wanted.
        since = rng.choice(kept_on)
        wanted = sorted(rng.sample(dates[cut:], rng.randint(1, len(dates) - cut))) if cut < len(dates) else []
        if not wanted:
            continue
        joins, knows = rng.random() < 0.3, rng.random() < 0.5
        now = joined(history.versions) if joins else history.versions
        before, ahead = misheard(now, rng, joins=joins), range(since + 1, wanted[-1] + 1)
        if knows and not joins:
            # Of versions that begin or end on one of the days nothing was known.
            before = [each for each in before if each.first not in ahead and each.end not in ahead]
        log = Log(history, rng)
        first = [record for kind in SETS for record in tiles(log.first[kind], kind, 4)]
        part = slice_of(
            dates[:cut], joins=joins, kept_on=tuple(EPOCH + timedelta(days=day) for day in kept_on), stage=seed
        )
        _, checkpoints = computed(part, [*map(life, before), *first], rng)
        assert set(checkpoints) <= set(kept_on)
        goes_on = {kind for kind in RESUMABLE if not (log.taken_back and has_days(SETS[kind])) and rng.random() < 0.8}
        lives = told(before, now, ahead, rng, joins=joins) if knows else [*map(life, now)]
        # In a scope only some matter, on some days, and the stream says nothing of the others.
        some = scope(now, wanted, rng) if not knows and rng.random() < 0.3 else None
        stored = [
            record for kind in SETS for record in (*tiles(log.first[kind], kind, 4), *tiles(log.second[kind], kind, 5))
        ]
        checkpoint = checkpoints.get(since, KEPT.empty_table())
        resumed = Resumed(since, 4, frozenset(goes_on), lambda _, found=checkpoint: found, buckets=1, members=knows)
        stored = matters(stored, resumed, Span(wanted[0], wanted[-1]))
        if some is None and rng.random() < 0.5:
            # The worker has read them itself.
            rng.shuffle(stored)
            read = pa.Table.from_pylist(stored, STREAM)
            resumed, stored = replace(resumed, tiles=lambda _, found=read: found), []
        part = slice_of(wanted, joins=joins, resumed=resumed, stream=STREAM if some is None else None)
        records = (
            [*lives, *stored] if some is None else [*cut_to(lives, some), *(x for x in stored if x["who"] in some)]
        )
        after, _ = computed(part, records, rng)
        expected = cells(naive(History(now, history.sales, history.claims, wanted)))
        assert after == [row for row in expected if some is None or row[1] in some.get(row[0], ())], f"seed {seed}"
