"""Publication: history is replaced by what the audit let through, latest follows, closed months are compacted.

    staged ──whole dates──> history: replaced (one commit)      ──> latest ──> closed months compacted
           ──repaired───> history: rows of the scope (another)

Repaired rows are marked in deletion vectors and written beside; no file is rewritten for them. A month is compacted
again when it has become many files that way.
"""

from dataclasses import replace
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.features.asof import FEATURE_DATE
from headwater.features.scope import scope_in
from headwater.features.windows import published_schema
from headwater.pipelines.audit import passed_verdict, unpublished
from headwater.pipelines.published import entities, published_dates
from headwater.pipelines.repair import may_gain_or_lose_rows
from headwater.pipelines.steps import Plan, PlannedStep, PublishStage, Runtime, StageDates, unfinished
from headwater.quality.withholding import publishable
from headwater.state.streams import Commit
from headwater.tables.catalog import register
from headwater.tables.delta import Batch, Written, ensure_table, files_by, find, read_at, read_changes
from headwater.tables.publish import (
    FEATURE_MONTH,
    ROWS_OF_A_FILE,
    Replaced,
    changed_by_date,
    closed_months,
    compact_months,
    history_spec,
    publish_history,
    publish_latest,
    repair_history,
    rows_gone,
    staged_spec,
)

# Of a closed month, beside those that its rows were written in.
_FILES_AT_MOST = 16
_DAYS = 31


def plan_publish(runtime: Runtime) -> Plan:
    """Plan the publication of the last stage batch.

    Raises:
        DataRejected: its audit failed, or it was never audited.
    """
    view = runtime.project.view
    stream = runtime.stream("publish", view.name)
    state = runtime.ledger.stream(stream)
    title = f"publish {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    last = unpublished(runtime)
    if last is None:
        return Plan(title, (), ("nothing is staged that is not published already",))
    verdict = passed_verdict(runtime, last)
    step = StageDates.model_validate(last.payload)
    before = published_dates(PublishStage.model_validate(commit.payload) for commit in state.commits)
    after = before | set(step.dates)
    closed_already = closed_months(before, max(before, default=date.min))
    touched = {day.replace(day=1) for day in step.whole} | _scattered(runtime, step)
    # What lies beside rows of another publication is put in order with them.
    mixed = {day.replace(day=1) for day in after - set(step.whole)}
    publication = PublishStage(
        view=view.name,
        run_date=runtime.run_date,
        stage_n=last.n,
        staged_version=int(str(last.facts["staged_version"])),
        dates=step.dates,
        silver_batches=step.silver_batches,
        compact=tuple(
            month
            for month in closed_months(after, max(after))
            if month in mixed and (month in touched or month not in closed_already)
        ),
        rows=int(str(last.facts["rows"])),
        carried=step.carried,
        ranges=_ranges(verdict),
        repair=step.repair,
    )
    return Plan(title, (PlannedStep(stream, publication, decided_on=state.last_n),))


def plan_unfinished_publication(runtime: Runtime) -> Plan:
    """The publication that an earlier run left open, if there is one."""
    view = runtime.project.view.name
    stream = runtime.stream("publish", view)
    left = runtime.ledger.stream(stream).open
    title = f"finish an open publication of {view}"
    return Plan(title, (unfinished(stream, left),) if left else ())


def publish_stage(step: PublishStage, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Replace history from the audited version, rebuild latest from it, compact closed months."""
    spark, project, view = runtime.session(), runtime.project, runtime.project.view
    history, latest = project.path("gold", view.name), project.path("gold", f"{view.name}_latest")
    schema = published_schema(view, project.tables)
    ensure_table(spark, history_spec(history, schema))
    ensure_table(spark, staged_spec(latest, schema))
    staged = read_at(spark, project.path("staged", view.name), step.staged_version)
    ours = staged.where(F.col(FEATURE_DATE).isin(list(step.dates))).select(*view.columns)
    audited = ours.where(publishable(step.ranges))
    scope = scope_in(staged) if step.repair else None
    written = _write_history(step, audited, scope, batch, runtime)
    at = max(each.version for each in written)
    runtime.failpoint(f"publish:{view.name}:history")
    replaced = Replaced(step.whole, scope, step.repair.dates if step.repair else ())
    newest = find(latest, batch) or publish_latest(audited, read_at(spark, history, at), latest, replaced, batch)
    runtime.failpoint(f"publish:{view.name}:latest")
    compact_months(spark, history, step.compact, view.entity)
    if view.catalog:
        register(spark, view.catalog, history)
        register(spark, f"{view.catalog}_latest", latest)
    rows = sum(each.rows for each in written)
    runtime.log.write("materialization_done", data_source=view.name, record_count=rows)
    facts: dict[str, JsonValue] = {"rows": rows, "history_version": at, "latest_version": newest.version}
    if step.repair:
        feed = read_changes(spark, history, written[-1].version, after=written[-1].version - 1)
        changed = changed_by_date(feed, view.columns)
        facts["repaired"] = {day.isoformat(): count for day, count in changed.items()}
    return facts


def _write_history(
    step: PublishStage, audited: DataFrame, scope: DataFrame | None, batch: Batch, runtime: Runtime
) -> list[Written]:
    """Replace the whole dates, then the rows of the scope: each in one commit, found again after a crash."""
    spark, location = runtime.session(), runtime.project.path("gold", step.view)
    written = []
    if step.whole:
        whole = audited.where(F.col(FEATURE_DATE).isin(list(step.whole)))
        written.append(find(location, batch) or publish_history(whole, location, step.whole, step.rows, batch))
    if step.repair and scope is not None:
        runtime.failpoint(f"publish:{step.view}:whole")
        rows = audited.where(F.col(FEATURE_DATE).isin(list(step.repair.dates)))
        dates, second = step.repair.dates, replace(batch, stream=f"{batch.stream}/repair")
        gone = None
        if may_gain_or_lose_rows(step, runtime):
            gone = rows_gone(rows, scope, spark.read.format("delta").load(location), dates)
        written.append(find(location, second) or repair_history(rows, gone, location, dates, second))
    return written


def _scattered(runtime: Runtime, step: StageDates) -> set[date]:
    """Repaired months that are in many files by now."""
    if step.repair is None:
        return set()
    files = files_by(runtime.project.path("gold", step.view), FEATURE_MONTH)
    months = {day.replace(day=1) for day in step.repair.dates}
    at_most = _FILES_AT_MOST + entities(runtime) * _DAYS // ROWS_OF_A_FILE
    return {month for month in months if files.get(month.isoformat(), 0) > at_most}


def _ranges(verdict: Commit) -> dict[str, str]:
    """What rows must meet that the audit did not hold back."""
    ranges = verdict.facts["ranges"]
    return {column: str(predicate) for column, predicate in ranges.items()} if isinstance(ranges, dict) else {}
