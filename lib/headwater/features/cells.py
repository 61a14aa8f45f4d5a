"""Finished numbers as Arrow columns of the declared types: scale, cap, default, range."""

from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import types as T

from headwater.config.aggregates import Aggregate, Derived
from headwater.contracts.schema import spark_type
from headwater.features.algebra import Numbers
from headwater.features.kernel import Integers, day_number

_GREATEST = 2**63 - 1


def cells(numbers: Numbers, feature: Aggregate | Derived) -> pa.Array:
    """One value per row, as the feature is declared.

    Args:
        numbers: finished, without default.
        feature: type, cap and default.

    Raises:
        OverflowError: a value does not fit the declared type.
    """
    wanted = spark_type(feature.type)
    if numbers.labels is not None:
        return _texts(numbers, numbers.labels, feature.default)
    values, known = numbers.values, numbers.known
    if feature.cap is not None:
        values = np.minimum(values, min(feature.cap * 10**numbers.scale, _GREATEST))
    if isinstance(wanted, T.DoubleType):
        values = (values / 10**numbers.scale).astype(np.float64)
    else:
        values = _rescaled(np.where(known, values, 0), numbers.scale, wanted, feature.name)
    if feature.default is not None:
        values, known = np.where(known, values, _in_units(feature.default, wanted)), np.ones_like(known)
    return _array(np.where(known, values, 0), ~known, wanted)


def _texts(numbers: Numbers, labels: pa.Array, default: float | str | None) -> pa.Array:
    places = pa.array(numbers.values, mask=~numbers.known)
    found = labels.cast(pa.string()).take(places)
    return found if default is None else pc.fill_null(found, str(default))


def _rescaled(values: Integers, scale: int, wanted: T.DataType, name: str) -> Integers:
    """Integers in the units of their type; half away from zero where digits are given up."""
    places = getattr(wanted, "scale", 0)
    if places < scale:
        unit = 10 ** (scale - places)
        values = np.sign(values) * ((np.abs(values) + unit // 2) // unit)
        unit = 1
    else:
        unit = 10 ** (places - scale)
    largest = int(np.abs(values).max(initial=0)) * unit
    if largest > _greatest(wanted):
        message = f"{name}: a value does not fit {wanted.simpleString()}"
        raise OverflowError(message)
    in_units: Integers = values.astype(np.int64 if largest <= _GREATEST else object) * unit
    return in_units


def _greatest(wanted: T.DataType) -> int:
    """The greatest unscaled integer of a type."""
    match wanted:
        case T.IntegerType() | T.DateType():
            return 2**31 - 1
        case T.DecimalType():
            return int(10**wanted.precision) - 1
        case _:
            return _GREATEST


def _in_units(default: float | str, wanted: T.DataType) -> int | float:
    match wanted:
        case T.DoubleType():
            return float(default)
        case T.DateType():
            return day_number(date.fromisoformat(str(default)))
        case T.DecimalType(scale=scale):
            return int(Decimal(str(default)).scaleb(scale))
        case _:
            return int(default)


def _array(values: np.ndarray, missing: np.ndarray, wanted: T.DataType) -> pa.Array:
    mask = missing if missing.any() else None
    match wanted:
        case T.DoubleType():
            return pa.array(values, pa.float64(), mask=mask)
        case T.LongType():
            return pa.array(values, pa.int64(), mask=mask)
        case T.IntegerType() | T.DateType():
            whole = pa.array(values.astype(np.int32), pa.int32(), mask=mask)
            return whole.cast(pa.date32()) if isinstance(wanted, T.DateType) else whole
        case T.DecimalType(precision=precision, scale=scale):
            return _decimals(values, mask, precision, scale)
        case _:
            message = f"a feature cannot be of type {wanted.simpleString()}"
            raise TypeError(message)


def _decimals(values: Integers, mask: np.ndarray | None, precision: int, scale: int) -> pa.Array:
    """Unscaled integers as 128-bit decimals, in two words; of a 64-bit integer the high one repeats the sign."""
    words = np.empty((len(values), 2), np.int64)
    if values.dtype == object:
        words[:, 0] = (values & (2**64 - 1)).astype(np.uint64).view(np.int64)
        words[:, 1] = values >> 64
    else:
        words[:, 0], words[:, 1] = values, values >> 63
    validity = None if mask is None else pa.array(~mask, pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(
        pa.decimal128(precision, scale), len(values), [validity, pa.py_buffer(words)], -1 if mask is not None else 0
    )
