"""Finished numbers in the declared types, to the last digit and not beyond."""

import math
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from headwater.config.aggregates import Aggregate
from headwater.features.algebra import Numbers
from headwater.features.cells import cells
from headwater.features.moments import PLACES, deviation, mean, variance


def given(values: list[int | None], kind: str, scale: int = 2, **declared: object) -> list[object]:
    op = "last_day" if kind == "date" else "sum"
    feature = Aggregate.model_validate(
        {"name": "f", "type": kind, "op": op, "value": {"kind": "column", "column": "c"}, **declared}
    )
    known = np.array([value is not None for value in values], np.bool_)
    numbers = Numbers(np.array([value or 0 for value in values], np.int64), known, scale)
    return cells(numbers, feature).to_pylist()


def test_decimals_keep_every_digit_and_sign() -> None:
    found = given([1, -1, None, 999_999_999_999_999_999, -(2**62)], "decimal(38,2)")
    wide = [Decimal("9999999999999999.99"), Decimal(-(2**62)).scaleb(-2)]
    assert found == [Decimal("0.01"), Decimal("-0.01"), None, *wide]


def test_finer_units_and_coarser_ones() -> None:
    assert given([125, -125, 124], "decimal(10,4)") == [Decimal("1.2500"), Decimal("-1.2500"), Decimal("1.2400")]
    assert given([125, -125, 124], "decimal(10,1)") == [Decimal("1.3"), Decimal("-1.3"), Decimal("1.2")]
    assert given([150, -150, 149], "bigint") == [2, -2, 1]
    assert given([150, None], "double") == [1.5, None]


@pytest.mark.parametrize(
    ("value", "kind"),
    [(100_000, "decimal(5,2)"), (-100_000, "decimal(5,2)"), (2**33 * 100, "int"), (10**17, "decimal(18,4)"), (2**62, "decimal(20,4)")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(value: int, kind: str) -> None:
    with pytest.raises(OverflowError, match=r"f: a value does not fit (decimal|int)"):
        given([value], kind)


def test_an_unknown_value_need_not_fit() -> None:
    assert given([None], "decimal(3,2)") == [None]


@pytest.mark.parametrize(
    ("kind", "default", "cell"),
    [("decimal(10,2)", 0, Decimal("0.00")), ("decimal(10,2)", "1.5", Decimal("1.50")), ("bigint", 7, 7), ("double", 0.5, 0.5), ("date", "2024-02-29", date(2024, 2, 29))],
)  # fmt: skip
def test_a_default_stands_where_nothing_is_known(kind: str, default: object, cell: object) -> None:
    assert given([None, None], kind, default=default) == [cell, cell]


def test_a_cap_holds_for_values_and_not_for_the_default() -> None:
    assert given([3, 9, None], "int", scale=0, cap=5, default=365) == [3, 5, 365]
    assert given([300, 900], "decimal(10,2)", cap=5) == [Decimal("3.00"), Decimal("5.00")]


def in_doubles(micros: np.ndarray) -> list[object]:
    feature = Aggregate.model_validate(
        {"name": "f", "type": "double", "op": "mean", "value": {"kind": "column", "column": "c"}}
    )
    return cells(Numbers(micros, np.ones(len(micros), np.bool_), PLACES), feature).to_pylist()


@pytest.mark.parametrize(
    ("total", "divisor", "expected"),
    [(1, 3, 0.333333), (2, 3, 0.666667), (-1, 8, -0.125), (1, 2_000_000, 0.000001), (-1, 2_000_000, -0.000001), (1, 2_000_001, 0.0),
     (0, 0, 0.0), (2**62, 1, float(2**62)), (2**61 + 1, 2**60, 2.0), (10**18 + 1, 10**17, 10.0)],
)  # fmt: skip
def test_means_are_rounded_in_integers_however_large(total: int, divisor: int, expected: float) -> None:
    assert in_doubles(mean(np.array([total]), np.array([divisor]), 0)) == [expected]


@pytest.mark.parametrize("scale", [0, 2, 9, 17])
def test_means_of_fine_decimals(scale: int) -> None:
    for n in (1, 3, 10, 100):
        total = 2 * 10**scale // 10 * n if scale else 2 * n
        assert in_doubles(mean(np.array([total]), np.array([n]), scale)) == [0.2 if scale else 2.0]


def moments(values: list[int]) -> dict[str, np.ndarray]:
    sums = {"n": len(values), "total": sum(values), "low": 0, "high": 0}
    sums["low"], sums["high"] = (sum(part) for part in zip(*(divmod(v * v, 2**32)[::-1] for v in values), strict=True))
    return {name: np.array([each], np.int64) for name, each in sums.items()}


@pytest.mark.parametrize(
    ("values", "scale", "spread", "root"),
    [
        ([1, 2, 3, 4], 0, 1.666667, 1.290994),
        ([100, 200, 300, 400], 2, 1.666667, 1.290994),
        ([7, 7, 7], 0, 0.0, 0.0),
        # Doubles lose all of this: the squares agree in their first 26 digits.
        ([2**46, 2**46 + 1], 0, 0.5, 0.707107),
        ([-(2**46), -(2**46) - 1], 0, 0.5, 0.707107),
        ([-1, 1], 0, 2.0, 1.414214),
        # 0.0000005 is the half that goes up, and the root of 10^-12 / 4 is 0.0000005 too.
        ([0, 1], 3, 0.000001, 0.000707),
        ([0] * 4 + [1], 3, 0.0, 0.000447),
        ([-(2**46), 2**46], 0, float(2**93), math.sqrt(2.0**93)),
    ],
)
def test_spreads_are_exact(values: list[int], scale: int, spread: float, root: float) -> None:
    assert in_doubles(variance(moments(values), scale)) == [spread]
    assert in_doubles(deviation(moments(values), scale)) == [root]


def test_neighbours_with_the_same_states_share_a_result() -> None:
    parts = [moments([1, 2]), moments([1, 2]), moments([1, 4]), moments([1, 2])]
    states = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert in_doubles(variance(states, 0)) == [0.5, 0.5, 4.5, 0.5]
    assert in_doubles(variance({name: each[:0] for name, each in states.items()}, 0)) == []
