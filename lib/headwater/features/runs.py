"""Runs of rows that belong together: where they begin, and a stream of rows cut between them."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.features.kernel import Flags


def begins(columns: Sequence[pa.ChunkedArray | pa.Array]) -> Flags:
    """Whether each row differs from the one before it in any of some columns, in none of which is a null."""
    rows = len(columns[0])
    found = np.zeros(rows, np.bool_)
    found[:1] = True
    for each in columns:
        column = each.combine_chunks() if isinstance(each, pa.ChunkedArray) else each
        found[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return found


def whole_runs(batches: Iterable[pa.RecordBatch], rows: int, starts: Callable[[pa.Table], Flags]) -> Iterator[pa.Table]:
    """Gather batches to tables of so many rows or more, and cut no run; one that is longer is a table by itself.

    Args:
        batches: of one schema.
        rows: how many are gathered at least, but for the last table.
        starts: where runs begin in a table; its first row begins one.
    """
    gathered: list[pa.RecordBatch] = []
    count, wanted = 0, rows
    for batch in batches:
        gathered.append(batch)
        count += batch.num_rows
        if count < wanted:
            continue
        table = pa.Table.from_batches(gathered).combine_chunks()
        # The last run may go on in the next batch.
        end = int(np.flatnonzero(starts(table))[-1])
        if end:
            yield table.slice(0, end)
        gathered, count = table.slice(end).to_batches(), count - end
        wanted = max(rows, 2 * count)
    if count:
        yield pa.Table.from_batches(gathered).combine_chunks()
