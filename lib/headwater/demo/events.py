"""Regular activity: when customers buy and click.

A rate per customer and day (activity x weekday x still there) is drawn from a Poisson distribution; every event then
gets an hour by the rhythm of the day, and an `updated_at` shortly after it, or for a few of them weeks after it.
All randomness is drawn as arrays, which keeps 100,000 events within a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
from bson.int64 import Int64
from numpy.typing import NDArray

from headwater.demo.people import People
from headwater.demo.world import Document, Scale, TransactionRow

PURCHASES_A_WEEK = 2.0
EVENTS_A_WEEK = {"page_view": 1.8, "login": 1.2, "feature_usage": 0.8}
TICKETS_A_WEEK = 0.2
WORKING_WEEK = (1.15, 1.2, 1.15, 1.1, 1.1, 0.7, 0.6)
SHOPPING_WEEK = (0.85, 0.85, 0.9, 0.95, 1.15, 1.3, 1.0)
HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 11, 11, 11, 10, 10, 10, 11, 12, 12, 10, 7, 4)
LATE_SHARE = 0.015
SEEN_BEFORE = 0.6
FEATURES = ("export", "dashboard", "api_key", "search", "report_builder", "日本語入力")
BEFORE_T1 = timedelta(minutes=15)
FIRST_TRANSACTION = 1_000_001


@dataclass(frozen=True, slots=True)
class Moments:
    """Events as arrays in order of time: whose, when, and when the source wrote them."""

    user: NDArray[np.int64]
    event: list[datetime]
    updated: list[datetime]


def rates(people: People, scale: Scale, *, a_week: float, week: Sequence[float]) -> NDArray[np.float64]:
    """Expected events per customer and day, the change day included as the last one."""
    days = scale.days + 1
    weekday = np.array([week[(scale.first_day.weekday() + day) % 7] for day in range(days)])
    expected: NDArray[np.float64] = people.alive(days) * people.weight[:, None] * weekday * (a_week / 7)
    return expected


def draw_counts(expected: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Customer and day of every event, ordered by day."""
    counts = rng.poisson(expected)
    user, day = np.nonzero(counts)
    times = counts[user, day]
    user, day = np.repeat(user, times), np.repeat(day, times)
    order = np.argsort(day, kind="stable")
    return user[order], day[order]


def draw_moments(
    user: NDArray[np.int64], day: NDArray[np.int64], scale: Scale, rng: np.random.Generator, *, unit: int
) -> Moments:
    """Give every event its time of day and its `updated_at`, in units of so many microseconds."""
    second = 1_000_000
    odds = np.array(HOURS) / sum(HOURS)
    hour = rng.choice(24, len(day), p=odds)
    since_first = (day * 24 + hour) * 3600 * second + rng.integers(0, 3600 * second // unit, len(day)) * unit
    delay = np.minimum(rng.exponential(40, len(day)), 1200) * second
    late = np.where(rng.random(len(day)) < LATE_SHARE, rng.integers(1, 22 * 86_400, len(day)) * second, 0)
    extraction = (scale.days * 24 + 2) * 3600 * second
    updated = (since_first + delay).astype(np.int64)
    # A late write that would miss the first extraction is not late; the change brings late ones of its own.
    updated = np.where(updated + late < extraction - BEFORE_T1 // timedelta(microseconds=1), updated + late, updated)
    # The first two hours of the change day reach the source after T1, so that no normal event sits at the edge.
    updated = np.where((day == scale.days) & (updated <= extraction), extraction + 1 + since_first % second, updated)
    updated = -(-updated // unit) * unit
    order = np.argsort(since_first, kind="stable")
    return Moments(
        user=user[order], event=_instants(since_first[order], scale), updated=_instants(updated[order], scale)
    )


def draw_transactions(scale: Scale, people: People, rng: np.random.Generator) -> list[TransactionRow]:
    """Purchases of the whole period and the change day, ordered by time."""
    expected = rates(people, scale, a_week=PURCHASES_A_WEEK, week=SHOPPING_WEEK)
    moments = draw_moments(*draw_counts(expected, rng), scale, rng, unit=1)
    cents = np.maximum(1, np.minimum(rng.lognormal(3.4, 1.0, len(moments.event)) * 100, 500_000)).astype(np.int64)
    return [
        TransactionRow(FIRST_TRANSACTION + number, people.ids[user], money(amount), "USD", event, updated)
        for number, (user, amount, event, updated) in enumerate(
            zip(moments.user.tolist(), cents.tolist(), moments.event, moments.updated, strict=True)
        )
    ]


def draw_documents(scale: Scale, people: People, rng: np.random.Generator) -> list[Document]:
    """Behaviour documents of the whole period and the change day, after the last logins from before it."""
    users, days, kinds = [], [], []
    for kind, (event_type, a_week) in enumerate(EVENTS_A_WEEK.items()):
        expected = rates(people, scale, a_week=a_week, week=WORKING_WEEK)
        user, day = draw_counts(expected, rng)
        if event_type == "login":
            user, day = _with_past_logins(user, day, people, rng)
        users.append(user)
        days.append(day)
        kinds.append(np.full(len(day), kind))
    user, day, kind_of = np.concatenate(users), np.concatenate(days), np.concatenate(kinds)
    # Whose and what an event is must survive the ordering by time, so the kind travels in the user's number.
    moments = draw_moments(user * len(kinds) + kind_of, day, scale, rng, unit=1000)
    names = tuple(EVENTS_A_WEEK)
    views = rng.geometric(0.25, len(moments.event)).tolist()
    return [
        document(number + 1, people.ids[code // len(kinds)], names[code % len(kinds)], views[number], (event, updated))
        for number, (code, event, updated) in enumerate(
            zip(moments.user.tolist(), moments.event, moments.updated, strict=True)
        )
    ]


def document(number: int, user: str, event_type: str, views: int, times: tuple[datetime, datetime]) -> Document:
    """One behaviour document; the number also decides its harmless variety (long integers, doubles, nesting)."""
    event, updated = times
    body: dict[str, object] = {
        "_id": document_id(number),
        "user_id": user,
        "event_type": event_type,
        "event_date": event,
    }
    if event_type == "page_view" and number % 97 != 0:
        body["page_views"] = Int64(views) if number % 10 == 0 else float(views) if number % 25 == 1 else views
    if event_type == "feature_usage":
        body["feature"] = FEATURES[number % len(FEATURES)]
    if number % 3 == 0:
        body["props"] = {"device": {"os": "ios", "v": [17, number % 5]}, "utm": None}
    elif number % 3 == 1:
        body["props"] = {"referrer": "https://example.com/?q=caf\u00e9", "ab": number % 2 == 0}
    body["updated_at"] = updated
    return body


def document_id(number: int) -> str:
    """The key of the n-th behaviour document."""
    return f"B{number:010d}"


def money(cents: int) -> Decimal:
    """Exact amount with two places."""
    return Decimal(cents).scaleb(-2)


def _with_past_logins(
    user: NDArray[np.int64], day: NDArray[np.int64], people: People, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Most earlier customers logged in some time before the period; the rest were never seen."""
    earlier = np.flatnonzero((people.signup < 0) & (rng.random(len(people.ids)) < SEEN_BEFORE))
    past = -(1 + (rng.random(len(earlier)) * np.minimum(300, -people.signup[earlier])).astype(np.int64))
    return np.concatenate([earlier, user]), np.concatenate([past, day])


def _instants(microseconds: NDArray[np.int64], scale: Scale) -> list[datetime]:
    """Aware UTC datetimes from offsets to the first midnight."""
    origin = np.datetime64(scale.first_day, "us")
    naive: list[datetime] = (origin + microseconds.astype("timedelta64[us]")).tolist()
    return [moment.replace(tzinfo=UTC) for moment in naive]
