"""From a bucket's records to feature rows, and to what the days after them go on from: a block of entities at a time.

records of the stream (kind 0: membership and attributes, k: tiles of the k-th tile set), a checkpoint's rows
  ──cut between entities──> block: K entities, n records, at most K rows of the checkpoint
  ──membership as intervals──> K x T: of which record, or row of the checkpoint, a row is made, if there is one
  ──evaluate, per tile set──> finished numbers of every feature where there is a row
  ──> rows in order of (entity, date); for each day that is kept, all entities with their states at its end
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.config.features import FeatureView
from headwater.features.algebra import Numbers
from headwater.features.blocks import Block, Bucket, blocks
from headwater.features.buckets import bucket_of, can_be_placed
from headwater.features.cells import cells
from headwater.features.checkpoints import BUCKET, DAY, MEMBER_FROM, STAGE, Resumed
from headwater.features.derived import derived
from headwater.features.evaluate import Rows, evaluate
from headwater.features.kernel import NEVER, Integers, Span, day_number, intervals, state
from headwater.features.records import days, records_of
from headwater.features.tilesets import FROM, KIND, MEMBER, SIGN, UNTIL, TileSet, tile_sets

# What a batch is: of the rows that were asked for, or of what is kept beside them.
Of: TypeAlias = Literal["rows", "kept"]
Made: TypeAlias = Iterator[tuple[Of, pa.RecordBatch]]
# Cells of a grid: of 2 MB, so that a state and its neighbours stay in the cache.
_CELLS = 1 << 18
_WHO, _AT = "_who", "_at"


@dataclass(frozen=True, slots=True)
class Slice:
    """What is computed of a view.

    Attributes:
        view: the definitions.
        dates: the feature dates wanted, sorted.
        scales: per feature, decimal places of the value it reads.
        carried: per table, dates at which its features are left at the values of no match.
        joins: whether who is a member stays one: the population is a fact table, and a member who has an event.
        stored: of tile sets whose tiles come from a log of changes, the number of those by kind.
        resumed: the checkpoint to go on from.
        stream: columns of the stream where entities matter that it says nothing of; None: it names all that do.
        kept: names of a checkpoint's states, and which of them count events.
        kept_on: the days, of those computed, at whose end one is kept.
        stage: number of the batch that keeps them.
    """

    view: FeatureView
    dates: tuple[date, ...]
    scales: Mapping[str, int]
    carried: Mapping[str, tuple[date, ...]]
    joins: bool = False
    stored: Mapping[int, int] = field(default_factory=dict)
    resumed: Resumed | None = None
    stream: pa.Schema | None = None
    kept: Mapping[str, bool] = field(default_factory=dict)
    kept_on: tuple[date, ...] = ()
    stage: int = 0

    @property
    def tile_sets(self) -> tuple[TileSet, ...]:
        """What the view is computed from."""
        return tile_sets(self.view)

    @property
    def span(self) -> Span:
        """From the first date, or the one after the checkpoint, to the last."""
        first = self.resumed.day + 1 if self.resumed else day_number(self.dates[0])
        return Span(first, day_number(self.dates[-1]))

    def columns_of(self, wanted: Iterable[date]) -> Integers:
        """Where in the span some dates are."""
        return np.array([day_number(day) - self.span.first for day in wanted], np.int64)


@dataclass(frozen=True, slots=True)
class _Lives:
    """When the entities of a block are members.

    Attributes:
        record: entities x days, by which record it is one; of a checkpoint's rows, counted on after the records; -1 for
            not at all.
        since: per entity, the first day of those that are known; `NEVER` for none.
    """

    record: Integers
    since: Integers


@dataclass(frozen=True, slots=True)
class _Members:
    """Members by the checkpoint.

    Attributes:
        record: number of the row, as `_Lives` has it.
        entity: its place in the block.
        since: the first day.
    """

    record: Integers
    entity: Integers
    since: Integers


def feature_batches(batches: Iterable[pa.RecordBatch], part: Slice, bucket: int = 0) -> Made:
    """Compute the rows of every entity of a bucket.

    Args:
        batches: entity, `_kind`, `_from` and `_until` (days; null `_until`: never), attributes, and the columns of the
            view's tile sets; beside a checkpoint a row without an entity is nobody's.
        part: what to compute.
        bucket: number of the partition that the batches are of.

    Yields:
        Rows: the view's computed columns in published order, in order of (entity, date). Kept: `kept_schema`, one row
        per day and entity that is a member or has states.
    """
    resumed = part.resumed
    if resumed:
        batches = _of_bucket((_of_somebody(each, part) for each in batches), part.view.entity, bucket, resumed.buckets)
    ours = Bucket(resumed.read(bucket), resumed.tiles and resumed.tiles(bucket), part.stream) if resumed else None
    for block in blocks(batches, part.view.entity, max(1, _CELLS // part.span.days), ours):
        yield from _computed(block, part, bucket)


def _of_somebody(batch: pa.RecordBatch, part: Slice) -> pa.RecordBatch:
    """Without the row that is nobody's; by the planned schema, for Spark may find out that no value is null."""
    planned = pa.RecordBatch.from_arrays(batch.columns, schema=part.stream or batch.schema)
    return planned.filter(pc.is_valid(planned[part.view.entity]))


def _of_bucket(batches: Iterable[pa.RecordBatch], entity: str, bucket: int, buckets: int) -> Iterator[pa.RecordBatch]:
    """Batches, of which the first proves that they are of the bucket: what is read beside them goes by its number.

    Raises:
        ValueError: Spark has put entities in other partitions than by their hash, or has joined some partitions.
    """
    is_proved = False
    for batch in batches:
        if not is_proved and batch.num_rows and can_be_placed(batch[entity].type):
            if (bucket_of(batch[entity], buckets) != bucket).any():
                message = f"partition {bucket} of {buckets} has entities of others: Spark has not shuffled by {entity}"
                raise ValueError(message)
            is_proved = True
        yield batch


def _computed(block: Block, part: Slice, bucket: int) -> Made:
    lives = _lives(block, part)
    rows = _rows(lives, part)
    numbers: dict[str, Numbers] = {}
    kept: dict[str, Integers] = {}
    for tile_set in part.tile_sets:
        records = records_of(block, tile_set, part.stored.get(tile_set.kind), part.resumed)
        evaluated = evaluate(tile_set, records, rows, part.scales)
        found = evaluated.numbers
        kept |= evaluated.kept
        if carried := part.carried.get(tile_set.group.table):
            fresh = ~np.isin(rows.day, [day_number(day) for day in carried])
            found = {name: replace(each, known=each.known & fresh) for name, each in found.items()}
        numbers |= found
    if len(rows.entity):
        yield "rows", _row_batch(block, rows, numbers, part)
    for number, day in enumerate(part.kept_on):
        states = {name: kept[name][:, number] for name in part.kept}
        place = {DAY: day_number(day), STAGE: part.stage, BUCKET: bucket}
        yield "kept", _kept_batch(block, lives, states, place, part)


def _lives(block: Block, part: Slice) -> _Lives:
    """When the entities are members, by the stream and by the checkpoint."""
    record, retold = _net(block, np.flatnonzero(block.records[KIND].to_numpy() == MEMBER), part)
    chosen = block.records.select([FROM, UNTIL]).take(pa.array(record))
    of, begin, end = block.entity[record], days(chosen, FROM), days(chosen, UNTIL)
    was = _members_before(block, part)
    if part.joins:
        record, of, begin = np.append(record, was.record), np.append(of, was.entity), np.append(begin, was.since)
        end = np.append(end, np.full(len(was.record), NEVER))
        order = np.lexsort((begin, of))
        first = order[np.unique(of[order], return_index=True)[1]]
        record, of, begin, end = record[first], of[first], begin[first], end[first]
    # Lives of an entity do not overlap, so their sum is the number of the one that it lives.
    over = intervals(of, begin, end, entities=block.entities, span=part.span)
    lives = np.append(-1, record)[state("add", np.arange(1, len(record) + 1), over)]
    since = np.full(block.entities, NEVER)
    np.minimum.at(since, of, begin)
    return _Lives(lives if part.joins else _as_before(lives, was, retold, block, part), since)


def _members_before(block: Block, part: Slice) -> _Members:
    """Who is a member by the checkpoint, if that says so."""
    if block.checkpoint is None or part.resumed is None or not part.resumed.members:
        nobody = np.zeros(0, np.int64)
        return _Members(nobody, nobody, nobody)
    since = days(block.checkpoint.rows, MEMBER_FROM)
    row = np.flatnonzero(since < NEVER)
    return _Members(len(block.records) + row, block.checkpoint.entity[row], since[row])


def _net(block: Block, lives: Integers, part: Slice) -> tuple[Integers, Integers]:
    """Of lives that came and went the records of those that have come, and of those whose days are told anew."""
    if SIGN not in block.records.column_names or block.records[SIGN].null_count == len(block.records):
        return lives, lives
    chosen = block.records.select([FROM, UNTIL, *part.view.attributes, SIGN]).take(pa.array(lives))
    placed = chosen.append_column(_WHO, pa.array(block.entity[lives])).append_column(_AT, pa.array(lives))
    same = [name for name in placed.column_names if name not in (SIGN, _AT)]
    net = placed.group_by(same).aggregate([(SIGN, "sum"), (_AT, "min")])
    sign, at = net[f"{SIGN}_sum"].to_numpy(), net[f"{_AT}_min"].to_numpy()
    return at[sign > 0], at[sign != 0]


def _as_before(lives: Integers, was: _Members, retold: Integers, block: Block, part: Slice) -> Integers:
    """Let members of the checkpoint be so still, on days of which nothing else is told."""
    if not len(was.record):
        return lives
    chosen = block.records.select([FROM, UNTIL]).take(pa.array(retold))
    over = intervals(
        block.entity[retold], days(chosen, FROM), days(chosen, UNTIL), entities=block.entities, span=part.span
    )
    is_told = state("add", np.ones(len(retold), np.int64), over) > 0
    before = np.full(block.entities, -1)
    before[was.entity] = was.record
    found: Integers = np.where(is_told, lives, before[:, None])
    return found


def _rows(lives: _Lives, part: Slice) -> Rows:
    """The rows that are wanted."""
    wanted = np.zeros(part.span.days, np.bool_)
    wanted[part.columns_of(part.dates)] = True
    found = (lives.record >= 0) & wanted
    entity, column = np.nonzero(found)
    return Rows(found, entity, column, lives.record[found], part.span, part.columns_of(part.kept_on))


def _row_batch(block: Block, rows: Rows, numbers: dict[str, Numbers], part: Slice) -> pa.RecordBatch:
    view = part.view
    for of_others in view.derived_in_turn:
        numbers[of_others.name] = derived(of_others, numbers)
    # A text that is many rows' stays one text: whoever writes or sends it asks for no more.
    who = pa.array(rows.entity.astype(np.int32))
    coded = len(part.dates) > 1
    found = {
        view.entity: pa.DictionaryArray.from_arrays(who, block.names) if coded else block.names.take(who),
        "feature_date": pa.array(rows.day.astype(np.int32)).cast(pa.date32()),
    }
    found |= {each.name: cells(numbers[each.name], each) for each in view.features}
    found |= {name: _coded(block.column(name)).take(pa.array(rows.version)) for name in view.attributes}
    return pa.RecordBatch.from_pydict({name: found[name] for name in view.computed})


def _kept_batch(
    block: Block, lives: _Lives, states: Mapping[str, Integers], place: Mapping[str, int], part: Slice
) -> pa.RecordBatch:
    """What is known of the block's entities at the end of a day."""
    version = lives.record[:, place[DAY] - part.span.first]
    since = lives.since if part.joins else np.where(version >= 0, place[DAY], NEVER)
    has_states = np.any([states[name] for name, counts in part.kept.items() if counts], axis=0)
    who = np.flatnonzero((since < NEVER) | has_states)
    found = {part.view.entity: block.names.take(pa.array(who))}
    attributes = pa.array(version[who], mask=version[who] < 0)
    found |= {name: block.column(name).take(attributes) for name in part.view.attributes}
    found[MEMBER_FROM] = pa.array(since[who], mask=since[who] == NEVER)
    found |= {name: pa.array(each[who].astype(np.int64)) for name, each in states.items()}
    found |= {name: pa.array(np.full(len(who), each, np.int32)) for name, each in place.items()}
    return pa.RecordBatch.from_pydict(found | {DAY: found[DAY].cast(pa.date32())})


def _coded(column: pa.Array) -> pa.Array:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column
