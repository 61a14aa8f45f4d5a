"""Means, variances and standard deviations from exact integers.

    n, sum of x, sum of x^2 ──integers of any size──> numerator / divisor ──one rounding──> millionths

Nothing is a double before the last step, so the order of events cannot be seen, and nothing cancels: the result is the
true value rounded to six decimals, half away from zero, off by at most 0.0000005 (and, above 9 * 10^9, where a double
has no six decimals, by the double nearest to it).
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from headwater.features.kernel import Integers

# Decimal places of what is rounded here.
PLACES = 6
_MICRO = 10**PLACES
# Within these, rounding to micros needs no more than 64 bits.
_GREATEST_DIVISOR = 2**62 // (2 * _MICRO)
_GREATEST_NUMERATOR = 2**62 // _MICRO
# A square is kept as two integers: below 2^32, and how many times 2^32.
_LIMB = 32
_isqrt = np.frompyfunc(math.isqrt, 1, 1)


def micros(numerator: Integers, divisor: Integers) -> Integers:
    """Quotients in millionths, rounded half away from zero (semantics.md, section 2).

    floor((2 * |numerator| * 10^6 + d) / (2 * d)), the whole part taken out first to stay within 64 bits; where that is
    not enough, in integers of any size.

    Args:
        numerator: of either sign.
        divisor: above zero.
    """
    if int(divisor.max(initial=1)) > _GREATEST_DIVISOR or int(np.abs(numerator).max(initial=0)) > _GREATEST_NUMERATOR:
        numerator, divisor = numerator.astype(object), divisor.astype(object)
    whole, rest = np.abs(numerator) // divisor, np.abs(numerator) % divisor
    rounded: Integers = np.sign(numerator) * (whole * _MICRO + (2 * rest * _MICRO + divisor) // (2 * divisor))
    return rounded


def mean(total: Integers, n: Integers, scale: int) -> Integers:
    """Means in millionths; of nothing it is 0.

    Args:
        total: sums in units of 10^-scale.
        n: how many values each sum has.
        scale: decimal places of the values.
    """
    n = np.maximum(n, 1)
    if int(n.max(initial=1)) * 10**scale > _GREATEST_DIVISOR:
        n = n.astype(object)
    return micros(total, n * 10**scale)


def low_square(value: Column) -> Column:
    """What a square has below 2^32. Sums of both parts hold 2^30 rows whose squares add up to 2^94."""
    return _below(_square(value)).cast("bigint")


def high_square(value: Column) -> Column:
    """How many times 2^32 a square holds."""
    square = _square(value)
    # Exact, because the remainder was taken off: Spark rounds a decimal quotient to six places.
    return ((square - _below(square)) / F.lit(2**_LIMB)).cast("bigint")


def _square(value: Column) -> Column:
    # 38 digits hold the square of any 64-bit integer.
    wide = value.cast("decimal(19,0)")
    square: Column = wide * wide
    return square


def _below(square: Column) -> Column:
    rest: Column = square % F.lit(2**_LIMB)
    return rest


def variance(states: Mapping[str, Integers], scale: int) -> Integers:
    """Sample variances (n - 1) in millionths; any number where n is below 2.

    Args:
        states: `n`, `total`, and the squares' `low` and `high`, one per row.
        scale: decimal places of the values.
    """
    return _where_new(states, lambda part: micros(*_deviations(part, scale)))


def deviation(states: Mapping[str, Integers], scale: int) -> Integers:
    """Sample standard deviations in millionths; any number where n is below 2. Arguments as for `variance`."""
    return _where_new(states, lambda part: _root(*_deviations(part, scale)))


def _deviations(states: Mapping[str, Integers], scale: int) -> tuple[Integers, Integers]:
    """Numerator and divisor of (n * sum of x^2 - (sum of x)^2) / (n * (n - 1)), in integers of any size."""
    n, total, low, high = (states[name].astype(object) for name in ("n", "total", "low", "high"))
    n = np.maximum(n, 2)
    return n * ((high << _LIMB) + low) - total * total, n * (n - 1) * 10 ** (2 * scale)


def _root(numerator: Integers, divisor: Integers) -> Integers:
    """Square roots in millionths: of floor(4q) the root is floor(2 * sqrt(q)), so nothing is lost before rounding."""
    rounded: Integers = (_isqrt(4 * _MICRO**2 * numerator // divisor) + 1) // 2
    return rounded


def _where_new(states: Mapping[str, Integers], compute: Callable[[Mapping[str, Integers]], Integers]) -> Integers:
    """Compute once for neighbours with the same states: on most dates nothing enters a window or leaves it."""
    some = next(iter(states.values()))
    new = np.ones(len(some), np.bool_)
    new[1:] = np.logical_or.reduce([each[1:] != each[:-1] for each in states.values()])
    found: Integers = compute({name: each[new] for name, each in states.items()})[np.cumsum(new) - 1]
    return found
