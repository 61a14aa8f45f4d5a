"""From a stream of records, one entity's after another's, to feature rows: a block of entities at a time.

    Arrow batches, each entity's records together (kind 0: membership and attributes, k: tiles of the k-th tile set,
                   -1: a checkpoint, the states at the end of the day before the first date)
      ──cut between entities──> block: K entities, n records
      ──membership as intervals──> K x T: of which version a row is made, if there is one
      ──evaluate, per tile set──> finished numbers of every feature where there is a row
      ──> rows in order of (entity, date); if asked for, beside those of the last date the states they were made of

A block is as large as its grids may be, and no entity is split.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.config.features import FeatureView
from headwater.features.algebra import Numbers
from headwater.features.cells import cells
from headwater.features.derived import derived
from headwater.features.evaluate import Rows, evaluate
from headwater.features.kernel import Flags, Integers, Span, day_number, intervals, state
from headwater.features.records import days, records_of
from headwater.features.tilesets import FROM, KIND, MEMBER, STATES, UNTIL, TileSet, tile_sets

# Cells of a grid: of 2 MB, so that a state and its neighbours stay in the cache.
_CELLS = 1 << 18
_RECORDS = 1 << 18


@dataclass(frozen=True, slots=True)
class Slice:
    """What is computed of a view.

    Attributes:
        view: the definitions.
        dates: the feature dates wanted, sorted.
        scales: per feature, decimal places of the value it reads.
        carried: per table, dates at which its features are left at the values of no match.
        stored: kinds of tile sets whose tiles come from a log of changes.
        resumed: those of them that go on from a checkpoint.
        kept: by name, the (feature, state) pairs that go out with the last date; none when nobody asks.
    """

    view: FeatureView
    dates: tuple[date, ...]
    scales: Mapping[str, int]
    carried: Mapping[str, tuple[date, ...]]
    stored: frozenset[int] = frozenset()
    resumed: frozenset[int] = frozenset()
    kept: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def tile_sets(self) -> tuple[TileSet, ...]:
        """What the view is computed from."""
        return tile_sets(self.view)

    @property
    def span(self) -> Span:
        """From the first date to the last."""
        return Span(day_number(self.dates[0]), day_number(self.dates[-1]))


def feature_batches(batches: Iterable[pa.RecordBatch], part: Slice) -> Iterator[pa.RecordBatch]:
    """Compute the rows of every entity in the stream.

    Args:
        batches: entity, `_kind`, `_from` and `_until` (days; null `_until`: never), attributes, and the columns of the
            view's tile sets.
        part: what to compute.

    Yields:
        The view's computed columns in published order, in order of (entity, date). With `part.kept` also `_states`:
        null but for the last date; an entity that has no row then gets one without a date.
    """
    for block in blocks(batches, part.view.entity, entities=max(1, _CELLS // part.span.days)):
        for rows in block_rows(block, part):
            if rows.num_rows:
                yield rows


def blocks(
    batches: Iterable[pa.RecordBatch], entity: str, *, entities: int, records: int = _RECORDS
) -> Iterator[pa.Table]:
    """Cut the stream between entities.

    Args:
        batches: an entity's records stand together.
        entity: the column that names it.
        entities: how many a block may have at most.
        records: how many are gathered before they are cut; a block has more only when one entity does.
    """
    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        gathered.append(batch)
        if sum(each.num_rows for each in gathered) >= records:
            table = pa.Table.from_batches(gathered).combine_chunks()
            # The last entity may go on in the next batch.
            *whole, _ = _run_ends(table[entity])
            yield from _cut(table, whole, entities)
            gathered = table.slice(whole[-1] if whole else 0).to_batches()
    if gathered:
        table = pa.Table.from_batches(gathered).combine_chunks()
        yield from _cut(table, list(_run_ends(table[entity])), entities)


def _cut(table: pa.Table, ends: list[int], entities: int) -> Iterator[pa.Table]:
    begin = 0
    for first in range(0, len(ends), entities):
        end = int(ends[min(first + entities, len(ends)) - 1])
        yield table.slice(begin, end - begin)
        begin = end


def block_rows(block: pa.Table, part: Slice) -> Iterator[pa.RecordBatch]:
    """The feature rows of a block's entities, and the states of those that have none on the last date."""
    view = part.view
    ends = _run_ends(block[view.entity])
    entity = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    rows = _members(block, np.flatnonzero(block[KIND].to_numpy() == MEMBER), entity, ends, part)
    # A text that is many rows' stays one text: whoever writes or sends it asks for no more.
    names = _column(block, view.entity).take(pa.array(ends - 1))
    found = {
        view.entity: pa.DictionaryArray.from_arrays(rows.entity.astype(np.int32), names),
        "feature_date": pa.array(rows.day.astype(np.int32)).cast(pa.date32()),
    }
    numbers: dict[str, Numbers] = {}
    last: dict[tuple[str, str], Integers] = {}
    for tile_set in part.tile_sets:
        kind = tile_set.kind
        records = records_of(block, entity, tile_set, is_stored=kind in part.stored, is_resumed=kind in part.resumed)
        evaluated = evaluate(tile_set, records, rows, part.scales)
        numbers |= evaluated.numbers
        if carried := part.carried.get(tile_set.group.table):
            fresh = ~np.isin(rows.day, [day_number(day) for day in carried])
            numbers |= {name: replace(each, known=each.known & fresh) for name, each in evaluated.numbers.items()}
        last |= evaluated.last
    for of_others in view.derived_in_turn:
        numbers[of_others.name] = derived(of_others, numbers)
    found |= {each.name: cells(numbers[each.name], each) for each in view.features}
    found |= {name: _coded(_column(block, name)).take(pa.array(rows.version)) for name in view.attributes}
    batch = pa.RecordBatch.from_pydict({name: found[name] for name in view.computed})
    if part.kept:
        yield from _with_states(batch, rows, [last[pair] for pair in part.kept.values()], names, part)
    else:
        yield batch


def _with_states(
    batch: pa.RecordBatch, rows: Rows, kept: Sequence[Integers], names: pa.Array, part: Slice
) -> Iterator[pa.RecordBatch]:
    """Put states beside the rows of the last date; who has states but no such row gets one for them alone."""
    at_last = rows.column == rows.span.days - 1
    yield batch.append_column(STATES, _states([each[rows.entity] for each in kept], at_last, part))
    counts = [each for (_, name), each in zip(part.kept.values(), kept, strict=True) if name == "n"]
    without = np.setdiff1d(np.flatnonzero(np.any(counts, axis=0)), rows.entity[at_last])
    coded = pa.DictionaryArray.from_arrays(without.astype(np.int32), names)
    alone = [coded, *(pa.nulls(len(without), field.type) for field in batch.schema if field.name != part.view.entity)]
    states = _states([each[without] for each in kept], np.ones(len(without), np.bool_), part)
    yield pa.RecordBatch.from_arrays(alone, schema=batch.schema).append_column(STATES, states)


def _states(columns: Sequence[Integers], present: Flags, part: Slice) -> pa.StructArray:
    arrays = [pa.array(column.astype(np.int64)) for column in columns]
    return pa.StructArray.from_arrays(arrays, names=list(part.kept), mask=pa.array(~present))


def _members(block: pa.Table, records: Integers, entity: Integers, ends: Integers, part: Slice) -> Rows:
    """Which entities have a row on which of the wanted dates, and by which version of their membership."""
    chosen = block.take(pa.array(records))
    lives = intervals(entity[records], days(chosen, FROM), days(chosen, UNTIL), entities=len(ends), span=part.span)
    # Versions of an entity do not overlap, so their sum is the number of the one that is valid.
    grid = state("add", np.arange(1, len(records) + 1), lives)
    wanted = np.zeros(part.span.days, np.bool_)
    wanted[[day_number(day) - part.span.first for day in part.dates]] = True
    found = (grid > 0) & wanted
    at, column = np.nonzero(found)
    return Rows(found, at, column, records[grid[found] - 1], ends, part.span)


def _run_ends(column: pa.ChunkedArray) -> Integers:
    """Where each entity's records end."""
    ends: Integers = pc.run_end_encode(column.combine_chunks()).run_ends.to_numpy().astype(np.int64)
    return ends


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()


def _coded(column: pa.Array) -> pa.Array:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column
