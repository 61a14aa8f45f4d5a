"""A table at a path gets a name: in the session's own catalog, and in a Hive metastore of another process."""

import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from headwater.errors import ConfigError
from headwater.tables.catalog import register
from headwater.tables.delta import Batch, TableSpec, append_once, ensure_table

IN_HIVE = """
import sys
from headwater.config.project import SparkSettings
from headwater.session import build_session
from headwater.tables.catalog import register
folder, table, jars = sys.argv[1:]
settings = {
    "spark.sql.catalogImplementation": "hive",
    "spark.sql.warehouse.dir": f"{folder}/warehouse",
    "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/metastore;create=true",
    "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder} -XX:TieredStopAtLevel=1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
spark = build_session("hive", SparkSettings(master="local[1]", settings=settings), jars=jars)
spark.sql("CREATE DATABASE IF NOT EXISTS features")
for _ in range(2):
    register(spark, "features.churn", table)
print("found", spark.sql("SELECT count(*) FROM features.churn").collect()[0][0])
"""


def table_at(spark: SparkSession, place: Path, *ids: str) -> str:
    rows = spark.createDataFrame([(each,) for each in ids], "id string")
    ensure_table(spark, TableSpec(str(place), rows.schema))
    append_once(rows, str(place), Batch("stream", 1))
    return str(place)


def test_a_name_is_given_once_and_points_to_one_place(spark: SparkSession, tmp_path: Path) -> None:
    here = table_at(spark, tmp_path / "it's here", "a", "b")
    elsewhere = table_at(spark, tmp_path / "elsewhere", "c")
    for _ in range(2):
        register(spark, "default.some_features", here)
    try:
        assert spark.table("default.some_features").count() == 2
        with pytest.raises(ConfigError) as raised:
            register(spark, "default.some_features", elsewhere)
        assert raised.value.code == "catalog_name_taken"
        assert "elsewhere" in raised.value.message
    finally:
        spark.sql("DROP TABLE default.some_features")
    assert spark.read.format("delta").load(here).count() == 2


def test_a_schema_that_is_not_there_is_named(spark: SparkSession, tmp_path: Path) -> None:
    here = table_at(spark, tmp_path / "here", "a")
    with pytest.raises(ConfigError) as raised:
        register(spark, "nowhere.some_features", here)
    assert raised.value.code == "catalog_refused"
    assert "nowhere" in raised.value.message


def test_a_hive_metastore_knows_it_too(spark: SparkSession, jars: str, tmp_path: Path) -> None:
    table = table_at(spark, tmp_path / "lake" / "churn", "a", "b", "c")
    command = [sys.executable, "-c", IN_HIVE, str(tmp_path), table, jars]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "found 3" in done.stdout
