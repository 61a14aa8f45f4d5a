"""The ledger's rules, each on a real table; a race is one ledger acting between another's read and append."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from headwater import errors
from headwater.errors import ExitCode, Unproven, WriterConflict
from headwater.state import table as state_table
from headwater.state.holder import Holder
from headwater.state.ledger import NEWEST, Ledger
from headwater.state.runs import RunLog
from headwater.state.streams import STREAMS, Event, StreamState
from headwater.state.table import Row, StateTable
from headwater.state.upkeep import STREAM as UPKEEP
from headwater.state.upkeep import compact_state

STREAM = "churn/postgres/bronze/transactions"
START = datetime(2025, 4, 1, 2, tzinfo=UTC)
LEASE = timedelta(seconds=60)


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ops(tmp_path: Path) -> str:
    return str(tmp_path / "ops")


def holder_of(run_id: str, *, host: str = "elsewhere") -> Holder:
    """A process of another host: alive as long as its lease."""
    return Holder(host, 4711, "boot", "123", run_id)


def ledger_of(ops: str, clock: Clock, run_id: str) -> Ledger:
    return Ledger(ops, clock=clock, holder=holder_of(run_id), lease=LEASE)


@pytest.fixture
def first(ops: str, clock: Clock) -> Ledger:
    return ledger_of(ops, clock, "first")


@pytest.fixture
def second(ops: str, clock: Clock) -> Ledger:
    return ledger_of(ops, clock, "second")


def kinds(ops: str) -> list[str]:
    rows = StateTable(f"{ops}/streams", STREAMS).rows()
    return [row["kind"] for row in sorted(rows, key=lambda row: row["epoch"])]


def test_reading_an_unknown_stream_creates_nothing(first: Ledger, ops: str) -> None:
    assert first.stream(STREAM) == StreamState(STREAM)
    assert not Path(ops).exists()


def test_a_batch_goes_from_intent_to_commit(first: Ledger, second: Ledger, clock: Clock) -> None:
    payload = {"lo": None, "hi": "2025-04-01T01:55:00Z", "keys": ["it's", "Zürich"], "versions": {"silver": 3}}

    intent = first.begin(STREAM, payload)
    opened = second.stream(STREAM).open
    clock.forward(timedelta(seconds=5))
    commit = first.commit(intent, {"extracted": 10})

    assert (intent.n, intent.batch_id, intent.resumed) == (1, f"{STREAM}#1", False)
    assert opened == intent
    assert opened.payload == payload
    assert second.stream(STREAM).commits == (commit,)
    assert second.stream(STREAM).open is None
    assert (commit.payload, commit.facts, commit.run_id) == (payload, {"extracted": 10}, "first")
    assert (intent.created_at, commit.committed_at) == (START, START + timedelta(seconds=5))


def test_numbers_follow_each_other_and_old_batches_can_be_left_unread(first: Ledger) -> None:
    for k in range(1, 4):
        first.commit(first.begin(STREAM, {"k": k}), {})

    assert [commit.n for commit in first.stream(STREAM).commits] == [1, 2, 3]
    assert [commit.n for commit in first.stream(STREAM, since=3).commits] == [3]
    assert first.stream(STREAM, since=99).last_n == 3


def test_who_has_read_a_stream_before_sees_what_a_first_reader_sees(
    first: Ledger, second: Ledger, ops: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads only what may have come since."""
    monkeypatch.setattr(state_table, "SCATTERED_FILES", 4)
    reader = Ledger(ops, clock=clock, holder=holder_of("reader"))

    def seen_alike() -> bool:
        anew = Ledger(ops, clock=clock, holder=holder_of("anew"))
        return all(reader.stream(STREAM, since=each) == anew.stream(STREAM, since=each) for each in (0, 2, NEWEST))

    for n in range(1, 5):
        intent = first.begin(STREAM, {"n": n})
        assert seen_alike()
        if n == 2:
            clock.forward(2 * LEASE)
            intent = second.resume(intent)
            assert seen_alike()
        (second if n == 2 else first).commit(intent, {"rows": n})
        if n == 3:
            # Of two events as of one, and of files that were put together.
            assert reader.tables[0].compact_if_scattered()
        assert seen_alike()
    assert [commit.n for commit in reader.stream(STREAM).commits] == [1, 2, 3, 4]


def test_a_handle_that_failed_once_is_not_kept(first: Ledger, ops: str) -> None:
    """A ledger that is dropped under a process is begun anew by it."""
    first.commit(first.begin(STREAM, {}), {})
    shutil.rmtree(ops)
    with pytest.raises((DeltaError, OSError)):
        first.begin(STREAM, {})
    assert first.begin(STREAM, {}, last_n=0).n == 1


def test_the_open_batch_is_seen_however_few_batches_are_asked_for(first: Ledger) -> None:
    first.commit(first.begin(STREAM, {}), {})
    begun = first.begin(STREAM, {})

    assert first.stream(STREAM, since=99).open == begun


def test_nothing_begins_while_a_batch_is_open(first: Ledger, second: Ledger) -> None:
    first.begin(STREAM, {})

    with pytest.raises(WriterConflict) as refused:
        second.begin(STREAM, {})

    assert refused.value.code == "stream_held"
    assert refused.value.exit_code is ExitCode.CONFLICT
    assert refused.value.facts == {
        "stream": STREAM,
        "n": 1,
        "host": "elsewhere",
        "pid": 4711,
        "run_id": "first",
        "since": START.isoformat(),
        "lease_until": (START + LEASE).isoformat(),
    }


def test_other_streams_are_free(first: Ledger, second: Ledger) -> None:
    first.begin(STREAM, {})

    assert second.begin("churn/mongo/bronze/user_behavior", {}).n == 1


def test_a_lost_ledger_does_not_turn_numbers_back(first: Ledger) -> None:
    assert first.begin(STREAM, {}, table_version=7).n == 8
    assert first.stream(STREAM).last_n == 8


def test_the_ledger_decides_when_it_is_ahead_of_the_table(first: Ledger) -> None:
    for _ in range(3):
        first.commit(first.begin(STREAM, {}), {})

    assert first.begin(STREAM, {}, table_version=2).n == 4


def test_a_payload_decided_on_an_older_state_is_refused(first: Ledger, second: Ledger) -> None:
    seen = second.stream(STREAM).last_n
    first.commit(first.begin(STREAM, {}), {})

    with pytest.raises(WriterConflict) as refused:
        second.begin(STREAM, {}, last_n=seen)

    assert refused.value.code == "stream_moved"
    assert refused.value.facts == {
        "stream": STREAM, "seen": 0, "n": 1, "host": "elsewhere", "pid": 4711, "run_id": "first",
    }  # fmt: skip


def test_begin_or_resume_decides_a_payload_only_for_a_new_batch(first: Ledger, second: Ledger, clock: Clock) -> None:
    begun = first.begin_or_resume(STREAM, lambda state: {"after": state.last_n})
    clock.forward(LEASE)
    resumed = second.begin_or_resume(STREAM, lambda _: pytest.fail("an open batch decides from its intent alone"))
    second.commit(resumed, {})
    following = first.begin_or_resume(STREAM, lambda state: {"after": state.last_n})

    assert resumed == replace(begun, holder=second.holder, resumed=True)
    assert (resumed.run_id, resumed.payload) == ("first", {"after": 0})
    assert (following.n, following.payload, following.resumed) == (2, {"after": 1}, False)


def test_a_lease_protects_until_its_last_moment(first: Ledger, second: Ledger, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE - timedelta(microseconds=1))

    with pytest.raises(WriterConflict) as refused:
        second.resume(intent)
    assert refused.value.code == "stream_held"

    clock.forward(timedelta(microseconds=1))
    assert second.resume(intent).holder == second.holder


def test_a_renewed_lease_protects_from_then_on(first: Ledger, second: Ledger, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE / 2)
    first.renew(intent)
    clock.forward(LEASE / 2)

    with pytest.raises(WriterConflict) as refused:
        second.resume(intent)

    assert refused.value.facts["lease_until"] == (START + LEASE * 1.5).isoformat()


def test_the_holder_itself_resumes_at_any_time(first: Ledger) -> None:
    intent = first.begin(STREAM, {"hi": 1})

    assert first.resume(intent) == replace(intent, resumed=True)


def test_a_zombie_cannot_renew_or_commit_after_a_takeover(first: Ledger, second: Ledger, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE)
    taken = second.resume(intent)

    for late in (lambda: first.renew(intent), lambda: first.commit(intent, {}), lambda: first.resume(intent)):
        with pytest.raises(WriterConflict) as refused:
            late()
        assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "second")
    assert second.commit(taken, {}).run_id == "second"


def test_a_zombie_cannot_commit_what_its_successor_finished(first: Ledger, second: Ledger, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE)
    second.commit(second.resume(intent), {"rows": 1})
    second.begin(STREAM, {})

    for late in (lambda: first.renew(intent), lambda: first.commit(intent, {}), lambda: first.resume(intent)):
        with pytest.raises(WriterConflict) as refused:
            late()
        assert refused.value.code == "batch_closed"
        assert refused.value.facts == {
            "stream": STREAM, "n": 1, "host": "elsewhere", "pid": 4711, "run_id": "second",
        }  # fmt: skip
    assert [commit.facts for commit in first.stream(STREAM).commits] == [{"rows": 1}]


def test_a_batch_is_committed_once(first: Ledger) -> None:
    intent = first.begin(STREAM, {})
    first.commit(intent, {})

    with pytest.raises(WriterConflict) as refused:
        first.commit(intent, {})

    assert refused.value.code == "batch_closed"


class Interleaving(Clock):
    """A clock that lets something else happen when first asked: ledgers ask it between their read and append."""

    def __init__(self, now: datetime, meanwhile: Callable[[], object]) -> None:
        self.now = now
        self.meanwhile = [meanwhile]

    def __call__(self) -> datetime:
        if self.meanwhile:
            self.meanwhile.pop()()
        return self.now


def overtaken(ops: str, run_id: str, clock: Clock, meanwhile: Callable[[], object]) -> Ledger:
    """A ledger whose next change meets another change between its read and its append."""
    return ledger_of(ops, Interleaving(clock.now, meanwhile), run_id)


def test_of_two_that_begin_at_once_the_later_append_is_refused(first: Ledger, ops: str, clock: Clock) -> None:
    second = overtaken(ops, "second", clock, lambda: first.begin(STREAM, {"by": "first"}))

    with pytest.raises(WriterConflict) as refused:
        second.begin(STREAM, {"by": "second"})

    assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "first")
    assert kinds(ops) == ["intent"]


def test_a_whole_batch_in_between_is_a_conflict_and_not_a_reason_to_take_the_next_number(
    first: Ledger, ops: str, clock: Clock
) -> None:
    second = overtaken(ops, "second", clock, lambda: first.commit(first.begin(STREAM, {}), {}))

    with pytest.raises(WriterConflict) as refused:
        second.begin(STREAM, {"lo": "decided before the other batch"})

    assert refused.value.code == "stream_moved"
    assert kinds(ops) == ["intent", "commit"]


def test_of_two_that_take_over_at_once_the_later_append_is_refused(
    first: Ledger, second: Ledger, ops: str, clock: Clock
) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE)
    third = overtaken(ops, "third", clock, lambda: second.resume(intent))

    with pytest.raises(WriterConflict) as refused:
        third.resume(intent)

    assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "second")
    assert kinds(ops) == ["intent", "takeover"]


def test_a_commit_overtaken_by_a_takeover_is_refused(first: Ledger, second: Ledger, ops: str, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE)
    zombie = overtaken(ops, "first", clock, lambda: second.resume(intent))

    with pytest.raises(WriterConflict) as refused:
        zombie.commit(intent, {})

    assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "second")
    assert kinds(ops) == ["intent", "takeover"]


def test_a_takeover_overtaken_by_a_renewal_is_refused(first: Ledger, ops: str, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    clock.forward(LEASE)
    second = overtaken(ops, "second", clock, lambda: first.renew(intent))

    with pytest.raises(WriterConflict) as refused:
        second.resume(intent)

    assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "first")
    assert kinds(ops) == ["intent", "lease"]


def test_a_commit_overtaken_by_an_own_renewal_stands(first: Ledger, ops: str, clock: Clock) -> None:
    intent = first.begin(STREAM, {})
    again = overtaken(ops, "first", clock, lambda: first.renew(intent))

    assert again.commit(intent, {}).n == 1
    assert kinds(ops) == ["intent", "lease", "commit"]


def test_other_streams_and_a_compaction_in_between_do_no_harm(first: Ledger, ops: str, clock: Clock) -> None:
    def meanwhile() -> None:
        first.commit(first.begin("another", {}), {})
        DeltaTable(f"{ops}/streams").optimize.compact()

    first.begin("a third", {})
    second = overtaken(ops, "second", clock, meanwhile)

    assert second.begin(STREAM, {}).n == 1
    assert len(kinds(ops)) == 4


class LostAnswer(StateTable):
    """A store whose first append lands, but whose answer never arrives."""

    lost = False

    def append(self, rows: Sequence[Row], *, handle: DeltaTable, transactions: Mapping[str, int] | None = None) -> None:
        super().append(rows, handle=handle, transactions=transactions)
        if not self.lost:
            self.lost = True
            raise WriterConflict("state_commit_refused", "met my own commit")


def test_an_append_whose_answer_was_lost_is_known_again(first: Ledger, ops: str) -> None:
    store = LostAnswer(f"{ops}/streams", STREAMS)
    first._journal.table = store  # noqa: SLF001

    intent = first.begin(STREAM, {"hi": 1})

    assert store.lost
    assert intent == first.stream(STREAM).open
    assert kinds(ops) == ["intent"]


def test_a_handle_opened_again_would_accept_a_taken_number(first: Ledger, ops: str) -> None:
    """Why the journal never reloads: delta-rs compares with commits after the handle, not with the number itself."""
    first.begin(STREAM, {})
    row = Event("intent", 1, {}, holder_of("intruder"), START, START).row(STREAM, 9)
    batch = pa.Table.from_pylist([row], schema=STREAMS)
    taken = CommitProperties(app_transactions=[Transaction(f"intent/{STREAM}", 1)])

    write_deltalake(DeltaTable(f"{ops}/streams"), batch, mode="append", commit_properties=taken)

    assert len(kinds(ops)) == 2


def test_short_work_writes_no_lease(first: Ledger, ops: str) -> None:
    intent = first.begin(STREAM, {})
    with first.holding(intent):
        first.commit(intent, {})

    assert kinds(ops) == ["intent", "commit"]


class SignallingClock(Clock):
    """Tells when it was read by the renewing thread."""

    def __init__(self) -> None:
        super().__init__()
        self.renewals = threading.Semaphore(0)

    def __call__(self) -> datetime:
        if threading.current_thread().name == "lease-keeper":
            self.renewals.release()
        return self.now


def test_long_work_renews_its_lease_from_a_thread(ops: str) -> None:
    clock = SignallingClock()
    brief = timedelta(milliseconds=30)
    ledger = Ledger(ops, clock=clock, holder=holder_of("first"), lease=brief)
    intent = ledger.begin(STREAM, {})

    with ledger.holding(intent) as lease:
        clock.forward(timedelta(hours=1))
        assert clock.renewals.acquire(timeout=10)
        assert clock.renewals.acquire(timeout=10)
        lease.verify()

    assert ledger.stream(STREAM).lease_until == START + timedelta(hours=1) + brief
    assert kinds(ops)[:2] == ["intent", "lease"]
    assert ledger.commit(intent, {}).n == 1


def test_renewing_goes_on_beside_a_commit_and_after_it(ops: str) -> None:
    clock = SignallingClock()
    ledger = Ledger(ops, clock=clock, holder=holder_of("first"), lease=timedelta(milliseconds=3))
    for _ in range(5):
        intent = ledger.begin(STREAM, {})
        with ledger.holding(intent):
            assert clock.renewals.acquire(timeout=10)
            ledger.commit(intent, {})

    assert [commit.n for commit in ledger.stream(STREAM).commits] == [1, 2, 3, 4, 5]


def test_a_lost_lease_ends_the_work_with_a_conflict(ops: str, second: Ledger, clock: Clock) -> None:
    slow = SignallingClock()
    ledger = Ledger(ops, clock=slow, holder=holder_of("first"), lease=timedelta(milliseconds=30))
    intent = ledger.begin(STREAM, {})
    clock.forward(LEASE)
    lost = threading.Event()

    def work() -> None:
        with ledger.holding(intent) as lease:
            second.resume(intent)
            lease._thread.join(timeout=10)  # noqa: SLF001
            lost.set()

    with pytest.raises(WriterConflict) as refused:
        work()

    assert lost.is_set()
    assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "second")


def test_a_body_that_fails_leaves_its_batch_to_the_retry_at_once(first: Ledger, second: Ledger) -> None:
    intent = first.begin(STREAM, {"hi": 1})

    with pytest.raises(ZeroDivisionError), first.holding(intent):
        raise ZeroDivisionError

    assert second.resume(intent).resumed


def test_a_body_that_fails_after_its_commit_changes_nothing(first: Ledger, ops: str) -> None:
    intent = first.begin(STREAM, {})

    def work() -> None:
        with first.holding(intent):
            first.commit(intent, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()

    assert kinds(ops) == ["intent", "commit"]


def test_upkeep_makes_one_file_of_many_and_loses_nothing(
    first: Ledger, ops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_table, "SCATTERED_FILES", 6)
    for k in range(3):
        first.commit(first.begin(STREAM, {"k": k}), {"k": k})
    open_batch = first.begin(STREAM, {"k": 3})

    done = compact_state(first, RunLog(ops))

    assert done.facts == {"rewritten": [f"{ops}/streams"]}
    assert len(DeltaTable(f"{ops}/streams").file_uris()) == 2
    assert [(c.n, c.payload, c.facts) for c in first.stream(STREAM).commits] == [
        (k + 1, {"k": k}, {"k": k}) for k in range(3)
    ]
    assert first.stream(STREAM).open == open_batch


def test_upkeep_of_two_processes_at_once_is_refused(first: Ledger, second: Ledger, ops: str) -> None:
    second.begin(UPKEEP, {})

    with pytest.raises(WriterConflict) as refused:
        compact_state(first, RunLog(ops))

    assert (refused.value.code, refused.value.facts["run_id"]) == ("stream_held", "second")


def test_rows_doubled_by_two_compactions_at_once_are_read_once(first: Ledger, ops: str) -> None:
    """delta-rs lets both commit: a removal without data change never conflicts."""
    for k in range(2):
        first.commit(first.begin(STREAM, {"k": k}), {})
    before = first.stream(STREAM)
    rivals = [DeltaTable(f"{ops}/streams"), DeltaTable(f"{ops}/streams")]
    for rival in rivals:
        rival.optimize.compact()

    assert pa.table(DeltaTable(f"{ops}/streams").scan()).num_rows == 8
    assert first.stream(STREAM) == before
    assert first.begin(STREAM, {}).n == 3


def test_stream_names_are_text_and_not_sql(first: Ledger) -> None:
    odd = "it's' or 1=1 --/é#1"
    first.commit(first.begin(STREAM, {}), {})

    begun = first.begin(odd, {})

    assert first.stream(odd).open == begun
    assert first.stream(odd).commits == ()


def test_rows_that_are_missing_do_not_make_an_open_batch_look_closed(first: Ledger, ops: str) -> None:
    first.begin(STREAM, {})
    table = StateTable(f"{ops}/streams", STREAMS)
    table.append([], handle=table.open(), transactions={f"epoch/{STREAM}": 2})

    with pytest.raises(Unproven) as found:
        first.stream(STREAM)

    assert (found.value.code, found.value.exit_code) == ("ledger_torn", ExitCode.BUG)
    assert found.value.facts == {"stream": STREAM, "epoch": 2, "rows": [1]}


def test_this_process_is_alive_and_a_killed_one_is_dead_even_unreaped() -> None:
    code = """
import json, sys
from dataclasses import asdict
from headwater.state.holder import Holder
print(json.dumps(asdict(Holder.current("child"))), flush=True)
sys.stdin.read()
"""
    env = os.environ | {"PYTHONPATH": str(Path(errors.__file__).parents[1])}
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert child.stdout is not None
    holder = Holder(**json.loads(child.stdout.readline()))

    alive = holder.is_dead_here()
    child.kill()
    # Waits for the end without reaping, as a supervisor that looks away would leave it.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    unreaped = holder.is_dead_here()
    child.communicate()

    assert not Holder.current("me").is_dead_here()
    assert (alive, unreaped, holder.is_dead_here()) == (False, True, True)


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        pytest.param({}, False, id="itself"),
        pytest.param({"started": "1"}, True, id="pid used again"),
        pytest.param({"pid": 2**22 + 1}, True, id="no such process"),
        pytest.param({"host": "elsewhere", "pid": 2**22 + 1}, False, id="another host"),
        pytest.param({"boot": "another", "pid": 2**22 + 1}, False, id="another boot or container"),
    ],
)
def test_only_a_process_of_this_host_and_boot_can_be_known_dead(change: dict[str, Any], *, dead: bool) -> None:
    assert replace(Holder.current("me"), **change).is_dead_here() is dead


def test_a_dead_process_of_this_host_is_not_waited_for(ops: str, clock: Clock, second: Ledger) -> None:
    gone = replace(Holder.current("gone"), started="1")
    intent = Ledger(ops, clock=clock, holder=gone).begin(STREAM, {})

    assert second.resume(intent).holder == second.holder
