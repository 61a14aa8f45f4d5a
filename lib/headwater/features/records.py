"""The records of a tile set in a block: when each counts for a feature, and with what.

Three kinds of records stand side by side, and the kernel adds them up without knowing which is which:

    a tile                              +value on [begin, end)
    a tile that the checkpoint counts   -value from its end on, for there it leaves the checkpoint's total
    a checkpoint                        +state from the first date on, of every set that goes on from it

A stored tile may be several records, some of which take back what others gave; sums do not mind, and a day counts as
long as the records of its tile add up to an event.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.config.aggregates import Aggregate
from headwater.features.algebra import State, filled
from headwater.features.kernel import ALWAYS, NEVER, NOTHING, Flags, Integers, Intervals, Monoid, Span, intervals, state
from headwater.features.tilesets import CHECKPOINT, COUNTED, FROM, KIND, STATES, UNTIL, TileSet


@dataclass(frozen=True, slots=True)
class Records:
    """What a block has of one tile set.

    Attributes:
        table: keys and states.
        entity: per record, which entity of the block.
        happened: event day; `ALWAYS` of a checkpoint.
        known: day since when the fact is known, `NEVER` for not yet; `ALWAYS` of a checkpoint.
        is_checkpoint: whether the record is a checkpoint.
        is_counted: whether it is a tile that the checkpoint counts.
        is_stored: whether tiles come from a log of changes, several records each.
        kept: by name, what checkpoints hold; empty of a set that does not go on from one.
    """

    table: pa.Table
    entity: Integers
    happened: Integers
    known: Integers
    is_checkpoint: Flags
    is_counted: Flags
    is_stored: bool
    kept: Mapping[str, Integers]

    def where(self, chosen: Flags) -> "Records":
        """Some of them."""
        return Records(
            table=self.table.filter(pa.array(chosen)),
            entity=self.entity[chosen],
            happened=self.happened[chosen],
            known=self.known[chosen],
            is_checkpoint=self.is_checkpoint[chosen],
            is_counted=self.is_counted[chosen],
            is_stored=self.is_stored,
            kept={name: states[chosen] for name, states in self.kept.items()},
        )


def records_of(block: pa.Table, entity: Integers, tile_set: TileSet, *, is_stored: bool, is_resumed: bool) -> Records:
    """Take the records of a set out of a block: its tiles, and the checkpoints if it goes on from them."""
    kind = block[KIND].to_numpy()
    ours = (kind == tile_set.kind) | ((kind == CHECKPOINT) & is_resumed)
    table = block.filter(pa.array(ours))
    is_checkpoint = kind[ours] == CHECKPOINT
    kept: dict[str, Integers] = {}
    if is_resumed:
        states = table[STATES].combine_chunks()
        kept = {name: pc.fill_null(pc.struct_field(states, name), 0).to_numpy() for name in {*tile_set.kept.values()}}
    return Records(
        table=table,
        entity=entity[ours],
        happened=np.where(is_checkpoint, ALWAYS, days(table, FROM)),
        known=np.where(is_checkpoint, ALWAYS, days(table, UNTIL)),
        is_checkpoint=is_checkpoint,
        is_counted=pc.fill_null(table[COUNTED], False).to_numpy(zero_copy_only=False),  # noqa: FBT003
        is_stored=is_stored,
        kept=kept,
    )


def merged_state(
    feature: Aggregate, each: State, tile_set: TileSet, records: Records, entities: int, span: Span
) -> Integers:
    """A state of a feature, merged over the records that count on each date.

    Args:
        feature: window and second date.
        each: which of its states; no pair.
        tile_set: the feature's.
        records: of the tile set.
        entities: how many the block has.
        span: the dates; a checkpoint is of the day before the first.

    Returns:
        entities x dates.
    """
    begin, end, leaves = _life(feature, records, span)
    values = _values(feature, each, tile_set, records)
    # What leaves no window has nothing to take back: of what is no sum, only lifetime states are resumed.
    values = np.where(leaves, -values if each.monoid == "add" else NOTHING[each.monoid], values)
    return state(each.monoid, values, intervals(records.entity, begin, end, entities=entities, span=span))


def counts(feature: Aggregate, records: Records, entities: int, span: Span) -> Intervals:
    """The dates on which each tile counts for a feature that no checkpoint is kept of."""
    begin, end, _ = _life(feature, records, span)
    return intervals(records.entity, begin, end, entities=entities, span=span)


def _life(feature: Aggregate, records: Records, span: Span) -> tuple[Integers, Integers, Flags]:
    """From which day until before which each record counts, and whether by taking its value back."""
    begin = np.maximum(records.happened, records.known) if feature.available else records.happened
    window = NEVER if feature.window_days is None else feature.window_days
    end = np.where(records.is_checkpoint | (window == NEVER), NEVER, records.happened + window)
    leaves = records.is_counted & (begin < span.first)
    is_over = leaves & (end < span.first)
    begin, end = np.where(leaves, end, begin), np.where(leaves, NEVER, end)
    return np.where(is_over, NEVER, begin), end, leaves


def _values(feature: Aggregate, each: State, tile_set: TileSet, records: Records) -> Integers:
    """What each record gives to a state."""
    if records.is_stored and each.of_day:
        (n,) = tile_set.places[feature.name, "n"]
        has_events = _summed_by_tile(column_values(records.table[n], "add"), records) > 0
        of_tiles = np.where(has_events, records.happened, NOTHING[each.monoid])
    else:
        of_tiles = column_values(records.table[tile_set.places[feature.name, each.name][0]], each.monoid)
    if not records.kept:
        return of_tiles
    return np.where(records.is_checkpoint, records.kept[tile_set.kept[feature.name, each.name]], of_tiles)


def _summed_by_tile(values: Integers, records: Records) -> Integers:
    """Per record, the sum over all records of its tile."""
    order = np.lexsort((records.known, records.happened, records.entity))
    keys = np.stack((records.entity[order], records.happened[order], records.known[order]))
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    tile = np.empty(len(order), np.int64)
    tile[order] = np.cumsum(is_new) - 1
    sums = np.zeros(len(order), np.int64)
    np.add.at(sums, tile, values)
    summed: Integers = sums[tile]
    return summed


def days(table: pa.Table, name: str) -> Integers:
    """A column of days; null is `NEVER`."""
    found: Integers = pc.fill_null(table[name], NEVER).to_numpy()
    return found


def column_values(column: pa.ChunkedArray, monoid: Monoid) -> Integers:
    """A state's column; nothing where there is none."""
    return filled(monoid, pc.fill_null(column, 0).to_numpy(), pc.is_valid(column).to_numpy())
