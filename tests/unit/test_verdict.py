"""What a verdict concludes from results, and the checks that need no frame."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config.quality import (
    Dimension,
    InRange,
    Metric,
    NotGreater,
    NotNull,
    PopulationChange,
    PopulationExact,
    PopulationRange,
    RowPassRate,
    Unique,
)
from headwater.quality.population import DatePopulation, population_results, row_pass_rate
from headwater.quality.verdict import CheckResult, Verdict, pass_ratio
from headwater.quality.wording import check_name, expectation, number, percent, rows_seen

_DAY = date(2025, 3, 31)
EXACT = PopulationExact(kind="population_exact", dimension="completeness")
CHANGE = PopulationChange(kind="population_change", max_share=0.1, dimension="consistency")
RANGE = PopulationRange(kind="population_range", min=900, max=1100, dimension="completeness")
RATE = RowPassRate(kind="row_pass_rate", min=0.995, dimension="validity", layer=3, blocking=False)


def _result(
    dimension: Dimension, *, passed: bool, ratio: float | None = None, blocking: bool = True, name: str = "c"
) -> CheckResult:
    return CheckResult(name, dimension, 2, "deequ", blocking, passed, "", "", ratio)


def _day(rows: int, population: int, previous: int | None = None, offset: int = 0) -> DatePopulation:
    return DatePopulation(_DAY + timedelta(days=offset), rows, population, previous)


def test_only_blocking_failures_stop() -> None:
    warned = Verdict((_result("validity", passed=False, blocking=False), _result("validity", passed=True)))
    assert warned.passed
    assert (len(warned.blockers), len(warned.warnings)) == (0, 1)
    assert not Verdict((*warned.results, _result("accuracy", passed=False))).passed


def test_score_is_the_mean_of_the_dimensions_not_of_the_checks() -> None:
    verdict = Verdict(
        (
            _result("validity", passed=False, ratio=0.5),
            _result("validity", passed=True, ratio=1.0),
            _result("validity", passed=False),
            _result("accuracy", passed=True),
        )
    )
    assert verdict.score == pytest.approx((0.5 + 1.0) / 2)


def test_score_of_nothing_is_nothing() -> None:
    assert Verdict(()).score == 0.0


def test_dimensions_count_passed_and_failed() -> None:
    verdict = Verdict(
        (_result("validity", passed=False), _result("accuracy", passed=True), _result("validity", passed=True))
    )
    assert dict(verdict.by_dimension()) == {"validity": (1, 1), "accuracy": (1, 0)}


@given(st.lists(st.tuples(st.sampled_from(["validity", "accuracy", "uniqueness"]), st.floats(0, 1), st.booleans())))
def test_score_stays_within_its_range(found: list[tuple[Dimension, float, bool]]) -> None:
    score = Verdict(tuple(_result(name, passed=ok, ratio=ratio) for name, ratio, ok in found)).score
    assert 0.0 <= score <= 1.0


@pytest.mark.parametrize(("rows", "passed"), [(1000, True), (999, False), (1001, False)])
def test_population_exact(rows: int, *, passed: bool) -> None:
    (result,) = population_results([_day(5, 5), _day(rows, 1000)], [EXACT])
    assert (result.passed, result.ratio, result.engine) == (passed, None, "headwater")


@pytest.mark.parametrize(
    ("population", "previous", "passed"),
    [
        (110, 100, True),
        (90, 100, True),
        (111, 100, False),
        (89, 100, False),
        (7, None, True),
        (0, 0, True),
        (1, 0, False),
    ],
)
def test_population_change(population: int, previous: int | None, *, passed: bool) -> None:
    (result,) = population_results([_day(0, population, previous)], [CHANGE])
    assert result.passed is passed


def test_share_is_taken_as_written() -> None:
    """0.29 * 100 is 28.999999999999996 in binary floats."""
    check = PopulationChange(kind="population_change", max_share=0.29, dimension="consistency")
    assert population_results([_day(0, 129, 100)], [check])[0].passed


@pytest.mark.parametrize(("population", "passed"), [(900, True), (1100, True), (899, False), (1101, False)])
def test_population_range(population: int, *, passed: bool) -> None:
    (result,) = population_results([_day(0, population)], [RANGE])
    assert result.passed is passed


def test_every_failing_date_is_counted_and_the_first_are_named() -> None:
    days = [_day(0, 1, offset=-offset) for offset in range(5)] + [_day(1, 1, offset=1)]
    (result,) = population_results(days, [EXACT])
    assert result.observed.startswith("5 of 6 dates fail (2025-03-27: 0 rows for 1 entities; ")
    assert result.observed.endswith("; 2 more)")


def test_population_of_no_dates_and_other_checks() -> None:
    (result,) = population_results([], [EXACT, RATE])
    assert (result.passed, result.observed) == (True, "no dates")


@pytest.mark.parametrize(
    ("counts", "passed", "ratio"), [((1000, 5), True, 0.995), ((1000, 6), False, 0.994), ((0, 0), True, 1.0)]
)
def test_row_pass_rate_of_a_source(counts: tuple[int, int], ratio: float, *, passed: bool) -> None:
    (result,) = row_pass_rate({"orders": counts}, RATE)
    assert (result.passed, result.ratio, result.name) == (passed, ratio, "row_pass_rate(orders)")
    assert (result.blocking, result.layer) == (False, 3)
    assert result.expected == "orders: at least 99.5% of the records pass the row rules"


def test_row_pass_rate_judges_each_source_by_itself() -> None:
    results = row_pass_rate({"b": (100, 50), "a": (1_000_000, 0)}, RATE)
    assert [(result.name, result.passed) for result in results] == [
        ("row_pass_rate(a)", True),
        ("row_pass_rate(b)", False),
    ]


def test_one_broken_row_of_many_is_seen() -> None:
    assert pass_ratio(73_000_000, 1) < 1.0


@pytest.mark.parametrize(
    ("check", "name", "text"),
    [
        (NotNull(kind="not_null", column="a", dimension="validity"), "not_null(a)", "every row has a"),
        (Unique(kind="unique", columns=("a", "b"), dimension="validity"), "unique(a, b)", "no two rows share a and b"),
        (InRange(kind="in_range", column="a", min=0, dimension="validity"), "in_range(a)", "a is at least 0"),
        (InRange(kind="in_range", column="a", max=1e6, dimension="validity"), "in_range(a)", "a is at most 1,000,000"),
        (
            NotGreater(kind="not_greater", column="a", than="b", dimension="validity"),
            "not_greater(a, b)",
            "a is at most b",
        ),
        (
            Metric(kind="metric", metric="approx_distinct", column="a", min=1, max=2.5, dimension="validity"),
            "approx_distinct(a)",
            "approx distinct of a is between 1 and 2.5",
        ),
        (EXACT, "population_exact", "one row per entity of the population, on every date"),
        (CHANGE, "population_change", "population within 10% of the day before"),
        (RANGE, "population_range", "population between 900 and 1,100"),
        (RATE, "row_pass_rate", "at least 99.5% of the records pass the row rules"),
    ],
)
def test_checks_speak_plainly(check: NotNull, name: str, text: str) -> None:
    assert (check_name(check), expectation(check)) == (name, text)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-3.0, "-3"), (1234567.0, "1,234,567"), (0.81649, "0.8165"), (1e-7, "1e-07")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_shares_and_rows() -> None:
    assert [percent(0.07), percent(0.9999), percent(1.0)] == ["7%", "99.99%", "100%"]
    assert [rows_seen(0, 0), rows_seen(1000, 0), rows_seen(1000, 7)] == [
        "no rows",
        "all 1,000 rows pass",
        "7 of 1,000 rows fail",
    ]
