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
from headwater.features.blocks import Block
from headwater.features.checkpoints import Resumed
from headwater.features.kernel import ALWAYS, NEVER, NOTHING, Flags, Integers, Intervals, Monoid, Span, intervals, state
from headwater.features.tilesets import BATCH, CHECKPOINT, FROM, KEY, KIND, STORED, TILES, TIME, UNTIL, TileSet


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


def records_of(block: Block, tile_set: TileSet, stored_as: int | None, resumed: Resumed | None) -> Records:
    """Take the records of a set out of a block: its tiles, and the checkpoints if it goes on from them.

    Args:
        block: records of every kind.
        tile_set: whose are wanted.
        stored_as: number of its tiles in the log; None: they are not stored.
        resumed: what it may go on from.
    """
    kind, has = block.records[KIND].to_numpy(), set(block.records.column_names)
    goes_on = resumed is not None and tile_set.kind in resumed.kinds
    ours = kind == tile_set.kind
    if stored_as is not None:
        ours = (kind == STORED) & pc.equal(block.records[TILES], stored_as).fill_null(False).to_numpy()  # noqa: FBT003
    states = {*tile_set.kept.values()} if goes_on else set[str]()
    places = {place for columns in tile_set.places.values() for place in columns}
    wanted = [name for name in (FROM, UNTIL, BATCH, KEY, TIME, *places, *states) if name in has]
    ours |= (kind == CHECKPOINT) & goes_on
    table = block.records.select(wanted).filter(pa.array(ours))
    is_checkpoint = kind[ours] == CHECKPOINT
    is_counted = np.zeros(len(table), np.bool_)
    if resumed is not None and goes_on:
        is_counted = pc.less_equal(table[BATCH], resumed.batch).fill_null(False).to_numpy()  # noqa: FBT003
    kept: dict[str, Integers] = {name: pc.fill_null(table[name], 0).to_numpy() for name in states}
    return Records(
        table=table,
        entity=block.entity[ours],
        happened=np.where(is_checkpoint, ALWAYS, days(table, FROM)),
        known=np.where(is_checkpoint, ALWAYS, days(table, UNTIL)),
        is_checkpoint=is_checkpoint,
        is_counted=is_counted,
        is_stored=stored_as is not None,
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
