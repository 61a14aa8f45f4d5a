"""The demo world keeps its promises: the same every time, dirty enough, realistic, and honest about itself."""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest

from headwater.demo.dirt import document_dirt, ticket_dirt, transaction_dirt
from headwater.demo.dumps import HEADER, dump_key
from headwater.demo.seed import generate
from headwater.demo.world import CustomerRow, Document, Part, Phase, Scale, SourceName, TransactionRow, World
from headwater.errors import ConfigError

TINY = Scale(customers=60, days=45, seed=11)
SMALL = Scale(customers=200, days=70, seed=12)
WIDE = Scale(customers=2_000, days=30, seed=13)
PHASES: tuple[Phase, ...] = ("initial", "change")
SOURCES: tuple[SourceName, ...] = ("customers", "transactions", "user_behavior", "support_tickets")
SETTLED = timedelta(minutes=10)


@cache
def world_of(scale: Scale) -> World:
    return generate(scale)


def part_of(world: World, phase: Phase) -> Part:
    return world.initial if phase == "initial" else world.change


def lines_of(blob: bytes) -> list[str]:
    text = blob.decode().removeprefix("\ufeff")
    header, *lines = [line.removesuffix("\r") for line in text.split("\n")]
    assert header == HEADER
    return [line for line in lines if line.strip()]


def written(part: Part) -> Iterator[TransactionRow | CustomerRow]:
    for table in (part.transactions, part.customers):
        yield from table.inserts
        yield from (rewrite.new for rewrite in table.rewrites)


def watermarks(part: Part) -> Iterator[object]:
    yield from (row.updated_at for row in written(part))
    for doc in (*part.user_behavior.inserts, *(rewrite.new for rewrite in part.user_behavior.rewrites)):
        yield doc.get("updated_at")


def day_of(moment: object) -> date | None:
    return moment.date() if isinstance(moment, datetime) else None


def keys_in(part: Part, source: SourceName) -> set[str]:
    if source == "transactions":
        return {str(row.transaction_id or "") for row in written(part) if isinstance(row, TransactionRow)}
    if source == "customers":
        return {row.user_id or "" for row in written(part) if isinstance(row, CustomerRow)}
    if source == "user_behavior":
        docs = (*part.user_behavior.inserts, *(rewrite.new for rewrite in part.user_behavior.rewrites))
        return {str(doc["_id"]) for doc in docs}
    lines = [line for blob in part.support_tickets.values() for line in lines_of(blob)]
    return {line.split(",", 1)[0] for line in lines} | set(lines)


def test_same_scale_gives_the_same_world() -> None:
    assert repr(generate(TINY)) == repr(world_of(TINY))


def test_another_seed_gives_another_world() -> None:
    other = generate(Scale(customers=TINY.customers, days=TINY.days, seed=TINY.seed + 1))
    assert other.initial.transactions != world_of(TINY).initial.transactions
    assert other.initial.support_tickets != world_of(TINY).initial.support_tickets


@pytest.mark.parametrize(("customers", "days"), [(59, 45), (60, 29)])
def test_too_small_worlds_are_refused(customers: int, days: int) -> None:
    with pytest.raises(ConfigError) as refused:
        Scale(customers=customers, days=days, seed=1)
    assert refused.value.code == "demo_scale_too_small"


def test_dirt_grows_with_the_world() -> None:
    assert TINY.repeats == 2
    assert Scale(customers=2_000, days=120, seed=1).repeats >= 5


@pytest.mark.parametrize("phase", PHASES)
def test_every_kind_of_dirt_is_there_often_enough(phase: Phase) -> None:
    world, last_day = world_of(TINY), TINY.last_day
    recipes: dict[SourceName, list[tuple[str, ...]]] = {
        "transactions": [recipe.reasons for recipe in transaction_dirt(last_day)],
        "user_behavior": [recipe.reasons for recipe in document_dirt(last_day)],
        "support_tickets": [recipe.reasons for recipe in ticket_dirt(last_day)],
        "customers": [("null_key",), ("missing:signup_date",), ("missing:updated_at",)],
    }
    least = TINY.repeats if phase == "initial" else TINY.change_repeats
    for source in SOURCES:
        quarantined = world.expected(phase, source).quarantined
        for reasons in recipes[source]:
            rare = source == "customers" and reasons == ("missing:updated_at",)
            assert quarantined.get(reasons, 0) >= (1 if rare else least), (source, reasons)


@pytest.mark.parametrize("scale", [TINY, SMALL], ids=["tiny", "small"])
def test_initial_rows_are_older_than_the_first_extraction(scale: Scale) -> None:
    world = world_of(scale)
    moments = [moment for moment in watermarks(world.initial) if isinstance(moment, datetime)]
    assert max(moments) <= world.first_extraction - SETTLED


@pytest.mark.parametrize("scale", [TINY, SMALL], ids=["tiny", "small"])
def test_the_change_lies_between_the_extractions(scale: Scale) -> None:
    world = world_of(scale)
    moments = [moment for moment in watermarks(world.change) if isinstance(moment, datetime)]
    assert world.first_extraction < min(moments)
    assert max(moments) <= world.second_extraction - SETTLED


def test_moments_fit_the_clocks_of_their_sources() -> None:
    part = world_of(TINY).initial
    docs = part.user_behavior.inserts
    times = [value for doc in docs for value in doc.values() if isinstance(value, datetime)]
    assert all(moment.tzinfo is UTC and moment.microsecond % 1000 == 0 for moment in times)
    assert any(row.updated_at.microsecond % 1000 for row in part.transactions.inserts if row.updated_at)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("source", SOURCES)
def test_labels_refer_to_existing_records(phase: Phase, source: SourceName) -> None:
    world = world_of(TINY)
    known = keys_in(world.initial, source)
    if phase == "change":
        known |= keys_in(world.change, source)
    assert {label.key for label in world.labelled(phase, source)} <= known


@pytest.mark.parametrize("scale", [TINY, SMALL], ids=["tiny", "small"])
def test_extracted_is_what_a_reader_counts(scale: Scale) -> None:
    world = world_of(scale)
    low, high = world.first_extraction, world.second_extraction
    docs: dict[object, Document] = {doc["_id"]: doc for doc in world.initial.user_behavior.inserts}
    assert len(docs) == world.initial.extracted("user_behavior")
    docs |= {rewrite.old["_id"]: rewrite.new for rewrite in world.change.user_behavior.rewrites}
    docs |= {doc["_id"]: doc for doc in world.change.user_behavior.inserts}
    marks = [doc.get("updated_at") for doc in docs.values()]
    assert sum(not isinstance(mark, datetime) or low < mark <= high for mark in marks) == world.change.extracted(
        "user_behavior"
    )
    for phase in PHASES:
        part = part_of(world, phase)
        lines = sum(len(lines_of(blob)) for blob in part.support_tickets.values())
        assert lines == part.extracted("support_tickets")


def test_rows_rewritten_exist_once() -> None:
    world = world_of(SMALL)
    for before, after in (
        (world.initial.transactions, world.change.transactions),
        (world.initial.customers, world.change.customers),
    ):
        images = Counter(before.inserts)
        assert {images[rewrite.old] for rewrite in after.rewrites} == {1}
        assert len({rewrite.old for rewrite in after.rewrites}) == len(after.rewrites)


def test_customers_account_agrees_with_a_plain_reading() -> None:
    world = world_of(SMALL)
    rows = world.initial.customers.inserts
    good = [row for row in rows if row.user_id and row.signup_date and row.updated_at]
    expected = world.expected("initial", "customers")
    assert expected.inserted == len({(row.user_id, row.updated_at) for row in good})
    assert sum(expected.quarantined.values()) == len(rows) - len(good)
    assert expected.batch_duplicates == len(good) - expected.inserted


def test_unknown_users_arrive_or_never_do() -> None:
    world = world_of(TINY)
    rows = world.initial.customers.inserts
    before = {row.user_id for row in rows if row.user_id and row.signup_date and row.updated_at}
    after = before | {
        row.user_id for row in written(world.change) if isinstance(row, CustomerRow) and row.user_id and row.signup_date
    }
    users = {str(row.transaction_id): row.user_id for row in world.initial.transactions.inserts}
    unknown = [label.key for label in world.labelled("initial", "transactions") if label.reasons == ("unknown_user",)]
    replayed = {label.key for label in world.labelled("change", "transactions") if label.outcome == "replayed"}
    assert replayed
    assert set(unknown) > replayed
    for key in unknown:
        assert users[key] not in before
        assert (users[key] in after) == (key in replayed)


def test_tickets_account_agrees_with_a_csv_reader() -> None:
    world = world_of(SMALL)
    lines = [line for blob in world.initial.support_tickets.values() for line in lines_of(blob)]
    parsed = {line: next(csv.reader([line])) for line in lines if line.count('"') % 2 == 0}
    broken = sorted(line for line in lines if len(parsed.get(line, ())) != HEADER.count(",") + 1)
    labels = world.labelled("initial", "support_tickets")
    assert broken == sorted(label.key for label in labels if label.reasons == ("unparsable",))


def test_dumps_differ_as_files_do() -> None:
    blobs = world_of(TINY).initial.support_tickets.values()
    assert len(blobs) == TINY.days
    assert any(blob.startswith(b"\xef\xbb\xbf") for blob in blobs)
    assert any(b"\r\n" in blob for blob in blobs)
    assert any(b"\n\n" in blob for blob in blobs)
    assert any(not blob.endswith(b"\n") for blob in blobs)


def test_the_change_replaces_one_old_dump() -> None:
    world = world_of(TINY)
    (replaced,) = world.change.support_tickets.keys() & world.initial.support_tickets.keys()
    assert world.change.support_tickets.keys() - {replaced} == {dump_key(TINY.change_day)}
    assert world.change.support_tickets[replaced] != world.initial.support_tickets[replaced]
    assert world.expected("change", "support_tickets").superseded > 0


def test_every_outcome_happens() -> None:
    outcomes = {label.outcome for label in world_of(TINY).labels}
    assert outcomes >= {"inserted_version", "updated", "superseded", "batch_duplicate", "quarantined", "replayed"}


def test_activity_follows_a_power_law_and_people_leave() -> None:
    rows = world_of(SMALL).initial.transactions.inserts
    per_user = Counter(row.user_id for row in rows)
    counts = sorted(per_user.values(), reverse=True)
    assert sum(counts[: SMALL.customers // 10]) > 0.25 * len(rows)
    assert counts[0] > 8 * counts[len(counts) // 2]
    last = {row.user_id: day_of(row.transaction_date) for row in rows}
    assert sum(day < SMALL.last_day - timedelta(days=30) for day in last.values() if day) > SMALL.customers // 20
    rate = len(rows) / len(per_user) / (SMALL.days / 7)
    assert 1.2 < rate < 2.8


def test_weekends_and_nights_differ() -> None:
    docs = world_of(SMALL).initial.user_behavior.inserts
    moments = [moment for doc in docs if isinstance(moment := doc.get("event_date"), datetime)]
    weekend = sum(moment.weekday() >= 5 for moment in moments) / len(moments)
    assert weekend < 0.24
    assert sum(moment.hour < 6 for moment in moments) < 0.1 * len(moments)


def test_some_events_are_late() -> None:
    for part in (world_of(TINY).initial, world_of(TINY).change):
        rows = part.transactions.inserts
        delays = [row.updated_at - row.transaction_date for row in rows if row.updated_at and row.transaction_date]
        assert sum(timedelta(days=1) < delay < timedelta(days=40) for delay in delays) >= 5


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("scale", [TINY, SMALL, WIDE], ids=["tiny", "small", "wide"])
def test_nulls_stay_below_the_null_gate(scale: Scale, phase: Phase, source: SourceName) -> None:
    world = world_of(scale)
    nulls: Counter[str] = Counter()
    for label in world.labelled(phase, source):
        if label.outcome == "quarantined" and label.note != "empty":
            nulls.update(reason for reason in label.reasons if reason.startswith(("missing:", "null_key")))
    assert max(nulls.values()) <= 0.05 * world.expected(phase, source).extracted


@pytest.mark.parametrize("days_ago", [0, 39])
@pytest.mark.parametrize("scale", [TINY, SMALL], ids=["tiny", "small"])
def test_features_have_something_to_say(scale: Scale, days_ago: int) -> None:
    world, day = world_of(scale), scale.last_day - timedelta(days=days_ago)
    signups = {row.user_id: row.signup_date for row in world.initial.customers.inserts if row.signup_date}
    population = {user for user, signup in signups.items() if signup <= day}
    docs = [(doc, day_of(doc.get("event_date"))) for doc in world.initial.user_behavior.inserts]
    bought = [(row.user_id, day_of(row.transaction_date)) for row in world.initial.transactions.inserts]
    tickets = [line.split(",")[1:4] for blob in world.initial.support_tickets.values() for line in lines_of(blob)]
    since = [(user, created) for user, created, _ in tickets if _within(created, day, 90)]
    users_with: dict[str, set[object]] = {
        "transactions_7d": {user for user, when in bought if when and 0 <= (day - when).days < 7},
        "logins": {
            doc.get("user_id") for doc, when in docs if doc.get("event_type") == "login" and when and when <= day
        },
        "page_views_30d": {
            doc.get("user_id") for doc, when in docs if doc.get("page_views") and when and 0 <= (day - when).days < 30
        },
        "feature_usage": {doc.get("user_id") for doc, when in docs if doc.get("feature") and when and when <= day},
        "tickets_90d": {user for user, _ in since},
        "resolved_90d": {
            user for user, created, end in tickets if _within(created, day, 90) and _within(end, day, 365)
        },
    }
    for feature, users in users_with.items():
        share = len(population & {user for user in users if isinstance(user, str)}) / len(population)
        assert share >= 0.05, feature


def _within(day: str, end: date, window: int) -> bool:
    try:
        return 0 <= (end - date.fromisoformat(day)).days < window
    except ValueError:
        return False
