"""CSV objects in a bucket: new ones are found by key, ETag and size, so that a replaced object is read again.

A bucket has no snapshot. What was listed is compared with a second listing after the read, and the rows of objects
that changed in between are left out; those objects are new to the next batch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from py4j.protocol import Py4JError
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.sources import FilesSource, S3Connection
from headwater.errors import ConfigError, HeadwaterError, Unproven
from headwater.retry import RetryPolicy
from headwater.sources.base import Clock, Extent, Extraction, FileList, FileObject, Secrets, instant_text
from headwater.sources.bucket import Bucket, hadoop_settings
from headwater.sources.failures import reading, unavailable
from headwater.sources.lines import CORRUPT, SOURCE_FILE, check_header, read_lines, split_fields

LAST_MODIFIED = "last_modified"
_IDENTITY = ("endpoint", "access.key", "secret.key")


@dataclass(frozen=True, slots=True)
class _Listing:
    """The objects whose key fits the pattern, and how many others there are."""

    objects: tuple[FileObject, ...]
    ignored: int
    instant: datetime


@dataclass(frozen=True, slots=True)
class _Read:
    """A materialised read: its rows, what it set out to read, and what is still as it was."""

    frame: DataFrame
    attempted: FileList
    unchanged: FileList
    ignored: int


@dataclass(frozen=True, slots=True)
class S3Files:
    """CSV objects under a prefix."""

    spec: FilesSource
    connection: S3Connection
    secrets: Secrets
    clock: Clock | None
    policy: RetryPolicy

    @property
    def name(self) -> str:
        """Name of the source in `conf/`."""
        return self.spec.name

    def extent(self, previous: Sequence[Extent]) -> FileList | None:
        """The objects that are not what committed batches last read under their keys; None when there are none."""
        listing = self.policy.call(self._list)
        files = (extent for extent in previous if isinstance(extent, FileList))
        last = {each.key: each.identity for extent in files for each in extent.objects}
        new = tuple(each for each in listing.objects if last.get(each.key) != each.identity)
        return FileList(new, listing.instant) if new else None

    @contextmanager
    def read(self, spark: SparkSession, extent: Extent) -> Iterator[Extraction]:
        """Read the listed objects once, to disk, and keep the rows of those that did not change meanwhile."""
        if not isinstance(extent, FileList):
            message = "this source reads files, not windows"
            raise TypeError(message)
        done = self.policy.call(lambda: self._materialise(spark, extent))
        changed = [each.key for each in done.attempted.objects if each not in done.unchanged.objects]
        frame = done.frame.where(~F.col(SOURCE_FILE).isin(changed)) if changed else done.frame
        facts = {
            "ignored_keys": done.ignored,
            "changed_objects": len(extent.objects) - len(done.unchanged.objects),
            "read_objects": len(done.unchanged.objects),
        }
        try:
            yield Extraction(frame, None, done.unchanged, facts)
        finally:
            done.frame.unpersist()

    def _materialise(self, spark: SparkSession, files: FileList) -> _Read:
        """List, check headers, read all rows to disk, list again.

        Raises:
            SourceUnavailable: also when the read failed because an object changed under it: worth another attempt.
        """
        attempted, _ = self._still_there(files)
        attempted = self._with_declared_header(attempted)
        frame = self._frame(spark, attempted.objects).persist(StorageLevel.DISK_ONLY)
        try:
            with reading(self.name):
                frame.count()
            unchanged, ignored = self._still_there(attempted)
        except (HeadwaterError, Py4JError, PySparkException):
            frame.unpersist()
            if self._still_there(attempted)[0] != attempted:
                raise unavailable(self.name, self._bucket().where, "an object changed while it was read") from None
            raise
        return _Read(frame, attempted, unchanged, ignored)

    def _still_there(self, files: FileList) -> tuple[FileList, int]:
        listing = self._list()
        present = {each.identity for each in listing.objects}
        kept = tuple(each for each in files.objects if each.identity in present)
        return FileList(kept, files.instant), listing.ignored

    def _with_declared_header(self, files: FileList) -> FileList:
        """Check every header; an object that changed since it was listed drops out."""
        kept = []
        for each, first in zip(files.objects, self._bucket().first_lines(files.objects), strict=True):
            if first is not None:
                check_header(each.key, first, self.spec.columns, self.name)
                kept.append(each)
        return FileList(tuple(kept), files.instant)

    def _frame(self, spark: SparkSession, objects: Sequence[FileObject]) -> DataFrame:
        listed = (SOURCE_FILE, *self.spec.key_columns, LAST_MODIFIED)
        names = (*self.spec.columns, *self.spec.key_columns, LAST_MODIFIED, CORRUPT, SOURCE_FILE)
        if not objects:
            return spark.createDataFrame([], ", ".join(f"`{name}` string" for name in names))
        root = f"s3a://{self.connection.bucket}/"
        settings = hadoop_settings(self.connection, name=self.spec.connection, secrets=self.secrets)
        with reading(self.name):
            self._forget_another_server(spark, settings)
            lines = read_lines(spark, [root + each.key for each in objects], self.spec.columns, settings)
            opened = {unquote(path).removeprefix(root) for path in lines.inputFiles()}
        if opened != {each.key for each in objects}:
            missing = sorted({each.key for each in objects} ^ opened)
            message = f"Source {self.name}: Spark would not read exactly the listed objects: {', '.join(missing[:5])}."
            raise Unproven("unread_objects", message, facts={"source": self.name, "keys": missing})
        keyed = lines.withColumn(SOURCE_FILE, F.expr(f"substring(path, {len(root) + 1})")).drop("path")
        facts = [(each.key, *self._groups(each.key), instant_text(each.last_modified)) for each in objects]
        known = spark.createDataFrame(facts, ", ".join(f"`{name}` string" for name in listed))
        return split_fields(keyed, self.spec.columns).join(F.broadcast(known), SOURCE_FILE, how="inner").select(*names)

    def _forget_another_server(self, spark: SparkSession, settings: Mapping[str, str]) -> None:
        """Hadoop keeps one file system per bucket name, whatever endpoint and keys it was opened with, for ever.

        A bucket of the same name elsewhere, or new keys, would be read through the old one without a word.

        Raises:
            ConfigError: the workers of a cluster hold theirs, and nobody can make them forget.
        """
        jvm: Any = spark._jvm  # noqa: SLF001 -- no public way
        conf = spark._jsparkSession.sessionState().newHadoopConf()  # noqa: SLF001 -- as above
        for name, value in settings.items():
            conf.set(name, value)
        kept = jvm.org.apache.hadoop.fs.FileSystem.get(jvm.java.net.URI(f"s3a://{self.connection.bucket}/"), conf)
        prefix = f"fs.s3a.bucket.{self.connection.bucket}."
        wanted = {name: settings[prefix + name] for name in _IDENTITY if prefix + name in settings}
        if all(kept.getConf().get(f"fs.s3a.{name}") == value for name, value in wanted.items()):
            return
        if not str(spark.sparkContext.master).startswith("local["):
            path = f"connections.{self.spec.connection}"
            message = f"{path}: this Spark application opened a bucket {self.connection.bucket!r} by other settings."
            remedy = "Start a new Spark application for it."
            raise ConfigError("bucket_opened_before", message, remedy=remedy, facts={"path": path})
        kept.close()

    def _groups(self, key: str) -> tuple[str | None, ...]:
        found = re.search(self.spec.pattern, key)
        return tuple(found[name] for name in self.spec.key_columns) if found else ()

    def _list(self) -> _Listing:
        objects, began = self._bucket().list_objects(self.spec.prefix)
        fitting = tuple(each for each in objects if re.search(self.spec.pattern, each.key))
        for each in fitting:
            self._require_readable(each.key)
        return _Listing(fitting, len(objects) - len(fitting), self.clock() if self.clock else began)

    def _require_readable(self, key: str) -> None:
        """Refuse a key that Spark passes over in silence or cannot name as a path."""
        base = key.rpartition("/")[2]
        if base.startswith((".", "_")) or "//" in key or key.startswith("/") or base in ("", "."):
            path = f"sources.{self.name}.pattern"
            message = f"{path}: the key {key!r} fits, but Spark reads no name that begins with '_' or '.', and no '//'."
            remedy = "Rename the object or narrow the pattern."
            raise ConfigError("unreadable_key", message, remedy=remedy, facts={"path": path, "key": key})

    def _bucket(self) -> Bucket:
        return Bucket(self.name, self.spec.connection, self.connection, self.secrets)
