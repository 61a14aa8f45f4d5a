"""What was kept out and may come in: feature rows that an audit held back, and the account of it all."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.features.asof import FEATURE_DATE
from headwater.features.scope import in_scope, scope_in
from headwater.pipelines.gates import waiting_holds
from headwater.pipelines.steps import AuditStage, Runtime
from headwater.quality.withholding import Withheld, broken_ranges, publishable
from headwater.tables.delta import Batch, TableSpec, ensure_table, exists
from headwater.tables.merge import Upsert, merge_once
from headwater.tables.quarantine import open_reasons
from headwater.transforms.conform import masked
from headwater.transforms.quarantine import QUARANTINE_SCHEMA


def quarantine_path(runtime: Runtime, view: str) -> str:
    """Where a view's withheld rows are; sources have tables of their own beside it."""
    return runtime.project.path("quarantine", f"gold_{view}")


def quarantine_lines(runtime: Runtime) -> list[str]:
    """Held batches with their command, then open records by source and reason, in lines a person can read."""
    project = runtime.project
    lines = []
    for contract in project.tables.values():
        for hold in waiting_holds(runtime, contract):
            lines.append(f"held  {hold}")
            lines.append(f"      headwater quarantine release --source {hold.source} --batch {hold.batch.id}")
    places = {name: project.path("quarantine", name) for name in sorted(project.sources)}
    places[project.view.name] = quarantine_path(runtime, project.view.name)
    for name, location in places.items():
        for reason, records in open_reasons(location).items():
            lines.append(f"open  {name:<28} {reason:<28} {records:>12,} records")
    return lines or ["nothing is held, and no record is open"]


def quarantine_withheld(
    step: AuditStage, staged: DataFrame, withheld: Withheld, batch: Batch, runtime: Runtime
) -> None:
    """Write down the rows held back; an open row that was judged and is not held back again is `replayed`.

    Args:
        step: whose rows they are.
        staged: what was judged, and the scope of a repair beside it.
        withheld: which of them are not published.
        batch: the audit's.
        runtime: where to write.
    """
    location = quarantine_path(runtime, step.view)
    if not withheld.rows and not exists(location):
        return
    spark = runtime.session()
    ensure_table(spark, TableSpec(location, QUARANTINE_SCHEMA))
    frame = staged.where(F.col(FEATURE_DATE).isin(list(step.dates)))
    rows = _rows(step, frame, withheld, runtime)
    open_rows = spark.read.format("delta").load(location).where(F.col("status") == "open")
    judged = _judged(open_rows, step, staged)
    healed = judged.join(rows.select("id"), on="id", how="left_anti").withColumn("status", F.lit("replayed"))
    changes = rows.unionByName(healed.select(*rows.columns))
    merge_once(changes, location, Upsert(key=["id"], columns=["status", "reasons", "preview", "batch_id"]), batch)


def _judged(open_rows: DataFrame, step: AuditStage, staged: DataFrame) -> DataFrame:
    """The records of whoever was judged again: everybody on whole dates, on repaired ones the entities in the scope."""
    # As `_key` makes them: a date is ten characters long.
    entity, day = F.expr("left(row_id, length(row_id) - 11)"), F.to_date(F.expr("right(row_id, 10)"))
    keyed = open_rows.select("*", entity.alias(staged.columns[0]), day.alias(FEATURE_DATE))
    found = keyed.where(F.col(FEATURE_DATE).isin(list(step.whole)))
    if step.repair:
        scope = scope_in(staged)
        named = scope.withColumn(scope.columns[0], F.col(scope.columns[0]).cast("string"))
        repaired = keyed.where(F.col(FEATURE_DATE).isin(list(step.repair.dates)))
        found = found.unionByName(in_scope(repaired, named, FEATURE_DATE))
    return found.select(*open_rows.columns)


def _rows(step: AuditStage, frame: DataFrame, withheld: Withheld, runtime: Runtime) -> DataFrame:
    key = _key(runtime)
    shown = F.struct(*(masked(F.col(name).cast("string")).alias(name) for name in sorted(withheld.ranges)))
    held_back = frame.where(~publishable(withheld.ranges))
    return held_back.select(
        F.sha2(F.concat_ws("|", F.lit(step.view), key), 256).alias("id"),
        F.lit(step.view).alias("source"),
        F.lit(f"{runtime.stream('stage', step.view)}#{step.stage_n}").alias("batch_id"),
        key.alias("row_id"),
        F.lit("gold").alias("stage"),
        broken_ranges(withheld.ranges).alias("reasons"),
        F.to_json(shown).alias("preview"),
        F.lit("open").alias("status"),
        F.timestamp_micros(F.lit(int(step.judged_at.timestamp() * 1_000_000))).alias("quarantined_at"),
    )


def _key(runtime: Runtime) -> Column:
    return F.concat_ws("|", F.col(runtime.project.view.entity), F.col(FEATURE_DATE).cast("string"))
