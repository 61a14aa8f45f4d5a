"""The only place that builds a SparkSession: one set of semantics, whatever the machine.

ANSI on, UTC everywhere and a corrected time parser are part of what features mean; they are set here and may not be
overridden by an environment. The rest (master, memory, shuffle partitions) belongs to the environment.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from pyspark import inheritable_thread_target
from pyspark.sql import SparkSession

from headwater.config.project import SparkSettings

_DELTA = "io.delta.sql.DeltaSparkSessionExtension"
_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_UTC = "-Duser.timezone=UTC"

Result = TypeVar("Result")

SEMANTICS: Mapping[str, str] = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    # Spark's own default is a form without a zone, which the Parquet standard has given up.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.databricks.delta.write.txnVersion.autoReset.enabled": "true",
}


def open_session(name: str, spark: SparkSettings, jars: str = "") -> tuple[SparkSession, bool]:
    """Give the session of this process, and whether this call made it.

    A notebook or a cluster hands a session to whoever runs in it; such a one is used, and never stopped by us.
    """
    given = SparkSession.getActiveSession() is not None
    return build_session(name, spark, jars), not given


def build_session(name: str, spark: SparkSettings, jars: str = "") -> SparkSession:
    """Build, or under spark-submit complete, the session of this process.

    Args:
        name: application name.
        spark: master and settings of the environment.
        jars: comma-separated jar files, for a process that spark-submit did not start.
    """
    for variable in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        os.environ.setdefault(variable, sys.executable)
    builder = SparkSession.builder.appName(name)
    if spark.master:
        builder = builder.master(spark.master)
    if jars:
        builder = builder.config("spark.jars", jars)
    launch = {
        "spark.sql.extensions": _DELTA,
        "spark.sql.catalog.spark_catalog": _CATALOG,
        "spark.ui.enabled": "false",
        # A broadcast may wait behind the scans of the steps beside it.
        "spark.sql.broadcastTimeout": "3600",
        # A fifth smaller than Spark's default, and as quick.
        "spark.sql.parquet.compression.codec": "zstd",
        # A run has some hundreds of generated classes; those that Spark forgets it compiles, and warms up, once more.
        "spark.sql.codegen.cache.maxEntries": "500",
        # Rows come in order of month and entity, which the writer cannot know: a file open per month, no further sort.
        "spark.sql.maxConcurrentOutputFileWriters": "64",
        **spark.settings,
        **SEMANTICS,
    }
    for key in ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"):
        launch[key] = f"{spark.settings.get(key, '')} {_UTC}".strip()
    for key, value in launch.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def in_own_session(session: SparkSession, work: Callable[[SparkSession], Result]) -> Callable[[], Result]:
    """Wrap work for a thread that runs beside others: it gets a sibling session with the same settings.

    The sibling is made active in the thread, for an expression takes ANSI or not from there when it is built; MERGE
    takes its transaction from there as well. What identifies the run to a cluster (job group, pool) goes along.
    """
    sibling = SparkSession(session.sparkContext, session._jsparkSession.cloneSession())  # noqa: SLF001 -- no public way

    def in_thread() -> Result:
        sibling._jvm.SparkSession.setActiveSession(sibling._jsparkSession)  # type: ignore[union-attr] # noqa: SLF001
        return work(sibling)

    return inheritable_thread_target(in_thread)


@contextmanager
def active_session_kept() -> Iterator[None]:
    """Give a notebook its own active session back: PySpark keeps one for all threads and lets the last one win."""
    before = SparkSession._activeSession  # noqa: SLF001 -- no public way
    try:
        yield
    finally:
        SparkSession._activeSession = before  # noqa: SLF001
