"""What changed in a table with a change data feed, by its commits.

A commit of a plain table says in which files its changes are: those of the feed where rows were updated or deleted in
place; else all rows of a file that came are new, and those of one that went are gone (Delta's protocol, "Change data
files"). Told these files, Spark needs no jobs to find them out.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any
from urllib.parse import unquote

from deltalake.exceptions import TableNotFoundError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.features.log import CHANGE
from headwater.tables.delta import read_changes, schema_of, version
from headwater.tables.files import is_few, is_plain
from headwater.tables.logs import log_of, logs_at_one_moment
from headwater.tables.parquet import is_reached, open_store


@dataclass(frozen=True, slots=True)
class ChangedFiles:
    """Files of some commits, by path below the table.

    Attributes:
        told: of the feed, where each row says what became of it.
        came: all rows are new.
        went: all rows are gone.
    """

    told: list[str] = field(default_factory=list)
    came: list[str] = field(default_factory=list)
    went: list[str] = field(default_factory=list)


def table_id(location: str) -> str | None:
    """What a table is known by for as long as it lives; None when there is none. A table made anew has another."""
    try:
        return str(log_of(location).metadata().id)
    except TableNotFoundError:
        return None


def only_adds(location: str, upto: int, *, after: int) -> bool:
    """Whether the versions after one, up to another, took no row back; False in doubt. Needs no session."""
    files = changed_files(location, upto, after=after)
    return files is not None and not files.told and not files.went


def newest_alike(location: str, at: int) -> int:
    """The newest version that surely has the rows of one: files may have been put together since. Needs no session."""
    now = version(location)
    if now is None or now <= at:
        return at
    files = changed_files(location, now, after=at)
    return at if files is None or files.told or files.came or files.went else now


def only_tell(location: str, upto: int, *, after: int) -> bool:
    """Whether the versions after one, up to another, change nothing: VACUUM notes that it began and ended."""
    commits = [_actions(location, each) for each in range(after + 1, upto + 1)]
    return bool(commits) and all(each is not None and not set().union(*each) - {"commitInfo"} for each in commits)


def changed_rows(spark: SparkSession, location: str, upto: int, *, after: int) -> DataFrame:
    """Row images of the versions after one, up to another: the columns of the table's files and `_change_type`."""
    with logs_at_one_moment():
        files = changed_files(location, upto, after=after)
        if files is None or not is_few([*files.told, *files.came, *files.went]):
            return read_changes(spark, location, upto, after=after)
        schema = schema_of(location, upto)
    told = T.StructType([*schema.fields, T.StructField(CHANGE, T.StringType())])
    parts = [_read(spark, location, files.told, told)] if files.told else []
    parts += [_read(spark, location, files.came, schema).withColumn(CHANGE, F.lit("insert"))] if files.came else []
    parts += [_read(spark, location, files.went, schema).withColumn(CHANGE, F.lit("delete"))] if files.went else []
    return reduce(DataFrame.unionByName, parts)


def changed_files(location: str, upto: int, *, after: int) -> ChangedFiles | None:
    """The files in which the changes of the versions after one, up to another, are. Needs no session.

    Returns:
        None where commits have been cleaned away, or rows are changed by other means than files.
    """
    if not is_reached(location) or not is_plain(log_of(location)):
        return None
    found = ChangedFiles()
    for each in range(after + 1, upto + 1):
        if (actions := _actions(location, each)) is None:
            return None
        if told := [unquote(each["path"]) for each in _of(actions, "cdc")]:
            found.told.extend(told)
            continue
        found.came.extend(unquote(each["path"]) for each in _of(actions, "add") if each["dataChange"])
        found.went.extend(unquote(each["path"]) for each in _of(actions, "remove") if each["dataChange"])
    return found


def _actions(location: str, at: int) -> list[dict[str, Any]] | None:
    """What a commit says; None when it has been cleaned away."""
    store, root = open_store(location)
    try:
        with store.open_input_stream(f"{root}/_delta_log/{at:020}.json") as opened:
            return [json.loads(line) for line in opened.read().decode().splitlines() if line.strip()]
    except FileNotFoundError:
        return None


def _of(actions: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (each[kind] for each in actions if kind in each)


def _read(spark: SparkSession, location: str, paths: list[str], schema: T.StructType) -> DataFrame:
    return spark.read.schema(schema).parquet(*(f"{location}/{path}" for path in paths)).select(*schema.names)
