"""Which batch of a stream is whose: intents before work, commits after it, leases in between.

The rules. One batch of a stream is open at a time, and nothing new begins before it is finished. Only its holder may
finish it. A holder is believed alive until its lease runs out, unless it is a process of this host that is gone.
Each rule is decided on the newest state and stands or falls with the journal's compare-and-set.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta

from deltalake.exceptions import DeltaError

from headwater.errors import HeadwaterError
from headwater.state import conflicts
from headwater.state.holder import Holder
from headwater.state.journal import Journal
from headwater.state.lease import LeaseKeeper
from headwater.state.streams import Commit, Event, EventKind, Intent, Payload, StreamState
from headwater.state.table import StateTable

# Greater than any n: asks the journal for the newest batch alone.
NEWEST = 2**62


class Ledger:
    """The streams of one lake, seen by one holder."""

    def __init__(
        self,
        location: str,
        *,
        clock: Callable[[], datetime],
        holder: Holder,
        lease: timedelta = timedelta(seconds=60),
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        """Remember the place; nothing is opened or created until it is needed.

        Args:
            location: the ops folder, a local path or a URL; the ledger is its table `streams`.
            clock: current time with a zone; hosts that share a lake must agree on it to well within a lease.
            holder: who this process is.
            lease: how long others believe that the holder is alive after it last said so.
            storage_options: credentials and endpoint, as delta-rs names them.
        """
        self.holder = holder
        self._clock = clock
        self._lease = lease
        self._journal = Journal(f"{location.rstrip('/')}/streams", storage_options=storage_options)

    @property
    def tables(self) -> tuple[StateTable, ...]:
        """What upkeep compacts."""
        return (self._journal.table,)

    def stream(self, name: str, *, since: int = 0) -> StreamState:
        """Read a stream; a reader creates nothing.

        Args:
            name: the stream.
            since: leave out commits of batches below this n, which makes reading a long history cheap.
        """
        return self._journal.read(name, since=since)

    def at_one_moment(self) -> AbstractContextManager[None]:
        """Let all that is read inside be the ledger as it is now: a plan is made of one state."""
        return self._journal.at_one_moment()

    def begin(
        self, name: str, payload: Payload, *, table_version: int | None = None, last_n: int | None = None
    ) -> Intent:
        """Begin the next batch and hold it.

        Args:
            name: the stream.
            payload: everything that decides the batch, as JSON values.
            table_version: the app transaction version of this stream in the table it writes, so that a lost ledger
                cannot make numbers go back.
            last_n: `StreamState.last_n` that the payload was decided on; refused if the stream moved since.

        Raises:
            WriterConflict: a batch is open, or another process was first.
        """
        seen = self.stream(name, since=NEWEST).last_n if last_n is None else last_n
        n = max(seen, table_version or 0) + 1

        def decide(state: StreamState) -> Event:
            if state.open is not None:
                raise conflicts.held(state)
            if state.last_n != seen:
                raise conflicts.moved(state, seen)
            return self._event("intent", n, payload)

        return conflicts.opened(self._journal.advance(name, decide, since=seen))

    def begin_or_resume(
        self,
        name: str,
        decide_payload: Callable[[StreamState], Payload],
        *,
        table_version: int | None = None,
        since: int = 0,
    ) -> Intent:
        """Take over the open batch if there is one, else begin the next.

        Args:
            name: the stream.
            decide_payload: gives the payload of a new batch from the stream's state; not called on a takeover.
            table_version: as in `begin`.
            since: as in `stream`, for the state that the payload is decided on.

        Raises:
            WriterConflict: the open batch is held by a live process, or another process was first.
        """
        state = self.stream(name, since=since)
        if state.open is not None:
            return self.resume(state.open)
        return self.begin(name, decide_payload(state), table_version=table_version, last_n=state.last_n)

    def resume(self, intent: Intent) -> Intent:
        """Hold an open batch again: one's own, one whose lease ran out, or one of a dead process of this host.

        Raises:
            WriterConflict: its holder is alive, or the batch was finished meanwhile.
        """

        def decide(state: StreamState) -> Event:
            if not conflicts.is_open(state, intent):
                raise conflicts.closed(state, intent)
            if not self._may_take(state):
                raise conflicts.held(state)
            return self._event("takeover", intent.n)

        return conflicts.opened(self._journal.advance(intent.stream, decide, since=intent.n))

    def commit(self, intent: Intent, facts: Payload) -> Commit:
        """Declare the batch done.

        Raises:
            WriterConflict: the batch is no longer this holder's; whoever took it over finishes it.
        """

        def decide(state: StreamState) -> Event:
            self._require_held(state, intent)
            return self._event("commit", intent.n, facts)

        return self._journal.advance(intent.stream, decide, since=intent.n).commits[-1]

    def renew(self, intent: Intent) -> None:
        """Say that the holder is alive; of no effect once it has committed the batch.

        Raises:
            WriterConflict: the batch was taken over.
        """
        self._extend(intent, self._lease)

    @contextmanager
    def holding(self, intent: Intent) -> Iterator[LeaseKeeper]:
        """Keep the lease while the body works; a body that fails gives the batch free for its retry at once.

        Yields:
            The keeper, whose `verify` tells a long body early that its lease is lost.

        Raises:
            WriterConflict: on exit, if the batch was taken over.
        """
        keeper = LeaseKeeper(lambda: self.renew(intent), every=self._lease / 3)
        keeper.start()
        try:
            yield keeper
        except BaseException:
            keeper.stop()
            # The body's error is the story; a lease that cannot be given back runs out by itself.
            with suppress(HeadwaterError, DeltaError, OSError):
                self._extend(intent, timedelta(0))
            raise
        keeper.stop()
        keeper.verify()

    def _extend(self, intent: Intent, lease: timedelta) -> None:
        def decide(state: StreamState) -> Event | None:
            if conflicts.is_done_by(state, intent, self.holder):
                return None
            self._require_held(state, intent)
            return self._event("lease", intent.n, lease=lease)

        self._journal.advance(intent.stream, decide, since=intent.n)

    def _event(self, kind: EventKind, n: int, body: Payload | None = None, *, lease: timedelta | None = None) -> Event:
        now = self._clock()
        until = None if kind == "commit" else now + (self._lease if lease is None else lease)
        return Event(kind, n, body or {}, self.holder, now, until)

    def _may_take(self, state: StreamState) -> bool:
        holder = conflicts.opened(state).holder
        expired = state.lease_until is not None and state.lease_until <= self._clock()
        return holder == self.holder or expired or holder.is_dead_here()

    def _require_held(self, state: StreamState, intent: Intent) -> None:
        if not conflicts.is_open(state, intent):
            raise conflicts.closed(state, intent)
        if conflicts.opened(state).holder != self.holder:
            raise conflicts.held(state)
