"""`make bench`: what all dates cost in one pass, beside one naive job a date in Spark and in DuckDB.

Everything is timed in one run on one machine, so the ratios mean something where the seconds do not.
`ARGS="--size base"` is 100,000 customers on 730 dates; the default is small.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest
from pyspark.sql import SparkSession
from tests.bench.meter import Cost, metered
from tests.bench.naive import naive_duckdb, naive_spark
from tests.bench.world import LAST, SIZES, Size, add_late, silver
from tests.lakes import project_at, runtime_of, say_conformed

from headwater.config.project import Project
from headwater.pipelines.backfill import run_backfill
from headwater.pipelines.pipeline import run_audit, run_publish, run_stage
from headwater.pipelines.steps import Runtime

SAMPLED = 10
LATE = LAST - timedelta(days=45)
SLICE_ROWS = 20_000_000


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    return SIZES[request.config.getoption("--size")]


def test_backfill(spark: SparkSession, size: Size, tmp_path: Path) -> None:
    """The job as it is run: tiles, then slices that are staged, audited and published."""
    project = project_at(tmp_path / "lake", initial_dates=1)
    tables = silver(spark, size, tmp_path / "lake" / "silver")
    sampled = size.dates[:: max(1, size.days // SAMPLED)][:SAMPLED]
    in_spark = naive_spark(spark, tables, sampled, tmp_path)
    in_duckdb = naive_duckdb(tables, sampled, tmp_path)
    runtime = runtime_of(project, LAST, spark)
    for table in tables:
        say_conformed(runtime, table, [])
    with metered(spark) as cost:
        run_backfill(runtime, size.first, LAST, SLICE_ROWS)
    steps = seconds_of(runtime)
    rows = spark.read.format("delta").load(project.path("gold", project.view.name)).count()
    compute = steps["tiles"] + steps["stage"]
    print(f"\n{size.customers:,} customers, {size.days} dates, {rows:,} rows; {len(sampled)} naive dates sampled")
    print(cost.line("the whole backfill"))
    print("  " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in steps.items()))
    repair(spark, size, project, cost)
    for name, seconds in (("naive, Spark", in_spark), ("naive, DuckDB", in_duckdb)):
        every = median(seconds) * size.days
        print(
            f"  {name:<14} {median(seconds):7.2f} s a date, {every:9.1f} s in all: {every / compute:6.1f} x tiles and stage"
        )


def repair(spark: SparkSession, size: Size, project: Project, backfill: Cost) -> None:
    """Events of one day, late for one customer in a hundred, beside the backfill that they come after."""
    rows = add_late(spark, size, Path(project.path("silver", "")), LATE)
    runtime = replace(runtime_of(project, LAST, spark), run_id="repair")
    for table in ("transactions", "user_behavior", "support_tickets"):
        say_conformed(runtime, table, [LATE], rows=rows)
    costs = []
    for work in (run_stage, run_audit, run_publish):
        with metered(spark) as cost:
            work(runtime)
        costs.append(cost)
    print(f"  {3 * rows:,} late events of {LATE}")
    for cost, name in zip(costs, ("tiles and stage", "audit", "publish"), strict=True):
        print(cost.line(f"repair: {name}"))
    print("  " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in seconds_of(runtime).items()))
    seconds, moved = sum(cost.seconds for cost in costs), sum(cost.read + cost.written for cost in costs)
    print(
        f"  {seconds / backfill.seconds:.1%} of the backfill's time, {moved / (backfill.read + backfill.written):.1%} of its bytes"
    )


def seconds_of(runtime: Runtime) -> dict[str, float]:
    """By kind of step, what a run has taken."""
    steps: dict[str, float] = defaultdict(float)
    for step in runtime.run_log.steps(runtime.run_id):
        steps[step.step] += step.seconds
    return steps
