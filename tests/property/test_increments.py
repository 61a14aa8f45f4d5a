"""Day by day from checkpoints and a log of signed changes, against the definitions, on random histories.

The log is told what arrives, what is corrected and what is taken back, in any order. The other side is the naive one of
`test_one_pass`, which knows the events that are left and the dates.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from random import Random

import pyarrow as pa
import pytest
from tests.property.test_one_pass import EPOCH, SCALES, Event, History, drawn, naive, states
from tests.property.test_one_pass import VIEW as WHOLE

from headwater.config.features import FeatureView
from headwater.features.blocks import Slice, feature_batches, state_field, state_places
from headwater.features.stored import has_days, kept_states, resumable_groups, stored_groups

HISTORIES = 10_000 if os.environ.get("HEADWATER_SOAK") else 1_000
STORED_OPS = ("sum", "count", "mean", "first_day", "last_day", "days_since_first", "days_since_last")
VIEW = FeatureView.model_validate(
    WHOLE.model_dump(exclude={"groups"})
    | {
        "groups": [
            {"table": table, "event_time": "at", "features": [
                each.model_dump() for each in group.features
                if each.op in STORED_OPS and (each.name == "last_at_9d") == (table == "recent")
            ]}
            for table, group in zip(("sales", "claims", "recent"), (*WHOLE.groups, WHOLE.groups[0]), strict=True)
        ]
    }
)  # fmt: skip
PLACES = state_places(VIEW)


def test_what_can_be_resumed() -> None:
    """A last day within a window cannot: nothing says which day is the last when that one leaves."""
    assert stored_groups(VIEW) == {1, 2, 3}
    assert resumable_groups(VIEW) == {1, 2}
    assert stored_groups(WHOLE) == set()


def changes(events: Iterable[Event], sign: int, number: int) -> Counter[tuple[object, ...]]:
    """Sums by (who, day, known since, place)."""
    found: Counter[tuple[object, ...]] = Counter()
    for event in events:
        for feature in VIEW.groups[number - 1].features:
            parts = states(feature.name, feature.op, event)
            for (name, state), place in PLACES.items():
                if name == feature.name and state != "day" and parts[state]:
                    found[event.who, event.day, event.settled, place] += sign * parts[state]
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
        whole = {1: history.sales, 2: history.claims, 3: history.sales}
        self.first: dict[int, Counter[tuple[object, ...]]] = {}
        self.second: dict[int, Counter[tuple[object, ...]]] = {}
        self.taken_back = rng.random() < 0.5
        early = {id(event): rng.random() < 0.7 for events in whole.values() for event in events}
        for number, events in whole.items():
            now = [event for event in events if early[id(event)]]
            wrong = [Event(event.who, event.day + rng.choice([-1, 0, 2]), 7, event.settled) for event in now[::3]]
            wrong = wrong if self.taken_back else []
            self.first[number] = changes([*now, *wrong], 1, number)
            later = [event for event in events if not early[id(event)]]
            self.second[number] = changes(later, 1, number)
            # Not `+`, which drops what is negative.
            self.second[number].update(changes(wrong, -1, number))


def batches(records: list[dict[str, object]], rng: Random) -> Iterator[pa.RecordBatch]:
    names = ["_from", "_until", *sorted(set(PLACES.values()))]
    fields = [("who", pa.string()), ("_kind", pa.int32()), ("_counted", pa.bool_()), ("plan", pa.string())]
    schema = pa.schema([*fields, *((name, pa.int64()) for name in names)])
    rng.shuffle(records)
    records.sort(key=lambda record: str(record["who"]))
    while records:
        size = rng.randint(1, len(records))
        yield pa.RecordBatch.from_pylist(records[:size], schema)
        records = records[size:]


def computed(
    dates: list[int], records: list[dict[str, object]], rng: Random
) -> tuple[list[tuple[object, ...]], dict[str, dict[str, int]]]:
    """Rows, and the checkpoint of the last date."""
    kept = kept_states(VIEW)
    part = Slice(VIEW, tuple(EPOCH + timedelta(days=day) for day in dates), SCALES, {}, {}, stored_groups(VIEW), kept)
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


def resumed(checkpoint: dict[str, dict[str, int]], groups: Iterable[int]) -> list[dict[str, object]]:
    records = []
    for number in groups:
        names = {feature.name for feature in VIEW.groups[number - 1].features}
        for who, kept in checkpoint.items():
            found = {place: kept[state_field(*pair)] for pair, place in PLACES.items() if pair[0] in names}
            records.append({"who": who, "_kind": -number, **found})
    return records


@pytest.mark.parametrize("share", range(10))
def test_increments_equal_the_definitions(share: int) -> None:
    for seed in range(share * HISTORIES // 10, (share + 1) * HISTORIES // 10):
        rng = Random(-seed - 1)
        history = drawn(Random(seed))
        # Days that follow each other: a checkpoint is of the day before.
        dates = list(range(history.dates[0], history.dates[-1] + 1))
        cut = rng.randint(1, len(dates))
        log = Log(history, rng)
        members = [
            {"who": each.who, "_kind": 0, "_counted": False, "_from": each.first, "_until": each.end, "plan": each.plan}
            for each in history.versions
        ]
        first = [record for number in (1, 2, 3) for record in tiles(log.first[number], number, counted=False)]
        _, checkpoint = computed(dates[:cut], [*members, *first], rng)
        again = {number for number in resumable_groups(VIEW) if log.taken_back and has_days(VIEW.groups[number - 1])}
        goes_on = resumable_groups(VIEW) - again
        records = [*members, *resumed(checkpoint, goes_on)]
        for number in (1, 2, 3):
            records += tiles(log.first[number], number, counted=number in goes_on)
            records += tiles(log.second[number], number, counted=False)
        names = ["who", "feature_date", *(each.name for each in VIEW.aggregates), "plan"]
        wanted = [WHOLE.columns.index(name) for name in names[:-1]] + [len(WHOLE.aggregates) + 2]
        after = [] if cut == len(dates) else computed(dates[cut:], records, rng)[0]
        all_rows = naive(History(history.versions, history.sales, history.claims, dates[cut:]))
        assert after == [tuple(row[at] for at in wanted) for row in all_rows], f"seed {seed}"
