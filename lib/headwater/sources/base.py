"""What every source can do, and the values in which a batch's extent is agreed on.

An extent is decided before anything is read and is kept in the batch's intent; reading the same extent again gives
the same batch, as far as the source still holds it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias, assert_never

from pydantic import SecretStr
from pyspark.sql import DataFrame, SparkSession

Clock: TypeAlias = Callable[[], datetime]
Secrets: TypeAlias = Callable[[str, str], SecretStr]

CONNECT_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Window:
    """Rows whose watermark is in (lo, hi], and those without a usable watermark, which belong to every window.

    Attributes:
        lo: None means from the beginning.
        hi: the source's time less its settle delay.
    """

    lo: datetime | None
    hi: datetime


@dataclass(frozen=True, slots=True)
class FileObject:
    """One object as listed; key, ETag and size are its identity."""

    key: str
    etag: str
    size: int
    last_modified: datetime

    @property
    def identity(self) -> tuple[str, str, int]:
        """What makes it the same object: not its time, which a copy of equal content changes."""
        return (self.key, self.etag, self.size)


@dataclass(frozen=True, slots=True)
class FileList:
    """The objects of a batch and the instant of their listing."""

    objects: tuple[FileObject, ...]
    instant: datetime


Extent: TypeAlias = Window | FileList


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a read gave.

    Attributes:
        frame: the records; readable while the read's context is open.
        counted: the source's own count of the extent in the same snapshot; None where it has no snapshot.
        extent: what was really read, and therefore what may be committed.
        facts: counts worth a log line, such as keys that were passed over.
    """

    frame: DataFrame
    counted: int | None
    extent: Extent
    facts: Mapping[str, int] = field(default_factory=dict)


class Source(Protocol):
    """Something that records are read from."""

    @property
    def name(self) -> str:
        """Name of the source in `conf/`."""
        ...

    def extent(self, previous: Sequence[Extent]) -> Extent | None:
        """What the next batch would read; looks, but changes nothing.

        Args:
            previous: extents of the committed batches.

        Returns:
            None when there is nothing new (files only; a window may always hold something).

        Raises:
            SourceUnavailable: it did not answer, after every attempt.
            ConfigError: credentials, table, collection, bucket or column are wrong.
        """
        ...

    def read(self, spark: SparkSession, extent: Extent) -> AbstractContextManager[Extraction]:
        """Open the extent for reading; the frame can be read as long as the context is open.

        Raises:
            SourceUnavailable: it did not answer, after every attempt.
            ConfigError: credentials, table, collection, bucket or column are wrong.
            DataRejected: the records do not have the declared form.
        """
        ...


def next_window(previous: Sequence[Extent], hi: datetime, *, watermark: str | None) -> Window:
    """The window after the committed ones; a clock that went back gives an empty one, never a lower `hi`."""
    done = [extent.hi for extent in previous if isinstance(extent, Window)]
    if watermark is None or not done:
        return Window(None, hi)
    return Window(max(done), max(hi, *done))


def settled(now: datetime, settle_seconds: int) -> datetime:
    """The latest instant whose writes are all visible by now."""
    return (now - timedelta(seconds=settle_seconds)).astimezone(UTC)


def expect_window(extent: Extent) -> Window:
    """Refuse a list of files where a window is meant: the ledger would have mixed up two sources."""
    if not isinstance(extent, Window):
        message = "this source reads windows, not files"
        raise TypeError(message)
    return extent


def extent_to_json(extent: Extent) -> str:
    """Write an extent without loss; equal extents give equal text."""
    match extent:
        case Window(lo, hi):
            body: dict[str, object] = {"kind": "window", "lo": instant_text(lo) if lo else None, "hi": instant_text(hi)}
        case FileList(objects, instant):
            listed = [[each.key, each.etag, each.size, instant_text(each.last_modified)] for each in objects]
            body = {"kind": "files", "instant": instant_text(instant), "objects": listed}
        case _:
            assert_never(extent)
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def extent_from_json(text: str) -> Extent:
    """Read what `extent_to_json` wrote."""
    body = json.loads(text)
    if body["kind"] == "window":
        lo = body["lo"]
        return Window(datetime.fromisoformat(lo) if lo else None, datetime.fromisoformat(body["hi"]))
    objects = (FileObject(key, etag, size, datetime.fromisoformat(at)) for key, etag, size, at in body["objects"])
    return FileList(tuple(objects), datetime.fromisoformat(body["instant"]))


def instant_text(instant: datetime) -> str:
    """ISO 8601 in UTC with microseconds: of one length, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
