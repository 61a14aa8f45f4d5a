"""Folders of Parquet files that others write: what is in them now, and whether it still is later."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from headwater.config.base import Spec

# Schemes that mean the same to all three.
_REACHED = ("", "s3", "s3a")


class FileVersion(Spec):
    """A file as it was listed: by size and time of change, for nobody keeps versions of it."""

    path: str
    size: int
    modified_ns: int


def list_parquet(location: str) -> tuple[FileVersion, ...]:
    """The Parquet files of a folder and those below it, or the one file; names that begin with `_` or `.` are hidden.

    Returns:
        By path, relative to the folder; empty when there is none. Needs no session.
    """
    store, root = open_store(location)
    info = store.get_file_info(root)
    if info.type is pa_fs.FileType.File:
        return (FileVersion(path="", size=info.size, modified_ns=info.mtime_ns),)
    if info.type is pa_fs.FileType.NotFound:
        return ()
    below = store.get_file_info(pa_fs.FileSelector(root, recursive=True))
    found = {each.path.removeprefix(root).lstrip("/"): each for each in below if each.type is pa_fs.FileType.File}
    return tuple(
        FileVersion(path=path, size=each.size, modified_ns=each.mtime_ns)
        for path, each in sorted(found.items())
        if path.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in path.split("/"))
    )


def parquet_schema(location: str, file: FileVersion) -> pa.Schema:
    """The columns of a file; needs no session."""
    store, root = open_store(location)
    with store.open_input_file(f"{root}/{file.path}".rstrip("/")) as opened:
        return pq.read_schema(opened)


def read_parquet(spark: SparkSession, location: str, files: Sequence[FileVersion]) -> DataFrame:
    """Exactly these files, by the columns that they hold."""
    folder = location.rstrip("/")
    return spark.read.parquet(*(f"{folder}/{file.path}".rstrip("/") for file in files))


def open_store(location: str) -> tuple[pa_fs.FileSystem, str]:
    """The Arrow file system of a location, and what the location is called there; needs no session."""
    if "://" not in location:
        return pa_fs.LocalFileSystem(), location.rstrip("/")
    # Hadoop calls the scheme s3a, Arrow s3.
    store, root = pa_fs.FileSystem.from_uri(location.replace("s3a://", "s3://", 1))
    return store, root.rstrip("/")


def is_reached(location: str) -> bool:
    """Whether Arrow finds a location, here and in workers, as Spark and delta-rs do."""
    return urlsplit(location).scheme in _REACHED


def absolute(location: str) -> str:
    """A location as a worker finds it, who may be started in another folder."""
    return location if urlsplit(location).scheme else str(Path(location).absolute())


def name_in_store(location: str) -> str:
    """What errors of a worker call a location: without the scheme, whole; needs no store."""
    split = urlsplit(absolute(location))
    return f"{split.netloc}{split.path}".rstrip("/")


def create_file(location: str, path: str) -> pa.NativeFile:
    """Open a file of a location to be written, in folders that may have to be made."""
    store, root = open_store(location)
    if isinstance(store, pa_fs.LocalFileSystem):
        # Stores of objects know no folders, and would be given an object for each.
        store.create_dir(f"{root}/{path}".rpartition("/")[0], recursive=True)
    return store.open_output_stream(f"{root}/{path}")
