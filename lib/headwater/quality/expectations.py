"""A second opinion from Great Expectations on the rules whose failure would hurt most: keys and ranges.

The context lives in memory, writes no docs site, keeps nothing cached and fetches no offending values, so neither
memory nor personal values outlive the run. Importing this module takes seconds: only a run that verifies should.
"""

from collections.abc import Sequence

from great_expectations import ExpectationSuite, get_context
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_unique import ExpectColumnValuesToBeUnique
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull
from great_expectations.expectations.core.expect_compound_columns_to_be_unique import ExpectCompoundColumnsToBeUnique
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame

from headwater.config.quality import FrameCheck, InRange, NotNull, Unique
from headwater.errors import Unproven
from headwater.quality.deequ import columns_of, require_columns
from headwater.quality.verdict import CheckResult, judged, pass_ratio
from headwater.quality.wording import check_name, rows_seen

_COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}


def run_expectations(frame: DataFrame, checks: Sequence[FrameCheck]) -> tuple[CheckResult, ...]:
    """Judge the not_null, unique and in_range checks among `checks`, in order.

    Raises:
        Unproven: a column is missing, or an expectation ended with an error instead of an answer.
    """
    chosen = [check for check in checks if isinstance(check, NotNull | Unique | InRange)]
    if not chosen:
        return ()
    require_columns(frame, chosen)
    rows = frame.select(*dict.fromkeys(column for check in chosen for column in columns_of(check)))
    found = _validate(rows, chosen)
    return tuple(_judge(check, found.get(index)) for index, check in enumerate(chosen))


def _validate(rows: DataFrame, checks: Sequence[NotNull | Unique | InRange]) -> dict[int, ExpectationValidationResult]:
    """Results by the position of their check; the validator returns them in an order of its own."""
    context = get_context(mode="ephemeral", project_config=_in_memory())
    batches = context.data_sources.add_spark("staged", persist=False).add_dataframe_asset("rows")
    batch = batches.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": rows})
    suite = ExpectationSuite("checks", expectations=[_expectation(index, check) for index, check in enumerate(checks)])
    results = batch.validate(suite, result_format=_COUNTS_ONLY).results
    return {result.expectation_config.meta["check"]: result for result in results if result.expectation_config}


def _in_memory() -> DataContextConfig:
    """A context without files, docs site, progress bars on stderr, or usage reports to anybody."""
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )


def _expectation(index: int, check: NotNull | Unique | InRange) -> Expectation:
    meta = {"check": index}
    match check:
        case NotNull():
            return ExpectColumnValuesToNotBeNull(column=check.column, meta=meta)
        case InRange():
            return ExpectColumnValuesToBeBetween(
                column=check.column, min_value=check.min, max_value=check.max, meta=meta
            )
        case Unique(columns=(column,)):
            return ExpectColumnValuesToBeUnique(column=column, meta=meta)
        case Unique():
            return ExpectCompoundColumnsToBeUnique(column_list=list(check.columns), meta=meta)


def _judge(check: NotNull | Unique | InRange, result: ExpectationValidationResult | None) -> CheckResult:
    if result is None or (error := _raised(result.exception_info)):
        reason = "it gave no result" if result is None else error
        raise Unproven(
            "expectation_failed",
            f"Great Expectations did not judge {check_name(check)}: {reason}",
            remedy="Check that the bounds fit the column's type.",
            facts={"check": check_name(check)},
        )
    counts = result.result
    rows, failing = int(counts.get("element_count") or 0), int(counts.get("unexpected_count") or 0)
    return judged(
        check,
        "great_expectations",
        passed=bool(result.success),
        observed=rows_seen(rows, failing),
        ratio=pass_ratio(rows, failing),
    )


def _raised(info: object) -> str:
    """The message of an error, if there was one: reported flat, or once per metric."""
    if not isinstance(info, dict):
        return ""
    if info.get("raised_exception"):
        return str(info.get("exception_message"))
    return next((text for part in info.values() if (text := _raised(part))), "")
