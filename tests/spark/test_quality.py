"""Both engines on real rows: every kind of check passing and failing, and what they leave behind."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from py4j.protocol import Py4JError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.quality import (
    FrameCheck,
    InRange,
    Metric,
    NotGreater,
    NotNull,
    PopulationExact,
    RowPassRate,
    Unique,
)
from headwater.errors import Unproven
from headwater.quality.audit import verify_frame
from headwater.quality.deequ import range_predicate, run_deequ
from headwater.quality.deequ_run import Question, ask, no_callback_server_left
from headwater.quality.expectations import run_expectations
from headwater.quality.population import DatePopulation

_DAY = date(2025, 3, 31)
_SCHEMA = "user_id string, feature_date date, spend decimal(18,2), stale int, week bigint, month bigint, share double"
_CLEAN = [
    ("u1", _DAY, Decimal("0.00"), 0, 0, 0, 0.5),
    ("u2", _DAY, Decimal("100.00"), 365, 2, 5, 1.5),
    ("u3", _DAY, None, 10, 5, 5, None),
    ("u4", _DAY, Decimal("20.00"), 5, None, 5, 2.5),
]

NOT_NULL = NotNull(kind="not_null", column="user_id", dimension="completeness")
UNIQUE = Unique(kind="unique", columns=("user_id", "feature_date"), dimension="uniqueness")
SPEND = InRange(kind="in_range", column="spend", min=0, max=100, dimension="validity")
WEEKS = NotGreater(kind="not_greater", column="week", than="month", dimension="consistency")


def _metric(name: str, column: str, low: float | None, high: float | None) -> Metric:
    return Metric.model_validate(
        {"kind": "metric", "metric": name, "column": column, "min": low, "max": high, "dimension": "accuracy"}
    )


@pytest.fixture(scope="module")
def frame_of(spark: SparkSession) -> Callable[[Sequence[tuple[object, ...]]], DataFrame]:
    return lambda rows: spark.createDataFrame(list(rows), _SCHEMA)


@pytest.fixture(scope="module")
def clean(frame_of: Callable[[Sequence[tuple[object, ...]]], DataFrame]) -> DataFrame:
    return frame_of(_CLEAN)


@pytest.fixture(scope="module")
def dirty(frame_of: Callable[[Sequence[tuple[object, ...]]], DataFrame]) -> DataFrame:
    broken = [
        ("u1", _DAY, Decimal("-0.01"), 366, 9, 8, float("nan")),
        (None, _DAY, Decimal("100.01"), -1, 1, 1, 0.1),
        ("u5", None, None, None, None, None, None),
        ("u5", None, None, None, None, None, None),
    ]
    return frame_of([*_CLEAN, *broken])


FRAME_CHECKS: tuple[FrameCheck, ...] = (
    NOT_NULL,
    UNIQUE,
    Unique(kind="unique", columns=("user_id",), dimension="uniqueness"),
    SPEND,
    InRange(kind="in_range", column="stale", min=0, dimension="validity"),
    InRange(kind="in_range", column="stale", max=365, dimension="validity"),
    InRange(kind="in_range", column="share", min=0, dimension="validity"),
    WEEKS,
)


def test_clean_rows_pass_every_row_check_in_both_engines(spark: SparkSession, clean: DataFrame) -> None:
    deequ = run_deequ(spark, clean, FRAME_CHECKS)
    assert [(result.passed, result.ratio) for result in deequ] == [(True, 1.0)] * len(FRAME_CHECKS)
    gx = run_expectations(clean, FRAME_CHECKS)
    assert [(result.passed, result.ratio) for result in gx] == [(True, 1.0)] * (len(FRAME_CHECKS) - 1)
    assert {result.engine for result in deequ} == {"deequ"}
    assert {result.engine for result in gx} == {"great_expectations"}
    assert gx[0].observed == "all 4 rows pass"


def test_broken_rows_fail_with_their_share(spark: SparkSession, dirty: DataFrame) -> None:
    deequ = {result.name: result for result in run_deequ(spark, dirty, FRAME_CHECKS[:5] + FRAME_CHECKS[6:])}
    assert {name: result.ratio for name, result in deequ.items()} == {
        "not_null(user_id)": 7 / 8,
        "unique(user_id, feature_date)": 4 / 8,
        "unique(user_id)": 3 / 7,
        "in_range(spend)": 6 / 8,
        "in_range(stale)": 7 / 8,
        "in_range(share)": 7 / 8,
        "not_greater(week, month)": 7 / 8,
    }
    assert not any(result.passed for result in deequ.values())
    assert deequ["in_range(spend)"].observed == "2 of 8 rows fail"


def test_engines_agree_on_broken_keys_and_ranges(spark: SparkSession, dirty: DataFrame) -> None:
    checks = (NOT_NULL, UNIQUE, SPEND, *FRAME_CHECKS[4:6])
    deequ, gx = run_deequ(spark, dirty, checks), run_expectations(dirty, checks)
    assert [(result.name, result.passed, result.ratio) for result in gx] == [
        (result.name, result.passed, result.ratio) for result in deequ
    ]


def test_two_checks_on_one_column_keep_their_own_results(spark: SparkSession, clean: DataFrame) -> None:
    wide = InRange(kind="in_range", column="stale", min=0, max=365, dimension="validity")
    narrow = InRange(kind="in_range", column="stale", min=0, max=10, dimension="validity")
    for results in (run_deequ(spark, clean, (wide, narrow, wide)), run_expectations(clean, (wide, narrow, wide))):
        assert [result.ratio for result in results] == [1.0, 0.75, 1.0]


@pytest.mark.parametrize(
    ("check", "passed", "observed"),
    [
        (_metric("mean", "stale", 95, 95), True, "95"),
        (_metric("mean", "stale", 95.1, None), False, "95"),
        (_metric("mean", "spend", 40, 40), True, "40"),
        (_metric("standard_deviation", "share", 0.8, 0.82), True, "0.8165"),
        (_metric("standard_deviation", "share", None, 0.8), False, "0.8165"),
        (_metric("completeness", "spend", 0.75, None), True, "0.75"),
        (_metric("completeness", "spend", 0.76, None), False, "0.75"),
        (_metric("minimum", "spend", 0, None), True, "0"),
        (_metric("minimum", "week", 1, None), False, "0"),
        (_metric("maximum", "spend", None, 100), True, "100"),
        (_metric("maximum", "stale", None, 364.9), False, "365"),
        (_metric("approx_distinct", "user_id", 4, 4), True, "4"),
        (_metric("approx_distinct", "user_id", 5, None), False, "4"),
    ],
    ids=lambda value: f"{value.metric}-{value.column}" if isinstance(value, Metric) else None,
)
def test_metric_against_its_bounds(
    spark: SparkSession, clean: DataFrame, check: Metric, *, passed: bool, observed: str
) -> None:
    (result,) = run_deequ(spark, clean, [check])
    assert (result.passed, result.observed, result.ratio) == (passed, observed, None)


def test_metric_over_nulls_only_fails(spark: SparkSession, clean: DataFrame) -> None:
    (result,) = run_deequ(
        spark, clean.withColumn("spend", F.lit(None).cast("decimal(18,2)")), [_metric("mean", "spend", 0, 1)]
    )
    assert (result.passed, result.observed) == (False, "no values")


def test_sum_beyond_the_decimal_range_still_gives_a_mean(spark: SparkSession) -> None:
    frame = spark.range(100).select(F.lit("9" * 38).cast("decimal(38,0)").alias("huge"))
    (result,) = run_deequ(spark, frame, [_metric("mean", "huge", 9.9e37, 1.1e38)])
    assert result.passed


def test_empty_frame_breaks_no_row_rule(spark: SparkSession, clean: DataFrame) -> None:
    empty = clean.where(F.lit(False))  # noqa: FBT003 - a literal, not a switch
    checks = (*FRAME_CHECKS, _metric("mean", "stale", 1, 2))
    for results in (run_deequ(spark, empty, checks), run_expectations(empty, checks)):
        assert all(result.passed and result.ratio in (1.0, None) for result in results)
        assert {result.observed for result in results} == {"no rows"}


def test_count_check_decides_about_an_empty_frame(spark: SparkSession, clean: DataFrame) -> None:
    verdict = verify_frame(
        spark,
        clean.limit(0),
        clean.limit(0),
        (NOT_NULL, PopulationExact(kind="population_exact", dimension="completeness")),
        per_date=[DatePopulation(_DAY, 0, 4, None)],
        row_counts={},
    )
    assert [result.name for result in verdict.blockers] == ["population_exact"]


def test_verdict_holds_every_check_of_every_engine(spark: SparkSession, clean: DataFrame) -> None:
    suite = (
        *FRAME_CHECKS,
        _metric("mean", "stale", 0, 365),
        PopulationExact(kind="population_exact", dimension="completeness"),
        RowPassRate(kind="row_pass_rate", min=0.995, dimension="validity", blocking=False),
    )
    verdict = verify_frame(
        spark,
        clean,
        clean,
        suite,
        per_date=[DatePopulation(_DAY, 4, 4, None)],
        row_counts={"a": (100, 1), "b": (100, 0)},
    )
    engines = [result.engine for result in verdict.results]
    assert (engines.count("deequ"), engines.count("great_expectations"), engines.count("headwater")) == (9, 7, 3)
    assert verdict.passed
    assert [result.name for result in verdict.warnings] == ["row_pass_rate(a)"]


def test_metric_that_does_not_fit_its_column_is_an_error(spark: SparkSession, clean: DataFrame) -> None:
    with pytest.raises(Unproven) as caught:
        run_deequ(spark, clean, [NOT_NULL, _metric("mean", "user_id", 0, 1)])
    assert caught.value.code == "metric_missing"
    assert caught.value.facts["statistic"] == "mean"


def test_failing_scan_is_an_error_not_a_silence(spark: SparkSession, clean: DataFrame) -> None:
    """One failing expression takes the whole scan's metrics with it; the first of them must be named."""
    broken = clean.withColumn("stale", F.expr("stale / (stale - stale)"))
    with pytest.raises(Unproven) as caught:
        run_deequ(spark, broken, [NOT_NULL, _metric("mean", "stale", 0, 1)])
    assert caught.value.code == "metric_missing"


def test_missing_column_is_an_error_in_both_engines(spark: SparkSession, clean: DataFrame) -> None:
    incomplete = clean.drop("feature_date")
    with pytest.raises(Unproven) as by_deequ:
        run_deequ(spark, incomplete, [UNIQUE])
    with pytest.raises(Unproven) as by_gx:
        run_expectations(incomplete, [UNIQUE])
    assert by_deequ.value.facts["missing"] == by_gx.value.facts["missing"] == ["feature_date"]


def test_range_predicate_selects_the_rows_that_the_check_fails(dirty: DataFrame) -> None:
    assert dirty.where(f"NOT ({range_predicate(SPEND)})").count() == 2


def test_main_session_stays_as_it_was(spark: SparkSession, clean: DataFrame) -> None:
    before = {row.key: row.value for row in spark.sql("SET").collect()}
    cached = spark.sparkContext._jsc.getPersistentRDDs().size()  # noqa: SLF001 - no public count
    run_deequ(spark, clean, FRAME_CHECKS)
    run_expectations(clean, FRAME_CHECKS)
    assert {row.key: row.value for row in spark.sql("SET").collect()} == before
    active = SparkSession.getActiveSession()
    assert active is not None
    assert active.conf.get("spark.sql.ansi.enabled") == "true"
    assert spark.catalog.listTables("global_temp") == []
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == cached  # noqa: SLF001


def test_rows_are_read_a_bounded_number_of_times(spark: SparkSession, clean: DataFrame) -> None:
    """Deequ: one scan for all, two per key. GX: one for counts, one for the row count, two per compound key."""
    reads = spark.sparkContext.accumulator(0)

    def count_rows(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            reads.add(len(batch))
            yield batch

    counted = clean.drop("spend").mapInPandas(count_rows, clean.drop("spend").schema)
    checks = [
        NOT_NULL,
        UNIQUE,
        WEEKS,
        *FRAME_CHECKS[4:7],
        _metric("mean", "stale", 0, 365),
        _metric("maximum", "week", 0, 9),
    ]
    run_deequ(spark, counted, checks)
    assert reads.value == 3 * 4
    run_expectations(counted, checks)
    assert reads.value <= (3 + 4) * 4


def test_callback_server_of_the_run_is_stopped_and_another_ones_is_not(spark: SparkSession) -> None:
    gateway = spark.sparkContext._gateway  # noqa: SLF001 - py4j is reachable only here
    assert gateway is not None
    before = threading.active_count()
    with pytest.raises(Py4JError), no_callback_server_left(spark):  # noqa: PT012 - the server, then the failure
        gateway.start_callback_server()
        raise Py4JError
    assert gateway.get_callback_server().is_shutdown
    assert threading.active_count() == before
    gateway.restart_callback_server()
    with no_callback_server_left(spark):
        pass
    assert not gateway.get_callback_server().is_shutdown
    gateway.shutdown_callback_server()


def test_statistic_that_deequ_cannot_assert_is_refused(spark: SparkSession, clean: DataFrame) -> None:
    with pytest.raises(ValueError, match="never asserted"):
        ask(spark, clean, [Question("x", "mean", ("stale",), asserted=True)])


_PROGRAM = """
import threading
from headwater.config.project import SparkSettings
from headwater.config.quality import InRange, Unique
from headwater.quality.deequ import run_deequ
from headwater.quality.expectations import run_expectations
from headwater.session import build_session
import sys
settings = {"spark.sql.shuffle.partitions": "1"}
spark = build_session("exit", SparkSettings(master="local[1]", settings=settings), jars=sys.argv[1])
checks = [
    InRange(kind="in_range", column="id", min=0, dimension="validity"),
    Unique(kind="unique", columns=("id",), dimension="uniqueness"),
]
found = [*run_deequ(spark, spark.range(3), checks), *run_expectations(spark.range(3), checks)]
assert all(result.passed for result in found), found
assert spark.sparkContext._gateway.get_callback_server() is None
print([thread.name for thread in threading.enumerate() if not thread.daemon])
"""


def test_process_ends_by_itself_after_both_engines(jars: str, tmp_path: Path) -> None:
    """No stop() and no sys.exit: a thread or server left behind would run into the time limit."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", _PROGRAM, jars],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "lib")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "['MainThread']"), done.stderr
    assert "Calculating Metrics" not in done.stderr
