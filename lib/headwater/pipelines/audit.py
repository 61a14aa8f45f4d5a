"""The audit between staging and publishing: one verdict on the rows of one stage batch, kept in the ledger."""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.config.quality import Check, Metric
from headwater.errors import DataRejected
from headwater.features.asof import CHANGE, DAY, FEATURE_DATE, population_at, population_changes
from headwater.features.scope import scope_in
from headwater.pipelines.quarantine import quarantine_withheld
from headwater.pipelines.steps import (
    REJECTED,
    AuditStage,
    Plan,
    PlannedStep,
    PublishStage,
    Runtime,
    StageDates,
    unfinished,
)
from headwater.quality.audit import verify_frame
from headwater.quality.population import DatePopulation
from headwater.quality.verdict import Verdict
from headwater.quality.withholding import excused, withhold
from headwater.state.runs import CheckRow
from headwater.state.streams import Commit
from headwater.tables.delta import Batch, read_at


def plan_audit(runtime: Runtime) -> Plan:
    """Plan the audit of the last stage batch, unless these checks have judged it already."""
    view = runtime.project.view
    stream = runtime.stream("audit", view.name)
    state = runtime.ledger.stream(stream)
    title = f"audit {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    last = unpublished(runtime)
    if last is None:
        return Plan(title, (), ("nothing is staged that waits for an audit",))
    if verdict_of(runtime, last.n) is not None:
        return Plan(title, (), ("the staged rows have their verdict already",))
    stage = StageDates.model_validate(last.payload)
    step = AuditStage(
        view=view.name,
        run_date=runtime.run_date,
        stage_n=last.n,
        staged_version=int(str(last.facts["staged_version"])),
        dates=stage.dates,
        versions=stage.versions,
        judged_at=runtime.clock(),
        row_counts=_row_counts(runtime, stage),
        repair=stage.repair,
    )
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))


def audit_stage(step: AuditStage, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Run every check on the staged version and write the results down; the verdict is data, not an exception.

    A few rows that break a range are withheld: the check passes without them, and they go to quarantine.
    """
    project = runtime.project
    staged = read_at(runtime.session(), project.path("staged", step.view), step.staged_version)
    frame = staged.where(F.col(FEATURE_DATE).isin(list(step.dates))).select(*project.view.columns)
    checks = _checks(step, runtime)
    staged_rows, populations = _populations(step, runtime)
    # Some entities' rows say nothing about the statistics of a date.
    whole = frame.where(F.col(FEATURE_DATE).isin(list(step.whole))) if step.repair else frame
    found = verify_frame(runtime.session(), frame, whole, checks, per_date=populations, row_counts=step.row_counts)
    withheld = withhold(frame, checks, found, project.checks.max_withheld, _rows_of(step, populations))
    verdict = excused(found, checks, withheld)
    quarantine_withheld(step, staged, withheld, batch, runtime)
    runtime.run_log.append_checks(_check_rows(step, verdict, runtime))
    failed = [result.name for result in verdict.results if not result.passed]
    if failed:
        runtime.log.write("validation_failed", data_source=step.view, record_count=staged_rows, checks=failed)
    return {
        "rows": staged_rows,
        "passed": verdict.passed,
        "score": verdict.score,
        "failed": failed,
        "suite": _suite_digest(runtime),
        "withheld": withheld.rows,
        "ranges": dict(withheld.ranges),
    }


def _rows_of(step: AuditStage, populations: Sequence[DatePopulation]) -> list[dict[date, int]]:
    """Rows by date of what is judged apart: whole dates, and repaired ones with the rows that stay published."""
    rows = {each.date: each.rows for each in populations}
    return [{day: rows[day] for day in dates} for dates in (step.whole, step.repair.dates if step.repair else ())]


def _checks(step: AuditStage, runtime: Runtime) -> tuple[Check, ...]:
    """The suite; without statistics when only some entities' rows are staged, which say nothing about a date."""
    checks = runtime.project.checks.for_environment(runtime.project.env)
    return tuple(check for check in checks if step.whole or not isinstance(check, Metric))


def unpublished(runtime: Runtime) -> Commit | None:
    """The last stage batch, None when nothing waits for publication."""
    view = runtime.project.view.name
    commits = runtime.ledger.stream(runtime.stream("stage", view)).commits
    staged = [commit for commit in commits if REJECTED not in commit.facts]
    publications = runtime.ledger.stream(runtime.stream("publish", view)).commits
    if not staged or any(PublishStage.model_validate(each.payload).stage_n == staged[-1].n for each in publications):
        return None
    return staged[-1]


def verdict_of(runtime: Runtime, stage_n: int) -> Commit | None:
    """The latest verdict that the present checks gave on a stage batch."""
    digest = _suite_digest(runtime)
    commits = runtime.ledger.stream(runtime.stream("audit", runtime.project.view.name)).commits
    for commit in reversed(commits):
        step = AuditStage.model_validate(commit.payload)
        if step.stage_n == stage_n and commit.facts["suite"] == digest:
            return commit
    return None


def require_passed(runtime: Runtime) -> None:
    """Refuse to go on when the last staged rows did not pass.

    Raises:
        DataRejected: a blocking check failed, or the rows were never audited.
    """
    if (staged := unpublished(runtime)) is not None:
        passed_verdict(runtime, staged)


def passed_verdict(runtime: Runtime, staged: Commit) -> Commit:
    """The verdict on staged rows that may be published.

    Raises:
        DataRejected: a blocking check failed, or the rows were never audited.
    """
    verdict = verdict_of(runtime, staged.n)
    if verdict is None or not verdict.facts["passed"]:
        raise _rejection(runtime, staged, verdict)
    return verdict


def _rejection(runtime: Runtime, staged: Commit, verdict: Commit | None) -> DataRejected:
    """The error that says why staged rows may not be published."""
    view = runtime.project.view.name
    if verdict is None:
        return DataRejected(
            "not_verified",
            f"The staged rows of {view} (batch {staged.n}) have no verdict of the present checks.",
            remedy="Run verify_gold; published tables are unchanged.",
            facts={"view": view, "stage_n": staged.n},
        )
    failed = [row for row in check_rows(runtime, staged, verdict) if row.blocking and not row.passed]
    lines = [f"{row.name} ({row.engine}): expected {row.expected}, found {row.observed}" for row in failed]
    return DataRejected(
        "checks_failed",
        f"{len(failed)} blocking checks failed on the staged rows of {view}:\n  " + "\n  ".join(lines),
        remedy="Published tables are unchanged. Correct the data, or conf/checks, and run again.",
        facts={"view": view, "stage_n": staged.n, "checks": [row.name for row in failed]},
    )


def check_rows(runtime: Runtime, staged: Commit, verdict: Commit) -> list[CheckRow]:
    """The results behind a verdict: those of its run, and of a run that audited twice the last ones."""
    rows = [row for row in runtime.run_log.checks(stage_n=staged.n) if row.run_id == verdict.run_id]
    last = max((row.at for row in rows), default=None)
    return [row for row in rows if row.at == last]


def _suite_digest(runtime: Runtime) -> str:
    suite = runtime.project.checks
    texts = [check.model_dump_json() for check in suite.for_environment(runtime.project.env)]
    return hashlib.sha256("\n".join([*texts, str(suite.max_withheld)]).encode()).hexdigest()[:16]


def _row_counts(runtime: Runtime, stage: StageDates) -> dict[str, tuple[int, int]]:
    """Records judged and quarantined per table in the silver batches that the stage holds and nobody published yet."""
    view = runtime.project.view
    publications = runtime.ledger.stream(runtime.stream("publish", view.name)).commits
    since = PublishStage.model_validate(publications[-1].payload).silver_batches if publications else {}
    counts = {}
    for table, upto in stage.silver_batches.items():
        commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
        facts = [commit.facts for commit in commits if since.get(table, 0) < commit.n <= upto]
        judged = sum(int(str(each["extracted"])) + int(str(each["replayed"])) for each in facts)
        counts[table] = (judged, sum(int(str(each["quarantined"])) for each in facts))
    return counts


def _populations(step: AuditStage, runtime: Runtime) -> tuple[int, Sequence[DatePopulation]]:
    """Rows staged, and those of each date beside its population, which is counted from the dimension alone.

    Of a repaired date the members who are not repaired have their rows: they are published.
    """
    spark, project = runtime.session(), runtime.project
    view = project.view
    staged = read_at(spark, project.path("staged", step.view), step.staged_version)
    of_step = staged.where(F.col(FEATURE_DATE).isin(list(step.dates)))
    rows = {row[0]: row[1] for row in of_step.groupBy(FEATURE_DATE).count().collect()}
    wanted = sorted({day - timedelta(days=back) for day in step.dates for back in (0, 1)})
    table = view.population.table
    members = read_at(spark, project.path("silver", table), step.versions[table])
    contract = project.tables[table]
    population = _counted(population_changes(members, contract, view), wanted)
    others = dict.fromkeys(step.dates, 0)
    if step.repair:
        repaired = _counted(population_changes(members, contract, view, scope_in(staged)), step.repair.dates)
        others |= {day: population[day] - repaired[day] for day in step.repair.dates}
    per_date = [
        DatePopulation(
            date=day,
            rows=rows.get(day, 0) + others[day],
            population=population[day],
            previous=population[day - timedelta(days=1)] or None,
        )
        for day in step.dates
    ]
    return sum(rows.values()), per_date


def _counted(changes: DataFrame, dates: Sequence[date]) -> dict[date, int]:
    return population_at({row[DAY]: row[CHANGE] for row in changes.collect()}, dates)


def _check_rows(step: AuditStage, verdict: Verdict, runtime: Runtime) -> list[CheckRow]:
    at = runtime.clock()
    return [
        CheckRow(
            run_id=runtime.run_id,
            view=step.view,
            stage_n=step.stage_n,
            staged_version=step.staged_version,
            name=result.name,
            dimension=result.dimension,
            layer=str(result.layer),
            engine=result.engine,
            blocking=result.blocking,
            passed=result.passed,
            expected=result.expected,
            observed=result.observed,
            ratio=result.ratio,
            at=at,
        )
        for result in verdict.results
    ]
