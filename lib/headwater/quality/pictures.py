"""What the page of a quality report shows as drawings: distributions, trends, and when each step ran."""

from collections.abc import Callable, Sequence
from typing import assert_never

from headwater.pages.charts import curve, histogram, span
from headwater.pages.numbers import brief, cut_score, duration, share
from headwater.pages.page import Card, Column, cards, heading, paragraph, table
from headwater.quality.facts import AuditPoint, DateSpread, NumberSpread, QualityReport, Spread, ValueSpread


def distributions(report: QualityReport) -> list[str]:
    """A card per feature of the newest date."""
    found = report.distributions
    if found is None or not found.spreads:
        return []
    rows = found.spreads[0].rows
    counted = f"{rows:,} rows" if found.complete else f"the first {rows:,} rows in the order of its files, of more"
    return [
        heading("Feature distributions", found.date.isoformat()),
        paragraph(
            f"As staged, from {counted}. Bars are equally wide; where the maximum lies far out, the last one also "
            "counts what lies above it. Of an attribute only values that at least five entities share are named."
        ),
        cards(_card(spread) for spread in found.spreads),
    ]


def _card(spread: Spread) -> Card:
    nulls = ("Nulls", share(spread.nulls, spread.rows))
    match spread:
        case NumberSpread(numbers=None):
            return Card(spread.feature, headline="no values", facts=(nulls,))
        case NumberSpread():
            return _number_card(spread, nulls)
        case DateSpread(feature=feature, earliest=earliest, latest=latest):
            ends = (("Earliest", _day(earliest)), ("Latest", _day(latest)))
            return Card(feature, facts=(*ends, nulls), columns=3)
        case ValueSpread(feature=feature, rows=rows, values=values, other=other):
            named = [*values, *([("other", other)] if other else [])]
            shares = tuple(
                (value, span(share(count, rows), 0, count, rows), share(count, rows)) for value, count in named
            )
            return Card(feature, shares=shares, facts=(nulls,))
        case _:
            assert_never(spread)


def _number_card(spread: NumberSpread, nulls: tuple[str, str]) -> Card:
    found = spread.numbers
    if found is None:
        return Card(spread.feature, facts=(nulls,))
    facts = (
        ("Min", brief(found.min)),
        ("5%", brief(found.p05)),
        ("Median", brief(found.p50)),
        ("95%", brief(found.p95)),
        ("Max", brief(found.max)),
        ("Mean", brief(found.mean)),
        nulls,
        ("Rows", f"{spread.rows:,}"),
    )
    detail = f"{len(found.bars)} bars from {brief(found.low)} to {brief(found.high)}: {', '.join(map(str, found.bars))}"
    end = f"{brief(found.high)} and above" if found.max > found.high else brief(found.max)
    return Card(
        spread.feature,
        drawing=histogram(f"Distribution of {spread.feature}", detail, found.bars),
        axis=(brief(found.low), end),
        facts=facts,
    )


def _day(value: object) -> str:
    return "none" if value is None else str(value)


def trends(report: QualityReport) -> list[str]:
    """How score, rows and quarantine moved over the last audits."""
    points = report.trend
    if not points:
        return []
    told = heading("Trends", f"the last {len(points)} audits" if len(points) > 1 else "")
    if len(points) == 1:
        return [told, paragraph("This is the first audit of the view: there is no history yet.")]
    shares = [point.quarantined_share for point in points]
    return [
        told,
        paragraph("From left to right, one point per audit. A red dot is an audit that did not pass."),
        cards(
            [
                _trend("Quality score", points, [point.score for point in points], cut_score),
                _trend("Rows judged", points, [float(point.rows) for point in points], lambda rows: f"{rows:,.0f}"),
                _trend("Records quarantined", points, shares, lambda part: share(part, 1)),
            ]
        ),
    ]


def _trend(
    title: str, points: Sequence[AuditPoint], values: Sequence[float | None], words: Callable[[float], str]
) -> Card:
    known = [value for value in values if value is not None]
    told = [f"{point.run_date} {_told(value, words)}" for point, value in zip(points, values, strict=True)]
    return Card(
        title,
        headline=_told(values[-1], words),
        drawing=curve(
            f"{title} over {len(points)} audits", "; ".join(told), values, [point.passed for point in points]
        ),
        axis=(points[0].run_date.isoformat(), points[-1].run_date.isoformat()),
        facts=(
            ("First", _told(values[0], words)),
            ("Lowest", _told(min(known, default=None), words)),
            ("Highest", _told(max(known, default=None), words)),
        ),
        columns=3,
    )


def _told(value: float | None, words: Callable[[float], str]) -> str:
    return "none" if value is None else words(value)


def steps(report: QualityReport) -> list[str]:
    """When each step began and how long it took."""
    if not report.steps:
        return []
    columns = [Column("Step"), Column("Ended"), Column("When", percent=40), Column("Time", number=True)]
    whole = report.seconds
    return [
        heading("Steps", f"{duration(whole)} in all"),
        table(
            columns,
            [
                (
                    step.step,
                    step.status,
                    span(
                        f"from {duration(step.begun)} to {duration(step.begun + step.seconds)}",
                        step.begun,
                        step.begun + step.seconds,
                        whole,
                    ),
                    duration(step.seconds),
                )
                for step in report.steps
            ],
        ),
    ]
