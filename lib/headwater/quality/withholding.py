"""A few rows outside their range are held back, so that they do not hold back all the others (semantics.md, section 5).

Only range checks can be met this way: a broken key says nothing about which of its rows is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.quality import Check, InRange
from headwater.features.asof import FEATURE_DATE
from headwater.quality.deequ import range_predicate
from headwater.quality.verdict import Verdict
from headwater.quality.wording import check_name


@dataclass(frozen=True, slots=True)
class Withheld:
    """Rows that are not published.

    Attributes:
        rows: how many.
        ranges: by column, the SQL condition that a publishable row meets; empty when nothing is withheld.
    """

    rows: int
    ranges: Mapping[str, str]


def withhold(
    frame: DataFrame, checks: Sequence[Check], verdict: Verdict, max_share: float, rows: Sequence[Mapping[date, int]]
) -> Withheld:
    """Decide which rows to hold back: those that break a range, unless they are too many.

    Costs a scan, and only when a blocking range check failed.

    Args:
        frame: staged rows.
        checks: the suite.
        verdict: what it found.
        max_share: of the rows of each group of dates.
        rows: groups of dates that are judged apart, each with its rows by date.
    """
    failed = {result.name for result in verdict.blockers}
    broken = [
        check for check in checks if isinstance(check, InRange) and check.blocking and check_name(check) in failed
    ]
    if not broken:
        return Withheld(0, {})
    types = {field.name: field.dataType for field in frame.schema.fields}
    ranges: dict[str, str] = {}
    for check in broken:
        predicate = range_predicate(check, floating=isinstance(types[check.column], T.DoubleType | T.FloatType))
        ranges[check.column] = f"({ranges[check.column]}) AND ({predicate})" if check.column in ranges else predicate
    outside = {row[0]: row[1] for row in frame.where(~publishable(ranges)).groupBy(FEATURE_DATE).count().collect()}
    few = all(sum(outside.get(day, 0) for day in group) <= max_share * sum(group.values()) for group in rows)
    return Withheld(sum(outside.values()), ranges) if few else Withheld(0, {})


def publishable(ranges: Mapping[str, str]) -> Column:
    """Whether a row meets every range."""
    meets = F.expr("true")
    for predicate in ranges.values():
        meets &= F.expr(predicate)
    return meets


def broken_ranges(ranges: Mapping[str, str]) -> Column:
    """Reasons of a row that is held back: `range:<column>`, sorted."""
    reasons = [F.when(~F.expr(predicate), f"range:{column}") for column, predicate in sorted(ranges.items())]
    return F.array_compact(F.array(*reasons))


def excused(verdict: Verdict, checks: Sequence[Check], withheld: Withheld) -> Verdict:
    """The verdict on what is left: a range check passes when every row that breaks it is held back."""
    ranges = [check for check in checks if isinstance(check, InRange) and check.column in withheld.ranges]
    names = {check_name(check) for check in ranges}
    return Verdict(
        tuple(
            replace(result, passed=True, observed=f"{result.observed}; withheld")
            if result.name in names and result.blocking and not result.passed
            else result
            for result in verdict.results
        )
    )
