"""Says in plain words what a check expects and what was seen, for reports, logs and messages alike."""

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
