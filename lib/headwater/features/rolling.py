"""The newest N events on or before each date.

    events (entity, day, time, states) ──sort by entity, time, states──> each entity's events from oldest to newest
      ──count those up to the date──> a range of them per cell, its end and at most N before it
      ──add: difference of two running totals; max: two overlapping runs of 2^j events──> state per cell

Events of one instant are in order of what they contribute, so that the order of arrival cannot be seen. Memory is the
events, times log2(N) for a maximum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headwater.features.kernel import NOTHING, Integers, Monoid

_ROOM = 2**62
# Days fit 32 bits, so entity and day are one number.
_DAYS = 2**32


@dataclass(frozen=True, slots=True)
class Newest:
    """Which events each cell sees.

    Attributes:
        order: events from oldest to newest, one entity's after another's.
        first: per cell, its first event in that order.
        end: per cell, after its last event.
    """

    order: Integers
    first: Integers
    end: Integers

    @property
    def n(self) -> Integers:
        """How many there are."""
        return self.end - self.first


def newest(events: Sequence[Integers], cells: tuple[Integers, Integers], count: int) -> Newest:
    """Find the newest events of every cell.

    Args:
        events: entity, day, time, and what events of one instant are ordered by.
        cells: entity and day, one per cell.
        count: how many events a cell sees at most.
    """
    entity, day, *later = events
    order = np.lexsort((*reversed(later), entity))
    known = entity[order] * _DAYS + day[order]
    of_entity, at = cells
    end = np.searchsorted(known, of_entity * _DAYS + at, side="right")
    begin = np.searchsorted(entity[order], of_entity, side="left")
    return Newest(order, np.maximum(begin, end - count), end)


def newest_state(monoid: Monoid, values: Integers, of: Newest) -> Integers:
    """Merge what the events of each cell contribute.

    Args:
        monoid: how two values become one.
        values: one per event.
        of: which events each cell sees.

    Returns:
        One per cell; `NOTHING[monoid]` where there is no event.

    Raises:
        OverflowError: absolute values could add up to more than 2^62.
    """
    ordered = values[of.order]
    if monoid == "add":
        return _total(ordered, of)
    if monoid == "max":
        return _greatest(ordered, of)
    return ~_greatest(~ordered, of)


def _total(values: Integers, of: Newest) -> Integers:
    if int(np.abs(values).max(initial=0)) * int(of.n.max(initial=0)) >= _ROOM:
        message = "the newest events' values may add up to more than 2^62 of the smallest unit"
        raise OverflowError(message)
    # The running total may wrap around; a difference of two is right all the same.
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    totals: Integers = running[of.end] - running[of.first]
    return totals


def _greatest(values: Integers, of: Newest) -> Integers:
    found = np.full(len(of.end), NOTHING["max"], np.int64)
    level = np.frexp(of.n.astype(np.float64))[1] - 1
    runs = values
    for each in range(int(level.max(initial=-1)) + 1):
        if each:
            half = 1 << (each - 1)
            runs = np.maximum(runs[:-half], runs[half:])
        ours = level == each
        found[ours] = np.maximum(runs[of.first[ours]], runs[of.end[ours] - (1 << each)])
    return found
