"""Computed rows into a table that holds nothing else, by the shortest way there is.

    records ──Python workers──> Parquet files beside the log, of no table yet
      ──path, size, statistics──> driver ──one Delta commit──> the table is these files

A file counts once it is committed, and names are never used twice: what a failed, repeated or speculative task leaves
behind is nobody's, and VACUUM takes it. Stores that only Spark reaches, and tables that only Spark may write, get the
same rows from Spark's own writer.
"""

from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from time import time
from urllib.parse import urlsplit

from deltalake import CommitProperties, Schema, Transaction
from deltalake import DeltaTable as TableLog
from deltalake.transaction import AddAction
from pyspark.sql import DataFrame, Row
from pyspark.sql import types as T

from headwater.features.computed import Computed
from headwater.tables.delta import Batch, Written, overwrite_once, prove
from headwater.tables.workers import FILES, Target, write_rows

# Schemes by which Arrow finds what Spark and delta-rs find.
_REACHED = ("", "s3", "s3a")
# The newest protocol without table features, each of which a file or a commit might have to heed.
_PLAIN = 2
_COUNTED = (T.StringType, T.IntegerType, T.LongType, T.DateType)


def replace_rows_once(parts: Sequence[Computed], location: str, found_by: tuple[str, ...], batch: Batch) -> Written:
    """Replace a whole table, its columns too; returns the commit that holds the rows.

    Args:
        parts: the rows; a column that a part has not is null there.
        location: of a table that exists.
        found_by: columns that get statistics, where their type has some that are cheap.
        batch: what the commit carries.
    """
    # Read before the work: the commit is refused if any other has come in between.
    log = TableLog(location)
    if (log.transaction_version(batch.stream) or 0) >= batch.n:
        return prove(location, batch)
    scheme = urlsplit(location).scheme
    if scheme not in _REACHED or log.protocol().min_writer_version > _PLAIN:
        union = partial(DataFrame.unionByName, allowMissingColumns=True)
        return overwrite_once(reduce(union, (part.rows for part in parts)), location, batch)
    # A worker may be started in another folder.
    absolute = location if scheme else str(Path(location).absolute())
    files = [each for part in parts for each in _write(part, absolute, found_by)]
    # Any column may be missing in a part's file, which Spark allows of those only that may be null.
    types = {field.name: field.dataType for part in parts for field in part.schema.fields}
    _commit(log, files, T.StructType([T.StructField(name, kind) for name, kind in types.items()]), batch)
    return prove(location, batch)


def _write(part: Computed, location: str, found_by: tuple[str, ...]) -> list[Row]:
    counted = tuple(each.name for each in part.schema if each.name in found_by and isinstance(each.dataType, _COUNTED))
    write = partial(write_rows, make=part.make, target=Target(location, part.schema, counted))
    return part.records.mapInArrow(write, FILES).collect()


def _commit(log: TableLog, files: list[Row], schema: T.StructType, batch: Batch) -> None:
    now = int(time() * 1000)
    rows, size = (str(sum(each[name] for each in files)) for name in ("rows", "size"))
    metrics = {"numFiles": str(len(files)), "numOutputRows": rows, "numOutputBytes": size}
    log.create_write_transaction(
        [AddAction(each["path"], each["size"], {}, now, True, each["statistics"]) for each in files],  # noqa: FBT003
        mode="overwrite",
        schema=Schema.from_json(schema.json()),
        commit_properties=CommitProperties(
            app_transactions=[Transaction(batch.stream, batch.n)],
            custom_metadata={"userMetadata": batch.metadata, "operationMetrics": metrics},
            max_commit_retries=0,
        ),
    )
