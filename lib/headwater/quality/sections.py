"""What the page of a quality report says in words and tables; every function gives the parts of one section."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from itertools import islice

from headwater.pages.numbers import cut_score, duration, share, size, span_of
from headwater.pages.page import Cell, Column, Folded, Mark, banner, figures, heading, note, paragraph, table
from headwater.quality.facts import Example, QualityReport, Repairs, RowEquation
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
_REASON_COLUMNS = (Column("Reason", percent=26), Column("Records", number=True, percent=10), Column("Masked examples"))
_LATE_COLUMNS = (
    Column("Source"),
    Column("Late rows", number=True),
    Column("Of days"),
    Column("Published dates they count on"),
    Column("Dates beyond the horizon", number=True),
)
_REPAIRED_COLUMNS = (
    Column("Month"),
    Column("Dates computed for everybody", number=True),
    Column("Dates repaired by entity", number=True),
    Column("Rows changed in these", number=True),
)
_ID_SHOWN = 12
_FIELDS_SHOWN = 2


def verdict(report: QualityReport) -> list[str]:
    """One sentence, and what speaks against it."""
    lines = [*report.stopped]
    lines += [
        f"{row.source}: {row.received:,} records came, {row.accounted:,} are accounted for" for row in report.unbalanced
    ]
    lines += dict.fromkeys(f"Expected: {result.expected}. Seen: {result.observed}." for result in report.problems)
    kept = [f"{len(report.held)} held {'batch' if len(report.held) == 1 else 'batches'}"] if report.held else []
    kept += [f"{', '.join(report.stale_sources)} carried forward"] if report.carried else []
    kept += [f"{report.withheld.rows:,} rows withheld"] if report.withheld else []
    lines += [f"Not everything is in: {'; '.join(kept)}."] if kept else []
    if not report.passed:
        return [banner("bad", "Stopped. Readers keep what they had before this run.", lines)]
    if lines:
        return [banner("warn", "Passed, with something to look at.", lines)]
    return [banner("good", "Passed. All checks hold.", ())]


def kept_out(report: QualityReport) -> list[str]:
    """Held batches, sources carried forward and rows withheld: what each means, and what can be done."""
    notes = [
        note(
            f"{hold.source}: a batch of {hold.records:,} records is held",
            (
                f"Gate {hold.gate}: {hold.found}.",
                "Nothing of it is in silver, and it waits for a decision: let it in, or keep it out for good.",
            ),
            (hold.release, hold.discard),
        )
        for hold in report.held
    ]
    notes += [
        note(
            f"{source}: values are carried forward",
            (
                f"On {span_of(dates)} its features keep the values published last: its newest event is too old, or a "
                "batch of it is held. The rows name it in stale_sources, and are computed again once it has caught up.",
            ),
        )
        for source, dates in sorted(report.carried.items())
    ]
    if report.withheld:
        columns, rows = ", ".join(report.withheld.columns), report.withheld.rows
        notes.append(
            note(
                f"{rows:,} of {report.withheld.of:,} feature rows are withheld",
                (
                    f"{share(rows, report.withheld.of)} of the rows lie outside the range of {columns}, too few to "
                    "stop the others. Quarantine keeps them with their reasons; they are judged again with their date.",
                ),
            )
        )
    return notes


def key_figures(report: QualityReport) -> list[str]:
    """The numbers that most people ask for."""
    received = sum(row.received for row in report.rows)
    return [
        figures(
            [
                ("Quality score", cut_score(report.score) if report.verdict.results else "not judged"),
                ("Feature dates", f"{len(report.dates):,}"),
                ("Records received", f"{received:,}"),
                ("Quarantined", f"{sum(row.quarantined for row in report.rows):,}"),
                ("Time", duration(report.seconds)),
            ]
        )
    ]


def row_equation(report: QualityReport) -> list[str]:
    """Where the records of each source went."""
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


def checks(report: QualityReport) -> list[str]:
    """What was expected and what was seen, by dimension."""
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


def quarantine(report: QualityReport) -> list[str]:
    """Rejected records by source and reason, the most frequent first, with masked examples."""
    if not any(report.quarantine.values()):
        return []
    parts = [
        heading("Quarantine"),
        paragraph(
            "Kept with its reasons, to be fixed and replayed. A record with two reasons counts under both. In examples "
            "every letter reads x and every digit 9."
        ),
    ]
    for source, reasons in sorted(report.quarantine.items()):
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        found = report.examples.get(source, {})
        rows = [(reason, f"{count:,}", _examples(reason, found.get(reason, ()))) for reason, count in ordered]
        parts += [heading(source, level=3), table(_REASON_COLUMNS, rows)]
    return parts


def _examples(reason: str, examples: Sequence[Example]) -> Cell:
    if not examples:
        return "nothing of a held batch is written" if reason == "held" else "none is open"
    lines = tuple(f"{each.id[:_ID_SHOWN]} of {each.seen}: {_fields(each.fields)}" for each in examples)
    return Folded(_telling(reason, examples[0].fields), lines)


def _telling(reason: str, fields: Mapping[str, str] | None) -> str:
    """What the column that a reason names held; of a reason that names none, how the record begins."""
    if fields is None:
        return "does not parse"
    column = reason.rsplit(":", maxsplit=1)[-1]
    if column in fields:
        return f"{column}={fields[column]}"
    return f"no {column}" if ":" in reason else f"{_fields(dict(islice(fields.items(), _FIELDS_SHOWN)))}, …"


def _fields(fields: Mapping[str, str] | None) -> str:
    if fields is None:
        return "nothing that can be shown"
    return ", ".join(f"{name}={text}" for name, text in fields.items())


def repairs(report: QualityReport) -> list[str]:
    """Which published dates changed, and why."""
    if report.repairs is None:
        return []
    late = [
        (each.source, f"{each.rows:,}", _between(each.days), _between(each.reach), f"{each.beyond:,}")
        for each in report.repairs.late
    ]
    parts = [
        heading("Repairs"),
        paragraph("Records that came late, or were corrected, change dates that were published before."),
        table(_LATE_COLUMNS, late),
    ]
    months = sorted({day.replace(day=1) for day in (*report.repairs.whole, *report.repairs.rows)})
    rows = [_repaired_month(month, report.repairs) for month in months]
    return [*parts, heading("What changed", level=3), table(_REPAIRED_COLUMNS, rows)] if rows else parts


def _between(ends: tuple[date, date] | None) -> str:
    if ends is None:
        return "none"
    first, last = ends
    return f"{first}" if first == last else f"{first} to {last}"


def _repaired_month(month: date, repairs: Repairs) -> list[Cell]:
    whole = [day for day in repairs.whole if day.replace(day=1) == month]
    rows = {day: count for day, count in repairs.rows.items() if day.replace(day=1) == month}
    return [f"{month:%Y-%m}", f"{len(whole):,}", f"{len(rows):,}", f"{sum(rows.values()):,}"]


def storage(report: QualityReport) -> list[str]:
    """How the published tables lie on storage."""
    if not report.layout:
        return []
    columns = [Column("Table"), Column("Files", number=True), Column("Size", number=True)]
    rows = [(layout.table, f"{layout.files:,}", size(layout.bytes)) for layout in report.layout]
    return [heading("Storage"), table(columns, rows)]
