"""What one more day costs, from yesterday's checkpoint, beside the naive job of that day."""

from datetime import timedelta
from pathlib import Path
from statistics import median

from pyspark.sql import SparkSession
from tests.bench.bench_backfill import size  # noqa: F401 -- a fixture
from tests.bench.meter import metered
from tests.bench.naive import naive_spark
from tests.bench.world import LAST, Size, add_day, silver
from tests.lakes import project_at, runtime_of, say_conformed, say_published

from headwater.pipelines.pipeline import run_stage

DAYS = 4


def test_one_more_day(spark: SparkSession, size: Size, tmp_path: Path) -> None:  # noqa: F811
    project = project_at(tmp_path / "lake", initial_dates=1)
    folder = tmp_path / "lake" / "silver"
    tables = silver(spark, size, folder)
    runtime = runtime_of(project, LAST, spark)
    for table in tables:
        say_conformed(runtime, table, [])
    with metered(spark) as first:
        run_stage(runtime)
    say_published(runtime)
    costs = []
    for back in range(DAYS):
        day = LAST + timedelta(days=1 + back)
        add_day(spark, folder, day)
        runtime = runtime_of(project, day, spark)
        for table in ("transactions", "user_behavior", "support_tickets"):
            say_conformed(runtime, table, [day])
        with metered(spark) as cost:
            run_stage(runtime)
        say_published(runtime)
        costs.append(cost)
    days = [LAST + timedelta(days=1 + back) for back in range(DAYS)]
    frames = {name: spark.read.format("delta").load(str(folder / name)) for name in tables}
    naive = naive_spark(spark, frames, days, tmp_path)
    source = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    warm = sorted(costs[1:], key=lambda cost: cost.seconds)[(DAYS - 1) // 2]
    print(f"\n{size.customers:,} customers, {size.days} days of history, silver of {source / 2**20:,.0f} MB")
    print(first.line("first day, tiles of all history"))
    for cost in costs:
        print(cost.line("one more day"))
    print(
        f"  naive, Spark: {median(naive):.2f} s a day: {median(naive) / warm.seconds:.1f} x; read {warm.read / source:.2%} of silver"
    )
