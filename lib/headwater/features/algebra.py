"""The algebra of windowed aggregates: what an event contributes, how contributions merge, how they become a feature.

    events ──of_event──> states ──merge over a day──> tile ──merge over a window──> states ──finalize──> feature

Every state merges by a sum, a maximum or a minimum: associative and commutative, so neither the order of events nor the
way a history was cut into days or runs can be seen in a result. Spark merges the events of a day, the kernel the tiles
of a window, by the same monoid. A state is an int64; of a first or last value it is a pair, in order of time and then
of value. Money is held in the smallest unit of its contract type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from headwater.config.aggregates import Op
from headwater.features.kernel import NOTHING, Flags, Integers, Monoid
from headwater.features.moments import PLACES, deviation, high_square, low_square, mean, variance
from headwater.features.sketch import rank_of

States: TypeAlias = Mapping[str, Integers]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What a state is made of, as Spark columns.

    Attributes:
        value: whole number of smallest units, or text; of a sketch the value's hash. Null: the row does not count.
        day: event day since 1970.
        time: event time in microseconds since 1970.
    """

    value: Column
    day: Column
    time: Column


@dataclass(frozen=True, slots=True)
class State:
    """A part of an aggregate that merges by itself.

    Attributes:
        name: unique within the operation.
        monoid: how two of it become one.
        of_event: what one event contributes; null is nothing.
        is_pair: it is (time, value), in order of time and then of value; a struct in Spark, two columns in a tile.
        of_day: it is the day of a tile that has events, which says nothing that `n` and the tile do not.
    """

    name: str
    monoid: Monoid
    of_event: Callable[[Occurrence], Column]
    is_pair: bool = False
    of_day: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """Finished values of one feature, in rows.

    Attributes:
        values: integers in units of 10^-scale, or days since 1970; of any size where 64 bits do not hold them.
        known: whether there is a value at all.
        scale: decimal places.
        labels: texts that the values are places in; None: they are numbers.
    """

    values: Integers
    known: Flags
    scale: int = 0
    labels: pa.Array | None = None


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
    return Numbers(mean(states["total"], states["n"], scale), states["n"] > 0, PLACES)


def _variance(states: States, _dates: Integers, scale: int) -> Numbers:
    return Numbers(variance(states, scale), states["n"] > 1, PLACES)


def _std(states: States, _dates: Integers, scale: int) -> Numbers:
    return Numbers(deviation(states, scale), states["n"] > 1, PLACES)


def _value(states: States, _dates: Integers, scale: int) -> Numbers:
    return Numbers(states["value"], states["n"] > 0, scale)


def _day(states: States, _dates: Integers, _scale: int) -> Numbers:
    return Numbers(states["day"], states["n"] > 0)


def _dated_value(event: Occurrence) -> Column:
    return F.when(event.value.isNotNull(), F.struct(event.time.alias("time"), event.value.alias("value")))


def _days_since(states: States, dates: Integers, _scale: int) -> Numbers:
    known = states["n"] > 0
    return Numbers(np.where(known, dates - np.where(known, states["day"], 0), 0), known)


_COUNT = State("n", "add", lambda event: F.when(event.value.isNotNull(), 1))
_TOTAL = State("total", "add", lambda event: event.value)
_MOMENTS = (
    _COUNT,
    _TOTAL,
    State("low", "add", lambda event: low_square(event.value)),
    State("high", "add", lambda event: high_square(event.value)),
)
_FIRST_DAY = State("day", "min", lambda event: F.when(event.value.isNotNull(), event.day), of_day=True)
_LAST_DAY = State("day", "max", lambda event: F.when(event.value.isNotNull(), event.day), of_day=True)

_OPERATIONS: Mapping[Op, Operation] = {
    "sum": Operation((_TOTAL, _COUNT), _sum),
    "count": Operation((_COUNT,), _count),
    "mean": Operation((_TOTAL, _COUNT), _mean),
    "variance": Operation(_MOMENTS, _variance),
    "std": Operation(_MOMENTS, _std),
    "min": Operation((State("value", "min", lambda event: event.value), _COUNT), _value),
    "max": Operation((State("value", "max", lambda event: event.value), _COUNT), _value),
    "first": Operation((State("value", "min", _dated_value, is_pair=True), _COUNT), _value),
    "last": Operation((State("value", "max", _dated_value, is_pair=True), _COUNT), _value),
    "distinct": Operation((_COUNT,), _count),
    "distinct_approx": Operation((State("rank", "max", lambda event: rank_of(event.value)),), _count),
    "most_frequent": Operation((_COUNT,), _value),
    "first_day": Operation((_FIRST_DAY, _COUNT), _day),
    "last_day": Operation((_LAST_DAY, _COUNT), _day),
    "days_since_first": Operation((_FIRST_DAY, _COUNT), _days_since),
    "days_since_last": Operation((_LAST_DAY, _COUNT), _days_since),
}


def merge_column(state: State, name: str) -> Column:
    """Spark's merge of a state's column over the events of a group; null where none contributes."""
    merged = {"add": F.sum, "max": F.max, "min": F.min}[state.monoid](name)
    return merged if state.is_pair else merged.cast("bigint")


def filled(monoid: Monoid, values: Integers, known: Flags) -> Integers:
    """A state's column as the kernel wants it: nothing where nothing was contributed."""
    return np.where(known, values, NOTHING[monoid])
