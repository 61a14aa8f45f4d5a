"""The quality report of the last staged batch, written beside the ledger as JSON and as a page."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import cast, get_args

import pyarrow as pa
from deltalake import DeltaTable

from headwater.config.quality import Dimension
from headwater.pipelines.audit import check_rows, verdict_of
from headwater.pipelines.equation import TERMS
from headwater.pipelines.evidence import (
    carried_dates_by_source,
    distributions_of,
    examples_of,
    held_batches,
    trend_to,
    withheld_reasons,
    withheld_rows,
)
from headwater.pipelines.steps import ConformBatch, PublishStage, Runtime, StageDates
from headwater.quality.facts import QualityReport, RowEquation, StepTiming, TableLayout
from headwater.quality.report import report_html, report_json
from headwater.quality.verdict import CheckResult, Engine, Verdict
from headwater.state.files import write_file
from headwater.state.runs import CheckRow, StepRow
from headwater.state.streams import Commit
from headwater.tables.delta import exists


def write_report(runtime: Runtime) -> None:
    """Write `ops/reports/<run_id>.json` and `.html` about the last staged batch, if it has a verdict."""
    view = runtime.project.view
    staged = runtime.ledger.stream(runtime.stream("stage", view.name)).commits
    verdict = verdict_of(runtime, staged[-1].n) if staged else None
    if verdict is None:
        return
    report = _assemble(runtime, staged[-1], verdict)
    folder = runtime.project.path("ops", "reports")
    write_file(f"{folder}/{runtime.run_id}.json", json.dumps(report_json(report), indent=2, default=str))
    write_file(f"{folder}/{runtime.run_id}.html", report_html(report))


def _assemble(runtime: Runtime, staged: Commit, verdict: Commit) -> QualityReport:
    project, step = runtime.project, StageDates.model_validate(staged.payload)
    checks = check_rows(runtime, staged, verdict)
    batches = _silver_batches(runtime, step, staged.n)
    reasons: dict[str, Counter[str]] = {}
    for source, commit in batches:
        found = commit.facts["reasons"]
        counts = {str(name): int(str(count)) for name, count in found.items()} if isinstance(found, dict) else {}
        reasons.setdefault(source, Counter()).update(counts)
    withheld = withheld_rows(verdict)
    if withheld:
        reasons[project.view.name] = Counter(withheld_reasons(runtime, staged))
    quarantine = {name: dict(counts) for name, counts in reasons.items() if counts}
    return QualityReport(
        pipeline=project.pipeline,
        run_id=runtime.run_id,
        run_date=runtime.run_date,
        dates=step.dates,
        verdict=Verdict(tuple(_check(row) for row in checks)),
        rows=tuple(_equation(source, commit) for source, commit in batches),
        quarantine=quarantine,
        examples={name: examples_of(runtime, name, _bronze_batches(staged, batches)) for name in quarantine},
        steps=_timings(runtime.run_log.steps(runtime.run_id)),
        layout=tuple(_layout(project.path("gold", name), name) for name in _published_tables(runtime)),
        held=held_batches(runtime),
        carried=carried_dates_by_source(runtime, step),
        withheld=withheld,
        trend=trend_to(runtime, verdict),
        distributions=distributions_of(runtime, staged),
    )


def _bronze_batches(staged: Commit, batches: Sequence[tuple[str, Commit]]) -> frozenset[str]:
    """Batches whose records the report counts, as quarantine names them; a withheld row's is its stage batch."""
    steps = [ConformBatch.model_validate(commit.payload) for _, commit in batches]
    return frozenset([staged.batch_id, *(batch.id for step in steps for batch in (*step.batches, *step.released))])


def _published_tables(runtime: Runtime) -> tuple[str, ...]:
    name = runtime.project.view.name
    return tuple(each for each in (name, f"{name}_latest") if exists(runtime.project.path("gold", each)))


def _silver_batches(runtime: Runtime, step: StageDates, stage_n: int) -> list[tuple[str, Commit]]:
    """The silver batches that this stage batch is the first to hold."""
    publications = runtime.ledger.stream(runtime.stream("publish", runtime.project.view.name)).commits
    earlier = [PublishStage.model_validate(each.payload) for each in publications]
    before = [each.silver_batches for each in earlier if each.stage_n < stage_n]
    since = before[-1] if before else {}
    return [
        (runtime.project.tables[table].source, commit)
        for table, upto in step.silver_batches.items()
        for commit in runtime.ledger.stream(runtime.stream("silver", table)).commits
        if since.get(table, 0) < commit.n <= upto
    ]


def _timings(steps: Sequence[StepRow]) -> tuple[StepTiming, ...]:
    """Steps in the order in which they began."""
    return tuple(
        StepTiming(
            step=f"{each.step} {str(each.stream).split('/')[1]}",
            status="done",
            begun=(each.started_at - steps[0].started_at).total_seconds(),
            seconds=each.seconds,
        )
        for each in steps
    )


def _equation(source: str, commit: Commit) -> RowEquation:
    return RowEquation(source=source, **{term: int(str(commit.facts[term])) for term in TERMS})


def _check(row: CheckRow) -> CheckResult:
    return CheckResult(
        name=row.name,
        dimension=next(name for name in get_args(Dimension) if name == row.dimension),
        layer=int(row.layer),
        engine=cast("Engine", row.engine),
        blocking=row.blocking,
        passed=row.passed,
        expected=row.expected,
        observed=row.observed,
        ratio=row.ratio,
    )


def _layout(location: str, name: str) -> TableLayout:
    sizes = pa.table(DeltaTable(location).get_add_actions(flatten=True))["size_bytes"].to_pylist()
    return TableLayout(name, files=len(sizes), bytes=sum(sizes))
