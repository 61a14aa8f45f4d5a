"""From a stream of records, one entity's after another's, to feature rows: a block of entities at a time.

    Arrow batches, each entity's records together (kind 0: membership and attributes, kind g + 1: tiles of group g)
      ──cut between entities──> block: K entities, n records
      ──membership as intervals──> K x T: of which version a row is made, if there is one
      ──kernel, per feature and state──> K x T states ──where there is a row──> finished columns
      ──> rows in order of (entity, date)

A block is as large as its grids may be, and no entity is split.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.config.aggregates import Aggregate
from headwater.config.features import FeatureView
from headwater.features.algebra import Numbers, filled, operation
from headwater.features.cells import cells
from headwater.features.derived import derived
from headwater.features.kernel import NEVER, Integers, Intervals, Monoid, Span, intervals, state

KIND, FROM, UNTIL = "_kind", "_from", "_until"
MEMBER = 0
_EPOCH = date(1970, 1, 1)
# Cells of a grid: of 2 MB, so that a state and its neighbours stay in the cache.
_CELLS = 1 << 18
_RECORDS = 1 << 18


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


@dataclass(frozen=True, slots=True)
class Slice:
    """What is computed of a view.

    Attributes:
        view: the definitions.
        dates: the feature dates wanted, sorted.
        scales: per feature, decimal places of the value it reads.
        carried: per table, dates at which its features are left at the values of no match.
        sources: per carried table, what `stale_sources` calls it.
    """

    view: FeatureView
    dates: tuple[date, ...]
    scales: Mapping[str, int]
    carried: Mapping[str, tuple[date, ...]]
    sources: Mapping[str, str]

    @property
    def span(self) -> Span:
        """From the first date to the last."""
        return Span(day_number(self.dates[0]), day_number(self.dates[-1]))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that a block gives, in order of (entity, date).

    Attributes:
        entity: which entity of the block.
        column: which date of the span.
        day: that date, since 1970.
        version: which record of the block the row is made of.
    """

    entity: Integers
    column: Integers
    day: Integers
    version: Integers


def state_places(view: FeatureView) -> dict[tuple[str, str], str]:
    """Per (feature, state), the column of the stream that carries it: `_s0`, `_s1`, ..; every group begins anew."""
    places: dict[tuple[str, str], str] = {}
    for group in view.groups:
        states = [(feature.name, each.name) for feature in group.features for each in operation(feature.op).states]
        places |= {key: f"_s{number}" for number, key in enumerate(states)}
    return places


def feature_batches(batches: Iterable[pa.RecordBatch], part: Slice) -> Iterator[pa.RecordBatch]:
    """Compute the rows of every entity in the stream.

    Args:
        batches: entity, `_kind`, `_from` and `_until` (days; null `_until`: never), `_s0`.., attributes.
        part: what to compute.

    Yields:
        The view's columns in published order, in order of (entity, date).
    """
    for block in blocks(batches, part.view.entity, entities=max(1, _CELLS // part.span.days)):
        rows = block_rows(block, part)
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


def block_rows(block: pa.Table, part: Slice) -> pa.RecordBatch:
    """The feature rows of a block's entities."""
    view = part.view
    ends = _run_ends(block[view.entity])
    entity = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    kind = block[KIND].to_numpy()
    rows = _members(block, np.flatnonzero(kind == MEMBER), entity, len(ends), part)
    version = pa.array(rows.version)
    found = {
        view.entity: _column(block, view.entity).take(version),
        "feature_date": pa.array(rows.day.astype(np.int32)).cast(pa.date32()),
    }
    numbers: dict[str, Numbers] = {}
    for number, group in enumerate(view.groups, start=1):
        tiles = block.filter(pa.array(kind == number))
        at = entity[kind == number]
        stale = np.isin(rows.day, [day_number(day) for day in part.carried.get(group.table, ())])
        for feature in group.features:
            over = _counts(feature, tiles, at, len(ends), part.span)
            own = _numbers(feature, tiles, over, rows, part)
            numbers[feature.name] = replace(own, known=own.known & ~stale)
    for of_others in view.derived_in_turn:
        numbers[of_others.name] = derived(of_others, numbers)
    found |= {each.name: cells(numbers[each.name], each) for each in view.features}
    found |= {name: _column(block, name).take(version) for name in view.attributes}
    found["stale_sources"] = _stale_sources(rows, part)
    found["pipeline_version"] = pa.repeat(view.pipeline_version, len(rows.day))
    return pa.RecordBatch.from_pydict({name: found[name] for name in view.columns})


def _members(block: pa.Table, records: Integers, entity: Integers, entities: int, part: Slice) -> _Rows:
    """Which entities have a row on which of the wanted dates, and by which version of their membership."""
    chosen = block.take(pa.array(records))
    lives = intervals(entity[records], _days(chosen, FROM), _days(chosen, UNTIL), entities=entities, span=part.span)
    # Versions of an entity do not overlap, so their sum is the number of the one that is valid.
    grid = state("add", np.arange(1, len(records) + 1), lives)
    wanted = np.zeros(part.span.days, np.bool_)
    wanted[[day_number(day) - part.span.first for day in part.dates]] = True
    at, column = np.nonzero(grid * wanted)
    return _Rows(at, column, column + part.span.first, records[grid[at, column] - 1])


def _counts(feature: Aggregate, tiles: pa.Table, entity: Integers, entities: int, span: Span) -> Intervals:
    """The dates on which each tile counts for a feature."""
    happened = _days(tiles, FROM)
    end = np.full_like(happened, NEVER) if feature.window_days is None else happened + feature.window_days
    begin = np.maximum(happened, _days(tiles, UNTIL)) if feature.available else happened
    return intervals(entity, begin, end, entities=entities, span=span)


def _numbers(feature: Aggregate, tiles: pa.Table, over: Intervals, rows: _Rows, part: Slice) -> Numbers:
    op, places = operation(feature.op), state_places(part.view)
    states = {
        each.name: state(each.monoid, _values(tiles, places[feature.name, each.name], each.monoid), over)[
            rows.entity, rows.column
        ]
        for each in op.states
    }
    return op.finalize(states, rows.day, part.scales[feature.name])


def _stale_sources(rows: _Rows, part: Slice) -> pa.Array:
    """Per row, the sources whose values are carried to its date, sorted."""
    named = {
        day_number(day): sorted(part.sources[table] for table, days in part.carried.items() if day in days)
        for day in part.dates
    }
    by_column = [named.get(part.span.first + column, []) for column in range(part.span.days)]
    return pa.array(by_column, pa.list_(pa.string())).take(pa.array(rows.column))


def _run_ends(column: pa.ChunkedArray) -> Integers:
    """Where each entity's records end."""
    ends: Integers = pc.run_end_encode(column.combine_chunks()).run_ends.to_numpy().astype(np.int64)
    return ends


def _column(table: pa.Table, name: str) -> pa.Array:
    return table[name].combine_chunks()


def _days(table: pa.Table, name: str) -> Integers:
    days: Integers = pc.fill_null(table[name], NEVER).to_numpy()
    return days


def _values(table: pa.Table, name: str, monoid: Monoid) -> Integers:
    column = table[name]
    return filled(monoid, pc.fill_null(column, 0).to_numpy(), pc.is_valid(column).to_numpy())
