"""Puts a suite's checks before the engines that can judge them and gathers one verdict."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from headwater.config.quality import Check, FrameCheck, InRange, Metric, NotGreater, NotNull, RowPassRate, Unique
from headwater.quality.deequ import run_deequ
from headwater.quality.population import DatePopulation, population_results, row_pass_rate
from headwater.quality.verdict import Verdict, combined


def verify_frame(
    spark: SparkSession,
    frame: DataFrame,
    whole: DataFrame,
    checks: Sequence[Check],
    *,
    per_date: Sequence[DatePopulation],
    row_counts: Mapping[str, tuple[int, int]],
) -> Verdict:
    """Judge staged rows, pinned to one version, by a whole suite.

    Both engines read the frame; statistics are judged on `whole`: the frame, or the part that has every row of its
    dates. `row_counts` holds per source the records judged and the records quarantined.

    Raises:
        Unproven: an engine gave no answer to a check.
    """
    from headwater.quality.expectations import run_expectations  # noqa: PLC0415 - the engine takes seconds to import

    frame_checks = [check for check in checks if isinstance(check, NotNull | Unique | InRange | NotGreater | Metric)]
    rates = [row_pass_rate(row_counts, check) for check in checks if isinstance(check, RowPassRate)]
    return combined(
        [
            *(run_deequ(spark, rows, each) for rows, each in _judged_on(frame, whole, frame_checks)),
            run_expectations(frame, frame_checks),
            population_results(per_date, checks),
            *rates,
        ]
    )


def _judged_on(
    frame: DataFrame, whole: DataFrame, checks: Sequence[FrameCheck]
) -> list[tuple[DataFrame, list[FrameCheck]]]:
    if whole is frame:
        return [(frame, list(checks))]
    statistics: list[FrameCheck] = [check for check in checks if isinstance(check, Metric)]
    return [(frame, [check for check in checks if check not in statistics]), (whole, statistics)]
