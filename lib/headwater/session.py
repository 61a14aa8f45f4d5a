"""The only place that builds a SparkSession: one set of semantics, whatever the machine.

ANSI on, UTC everywhere and a corrected time parser are part of what features mean; they are set here and may not be
overridden by an environment. The rest (master, memory, shuffle partitions) belongs to the environment.
"""

import os
import sys
from collections.abc import Mapping

from pyspark.sql import SparkSession

from headwater.config.project import SparkSettings

_DELTA = "io.delta.sql.DeltaSparkSessionExtension"
_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_UTC = "-Duser.timezone=UTC"

SEMANTICS: Mapping[str, str] = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.csv.parser.columnPruning.enabled": "false",
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
        **spark.settings,
        **SEMANTICS,
    }
    for key in ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"):
        launch[key] = f"{spark.settings.get(key, '')} {_UTC}".strip()
    for key, value in launch.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def sibling_session(session: SparkSession, spark: SparkSettings) -> SparkSession:
    """A session of the same application with settings of its own, for a thread that works beside others.

    A session that was given to this process has its settings from nobody knows where; ours are set again.
    """
    sibling = session.newSession()
    for key, value in {**spark.settings, **SEMANTICS}.items():
        if sibling.conf.isModifiable(key):
            sibling.conf.set(key, value)
    return sibling
