"""The quarantine tables, read without a session."""

from collections import Counter

import pyarrow.compute as pc
from deltalake import DeltaTable as TableLog
from deltalake.exceptions import TableNotFoundError


def waiting_batches(location: str, at: int | None, reason: str) -> tuple[str, ...]:
    """Bronze batches that hold open records whose only reason is the given one.

    Args:
        location: the quarantine table of a source.
        at: its version; None when there is no table yet.
        reason: the reason records wait for to go away.
    """
    if at is None:
        return ()
    table = TableLog(location, version=at)
    rows = table.to_pyarrow_table(columns=["batch_id", "reasons"], filters=[("status", "=", "open")])
    alone = pc.equal(pc.binary_join(rows["reasons"], "|"), reason)
    return tuple(sorted(pc.unique(rows.filter(alone)["batch_id"]).to_pylist()))


def open_reasons(location: str) -> dict[str, int]:
    """Open records by reason, most frequent first; one with two reasons counts under both. None where no table is."""
    try:
        table = TableLog(location).to_pyarrow_table(columns=["reasons"], filters=[("status", "=", "open")])
    except TableNotFoundError:
        return {}
    found = Counter(pc.list_flatten(table["reasons"]).to_pylist())
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
