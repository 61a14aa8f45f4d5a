"""The quality report as JSON for machines and as one HTML page for people."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date

from headwater.config.base import JsonValue
from headwater.quality.facts import QualityReport, RowEquation
from headwater.quality.page import Cell, Column, Mark, banner, figures, heading, page, paragraph, table
from headwater.quality.verdict import CheckResult

_ENGINES = {"deequ": "Deequ", "great_expectations": "Great Expectations", "headwater": "headwater"}
_LAYERS = {1: "schema", 2: "statistical", 3: "business", 4: "model"}
_EQUATION = (
    ("Extracted", "extracted"),
    ("Replayed", "replayed"),
    ("Inserted", "inserted"),
    ("Updated", "updated"),
    ("Unchanged", "unchanged"),
    ("Superseded", "superseded"),
    ("Duplicates", "batch_duplicates"),
    ("Quarantined", "quarantined"),
)
_CHECK_COLUMNS = (
    Column("Result", percent=8),
    Column("Expected", percent=34),
    Column("Seen", percent=30),
    Column("Judged by", percent=18),
    Column("Layer", percent=10),
)
_SAMPLE_ROWS = 5
_KILO = 1000


def report_json(report: QualityReport) -> dict[str, JsonValue]:
    """The report as values that any JSON parser reads back."""
    return {
        "passed": report.passed,
        "checks": [_plain(asdict(result)) for result in report.verdict.results],
        "anomalies": _anomalies(report),
        "metrics": _metrics(report),
        "pipeline": report.pipeline,
        "run_id": report.run_id,
        "run_date": report.run_date.isoformat(),
        "dates": _plain(report.dates),
        "dimensions": {
            name: {"passed": passed, "failed": failed}
            for name, (passed, failed) in report.verdict.by_dimension().items()
        },
        "rows": [_plain({**asdict(row), "adds_up": row.adds_up}) for row in report.rows],
        "quarantine": _plain(report.quarantine),
        "steps": [_plain(asdict(step)) for step in report.steps],
        "layout": [_plain(asdict(layout)) for layout in report.layout],
        "stale_sources": list(report.stale_sources),
        "sample": _plain(report.sample),
    }


def report_html(report: QualityReport) -> str:
    """The report as one page that needs nothing else; the verdict comes first."""
    return page(
        f"{report.pipeline}: quality of {report.run_date.isoformat()}",
        [
            heading(report.pipeline, level=1),
            paragraph(f"Run {report.run_id} of {report.run_date.isoformat()}: {_span(report.dates)}"),
            _verdict(report),
            _figures(report),
            *_rows(report),
            *_checks(report),
            *_quarantine(report),
            *_steps(report),
            *_layout(report),
            *_sample(report),
        ],
    )


def _anomalies(report: QualityReport) -> list[JsonValue]:
    failed: list[JsonValue] = [
        {
            "kind": "check",
            "subject": result.name,
            "engine": result.engine,
            "blocking": result.blocking,
            "expected": result.expected,
            "observed": result.observed,
        }
        for result in report.problems
    ]
    lost: list[JsonValue] = [
        {
            "kind": "row_equation",
            "subject": row.source,
            "engine": "headwater",
            "blocking": True,
            "expected": f"{row.received} records accounted for",
            "observed": f"{row.accounted} records accounted for",
        }
        for row in report.unbalanced
    ]
    return [*lost, *failed]


def _metrics(report: QualityReport) -> dict[str, JsonValue]:
    received = sum(row.received for row in report.rows)
    quarantined = sum(row.quarantined for row in report.rows)
    return {
        "data_quality_score": report.score,
        "checks": len(report.verdict.results),
        "validation_failures": len(report.problems),
        "dates": len(report.dates),
        "records_received": received,
        "records_quarantined": quarantined,
        "duration_seconds": report.seconds,
        "files": sum(layout.files for layout in report.layout),
        "bytes": sum(layout.bytes for layout in report.layout),
    }


def _verdict(report: QualityReport) -> str:
    lines = [
        f"{row.source}: {row.received:,} records came, {row.accounted:,} are accounted for" for row in report.unbalanced
    ]
    lines += dict.fromkeys(f"Expected: {result.expected}. Seen: {result.observed}." for result in report.problems)
    if report.stale_sources:
        lines.append(f"Carried forward from the last published values: {', '.join(report.stale_sources)}.")
    if not report.passed:
        return banner("bad", "Stopped. Readers keep what they had before this run.", lines)
    if lines:
        return banner("warn", "Passed, with something to look at.", lines)
    return banner("good", "Passed. All checks hold.", ())


def _figures(report: QualityReport) -> str:
    received = sum(row.received for row in report.rows)
    # Cut, not rounded: a score that is not perfect never reads as 1.
    score = math.floor(report.score * 10_000) / 10_000
    return figures(
        [
            ("Quality score", f"{score:.4f}"),
            ("Feature dates", f"{len(report.dates):,}"),
            ("Records received", f"{received:,}"),
            ("Quarantined", f"{sum(row.quarantined for row in report.rows):,}"),
            ("Time", _duration(report.seconds)),
        ]
    )


def _rows(report: QualityReport) -> list[str]:
    if not report.rows:
        return []
    columns = [Column("Source"), *(Column(label, number=True) for label, _ in _EQUATION), Column("Adds up")]
    return [
        heading("Every record is accounted for" if not report.unbalanced else "Records are missing"),
        paragraph("Extracted and replayed records equal the sum of the six columns that follow."),
        table(columns, [_row(row) for row in report.rows]),
    ]


def _row(row: RowEquation) -> list[Cell]:
    values = asdict(row)
    mark = Mark("yes", "good") if row.adds_up else Mark(f"no, {row.accounted - row.received:+,}", "bad")
    return [row.source, *(f"{values[name]:,}" for _, name in _EQUATION), mark]


def _checks(report: QualityReport) -> list[str]:
    parts = [heading("Checks")] if report.verdict.results else []
    for dimension in report.verdict.by_dimension():
        findings = _findings(result for result in report.verdict.results if result.dimension == dimension)
        passed = sum(finding.passed for finding, _ in findings)
        parts.append(heading(dimension.capitalize(), f"{passed} of {len(findings)} pass", level=3))
        parts.append(table(_CHECK_COLUMNS, [_check_row(finding, engines) for finding, engines in findings]))
    return parts


def _findings(results: Iterable[CheckResult]) -> list[tuple[CheckResult, list[str]]]:
    """Results that say the same, with the engines that say so."""
    found: dict[CheckResult, list[str]] = {}
    for result in results:
        found.setdefault(replace(result, engine="headwater"), []).append(_ENGINES[result.engine])
    return list(found.items())


def _check_row(finding: CheckResult, engines: Sequence[str]) -> list[Cell]:
    mark = _mark(passed=finding.passed, blocking=finding.blocking)
    return [mark, finding.expected, finding.observed, ", ".join(dict.fromkeys(engines)), _LAYERS[finding.layer]]


def _mark(*, passed: bool, blocking: bool) -> Mark:
    if passed:
        return Mark("pass", "good")
    return Mark("blocks", "bad") if blocking else Mark("warns", "warn")


def _quarantine(report: QualityReport) -> list[str]:
    counts = [
        (source, reason, count)
        for source, reasons in sorted(report.quarantine.items())
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    if not counts:
        return []
    columns = [Column("Source"), Column("Reason"), Column("Records", number=True)]
    return [
        heading("Quarantine"),
        paragraph("Kept with its reasons, to be fixed and replayed. A record with two reasons counts under both."),
        table(columns, [(source, reason, f"{count:,}") for source, reason, count in counts]),
    ]


def _steps(report: QualityReport) -> list[str]:
    if not report.steps:
        return []
    columns = [Column("Step"), Column("Ended"), Column("Time", number=True)]
    return [
        heading("Steps"),
        table(columns, [(step.step, step.status, _duration(step.seconds)) for step in report.steps]),
    ]


def _layout(report: QualityReport) -> list[str]:
    if not report.layout:
        return []
    columns = [Column("Table"), Column("Files", number=True), Column("Size", number=True)]
    rows = [(layout.table, f"{layout.files:,}", _size(layout.bytes)) for layout in report.layout]
    return [heading("Storage"), table(columns, rows)]


def _sample(report: QualityReport) -> list[str]:
    shown = report.sample[:_SAMPLE_ROWS]
    if not shown:
        return []
    names = list(dict.fromkeys(name for row in shown for name in row))
    rows = [[_shown(row.get(name)) for name in names] for row in shown]
    return [heading("Some rows"), table([Column(name) for name in names], rows, wide=True)]


def _shown(value: object) -> str:
    if value is None:
        return "null"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _plain(value: object) -> JsonValue:
    """The value in JSON's own types; what JSON has no type for becomes text."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case _:
            return value.isoformat() if isinstance(value, date) else str(value)


def _span(dates: Sequence[date]) -> str:
    if not dates:
        return "no feature date"
    first, last = min(dates), max(dates)
    if first == last:
        return f"feature date {last.isoformat()}"
    return f"{len(dates):,} feature dates from {first.isoformat()} to {last.isoformat()}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:,.1f} TB"
