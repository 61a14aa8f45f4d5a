"""Rows that an audit held back stay open until whoever has one is judged again."""

from datetime import UTC, date, datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tests.lakes import project_at, runtime_of

from headwater.features.scope import FIRST, LAST, SCOPE
from headwater.pipelines.late import Repair, TableChanges
from headwater.pipelines.quarantine import quarantine_path, quarantine_withheld
from headwater.pipelines.steps import AuditStage
from headwater.quality.withholding import Withheld
from headwater.tables.delta import Batch

FIRST_OF_MARCH, SECOND = date(2024, 3, 1), date(2024, 3, 2)
DATES = (FIRST_OF_MARCH, SECOND)
SPENDS = {"spend": "spend >= 0"}


def staged(spark: SparkSession, rows: list[tuple[str, date, int]], scope: list[tuple[str, date, date]]) -> DataFrame:
    """Rows of dates, and beside them entities with their days."""
    epoch = date(1970, 1, 1)
    of_dates = spark.createDataFrame(rows, "user_id string, feature_date date, spend int")
    days = [(who, (first - epoch).days, (last - epoch).days) for who, first, last in scope]
    kept = spark.createDataFrame(days, f"user_id string, {FIRST} bigint, {LAST} bigint")
    beside = kept.select("user_id", F.struct(FIRST, LAST).alias(SCOPE))
    return of_dates.unionByName(beside, allowMissingColumns=True)


def test_a_repair_judges_whoever_it_reaches_even_who_has_no_row_now(spark: SparkSession, tmp_path: Path) -> None:
    runtime = runtime_of(project_at(tmp_path, initial_dates=1), SECOND, spark)
    location = quarantine_path(runtime, runtime.project.view.name)
    change = TableChanges(table="customers", after=1, upto=2)

    def audit(frame: DataFrame, n: int, repair: Repair | None) -> dict[str, str]:
        step = AuditStage(
            view=runtime.project.view.name, run_date=SECOND, stage_n=n, staged_version=n, dates=DATES, versions={},
            judged_at=datetime(2024, 3, 2, tzinfo=UTC), row_counts={}, repair=repair,
        )  # fmt: skip
        quarantine_withheld(step, frame, Withheld(1, SPENDS), Batch("audit", n), runtime)
        return {row["row_id"]: row["status"] for row in spark.read.format("delta").load(location).collect()}

    negative = [(who, day, -1) for who in ("a|b", "ann", "bob", "eve") for day in DATES]
    opened = audit(staged(spark, negative, []), 1, None)
    assert set(opened.values()) == {"open"}
    assert len(opened) == 8
    # ann is no member any more, a|b is well on the second date, bob is as bad as before; nobody has looked at eve.
    rows = [("a|b", SECOND, 5), ("bob", FIRST_OF_MARCH, -1), ("bob", SECOND, -1)]
    scope = [("ann", FIRST_OF_MARCH, SECOND), ("a|b", SECOND, SECOND), ("bob", FIRST_OF_MARCH, SECOND)]
    found = audit(staged(spark, rows, scope), 2, Repair(dates=DATES, changes=(change,)))
    assert {key for key, status in found.items() if status == "replayed"} == {
        "ann|2024-03-01",
        "ann|2024-03-02",
        "a|b|2024-03-02",
    }
    assert len(found) == 8
