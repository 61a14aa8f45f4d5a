"""What one more day costs, from yesterday's checkpoint, beside the naive job of that day; and with half the history."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from pyspark.sql import SparkSession
from tests.bench.bench_backfill import size  # noqa: F401 -- a fixture
from tests.bench.meter import Cost, metered
from tests.bench.naive import naive_spark
from tests.bench.world import LAST, Size, add_day, silver
from tests.lakes import project_at, runtime_of, say_conformed, say_published

from headwater.pipelines.pipeline import run_stage

DAYS = [LAST + timedelta(days=each) for each in range(1, 9)]


def test_one_more_day(spark: SparkSession, size: Size, tmp_path: Path) -> None:  # noqa: F811
    half = typical(days(spark, replace(size, days=size.days // 2), tmp_path / "half"))
    costs = days(spark, size, tmp_path / "whole")
    warm, folder = typical(costs), tmp_path / "whole" / "silver"
    source = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    frames = {each.name: spark.read.format("delta").load(str(each)) for each in folder.iterdir()}
    naive = median(naive_spark(spark, frames, DAYS[:3], tmp_path))
    print(f"\n{size.customers:,} customers, {size.days} days of history, silver of {source / 2**20:,.0f} MB")
    for cost in costs:
        print(cost.line("one more day"))
    print(half.line("one more day, half the history"))
    print(f"  naive, Spark: {naive:.2f} s a day: {naive / warm.seconds:.1f} x; read {warm.read / source:.2%} of silver")
    print(f"  {warm.seconds / half.seconds:.2f} x of the time with half the history")


def days(spark: SparkSession, size: Size, lake: Path) -> list[Cost]:  # noqa: F811
    """Of each of some days after the tiles of all history have been built."""
    project = project_at(lake, initial_dates=1)
    tables = silver(spark, size, lake / "silver")
    runtime = runtime_of(project, LAST, spark)
    for table in tables:
        say_conformed(runtime, table, [])
    with metered(spark) as cost:
        run_stage(runtime)
    print(cost.line("first day, tiles of all history"))
    say_published(runtime)
    return [one_more(spark, lake, day, 3 * size.customers // 1000) for day in DAYS]


def one_more(spark: SparkSession, lake: Path, day: date, rows: int) -> Cost:
    """Silver takes a day up, about so many rows of each table, and it is staged."""
    add_day(spark, lake / "silver", day)
    runtime = runtime_of(project_at(lake, initial_dates=1), day, spark)
    for table in ("customers", "transactions", "user_behavior", "support_tickets"):
        say_conformed(runtime, table, [day], rows=rows)
    with metered(spark) as cost:
        run_stage(runtime)
    say_published(runtime)
    return cost


def typical(costs: list[Cost]) -> Cost:
    """The median of the warm ones."""
    warm = sorted(costs[1:], key=lambda cost: cost.seconds)
    return warm[len(warm) // 2]
