"""What a process is told when a stream is not its own: who has it, since when, and what to do."""

from headwater.errors import Unproven, WriterConflict
from headwater.state.holder import Holder
from headwater.state.streams import Intent, StreamState


def is_open(state: StreamState, intent: Intent) -> bool:
    """Tell whether the intent is still to be finished."""
    return state.open is not None and state.open.n == intent.n


def is_done_by(state: StreamState, intent: Intent, holder: Holder) -> bool:
    """Tell whether the holder itself committed the intent."""
    return any(commit.n == intent.n and commit.holder == holder for commit in state.commits)


def opened(state: StreamState) -> Intent:
    """Give the open intent of a stream that must have one."""
    if state.open is None:
        raise Unproven("intent_missing", f"Stream {state.name} has no open batch at epoch {state.epoch}.")
    return state.open


def held(state: StreamState) -> WriterConflict:
    """Say that a live holder has the open batch."""
    intent, until = opened(state), state.lease_until
    return WriterConflict(
        "stream_held",
        f"{intent.batch_id} is held by {intent.holder}, begun {intent.created_at:%Y-%m-%d %H:%M:%S} UTC.",
        remedy=f"Let it end and run again; if its process is gone, it can be taken over after {until}.",
        facts={
            "stream": intent.stream,
            "n": intent.n,
            "host": intent.holder.host,
            "pid": intent.holder.pid,
            "run_id": intent.holder.run_id,
            "since": intent.created_at.isoformat(),
            "lease_until": until.isoformat() if until else None,
        },
    )


def moved(state: StreamState, seen: int) -> WriterConflict:
    """Say that batches were begun and finished since the plan looked."""
    last = state.commits[-1] if state.commits else None
    return WriterConflict(
        "stream_moved",
        f"Stream {state.name} went from batch {seen} to {state.last_n}"
        + (f", finished by {last.holder}." if last else "."),
        remedy="Run again: the next plan starts from the newest batch.",
        facts={"stream": state.name, "seen": seen, "n": state.last_n} | _by(last.holder if last else None),
    )


def closed(state: StreamState, intent: Intent) -> WriterConflict:
    """Say that the batch was finished by someone else."""
    done = next((commit for commit in state.commits if commit.n == intent.n), None)
    holder = done.holder if done else state.open.holder if state.open else None
    return WriterConflict(
        "batch_closed",
        f"{intent.batch_id} is already done" + (f", finished by {holder}." if holder else "."),
        remedy="Nothing is lost: run again to see what is left to do.",
        facts={"stream": intent.stream, "n": intent.n} | _by(holder),
    )


def _by(holder: Holder | None) -> dict[str, object]:
    return {} if holder is None else {"host": holder.host, "pid": holder.pid, "run_id": holder.run_id}
