"""From a stream of records, one entity's after another's, to blocks of entities that a grid can hold.

    Arrow batches, each entity's records together ─┐
    checkpoint of the bucket, in order of entity ──┼──merged by entity──> block: K entities, n records
    stored tiles that the worker has read ─────────┘

A block is as large as its grids may be, and no entity is split. In a block records are in any order: each says which
entity is its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.features.kernel import Integers
from headwater.features.runs import begins, whole_runs
from headwater.features.tilesets import CHECKPOINT, KIND

_RECORDS = 1 << 17


@dataclass(frozen=True, slots=True)
class Block:
    """Some entities and all records of each.

    Attributes:
        records: of every kind.
        entity: per record, its entity's place in `names`.
        names: the entities, in order.
    """

    records: pa.Table
    entity: Integers
    names: pa.Array

    @property
    def entities(self) -> int:
        """How many there are."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a worker has of its bucket beside the stream.

    Attributes:
        checkpoint: a row per entity, in order of entity.
        tiles: records in any order; None: the stream has them, and is in order of entity too.
        stream: the stream's columns; None: it names all entities that matter, and what there is of others is left out.
    """

    checkpoint: pa.Table
    tiles: pa.Table | None
    stream: pa.Schema | None


def blocks(
    batches: Iterable[pa.RecordBatch], entity: str, entities: int, bucket: Bucket | None = None, records: int = _RECORDS
) -> Iterator[Block]:
    """Cut the stream, and what is beside it, between entities.

    Args:
        batches: an entity's records stand together.
        entity: the column that names it.
        entities: how many a block may have at most.
        bucket: what is not in the stream.
        records: how many are gathered before they are cut; more belong to a block only when one entity has them.
    """
    found: Iterable[Block]
    if bucket is None:
        found = (_of_stream(table, entity) for table in _gathered(batches, entity, records))
    elif bucket.tiles is None:
        found = _with_checkpoint(_gathered(batches, entity, records), entity, bucket)
    else:
        # Few, for they are only what has changed; all of them at a time.
        stream = pa.Table.from_batches(batches, bucket.stream)
        both = pa.concat_tables([stream, bucket.tiles], promote_options="default")
        found = [_merged(both.combine_chunks(), bucket.checkpoint, entity)]
    for block in found:
        if block.entities:
            yield from _cut(block, entities)


def _gathered(batches: Iterable[pa.RecordBatch], entity: str, records: int) -> Iterator[pa.Table]:
    """Tables of so many records or more, and of whole entities."""
    return whole_runs(batches, records, lambda table: begins([table[entity]]))


def _of_stream(records: pa.Table, entity: str) -> Block:
    """Records of the stream alone."""
    column = records[entity].combine_chunks()
    first = begins([column])
    return Block(records, np.cumsum(first) - 1, column.filter(pa.array(first)))


def _with_checkpoint(stream: Iterable[pa.Table], entity: str, bucket: Bucket) -> Iterator[Block]:
    """Of the checkpoint, to each table of the stream the entities up to its last one."""
    left = bucket.checkpoint
    for table in stream:
        passed = int(pc.sum(pc.less_equal(left[entity], table[entity][-1])).as_py() or 0)
        rows = left.slice(0, passed)
        if bucket.stream is None:
            rows = rows.filter(pc.is_in(rows[entity], value_set=table[entity]))
        yield _merged(table, rows, entity)
        left = left.slice(passed)
    if bucket.stream is not None:
        yield _merged(bucket.stream.empty_table(), left, entity)


def _merged(stream: pa.Table, rows: pa.Table, entity: str) -> Block:
    """Records, and a row of the checkpoint for each entity that has one."""
    own, known = stream[entity].combine_chunks(), rows[entity].combine_chunks()
    found = pc.index_in(own, value_set=known)
    is_new = pc.is_null(found)
    new = own.filter(is_new).unique()
    # The checkpoint is in order, so only who is new has to be put in between.
    names = pa.concat_arrays([known, new])
    order = pc.sort_indices(names).to_numpy() if len(new) else np.arange(len(names))
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    at = pc.fill_null(found, 0).to_numpy().astype(np.int64)
    at[is_new.to_numpy(zero_copy_only=False)] = len(known) + pc.index_in(own.filter(is_new), value_set=new).to_numpy()
    of_checkpoint = rows.append_column(KIND, pa.array(np.full(len(rows), CHECKPOINT, np.int32)))
    records = pa.concat_tables([stream, of_checkpoint], promote_options="default").combine_chunks()
    in_order = names.take(pa.array(order)) if len(new) else names
    return Block(records, np.concatenate([place[at], place[: len(known)]]), in_order)


def _cut(block: Block, entities: int) -> Iterator[Block]:
    if block.entities <= entities:
        yield block
        return
    records, entity = block.records, block.entity
    if (np.diff(entity) < 0).any():
        order = np.argsort(entity, kind="stable")
        records, entity = records.take(pa.array(order)), entity[order]
    for first in range(0, block.entities, entities):
        begin, end = np.searchsorted(entity, (first, first + entities))
        part = records.slice(begin, end - begin)
        yield Block(part, entity[begin:end] - first, block.names.slice(first, entities))
