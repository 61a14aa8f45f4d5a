"""What it costs when one customer has three events of ten."""

from dataclasses import replace
from pathlib import Path

from pyspark.sql import SparkSession
from tests.bench.bench_backfill import size  # noqa: F401 -- a fixture
from tests.bench.meter import Cost, metered
from tests.bench.world import LAST, Size, silver
from tests.lakes import project_at, runtime_of, say_conformed

from headwater.pipelines.pipeline import run_stage


def test_one_customer_with_many_events(spark: SparkSession, size: Size, tmp_path: Path) -> None:  # noqa: F811
    cost(spark, replace(size, customers=500, days=30), tmp_path / "warm")
    even = cost(spark, size, tmp_path / "even")
    skewed = cost(spark, replace(size, of_one=3), tmp_path / "skewed")
    print(f"\n{size.customers:,} customers, {size.days} dates, tiles and stage")
    print(even.line("events of all alike"))
    print(skewed.line("three of ten are one customer's"))
    print(f"  {skewed.seconds / even.seconds:.2f} x")


def cost(spark: SparkSession, size: Size, lake: Path) -> Cost:  # noqa: F811
    """Of all dates of a world in one batch, from nothing."""
    runtime = runtime_of(project_at(lake, initial_dates=size.days), LAST, spark)
    for table in silver(spark, size, lake / "silver"):
        say_conformed(runtime, table, [])
    with metered(spark) as found:
        run_stage(runtime)
    return found
