"""States along the dates: what was known before is in all of them, and what 64 bits may not hold is refused."""

from typing import get_args

import numpy as np
import pytest

from headwater.features.kernel import NOTHING, Monoid, Span, intervals, state

# Of three entities, on days 10 to 13: the first has two tiles, the second one that ends before, the third none.
SPAN = Span(10, 13)
TILES = intervals(np.array([0, 0, 1]), np.array([9, 12, 3]), np.array([12, 20, 9]), entities=3, span=SPAN)
VALUES = np.array([5, -3, 100])
GREAT = 2**61


@pytest.mark.parametrize(
    ("monoid", "before", "expected"),
    [
        ("add", None, [[5, 5, -3, -3], [0, 0, 0, 0], [0, 0, 0, 0]]),
        ("add", [10, -1, 7], [[15, 15, 7, 7], [-1, -1, -1, -1], [7, 7, 7, 7]]),
        ("max", None, [[5, 5, -3, -3], [None] * 4, [None] * 4]),
        ("max", [4, None, -9], [[5, 5, 4, 4], [None] * 4, [-9] * 4]),
        ("min", None, [[5, 5, -3, -3], [None] * 4, [None] * 4]),
        ("min", [4, None, -9], [[4, 4, -3, -3], [None] * 4, [-9] * 4]),
    ],
)
def test_what_was_known_before_is_in_every_date(
    monoid: Monoid, before: list[int | None] | None, expected: list[list[int | None]]
) -> None:
    def filled(cells: list[int | None]) -> list[int]:
        return [NOTHING[monoid] if each is None else each for each in cells]

    known = None if before is None else np.array(filled(before))
    assert state(monoid, VALUES, TILES, known).tolist() == [filled(row) for row in expected]


@pytest.mark.parametrize("monoid", get_args(Monoid))
def test_without_a_tile_there_is_what_was_known_before(monoid: Monoid) -> None:
    nothing = np.zeros(0, np.int64)
    nobody = intervals(nothing, nothing, nothing, entities=2, span=SPAN)
    assert state(monoid, nothing, nobody, np.array([3, NOTHING[monoid]])).tolist() == [[3] * 4, [NOTHING[monoid]] * 4]


@pytest.mark.parametrize(
    ("values", "before", "fits"),
    [
        # On no date two of them count.
        ([GREAT, GREAT, GREAT], None, True),
        ([GREAT, 1, GREAT], [0, 0, 0], True),
        ([GREAT, 1, 0], [GREAT, 0, 0], False),
        ([GREAT, 1, 0], [-GREAT, 0, 0], False),
        # It is another entity's.
        ([GREAT, 1, 0], [0, GREAT, GREAT], True),
        ([0, 0, 0], [0, 0, -2 * GREAT], False),
    ],
)
def test_a_sum_that_64_bits_may_not_hold_is_refused(values: list[int], before: list[int] | None, *, fits: bool) -> None:
    known = None if before is None else np.array(before)
    if fits:
        assert state("add", np.array(values), TILES, known)[0, 0] == values[0] + (before or [0])[0]
        return
    with pytest.raises(OverflowError, match="add up to more than 2\\^62"):
        state("add", np.array(values), TILES, known)
