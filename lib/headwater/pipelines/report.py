"""The quality report of a run, as JSON and as a page: how what it staged was judged, or what stopped it before."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import cast, get_args

import pyarrow as pa
from deltalake import DeltaTable

from headwater.config.quality import Dimension
from headwater.errors import DataRejected
from headwater.pipelines.audit import check_rows, verdict_of
from headwater.pipelines.equation import TERMS
from headwater.pipelines.evidence import (
    carried_dates_by_source,
    distributions_of,
    examples_of,
    held_batches,
    repairs_of,
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

_OF_STAGED = ("stage", "audit", "publish")


def write_report(runtime: Runtime, stopped: Sequence[DataRejected] = ()) -> None:
    """Write `ops/reports/<run_id>.json` and `.html` about what this run staged, or why it came to stage nothing.

    Args:
        runtime: whose run it is.
        stopped: what ended the run early.
    """
    report = _report(runtime, stopped)
    if report is None:
        return
    folder = runtime.project.path("ops", "reports")
    write_file(f"{folder}/{runtime.run_id}.json", json.dumps(report_json(report), indent=2, default=str))
    write_file(f"{folder}/{runtime.run_id}.html", report_html(report))


def _report(runtime: Runtime, stopped: Sequence[DataRejected]) -> QualityReport | None:
    steps = runtime.run_log.steps(runtime.run_id)
    commits = runtime.ledger.stream(runtime.stream("stage", runtime.project.view.name)).commits
    ours = any(each.step in _OF_STAGED for each in steps) or any("stage_n" in error.facts for error in stopped)
    verdict = verdict_of(runtime, commits[-1].n) if commits and ours else None
    if verdict is not None:
        return _of_staged(runtime, steps, commits[-1], verdict)
    return _of_stop(runtime, steps, stopped) if stopped else None


def _of_staged(runtime: Runtime, steps: Sequence[StepRow], staged: Commit, verdict: Commit) -> QualityReport:
    project, step = runtime.project, StageDates.model_validate(staged.payload)
    batches = _silver_batches(runtime, step, staged.n)
    reasons = _reasons(batches)
    withheld = withheld_rows(verdict)
    if withheld:
        reasons[project.view.name] = Counter(withheld_reasons(runtime, staged))
    records = _bronze_batches(batches) | {staged.batch_id}
    return replace(
        _of_batches(runtime, steps, batches),
        dates=step.dates,
        verdict=Verdict(tuple(_check(row) for row in check_rows(runtime, staged, verdict))),
        quarantine={name: dict(counts) for name, counts in reasons.items()},
        examples={name: examples_of(runtime, name, records) for name in reasons},
        carried=carried_dates_by_source(runtime, step),
        withheld=withheld,
        trend=trend_to(runtime, verdict),
        distributions=distributions_of(runtime, staged),
        repairs=repairs_of(runtime, staged),
    )


def _of_stop(runtime: Runtime, steps: Sequence[StepRow], stopped: Sequence[DataRejected]) -> QualityReport:
    done = {(each.stream, each.n) for each in steps}
    batches = [
        (contract.source, commit)
        for name, contract in runtime.project.tables.items()
        for commit in runtime.ledger.stream(runtime.stream("silver", name)).commits
        if (commit.stream, commit.n) in done
    ]
    reasons, records = _reasons(batches), _bronze_batches(batches)
    return replace(
        _of_batches(runtime, steps, batches),
        stopped=tuple(error.message for error in stopped),
        quarantine={name: dict(counts) for name, counts in reasons.items()},
        examples={name: examples_of(runtime, name, records) for name in reasons},
    )


def _of_batches(runtime: Runtime, steps: Sequence[StepRow], batches: Sequence[tuple[str, Commit]]) -> QualityReport:
    """What every report tells."""
    project = runtime.project
    return QualityReport(
        pipeline=project.pipeline,
        run_id=runtime.run_id,
        run_date=runtime.run_date,
        rows=tuple(_equation(source, commit) for source, commit in batches),
        steps=_timings(steps),
        layout=tuple(_layout(project.path("gold", name), name) for name in _published_tables(runtime)),
        held=held_batches(runtime),
    )


def _reasons(batches: Sequence[tuple[str, Commit]]) -> dict[str, Counter[str]]:
    """Quarantined records by source and reason."""
    reasons: dict[str, Counter[str]] = {}
    for source, commit in batches:
        found = commit.facts["reasons"]
        if isinstance(found, dict) and found:
            counts = {str(name): int(str(count)) for name, count in found.items()}
            reasons.setdefault(source, Counter()).update(counts)
    return reasons


def _bronze_batches(batches: Sequence[tuple[str, Commit]]) -> frozenset[str]:
    """Batches whose records the report counts, as quarantine names them."""
    steps = [ConformBatch.model_validate(commit.payload) for _, commit in batches]
    return frozenset(batch.id for step in steps for batch in (*step.batches, *step.released))


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
