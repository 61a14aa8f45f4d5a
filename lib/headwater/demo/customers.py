"""Customers of the demo: bad and repeated rows at first; then changes, newcomers and late arrivals.

Silver keeps every version of a customer, so a rewrite here is a new version and never an update.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from headwater.demo.dirt import customer_dirt
from headwater.demo.people import COUNTRIES, SEGMENTS, user_name
from headwater.demo.phases import Account, Deck, change_clock
from headwater.demo.world import CustomerRow, Rewrite, Scale, Writes

CUSTOMERS_PER_DIRT = 400
MOST_DIRT = 5
SEGMENT_CHANGES = 26
COUNTRY_CHANGES = 10
NO_WATERMARK = ("missing:updated_at",)
NO_SIGNUP = ("missing:signup_date",)


@dataclass(frozen=True, slots=True)
class CustomerOpening:
    """The initial customers, and what the change must remember of them.

    Attributes:
        mendable: bad rows that the change corrects; until then their users are unknown.
        arriving: good rows that reach the source only with the change, though others already speak of their users.
        unreadable: rows that have no watermark and are read by every extraction.
    """

    rows: list[CustomerRow]
    deck: Deck[CustomerRow]
    strangers: Iterator[CustomerRow]
    mendable: tuple[Rewrite[CustomerRow], ...]
    arriving: tuple[CustomerRow, ...]
    unreadable: tuple[CustomerRow, ...]

    @property
    def arrivals(self) -> tuple[str, ...]:
        """Users unknown at first who are customers after the change."""
        rows = [*(entry.new for entry in self.mendable), *self.arriving]
        return tuple(row.user_id or "" for row in rows)


def open_customers(
    scale: Scale, rows: Sequence[CustomerRow], rng: np.random.Generator, account: Account
) -> CustomerOpening:
    """The customers of the initial load with their dirt; `rows` are the good ones, without the change's newcomers."""
    few = _few(scale)
    half = max(1, few // 2)
    strangers = _strangers(scale, rows)
    deck = Deck(rows, rng)
    bad = _keyless(strangers, account, count=few)
    signupless = [next(strangers) for _ in range(few)]
    bad += [_without_signup(row, account) for row in signupless]
    unreadable = [next(strangers)._replace(updated_at=None) for _ in range(half)]
    for row in unreadable:
        account.add(_key(row), "quarantined", "belongs to every window", reasons=NO_WATERMARK)
    return CustomerOpening(
        rows=[*rows, *bad, *unreadable, *_repeated(deck, account, few=few)],
        deck=deck,
        strangers=strangers,
        mendable=tuple(Rewrite(row._replace(signup_date=None), row) for row in signupless[:half]),
        arriving=tuple(next(strangers) for _ in range(half + 1)),
        unreadable=tuple(unreadable),
    )


def change_customers(
    scale: Scale, opening: CustomerOpening, newcomers: Sequence[CustomerRow], rng: np.random.Generator, account: Account
) -> Writes[CustomerRow]:
    """Newcomers, arrivals and new bad rows; changed segments, countries and signups; rows that turn good or bad."""
    half = max(1, _few(scale) // 2)
    clock = change_clock(scale, rng)
    inserts = [*newcomers, *(row._replace(updated_at=clock()) for row in opening.arriving)]
    inserts.append(newcomers[0])
    account.add(_key(newcomers[0]), "batch_duplicate", "exact copy")
    inserts.append(newcomers[-1]._replace(segment=None))
    account.add(_key(newcomers[-1]), "batch_duplicate", "tie, decided by the null segment")
    fresh = (row._replace(updated_at=clock()) for row in opening.strangers)
    inserts += _keyless(fresh, account, count=half)
    inserts.append(_without_signup(next(fresh), account))
    for row in opening.unreadable:
        account.add(_key(row), "quarantined", "read again: no watermark", reasons=NO_WATERMARK)
    rewrites = _new_versions(scale, opening.deck, clock, account)
    for entry in opening.mendable:
        rewrites.append(Rewrite(entry.old, entry.new._replace(updated_at=clock())))
        account.add(_key(entry.new), "inserted_version", "was missing:signup_date; its user arrives")
    row = opening.deck.deal()
    rewrites.append(Rewrite(row, _without_signup(row._replace(updated_at=clock()), account)))
    return Writes(tuple(inserts), tuple(rewrites), len(opening.unreadable))


def _few(scale: Scale) -> int:
    """Bad rows of each kind; customers are few, and each null counts against the null gate."""
    return max(2, min(MOST_DIRT, round(scale.customers / CUSTOMERS_PER_DIRT)))


def _key(row: CustomerRow) -> str:
    """The label's key of a row."""
    return row.user_id or ""


def _strangers(scale: Scale, rows: Sequence[CustomerRow]) -> Iterator[CustomerRow]:
    """Good rows of users who are not customers yet, signed up early in the period."""
    first = 10 * len(rows) + 1
    for number, row in enumerate(rows):
        user = user_name(first + number)
        yield row._replace(
            user_id=user, email=f"{user.lower()}@example.org", signup_date=scale.first_day + timedelta(days=number % 20)
        )


def _keyless(rows: Iterator[CustomerRow], account: Account, *, count: int) -> list[CustomerRow]:
    """Rows whose key is null, and as many whose key is empty."""
    bad = []
    for recipe in customer_dirt():
        for _ in range(count):
            bad.append(recipe.spoil(next(rows)))
            account.add("", "quarantined", recipe.note, reasons=recipe.reasons)
    return bad


def _without_signup(row: CustomerRow, account: Account) -> CustomerRow:
    """The row without its signup date."""
    account.add(_key(row), "quarantined", reasons=NO_SIGNUP)
    return row._replace(signup_date=None)


def _repeated(deck: Deck[CustomerRow], account: Account, *, few: int) -> list[CustomerRow]:
    """Second rows of a customer: exact copies, ties, and older versions, which silver keeps as history."""
    rows = []
    for _ in range(few):
        rows.append(deck.deal())
        account.add(_key(rows[-1]), "batch_duplicate", "exact copy")
        rows.append(deck.deal()._replace(segment=None))
        account.add(_key(rows[-1]), "batch_duplicate", "tie, decided by the null segment")
        row = deck.deal()
        age = timedelta(days=9, hours=1)
        rows.append(row._replace(segment="trial", updated_at=row.updated_at - age if row.updated_at else None))
        account.add(_key(row), "inserted_version", "older version")
    return rows


def _new_versions(
    scale: Scale, deck: Deck[CustomerRow], clock: Callable[[], datetime], account: Account
) -> list[Rewrite[CustomerRow]]:
    """Good rows with another segment, country or signup date."""
    share = scale.customers // 100
    rewrites = []
    for number in range(max(SEGMENT_CHANGES, share)):
        rewrites.append(_version(deck.deal(), clock, segment=_next(SEGMENTS, number)))
        account.add(_key(rewrites[-1].new), "inserted_version", "segment changed")
    for number in range(max(COUNTRY_CHANGES, share // 2)):
        rewrites.append(_version(deck.deal(), clock, country=_next(COUNTRIES, number)))
        account.add(_key(rewrites[-1].new), "inserted_version", "country changed")
    for _ in range(scale.change_repeats):
        row = deck.deal()
        signup = (row.signup_date or scale.first_day) - timedelta(days=3)
        rewrites.append(_version(row, clock, signup=signup))
        account.add(_key(row), "inserted_version", "signup corrected")
    return rewrites


def _version(
    row: CustomerRow,
    clock: Callable[[], datetime],
    *,
    segment: str | None = None,
    country: str | None = None,
    signup: date | None = None,
) -> Rewrite[CustomerRow]:
    """The row rewritten with the columns that are given."""
    return Rewrite(
        row,
        row._replace(
            segment=segment or row.segment,
            country=country or row.country,
            signup_date=signup or row.signup_date,
            updated_at=clock(),
        ),
    )


def _next(values: Sequence[str], number: int) -> str:
    """One value after the other, from the start again."""
    return values[number % len(values)]
