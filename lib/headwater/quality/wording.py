"""Says in plain words what a check expects and what was seen, for reports, logs and messages alike."""

import math
from collections.abc import Sequence
from datetime import date
from typing import assert_never

from headwater.config.quality import (
    Check,
    FrameCheck,
    InRange,
    Metric,
    NotGreater,
    NotNull,
    PopulationChange,
    PopulationExact,
    PopulationRange,
    RowPassRate,
    Unique,
)

_SMALL = 0.001
_KILO = 1_000
_LARGE = 1e12
_LITTLE = 0.01


def check_name(check: Check) -> str:
    """Short name of a check, as metrics and reports print it: `kind(columns)`."""
    match check:
        case NotNull() | InRange():
            return f"{check.kind}({check.column})"
        case Unique():
            return f"unique({', '.join(check.columns)})"
        case NotGreater():
            return f"not_greater({check.column}, {check.than})"
        case Metric():
            return f"{check.metric}({check.column})"
        case PopulationExact() | PopulationChange() | PopulationRange() | RowPassRate():
            return check.kind
    assert_never(check)


def expectation(check: Check) -> str:
    """What must hold, as a sentence fragment."""
    match check:
        case NotNull() | Unique() | InRange() | NotGreater() | Metric():
            return _of_rows(check)
        case PopulationExact() | PopulationChange() | PopulationRange() | RowPassRate():
            return _of_the_whole(check)
    assert_never(check)


def _of_rows(check: FrameCheck) -> str:
    match check:
        case NotNull():
            return f"every row has {check.column}"
        case Unique():
            return f"no two rows share {' and '.join(check.columns)}"
        case InRange():
            return f"{check.column} is {bounds(check.min, check.max)}"
        case NotGreater():
            return f"{check.column} is at most {check.than}"
        case Metric():
            return f"{check.metric.replace('_', ' ')} of {check.column} is {bounds(check.min, check.max)}"
    assert_never(check)


def _of_the_whole(check: PopulationExact | PopulationChange | PopulationRange | RowPassRate) -> str:
    match check:
        case PopulationExact():
            return "one row per entity of the population, on every date"
        case PopulationChange():
            return f"population within {percent(check.max_share)} of the day before"
        case PopulationRange():
            return f"population {bounds(check.min, check.max)}"
        case RowPassRate():
            return f"at least {percent(check.min)} of the records pass the row rules"
    assert_never(check)


def rows_seen(rows: int, failing: int) -> str:
    """How many rows break a row check."""
    if rows == 0:
        return "no rows"
    return f"{failing:,} of {rows:,} rows fail" if failing else f"all {rows:,} rows pass"


def bounds(low: float | None, high: float | None) -> str:
    """An interval whose ends may be open."""
    if low is not None and high is not None:
        return f"between {number(low)} and {number(high)}"
    if low is not None:
        return f"at least {number(low)}"
    return f"at most {number(high)}" if high is not None else "anything"


def number(value: float) -> str:
    """A number as people write it: whole numbers whole, others with at most four decimals."""
    if value == 0 or abs(value) >= _SMALL:
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share in percent, exact to six decimals, so that almost all never reads as all."""
    return f"{share * 100:.6f}".rstrip("0").rstrip(".") + "%"


def brief(value: float) -> str:
    """A number for a narrow place: whole above a thousand, else at most three digits behind the first that counts."""
    if abs(value) >= _LARGE:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= _KILO else f"{value:,.4g}"


def share(part: float, whole: float) -> str:
    """A share in percent with two decimals; a little never reads as nothing, nor almost all as all."""
    percents = 100 * part / whole if whole else 0.0
    if 0 < percents < _LITTLE:
        return f"< {_LITTLE}%"
    if 100 - _LITTLE < percents < 100:
        return f"> {100 - _LITTLE}%"
    return f"{percents:.2f}".rstrip("0").rstrip(".") + "%"


def cut_score(score: float) -> str:
    """A score with four decimals, cut and not rounded: one that is not perfect never reads as 1."""
    return f"{math.floor(score * 10_000) / 10_000:.4f}"


def duration(seconds: float) -> str:
    """A time span as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def size(count: float) -> str:
    """A number of bytes in the unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:,.1f} TB"


def span_of(dates: Sequence[date]) -> str:
    """Feature dates, one by its name and several by their ends."""
    if not dates:
        return "no feature date"
    first, last = min(dates), max(dates)
    if first == last:
        return f"feature date {last.isoformat()}"
    return f"{len(dates):,} feature dates from {first.isoformat()} to {last.isoformat()}"
