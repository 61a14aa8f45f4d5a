"""Ticket dumps as CSV: one line per ticket, and the small differences between files that readers must live with."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

HEADER = "ticket_id,user_id,created_date,resolved_date,status,priority,subject"
BYTE_ORDER_MARK = "\ufeff"


class Ticket(NamedTuple):
    """One line of a dump before it becomes text, in column order."""

    ticket_id: str
    user_id: str
    created_date: str
    resolved_date: str
    status: str
    priority: str
    subject: str


def dump_key(day: date) -> str:
    """Where the dump of a day lies in the bucket."""
    return f"tickets/dt={day.isoformat()}/tickets.csv"


def render(ticket: Ticket) -> str:
    """A CSV line as RFC 4180 has it: quotes only where needed, and doubled inside."""
    return ",".join(_field(value) for value in ticket)


def dump_file(lines: Sequence[str], day: date) -> bytes:
    """A whole dump; by the day it has a byte order mark, Windows line ends, blank lines or no final line end."""
    number = day.toordinal()
    rows = [HEADER, *lines]
    if not number % 4:
        rows.insert(1 + len(lines) // 2, "")
        rows.append("   ")
    line_end = "\n" if number % 5 else "\r\n"
    last = line_end if number % 6 else ""
    mark = "" if number % 7 else BYTE_ORDER_MARK
    return (mark + line_end.join(rows) + last).encode()


def _field(value: str) -> str:
    """Quote a value that holds a comma or a quote."""
    if "," in value or '"' in value:
        return '"' + value.replace('"', '""') + '"'
    return value
