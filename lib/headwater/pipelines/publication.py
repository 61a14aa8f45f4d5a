"""Publication: history is replaced by what the audit let through, latest follows, closed months are compacted."""

from datetime import date

from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.features.windows import published_schema
from headwater.pipelines.audit import NOTHING_STAGED, passed_verdict, unpublished
from headwater.pipelines.gold import published_dates
from headwater.pipelines.steps import Plan, PlannedStep, PublishStage, Runtime, StageDates, unfinished
from headwater.quality.withholding import publishable
from headwater.state.streams import Commit
from headwater.tables.catalog import register
from headwater.tables.delta import Batch, ensure_table, find, read_at
from headwater.tables.publish import (
    FEATURE_DATE,
    closed_months,
    compact_months,
    history_spec,
    publish_history,
    publish_latest,
    staged_spec,
)


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
        return Plan(title, (), (NOTHING_STAGED,))
    verdict = passed_verdict(runtime, last)
    step = StageDates.model_validate(last.payload)
    before = published_dates(PublishStage.model_validate(commit.payload) for commit in state.commits)
    after = before | set(step.dates)
    closed_already = closed_months(before, max(before, default=date.min))
    touched = {day.replace(day=1) for day in step.dates}
    publication = PublishStage(
        view=view.name,
        run_date=runtime.run_date,
        stage_n=last.n,
        staged_version=int(str(last.facts["staged_version"])),
        dates=step.dates,
        silver_batches=step.silver_batches,
        compact=tuple(m for m in closed_months(after, max(after)) if m in touched or m not in closed_already),
        carried=step.carried,
        ranges=_ranges(verdict),
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
    published = find(history, batch) or publish_history(audited, history, step.dates, batch)
    runtime.failpoint(f"publish:{view.name}:history")
    newest = find(latest, batch) or publish_latest(
        read_at(spark, history, published.version), latest, step.dates, batch
    )
    runtime.failpoint(f"publish:{view.name}:latest")
    compact_months(spark, history, step.compact, view.entity)
    if view.catalog:
        register(spark, view.catalog, history)
        register(spark, f"{view.catalog}_latest", latest)
    runtime.log.write("materialization_done", data_source=view.name, record_count=published.rows)
    return {"rows": published.rows, "history_version": published.version, "latest_version": newest.version}


def _ranges(verdict: Commit) -> dict[str, str]:
    """What rows must meet that the audit did not hold back."""
    ranges = verdict.facts["ranges"]
    return {column: str(predicate) for column, predicate in ranges.items()} if isinstance(ranges, dict) else {}
