"""What a date costs without an engine: `naive_day.sql`, one job a date, in Spark and in DuckDB."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
from pyspark.sql import DataFrame, SparkSession
from tests.bench.meter import timed

NAIVE = (Path(__file__).parent / "naive_day.sql").read_text()


def naive_day(day: date, days_between: str) -> str:
    """The query of a date."""
    back = {"week": 6, "month": 29, "quarter": 89, "day": 0, "tomorrow": -1}
    literals = {name: f"DATE '{day - timedelta(days=count)}'" for name, count in back.items()}
    return NAIVE.format(**literals, days=days_between)


def naive_spark(
    spark: SparkSession, tables: Mapping[str, DataFrame], dates: Sequence[date], folder: Path
) -> list[float]:
    """Seconds of each date, a job of its own in a warm session; the first is not counted."""
    for name, frame in tables.items():
        frame.createOrReplaceTempView(name)

    def one(day: date) -> None:
        query = naive_day(day, "datediff(resolved_date, created_date)")
        spark.sql(query).write.format("delta").mode("append").save(str(folder / "naive"))

    one(dates[0])
    return [timed(lambda day=day: one(day)) for day in dates]


def naive_duckdb(tables: Mapping[str, DataFrame], dates: Sequence[date], folder: Path) -> list[float]:
    """Seconds of each date in DuckDB, on as many threads and on the same files."""
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
