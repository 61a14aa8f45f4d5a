"""Runs the frame checks of a suite through Deequ: row checks as Deequ constraints, statistics against our thresholds.

All of them share one run: everything that scans can share is one scan, and each distinct key of a `unique` check adds
one grouping.
"""

from collections.abc import Sequence
from typing import assert_never

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.quality import FrameCheck, InRange, Metric, NotGreater, NotNull, Unique
from headwater.errors import Unproven
from headwater.quality.deequ_run import Answer, Question, ask
from headwater.quality.verdict import CheckResult, judged
from headwater.quality.wording import check_name, number, rows_seen

_SIZE = Question("size", "size")
_EXACT_TYPES = ("completeness", "approx_distinct")


def run_deequ(spark: SparkSession, frame: DataFrame, checks: Sequence[FrameCheck]) -> tuple[CheckResult, ...]:
    """Judge every check, in order.

    An empty frame breaks no row rule: row checks pass, statistics without a value pass too, and the population checks
    say whether it should have had rows. In a frame with rows a statistic over nulls only fails.

    Raises:
        Unproven: a column is missing or a statistic could not be measured.
    """
    if not checks:
        return ()
    require_columns(frame, checks)
    rows = _with_doubles(frame, checks)
    types = {field.name: field.dataType for field in rows.schema.fields}
    questions = [_question(f"{index} {check_name(check)}", check, types) for index, check in enumerate(checks)]
    size, *answers = ask(spark, rows, [_SIZE, *questions])
    count = int(size.value or 0)
    return tuple(_judge(check, answer, count) for check, answer in zip(checks, answers, strict=True))


def range_predicate(check: InRange, *, floating: bool = False) -> str:
    """SQL condition that a row within the range meets; a null meets it, a NaN (of a floating column) does not."""
    column = f"`{check.column}`"
    # Written as doubles: a decimal literal of another scale would widen the comparison and can overflow to null.
    parts = [f"NOT isnan({column})"] if floating else []
    parts += [f"{column} >= {check.min!r}D"] if check.min is not None else []
    parts += [f"{column} <= {check.max!r}D"] if check.max is not None else []
    return f"{column} IS NULL OR ({' AND '.join(parts)})"


def require_columns(frame: DataFrame, checks: Sequence[FrameCheck]) -> None:
    """Refuse a frame that lacks a checked column, before any engine runs.

    Raises:
        Unproven: naming what is missing.
    """
    wanted = {column for check in checks for column in columns_of(check)}
    if missing := sorted(wanted - set(frame.columns)):
        raise Unproven(
            "check_column_missing",
            f"The checked rows have no column {', '.join(missing)}.",
            remedy="Name a column of the view in the suite, or publish the column.",
            facts={"missing": missing, "columns": frame.columns},
        )


def columns_of(check: FrameCheck) -> tuple[str, ...]:
    """The columns a check reads."""
    match check:
        case NotNull() | InRange() | Metric():
            return (check.column,)
        case NotGreater():
            return (check.column, check.than)
        case Unique():
            return check.columns
    assert_never(check)


def _with_doubles(frame: DataFrame, checks: Sequence[FrameCheck]) -> DataFrame:
    """The columns that are checked; a measured decimal also as double, for sums that would overflow."""
    wanted = dict.fromkeys(column for check in checks for column in columns_of(check))
    decimals = [field.name for field in frame.schema.fields if isinstance(field.dataType, T.DecimalType)]
    measured = {check.column for check in checks if isinstance(check, Metric) and check.metric not in _EXACT_TYPES}
    doubles = [F.col(name).cast("double").alias(_double(name)) for name in decimals if name in measured]
    return frame.select(*(F.col(name) for name in wanted), *doubles)


def _double(column: str) -> str:
    return f"{column}__as_double"


def _question(key: str, check: FrameCheck, types: dict[str, T.DataType]) -> Question:
    match check:
        case NotNull():
            return Question(key, "completeness", (check.column,), asserted=True)
        case Unique():
            return Question(key, "uniqueness", check.columns, asserted=True)
        case InRange():
            floating = isinstance(types[check.column], T.DoubleType | T.FloatType)
            return Question(key, "compliance", predicate=range_predicate(check, floating=floating), asserted=True)
        case NotGreater():
            # A comparison with null is null, which Deequ counts as broken; missing values are not_null's business.
            condition = f"coalesce(`{check.column}` <= `{check.than}`, true)"
            return Question(key, "compliance", predicate=condition, asserted=True)
        case Metric():
            exact = check.metric in _EXACT_TYPES or _double(check.column) not in types
            return Question(key, check.metric, (check.column if exact else _double(check.column),))
    assert_never(check)


def _judge(check: FrameCheck, answer: Answer, rows: int) -> CheckResult:
    if isinstance(check, Metric):
        return _judge_metric(check, answer.value, rows)
    ratio = 1.0 if answer.value is None else answer.value
    passed = answer.value is None or answer.passed is True
    observed = rows_seen(rows, round(rows * (1 - ratio)))
    return judged(check, "deequ", passed=passed, observed=observed, ratio=ratio)


def _judge_metric(check: Metric, value: float | None, rows: int) -> CheckResult:
    if value is None:
        return judged(check, "deequ", passed=rows == 0, observed="no values" if rows else "no rows")
    low = check.min is None or value >= check.min
    high = check.max is None or value <= check.max
    return judged(check, "deequ", passed=low and high, observed=number(value))
