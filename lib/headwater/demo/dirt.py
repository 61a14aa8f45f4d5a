"""The ways in which demo records are wrong: per source, recipes that turn a good record into a bad one.

A recipe names the reasons that quarantine must give. The same recipes make the bad records of the initial load, those
of the change, and the corrections that turn a good record into a bad one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Generic, TypeVar

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from headwater.demo.dumps import Ticket, render
from headwater.demo.world import CustomerRow, Document, TransactionRow

Row = TypeVar("Row")
Spoiled = TypeVar("Spoiled")

STRANGER = "U9{:05d}"
TOO_EARLY = datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Recipe(Generic[Row, Spoiled]):
    """One way to spoil a good record, and the reasons it must be quarantined for."""

    reasons: tuple[str, ...]
    spoil: Callable[[Row], Spoiled]
    note: str = ""


def transaction_dirt(last_day: date) -> tuple[Recipe[TransactionRow, TransactionRow], ...]:
    """Bad transactions; `last_day` decides what the future is."""

    def recipe(*reasons: str, note: str = "", **columns: object) -> Recipe[TransactionRow, TransactionRow]:
        return Recipe(reasons, lambda row: row._replace(**columns), note)

    return (
        recipe("null_key", transaction_id=None),
        recipe("missing:user_id", user_id=None),
        recipe("missing:amount", amount=None),
        recipe("missing:transaction_date", transaction_date=None),
        recipe("missing:updated_at", updated_at=None, note="belongs to every window"),
        recipe("negative:amount", amount=Decimal("-19.99")),
        recipe("currency", currency="EUR"),
        recipe("currency", currency="usd", note="case counts"),
        recipe("range:transaction_date", transaction_date=far_future(last_day), note="future"),
        recipe("range:transaction_date", transaction_date=TOO_EARLY, note="before 2000"),
        recipe("unknown_user", user_id=STRANGER.format(1), note="never arrives"),
        recipe("unknown_user", user_id="", note="an empty string is a user nobody knows"),
        recipe("currency", "negative:amount", amount=Decimal("-0.01"), currency="GBP"),
        recipe("missing:amount", "unknown_user", amount=None, user_id=STRANGER.format(2)),
    )


def customer_dirt() -> tuple[Recipe[CustomerRow, CustomerRow], ...]:
    """Customers without a key; what else can be wrong with a customer decides who is known, so it is made there."""
    return (
        Recipe(("null_key",), lambda row: row._replace(user_id=None)),
        Recipe(("null_key",), lambda row: row._replace(user_id=""), "empty"),
    )


def document_dirt(last_day: date) -> tuple[Recipe[Document, Document], ...]:
    """Bad behaviour documents; `last_day` decides what the future is."""

    def recipe(*reasons: str, note: str = "", **fields: object) -> Recipe[Document, Document]:
        return Recipe(reasons, lambda doc: with_fields(doc, **fields), note)

    def views(value: object, note: str) -> Recipe[Document, Document]:
        return recipe("type:page_views", event_type="page_view", page_views=value, feature=ABSENT, note=note)

    return (
        recipe("missing:user_id", user_id=ABSENT),
        recipe("missing:user_id", user_id=None, note="null"),
        recipe("missing:event_type", event_type=ABSENT),
        recipe("missing:event_date", event_date=ABSENT),
        recipe("missing:updated_at", updated_at=ABSENT, note="belongs to every window"),
        recipe("type:updated_at", updated_at=f"{last_day}T10:00:00Z", note="belongs to every window"),
        recipe("type:updated_at", updated_at=Int64(1_740_000_000_000), note="belongs to every window"),
        recipe("type:user_id", user_id=4711),
        recipe("type:event_type", event_type=7),
        recipe("type:event_date", event_date=last_day.isoformat(), note="text"),
        recipe("type:event_date", event_date=Int64(1_740_000_000_000), note="epoch milliseconds"),
        recipe("type:feature", event_type="feature_usage", feature=["export"], page_views=ABSENT),
        views("3", "text"),
        views(3.5, "fraction"),
        views(3e9, "out of range"),
        views(Int64(3_000_000_000), "out of range"),
        views(Decimal128("3"), "decimal"),
        views({"count": 3}, "object"),
        recipe("type:page_views", event_type="page_view", page_views=True, feature=ABSENT, note="boolean"),
        recipe("negative:page_views", event_type="page_view", page_views=-4, feature=ABSENT),
        recipe("range:event_date", event_date=far_future(last_day), note="future"),
        recipe("range:event_date", event_date=TOO_EARLY, note="before 2000"),
        recipe("unknown_user", user_id=STRANGER.format(3), note="never arrives"),
        recipe("unknown_user", user_id="", note="an empty string is a user nobody knows"),
        Recipe(("missing:event_date", "missing:event_type", "missing:user_id"), _emptied, "almost nothing"),
        recipe("type:event_date", "unknown_user", event_date="yesterday", user_id=STRANGER.format(4)),
    )


def ticket_dirt(last_day: date) -> tuple[Recipe[Ticket, str], ...]:
    """Bad lines of ticket dumps; `last_day` decides what the future is."""

    def recipe(*reasons: str, note: str = "", **columns: str) -> Recipe[Ticket, str]:
        return Recipe(reasons, lambda ticket: render(ticket._replace(**columns)), note)

    future = (last_day + timedelta(days=30)).isoformat()
    return (
        Recipe(("unparsable",), lambda ticket: render(ticket._replace(subject="x")) + '" broken', "odd quote"),
        Recipe(("unparsable",), lambda ticket: render(ticket).rsplit(",", 2)[0], "too few fields"),
        Recipe(("unparsable",), lambda ticket: render(ticket) + ",extra", "too many fields"),
        recipe("null_key", ticket_id=""),
        recipe("missing:user_id", user_id=""),
        recipe("missing:created_date", created_date="", resolved_date=""),
        recipe("type:created_date", created_date="03/14/2025", resolved_date="", note="US form"),
        recipe("type:created_date", created_date="2025-02-30", resolved_date="", note="no such day"),
        recipe("type:resolved_date", resolved_date="soon"),
        Recipe(("order:resolved_date",), _resolved_too_early),
        recipe("range:created_date", created_date=future, resolved_date="", note="future"),
        recipe("range:created_date", created_date="1999-12-31", resolved_date="", note="before 2000"),
        recipe("unknown_user", user_id=STRANGER.format(5), note="never arrives"),
        recipe("type:created_date", "unknown_user", created_date="n/a", resolved_date="", user_id=STRANGER.format(6)),
    )


def far_future(last_day: date) -> datetime:
    """An instant that is the future at both extractions."""
    return datetime.combine(last_day + timedelta(days=30), time(12), tzinfo=UTC)


def with_fields(doc: Document, **fields: object) -> Document:
    """The document with these fields set; `ABSENT` takes one away."""
    return {name: value for name, value in {**doc, **fields}.items() if value is not ABSENT}


def _emptied(doc: Document) -> Document:
    """A document of which only the key and the watermark are left."""
    return {name: doc[name] for name in ("_id", "updated_at")}


def _resolved_too_early(ticket: Ticket) -> str:
    """A ticket resolved the day before it was created."""
    before = date.fromisoformat(ticket.created_date) - timedelta(days=1)
    return render(ticket._replace(resolved_date=before.isoformat(), status="resolved"))
