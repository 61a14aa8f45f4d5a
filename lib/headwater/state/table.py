"""A small append-only Delta table, read and written through delta-rs: no JVM, about ten milliseconds a call.

Many processes append at once. delta-rs puts a commit that lost the race for a version on top of the winner, unless
both carry the same app transaction: then it refuses. That refusal is all the locking the ledger has.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from headwater.errors import WriterConflict

Row = Mapping[str, Any]
TIMESTAMP = pa.timestamp("us", tz="UTC")

# A commit meets every commit that landed since its read, one retry each: far more than writers of one lake.
COMMIT_RETRIES = 200
# Each append leaves a file and a read opens them one by one (0.7 ms on a disk, more on S3).
SCATTERED_FILES = 32


def sql_text(value: str) -> str:
    """Quote a value as a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


class StateTable:
    """One append-only table at a path or URL; created by the first writer, empty for readers until then."""

    def __init__(self, location: str, schema: pa.Schema, *, storage_options: Mapping[str, str] | None = None) -> None:
        """Remember where the table is; nothing is opened.

        Args:
            location: local path or URL of the table itself.
            schema: columns of every row.
            storage_options: credentials and endpoint, as delta-rs names them.
        """
        self.location = location
        self._schema = schema
        self._storage = dict(storage_options or {})

    def find(self) -> DeltaTable | None:
        """Open the newest version, or nothing when no one has written yet."""
        try:
            return DeltaTable(self.location, storage_options=self._storage)
        except TableNotFoundError:
            return None

    def open(self) -> DeltaTable:
        """Open the newest version, creating the table if this is the first write.

        Of two processes that create at once one is refused; it then finds the other's table.
        """
        return self.find() or self._create()

    def rows(self, predicate: str | None = None, *, handle: DeltaTable | None = None) -> list[dict[str, Any]]:
        """Read rows of the handle's version (default: the newest), skipping files that cannot match.

        Equal rows are one row: two compactions at once write every row twice (see `compact_if_scattered`).
        """
        table = handle or self.find()
        found = [] if table is None else pa.table(table.scan(predicate=predicate)).to_pylist()
        return list({tuple(row.values()): row for row in found}.values())

    def append(self, rows: Sequence[Row], *, handle: DeltaTable, transactions: Mapping[str, int] | None = None) -> None:
        """Append rows as one commit on top of what the handle read.

        Args:
            rows: one mapping per row; absent columns are null.
            handle: decides which commits count as concurrent; never reload it between the read and this call.
            transactions: app transactions to take; if any was taken since the handle read, nothing is written.

        Raises:
            WriterConflict: another commit took one of the transactions.
        """
        taken = [Transaction(app_id, version) for app_id, version in (transactions or {}).items()]
        properties = CommitProperties(app_transactions=taken, max_commit_retries=COMMIT_RETRIES)
        batch = pa.Table.from_pylist([dict(row) for row in rows], schema=self._schema)
        try:
            write_deltalake(handle, batch, mode="append", commit_properties=properties)
        except CommitFailedError as refused:
            raise WriterConflict(
                "state_commit_refused",
                f"Another process wrote to {self.location} first.",
                remedy="Run again: the newest state decides what is left to do.",
                facts={"table": self.location, "transactions": dict(transactions or {}), "cause": str(refused)},
            ) from refused

    def compact_if_scattered(self) -> bool:
        """Rewrite many small files as one and delete files that no version of the last week needs.

        One process at a time: delta-rs lets two compactions of the same files both commit. Appends may go on.

        Returns:
            Whether there was anything to rewrite.
        """
        table = self.find()
        if table is None or len(table.file_uris()) < SCATTERED_FILES:
            return False
        table.optimize.compact()
        table.vacuum(dry_run=False)
        return True

    def _create(self) -> DeltaTable:
        if "://" not in self.location:
            Path(self.location).mkdir(parents=True, exist_ok=True)
        try:
            return DeltaTable.create(
                self.location,
                Schema.from_arrow(self._schema),
                configuration={"delta.appendOnly": "true"},
                storage_options=self._storage,
                # By default delta-rs puts a second creation on top of the first, which refuses appends in between.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError:
            existing = self.find()
            if existing is None:
                raise
            return existing
