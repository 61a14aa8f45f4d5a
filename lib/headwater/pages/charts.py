"""Drawings of the report as data: paths in a square of 100 x 100, and the words that say what they show.

A drawing is stretched to the width it finds, so it holds no text of its own: labels stand beside it, in the page's
type.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_SIZE = 100.0
# Lines keep away from the edge by half of their width.
_MARGIN = 8.0
# A bar of a value above zero stays visible.
_LEAST = 1.5
_GAP = 0.12


@dataclass(frozen=True, slots=True)
class Path:
    """A path, in numbers and letters of SVG only, and how it looks: bar, line, good or bad."""

    look: str
    data: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Paths and their meaning for who cannot see them.

    Attributes:
        shape: how large it is on the page: chart, strip.
        title: what it shows.
        detail: the values, in words.
    """

    shape: str
    title: str
    detail: str
    paths: tuple[Path, ...]


def histogram(title: str, detail: str, bars: Sequence[int]) -> Drawing:
    """Bars side by side from the ground up, the highest as high as the drawing."""
    highest, width = max(bars, default=0), _SIZE / max(len(bars), 1)
    shapes = [
        _box(place * width + _GAP * width / 2, (1 - _GAP) * width, max(_SIZE * count / highest, _LEAST))
        for place, count in enumerate(bars)
        if count
    ]
    return Drawing("chart", title, detail, (Path("bar", "".join(shapes)),))


def curve(title: str, detail: str, values: Sequence[float | None], passed: Sequence[bool]) -> Drawing:
    """A line through equally spaced points, broken where there is no value, with a dot where it ends or did not pass.

    The lowest value lies near the ground and the highest near the top; equal ones lie half-way up.
    """
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    points = [
        None if value is None else (_across(place, len(values)), _up(value, low, high))
        for place, value in enumerate(values)
    ]
    runs = (list(run) for there, run in groupby(points, key=lambda point: point is not None) if there)
    line = "".join("M" + "L".join(_at(point) for point in run if point is not None) for run in runs)
    last = max((place for place, point in enumerate(points) if point is not None), default=0)
    dots = [
        Path("good" if well else "bad", f"M{_at(point)}h0")
        for place, (point, well) in enumerate(zip(points, passed, strict=True))
        if point is not None and (place == last or not well)
    ]
    return Drawing("chart", title, detail, (Path("line", line), *dots))


def span(title: str, begin: float, end: float, whole: float) -> Drawing:
    """A bar from one place of a strip to another; all three in the same unit, of which the title tells the values."""
    left, right = (_SIZE * min(max(place / whole, 0.0), 1.0) if whole > 0 else 0.0 for place in (begin, end))
    left = min(left, _SIZE - _LEAST)
    return Drawing("strip", title, "", (Path("bar", _box(left, max(right - left, _LEAST), _SIZE)),))


def _box(left: float, width: float, height: float) -> str:
    """A box that stands on the ground."""
    return f"M{_text(left)} 100v{_text(-height)}h{_text(width)}V100z"


def _across(place: int, count: int) -> float:
    return _SIZE / 2 if count == 1 else _MARGIN / 4 + (_SIZE - _MARGIN / 2) * place / (count - 1)


def _up(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return _SIZE - _MARGIN - (_SIZE - 2 * _MARGIN) * share


def _at(point: tuple[float, float]) -> str:
    return f"{_text(point[0])} {_text(point[1])}"


def _text(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
