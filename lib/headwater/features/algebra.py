"""The algebra of windowed aggregates: what an event contributes, how contributions merge, how they become a feature.

    events ──of_event──> states ──merge over a day──> tile ──merge over a window──> states ──finalize──> feature

Every state is an int64 that merges by a sum, a maximum or a minimum: associative and commutative, so neither the order
of events nor the way a history was cut into days or runs can be seen in a result. Spark merges the events of a day, the
kernel the tiles of a window, by the same monoid. Money is held in the smallest unit of its contract type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F

from headwater.config.features import Op
from headwater.features.kernel import NOTHING, Flags, Integers, Monoid

Doubles: TypeAlias = NDArray[np.float64]
States: TypeAlias = Mapping[str, Integers]

_MICRO = 1_000_000
# Within these, rounding a mean to micros needs no more than 64 bits.
_GREATEST_DIVISOR = 2**62 // (2 * _MICRO)
_GREATEST_WHOLE = 2**62 // _MICRO


@dataclass(frozen=True, slots=True)
class State:
    """A part of an aggregate that merges by itself.

    Attributes:
        name: unique within the operation.
        monoid: how two of it become one.
        of_event: (integer value, event day since 1970) -> what one event contributes; null is nothing.
        of_day: whether it is the day of a tile that has events, which says nothing that `n` and the tile do not.
    """

    name: str
    monoid: Monoid
    of_event: Callable[[Column, Column], Column]
    of_day: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """Finished values of one feature, in rows.

    Attributes:
        values: integers in units of 10^-scale, days since 1970, or doubles.
        known: whether there is a value at all.
        scale: decimal places of integers.
    """

    values: Integers | Doubles
    known: Flags
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """How an `Op` works.

    Attributes:
        states: what is kept of events.
        finalize: (merged states, feature dates, scale of the value) -> the feature before cap and default.
    """

    states: tuple[State, ...]
    finalize: Callable[[States, Integers, int], Numbers]


def operation(op: Op) -> Operation:
    """The implementation of a declared operation."""
    return _OPERATIONS[op]


def _sum(states: States, _dates: Integers, scale: int) -> Numbers:
    return Numbers(states["total"], states["n"] > 0, scale)


def _count(states: States, _dates: Integers, _scale: int) -> Numbers:
    return Numbers(states["n"], states["n"] > 0)


def _mean(states: States, _dates: Integers, scale: int) -> Numbers:
    return Numbers(rounded_mean(states["total"], states["n"], scale), states["n"] > 0)


def _extreme(states: States, _dates: Integers, scale: int) -> Numbers:
    return Numbers(states["value"], states["n"] > 0, scale)


def _day(states: States, _dates: Integers, _scale: int) -> Numbers:
    return Numbers(states["day"], states["n"] > 0)


def _days_since(states: States, dates: Integers, _scale: int) -> Numbers:
    known = states["n"] > 0
    return Numbers(np.where(known, dates - np.where(known, states["day"], 0), 0), known)


def rounded_mean(total: Integers, n: Integers, scale: int) -> Doubles:
    """Means to six decimals, rounded half away from zero in integers (semantics.md, section 2); of nothing it is 0.

    floor((2 * |total| * 10^6 + d) / (2 * d)) with d = n * 10^scale, the whole part taken out first to stay within 64
    bits; where that is not enough, in integers of any size.

    Args:
        total: sums in units of 10^-scale.
        n: how many values each sum has.
        scale: decimal places of the values.
    """
    n = np.maximum(n, 1)
    if int(n.max(initial=1)) * 10**scale > _GREATEST_DIVISOR or int(np.abs(total).max(initial=0)) > _GREATEST_WHOLE:
        n, total = n.astype(object), total.astype(object)
    divisor = n * 10**scale
    whole, rest = np.abs(total) // divisor, np.abs(total) % divisor
    micros = whole * _MICRO + (2 * rest * _MICRO + divisor) // (2 * divisor)
    rounded: Doubles = (np.sign(total) * micros).astype(np.float64) / _MICRO
    return rounded


_COUNT = State("n", "add", lambda value, _day: F.when(value.isNotNull(), 1))
_TOTAL = State("total", "add", lambda value, _day: value)
_FIRST = State("day", "min", lambda value, day: F.when(value.isNotNull(), day), of_day=True)
_LAST = State("day", "max", lambda value, day: F.when(value.isNotNull(), day), of_day=True)

_OPERATIONS: Mapping[Op, Operation] = {
    "sum": Operation((_TOTAL, _COUNT), _sum),
    "count": Operation((_COUNT,), _count),
    "mean": Operation((_TOTAL, _COUNT), _mean),
    "min": Operation((State("value", "min", lambda value, _day: value), _COUNT), _extreme),
    "max": Operation((State("value", "max", lambda value, _day: value), _COUNT), _extreme),
    "first_day": Operation((_FIRST, _COUNT), _day),
    "last_day": Operation((_LAST, _COUNT), _day),
    "days_since_first": Operation((_FIRST, _COUNT), _days_since),
    "days_since_last": Operation((_LAST, _COUNT), _days_since),
}


def merge_column(monoid: Monoid, name: str) -> Column:
    """Spark's merge of a state's column over the events of a group; null where none contributes."""
    return {"add": F.sum, "max": F.max, "min": F.min}[monoid](name).cast("bigint")


def filled(monoid: Monoid, values: Integers, known: Flags) -> Integers:
    """A state's column as the kernel wants it: nothing where nothing was contributed."""
    return np.where(known, values, NOTHING[monoid])
