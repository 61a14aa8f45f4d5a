"""Puts a suite's checks before the engines that can judge them and gathers one verdict."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession

from headwater.config.quality import Check, InRange, Metric, NotGreater, NotNull, RowPassRate, Unique
from headwater.quality.deequ import run_deequ
from headwater.quality.population import DatePopulation, population_results, row_pass_rate
from headwater.quality.verdict import Verdict, combined


def verify_frame(
    spark: SparkSession,
    frame: DataFrame,
    checks: Sequence[Check],
    *,
    per_date: Sequence[DatePopulation],
    row_counts: Mapping[str, tuple[int, int]],
) -> Verdict:
    """Judge staged rows, pinned to one version, by a whole suite.

    Both engines read the frame; `row_counts` holds per source the records judged and the records quarantined.

    Raises:
        Unproven: an engine gave no answer to a check.
    """
    from headwater.quality.expectations import run_expectations  # noqa: PLC0415 - the engine takes seconds to import

    frame_checks = [check for check in checks if isinstance(check, NotNull | Unique | InRange | NotGreater | Metric)]
    rates = [row_pass_rate(row_counts, check) for check in checks if isinstance(check, RowPassRate)]
    return combined(
        [
            run_deequ(spark, frame, frame_checks),
            run_expectations(frame, frame_checks),
            population_results(per_date, checks),
            *rates,
        ]
    )
