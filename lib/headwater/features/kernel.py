"""Windowed aggregates of many entities on many dates at once, without a loop over either.

A tile counts on the dates of one interval: from the day on which its event has happened and its fact is known, up to
the last day whose window still holds the event. Intervals, not windows, are what is worked with, so a lifetime
feature, a second date and a window of any length are the same case:

    tiles (n: entity row, begin, end, value)
      ──add──> +value where the interval begins, -value where it has ended; a running total along the dates, from what
               was known before
      ──max──> two overlapping runs of 2^j dates cover the interval; each is noted where it begins, and from the longest
               runs down every run hands its value to its two halves
    ──> state (entities x dates)

Time is O(n + entities x dates x log(dates)) and memory two grids, whatever the windows' lengths. Sums are exact: int64
is refused before it could overflow. (Difference arrays and sparse tables are textbook; for the latter see Bender and
Farach-Colton, "The LCA Problem Revisited", 2000.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Monoid: TypeAlias = Literal["add", "max", "min"]
Number = TypeVar("Number", np.int64, np.float64)

# Days as integers since 1970-01-01; both lie far outside of what a date can be.
ALWAYS, NEVER = -(2**40), 2**40
# What a maximum or minimum of nothing is: no value, day or count reaches it.
NOTHING: Mapping[Monoid, int] = {"add": 0, "max": -(2**63), "min": 2**63 - 1}
_EPOCH = date(1970, 1, 1)
_GREATEST_SUM = 2.0**62


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def date_of(number: int) -> date:
    """The date that is so many days after 1970-01-01."""
    return _EPOCH + timedelta(days=number)


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive dates, both ends included, as days since 1970-01-01."""

    first: int
    last: int

    @property
    def days(self) -> int:
        """How many dates."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Intervals:
    """On which dates of a span each tile counts; tiles that count on none are left out.

    Attributes:
        tile: which tile.
        row: the tile's entity as a row of the grid.
        begin: index of the first date.
        end: index after the last date.
        entities: rows of the grid.
        dates: columns of the grid.
    """

    tile: Integers
    row: Integers
    begin: Integers
    end: Integers
    entities: int
    dates: int


def intervals(row: Integers, begin: Integers, end: Integers, *, entities: int, span: Span) -> Intervals:
    """Cut the days [begin, end) of tiles to a span.

    Args:
        row: per tile, the row of its entity.
        begin: first day on which it counts.
        end: first day on which it no longer does.
        entities: how many rows there are.
        span: the dates asked for.
    """
    inside_begin = np.clip(begin - span.first, 0, span.days)
    inside_end = np.clip(end - span.first, 0, span.days)
    tile = np.flatnonzero(inside_begin < inside_end)
    return Intervals(tile, row[tile], inside_begin[tile], inside_end[tile], entities, span.days)


def state(monoid: Monoid, values: Integers, over: Intervals, before: Integers | None = None) -> Integers:
    """Merge the values of the tiles that count on each date.

    Args:
        monoid: how two values become one.
        values: one per tile; `NOTHING[monoid]` where a tile has none.
        over: when each counts.
        before: per entity, what is merged in on every date; None for nothing.

    Returns:
        entities x dates; `NOTHING[monoid]` where no tile counts.

    Raises:
        OverflowError: absolute values that count on one date add up to more than 2^62.
    """
    if monoid == "add":
        return _running_total(values[over.tile], over, before)
    if monoid == "max":
        return _greatest(values[over.tile], over, before)
    # ~x turns the order around and, unlike -x, has no value without a counterpart.
    return ~_greatest(~values[over.tile], over, None if before is None else ~before)


def _running_total(values: NDArray[Number], over: Intervals, before: NDArray[Number] | None) -> NDArray[Number]:
    _require_room(values, over, before)
    width = over.dates + 1
    grid = np.zeros(over.entities * width, values.dtype)
    np.add.at(grid, over.row * width + over.begin, values)
    np.subtract.at(grid, over.row * width + over.end, values)
    changes = grid.reshape(over.entities, width)[:, : over.dates]
    if before is not None:
        changes[:, 0] += before
    # A single date has nothing to run along.
    total: NDArray[Number] = np.cumsum(changes, axis=1) if over.dates > 1 else changes
    return total


def _require_room(values: NDArray[Number], over: Intervals, before: NDArray[Number] | None) -> None:
    """Refuse a sum that 64 bits may not hold, on the dates on which it is one: whatever else the span has."""
    if values.dtype != np.int64:
        return
    sizes, known = _sizes(values), None if before is None else _sizes(before)
    every = sizes.sum() + (0 if known is None else known.sum())
    if every >= _GREATEST_SUM and _running_total(sizes, over, known).max() >= _GREATEST_SUM:
        message = "the values of one entity and window add up to more than 2^62 of the smallest unit"
        raise OverflowError(message)


def _sizes(values: NDArray[Number]) -> NDArray[np.float64]:
    return np.abs(values.astype(np.float64))


def _greatest(values: Integers, over: Intervals, before: Integers | None) -> Integers:
    length = over.end - over.begin
    level = np.frexp(length.astype(np.float64))[1] - 1
    grid: Integers | None = None
    for each in range(int(level.max(initial=0)), -1, -1):
        run = 1 << each
        finer = np.full((over.entities, over.dates), NOTHING["max"], np.int64)
        if grid is not None:
            # `grid` holds runs of twice this length by their begin; each is two of the present length.
            np.maximum(finer, grid, out=finer)
            np.maximum(finer[:, run:], grid[:, :-run], out=finer[:, run:])
        ours = level == each
        at, flat = over.row[ours] * over.dates, finer.reshape(-1)
        np.maximum.at(flat, at + over.begin[ours], values[ours])
        np.maximum.at(flat, at + over.end[ours] - run, values[ours])
        grid = finer
    if grid is None:
        grid = np.full((over.entities, over.dates), NOTHING["max"], np.int64)
    return grid if before is None else np.maximum(grid, before[:, None])
