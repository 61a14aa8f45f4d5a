"""The logs of Delta tables, opened to be asked and never to be written by.

A plan asks the same few tables many things, and each opening reads the log anew: some milliseconds on a disk, several
requests of a store of objects. At one moment, every table is opened once, and seen as it was then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deltalake import DeltaTable as TableLog

_OPENED: ContextVar[dict[str, TableLog] | None] = ContextVar("_OPENED", default=None)


@contextmanager
def logs_at_one_moment() -> Iterator[None]:
    """Let what this thread asks inside be asked of every table as it was when it was first asked."""
    if _OPENED.get() is not None:
        yield
        return
    token = _OPENED.set({})
    try:
        yield
    finally:
        _OPENED.reset(token)


def log_of(location: str, at: int | None = None) -> TableLog:
    """The log of a table, at a version or now; needs no session.

    Raises:
        TableNotFoundError: there is no table.
    """
    opened = _OPENED.get()
    if opened is None:
        return TableLog(location, version=at)
    if at is None and location not in opened:
        opened[location] = TableLog(location)
    newest = opened.get(location)
    if newest is not None and at in (None, newest.version()):
        return newest
    return TableLog(location, version=at)
