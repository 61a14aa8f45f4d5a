"""Aggregates over the distinct values of an entity: how many there are, and which is the most frequent.

    tiles (entity, days, key: a value or a register) ──number (entity, key)──> pairs, in order of entity and key
      ──distinct: cut each pair's intervals to their union──> one interval per date──kernel, add──> count
      ──most frequent: kernel, add──> count per pair and date ──maximum over an entity's pairs──> count, key

A grid has a row per pair, and an entity may have many: pairs are worked off as many at a time as a grid may hold, and
what is kept of them is of the size of the entities.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headwater.features.kernel import Integers, Intervals, Monoid, state

_CELLS = 1 << 18
_ROOM = 2**62


@dataclass(frozen=True, slots=True)
class Pairs:
    """Entities with one of their keys each, in order of both.

    Attributes:
        of_tile: per tile, its pair.
        entity: per pair.
        key: per pair.
    """

    of_tile: Integers
    entity: Integers
    key: Integers


def pairs(entity: Integers, key: Integers) -> Pairs:
    """Number the pairs of tiles; `key` from 0."""
    keys = int(key.max(initial=0)) + 1
    found, of_tile = np.unique(entity * keys + key, return_inverse=True)
    return Pairs(of_tile, found // keys, found % keys)


def distinct(of: Pairs, over: Intervals) -> Integers:
    """How many keys have a tile that counts.

    Args:
        of: pairs of all tiles.
        over: when each counts.

    Returns:
        entities x dates.
    """
    pair = of.of_tile[over.tile]
    order = np.lexsort((over.begin, pair))
    pair, begin, end = pair[order], over.begin[order], over.end[order]
    # In this order of pairs, a date beyond all of a pair's own is before all of the next one's.
    offset = pair * (over.dates + 1)
    reached = np.maximum.accumulate(end + offset)
    begin[1:] = np.maximum(begin[1:], reached[:-1] - offset[1:])
    new = begin < end
    once = Intervals(order[new], over.row[order][new], begin[new], end[new], over.entities, over.dates)
    return state("add", np.ones(len(over.tile), np.int64), once)


def most_frequent(n: Integers, of: Pairs, over: Intervals) -> tuple[Integers, Integers]:
    """The key that most events have; of several, the smallest.

    Args:
        n: events per tile.
        of: pairs of all tiles.
        over: when each counts.

    Returns:
        How many events have it (0: there is none) and the key, both entities x dates.

    Raises:
        OverflowError: events times keys exceed 2^62.
    """
    keys = int(of.key.max(initial=0)) + 1
    if int(n.sum()) * keys >= _ROOM:
        message = "there are too many events and values in a block to tell the most frequent ones"
        raise OverflowError(message)
    best = np.zeros((over.entities, over.dates), np.int64)
    for entity, first, key, counts in pair_states("add", n, of, over):
        # One number that is greater for more events and then for the smaller key.
        score = np.where(counts > 0, counts * keys + (keys - 1 - key)[:, None], 0)
        best[entity] = np.maximum(best[entity], np.maximum.reduceat(score, first, axis=0))
    return best // keys, np.where(best > 0, keys - 1 - best % keys, 0)


def pair_states(
    monoid: Monoid, values: Integers, of: Pairs, over: Intervals
) -> Iterator[tuple[Integers, Integers, Integers, Integers]]:
    """Merge per pair and date, some pairs at a time.

    Yields:
        Entities that the pairs belong to, where the pairs of each begin, the pairs' keys, states (pairs x dates).
    """
    pair = of.of_tile[over.tile]
    order = np.argsort(pair, kind="stable")
    pair, size = pair[order], max(1, _CELLS // over.dates)
    for start in range(0, len(of.entity), size):
        stop = min(start + size, len(of.entity))
        ours = order[slice(*np.searchsorted(pair, (start, stop)))]
        tile = over.tile[ours]
        part = Intervals(tile, of.of_tile[tile] - start, over.begin[ours], over.end[ours], stop - start, over.dates)
        entity, first = np.unique(of.entity[start:stop], return_index=True)
        yield entity, first, of.key[start:stop], state(monoid, values, part)
