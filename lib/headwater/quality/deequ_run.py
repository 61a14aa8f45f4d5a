"""The seam to Deequ: one VerificationSuite run, asked in plain values and answered in plain values.

What is peculiar about pydeequ stays in here. With ANSI on, one failing cast makes every metric of the same scan
disappear, so the run has a session of its own with ANSI off; the frame reaches it as a global temporary view. No
constraint carries a Python function, because those start a callback server that keeps the process alive.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession

from headwater.errors import Unproven

Statistic = Literal[
    "size",
    "completeness",
    "uniqueness",
    "compliance",
    "mean",
    "standard_deviation",
    "minimum",
    "maximum",
    "approx_distinct",
]
_NO_VALUES = "com.amazon.deequ.analyzers.runners.EmptyStateException"


@dataclass(frozen=True, slots=True)
class Question:
    """One statistic to measure.

    Attributes:
        key: unique in a run; Deequ drops one of two checks with the same description without a word.
        columns: what the statistic is about; none for the size and for a compliance.
        predicate: SQL condition of a compliance.
        asserted: whether Deequ itself decides that the share must be 1.
    """

    key: str
    statistic: Statistic
    columns: tuple[str, ...] = ()
    predicate: str = ""
    asserted: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What was measured.

    Attributes:
        value: None when there were no rows, or only nulls, to measure.
        passed: Deequ's own decision about an asserted question.
    """

    value: float | None
    passed: bool | None


def ask(spark: SparkSession, frame: DataFrame, questions: Sequence[Question]) -> tuple[Answer, ...]:
    """Measure all questions in one run, in order.

    Raises:
        Unproven: a statistic that was asked for was not measured.
    """
    with no_callback_server_left(spark), _in_verification_session(spark, frame) as (session, rows):
        return _run(session, rows, questions)


@contextmanager
def no_callback_server_left(spark: SparkSession) -> Iterator[None]:
    """Stop a py4j callback server that was started inside the block; one that was there before is not ours."""
    gateway: Any = spark.sparkContext._gateway  # noqa: SLF001 - py4j is reachable only here
    before = gateway.get_callback_server()
    try:
        yield
    finally:
        if gateway.get_callback_server() is not before:
            gateway.shutdown_callback_server()


@contextmanager
def _in_verification_session(spark: SparkSession, frame: DataFrame) -> Iterator[tuple[SparkSession, DataFrame]]:
    """A sibling session with ANSI off, and the frame as that session sees it."""
    session = spark.newSession()
    session.conf.set("spark.sql.ansi.enabled", "false")
    view = f"headwater_audit_{uuid.uuid4().hex}"
    frame.createGlobalTempView(view)
    try:
        yield session, session.table(f"{session.conf.get('spark.sql.globalTempDatabase', 'global_temp')}.{view}")
    finally:
        session.catalog.dropGlobalTempView(view)


def _run(session: SparkSession, rows: DataFrame, questions: Sequence[Question]) -> tuple[Answer, ...]:
    # pydeequ reads this variable while it is imported, hence the imports inside functions.
    os.environ.setdefault("SPARK_VERSION", session.version)
    from pydeequ.verification import VerificationSuite  # noqa: PLC0415 - after SPARK_VERSION is set

    run = VerificationSuite(session).onData(rows)
    analyzers = [_analyzer(session, question) for question in questions]
    for analyzer in analyzers:
        run._VerificationRunBuilder.addRequiredAnalyzer(analyzer)  # noqa: SLF001 - pydeequ does not expose it
    for question in questions:
        if question.asserted:
            run.addCheck(_check(session, question))
    result = run.run()
    verdicts = {row["check"]: row["constraint_status"] == "Success" for row in result.checkResults}
    return tuple(
        Answer(_measured(result.metrics, analyzer, question), verdicts.get(question.key))
        for question, analyzer in zip(questions, analyzers, strict=True)
    )


def _measured(metrics: Any, analyzer: Any, question: Question) -> float | None:  # noqa: ANN401 - py4j objects
    """The value of one metric; looked up by its analyzer, so that a missing one cannot go unseen."""
    found = metrics.get(analyzer)
    if found.isEmpty():
        raise _unmeasured(question, "it is missing from the run's metrics")
    value = found.get().value()
    if value.isSuccess():
        return float(value.get())
    failure = value.failed().get()
    if failure.getClass().getName() == _NO_VALUES:
        return None
    raise _unmeasured(question, str(failure.getMessage()))


def _unmeasured(question: Question, reason: str) -> Unproven:
    return Unproven(
        "metric_missing",
        f"Deequ did not measure {question.key}: {reason}",
        remedy="Check that the column exists and that the statistic fits its type.",
        facts={"check": question.key, "statistic": question.statistic, "columns": list(question.columns)},
    )


def _check(session: SparkSession, question: Question) -> Any:  # noqa: ANN401 - pydeequ has no types
    """The Deequ check of an asserted question."""
    from pydeequ.checks import Check, CheckLevel  # noqa: PLC0415 - after SPARK_VERSION is set

    check = Check(session, CheckLevel.Error, question.key)
    match question.statistic:
        case "completeness":
            return check.isComplete(*question.columns)
        case "uniqueness":
            return check.isPrimaryKey(*question.columns)
        case "compliance":
            return check.satisfies(question.predicate, question.key)
    message = f"{question.statistic} is measured, never asserted"
    raise ValueError(message)


def _analyzer(session: SparkSession, question: Question) -> Any:  # noqa: ANN401 - py4j object
    """The JVM analyzer; equal to the one that the check of the same question brings, so it is computed once."""
    analyzer = _python_analyzer(question)
    analyzer._set_jvm(session._jvm)  # noqa: SLF001 - pydeequ's builders do the same
    return analyzer._analyzer_jvm  # noqa: SLF001


def _python_analyzer(question: Question) -> Any:  # noqa: ANN401 - pydeequ has no types
    from pydeequ import analyzers  # noqa: PLC0415 - after SPARK_VERSION is set

    of_a_column = {
        "completeness": analyzers.Completeness,
        "mean": analyzers.Mean,
        "standard_deviation": analyzers.StandardDeviation,
        "minimum": analyzers.Minimum,
        "maximum": analyzers.Maximum,
        "approx_distinct": analyzers.ApproxCountDistinct,
    }
    match question.statistic:
        case "size":
            return analyzers.Size()
        case "uniqueness":
            return analyzers.Uniqueness(list(question.columns))
        case "compliance":
            return analyzers.Compliance(question.key, question.predicate)
        case _:
            return of_a_column[question.statistic](*question.columns)
