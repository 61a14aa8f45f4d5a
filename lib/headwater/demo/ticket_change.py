"""The dumps that the change brings: the one of the new day, and an old one put again in a corrected version.

The old dump keeps its key and its day but gets a new ETag and a later LastModified: what it says of a ticket beats its
own first version, and loses to every later dump.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from headwater.demo.dirt import ticket_dirt
from headwater.demo.dumps import Ticket, render
from headwater.demo.phases import Account
from headwater.demo.tickets import Life, TicketOpening, label_key
from headwater.demo.world import Scale

NEW_TICKETS = 70
LATE_TICKETS = 50
CORRECTED = 5
WORSENED = frozenset({"unknown_user", "missing:user_id", "order:resolved_date"})


def change_tickets(
    scale: Scale, opening: TicketOpening, arrivals: Sequence[str], account: Account
) -> dict[date, list[str]]:
    """Lines of the dumps that are new or replaced, keyed by their day."""
    users = sorted({life.ticket.user_id for life in opening.lives if life.dumped <= scale.last_day})
    lines, resolved = _day(scale, opening, users, arrivals)
    for key in sorted(resolved):
        account.add(key, "updated", "resolved")
    lines += _repeated(lines, scale, account)
    lines += _corrected(scale, opening, users, account)
    lines += _bad(scale, opening, users, account)
    lines += _mended(scale, opening, account)
    lines += _arrived(scale, opening, account)
    return {scale.change_day: lines, opening.replaced: _replacement(opening, resolved, users[0], account)}


def _day(
    scale: Scale, opening: TicketOpening, users: Sequence[str], arrivals: Sequence[str]
) -> tuple[list[str], set[str]]:
    """Tickets created or first told of on the change day, and those resolved on it with their keys."""
    day = scale.change_day
    created = [life.as_of(day) for life in opening.lives if life.dumped == day]
    missing = max(0, NEW_TICKETS - len(created))
    created += [opening.fresh(day, user) for user in arrivals]
    created += [opening.fresh(day, users[number * 7 % len(users)]) for number in range(missing)]
    for number in range(max(LATE_TICKETS, scale.customers // 40)):
        created.append(opening.fresh(day - timedelta(days=1 + number % 28), users[number * 11 % len(users)]))
    done = [life.as_of(day) for life in opening.lives if life.resolved == day and life.dumped < day]
    return [render(ticket) for ticket in [*created, *done]], {ticket.ticket_id for ticket in done}


def _repeated(lines: Sequence[str], scale: Scale, account: Account) -> list[str]:
    """Exact copies of the first lines of the new dump."""
    copies = list(lines[: 2 * scale.change_repeats])
    for line in copies:
        account.add(line.split(",", 1)[0], "batch_duplicate", "exact copy")
    return copies


def _corrected(scale: Scale, opening: TicketOpening, users: Sequence[str], account: Account) -> list[str]:
    """Earlier tickets told of again with other content."""
    corrections: tuple[tuple[str, Callable[[Ticket], Ticket]], ...] = (
        ("subject corrected", lambda ticket: ticket._replace(subject="corrected: " + ticket.subject)),
        ("created earlier", lambda ticket: ticket._replace(created_date=_days_before(ticket.created_date, 2))),
        ("moved to another user", lambda ticket: ticket._replace(user_id=_other(users, ticket.user_id))),
    )
    lines = []
    for note, correct in corrections:
        for _ in range(CORRECTED):
            ticket = correct(opening.deck.pop().as_of(scale.last_day))
            lines.append(render(ticket))
            account.add(ticket.ticket_id, "updated", note)
    return lines


def _bad(scale: Scale, opening: TicketOpening, users: Sequence[str], account: Account) -> list[str]:
    """New bad lines of every recipe, and good tickets of which the new dump tells something bad."""
    day = scale.change_day
    lines = []
    for number, recipe in enumerate(ticket_dirt(scale.last_day) * scale.change_repeats):
        told = [(opening.fresh(day, users[number * 3 % len(users)]), recipe.note)]
        if set(recipe.reasons) <= WORSENED:
            told.append((opening.deck.pop().as_of(scale.last_day), "was good"))
        for ticket, note in told:
            line = recipe.spoil(ticket)
            lines.append(line)
            account.add(label_key(ticket, line, recipe), "quarantined", note, reasons=recipe.reasons)
    return lines


def _mended(scale: Scale, opening: TicketOpening, account: Account) -> list[str]:
    """The first bad tickets of every recipe told of as they should have been."""
    count = len(ticket_dirt(scale.last_day)) * scale.change_repeats
    lines = []
    for ticket, recipe in opening.spoilt[:count]:
        lines.append(render(ticket._replace(priority="urgent")))
        account.add(ticket.ticket_id, "inserted", f"was {' '.join(recipe.reasons)}")
    return lines


def _arrived(scale: Scale, opening: TicketOpening, account: Account) -> list[str]:
    """Tickets of users who are customers now: replayed, and every second one is also told of again."""
    lines = []
    for number, life in enumerate(opening.strangers):
        key = life.ticket.ticket_id
        account.add(key, "replayed", "its customer arrived", reasons=("unknown_user",))
        if number % 2 == 0:
            resolved = Life(life.ticket, life.dumped, scale.change_day)
            lines.append(render(resolved.as_of(scale.change_day)))
            account.add(key, "batch_duplicate", "the replayed record loses to the new dump")
    return lines


def _replacement(opening: TicketOpening, resolved: set[str], user: str, account: Account) -> list[str]:
    """The old dump again: some tickets corrected, the broken line mended, one forgotten ticket added."""
    day = opening.replaced
    tickets = [life.as_of(day) for life in opening.lives if _told(life, day)]
    tickets[0] = tickets[0]._replace(subject="corrected, in the replaced dump")
    tickets[-1] = tickets[-1]._replace(created_date=_days_before(tickets[-1].created_date, 1))
    for ticket in tickets:
        key = ticket.ticket_id
        if key in resolved:
            account.add(key, "batch_duplicate", "replaced dump, but the new dump tells of it too")
        elif opening.last_seen[key] > day:
            account.add(key, "superseded", "replaced dump, but a later dump told of it")
        else:
            account.add(key, "updated", "replaced dump")
    account.add(opening.broken.ticket_id, "inserted", "its line in the replaced dump parses now")
    return [render(ticket) for ticket in [*tickets, opening.broken, opening.fresh(day, user)]]


def _told(life: Life, day: date) -> bool:
    """Does the dump of this day tell of the ticket?"""
    return life.dumped == day or (life.dumped < day and life.resolved == day)


def _days_before(day: str, days: int) -> str:
    """An ISO day, some days earlier."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def _other(users: Sequence[str], user: str) -> str:
    """The known customer after `user`."""
    return users[(users.index(user) + 1) % len(users)]
