"""Quality results are values: every check leaves one, a failed one hides no other, and the gate reads them once.

The score follows semantics.md, section 5: the mean over the dimensions of the mean over their checks, in which a row
check counts with its pass ratio and any other check with 0 or 1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Literal

from headwater.config.quality import Check, Dimension
from headwater.quality.wording import check_name, expectation

Engine = Literal["deequ", "great_expectations", "headwater"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one engine found for one check.

    Attributes:
        expected: what must hold, in words.
        observed: what was seen, in words.
        ratio: share of rows that pass, for a row check; None for a check of the whole.
    """

    name: str
    dimension: Dimension
    layer: int
    engine: Engine
    blocking: bool
    passed: bool
    expected: str
    observed: str
    ratio: float | None

    @property
    def credit(self) -> float:
        """What the result adds to the score of its dimension."""
        return self.ratio if self.ratio is not None else float(self.passed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The results of one audit, and what follows from them."""

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no blocking check failed."""
        return not self.blockers

    @property
    def blockers(self) -> tuple[CheckResult, ...]:
        """The failed checks that stop publication."""
        return tuple(result for result in self.results if result.blocking and not result.passed)

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """The failed checks that are only reported."""
        return tuple(result for result in self.results if not result.blocking and not result.passed)

    @property
    def score(self) -> float:
        """The data_quality_score in 0..1; nothing checked is nothing shown, hence 0."""
        credits: dict[Dimension, list[float]] = {}
        for result in self.results:
            credits.setdefault(result.dimension, []).append(result.credit)
        return fmean(fmean(values) for values in credits.values()) if credits else 0.0

    def by_dimension(self) -> Mapping[Dimension, tuple[int, int]]:
        """Checks passed and failed per dimension, in the order of the suite."""
        counts: dict[Dimension, tuple[int, int]] = {}
        for result in self.results:
            passed, failed = counts.get(result.dimension, (0, 0))
            counts[result.dimension] = (passed + result.passed, failed + (not result.passed))
        return counts


def judged(
    check: Check, engine: Engine, *, passed: bool, observed: str, ratio: float | None = None, subject: str = ""
) -> CheckResult:
    """The result of a declared check; `subject` says what it was applied to when one check gives several results."""
    name, expected = check_name(check), expectation(check)
    return CheckResult(
        name=f"{name}({subject})" if subject else name,
        dimension=check.dimension,
        layer=check.layer,
        engine=engine,
        blocking=check.blocking,
        passed=passed,
        expected=f"{subject}: {expected}" if subject else expected,
        observed=observed,
        ratio=ratio,
    )


def combined(parts: Iterable[Iterable[CheckResult]]) -> Verdict:
    """One verdict from the results of several engines."""
    return Verdict(tuple(result for part in parts for result in part))


def pass_ratio(rows: int, failing: int) -> float:
    """Share of rows that pass; of no rows none fails."""
    return float(Fraction(rows - failing, rows)) if rows else 1.0
