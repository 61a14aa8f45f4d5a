"""Head counts from the days on which they change."""

from datetime import date

from headwater.features.asof import population_at


def test_each_date_has_what_came_until_then() -> None:
    changes = {date(2024, 1, 31): 5, date(2024, 2, 2): -2, date(2024, 2, 29): 1}
    wanted = [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2), date(2024, 3, 1)]
    assert population_at(changes, reversed(wanted)) == dict(zip(wanted, [0, 5, 5, 3, 4], strict=True))
