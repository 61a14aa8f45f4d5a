"""Compare-and-set on the rows of a stream.

The state is read from one table handle, the decision is made on it, and the same handle appends the event with the app
transaction `epoch/<stream>`, which delta-rs refuses when any other event of that stream landed in between. So two
processes never begin, take over, renew or finish the same batch. Opening the table again between read and append, or
bringing the handle up to date, would accept a number that is already taken.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from deltalake import DeltaTable

from headwater.errors import WriterConflict
from headwater.state.streams import STREAMS, Event, StreamState, read_state
from headwater.state.table import StateTable, sql_text

Decision: TypeAlias = Callable[[StreamState], Event | None]

# Tries of one change. A second one follows a lost answer of the store or a change by the same holder elsewhere.
ATTEMPTS = 5


class Journal:
    """The table `streams`, changed one event at a time."""

    def __init__(self, location: str, *, storage_options: Mapping[str, str] | None = None) -> None:
        """Remember where the table is; nothing is opened."""
        self.table = StateTable(location, STREAMS, storage_options=storage_options)
        # The renewing thread and the working thread are one holder: they must not refuse each other.
        self._lock = threading.Lock()
        # What decisions are made on; nobody else may bring it up to date between a read and its append.
        self._writer: DeltaTable | None = None
        # What was read last: a plan asks for the same streams many times over, and most of them stand still.
        self._reading = threading.Lock()
        self._reader: DeltaTable | None = None
        self._known: dict[tuple[str, int], StreamState] = {}
        # While the table is looked at as it is at one moment: what was read of it then.
        self._moment: dict[tuple[str, int], StreamState] | None = None

    def read(self, name: str, *, since: int) -> StreamState:
        """Read batches `since` and later, and always the newest one; creates nothing."""
        with self._reading:
            if self._moment is not None and (name, since) in self._moment:
                return self._moment[name, since]
            handle = self._reader if self._moment is not None else self._newest_reader()
            if handle is None:
                return StreamState(name)
            known = self._known.get((name, since))
            if known is None or known.epoch != _epoch(handle, name):
                known = self._known[name, since] = self._read(handle, name, since, known)
            if self._moment is not None:
                self._moment[name, since] = known
            return known

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Inside, what is read is the table as it is now, whatever is appended meanwhile."""
        with self._reading:
            self._newest_reader()
            self._moment = {}
        try:
            yield
        finally:
            with self._reading:
                self._moment = None

    def advance(self, name: str, decide: Decision, *, since: int) -> StreamState:
        """Read, decide and append, again from the read until the append stands on what was read.

        Args:
            name: the stream.
            decide: raises if the change is not allowed, gives nothing if it is not needed.
            since: the oldest batch that the decision looks at.

        Raises:
            WriterConflict: refused every time although the decision stayed the same.
        """
        tried: set[str] = set()
        refusal: WriterConflict | None = None
        with self._lock:
            for _ in range(ATTEMPTS):
                # Kept only once it has served: one that failed is opened anew.
                kept, self._writer = self._writer, None
                handle = self.table.open() if kept is None else _updated(kept)
                state = self._read(handle, name, since)
                # A store may lose the answer of an append that landed; delta-rs then meets its own commit as a rival.
                event = None if state.last_event in tried else decide(state)
                if event is None:
                    self._writer = handle
                    return state
                try:
                    self._append(handle, state, event)
                except WriterConflict as refused:
                    tried.add(event.event_id)
                    refusal = refused
                else:
                    self._writer = handle
                    return state.after(event)
        raise WriterConflict(
            "ledger_busy",
            f"The ledger refused {ATTEMPTS} appends to stream {name}, though the stream did not move.",
            remedy="Run again; if it stays, look at the Delta log of the table streams.",
            facts={"stream": name, "attempts": ATTEMPTS},
        ) from refusal

    def _newest_reader(self) -> DeltaTable | None:
        kept, self._reader = self._reader, None
        self._reader = self.table.find() if kept is None else _updated(kept)
        return self._reader

    def _append(self, handle: DeltaTable, state: StreamState, event: Event) -> None:
        epoch = state.epoch + 1
        transactions = {_app_id("epoch", state.name): epoch}
        if event.kind in ("intent", "commit"):
            transactions[_app_id(event.kind, state.name)] = event.n
        self.table.append([event.row(state.name, epoch)], handle=handle, transactions=transactions)

    def _read(self, handle: DeltaTable, name: str, since: int, known: StreamState | None = None) -> StreamState:
        """Batches `since` and later; of a state that was read before, only what may have come to it."""
        # The numbers come from the log's app transactions, so that old rows need not be read to know them.
        epoch = _epoch(handle, name)
        if epoch == 0:
            return StreamState(name)
        last_n = handle.transaction_version(_app_id("intent", name)) or 0
        oldest = min(since, last_n)
        first = max(oldest, known.last_n) if known is not None and known.epoch < epoch else oldest
        predicate = f"stream = {sql_text(name)} and n >= {first}"
        state = read_state(name, self.table.rows(predicate, handle=handle), last_n=last_n, epoch=epoch)
        before = [each for each in known.commits if oldest <= each.n < first] if known is not None else []
        return replace(state, commits=(*before, *state.commits))


def _updated(handle: DeltaTable) -> DeltaTable:
    """The table as it is now: of its log only what is new is read."""
    handle.update_incremental()
    return handle


def _epoch(handle: DeltaTable, name: str) -> int:
    return handle.transaction_version(_app_id("epoch", name)) or 0


def _app_id(kind: str, stream: str) -> str:
    return f"{kind}/{stream}"
