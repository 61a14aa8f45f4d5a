"""Finished numbers in the declared types, to the last digit and not beyond."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from headwater.config.features import Aggregate
from headwater.features.algebra import Numbers, rounded_mean
from headwater.features.cells import cells


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


@pytest.mark.parametrize(
    ("total", "divisor", "mean"),
    [(1, 3, 0.333333), (2, 3, 0.666667), (-1, 8, -0.125), (1, 2_000_000, 0.000001), (-1, 2_000_000, -0.000001), (1, 2_000_001, 0.0),
     (0, 0, 0.0), (2**62, 1, float(2**62)), (2**61 + 1, 2**60, 2.0), (10**18 + 1, 10**17, 10.0)],
)  # fmt: skip
def test_means_are_rounded_in_integers_however_large(total: int, divisor: int, mean: float) -> None:
    assert rounded_mean(np.array([total]), np.array([divisor]), 0).tolist() == [mean]


@pytest.mark.parametrize("scale", [0, 2, 9, 17])
def test_means_of_fine_decimals(scale: int) -> None:
    for n in (1, 3, 10, 100):
        total = 2 * 10**scale // 10 * n if scale else 2 * n
        assert rounded_mean(np.array([total]), np.array([n]), scale).tolist() == [0.2 if scale else 2.0]
