"""Renews a lease beside the work, so that work may last as long as it likes and a dead holder is found out soon."""

import threading
from collections.abc import Callable
from datetime import timedelta

from deltalake.exceptions import DeltaError

from headwater.errors import WriterConflict


class LeaseKeeper:
    """A thread that renews until it is stopped or the lease is lost."""

    def __init__(self, renew: Callable[[], None], *, every: timedelta) -> None:
        """Prepare the thread.

        Args:
            renew: extends the lease; raises `WriterConflict` when it belongs to someone else.
            every: pause between renewals.
        """
        self._renew = renew
        self._every = every.total_seconds()
        self._stopped = threading.Event()
        self._lost: WriterConflict | None = None
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def start(self) -> None:
        """Begin to renew; the first renewal comes one pause later, so short work writes no lease rows."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for a renewal under way."""
        self._stopped.set()
        self._thread.join()

    def verify(self) -> None:
        """Raise if the lease is known to be lost.

        Raises:
            WriterConflict: another holder has the batch.
        """
        if self._lost is not None:
            raise self._lost

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._renew()
            except WriterConflict as lost:
                self._lost = lost
                return
            except (DeltaError, OSError):
                # The store is away for a moment: the next turn tries again, and commit asks the ledger anyway.
                continue
