"""The quarantine tables, read without a session."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable as TableLog
from deltalake.exceptions import TableNotFoundError

_COLUMNS = ("id", "batch_id", "reasons", "preview", "quarantined_at")
_ORDER = [("elsewhere", "ascending"), ("quarantined_at", "descending"), ("id", "ascending")]


@dataclass(frozen=True, slots=True)
class MaskedRecord:
    """An open record; `fields` is its masked preview, None for one that does not parse."""

    id: str
    quarantined_at: datetime
    fields: Mapping[str, str] | None


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


def open_reasons(location: str, batch: str | None = None) -> dict[str, int]:
    """Open records by reason, most frequent first; one with two reasons counts under both. None where no table is.

    Args:
        location: a quarantine table.
        batch: counts only the records of this batch.
    """
    wanted = [("status", "=", "open"), *([("batch_id", "=", batch)] if batch else [])]
    try:
        table = TableLog(location).to_pyarrow_table(columns=["reasons"], filters=wanted)
    except TableNotFoundError:
        return {}
    found = Counter(pc.list_flatten(table["reasons"]).to_pylist())
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def masked_examples(location: str, batches: Collection[str], *, at_most: int) -> dict[str, tuple[MaskedRecord, ...]]:
    """A few open records per reason: those of the given batches first, then the newest, by smallest id among equals.

    The table is read in batches of rows, of which only the best per reason are kept: memory is bounded by a batch and
    by the number of reasons, however many records wait.

    Args:
        location: a quarantine table; where there is none there are no examples.
        batches: ids of bronze batches whose records are preferred.
        at_most: records per reason.
    """
    try:
        whole = TableLog(location).to_pyarrow_dataset()
    except TableNotFoundError:
        return {}
    is_open = ds.field("status") == "open"
    stream = whole.to_batches(columns=list(_COLUMNS), filter=is_open, batch_readahead=1, fragment_readahead=1)
    best: dict[str, pa.Table] = {}
    for each in stream:
        lines = _by_reason(each, batches)
        for reason in pc.unique(lines["reason"]).to_pylist():
            found = lines.filter(pc.equal(lines["reason"], reason))
            together = pa.concat_tables([best[reason], found]) if reason in best else found
            best[reason] = together.sort_by(_ORDER).slice(0, at_most)
    return {reason: tuple(map(_record, found.to_pylist())) for reason, found in sorted(best.items())}


def _by_reason(records: pa.RecordBatch, batches: Collection[str]) -> pa.Table:
    """A line per record and reason; `elsewhere` tells records of other batches."""
    lines = pa.Table.from_batches([records.take(pc.list_parent_indices(records["reasons"]))])
    elsewhere = pc.invert(pc.is_in(lines["batch_id"], value_set=pa.array(list(batches), pa.string())))
    lines = lines.drop_columns(["batch_id", "reasons"]).append_column("elsewhere", elsewhere)
    return lines.append_column("reason", pc.list_flatten(records["reasons"]))


def _record(line: Mapping[str, Any]) -> MaskedRecord:
    preview = line["preview"]
    return MaskedRecord(line["id"], line["quarantined_at"], None if preview is None else json.loads(preview))
