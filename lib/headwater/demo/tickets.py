"""Support tickets of the demo: their lives, and the daily dumps that tell of them.

A dump holds the tickets created or changed that day. The initial load reads all dumps as one batch, so each line but a
ticket's last is a batch duplicate there; what the change's dump says of an older ticket is an update.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from headwater.demo.dirt import Recipe, ticket_dirt
from headwater.demo.dumps import Ticket, render
from headwater.demo.events import TICKETS_A_WEEK, WORKING_WEEK, draw_counts, rates
from headwater.demo.people import People
from headwater.demo.phases import Account
from headwater.demo.world import Scale

BACKLOG_DAYS = 45
SMALL_WORLD = 200
RESOLVED_SHARE = 0.8
LATE_SHARE = 0.03
PRIORITIES = ("low", "normal", "high", "urgent")
SUBJECTS = (
    "Cannot log in",
    "Invoice wrong, please check",
    'Error "502" on export',
    'Path C:\\new, "quoted" part',
    "C:\\temp\\",
    "Größe und Maße, naïve café",
    "ログインできません",
    "مرحبا, لا أستطيع الدخول",
    "two\u2028lines for some readers, one for others",
    "  spaces around  ",
    "🚀 slow dashboard",
)


@dataclass(frozen=True, slots=True)
class Life:
    """One good ticket: the day of its first dump, and the day it is resolved, if ever."""

    ticket: Ticket
    dumped: date
    resolved: date | None

    def as_of(self, day: date) -> Ticket:
        """What the dump of this day says."""
        if self.resolved is None or self.resolved > day:
            return self.ticket
        return self.ticket._replace(resolved_date=self.resolved.isoformat(), status="resolved")


@dataclass(slots=True)
class TicketOpening:
    """The initial dumps as lines, and what the change must remember of them.

    Attributes:
        lines: lines of every dump, keyed by its day.
        last_seen: per good ticket the day of the last dump that tells of it.
        replaced: the day whose dump the change replaces; its lines are all good, but one that does not parse.
        broken: the good ticket that this one line should have told of.
        deck: good tickets of other days, each to be used once.
        strangers: tickets of users who arrive with the change.
        spoilt: bad lines, each with the good ticket it should have been.
    """

    lines: dict[date, list[str]]
    last_seen: dict[str, date]
    replaced: date
    broken: Ticket
    lives: tuple[Life, ...]
    deck: list[Life]
    next_number: int
    strangers: list[Life] = field(default_factory=list)
    spoilt: list[tuple[Ticket, Recipe[Ticket, str]]] = field(default_factory=list)

    def fresh(self, day: date, user: str) -> Ticket:
        """A new open ticket."""
        self.next_number += 1
        return new_ticket(self.next_number - 1, user, day)


def new_ticket(number: int, user: str, created: date) -> Ticket:
    """The n-th ticket as it is opened."""
    subject = SUBJECTS[number % len(SUBJECTS)]
    return Ticket(f"T{number:07d}", user, created.isoformat(), "", "open", PRIORITIES[number % 7 % 4], subject)


def draw_lives(scale: Scale, people: People, rng: np.random.Generator) -> list[Life]:
    """All good tickets up to the change day, with a backlog that the first dump brings."""
    # In a small world everyone needs more help, or the deliberate dirt would be most of what a dump holds.
    a_week = TICKETS_A_WEEK * max(1.0, SMALL_WORLD / scale.customers)
    expected = rates(people, scale, a_week=a_week, week=WORKING_WEEK)
    user, day = draw_counts(expected, rng)
    veterans = np.flatnonzero(people.signup < 0)
    backlog = rng.choice(veterans, round(len(veterans) * a_week * BACKLOG_DAYS / 7))
    user = np.concatenate([backlog, user])
    day = np.concatenate([np.sort(rng.integers(-BACKLOG_DAYS, 0, len(backlog))), day])
    resolved = np.where(rng.random(len(day)) < RESOLVED_SHARE, rng.geometric(0.3, len(day)) - 1, -1)
    late = np.where(rng.random(len(day)) < LATE_SHARE, rng.integers(1, 6, len(day)), 0)
    lives = []
    for number, (who, created, after, delay) in enumerate(
        zip(user.tolist(), day.tolist(), resolved.tolist(), late.tolist(), strict=True)
    ):
        opened = scale.first_day + timedelta(days=created)
        dumped = min(max(created, 0) + delay, max(created, scale.days - 1))
        ticket = new_ticket(number + 1, people.ids[who], opened)
        end = opened + timedelta(days=after) if after >= 0 else None
        lives.append(Life(ticket, scale.first_day + timedelta(days=dumped), end))
    return lives


def open_tickets(
    scale: Scale, lives: Sequence[Life], arrivals: Sequence[str], rng: np.random.Generator, account: Account
) -> TicketOpening:
    """The dumps up to the last day with their dirt."""
    earlier = [life for life in lives if life.dumped <= scale.last_day]
    lines, last_seen = _tell(scale, earlier, account)
    replaced = _fullest(scale, earlier)
    recent = scale.last_day - timedelta(days=30)
    taken = {replaced, scale.change_day}
    deck = [life for life in earlier if life.dumped >= recent and taken.isdisjoint({life.dumped, life.resolved})]
    shuffled = [deck[index] for index in rng.permutation(len(deck)).tolist()]
    users = [life.ticket.user_id for life in shuffled]
    broken = new_ticket(len(lives) + 1, users[0], replaced)
    opening = TicketOpening(lines, last_seen, replaced, broken, tuple(lives), shuffled, len(lives) + 2)
    days = [day for day in sorted(lines) if day != replaced]
    _spoil(opening, days, users, account, scale)
    for number, user in enumerate([*arrivals, *arrivals]):
        day = days[-1 - number % 20]
        life = Life(opening.fresh(day, user), day, None)
        opening.strangers.append(life)
        opening.lines[day].append(render(life.ticket))
        account.add(life.ticket.ticket_id, "quarantined", "arrives with the change", reasons=("unknown_user",))
    _repeat(opening, account, repeats=scale.repeats)
    return opening


def _tell(scale: Scale, lives: Sequence[Life], account: Account) -> tuple[dict[date, list[str]], dict[str, date]]:
    """Write every ticket into the dump of its first day and, if that comes later, of its resolution."""
    lines: dict[date, list[str]] = {scale.first_day + timedelta(days=number): [] for number in range(scale.days)}
    last_seen = {}
    for life in lives:
        lines[life.dumped].append(render(life.as_of(life.dumped)))
        last_seen[life.ticket.ticket_id] = life.dumped
        if life.resolved and life.dumped < life.resolved <= scale.last_day:
            lines[life.resolved].append(render(life.as_of(life.resolved)))
            last_seen[life.ticket.ticket_id] = life.resolved
            account.add(life.ticket.ticket_id, "batch_duplicate", "a later dump tells of it again")
    return lines, last_seen


def _fullest(scale: Scale, lives: Sequence[Life]) -> date:
    """Of the days one to three weeks ago the one that brought most tickets."""
    counts = Counter(life.dumped for life in lives)
    days = [scale.last_day - timedelta(days=back) for back in range(7, 22)]
    return max(days, key=lambda day: (counts[day], day))


def _spoil(opening: TicketOpening, days: Sequence[date], users: Sequence[str], account: Account, scale: Scale) -> None:
    """Bad lines of every recipe, spread over the recent dumps; one line of the dump that is replaced does not parse."""
    recipes = ticket_dirt(scale.last_day)
    for number, recipe in enumerate(recipes * scale.repeats):
        day = days[-1 - number % 25]
        ticket = opening.fresh(day, users[number % len(users)])
        line = recipe.spoil(ticket)
        opening.spoilt.append((ticket, recipe))
        opening.lines[day].insert(number % 5, line)
        account.add(label_key(ticket, line, recipe), "quarantined", recipe.note, reasons=recipe.reasons)
    line = recipes[0].spoil(opening.broken)
    opening.lines[opening.replaced].append(line)
    account.add(line, "quarantined", "the replaced dump mends it", reasons=recipes[0].reasons)


def label_key(ticket: Ticket, line: str, recipe: Recipe[Ticket, str]) -> str:
    """A ticket's id; nothing where it is the id that lacks; the line itself where it does not parse."""
    if "unparsable" in recipe.reasons:
        return line
    return "" if "null_key" in recipe.reasons else ticket.ticket_id


def _repeat(opening: TicketOpening, account: Account, *, repeats: int) -> None:
    """The same ticket twice in its last dump: an exact copy, or a tie that the smaller subject loses."""
    for number in range(2 * repeats):
        life = opening.deck.pop()
        day = opening.last_seen[life.ticket.ticket_id]
        ticket = life.as_of(day)
        copy = ticket if number % 2 else ticket._replace(subject=" ")
        opening.lines[day].insert(0, render(copy))
        account.add(ticket.ticket_id, "batch_duplicate", "exact copy" if number % 2 else "tie, smaller subject loses")
