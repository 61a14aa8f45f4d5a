"""The naive point-in-time join: for each label, look at every row there was. Shares no code with the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

Rows = Mapping[tuple[str, date], object]


@dataclass(frozen=True)
class Publication:
    """What one commit did to a history: all rows of its dates are replaced."""

    at: datetime
    dates: frozenset[date]
    rows: Rows


def state(publications: Sequence[Publication], at: datetime | None) -> dict[tuple[str, date], tuple[object, datetime]]:
    """Every row that a reader sees at an instant, None for now, and since when it is what it is."""
    seen: dict[tuple[str, date], tuple[object, datetime]] = {}
    for publication in publications:
        if at is None or publication.at <= at:
            seen = {key: row for key, row in seen.items() if key[1] not in publication.dates}
            seen |= {key: (value, publication.at) for key, value in publication.rows.items()}
    return seen


def known(
    publications: Sequence[Publication],
    label: tuple[str, datetime],
    *,
    strict: bool,
    max_age_days: int | None,
    published: bool,
) -> tuple[date | None, datetime | None, object]:
    """Date, publication and value of the newest row that a label may know; three times None when there is none."""
    entity, time = label
    found: tuple[date | None, datetime | None, object] = (None, None, None)
    for (who, day), (value, since) in sorted(state(publications, time if published else None).items()):
        too_new = day >= time.date() if strict else day > time.date()
        too_old = max_age_days is not None and time.date() - day > timedelta(days=max_age_days)
        if who == entity and not too_new and not too_old:
            found = (day, since, value)
    return found
