"""Numbers, times and dates as a page shows them to people."""

import math
from collections.abc import Sequence
from datetime import date

_KILO = 1_000
_LARGE = 1e12
_LITTLE = 0.01


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
