"""Computed rows into tables by the shortest way there is.

    records ──Python workers──> Parquet files beside the log, of no table yet
      ──path, size, statistics──> driver ──one Delta commit a table──> the files are its rows

A file counts once it is committed, and names are never used twice: what a failed, repeated or speculative task leaves
behind is nobody's, and VACUUM takes it. Stores that only Spark reaches, and tables that only Spark may write, get the
same rows from Spark's own writer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from time import time

from deltalake import CommitProperties, Schema, Transaction
from deltalake import DeltaTable as TableLog
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql import DataFrame, Row
from pyspark.sql import types as T

from headwater.features.computed import Computed
from headwater.features.slices import Of
from headwater.tables.delta import Batch, Written, append_once, overwrite_once, prove
from headwater.tables.feed import only_tell
from headwater.tables.parquet import absolute, is_reached
from headwater.tables.workers import FILES, Target, write_rows

# The newest protocol without table features, each of which a file or a commit might have to heed.
_PLAIN = 2
_COUNTED = (T.StringType, T.IntegerType, T.LongType, T.DateType)


@dataclass(frozen=True, slots=True)
class KeptBeside:
    """What a batch keeps beside its rows.

    Attributes:
        table: where, and what it is.
        log: the table as it was before.
        outlived: paths of files that the table no longer needs then; None: it needs none that it had.
    """

    table: Target
    log: TableLog
    outlived: Sequence[str] | None


def replace_rows_once(
    parts: Sequence[Computed], location: str, found_by: tuple[str, ...], batch: Batch, beside: KeptBeside | None = None
) -> Written:
    """Replace a whole table, its columns too; returns the commit that holds the rows.

    Args:
        parts: the rows; a column that a part has not is null there.
        location: of a table that exists.
        found_by: columns that get statistics, where their type has some that are cheap.
        batch: what the commit carries.
        beside: where that goes which parts keep beside their rows, and is before they are; only where workers reach it.
    """
    # Read before the work: the commit is refused if any other has come in between.
    log = TableLog(location)
    if _is_done(log, batch):
        return prove(location, batch)
    if not _takes_files(location, log):
        union = partial(DataFrame.unionByName, allowMissingColumns=True)
        # What a worker makes goes by the number of its partition, which a union counts on from one part to the next.
        frames = [part.rows.localCheckpoint() if len(parts) > 1 else part.rows for part in parts]
        return overwrite_once(reduce(union, frames), location, batch)
    kept: dict[Of, Target] = {"kept": _absolute(beside.table)} if beside else {}
    rows = [
        _absolute(Target(location, part.schema, _counted(part.schema, found_by), in_order=part.in_order))
        for part in parts
    ]
    files = [each for part, target in zip(parts, rows, strict=True) for each in _write(part, {"rows": target, **kept})]
    if beside and not _is_done(beside.log, batch):
        gone = [RemoveAction(path, True, int(time() * 1000)) for path in beside.outlived or ()]  # noqa: FBT003
        mode = "overwrite" if beside.outlived is None else "append"
        _commit(beside.log, [*_added(files, "kept"), *gone], mode, beside.table, batch)
    # Any column may be missing in a part's file, which Spark allows of those only that may be null.
    types = {field.name: field.dataType for part in parts for field in part.schema.fields}
    schema = T.StructType([T.StructField(name, kind) for name, kind in types.items()])
    _commit(log, _added(files, "rows"), "overwrite", Target(location, schema, found_by), batch)
    return prove(location, batch)


def append_rows_once(part: Computed, target: Target, batch: Batch) -> Written:
    """Append to a table that exists; returns the commit that holds the rows."""
    log = TableLog(target.location)
    if _is_done(log, batch):
        return prove(target.location, batch)
    if not _takes_files(target.location, log):
        return append_once(part.rows, target.location, batch)
    _add_columns(log, target.schema)
    files = _write(part, {"rows": _absolute(target)})
    _commit(log, _added(files, "rows"), "append", target, batch)
    return prove(target.location, batch)


def _add_columns(log: TableLog, schema: T.StructType) -> None:
    """Add what columns an append alone would not make known; refused where others have committed since."""
    known = {field.name for field in log.schema().fields}
    if new := [field for field in Schema.from_json(schema.json()).fields if field.name not in known]:
        log.alter.add_columns(new, commit_properties=CommitProperties(max_commit_retries=0))


def _is_done(log: TableLog, batch: Batch) -> bool:
    return (log.transaction_version(batch.stream) or 0) >= batch.n


def _takes_files(location: str, log: TableLog) -> bool:
    return is_reached(location) and log.protocol().min_writer_version <= _PLAIN


def _absolute(target: Target) -> Target:
    return replace(target, location=absolute(target.location))


def _counted(schema: T.StructType, found_by: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each.name for each in schema if each.name in found_by and isinstance(each.dataType, _COUNTED))


def _write(part: Computed, targets: Mapping[Of, Target]) -> list[Row]:
    write = partial(write_rows, make=part.make, targets=targets)
    return part.records.mapInArrow(write, FILES).collect()


def _added(files: Sequence[Row], of: Of) -> list[AddAction]:
    now = int(time() * 1000)
    return [
        AddAction(each["path"], each["size"], each["partition"], now, True, each["statistics"])  # noqa: FBT003
        for each in files
        if each["of"] == of
    ]


def _commit(
    log: TableLog, actions: Sequence[AddAction | RemoveAction], mode: str, target: Target, batch: Batch
) -> None:
    """Commit on a handle; refused where others have changed the table since, but not by what VACUUM tells of itself."""
    added = [each for each in actions if isinstance(each, AddAction)]
    rows, size = sum(json.loads(each.stats)["numRecords"] for each in added), sum(each.size for each in added)
    metrics = {"numFiles": str(len(added)), "numOutputRows": str(rows), "numOutputBytes": str(size)}
    properties = CommitProperties(
        app_transactions=[Transaction(batch.stream, batch.n)],
        custom_metadata={"userMetadata": batch.metadata, "operationMetrics": metrics},
        max_commit_retries=0,
    )
    schema, partition_by = Schema.from_json(target.schema.json()), [*target.partition_by]
    while True:
        try:
            log.create_write_transaction([*actions], mode, schema, partition_by, commit_properties=properties)
        except CommitFailedError:
            now = TableLog(target.location)
            if not only_tell(target.location, now.version(), after=log.version()):
                raise
            log = now
        else:
            return
