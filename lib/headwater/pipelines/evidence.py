"""What the quality report shows beside verdict and row equation: read from ledger and tables, without a session."""

from collections.abc import Collection
from datetime import date

from headwater.features.asof import FEATURE_DATE
from headwater.pipelines.gates import waiting_holds
from headwater.pipelines.published import published_dates
from headwater.pipelines.quarantine import quarantine_path
from headwater.pipelines.steps import AuditStage, PublishStage, Runtime, StageDates
from headwater.quality.distributions import spreads
from headwater.quality.facts import (
    AuditPoint,
    Distributions,
    Example,
    HeldBatch,
    LateRecords,
    Repairs,
    Spread,
    WithheldRows,
)
from headwater.state.streams import Commit
from headwater.tables.quarantine import masked_examples, open_reasons
from headwater.tables.sample import rows_of_date

_TREND = 30
_EXAMPLES = 2
# Together they bound memory: 2 million rows of 8 columns take 130 MB, and three times that while they are read.
_ROWS = 2_000_000
_COLUMNS_AT_ONCE = 8


def held_batches(runtime: Runtime) -> tuple[HeldBatch, ...]:
    """Batches of any source that wait for a decision now."""
    return tuple(
        HeldBatch(hold.source, hold.batch.id, hold.batch.records, hold.finding.gate, hold.finding.found)
        for _, contract in sorted(runtime.project.tables.items())
        for hold in waiting_holds(runtime, contract)
    )


def carried_dates_by_source(runtime: Runtime, step: StageDates) -> dict[str, tuple[date, ...]]:
    """The staged dates whose features of a source keep the values published last."""
    return {runtime.project.tables[table].source: dates for table, dates in step.carried.items()}


def withheld_rows(verdict: Commit) -> WithheldRows | None:
    """What an audit held back, None for nothing."""
    rows, ranges = int(str(verdict.facts["withheld"])), verdict.facts["ranges"]
    columns = tuple(sorted(ranges)) if isinstance(ranges, dict) else ()
    return WithheldRows(rows, of=int(str(verdict.facts["rows"])), columns=columns) if rows else None


def withheld_reasons(runtime: Runtime, staged: Commit) -> dict[str, int]:
    """Rows of a stage batch that are held back, by reason."""
    return open_reasons(quarantine_path(runtime, runtime.project.view.name), staged.batch_id)


def examples_of(runtime: Runtime, name: str, batches: Collection[str]) -> dict[str, tuple[Example, ...]]:
    """A few masked records by reason, of a source or of the view; those of the given batches where there are any."""
    is_view = name == runtime.project.view.name
    location = quarantine_path(runtime, name) if is_view else runtime.project.path("quarantine", name)
    return {
        reason: tuple(Example(each.id, each.quarantined_at.date(), each.fields) for each in found)
        for reason, found in masked_examples(location, batches, at_most=_EXAMPLES).items()
    }


def repairs_of(runtime: Runtime, staged: Commit) -> Repairs | None:
    """What a stage batch changes of dates published before it, as far as it is published itself; None for nothing."""
    step = StageDates.model_validate(staged.payload)
    if not step.late:
        return None
    publications = runtime.ledger.stream(runtime.stream("publish", step.view)).commits
    steps = {commit.n: PublishStage.model_validate(commit.payload) for commit in publications}
    before = published_dates(each for each in steps.values() if each.stage_n < staged.n)
    changed: dict[date, int] = {}
    for commit in publications:
        repaired = commit.facts.get("repaired")
        if steps[commit.n].stage_n == staged.n and isinstance(repaired, dict):
            changed |= {date.fromisoformat(day): int(str(rows)) for day, rows in repaired.items()}
    late = [
        LateRecords(
            source=runtime.project.tables[each.table].source,
            rows=each.rows,
            days=(each.first, each.last),
            reach=(each.dates_from, each.dates_to) if each.dates_from and each.dates_to else None,
            beyond=each.beyond,
        )
        for each in step.late
    ]
    return Repairs(tuple(late), tuple(day for day in step.whole if day in before), changed)


def trend_to(runtime: Runtime, verdict: Commit, at_most: int = _TREND) -> tuple[AuditPoint, ...]:
    """The last audits of the view up to one of them, oldest first."""
    stream = runtime.stream("audit", runtime.project.view.name)
    commits = runtime.ledger.stream(stream, since=verdict.n - at_most + 1).commits
    return tuple(_point(commit) for commit in commits if commit.n <= verdict.n)


def _point(commit: Commit) -> AuditPoint:
    step = AuditStage.model_validate(commit.payload)
    return AuditPoint(
        run_date=step.run_date,
        passed=bool(commit.facts["passed"]),
        score=float(str(commit.facts["score"])),
        rows=int(str(commit.facts["rows"])),
        received=sum(judged for judged, _ in step.row_counts.values()),
        quarantined=sum(quarantined for _, quarantined in step.row_counts.values()),
    )


def distributions_of(runtime: Runtime, staged: Commit) -> Distributions | None:
    """How the features of the newest date that was staged whole are distributed, at the version that was audited."""
    view, dates = runtime.project.view, StageDates.model_validate(staged.payload).whole
    if not dates:
        return None
    newest = max(dates)
    location, at = runtime.project.path("staged", view.name), int(str(staged.facts["staged_version"]))
    columns = [*(feature.name for feature in view.features), *view.attributes]
    found: list[Spread] = []
    complete = True
    for first in range(0, len(columns), _COLUMNS_AT_ONCE):
        names = columns[first : first + _COLUMNS_AT_ONCE]
        rows, complete = rows_of_date(location, at, (FEATURE_DATE, newest), names, at_most=_ROWS)
        found += spreads(rows, attributes=view.attributes)
    return Distributions(newest, complete, tuple(found))
