"""How many distinct values there are, about: HyperLogLog (Flajolet and others, 2007) with the estimator of Ertl (2017).

    value ──hash, 64 bits──> register (12 bits), rank (leading zeros of the others, plus 1)
      ──maximum per entity, day and register──> tiles ──kernel, max, over a window──> registers per date
      ──sums over an entity's registers──> estimate

A tile set holds at most 4096 tiles per entity and day, however many values there are. Registers merge by maximum and
their powers of two are added up as integers, so the order of events cannot be seen.
"""

import math

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from headwater.features.kernel import Integers, Intervals
from headwater.features.keyed import Pairs, pair_states

_BITS = 12
_REGISTERS = 1 << _BITS
_REST = 64 - _BITS
# Reached by one of 10^15 distinct values; below it, a sum of 4096 powers of two is exact.
_GREATEST_RANK = 40
_ALPHA = 1 / (2 * math.log(2))


def register_of(hashed: Column) -> Column:
    """The first bits of a hash."""
    return F.shiftrightunsigned(hashed, _REST)


def rank_of(hashed: Column) -> Column:
    """Leading zeros of the other bits, plus 1."""
    rest = hashed.bitwiseAND(F.lit((1 << _REST) - 1))
    return F.when(rest == 0, F.lit(_REST + 1)).otherwise(F.lit(_REST + 1) - F.length(F.bin(rest)))


def distinct_approx(rank: Integers, of: Pairs, over: Intervals) -> Integers:
    """Estimate the number of distinct values.

    Args:
        rank: per tile, the greatest rank of its register.
        of: pairs of entity and register.
        over: when each tile counts.

    Returns:
        entities x dates; the standard error is at most 1.04 / 64 = 1.6%.
    """
    seen = np.zeros((over.entities, over.dates), np.int64)
    weight = np.zeros((over.entities, over.dates), np.int64)
    for entity, first, _, ranks in pair_states("max", np.minimum(rank, _GREATEST_RANK), of, over):
        present = ranks > 0
        seen[entity] += np.add.reduceat(present.astype(np.int64), first, axis=0)
        shares = np.where(present, 1 << (_GREATEST_RANK - np.where(present, ranks, 0)), 0)
        weight[entity] += np.add.reduceat(shares, first, axis=0)
    return _estimate(seen, weight)


def _estimate(seen: Integers, weight: Integers) -> Integers:
    """Ertl's improved raw estimator: without bias at any size, without thresholds (his algorithm 6).

    Args:
        seen: registers that are not empty.
        weight: the sum of 2^-rank over those, in units of 2^-40.
    """
    empty = np.where(seen > 0, (_REGISTERS - seen) / _REGISTERS, 0.0)
    below = weight / 2.0**_GREATEST_RANK + _REGISTERS * _sigma(empty)
    estimate = _ALPHA * _REGISTERS**2 / np.where(seen > 0, below, 1.0)
    return np.where(seen > 0, np.rint(estimate), 0).astype(np.int64)


def _sigma(share: np.ndarray) -> np.ndarray:
    """X + the sum of x^(2^k) * 2^(k - 1) over k from 1: what registers that are still empty contribute."""
    total, power, weight = share.copy(), share * share, 1.0
    while (power * weight).max(initial=0.0) > 0.0:
        total += power * weight
        power, weight = power * power, 2 * weight
    return total
