"""Computed rows into a table that holds nothing else, by the shortest way there is.

    records ──Python workers──> Parquet files beside the log, of no table yet
      ──path, size, statistics──> driver ──one Delta commit──> the table is these files

A file counts once it is committed, and names are never used twice: what a failed, repeated or speculative task leaves
behind is nobody's, and VACUUM takes it. Stores that only Spark reaches, and tables that only Spark may write, get the
same rows from Spark's own writer.
"""

from functools import partial
from pathlib import Path
from time import time
from urllib.parse import urlsplit

from deltalake import CommitProperties, Schema, Transaction
from deltalake import DeltaTable as TableLog
from deltalake.transaction import AddAction
from pyspark.sql import Row
from pyspark.sql import types as T

from headwater.features.computed import Computed
from headwater.tables.delta import Batch, Written, overwrite_once, prove
from headwater.tables.workers import FILES, Target, write_rows

# Schemes by which Arrow finds what Spark and delta-rs find.
_REACHED = ("", "s3", "s3a")
# The newest protocol without table features, each of which a file or a commit might have to heed.
_PLAIN = 2
_COUNTED = (T.StringType, T.IntegerType, T.LongType, T.DateType)


def replace_rows_once(computed: Computed, location: str, found_by: tuple[str, ...], batch: Batch) -> Written:
    """Replace a whole table, its columns too; returns the commit that holds the rows.

    Args:
        computed: the rows.
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
        return overwrite_once(computed.rows, location, batch)
    # A worker may be started in another folder.
    absolute = location if scheme else str(Path(location).absolute())
    counted = tuple(name for name in found_by if isinstance(computed.schema[name].dataType, _COUNTED))
    write = partial(write_rows, make=computed.make, target=Target(absolute, computed.schema, counted))
    _commit(log, computed.records.mapInArrow(write, FILES).collect(), computed.schema, batch)
    return prove(location, batch)


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
