"""Distributions of a date's features; every expected number is worked out by hand."""

import math
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.quality.distributions import spreads
from headwater.quality.facts import DateSpread, Numbers, NumberSpread, Spread, ValueSpread


def _of(values: pa.Array, attributes: tuple[str, ...] = ()) -> Spread:
    (spread,) = spreads(pa.table({"x": values}), attributes=attributes)
    return spread


def _numbers(values: pa.Array) -> Numbers:
    spread = _of(values)
    assert isinstance(spread, NumberSpread)
    assert spread.numbers is not None
    return spread.numbers


def test_numbers_of_zero_to_a_hundred() -> None:
    spread = _of(pa.array([*range(101), None, None, None]))
    assert isinstance(spread, NumberSpread)
    assert (spread.feature, spread.rows, spread.nulls) == ("x", 104, 3)
    found = spread.numbers
    assert found is not None
    assert (found.min, found.p05, found.p50, found.p95, found.max, found.mean) == (0, 5, 50, 95, 100, 50)
    # 101 whole numbers in bars of 6: sixteen full ones, and 96 .. 100.
    assert found.bars == (6,) * 16 + (5,)
    assert (found.low, found.high) == (0, 102)


def test_quantiles_lie_between_two_values() -> None:
    found = _numbers(pa.array([10.0, 20.0, 30.0, 40.0]))
    assert (found.p50, found.p05, found.p95) == (25, pytest.approx(11.5), pytest.approx(38.5))


def test_few_whole_numbers_have_a_bar_each() -> None:
    found = _numbers(pa.array([3, 3, 3, 4, 7]))
    assert found.bars == (3, 1, 0, 0, 1)
    assert (found.low, found.high) == (3, 8)


def test_fractions_have_twenty_bars_and_the_maximum_is_in_the_last() -> None:
    found = _numbers(pa.array([0.0, 0.04, 0.05, 0.99, 1.0]))
    assert len(found.bars) == 20
    assert (found.bars[0], found.bars[1], found.bars[19], sum(found.bars)) == (2, 1, 2, 5)


def test_money_is_read_as_numbers() -> None:
    found = _numbers(pa.array([Decimal("1.50"), Decimal("2.50")], pa.decimal128(18, 2)))
    assert (found.min, found.max, found.mean) == (1.5, 2.5, 2.0)


def test_a_maximum_far_out_is_counted_in_the_last_bar() -> None:
    found = _numbers(pa.array([float(value % 10) for value in range(999)] + [1_000_000.0]))
    assert (found.high, found.max) == (9, 1_000_000)
    assert sum(found.bars) == 1000
    # 99 nines, and the one far out.
    assert found.bars[19] == 100


def test_whole_numbers_far_out_are_counted_in_the_last_bar() -> None:
    found = _numbers(pa.array([value % 10 for value in range(999)] + [1_000_000]))
    assert found.bars == (100,) * 10
    assert found.high == 10


@pytest.mark.parametrize("value", [7, 7.5, -3])
def test_one_value_is_one_bar(value: float) -> None:
    found = _numbers(pa.array([value, value]))
    assert found.bars == (2,)
    assert (found.min, found.p50, found.max) == (value, value, value)


def test_what_is_no_finite_number_counts_as_null() -> None:
    spread = _of(pa.array([1.0, math.nan, math.inf, -math.inf, None]))
    assert isinstance(spread, NumberSpread)
    assert (spread.rows, spread.nulls) == (5, 4)
    assert spread.numbers is not None
    assert (spread.numbers.max, spread.numbers.bars) == (1.0, (1,))


@pytest.mark.parametrize("values", [[], [None, None]])
def test_no_number_at_all(values: list[None]) -> None:
    assert _of(pa.array(values, pa.int64())) == NumberSpread("x", len(values), len(values), None)


def test_dates_have_their_ends() -> None:
    found = _of(pa.array([date(2025, 3, 2), None, date(2024, 12, 31)]))
    assert found == DateSpread("x", 3, 1, date(2024, 12, 31), date(2025, 3, 2))
    instant = datetime(2025, 3, 2, 1, 2, 3)  # noqa: DTZ001 - as Arrow hands it
    assert _of(pa.array([instant])) == DateSpread("x", 1, 0, instant, instant)
    assert _of(pa.array([None], pa.date32())) == DateSpread("x", 1, 1, None, None)


def test_only_shared_values_are_named_and_five_of_them() -> None:
    values = ["a"] * 9 + ["b"] * 7 + ["c"] * 7 + ["d"] * 6 + ["e"] * 5 + ["f"] * 5 + ["rare"] * 4 + ["ann@x.org", None]
    found = _of(pa.array(values), attributes=("x",))
    assert found == ValueSpread("x", 45, 1, (("a", 9), ("b", 7), ("c", 7), ("d", 6), ("e", 5)), other=10)


def test_four_of_a_kind_stay_unnamed() -> None:
    assert _of(pa.array(["secret"] * 4)) == ValueSpread("x", 4, 0, (), other=4)
    assert _of(pa.array(["shared"] * 5)) == ValueSpread("x", 5, 0, (("shared", 5),), other=0)


def test_extremes_of_an_attribute_are_not_shown_whatever_its_type() -> None:
    phones = pa.array([4917012345, 4917012346, *[0] * 5])
    assert _of(phones, attributes=("x",)) == ValueSpread("x", 7, 0, (("0", 5),), other=2)
    births = pa.array([date(1961, 7, 1), *[date(2000, 1, 1)] * 5])
    assert _of(births, attributes=("x",)) == ValueSpread("x", 6, 0, (("2000-01-01", 5),), other=1)


def test_long_values_are_cut() -> None:
    found = _of(pa.array(["v" * 41] * 5 + ["w" * 40] * 5))
    assert isinstance(found, ValueSpread)
    assert [value for value, _ in found.values] == ["v" * 39 + "…", "w" * 40]


def test_lists_have_no_values_to_name() -> None:
    assert _of(pa.array([["a"], ["a"], None])) == ValueSpread("x", 3, 1, (), other=2)


def test_columns_keep_their_order() -> None:
    table = pa.table({"b": pa.array([1]), "a": pa.array([True] * 1), "c": pa.array(["z"])})
    assert [each.feature for each in spreads(table, attributes=())] == ["b", "a", "c"]
