"""The oracle against small cases whose expected values were worked out by hand.

An oracle that is wrong would agree with an engine that is wrong in the same way, so nothing here is computed:
every expected value is a literal.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId
from tests.oracles.churn import ChurnOracle, differences
from tests.oracles.dump import Dump, StoredObject, TextRow, physical_lines, write_dump

T1 = datetime(2025, 4, 1, 2, tzinfo=UTC)
T2 = datetime(2025, 4, 2, 2, tzinfo=UTC)
D = date(2025, 3, 31)
HEADER = "ticket_id,user_id,created_date,resolved_date,status,priority,subject\n"
KEY = "tickets/dt=2025-03-31/tickets.csv"
SEEN = "2025-03-31 12:00:00"

Build: TypeAlias = Callable[..., ChurnOracle]


def customer(
    user: str | None = "U1",
    *,
    updated: str = "2023-01-01 00:00:00",
    signup: str | None = "2023-01-01",
    country: str | None = "DE",
    segment: str | None = "smb",
) -> TextRow:
    """Return a customers row as PostgreSQL text."""
    return (user, "a@example.com", country, segment, signup, updated)


def payment(
    key: str | None,
    amount: str | None,
    at: str | None,
    *,
    user: str | None = "U1",
    currency: str | None = "USD",
    updated: str | None = SEEN,
) -> TextRow:
    """Return a transactions row as PostgreSQL text."""
    return (key, user, amount, currency, at, updated)


def document(key: Any, kind: Any, day: Any, **fields: Any) -> dict[str, Any]:
    """Return a behavior document; a field given as None stays an explicit null."""
    return {"_id": key, "user_id": "U1", "event_type": kind, "event_date": day, "updated_at": T1} | fields


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    """Return a UTC instant."""
    return datetime(year, month, day, hour, tzinfo=UTC)


def csv_object(text: str, *, key: str = KEY, modified: datetime = T1) -> StoredObject:
    """Return a ticket dump under its key."""
    return StoredObject(key=key, last_modified=modified, body=text.encode())


def dump(
    *,
    extracted_at: datetime = T1,
    customers: Sequence[TextRow] = (customer(),),
    transactions: Sequence[TextRow] = (),
    documents: Sequence[dict[str, Any]] = (),
    tickets: str | Sequence[StoredObject] = "",
) -> Dump:
    """Return a dump; tickets given as text are the lines of one object."""
    objects = [csv_object(HEADER + tickets)] if isinstance(tickets, str) else tickets
    return Dump(extracted_at, transactions, customers, documents, objects)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return a function that writes dumps and loads them into an oracle."""

    def _build(*dumps: Dump) -> ChurnOracle:
        folders = [tmp_path / f"dump{number}" for number in range(len(dumps))]
        for folder, one in zip(folders, dumps, strict=True):
            write_dump(folder, one)
        return ChurnOracle(folders)

    return _build


def row(oracle: ChurnOracle, day: date = D, user: str = "U1") -> dict[str, Any]:
    """Return the one feature row of a user."""
    [found] = [r for r in oracle.features([day]).to_pylist() if r["user_id"] == user]
    return dict(found)


def on_days(oracle: ChurnOracle, *days: date) -> dict[str, dict[str, Any]]:
    """Return the row of each day, by ISO day, for an oracle with a single user."""
    return {r["feature_date"].isoformat(): r for r in oracle.features(days).to_pylist()}


def reasons(oracle: ChurnOracle) -> list[tuple[str, str | None, list[str]]]:
    """Return source, key and reasons of what is quarantined."""
    return [(r["source"], r["key"], r["reasons"]) for r in oracle.quarantined().to_pylist()]


def test_customer_without_activity_has_a_row_of_no_match_values(build: Build) -> None:
    assert list(row(build(dump())).items()) == [
        ("user_id", "U1"),
        ("feature_date", date(2025, 3, 31)),
        ("total_spend_30d", Decimal("0.00")),
        ("transaction_count_7d", 0),
        ("transaction_count_30d", 0),
        ("avg_transaction_value", 0.0),
        ("last_login_date", None),
        ("days_since_last_login", 365),
        ("page_views_30d", 0),
        ("feature_usage_count", 0),
        ("ticket_count_90d", 0),
        ("avg_resolution_time_days", None),
        ("country", "DE"),
        ("segment", "smb"),
    ]


def test_spend_windows_hold_n_days_with_both_ends(build: Build) -> None:
    oracle = build(
        dump(
            transactions=[
                payment("1", "1000.00", "2025-03-01 23:59:59.999999"),
                payment("2", "100.00", "2025-03-02 00:00:00"),
                payment("3", "10.00", "2025-03-24 23:59:59"),
                payment("4", "1.00", "2025-03-25 00:00:00"),
                payment("5", "0.25", "2025-03-31 23:59:59.999999"),
                payment("6", "7000.00", "2025-04-01 00:00:00"),
            ]
        )
    )
    found = row(oracle)
    assert found["total_spend_30d"] == Decimal("111.25")
    assert (found["transaction_count_7d"], found["transaction_count_30d"]) == (2, 4)
    assert found["avg_transaction_value"] == 27.8125


def test_average_is_rounded_half_away_from_zero(build: Build) -> None:
    amounts = {
        "third": ["0.01", "0.00", "0.00"],
        "two thirds": ["0.01", "0.01", "0.00"],
        # 1 cent over 128 is 0.000078125.
        "below half": ["0.01"] + ["0.00"] * 127,
        # 5 cents over 32 are 0.0015625, 1 over 32 is 0.0003125; the nearest even would be 0.001562 and 0.000312.
        "half": ["0.05"] + ["0.00"] * 31,
        "smaller half": ["0.01"] + ["0.00"] * 31,
        "largest": ["9999999999.99", "9999999999.99", "9999999999.98"],
    }
    rows = [
        payment(f"{number}{place:03}", amount, "2025-03-31 08:00:00", user=user)
        for number, (user, values) in enumerate(amounts.items(), start=1)
        for place, amount in enumerate(values)
    ]
    oracle = build(dump(customers=[customer(user) for user in amounts], transactions=rows))
    assert {r["user_id"]: r["avg_transaction_value"] for r in oracle.features([D]).to_pylist()} == {
        "third": 0.003333,
        "two thirds": 0.006667,
        "below half": 0.000078,
        "half": 0.001563,
        "smaller half": 0.000313,
        "largest": 9999999999.986667,
    }


def test_behavior_counts_each_event_type_in_its_own_window(build: Build) -> None:
    oracle = build(
        dump(
            documents=[
                document("B1", "page_view", at(2025, 3, 1, 23), page_views=1000),
                document("B2", "page_view", at(2025, 3, 2), page_views=100),
                document("B3", "page_view", at(2025, 3, 31, 23), page_views=Int64(10)),
                document("B4", "page_view", at(2025, 3, 31), page_views=2.0),
                document("B5", "page_view", at(2025, 3, 31)),
                document("B6", "page_view", at(2025, 4, 1), page_views=5000),
                document("B7", "login", at(2025, 3, 28, 23), page_views=40),
                document("B8", "login", at(2025, 4, 1)),
                document("B9", "feature_usage", at(2024, 1, 1), feature="export"),
                document("C1", "feature_usage", at(2025, 3, 31, 23), feature="export"),
                document("C2", "feature_usage", at(2025, 4, 1), feature="export"),
            ]
        )
    )
    found = row(oracle)
    assert found["page_views_30d"] == 112
    assert (found["last_login_date"], found["days_since_last_login"]) == (date(2025, 3, 28), 3)
    assert found["feature_usage_count"] == 2
    assert row(oracle, date(2025, 4, 1))["days_since_last_login"] == 0


def test_days_since_login_stop_at_365(build: Build) -> None:
    logins = {"below": at(2024, 4, 1), "cap": at(2024, 3, 31), "above": at(2024, 3, 30), "leap": at(2024, 2, 29, 23)}
    documents = [document(user, "login", day, user_id=user) for user, day in logins.items()]
    oracle = build(dump(customers=[customer(user) for user in logins], documents=documents))
    found = {r["user_id"]: (r["last_login_date"], r["days_since_last_login"]) for r in oracle.features([D]).to_pylist()}
    assert found == {
        "below": (date(2024, 4, 1), 364),
        "cap": (date(2024, 3, 31), 365),
        "above": (date(2024, 3, 30), 365),
        "leap": (date(2024, 2, 29), 365),
    }


def test_leap_day_is_a_day_of_the_window(build: Build) -> None:
    oracle = build(
        dump(
            transactions=[payment("1", "5.00", "2024-02-29 12:00:00"), payment("2", "3.00", "2024-02-28 12:00:00")],
            documents=[document("B1", "login", at(2024, 2, 29))],
        )
    )
    found = on_days(
        oracle, date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 28), date(2024, 3, 29), date(2024, 3, 30)
    )
    # The 30 days up to March 29 begin on February 29, those up to March 28 on February 28.
    assert {day: r["total_spend_30d"] for day, r in found.items()} == {
        "2024-02-29": Decimal("8.00"),
        "2024-03-01": Decimal("8.00"),
        "2024-03-28": Decimal("8.00"),
        "2024-03-29": Decimal("5.00"),
        "2024-03-30": Decimal("0.00"),
    }
    assert [r["days_since_last_login"] for r in found.values()] == [0, 1, 28, 29, 30]


def test_ticket_resolved_after_d_is_unresolved_at_d(build: Build) -> None:
    lines = "T1,U1,2025-03-30,2025-04-03,closed,high,late\nT2,U1,2025-03-30,2025-03-31,closed,high,in time\n"
    oracle = build(dump(tickets=lines))
    found = on_days(oracle, date(2025, 3, 30), D, date(2025, 4, 2), date(2025, 4, 3)).values()
    assert [r["ticket_count_90d"] for r in found] == [2, 2, 2, 2]
    # T2 took 1 day, T1 took 4.
    assert [r["avg_resolution_time_days"] for r in found] == [None, 1.0, 1.0, 2.5]


def test_ticket_window_holds_90_days_by_creation(build: Build) -> None:
    # January 1 is the 90th day back from March 31, 2025.
    lines = (
        "T1,U1,2024-12-31,2025-03-31,closed,,out\nT2,U1,2025-01-01,2025-01-01,closed,,in\n"
        "T3,U1,2025-03-31,,open,,in\nT4,U1,2025-04-01,,open,,out\n"
    )
    found = row(build(dump(tickets=lines)))
    assert (found["ticket_count_90d"], found["avg_resolution_time_days"]) == (2, 0.0)


def test_attributes_are_those_valid_at_the_end_of_d(build: Build) -> None:
    oracle = build(
        dump(
            customers=[
                customer(updated="2025-03-10 10:00:00", country="DE", segment="smb"),
                customer(updated="2025-03-20 23:59:59.999999", country="FR", segment="mid"),
                customer(updated="2025-03-25 00:00:00", country=None, segment="big"),
            ]
        )
    )
    days = [date(2025, 2, 1), date(2025, 3, 19), date(2025, 3, 20), date(2025, 3, 24), date(2025, 3, 25), D]
    carried = [(r["country"], r["segment"]) for r in on_days(oracle, *days).values()]
    assert carried == [("DE", "smb"), ("DE", "smb"), ("FR", "mid"), ("FR", "mid"), (None, "big"), (None, "big")]


def test_population_follows_the_signup_date_of_the_valid_version(build: Build) -> None:
    oracle = build(
        dump(
            customers=[
                customer("U1", signup="2025-03-31"),
                customer("U2", signup="2025-04-01"),
                customer("U3", signup="2025-05-01", updated="2025-03-01 00:00:00"),
                customer("U3", signup="2025-03-01", updated="2025-03-31 08:00:00"),
                customer("U4", signup=None),
            ]
        )
    )
    days = [date(2025, 3, 30), D, date(2025, 4, 1), D]
    keys = [(r["user_id"], r["feature_date"].isoformat()) for r in oracle.features(days).to_pylist()]
    assert keys == [
        ("U1", "2025-03-31"),
        ("U3", "2025-03-31"),
        ("U1", "2025-04-01"),
        ("U2", "2025-04-01"),
        ("U3", "2025-04-01"),
    ]
    assert reasons(oracle) == [("customers", "U4", ["missing:signup_date"])]


def test_winner_has_the_greatest_order_columns_then_the_greatest_content(build: Build) -> None:
    oracle = build(
        dump(
            customers=[customer("U1"), customer("Z"), customer("a"), customer("é")],
            transactions=[
                payment("1", "9.00", "2025-03-30 00:00:00", updated="2025-03-31 12:00:00.000001"),
                payment("1", "99.00", "2025-03-31 00:00:00", updated="2025-03-31 12:00:00"),
                payment("2", "9.00", "2025-03-30 00:00:00"),
                payment("2", "10.00", "2025-03-29 00:00:00"),
                payment("3", "1.00", "2025-03-30 00:00:00", user="Z"),
                payment("3", "1.00", "2025-03-30 00:00:00", user="é"),
                payment("3", "1.00", "2025-03-30 00:00:00", user="a"),
            ],
            documents=[],
        )
    )
    winners = [(r["transaction_id"], r["user_id"], r["amount"]) for r in oracle.silver("transactions").to_pylist()]
    assert winners == [(1, "U1", Decimal("9.00")), (2, "U1", Decimal("10.00")), (3, "é", Decimal("1.00"))]


def test_conflicting_customer_versions_take_nulls_as_lowest(build: Build) -> None:
    oracle = build(dump(customers=[customer(country=None, segment="z"), customer(country="", segment="a")]))
    assert [(r["country"], r["segment"]) for r in oracle.silver("customers").to_pylist()] == [("", "a")]


def test_later_document_wins_then_the_one_with_the_greater_content(build: Build) -> None:
    day = at(2025, 3, 31)
    oracle = build(
        dump(documents=[document("B1", "page_view", day, page_views=9), document("B2", "page_view", day)]),
        dump(
            documents=[
                document("B1", "page_view", day, page_views=10, updated_at=at(2025, 3, 31)),
                document("B2", "page_view", day, page_views=0),
            ]
        ),
    )
    winners = [(r["_id"], r["page_views"]) for r in oracle.silver("user_behavior").to_pylist()]
    assert winners == [("B1", 9), ("B2", 0)]


def test_conflicting_lines_of_one_ticket_dump_take_the_greater_content(build: Build) -> None:
    lines = (
        "T1,U1,2025-03-30,,open,,z\nT1,U1,2025-03-30,,open,high,z\nT1,U1,2025-03-30,,open,low,a\n"
        "T2,U1,2025-03-30,,open,low,\nT2,U1,2025-03-30,,open,low,B\nT2,U1,2025-03-30,,open,low,a\n"
        "T3,U1,2025-03-30,2025-03-31,closed,,\nT3,U1,2025-03-30,,open,,\n"
    )
    tickets = build(dump(tickets=lines)).silver("support_tickets").to_pylist()
    assert [(r["ticket_id"], r["priority"], r["subject"]) for r in tickets] == [
        ("T1", "low", "a"),
        ("T2", "low", "a"),
        ("T3", None, None),
    ]
    assert tickets[2]["resolved_date"] == date(2025, 3, 31)


def test_later_ticket_dump_wins_by_key_date_then_by_last_modified(build: Build) -> None:
    old, new = "tickets/dt=2025-03-30/tickets.csv", "tickets/dt=2025-03-31/tickets.csv"
    oracle = build(
        dump(
            tickets=[
                csv_object(HEADER + "T1,U1,2025-03-30,,open,,old\nT2,U1,2025-03-30,,open,,b\n", key=old, modified=T2),
                csv_object(HEADER + "T1,U1,2025-03-30,2025-03-31,closed,,new\n", key=new, modified=T1),
            ]
        ),
        dump(tickets=[csv_object(HEADER + "T2,U1,2025-03-30,,open,,a\n", key=old, modified=at(2025, 4, 3))]),
    )
    assert [(r["ticket_id"], r["subject"]) for r in oracle.silver("support_tickets").to_pylist()] == [
        ("T1", "new"),
        ("T2", "a"),
    ]


def test_transaction_rules_give_every_reason_that_applies(build: Build) -> None:
    day = "2025-03-31 10:00:00"
    oracle = build(
        dump(
            customers=[customer(), customer(""), customer(None)],
            transactions=[
                payment(None, "-1.00", "1999-12-31 23:59:59", user="U9", currency="EUR"),
                payment("2", None, None, user=None, currency=None, updated=None),
                payment("3", "1.00", "2025-04-02 00:00:00"),
                payment("4", "1.00", "2025-04-01 23:59:59"),
                payment("5", "0.00", "2000-01-01 00:00:00"),
                payment("6", "NaN", day, currency=""),
                payment("7", "1.00", day, user=""),
            ],
        )
    )
    assert reasons(oracle) == [
        ("customers", "", ["null_key"]),
        ("customers", None, ["null_key"]),
        (
            "transactions",
            "2",
            [
                "missing:amount",
                "missing:currency",
                "missing:transaction_date",
                "missing:updated_at",
                "missing:user_id",
            ],
        ),
        ("transactions", "3", ["range:transaction_date"]),
        ("transactions", "6", ["currency", "type:amount"]),
        ("transactions", "7", ["unknown_user"]),
        ("transactions", None, ["currency", "negative:amount", "null_key", "range:transaction_date", "unknown_user"]),
    ]
    assert oracle.silver("transactions").column("transaction_id").to_pylist() == [4, 5]


def test_mongo_integers_are_read_strictly(build: Build) -> None:
    values = {
        "int32": 3,
        "int64": Int64(2147483647),
        "whole": 7.0,
        "null": None,
        "zero": 0,
        "text": "3",
        "too large": Int64(2147483648),
        "too large double": 3000000000.0,
        "fraction": 1.5,
        "nan": math.nan,
        "infinite": math.inf,
        "boolean": True,
        "decimal": Decimal128("3"),
        "nested": {"n": 3},
        "list": [3],
        "below zero": -1,
    }
    oracle = build(
        dump(documents=[document(key, "page_view", at(2025, 3, 31), page_views=v) for key, v in values.items()])
    )
    assert {r["_id"]: r["page_views"] for r in oracle.silver("user_behavior").to_pylist()} == {
        "int32": 3,
        "int64": 2147483647,
        "whole": 7,
        "null": None,
        "zero": 0,
    }
    assert {key: found for _, key, found in reasons(oracle)} == {
        "text": ["type:page_views"],
        "too large": ["type:page_views"],
        "too large double": ["type:page_views"],
        "fraction": ["type:page_views"],
        "nan": ["type:page_views"],
        "infinite": ["type:page_views"],
        "boolean": ["type:page_views"],
        "decimal": ["type:page_views"],
        "nested": ["type:page_views"],
        "list": ["type:page_views"],
        "below zero": ["negative:page_views"],
    }


def test_mongo_documents_of_other_types_are_quarantined(build: Build) -> None:
    missing = {"_id": "B2", "feature": None}
    oracle = build(
        dump(
            documents=[
                document("B1", 5, "2025-03-31", user_id=1, feature=2, updated_at=1),
                missing,
                document("", "login", at(1999, 12, 31, 23), user_id="U9"),
                document(None, "login", at(2025, 4, 2)),
                document(ObjectId(), "login", at(2025, 4, 1, 23)),
                document("B3", "login", at(2000, 1, 1)),
            ]
        )
    )
    assert [(key, found) for _, key, found in reasons(oracle)] == [
        ("", ["null_key", "range:event_date", "unknown_user"]),
        ("B1", ["type:event_date", "type:event_type", "type:feature", "type:updated_at", "type:user_id"]),
        ("B2", ["missing:event_date", "missing:event_type", "missing:updated_at", "missing:user_id"]),
        (None, ["null_key", "range:event_date"]),
        (None, ["type:_id"]),
    ]
    assert oracle.silver("user_behavior").column("_id").to_pylist() == ["B3"]


def test_ticket_lines_follow_rfc_4180_one_physical_line_at_a_time(build: Build) -> None:
    text = (
        "\ufeff" + HEADER.strip() + "\r\n"
        "\r\n"
        'T1,U1,2025-03-30,,open,high,"a, ""b"""\r\n'
        "   \n"
        "T2,U1,2025-03-30,,open,,\r\n"
        'T3,U1,2025-03-30,,open,high,"cut\n'
        "T4,U1,2025-03-30,,open,high,one,more\n"
        "T5,U1,2025-03-30,,open,high\n"
        "T6,U1,2025-03-30,,open,high,line\u2028separator\x0cfeed"
    )
    oracle = build(dump(tickets=[csv_object(text)]))
    assert [(r["ticket_id"], r["priority"], r["subject"]) for r in oracle.silver("support_tickets").to_pylist()] == [
        ("T1", "high", 'a, "b"'),
        ("T2", None, None),
        ("T6", "high", "line\u2028separator\x0cfeed"),
    ]
    assert reasons(oracle) == [("support_tickets", None, ["unparsable"])] * 3
    assert len(physical_lines(text.encode())) == 7


def test_ticket_rules_give_every_reason_that_applies(build: Build) -> None:
    lines = (
        ",,,,,,\n"
        "T2,U9,2025-3-30,31.03.2025,open,,\n"
        "T3,U1,2025-02-29,2025-03-01,open,,\n"
        "T4,U1,2025-03-30,2025-03-29,open,,\n"
        "T5,U1,2025-04-02,,open,,\n"
        "T6,U1,1999-12-31,2025-03-30,open,,\n"
        "T7,U1,2025-04-01,2025-06-01,open,,\n"
    )
    oracle = build(dump(tickets=lines))
    assert [(key, found) for _, key, found in reasons(oracle)] == [
        ("T2", ["type:created_date", "type:resolved_date", "unknown_user"]),
        ("T3", ["type:created_date"]),
        ("T4", ["order:resolved_date"]),
        ("T5", ["range:created_date"]),
        ("T6", ["range:created_date"]),
        (None, ["missing:created_date", "missing:status", "missing:user_id", "null_key"]),
    ]
    assert oracle.silver("support_tickets").column("ticket_id").to_pylist() == ["T7"]


def test_event_of_an_unknown_user_counts_once_the_customer_has_arrived(build: Build) -> None:
    early = payment("1", "5.00", "2025-03-31 10:00:00", user="U2")
    second = dump(extracted_at=T2, customers=[customer(), customer("U2", updated="2025-04-01 09:00:00")])
    oracle = build(dump(transactions=[early]), second)
    assert reasons(oracle) == []
    assert row(oracle, user="U2")["total_spend_30d"] == Decimal("5.00")


def test_two_dumps_are_one_union(build: Build) -> None:
    kept = payment("1", "5.00", "2025-03-30 10:00:00")
    twice = payment("2", "-1.00", "2025-03-30 10:00:00")
    spoiled = payment("1", "-5.00", "2025-03-30 10:00:00", updated="2025-04-01 09:00:00")
    early = payment("3", "7.00", "2025-04-02 01:00:00")
    late = payment("4", "8.00", "2025-04-02 01:00:00")
    oracle = build(
        dump(transactions=[kept, twice, twice, early], customers=[customer(country="DE")]),
        dump(
            extracted_at=T2,
            transactions=[spoiled, twice, early, late],
            customers=[customer(country="FR", updated="2025-04-01 09:00:00")],
        ),
    )
    # 3 lay in the future of the dump that first showed it; 4 was first seen on its own day.
    assert [(r["transaction_id"], r["amount"]) for r in oracle.silver("transactions").to_pylist()] == [
        (1, Decimal("5.00")),
        (4, Decimal("8.00")),
    ]
    assert [(r["key"], r["reasons"], r["copies"]) for r in oracle.quarantined().to_pylist()] == [
        ("1", ["negative:amount"], 1),
        ("2", ["negative:amount"], 2),
        ("3", ["range:transaction_date"], 1),
    ]
    assert (row(oracle)["country"], row(oracle, date(2025, 4, 1))["country"]) == ("DE", "FR")


def test_differences_name_every_kind_of_mismatch() -> None:
    names = ["k", "x", "s"]
    expected = pa.table([["a", "b", "c", "d"], [0.0, 1.0, None, math.nan], ["p", "q", "r", None]], names=names)
    actual = pa.table([["e", "d", "c", "a", "a"], [9.0, math.nan, 0.0, 0.0, -0.0], ["p", None, "r", "p", "p"]], names)
    assert differences(expected, expected.select(["s", "x", "k"]), ["k"]) == []
    assert differences(expected, actual, ["k"]) == [
        "(a): more than one actual row",
        "(b): missing row",
        "(e): extra row",
        "(a) x: expected 0.0, actual -0.0",
        "(c) x: expected None, actual 0.0",
    ]


def test_differences_compare_columns_and_types_and_stop_at_20() -> None:
    expected = pa.table({"k": pa.array(range(30), pa.int64()), "x": pa.array(["a"] * 30)})
    large = expected.set_column(1, "x", expected.column("x").cast(pa.large_string()))
    assert differences(expected, large, ["k"]) == []
    assert len(differences(expected, expected.slice(0, 1), ["k"])) == 20
    other = pa.table({"k": pa.array([1], pa.int32()), "y": ["a"]})
    assert differences(expected, other, ["k"]) == [
        "missing column x",
        "extra column y",
        "column k: expected type int64, actual type int32",
    ]
