"""The algebra of windowed aggregates: an operation prepares partial states of a day, merges them, and finishes.

    events ──prepare──> one state row per (entity, day) ──merge over a window──> one state ──finalize──> the feature

States are exact integers and days, and merging is a sum or a maximum: associative and commutative, so neither the order
of events nor the way a history was cut into days or runs can be seen in a result. Money is held in the smallest unit of
its contract type; a mean is rounded half away from zero to six decimals in integer arithmetic before it becomes a
double (semantics.md, section 2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from headwater.config.features import Aggregate, Op
from headwater.contracts.schema import spark_type

_WIDE = "decimal(38,0)"
_MICRO = 1_000_000

States = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Operation:
    """How an `Op` works on states.

    Attributes:
        prepare: (integer value, event day, whether the event counts) -> aggregate expressions over the events of a day.
        merge: state of a day -> aggregate expression over days; null states are passed over.
        finalize: (merged states, feature date, scale of the value, declaration) -> the feature before its default.
    """

    prepare: Callable[[Column, Column, Column], States]
    merge: Callable[[Column], Column]
    finalize: Callable[[States, Column, int, Aggregate], Column]


def operation(op: Op) -> Operation:
    """The implementation of a declared operation."""
    return _OPERATIONS[op]


def _prepare_sum(value: Column, _day: Column, counts: Column) -> States:
    return {"total": F.sum(F.when(counts, value))}


def _finalize_sum(states: States, _date: Column, scale: int, spec: Aggregate) -> Column:
    return (states["total"] * F.expr(f"cast(1e-{scale} as decimal(38,{scale}))")).cast(spark_type(spec.type))


def _prepare_count(_value: Column, _day: Column, counts: Column) -> States:
    return {"n": F.sum(counts.cast("bigint"))}


def _finalize_count(states: States, _date: Column, _scale: int, spec: Aggregate) -> Column:
    return states["n"].cast(spark_type(spec.type))


def _prepare_mean(value: Column, _day: Column, counts: Column) -> States:
    counted = F.when(counts, value)
    return {"total": F.sum(counted), "n": F.count(counted).cast(_WIDE)}


def _finalize_mean(states: States, _date: Column, scale: int, spec: Aggregate) -> Column:
    """Round |total| / (n * 10^scale) to six decimals: floor((2 * |total| * 10^6 + d) / (2 * d)), d = n * 10^scale."""
    divisor = states["n"] * F.lit(10**scale).cast(_WIDE)
    doubled = F.abs(states["total"]) * F.lit(2 * _MICRO).cast(_WIDE) + divisor
    micros = F.floor(doubled / F.nullif(divisor * 2, F.lit(0).cast(_WIDE)))
    return (F.signum(states["total"]) * micros.cast("double") / _MICRO).cast(spark_type(spec.type))


def _prepare_last(_value: Column, day: Column, counts: Column) -> States:
    return {"last": F.max(F.when(counts, day))}


def _finalize_last_day(states: States, _date: Column, _scale: int, spec: Aggregate) -> Column:
    return states["last"].cast(spark_type(spec.type))


def _finalize_days_since(states: States, date: Column, _scale: int, spec: Aggregate) -> Column:
    since = F.datediff(date, states["last"])
    cap = F.lit(spec.cap)
    return F.when(since > cap, cap).otherwise(since).cast(spark_type(spec.type))


_OPERATIONS: Mapping[Op, Operation] = {
    "sum": Operation(_prepare_sum, F.sum, _finalize_sum),
    "count": Operation(_prepare_count, F.sum, _finalize_count),
    "mean": Operation(_prepare_mean, F.sum, _finalize_mean),
    "last_day": Operation(_prepare_last, F.max, _finalize_last_day),
    "days_since_last": Operation(_prepare_last, F.max, _finalize_days_since),
}
