"""The records of a group in a block: when each counts for a feature, and with what.

Three kinds of records stand side by side, and the kernel adds them up without knowing which is which:

    a tile                              +value on [begin, end)
    a tile that the checkpoint counts   -value from its end on, for there it leaves the checkpoint's total
    a checkpoint                        +state from the first date on

A stored tile may be several records, some of which take back what others gave; sums do not mind, and a day counts as
long as the records of its tile add up to an event.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.config.features import Aggregate
from headwater.features.algebra import State, filled
from headwater.features.kernel import ALWAYS, NEVER, NOTHING, Flags, Integers, Intervals, Span, intervals, state

KIND, FROM, UNTIL, COUNTED = "_kind", "_from", "_until", "_counted"


@dataclass(frozen=True, slots=True)
class GroupRecords:
    """What a block has of one group.

    Attributes:
        columns: states as `_s0`, `_s1`, ..
        entities: how many entities the block has.
        entity: per record, its row of the grids.
        happened: event day; `ALWAYS` of a checkpoint.
        known: day since when the fact is known, `NEVER` for not yet; `ALWAYS` of a checkpoint.
        is_checkpoint: whether the record is a checkpoint.
        is_counted: whether it is a tile that the checkpoint counts.
        is_stored: whether tiles come from a log of changes, several records each.
    """

    columns: pa.Table
    entities: int
    entity: Integers
    happened: Integers
    known: Integers
    is_checkpoint: Flags
    is_counted: Flags
    is_stored: bool


def group_records(block: pa.Table, entity: Integers, entities: int, number: int, *, is_stored: bool) -> GroupRecords:
    """Take the records of a group out of a block: kind `number` are its tiles, `-number` its checkpoints."""
    kind = block[KIND].to_numpy()
    ours = np.abs(kind) == number
    columns = block.filter(pa.array(ours))
    is_checkpoint = kind[ours] < 0
    return GroupRecords(
        columns=columns,
        entities=entities,
        entity=entity[ours],
        happened=np.where(is_checkpoint, ALWAYS, days(columns, FROM)),
        known=np.where(is_checkpoint, ALWAYS, days(columns, UNTIL)),
        is_checkpoint=is_checkpoint,
        is_counted=_flags(columns, COUNTED),
        is_stored=is_stored,
    )


def merged_state(
    feature: Aggregate, each: State, places: dict[str, str], records: GroupRecords, span: Span
) -> Integers:
    """A state of a feature, merged over the records that count on each date.

    Args:
        feature: window and second date.
        each: which of its states.
        places: column of every state of the feature.
        records: the group's records.
        span: the dates; a checkpoint is of the day before the first.

    Returns:
        entities x dates.
    """
    values = _values(each, places, records)
    over, sign = _counts(feature, records, span)
    # What leaves no window has nothing to take back: of what is no sum, only lifetime states are resumed.
    values = values * sign if each.monoid == "add" else np.where(sign < 0, NOTHING[each.monoid], values)
    return state(each.monoid, values, over)


def _counts(feature: Aggregate, records: GroupRecords, span: Span) -> tuple[Intervals, Integers]:
    """The dates on which each record counts for a feature, and with which sign."""
    begin = np.maximum(records.happened, records.known) if feature.available else records.happened
    window = NEVER if feature.window_days is None else feature.window_days
    end = np.where(records.is_checkpoint | (window == NEVER), NEVER, records.happened + window)
    leaves = records.is_counted & (begin < span.first)
    is_over = leaves & (end < span.first)
    begin, end = np.where(leaves, end, begin), np.where(leaves, NEVER, end)
    begin = np.where(is_over, NEVER, begin)
    over = intervals(records.entity, begin, end, entities=records.entities, span=span)
    return over, np.where(leaves, -1, 1)


def _values(each: State, places: dict[str, str], records: GroupRecords) -> Integers:
    column = records.columns[places[each.name]]
    values = filled(each.monoid, pc.fill_null(column, 0).to_numpy(), pc.is_valid(column).to_numpy())
    if not (records.is_stored and each.of_day):
        return values
    counts = pc.fill_null(records.columns[places["n"]], 0).to_numpy()
    has_events = _summed_by_tile(counts, records) > 0
    of_tile = np.where(has_events, records.happened, NOTHING[each.monoid])
    return np.where(records.is_checkpoint, values, of_tile)


def _summed_by_tile(values: Integers, records: GroupRecords) -> Integers:
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


def _flags(table: pa.Table, name: str) -> Flags:
    found: Flags = pc.fill_null(table[name], False).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return found
