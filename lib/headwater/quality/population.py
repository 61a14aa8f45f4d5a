"""Checks that no column shows: is everybody there, did their number jump, did the sources deliver clean records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import partial

from headwater.config.quality import Check, PopulationChange, PopulationExact, PopulationRange, RowPassRate
from headwater.quality.verdict import CheckResult, judged, pass_ratio

_SHOWN_DATES = 3


@dataclass(frozen=True, slots=True)
class DatePopulation:
    """Head counts of one feature date.

    Attributes:
        rows: staged rows, withheld ones counted.
        population: entities that must have a row.
        previous: population of the day before; None when there is none to compare with.
    """

    date: date
    rows: int
    population: int
    previous: int | None


def population_results(per_date: Sequence[DatePopulation], checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    """Results of the population checks among `checks`, one per check over all dates."""
    results = []
    for check in checks:
        match check:
            case PopulationExact():
                results.append(_over_dates(check, per_date, _is_exact, _rows_of_population))
            case PopulationChange():
                results.append(_over_dates(check, per_date, partial(_is_steady, _exact(check.max_share)), _change))
            case PopulationRange():
                results.append(_over_dates(check, per_date, partial(_is_within, check), _head_count))
            case _:
                continue
    return tuple(results)


def row_pass_rate(counts: Mapping[str, tuple[int, int]], check: RowPassRate) -> tuple[CheckResult, ...]:
    """One result per source: the share of its records that row rules let through.

    `counts` holds per source the records judged (extracted and replayed) and the records quarantined.
    """
    results = []
    for source, (judged_records, quarantined) in sorted(counts.items()):
        kept = judged_records - quarantined
        results.append(
            judged(
                check,
                "headwater",
                passed=kept >= _exact(check.min) * judged_records,
                observed=f"{quarantined:,} of {judged_records:,} records quarantined"
                if judged_records
                else "no records",
                ratio=pass_ratio(judged_records, quarantined),
                subject=source,
            )
        )
    return tuple(results)


def _over_dates(
    check: PopulationExact | PopulationChange | PopulationRange,
    per_date: Sequence[DatePopulation],
    holds: Callable[[DatePopulation], bool],
    describe: Callable[[DatePopulation], str],
) -> CheckResult:
    days = sorted(per_date, key=lambda day: day.date)
    failing = [day for day in days if not holds(day)]
    shown = failing[:_SHOWN_DATES] if failing else days[-1:]
    words = "; ".join(f"{day.date.isoformat()}: {describe(day)}" for day in shown)
    more = f"; {len(failing) - len(shown)} more" if len(failing) > len(shown) else ""
    summary = f"{len(failing)} of {len(days)} dates fail" if failing else f"all {len(days)} dates pass"
    observed = f"{summary} ({words}{more})" if words else "no dates"
    return judged(check, "headwater", passed=not failing, observed=observed)


def _is_exact(day: DatePopulation) -> bool:
    return day.rows == day.population


def _is_within(check: PopulationRange, day: DatePopulation) -> bool:
    return check.min <= day.population <= check.max


def _is_steady(share: Fraction, day: DatePopulation) -> bool:
    return day.previous is None or abs(day.population - day.previous) <= share * day.previous


def _rows_of_population(day: DatePopulation) -> str:
    return f"{day.rows:,} rows for {day.population:,} entities"


def _change(day: DatePopulation) -> str:
    if day.previous is None:
        return f"{day.population:,} entities, no day before"
    return f"{day.population:,} entities after {day.previous:,}"


def _head_count(day: DatePopulation) -> str:
    return f"{day.population:,} entities"


def _exact(share: float) -> Fraction:
    """The share as written in the suite: in binary floats 0.29 of 100 is less than 29."""
    return Fraction(str(share))
