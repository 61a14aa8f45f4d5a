"""Reading some files of a table without asking Spark's Delta which there are.

Spark finds a table's files by jobs of its own, which take longer than to read a few. Those of a plain table, neither
with deletion vectors nor with columns by other names, are what its log lists, so Spark can be told; and where there is
little to read at all, every worker reads it by itself and keeps what is of its own bucket.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset
from deltalake import DeltaTable as TableLog
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from headwater.features.buckets import bucket_of
from headwater.features.increment import tile_records
from headwater.tables.delta import read_at
from headwater.tables.parquet import open_store

# Above it, Spark lists what it is told by a job as well.
_FEW = 32
_PLAIN = 1


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a log says of a file.

    Attributes:
        path: below the table.
        rows: how many.
        partition: values by column.
        least: by column that has statistics.
        greatest: likewise.
    """

    path: str
    rows: int
    partition: Mapping[str, Any]
    least: Mapping[str, Any]
    greatest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TileFiles:
    """Reads stored tiles, in a worker.

    Attributes:
        location: of the log, absolute.
        entity: the column, of whatever it is named.
        buckets: how many there are.
        columns: of the files.
        paths: by number of the tiles.
        wanted: likewise, which of their rows matter.
    """

    location: str
    entity: str
    buckets: int
    columns: pa.Schema
    paths: Mapping[int, Sequence[str]]
    wanted: Mapping[int, pc.Expression]

    def __call__(self, bucket: int) -> pa.Table:
        """The tiles of a bucket's entities that matter, as records of the engine."""
        store, root = open_store(self.location)
        found = [tile_records(self.columns.empty_table(), 0)]
        for number, paths in self.paths.items():
            files = [f"{root}/{path}" for path in paths]
            dataset = pa_dataset.dataset(files, schema=self.columns, format="parquet", filesystem=store)
            rows = dataset.to_table(filter=self.wanted[number], use_threads=False).combine_chunks()
            ours = bucket_of(rows[self.entity].combine_chunks(), self.buckets) == bucket
            found.append(tile_records(rows.filter(pa.array(ours)), number))
        return pa.concat_tables(found)


def is_plain(log: TableLog) -> bool:
    """Whether the rows of a table are those of its files."""
    return int(log.protocol().min_reader_version) <= _PLAIN


def is_few(paths: Collection[object]) -> bool:
    """Whether Spark is quicker when it is told which files to read."""
    return 0 < len(paths) <= _FEW


def list_files(location: str, at: int) -> list[FileFacts] | None:
    """The files of a version of a table; None when there is more to its rows than those. Needs no session."""
    log = TableLog(location, version=at)
    return _files(log) if is_plain(log) else None


def read_files(spark: SparkSession, location: str, at: int, among: Sequence[FileFacts] | None) -> DataFrame:
    """Read a version of a table.

    Args:
        spark: session.
        location: of the table.
        at: version.
        among: files; of others, which may be left out, nothing is wanted. None: not known.
    """
    if among is None or not is_few(among):
        return read_at(spark, location, at)
    schema = T.StructType.fromJson(json.loads(TableLog(location, version=at).schema().to_json()))
    paths = [f"{location}/{each.path}" for each in among]
    return spark.read.schema(schema).option("basePath", location).parquet(*paths).select(*schema.names)


def _files(log: TableLog) -> list[FileFacts]:
    found = pa.table(log.get_add_actions(flatten=True)).to_pylist()
    kinds = ("partition", "min", "max")
    return [FileFacts(each["path"], each["num_records"], *(_told(each, kind) for kind in kinds)) for each in found]


def _told(file: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What is said of each column: `min.x` is said of x."""
    return {name.removeprefix(f"{kind}."): value for name, value in file.items() if name.startswith(f"{kind}.")}
