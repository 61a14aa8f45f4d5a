"""What the two event sources are like: how their records are keyed, copied, stamped, corrected and duplicated."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from headwater.demo.dirt import document_dirt, transaction_dirt, with_fields
from headwater.demo.events import FIRST_TRANSACTION, document_id
from headwater.demo.phases import Account, Correction, Form, Opening
from headwater.demo.world import Document, Scale, TransactionRow

CENT = Decimal("0.01")


def transaction_form(scale: Scale, users: Sequence[str]) -> Form[TransactionRow]:
    """Transactions; `users` are known customers an event can be moved to."""
    return Form(
        source="transactions",
        key=lambda row: "" if row.transaction_id is None else str(row.transaction_id),
        copy=_copy_transaction,
        stamp=lambda row, moment: row._replace(updated_at=moment),
        assign=lambda row, user: row._replace(user_id=user),
        dirt=transaction_dirt(scale.last_day),
        corrections=(
            Correction("amount corrected", lambda row, n: row._replace(amount=(row.amount or 0) + 5 + n * CENT)),
            Correction("moved to another day", _move_transaction),
            Correction("moved to another user", lambda row, n: row._replace(user_id=_other(users, row.user_id, n))),
        ),
        unreadable=frozenset({"missing:updated_at"}),
        late_events=80,
    )


def document_form(scale: Scale, users: Sequence[str]) -> Form[Document]:
    """Behaviour documents; `users` are known customers an event can be moved to."""
    return Form(
        source="user_behavior",
        key=lambda doc: str(doc["_id"]),
        copy=lambda doc, number, by: _moved({**doc, "_id": document_id(number)}, by),
        stamp=lambda doc, moment: with_fields(doc, updated_at=_milliseconds(moment)),
        assign=lambda doc, user: {**doc, "user_id": user},
        dirt=document_dirt(scale.last_day),
        corrections=(
            Correction("page views corrected", _recount),
            Correction("moved to another day", lambda doc, n: _moved(doc, -timedelta(days=1 + n % 5))),
            Correction("moved to another user", lambda doc, n: {**doc, "user_id": _other(users, doc["user_id"], n)}),
        ),
        unreadable=frozenset({"missing:updated_at", "type:updated_at"}),
        late_events=220,
    )


def duplicate_transactions(
    opening: Opening[TransactionRow], arrivals: Sequence[str], account: Account, *, repeats: int
) -> None:
    """Add second rows of the same key: exact copies, older and tied versions, and better-dated bad ones."""
    second = timedelta(seconds=1)
    for number in range(repeats):
        opening.rows.append(_lose(opening.deck.deal(), account, "exact copy"))
        # Physically before its winner as well as after it: file order must not decide.
        older = _lose(opening.deck.deal(), account, "older version", age=second, amount=CENT)
        opening.rows.insert(0 if number % 2 else len(opening.rows), older)
        opening.rows.append(_lose(opening.deck.deal(), account, "tie, decided by the smaller amount", amount=CENT))
        opening.rows.append(_lose(opening.deck.deal(), account, "tie, decided by the earlier date", earlier=second))
        row = opening.deck.deal()
        bad = _version(row, age=-second)._replace(amount=Decimal("-1.00"))
        opening.rows.append(bad)
        account.add(str(row.transaction_id), "quarantined", "newer version is bad", reasons=("negative:amount",))
    for number, user in enumerate(arrivals):
        row = opening.deck.deal()
        newer = number % 2 == 1
        shadow = _version(row, age=-second if newer else second)._replace(user_id=user)
        opening.rows.append(shadow)
        opening.shadows.append((shadow, "updated" if newer else "superseded"))
        note = f"{'newer' if newer else 'older'} version of a user who arrives with the change"
        account.add(str(row.transaction_id), "quarantined", note, reasons=("unknown_user",))


def duplicate_day(rows: Sequence[TransactionRow], account: Account, *, repeats: int) -> list[TransactionRow]:
    """Second rows for new transactions of the change day: exact copies and older versions."""
    copies = [_lose(row, account, "exact copy") for row in rows[:repeats]]
    rest = rows[repeats : 2 * repeats]
    # The first rows of the day are stamped right after T1: an older version would fall out of the window.
    return copies + [_lose(row, account, "tie, decided by the smaller amount", amount=CENT) for row in rest]


def _lose(
    row: TransactionRow,
    account: Account,
    note: str,
    *,
    age: timedelta = timedelta(),
    amount: Decimal = Decimal(0),
    earlier: timedelta = timedelta(),
) -> TransactionRow:
    """A version of `row` that is not better in any column, and its label."""
    account.add(str(row.transaction_id), "batch_duplicate", note)
    version = _version(row, age=age)
    moment = version.transaction_date
    return version._replace(
        amount=(row.amount or Decimal(0)) - amount, transaction_date=moment - earlier if moment else None
    )


def _version(row: TransactionRow, *, age: timedelta) -> TransactionRow:
    """The row as it would have been stamped so much earlier."""
    return row._replace(updated_at=row.updated_at - age if row.updated_at else None)


def _copy_transaction(row: TransactionRow, number: int, by: timedelta) -> TransactionRow:
    """A new transaction like `row`, its date moved."""
    moment = row.transaction_date
    return row._replace(
        transaction_id=FIRST_TRANSACTION + number,
        amount=Decimal(100 + number * 37 % 9_900).scaleb(-2),
        transaction_date=moment + by if moment else None,
    )


def _move_transaction(row: TransactionRow, number: int) -> TransactionRow:
    """The transaction, some days earlier."""
    moment = row.transaction_date
    return row._replace(transaction_date=moment - timedelta(days=1 + number % 5) if moment else None)


def _moved(doc: Document, by: timedelta) -> Document:
    """The document with its event moved."""
    moment = doc["event_date"]
    return {**doc, "event_date": moment + by} if isinstance(moment, datetime) else doc


def _recount(doc: Document, number: int) -> Document:
    """A page view document with another count; other kinds turn out to have been page views."""
    rest = {name: value for name, value in doc.items() if name != "feature"}
    return {**rest, "event_type": "page_view", "page_views": 40 + number}


def _milliseconds(moment: datetime) -> datetime:
    """MongoDB keeps milliseconds only."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


def _other(users: Sequence[str], user: object, number: int) -> str:
    """A known customer who is not `user`."""
    pick = users[number % len(users)]
    return pick if pick != user else users[(number + 1) % len(users)]
