"""The records of a tile set in a block: when each counts for a feature, and with what.

    a tile                              +value on [begin, end)
    a tile that the checkpoint counts   -value from its end on, for there it leaves the checkpoint's total

The checkpoint itself is no record: its states are what the running totals begin with, per entity.

A stored tile may be several records, some of which take back what others gave; sums do not mind, and a day counts as
long as the records of its tile add up to an event.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.config.aggregates import Aggregate
from headwater.features.algebra import State, filled
from headwater.features.blocks import Block, Known
from headwater.features.checkpoints import Resumed
from headwater.features.kernel import NEVER, NOTHING, Flags, Integers, Intervals, Monoid, Span, intervals, state
from headwater.features.tilesets import BATCH, FROM, KEY, KIND, STORED, TILES, TIME, UNTIL, TileSet


@dataclass(frozen=True, slots=True)
class Records:
    """What a block has of one tile set.

    Attributes:
        table: keys and states.
        entity: per record, which entity of the block.
        happened: event day.
        known: day since when the fact is known, `NEVER` for not yet.
        is_counted: whether it is a tile that the checkpoint counts.
        is_stored: whether tiles come from a log of changes, several records each.
        before: what the checkpoint has; None: the set does not go on from one.
    """

    table: pa.Table
    entity: Integers
    happened: Integers
    known: Integers
    is_counted: Flags
    is_stored: bool
    before: Known | None

    def where(self, chosen: Flags) -> "Records":
        """Some of them."""
        return Records(
            table=self.table.filter(pa.array(chosen)),
            entity=self.entity[chosen],
            happened=self.happened[chosen],
            known=self.known[chosen],
            is_counted=self.is_counted[chosen],
            is_stored=self.is_stored,
            before=self.before,
        )


def records_of(block: Block, tile_set: TileSet, stored_as: int | None, resumed: Resumed | None) -> Records:
    """Take the records of a set out of a block, and the checkpoint if it goes on from that.

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
    places = {place for columns in tile_set.places.values() for place in columns}
    wanted = [name for name in (FROM, UNTIL, BATCH, KEY, TIME, *places) if name in has]
    table = block.records.select(wanted).filter(pa.array(ours))
    is_counted = np.zeros(len(table), np.bool_)
    if resumed is not None and goes_on:
        is_counted = pc.less_equal(table[BATCH], resumed.batch).fill_null(False).to_numpy()  # noqa: FBT003
    return Records(
        table=table,
        entity=block.entity[ours],
        happened=days(table, FROM),
        known=days(table, UNTIL),
        is_counted=is_counted,
        is_stored=stored_as is not None,
        before=block.checkpoint if goes_on else None,
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
    over = intervals(records.entity, begin, end, entities=entities, span=span)
    if records.before is None:
        return state(each.monoid, values, over)
    name = tile_set.kept[feature.name, each.name]
    return state(each.monoid, values, over, _before(records.before, name, each.monoid, entities))


def _before(known: Known, name: str, monoid: Monoid, entities: int) -> Integers:
    """A state as the checkpoint has it, per entity."""
    found = np.full(entities, NOTHING[monoid])
    found[known.entity] = column_values(known.rows[name], monoid)
    return found


def counts(feature: Aggregate, records: Records, entities: int, span: Span) -> Intervals:
    """The dates on which each tile counts for a feature that no checkpoint is kept of."""
    begin, end, _ = _life(feature, records, span)
    return intervals(records.entity, begin, end, entities=entities, span=span)


def _life(feature: Aggregate, records: Records, span: Span) -> tuple[Integers, Integers, Flags]:
    """From which day until before which each record counts, and whether by taking its value back."""
    begin = np.maximum(records.happened, records.known) if feature.available else records.happened
    window = NEVER if feature.window_days is None else feature.window_days
    end = np.full_like(records.happened, NEVER) if window == NEVER else records.happened + window
    leaves = records.is_counted & (begin < span.first)
    is_over = leaves & (end < span.first)
    begin, end = np.where(leaves, end, begin), np.where(leaves, NEVER, end)
    return np.where(is_over, NEVER, begin), end, leaves


def _values(feature: Aggregate, each: State, tile_set: TileSet, records: Records) -> Integers:
    """What each record gives to a state."""
    if not (records.is_stored and each.of_day):
        return column_values(records.table[tile_set.places[feature.name, each.name][0]], each.monoid)
    (n,) = tile_set.places[feature.name, "n"]
    has_events = _summed_by_tile(column_values(records.table[n], "add"), records) > 0
    return np.where(has_events, records.happened, NOTHING[each.monoid])


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
