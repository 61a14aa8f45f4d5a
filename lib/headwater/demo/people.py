"""Who lives in the demo world: how active each customer is, since when and until when.

Activity follows a power law: most customers do little, a few do very much. A quarter leave during the period and fall
silent, which is what the churn features are there to see.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from headwater.demo.world import CustomerRow, Scale

COUNTRIES = ("US", "GB", "DE", "FR", "BR", "IN", "JP", "NG", "ES", "AU")
SEGMENTS = ("free", "basic", "pro", "enterprise")
COUNTRY_ODDS = (0.32, 0.14, 0.12, 0.09, 0.08, 0.08, 0.06, 0.04, 0.04, 0.03)
SEGMENT_ODDS = (0.45, 0.30, 0.20, 0.05)
NAMES = ("alex", "zoë", "maría", "chen", "o'neil", "søren", "ayşe", "priya", "ivan", "naoko")
EARLIER_CUSTOMERS = 0.7
LEAVERS = 0.25
UNKNOWN_SHARE = 0.02
TOUCHED_SHARE = 0.3
MAX_WEIGHT = 25.0


@dataclass(frozen=True, slots=True)
class People:
    """The population, one array element per customer; days are counted from the first day of the world.

    Attributes:
        signup: day of signup, negative before the world begins; the newcomers' is the change day.
        churn: first day without any activity; beyond the change day for those who stay.
        weight: activity relative to the mean customer.
    """

    ids: NDArray[np.object_]
    signup: NDArray[np.int64]
    churn: NDArray[np.int64]
    weight: NDArray[np.float64]

    def alive(self, days: int) -> NDArray[np.bool_]:
        """Customers by days: may the customer act on that day?"""
        day = np.arange(days)
        return (self.signup[:, None] <= day) & (day < self.churn[:, None])


def user_name(number: int) -> str:
    """The user id of the n-th customer."""
    return f"U{number:06d}"


def newcomer_count(scale: Scale) -> int:
    """Signups on the change day; few, for the population may grow by less than a tenth in a day."""
    return max(2, round(scale.customers * 0.003))


def draw_people(scale: Scale, rng: np.random.Generator) -> People:
    """Draw the customers of the initial load and, after them, the newcomers of the change day."""
    count, newcomers = scale.customers, newcomer_count(scale)
    total = count + newcomers
    early = rng.random(count) < EARLIER_CUSTOMERS
    signup = np.where(early, -rng.integers(1, 700, count), rng.integers(0, scale.days, count))
    leaves = rng.random(total) < LEAVERS
    churn = np.where(leaves, rng.integers(-20, scale.days, total), scale.days + 2)
    weight = np.minimum(rng.pareto(1.3, total) + 0.3, MAX_WEIGHT)
    ids = np.array([user_name(number + 1) for number in range(total)], dtype=object)
    every_signup = np.concatenate([signup, np.full(newcomers, scale.days)])
    return People(ids=ids, signup=every_signup, churn=churn, weight=weight / weight.mean())


def customer_rows(scale: Scale, people: People, rng: np.random.Generator) -> list[CustomerRow]:
    """The one current row of every customer: signed up, and since then perhaps changed once.

    A newcomer's row is written after the first extraction, whatever the hour of the signup.
    """
    total = len(people.ids)
    countries = rng.choice(len(COUNTRIES), total, p=COUNTRY_ODDS)
    segments = rng.choice(len(SEGMENTS), total, p=SEGMENT_ODDS)
    unknown = rng.random((3, total)) < UNKNOWN_SHARE
    midnight = datetime.combine(scale.first_day, time(), tzinfo=UTC)
    touched = np.where(rng.random(total) < TOUCHED_SHARE, rng.integers(0, np.maximum(1, scale.days - people.signup)), 0)
    seconds = rng.integers(3 * 3600, 86_400, total)
    rows = []
    for index in range(total):
        signup = int(people.signup[index])
        days, offset = signup + int(touched[index]), int(seconds[index])
        email = f"{NAMES[index % len(NAMES)]}.{index + 1}@example.com"
        rows.append(
            CustomerRow(
                user_id=people.ids[index],
                email=None if unknown[0, index] else email,
                country=None if unknown[1, index] else COUNTRIES[countries[index]],
                segment=None if unknown[2, index] else SEGMENTS[segments[index]],
                signup_date=scale.first_day + timedelta(days=signup),
                updated_at=midnight + timedelta(days=days, seconds=offset, microseconds=offset * 7 % 1_000_000),
            )
        )
    return rows
