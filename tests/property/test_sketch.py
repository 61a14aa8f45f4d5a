"""The error that the sketch states, measured; and that neither order nor grouping can be seen in it."""

import numpy as np
import pytest

from headwater.features.kernel import Span, intervals
from headwater.features.keyed import pairs
from headwater.features.sketch import distinct_approx

STATED = 1.04 / 64
TRIALS = 60


def estimates(hashes: np.ndarray) -> np.ndarray:
    """One estimate per row of hashes, from one tile per entity and hash."""
    entity = np.repeat(np.arange(len(hashes)), hashes.shape[1])
    register, rest = (hashes >> np.uint64(52)).astype(np.int64), hashes & np.uint64(2**52 - 1)
    rank = 53 - np.frexp(rest.astype(np.float64))[1].astype(np.int64)
    return of_tiles(entity, register.ravel(), rank.ravel(), len(hashes))


def of_tiles(entity: np.ndarray, register: np.ndarray, rank: np.ndarray, entities: int) -> np.ndarray:
    day = np.zeros(len(entity), np.int64)
    over = intervals(entity, day, day + 1, entities=entities, span=Span(0, 0))
    return distinct_approx(rank, pairs(entity, register), over)[:, 0]


@pytest.mark.parametrize("size", [1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000])
def test_the_error_is_the_stated_one(size: int) -> None:
    rng = np.random.default_rng(size)
    errors = estimates(rng.integers(0, 2**64, (TRIALS, size), np.uint64)) / size - 1
    assert np.sqrt(np.mean(errors**2)) <= 1.3 * STATED
    assert np.abs(errors).max() <= max(4 * STATED, 1 / size)
    assert abs(errors.mean()) <= 4 * STATED / np.sqrt(TRIALS)


def test_few_values_are_counted_as_they_are() -> None:
    """Up to 20 values two rarely share a register, and then one is missing."""
    rng = np.random.default_rng(7)
    for size in range(1, 21):
        found = estimates(rng.integers(0, 2**64, (TRIALS, size), np.uint64))
        assert set(found.tolist()) <= {size, size - 1}
        assert np.mean(found == size) >= 0.9


def test_order_and_grouping_cannot_be_seen() -> None:
    rng = np.random.default_rng(11)
    register, rank = rng.integers(0, 4096, 9_000), rng.geometric(0.5, 9_000)
    whole = of_tiles(np.zeros(9_000, np.int64), register, rank, 1)
    for _ in range(20):
        order = rng.permutation(9_000)
        group = rng.integers(0, 50, 9_000)
        merged = {}
        for each in order.tolist():
            place = (group[each], register[each])
            merged[place] = max(merged.get(place, 0), rank[each])
        parts = np.array([(at, most) for (_, at), most in merged.items()])
        assert of_tiles(np.zeros(len(parts), np.int64), parts[:, 0], parts[:, 1], 1) == whole


def test_registers_may_be_worked_off_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(13)
    register, rank, entity = rng.integers(0, 4096, 9_000), rng.geometric(0.5, 9_000), rng.integers(0, 2, 9_000)
    whole = of_tiles(entity, register, rank, 2)
    monkeypatch.setattr("headwater.features.keyed._CELLS", 1_000)
    assert of_tiles(entity, register, rank, 2).tolist() == whole.tolist()
