"""Delta tables: read at a version, write exactly once, prove that it happened.

Every write of rows carries a `Batch`: the Delta app transaction (stream, n), which makes a repeated write a no-op, and
the batch id in the commit's metadata, by which `prove` finds the commit. Delta skips a transaction version that is not
greater than the last one without a word, so a write counts only once its commit has been found.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import accumulate
from threading import Lock
from typing import Any

import pyarrow as pa
from delta.exceptions import ConcurrentWriteException, MetadataChangedException, ProtocolChangedException
from deltalake import DeltaTable as TableLog
from deltalake.exceptions import TableNotFoundError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.base import JsonValue
from headwater.errors import Unproven
from headwater.tables.logs import log_of

_RECENT = 20
# Steps that run side by side may need the same dimension to exist.
_CREATION = Lock()


@dataclass(frozen=True, slots=True)
class Batch:
    """The identity that a write carries, and what is to be known about it.

    Attributes:
        stream: app id of the Delta transaction.
        n: its version, the number of the batch in its stream.
        facts: JSON values kept in the commit's metadata, for whoever finishes the batch after a crash.
    """

    stream: str
    n: int
    facts: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What the commit's metadata is found by."""
        return f"{self.stream}#{self.n}"

    @property
    def metadata(self) -> str:
        """What the commit's metadata is."""
        return json.dumps({"batch": self.id, **self.facts}, sort_keys=True)

    def with_facts(self, facts: Mapping[str, JsonValue]) -> "Batch":
        """The same batch, saying more about itself."""
        return replace(self, facts=facts)


@dataclass(frozen=True, slots=True)
class Written:
    """A commit that carries a batch."""

    version: int
    facts: Mapping[str, JsonValue]
    rows: int


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a table is created with."""

    location: str
    schema: T.StructType
    partition_by: tuple[str, ...] = ()
    generated: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None


def ensure_table(spark: SparkSession, spec: TableSpec) -> None:
    """Create the table when it does not exist; leave it alone when it does, or when another process is first."""
    with _CREATION:
        if not exists(spec.location):
            _create(spark, spec)


def _create(spark: SparkSession, spec: TableSpec) -> None:
    """Create a table by writing no rows to it.

    Not by `DeltaTable.create`: that finds no table and yet a folder, and fails for ever, where a process was killed
    between making the folder and its first commit.
    """
    generated = spec.generated or {}
    columns = [
        F.lit(None).cast(column.dataType).alias(column.name, metadata=_generation(generated.get(column.name)))
        for column in spec.schema.fields
    ]
    writer = spark.range(0, numPartitions=1).select(columns).write.format("delta").options(**(spec.properties or {}))
    try:
        writer.partitionBy(*spec.partition_by).mode("ignore").save(spec.location)
    except (AnalysisException, ConcurrentWriteException, MetadataChangedException, ProtocolChangedException):
        if not exists(spec.location):
            raise


def _generation(expression: str | None) -> dict[str, str]:
    # The key of the Delta protocol (Generated Columns); it takes effect on the table's first commit only.
    return {"delta.generationExpression": expression} if expression else {}


def exists(location: str) -> bool:
    """Whether there is a Delta table; needs no session."""
    return version(location) is not None


def version(location: str) -> int | None:
    """Latest version of a table, None when there is none; needs no session."""
    try:
        return log_of(location).version()
    except TableNotFoundError:
        return None


def schema_of(location: str, at: int | None = None) -> T.StructType:
    """The columns of a table that exists, at a version or now; needs no session."""
    return T.StructType.fromJson(json.loads(log_of(location, at).schema().to_json()))


def record_count(location: str, *, at: int | None = None, known: str | None = None) -> int:
    """How many rows a table has by the statistics of its files; needs no session and reads no data.

    Args:
        location: of the table.
        at: its version; None for the latest.
        known: a column that has statistics: only rows with a value in it are counted.
    """
    files = pa.table(log_of(location, at).get_add_actions(flatten=True))
    rows = sum(count or 0 for count in files["num_records"].to_pylist())
    return rows - sum(count or 0 for count in files[f"null_count.{known}"].to_pylist()) if known and rows else rows


def size_in_bytes(location: str) -> int:
    """Bytes of a table's files, 0 when there is no table; needs no session and reads no data."""
    try:
        return sum(pa.table(log_of(location).get_add_actions(flatten=True))["size_bytes"].to_pylist())
    except TableNotFoundError:
        return 0


def files_by(location: str, partition: str) -> dict[str, int]:
    """How many files a table has per value of a partition column; needs no session and reads no data."""
    try:
        files = pa.table(log_of(location).get_add_actions(flatten=True))
    except TableNotFoundError:
        return {}
    return dict(Counter(str(value) for value in files[f"partition.{partition}"].to_pylist()))


def last_transaction(location: str, stream: str) -> int | None:
    """The last batch number that a table holds of a stream; needs no session."""
    try:
        return log_of(location).transaction_version(stream)
    except TableNotFoundError:
        return None


def read_at(spark: SparkSession, location: str, at: int) -> DataFrame:
    """The table as it was at a version."""
    return spark.read.format("delta").option("versionAsOf", at).load(location)


def read_changes(spark: SparkSession, location: str, upto: int, *, after: int = -1) -> DataFrame:
    """The table's change data feed of the versions after one, up to another; needs the feed to be on since then.

    Returns:
        The table's columns, `_change_type`, `_commit_version` and `_commit_timestamp`; one row per row image.
    """
    feed = spark.read.format("delta").option("readChangeFeed", "true")
    return feed.option("startingVersion", after + 1).option("endingVersion", upto).load(location)


def commit_times(location: str, upto: int) -> tuple[datetime, ...]:
    """When each version from 0 on was committed, by what its writer noted, and never before the one in front of it.

    Returns:
        One instant per version up to `upto`; fewer, when the log's first commits have been cleaned away. Needs no
        session.
    """
    noted = {int(commit["version"]): int(commit["timestamp"]) for commit in _history(location)}
    known = (noted[at] for at in range(upto + 1) if at in noted)
    return tuple(datetime.fromtimestamp(millis / 1000, UTC) for millis in accumulate(known, max))


def _history(location: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Commits of a table, newest first.

    delta-rs lists what there is by now, and counts down from the version that its handle was opened at: what has come
    since would be taken for that one.
    """
    log = TableLog(location)
    while True:
        at, commits = log.version(), log.history(limit)
        log.update_incremental()
        if log.version() == at:
            return commits


def columns_at(location: str, at: int) -> pa.Schema:
    """The table's columns at a version; needs no session."""
    return pa.schema(log_of(location, at).schema().to_arrow())


def append_once(frame: DataFrame, location: str, batch: Batch) -> Written:
    """Append a batch, whose columns may be new to the table; returns the commit that holds it."""
    _writer(frame, batch).mode("append").option("mergeSchema", "true").save(location)
    return prove(location, batch)


def replace_dates_once(frame: DataFrame, location: str, column: str, dates: Iterable[date], batch: Batch) -> Written:
    """Replace all rows of some dates; returns the commit that holds them."""
    listed = ", ".join(f"date'{day.isoformat()}'" for day in sorted(dates))
    where = f"{column} in ({listed})"
    _writer(frame, batch).mode("overwrite").option("mergeSchema", "true").option("replaceWhere", where).save(location)
    return prove(location, batch)


def overwrite_once(frame: DataFrame, location: str, batch: Batch) -> Written:
    """Replace a whole table, its columns too; returns the commit that holds it."""
    _writer(frame, batch).mode("overwrite").option("overwriteSchema", "true").save(location)
    return prove(location, batch)


def find(location: str, batch: Batch) -> Written | None:
    """The commit that carries a batch, newest first; None when there is none. Needs no session."""
    if (last_transaction(location, batch.stream) or 0) < batch.n:
        return None
    # Most often it is among the last few, and a year of commits need not be read.
    for limit in (_RECENT, None):
        for commit in _history(location, limit):
            carried = commit.get("userMetadata") or ""
            if batch.id in carried and (facts := json.loads(carried))["batch"] == batch.id:
                rows = int(commit.get("operationMetrics", {}).get("numOutputRows", 0))
                return Written(version=int(commit["version"]), facts=facts, rows=rows)
    return None


def prove(location: str, batch: Batch) -> Written:
    """Find the commit that carries a batch.

    Raises:
        Unproven: there is none, although the write reported success.
    """
    written = find(location, batch)
    if written is None:
        raise Unproven(
            "commit_not_found",
            f"The write of {batch.id} to {location} returned, but no commit there carries it.",
            remedy="Nothing was recorded as done. Run the job again; if it repeats, the ledger and the table disagree.",
            facts={"location": location, "stream": batch.stream, "n": batch.n},
        )
    return written


def _writer(frame: DataFrame, batch: Batch) -> DataFrameWriter:
    options = {"txnAppId": batch.stream, "txnVersion": str(batch.n), "userMetadata": batch.metadata}
    return frame.write.format("delta").options(**options)
