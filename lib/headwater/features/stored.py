"""Stored tiles: which tile sets a log of changes holds, and what is found there of them.

Every stored state is a sum, so a change is written without reading what it changes, and what belongs to one tile adds
up when it is read: what is known as a Z-set in the incremental maintenance of views (Budiu et al., "DBSP", VLDB 2023).
The day of a first or last event is not stored; the tile's own day says it as long as its records add up to an event.
"""

import hashlib
from collections.abc import Mapping

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.features.algebra import State, operation
from headwater.features.tilesets import TileSet, tile_sets

# What tiles hold of a feature; windows, caps, defaults and names are applied to them.
_MEANING = {"op", "value", "where", "available"}


def storable(view: FeatureView) -> tuple[TileSet, ...]:
    """Tile sets of days that hold sums only, and days of events."""
    return tuple(
        tile_set
        for tile_set in tile_sets(view)
        if tile_set.grain == "day" and all(each.monoid == "add" or each.of_day for each in states_of(tile_set).values())
    )


def resumable(view: FeatureView) -> tuple[TileSet, ...]:
    """Storable tile sets whose states at a day's end lead to those of the next.

    What is not a sum must never leave its window.
    """
    return tuple(
        tile_set
        for tile_set in storable(view)
        if all(
            each.monoid == "add" or feature.window_days is None
            for feature in tile_set.features
            for each in operation(feature.op).states
        )
    )


def has_days(tile_set: TileSet) -> bool:
    """Whether a set tells days of events, which cannot be taken back from a checkpoint."""
    return any(each.of_day for each in states_of(tile_set).values())


def count_columns(tile_set: TileSet) -> list[str]:
    """The stored columns that count events."""
    return list(dict.fromkeys(place for (_, name), (place, *_) in tile_set.places.items() if name == "n"))


def kept_states(view: FeatureView) -> Mapping[str, bool]:
    """What a checkpoint holds: names of states, and whether each counts events."""
    return {name: state == "n" for each in resumable(view) for (_, state), name in each.kept.items()}


def tiles_id(tile_set: TileSet, contract: TableContract, entity: str, origin: str) -> str:
    """What the tiles of a set are found by: the table and a digest of all that decides what they hold.

    Args:
        tile_set: a storable one.
        contract: of its table; a column that the set does not read decides nothing.
        entity: name and type of the log's column of entities.
        origin: what they were begun from. Of another one they are other tiles, built anew.
    """
    types, event_time = {column.name: column.type for column in contract.columns}, tile_set.group.event_time
    read = {contract.entity, *(name for feature in tile_set.features for name in feature.reads(event_time))}
    parts = [origin, event_time, contract.entity, entity, *(f"{name} {types[name]}" for name in sorted(read))]
    parts += [feature.model_dump_json(include=_MEANING) for feature in tile_set.features]
    return f"{tile_set.group.table}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:8]}"


def sums_of(tile_set: TileSet) -> list[str]:
    """The stored columns of a set: its states that are sums."""
    return [place for place, each in states_of(tile_set).items() if each.monoid == "add"]


def states_of(tile_set: TileSet) -> dict[str, State]:
    """The states of a set by the column they are in, or the first of two."""
    return {
        tile_set.places[feature.name, each.name][0]: each
        for feature in tile_set.features
        for each in operation(feature.op).states
    }
