"""Builds the demo world: realistic, dirty, seeded. The same scale gives the same bytes on every machine and run.

First people and what they regularly do up to the change day, then the dirt of the initial load, then the change. Each
source draws from a random stream of its own, so that a change to one leaves the others as they were.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from headwater.demo.customers import change_customers, open_customers
from headwater.demo.dumps import dump_file, dump_key
from headwater.demo.events import draw_documents, draw_transactions
from headwater.demo.forms import document_form, duplicate_day, duplicate_transactions, transaction_form
from headwater.demo.people import People, customer_rows, draw_people
from headwater.demo.phases import Account, Deck, Opening, spoil_initial, write_change
from headwater.demo.ticket_change import change_tickets
from headwater.demo.tickets import draw_lives, open_tickets
from headwater.demo.world import CustomerRow, Document, Label, Part, Scale, TransactionRow, World, Writes

Row = TypeVar("Row")

RECENT = timedelta(days=30)
PEOPLE, CUSTOMERS, TRANSACTIONS, BEHAVIOR, TICKETS = range(5)


class Told(NamedTuple, Generic[Row]):
    """One source in both phases, with its labels."""

    initial: Writes[Row]
    change: Writes[Row]
    labels: list[Label]


class Dumps(NamedTuple):
    """The ticket dumps of both phases as lines by day, with their labels."""

    initial: Mapping[date, Sequence[str]]
    change: Mapping[date, Sequence[str]]
    labels: list[Label]


def generate(scale: Scale) -> World:
    """The world of this scale: the initial load, the change after it and the account of both."""
    people = draw_people(scale, _stream(scale, PEOPLE))
    customers, arrivals = _customers(scale, people)
    transactions = _transactions(scale, people, arrivals)
    behavior = _behavior(scale, people, arrivals)
    dumps = _tickets(scale, people, arrivals)
    return World(
        scale=scale,
        initial=Part(
            phase="initial",
            transactions=transactions.initial,
            customers=customers.initial,
            user_behavior=behavior.initial,
            support_tickets=_objects(dumps.initial),
            ticket_lines=sum(map(len, dumps.initial.values())),
        ),
        change=Part(
            phase="change",
            transactions=transactions.change,
            customers=customers.change,
            user_behavior=behavior.change,
            support_tickets=_objects(dumps.change),
            ticket_lines=sum(map(len, dumps.change.values())),
        ),
        labels=(*customers.labels, *transactions.labels, *behavior.labels, *dumps.labels),
    )


def _stream(scale: Scale, part: int) -> np.random.Generator:
    """The random stream of one part of the world."""
    return np.random.default_rng([scale.seed, part])


def _customers(scale: Scale, people: People) -> tuple[Told[CustomerRow], tuple[str, ...]]:
    """Customers, and the users who become known only with the change."""
    rng = _stream(scale, CUSTOMERS)
    rows = customer_rows(scale, people, rng)
    known, newcomers = rows[: scale.customers], rows[scale.customers :]
    before, after = Account("initial", "customers"), Account("change", "customers")
    opening = open_customers(scale, known, rng, before)
    initial = Writes(tuple(opening.rows))
    change = change_customers(scale, opening, newcomers, rng, after)
    return Told(initial, change, before.labels + after.labels), opening.arrivals


def _transactions(scale: Scale, people: People, arrivals: Sequence[str]) -> Told[TransactionRow]:
    """Transactions with dirt, duplicates and the versions that a replay has to lose or win against."""
    rng = _stream(scale, TRANSACTIONS)
    form = transaction_form(scale, people.ids[: scale.customers].tolist())
    drawn = draw_transactions(scale, people, rng)
    rows, recent, day_rows = _parts(scale, drawn, lambda row: _at(row.transaction_date))
    opening = Opening(rows, Deck(recent, rng), len(drawn))
    before, after = Account("initial", "transactions"), Account("change", "transactions")
    spoil_initial(form, opening, arrivals, before, repeats=scale.repeats)
    duplicate_transactions(opening, arrivals, before, repeats=scale.repeats)
    initial = Writes(tuple(opening.rows))
    day_rows += duplicate_day(day_rows, after, repeats=scale.change_repeats)
    change = write_change(form, opening, day_rows, after, scale=scale, rng=rng)
    return Told(initial, change, before.labels + after.labels)


def _behavior(scale: Scale, people: People, arrivals: Sequence[str]) -> Told[Document]:
    """Behaviour documents with dirt; MongoDB lets no key exist twice, so without duplicates."""
    rng = _stream(scale, BEHAVIOR)
    form = document_form(scale, people.ids[: scale.customers].tolist())
    drawn = draw_documents(scale, people, rng)
    rows, recent, day_rows = _parts(scale, drawn, lambda doc: _at(doc["event_date"]))
    opening = Opening(rows, Deck(recent, rng), len(drawn) + 1)
    before, after = Account("initial", "user_behavior"), Account("change", "user_behavior")
    spoil_initial(form, opening, arrivals, before, repeats=scale.repeats)
    initial = Writes(tuple(opening.rows))
    change = write_change(form, opening, day_rows, after, scale=scale, rng=rng)
    return Told(initial, change, before.labels + after.labels)


def _tickets(scale: Scale, people: People, arrivals: Sequence[str]) -> Dumps:
    """Ticket dumps with dirt; the change brings a new one and replaces an old one."""
    rng = _stream(scale, TICKETS)
    before, after = Account("initial", "support_tickets"), Account("change", "support_tickets")
    opening = open_tickets(scale, draw_lives(scale, people, rng), arrivals, rng, before)
    change = change_tickets(scale, opening, arrivals, after)
    return Dumps(opening.lines, change, before.labels + after.labels)


def _objects(dumps: Mapping[date, Sequence[str]]) -> dict[str, bytes]:
    """The dumps as they lie in the bucket."""
    return {dump_key(day): dump_file(lines, day) for day, lines in sorted(dumps.items())}


def _parts(scale: Scale, drawn: Sequence[Row], at: Callable[[Row], datetime]) -> tuple[list[Row], ...]:
    """Events in order of time: those up to the last day, the recent ones of them, those of the change day."""
    end = bisect_left(drawn, _midnight(scale, 1), key=at)
    start = bisect_left(drawn, _midnight(scale, 0) - RECENT, key=at)
    return [*drawn[:end]], [*drawn[start:end]], [*drawn[end:]]


def _midnight(scale: Scale, after: int) -> datetime:
    """The midnight at which the last day begins, or one some days after it."""
    return datetime.combine(scale.last_day, time(), tzinfo=scale.first_extraction.tzinfo) + timedelta(days=after)


def _at(moment: object) -> datetime:
    """A drawn event's time; drawn events have one."""
    if not isinstance(moment, datetime):
        raise TypeError(f"A drawn event lacks its time: {moment!r}")
    return moment
