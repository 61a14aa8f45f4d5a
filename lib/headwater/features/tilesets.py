"""Which tiles a view is computed from: features that read a table's rows at one grain share a tile set.

    day       entity, event day, available day                  sums, means, extremes, days, first and last values
    value     entity, event day, available day, value           distinct values, the most frequent one
    register  entity, event day, available day, register        distinct values by sketch
    event     entity, event day, time (one row per event)       the newest N events

A tile set is one kind of records in the stream that the blocks are cut from; where tiles are stored, those of all sets
are one kind, told apart by what their tiles are found by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from headwater.config.aggregates import Aggregate
from headwater.config.features import FeatureGroup, FeatureView, longest_window
from headwater.features.algebra import State, operation

Grain: TypeAlias = Literal["day", "value", "register", "event"]

# Columns of the stream: which kind of record, its days, the value or register of a keyed tile, the instant of an event;
# of a stored tile which tiles it is of, by number, and the batch of the log that it came with; of a membership, beside
# a checkpoint, whether it came (1) or went (-1).
KIND, FROM, UNTIL, KEY, TIME, TILES, BATCH = "_kind", "_from", "_until", "_key", "_time", "_tiles", "_batch"
SIGN = "_sign"
# Kinds of records beside those of tile sets, which are numbered from 1.
MEMBER, STORED = 0, -1


@dataclass(frozen=True)
class TileSet:
    """Tiles of one table at one grain.

    Attributes:
        kind: number of its records in the stream, from 1.
        grain: what a tile stands for.
        group: the table and its event time.
        features: what is computed from it.
    """

    kind: int
    grain: Grain
    group: FeatureGroup
    features: tuple[Aggregate, ...]

    @property
    def longest_window(self) -> int | None:
        """Days of the longest window; None when a feature looks at all history."""
        return longest_window(self.features)

    @property
    def available(self) -> str | None:
        """The second date, if a feature has one."""
        return next((feature.available for feature in self.features if feature.available), None)

    @property
    def most_events(self) -> int:
        """How many of the newest events a feature looks at; 0 where none does."""
        return max(feature.events or 0 for feature in self.features)

    @cached_property
    def places(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Per (feature, state), the columns that carry it: `_s0`, `_s1`, .., and `_t3` for the text of a pair.

        To which every event contributes alike is one column, whatever the windows.
        """
        columns: dict[tuple[str, State], tuple[str, ...]] = {}
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        number = 0
        for feature in self.features:
            for state in operation(feature.op).states:
                contributed = (_contributed(feature), state)
                if contributed not in columns:
                    second = f"_t{number + 1}" if feature.type == "string" else f"_s{number + 1}"
                    columns[contributed] = (f"_s{number}", second) if state.is_pair else (f"_s{number}",)
                    number += len(columns[contributed])
                found[feature.name, state.name] = columns[contributed]
        return found

    @cached_property
    def kept(self) -> Mapping[tuple[str, str], str]:
        """Per (feature, state), what a checkpoint calls it: what is the same on every date has one name."""
        names: dict[tuple[object, ...], str] = {}
        found: dict[tuple[str, str], str] = {}
        for feature in self.features:
            for state in operation(feature.op).states:
                merged = (self.places[feature.name, state.name], feature.window_days, feature.available)
                found[feature.name, state.name] = names.setdefault(merged, f"_{feature.name}__{state.name}")
        return found


def tile_sets(view: FeatureView) -> tuple[TileSet, ...]:
    """The tile sets of a view, numbered in declared order."""
    shared: dict[tuple[int, Grain, str], list[Aggregate]] = {}
    for number, group in enumerate(view.groups):
        for feature in group.features:
            grain = grain_of(feature)
            shared.setdefault((number, grain, _common(feature, grain)), []).append(feature)
    return tuple(
        TileSet(kind, grain, view.groups[number], tuple(features))
        for kind, ((number, grain, _), features) in enumerate(shared.items(), start=1)
    )


def grain_of(feature: Aggregate) -> Grain:
    """What a tile of a feature stands for."""
    if feature.events is not None:
        return "event"
    match feature.op:
        case "distinct" | "most_frequent":
            return "value"
        case "distinct_approx":
            return "register"
        case _:
            return "day"


def _contributed(feature: Aggregate) -> str:
    """What a feature reads of an event, and of which."""
    return feature.model_dump_json(include={"value", "where"})


def _common(feature: Aggregate, grain: Grain) -> str:
    """What features of a tile set have in common beside table and grain.

    Of days how far their tiles lead: one maximum among sums would keep all of these out of a log of changes, and one
    day of an event within a window would keep them from going on from the day before (`features.stored`). Of others the
    value, and of events the conditions.
    """
    if grain == "day":
        states = operation(feature.op).states
        if all(each.monoid == "add" or (each.of_day and feature.window_days is None) for each in states):
            return "go on from the day before"
        return "are stored" if all(each.monoid == "add" or each.of_day for each in states) else "are compared"
    return feature.model_dump_json(include={"value", "where"} if grain == "event" else {"value"})
