"""Keeps the ops tables quick to read. Part of the maintenance job, never of a pipeline run."""

from headwater.state.ledger import NEWEST, Ledger
from headwater.state.runs import RunLog
from headwater.state.streams import Commit

STREAM = "ops/compaction"


def compact_state(ledger: Ledger, log: RunLog) -> Commit:
    """Compact the scattered ops tables, held as a batch of its own because two compactions at once double the rows.

    Raises:
        WriterConflict: another process is compacting.
    """
    intent = ledger.begin_or_resume(STREAM, lambda _: {}, since=NEWEST)
    rewritten: list[str] = []
    with ledger.holding(intent) as lease:
        for table in (*ledger.tables, *log.tables):
            lease.verify()
            if table.compact_if_scattered():
                rewritten.append(table.location)
        return ledger.commit(intent, {"rewritten": rewritten})
