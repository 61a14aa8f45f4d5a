"""The quality report as JSON for machines and as one HTML page for people."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from typing import assert_never

from pydantic import TypeAdapter

from headwater.config.base import JsonValue
from headwater.pages.numbers import span_of
from headwater.pages.page import contents, heading, page, paragraph, section
from headwater.quality import pictures, sections
from headwater.quality.facts import DateSpread, Distributions, NumberSpread, QualityReport, Spread, ValueSpread

_SECTIONS: tuple[tuple[str, str, Callable[[QualityReport], list[str]]], ...] = (
    ("rows", "Row equation", sections.row_equation),
    ("checks", "Checks", sections.checks),
    ("repairs", "Repairs", sections.repairs),
    ("distributions", "Distributions", pictures.distributions),
    ("quarantine", "Quarantine", sections.quarantine),
    ("trends", "Trends", pictures.trends),
    ("storage", "Storage", sections.storage),
    ("steps", "Steps", pictures.steps),
)
_SPREADS: Mapping[str, TypeAdapter[NumberSpread] | TypeAdapter[DateSpread] | TypeAdapter[ValueSpread]] = {
    "numbers": TypeAdapter(NumberSpread),
    "dates": TypeAdapter(DateSpread),
    "values": TypeAdapter(ValueSpread),
}


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
        "held": [_plain({**asdict(hold), "release": hold.release, "discard": hold.discard}) for hold in report.held],
        "stale_sources": list(report.stale_sources),
        "carried": _plain(report.carried),
        "withheld": _plain(asdict(report.withheld)) if report.withheld else None,
        "rows": [_plain({**asdict(row), "adds_up": row.adds_up}) for row in report.rows],
        "repairs": _plain(asdict(report.repairs)) if report.repairs else None,
        "distributions": _distributions(report),
        "quarantine": _plain(report.quarantine),
        "examples": {
            source: {reason: [_plain(asdict(each)) for each in found] for reason, found in reasons.items()}
            for source, reasons in report.examples.items()
        },
        "trend": [_plain({**asdict(point), "quarantined_share": point.quarantined_share}) for point in report.trend],
        "layout": [_plain(asdict(layout)) for layout in report.layout],
        "steps": [_plain(asdict(step)) for step in report.steps],
    }


def distributions_in(text: str) -> Distributions | None:
    """What a report's JSON says of its newest date; None of a report that did not pass, or that has nothing of it."""
    found = json.loads(text)
    told = found.get("distributions")
    if not told or not found["passed"]:
        return None
    spreads = tuple(_SPREADS[each.pop("kind")].validate_python(each) for each in told["features"])
    return Distributions(date.fromisoformat(told["date"]), complete=told["complete"], spreads=spreads)


def report_html(report: QualityReport) -> str:
    """The report as one page that needs nothing else; the verdict comes first."""
    made = [(anchor, label, build(report)) for anchor, label, build in _SECTIONS]
    shown = [(anchor, label, parts) for anchor, label, parts in made if parts]
    return page(
        f"{report.pipeline}: quality of {report.run_date.isoformat()}",
        [
            heading(report.pipeline, level=1),
            paragraph(f"Run {report.run_id} of {report.run_date.isoformat()}: {_covered(report)}"),
            *sections.verdict(report),
            *sections.kept_out(report),
            *sections.key_figures(report),
            contents((anchor, label) for anchor, label, _ in shown),
            *(section(anchor, parts) for anchor, _, parts in shown),
        ],
    )


def _covered(report: QualityReport) -> str:
    return span_of(report.dates) if report.dates else "no feature date"


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
    stopped: list[JsonValue] = [
        {
            "kind": "gate",
            "subject": report.pipeline,
            "engine": "headwater",
            "blocking": True,
            "expected": "every gate lets its source through",
            "observed": reason,
        }
        for reason in report.stopped
    ]
    return [*stopped, *lost, *failed]


def _metrics(report: QualityReport) -> dict[str, JsonValue]:
    received = sum(row.received for row in report.rows)
    quarantined = sum(row.quarantined for row in report.rows)
    return {
        "data_quality_score": report.score if report.verdict.results else None,
        "checks": len(report.verdict.results),
        "validation_failures": len(report.problems),
        "dates": len(report.dates),
        "records_received": received,
        "records_quarantined": quarantined,
        "records_held": sum(hold.records for hold in report.held),
        "rows_withheld": report.withheld.rows if report.withheld else 0,
        "duration_seconds": report.seconds,
        "files": sum(layout.files for layout in report.layout),
        "bytes": sum(layout.bytes for layout in report.layout),
    }


def _distributions(report: QualityReport) -> JsonValue:
    found = report.distributions
    if found is None:
        return None
    spreads: list[JsonValue] = [_plain({"kind": _kind(spread), **asdict(spread)}) for spread in found.spreads]
    return {"date": found.date.isoformat(), "complete": found.complete, "features": spreads}


def _kind(spread: Spread) -> str:
    match spread:
        case NumberSpread():
            return "numbers"
        case DateSpread():
            return "dates"
        case ValueSpread():
            return "values"
        case _:
            assert_never(spread)


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
