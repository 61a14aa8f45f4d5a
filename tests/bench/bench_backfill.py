"""`make bench`: what all dates cost in one pass, beside one naive job a date in Spark and in DuckDB.

Everything is timed in one run on one machine, so the ratios mean something where the seconds do not.
`ARGS="--size base"` is 100,000 customers on 730 dates; the default is small.
"""

import resource
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from time import perf_counter

import duckdb
import pytest
from pyspark.sql import DataFrame, SparkSession
from tests.bench.world import Size, silver

from headwater.config.project import load_project
from headwater.features.windows import feature_rows
from headwater.tables.delta import Batch, ensure_table, replace_dates_once
from headwater.tables.publish import FEATURE_DATE, history_spec

SIZES = {"small": Size(2_000, 120), "middle": Size(20_000, 365), "base": Size(100_000, 730)}
SAMPLED = 10
NAIVE = (Path(__file__).parent / "naive_day.sql").read_text()
CONF = Path(__file__).parents[2] / "conf"


def naive_day(day: date, days_between: str) -> str:
    back = {"week": 6, "month": 29, "quarter": 89, "day": 0, "tomorrow": -1}
    literals = {name: f"DATE '{day - timedelta(days=count)}'" for name, count in back.items()}
    return NAIVE.format(**literals, days=days_between)


def timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    return SIZES[request.config.getoption("--size")]


def test_backfill(spark: SparkSession, size: Size, tmp_path: Path) -> None:
    tables = silver(spark, size, tmp_path / "silver")
    sampled = size.dates[:: max(1, size.days // SAMPLED)][:SAMPLED]
    seconds = {
        "naive, Spark": mean(naive_spark(spark, tables, sampled, tmp_path)) * size.days,
        "naive, DuckDB": mean(naive_duckdb(tmp_path / "silver", tables, sampled, tmp_path)) * size.days,
        "one pass": timed(lambda: one_pass(spark, tables, size, tmp_path / "history")),
    }
    rows = spark.read.format("delta").load(str(tmp_path / "history")).count()
    print(f"\n{size.customers:,} customers, {size.days} dates, {rows:,} rows; {len(sampled)} naive dates sampled")
    for name, spent in seconds.items():
        print(f"  {name:<14} {spent:10.1f} s   {spent / seconds['one pass']:8.1f} x")
    print(f"  peak of this Python process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def naive_spark(
    spark: SparkSession, tables: Mapping[str, DataFrame], dates: tuple[date, ...], folder: Path
) -> list[float]:
    """Each date a job of its own in a warm session; the first is not counted."""
    for name, frame in tables.items():
        frame.createOrReplaceTempView(name)

    def one(day: date) -> None:
        query = naive_day(day, "datediff(resolved_date, created_date)")
        spark.sql(query).write.format("delta").mode("append").save(str(folder / "naive"))

    one(dates[0])
    return [timed(lambda day=day: one(day)) for day in dates]


def naive_duckdb(lake: Path, tables: Mapping[str, DataFrame], dates: tuple[date, ...], folder: Path) -> list[float]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
    for name, frame in tables.items():
        files = [path.removeprefix("file://") for path in frame.inputFiles()]
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files})")

    def one(day: date) -> None:
        query = naive_day(day, "date_diff('day', created_date, resolved_date)")
        connection.execute(f"COPY ({query}) TO '{folder / f'{day}.parquet'}'")

    one(dates[0])
    return [timed(lambda day=day: one(day)) for day in dates]


def one_pass(spark: SparkSession, tables: Mapping[str, DataFrame], size: Size, location: Path) -> None:
    """All dates, into history's layout: partitioned by month, in order of entity."""
    nowhere = {"CRM_USER": "x", "CRM_JDBC_URL": "jdbc:postgresql://127.0.0.1:1/x", "DESK_S3_BUCKET": "x"}
    project = load_project(CONF, "local", nowhere)
    rows = feature_rows(project.view, project.tables, tables, size.dates)
    ensure_table(spark, history_spec(str(location), rows.schema))
    replace_dates_once(rows, str(location), FEATURE_DATE, size.dates, Batch("bench", 1))
