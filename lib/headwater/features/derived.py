"""Features computed from other features of the same row: ratios and differences of their exact numbers.

finished numbers (before cap and default) ──in integers of a common unit──> ratio in millionths, or difference
"""

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from headwater.config.aggregates import Derived
from headwater.features.algebra import Numbers
from headwater.features.kernel import Integers
from headwater.features.moments import PLACES, micros

_ROOM = 2**62


def derived(feature: Derived, numbers: Mapping[str, Numbers]) -> Numbers:
    """A feature of two others; unknown where one of them is, and where it would divide by zero.

    Args:
        feature: the operation and its operands.
        numbers: the operands by name, before cap and default, all over the same rows.
    """
    left, right = (numbers[name] for name in feature.of)
    known = left.known & right.known
    match feature.op:
        case "difference":
            scale = max(left.scale, right.scale)
            return Numbers(_in_units(left, known, scale) - _in_units(right, known, scale), known, scale)
        case "ratio":
            known &= right.values != 0
            # Millionths of left / right are those of (left * 10^b) / (right * 10^a) in units of 10^-a and 10^-b.
            scale = max(left.scale, right.scale)
            above, below = _in_units(left, known, scale), np.where(known, _in_units(right, known, scale), 1)
            return Numbers(micros(above * np.sign(below), np.abs(below)), known, PLACES)
        case _:
            assert_never(feature.op)


def _in_units(numbers: Numbers, known: np.ndarray, scale: int) -> Integers:
    """Values in units of 10^-scale, of any size where 64 bits may not hold twice as much; zero where unknown."""
    values = np.where(known, numbers.values, 0)
    unit = 10 ** (scale - numbers.scale)
    if 2 * int(np.abs(values).max(initial=0)) * unit >= _ROOM:
        values = values.astype(object)
    in_units: Integers = values * unit
    return in_units
