"""What a stream's rows mean: event rows in, the state of the stream out. Pure; the ledger does the reading and writing.

One row per event, numbered by `epoch` within its stream:

    epoch  kind      n   holder  body      lease_until
    1      intent    1   A       payload   10:01        A began batch 1 ...
    2      lease     1   A                 10:02        ... worked on it longer than a lease ...
    3      takeover  1   B                 10:05        ... and died; B finishes it, deciding from A's payload
    4      commit    1   B       facts                  done
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, assert_never
from uuid import uuid4

import pyarrow as pa

from headwater.config.base import JsonValue
from headwater.errors import Unproven
from headwater.state.holder import Holder
from headwater.state.table import TIMESTAMP

Payload: TypeAlias = Mapping[str, JsonValue]
EventKind: TypeAlias = Literal["intent", "lease", "takeover", "commit"]

STREAMS = pa.schema(
    [
        ("stream", pa.string()),
        ("n", pa.int64()),
        ("epoch", pa.int64()),
        ("kind", pa.string()),
        ("body", pa.string()),
        ("lease_until", TIMESTAMP),
        ("at", TIMESTAMP),
        ("host", pa.string()),
        ("pid", pa.int64()),
        ("boot", pa.string()),
        ("started", pa.string()),
        ("run_id", pa.string()),
        ("event_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Intent:
    """A batch that was begun and is not done.

    Attributes:
        payload: everything that decides the batch; a retry looks at nothing else.
        holder: who works on it now.
        run_id: the run that began it.
        resumed: an earlier attempt may already have written some of it.
    """

    stream: str
    n: int
    payload: Payload
    holder: Holder
    run_id: str
    created_at: datetime
    resumed: bool = False

    @property
    def batch_id(self) -> str:
        """Name of the batch in every write it causes."""
        return f"{self.stream}#{self.n}"


@dataclass(frozen=True, slots=True)
class Commit:
    """A batch that is done: its intent's payload and the facts of the work."""

    stream: str
    n: int
    payload: Payload
    facts: Payload
    holder: Holder
    committed_at: datetime

    @property
    def batch_id(self) -> str:
        """Name of the batch in every write it caused."""
        return f"{self.stream}#{self.n}"

    @property
    def run_id(self) -> str:
        """The run that finished it, not always the one that began it."""
        return self.holder.run_id


@dataclass(frozen=True, slots=True)
class Event:
    """One row to be: what a holder does to a stream. `event_id` tells an own append that landed from a foreign one."""

    kind: EventKind
    n: int
    body: Payload
    holder: Holder
    at: datetime
    lease_until: datetime | None
    event_id: str = field(default_factory=lambda: uuid4().hex)

    def row(self, stream: str, epoch: int) -> dict[str, Any]:
        """Lay the event out in the columns of `STREAMS`."""
        return {
            "stream": stream,
            "n": self.n,
            "epoch": epoch,
            "kind": self.kind,
            "body": json.dumps(self.body, sort_keys=True, allow_nan=False),
            "lease_until": self.lease_until,
            "at": self.at,
            "host": self.holder.host,
            "pid": self.holder.pid,
            "boot": self.holder.boot,
            "started": self.holder.started,
            "run_id": self.holder.run_id,
            "event_id": self.event_id,
        }

    @staticmethod
    def of(row: Mapping[str, Any]) -> "Event":
        """Read a row back."""
        holder = Holder(row["host"], row["pid"], row["boot"], row["started"], row["run_id"])
        lease_until = row["lease_until"] and row["lease_until"].astimezone(UTC)
        at = row["at"].astimezone(UTC)
        return Event(row["kind"], row["n"], json.loads(row["body"]), holder, at, lease_until, row["event_id"])


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream at one version of the ledger.

    Attributes:
        commits: done batches in order of n, from the n that was asked for.
        open: the batch that must be finished before another begins.
        last_n: the greatest n ever begun; 0 for none.
        epoch: the number of the newest event.
        lease_until: end of the open batch's lease; until then its holder counts as alive.
        last_event: id of the newest event.
    """

    name: str
    commits: tuple[Commit, ...] = ()
    open: Intent | None = None
    last_n: int = 0
    epoch: int = 0
    lease_until: datetime | None = None
    last_event: str = ""

    def after(self, event: Event) -> "StreamState":
        """Apply the next event; the order of the kinds is what `Ledger` guarantees."""
        moved = replace(self, epoch=self.epoch + 1, last_event=event.event_id, lease_until=event.lease_until)
        match event.kind:
            case "intent":
                opened = Intent(self.name, event.n, event.body, event.holder, event.holder.run_id, event.at)
                return replace(moved, open=opened, last_n=event.n)
            case "lease":
                return moved
            case "takeover":
                return replace(moved, open=replace(self._begun(event), holder=event.holder, resumed=True))
            case "commit":
                payload = self._begun(event).payload
                done = Commit(self.name, event.n, payload, event.body, event.holder, event.at)
                return replace(moved, open=None, commits=(*self.commits, done))
            case _:
                assert_never(event.kind)

    def _begun(self, event: Event) -> Intent:
        if self.open is None or self.open.n != event.n:
            raise ValueError(f"{event.kind} of {self.name}#{event.n} without its intent")
        return self.open


def read_state(name: str, rows: Sequence[Mapping[str, Any]], *, last_n: int, epoch: int) -> StreamState:
    """Fold a stream's rows, whole batches from some n on.

    Args:
        name: the stream.
        rows: its rows in any order, the newest batch always among them.
        last_n: its greatest n, as the log's app transactions have it.
        epoch: the number of its newest event, as the log's app transactions have it.

    Raises:
        Unproven: rows are missing, so an open batch could look closed.
    """
    ordered = sorted(rows, key=lambda row: int(row["epoch"]))
    found = [int(row["epoch"]) for row in ordered]
    if found != list(range(epoch - len(found) + 1, epoch + 1)) or (epoch > 0 and not found):
        raise Unproven(
            "ledger_torn",
            f"The ledger's log counts {epoch} events of stream {name}, but its rows do not end there without a gap.",
            remedy="The table streams was changed by hand: bring its rows back, or drop the table to start anew.",
            facts={"stream": name, "epoch": epoch, "rows": found[-5:]},
        )
    state = StreamState(name, epoch=epoch - len(ordered))
    for row in ordered:
        state = state.after(Event.of(row))
    return replace(state, last_n=last_n)
