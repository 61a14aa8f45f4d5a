"""From a stream of records, one entity's after another's, to blocks of entities that a grid can hold.

    Arrow batches, each entity's records together ─┐
    checkpoint of the bucket, in order of entity ──┼──merged by entity──> block: K entities, n records
    stored tiles that the worker has read ─────────┘

A block is as large as its grids may be, and no entity is split. In a block records are in any order: each says which
entity is its own, and so does each row of the checkpoint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.features.kernel import Integers
from headwater.features.runs import begins, whole_runs

_RECORDS = 1 << 17


@dataclass(frozen=True, slots=True)
class Known:
    """What a checkpoint has of a block's entities.

    Attributes:
        rows: one per entity that it has.
        entity: per row, its entity's place in the block; in order.
    """

    rows: pa.Table
    entity: Integers


@dataclass(frozen=True, slots=True)
class Block:
    """Some entities and all that there is of each.

    Attributes:
        records: of every kind.
        entity: per record, its entity's place in `names`.
        names: the entities, in order.
        checkpoint: None: there is none.
    """

    records: pa.Table
    entity: Integers
    names: pa.Array
    checkpoint: Known | None = None

    @property
    def entities(self) -> int:
        """How many there are."""
        return len(self.names)

    def column(self, name: str) -> pa.Array:
        """Values of the records, and after them of the checkpoint's rows."""
        tables = [self.records, self.checkpoint.rows] if self.checkpoint else [self.records]
        return pa.chunked_array([chunk for table in tables for chunk in table[name].chunks]).combine_chunks()


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
    """Records, and the checkpoint's rows beside them.

    Raises:
        ValueError: the checkpoint is not in order of entity: its rows would be taken for others'.
    """
    own, known = stream[entity].combine_chunks().dictionary_encode(), rows[entity].combine_chunks()
    # Of a day the stream has few entities, and it is they who are looked for among the many.
    found = pc.index_in(known, value_set=own.dictionary)
    at = np.full(len(own.dictionary), len(known))
    at[found.drop_null().to_numpy()] = np.flatnonzero(found.is_valid())
    is_new = at == len(known)
    new = own.dictionary.filter(pa.array(is_new))
    at[is_new] += np.arange(len(new))
    # The checkpoint is in order, so only who is new has to be put in between.
    names = pa.concat_arrays([known, new])
    order = pc.sort_indices(names).to_numpy() if len(new) else np.arange(len(names))
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    if (np.diff(place[: len(known)]) <= 0).any():
        raise ValueError(f"the checkpoint is not in order of {entity}")
    in_order = names.take(pa.array(order)) if len(new) else names
    return Block(stream, place[at[own.indices.to_numpy()]], in_order, Known(rows, place[: len(known)]))


def _cut(block: Block, entities: int) -> Iterator[Block]:
    if block.entities <= entities:
        yield block
        return
    records, entity, known = block.records, block.entity, block.checkpoint
    if (np.diff(entity) < 0).any():
        order = np.argsort(entity, kind="stable")
        records, entity = records.take(pa.array(order)), entity[order]
    for first in range(0, block.entities, entities):
        ends = (first, first + entities)
        begin, end = np.searchsorted(entity, ends)
        part = Block(records.slice(begin, end - begin), entity[begin:end] - first, block.names.slice(first, entities))
        if known is not None:
            low, high = np.searchsorted(known.entity, ends)
            part = replace(part, checkpoint=Known(known.rows.slice(low, high - low), known.entity[low:high] - first))
        yield part
