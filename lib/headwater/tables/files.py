"""Reading some files of a table without asking Spark's Delta which there are.

Spark finds a table's files by jobs of its own, which take longer than to read a few. Those of a plain table, neither
with deletion vectors nor with columns by other names, are what its log lists, so Spark can be told; or a worker, where
there is little to read at all (`readers`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable as TableLog
from pyspark.sql import DataFrame, SparkSession

from headwater.tables.delta import read_at, schema_of
from headwater.tables.logs import log_of

# Above it, Spark lists what it is told by a job as well.
FEW = 32
_PLAIN = 1


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a log says of a file.

    Attributes:
        path: below the table.
        rows: how many; None where nothing is said.
        partition: values by column.
        least: by column that has statistics, if there is a value.
        greatest: likewise.
        nulls: how many; None where nothing is said of a column.
    """

    path: str
    rows: int | None
    partition: Mapping[str, Any]
    least: Mapping[str, Any]
    greatest: Mapping[str, Any]
    nulls: Mapping[str, int | None]

    def ends_by(self, column: str, day: date) -> bool:
        """Whether no date or instant (in UTC) of a column is after a day, as far as is known."""
        if (greatest := self.greatest.get(column)) is None:
            return self.rows is not None and self.nulls.get(column) == self.rows
        return bool((greatest.date() if isinstance(greatest, datetime) else greatest) <= day)


def is_plain(log: TableLog) -> bool:
    """Whether the rows of a table are those of its files."""
    return int(log.protocol().min_reader_version) <= _PLAIN


def is_few(paths: Collection[object]) -> bool:
    """Whether Spark is quicker when it is told which files to read."""
    return 0 < len(paths) <= FEW


def list_files(
    location: str, at: int, *, most: int | None = None, about: Collection[str] | None = None
) -> list[FileFacts] | None:
    """The files of a version of a table; None when there is more to its rows than those. Needs no session.

    Args:
        location: of the table.
        at: version.
        most: None as well when there are more files than these.
        about: columns, if only what is said of some is asked for.
    """
    log = log_of(location, at)
    if not is_plain(log):
        return None
    found = pa.table(log.get_add_actions(flatten=True))
    return _files(found, about) if most is None or len(found) <= most else None


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
    schema = schema_of(location, at)
    paths = [f"{location}/{each.path}" for each in among]
    return spark.read.schema(schema).option("basePath", location).parquet(*paths).select(*schema.names)


def _files(found: pa.Table, about: Collection[str] | None) -> list[FileFacts]:
    if about is not None:
        kinds = ("partition", "min", "max", "null_count")
        asked = {"path", "num_records", *(f"{kind}.{name}" for kind in kinds for name in about)}
        found = found.select([name for name in found.column_names if name in asked])
    return [
        FileFacts(
            path=each["path"],
            rows=each["num_records"],
            partition=_said(each, "partition"),
            least=_known(_said(each, "min")),
            greatest=_known(_said(each, "max")),
            nulls=_said(each, "null_count"),
        )
        for each in found.to_pylist()
    ]


def _said(file: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What is said of each column: `min.x` is said of x."""
    return {name.removeprefix(f"{kind}."): value for name, value in file.items() if name.startswith(f"{kind}.")}


def _known(bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only other files have a value of."""
    return {name: value for name, value in bounds.items() if value is not None}
