"""What a Python worker reads of tables by itself: files that the driver has looked up in their logs.

Nothing here needs a session or a log, for workers would load them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.features.buckets import bucket_of
from headwater.features.increment import Part, tile_records
from headwater.tables.parquet import open_store


@dataclass(frozen=True, slots=True)
class BucketFiles:
    """Reads a bucket of a checkpoint, in a worker.

    Attributes:
        location: of the table.
        schema: of what is read, the entity first.
        paths: by bucket of the files.
        buckets: how many workers there are; with more of them than buckets of files several read the same.
    """

    location: str
    schema: pa.Schema
    paths: tuple[tuple[str, ...], ...]
    buckets: int

    def __call__(self, bucket: int) -> pa.Table:
        """The rows of a bucket, in order of entity."""
        store, root = open_store(self.location)
        paths = self.paths[bucket % len(self.paths)]
        found = [self.schema.empty_table()]
        for path in paths:
            with store.open_input_file(f"{root}/{path}") as opened:
                file = pq.ParquetFile(opened)
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=self.schema.names).cast(self.schema)
                    found.append(self._of(rows, bucket))
        rows = pa.concat_tables(found)
        return rows.sort_by(self.schema.names[0]) if len(paths) > 1 else rows.combine_chunks()

    def _of(self, rows: pa.Table, bucket: int) -> pa.Table:
        """The rows of a bucket."""
        if self.buckets == len(self.paths):
            return rows
        entities = rows[self.schema.names[0]].combine_chunks()
        return rows.filter(pa.array(bucket_of(entities, self.buckets) == bucket))


@dataclass(frozen=True, slots=True)
class TileFiles:
    """Reads stored tiles, in a worker.

    Attributes:
        location: of the log, absolute.
        entity: the column, of whatever it is named.
        buckets: how many there are.
        columns: of the files.
        paths: by number of the tiles.
        parts: likewise, what of them matters.
    """

    location: str
    entity: str
    buckets: int
    columns: pa.Schema
    paths: Mapping[int, Sequence[str]]
    parts: Mapping[int, Sequence[Part]]

    def __call__(self, bucket: int) -> pa.Table:
        """The tiles of a bucket's entities that matter, as records of the engine."""
        store, root = open_store(self.location)
        found = [tile_records(self.columns.empty_table(), 0)]
        for number, paths in self.paths.items():
            wanted = reduce(or_, (part.in_file for part in self.parts[number]))
            for path in paths:
                with store.open_input_file(f"{root}/{path}") as opened:
                    file = pq.ParquetFile(opened)
                    read = file.read_row_groups(self.groups(file.metadata, number), use_threads=False)
                rows = _fitted(read, self.columns).filter(wanted).combine_chunks()
                ours = bucket_of(rows[self.entity].combine_chunks(), self.buckets) == bucket
                found.append(tile_records(rows.filter(pa.array(ours)), number))
        return pa.concat_tables(found)

    def groups(self, file: pq.FileMetaData, number: int) -> list[int]:
        """The row groups of a file that may hold something that matters."""
        bounded = {name for part in self.parts[number] for name in part.ranges}
        columns = [at for at, name in enumerate(file.schema.names) if name in bounded]
        return [group for group in range(file.num_row_groups) if self._matters(file.row_group(group), columns, number)]

    def _matters(self, group: pq.RowGroupMetaData, columns: Sequence[int], number: int) -> bool:
        known = {group.column(at).path_in_schema: group.column(at).statistics for at in columns}
        bounds = {name: each for name, each in known.items() if each is not None and each.has_min_max}
        least, greatest = ({name: getattr(each, end) for name, each in bounds.items()} for end in ("min", "max"))
        return any(part.may_be_in(part.tiles, least, greatest) for part in self.parts[number])


def _fitted(rows: pa.Table, columns: pa.Schema) -> pa.Table:
    """Rows of a file as a table has them now: a file that is older has fewer columns, or has them in another order."""
    there = set(rows.schema.names)
    found = [rows[each.name] if each.name in there else pa.nulls(len(rows), each.type) for each in columns]
    return pa.table(found, columns.names).cast(columns)
