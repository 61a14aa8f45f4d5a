"""The table of checkpoints: a file per day and bucket, read by the worker of the bucket and by nobody else.

Of the newest days every one is kept, for the next run goes on from there, and one after a run that was refused, or
degraded, from the day before; of older ones a month's last day, for repairs. The table is made, and only ever written,
by delta-rs, so it stays one of plain files.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable as TableLog
from deltalake import Schema
from deltalake.exceptions import TableNotFoundError
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from headwater.features.checkpoints import BUCKET, DAY, PLACE, STAGE
from headwater.tables.logs import log_of
from headwater.tables.parquet import absolute
from headwater.tables.readers import BucketFiles
from headwater.tables.staging import KeptBeside
from headwater.tables.workers import Target

_NEWEST = 7


def kept_days(location: str) -> dict[date, int]:
    """The days that there are checkpoints of, and the stage batch that kept each; needs no session."""
    try:
        return {each[DAY]: each[STAGE] for each in _files(log_of(location))}
    except TableNotFoundError:
        return {}


def open_checkpoint(location: str, at: int, day: date, buckets: int, kept: int, schema: T.StructType) -> BucketFiles:
    """The checkpoint of a day, of a version of the table, for the workers of so many buckets.

    Args:
        location: of the table.
        at: version.
        day: whose.
        buckets: how many workers there are.
        kept: how many of them have a file to themselves: all, or as many as the checkpoint was kept in.
        schema: of checkpoints (`kept_schema`).
    """
    paths: list[list[str]] = [[] for _ in range(kept)]
    for each in _files(log_of(location, at)):
        if each[DAY] == day:
            paths[each[BUCKET] % kept].append(each["path"])
    read = T.StructType([field for field in schema.fields if field.name not in PLACE])
    return BucketFiles(absolute(location), to_arrow_schema(read), tuple(map(tuple, paths)), buckets)


def beside(location: str, schema: T.StructType, days: Collection[date]) -> KeptBeside:
    """The table, made if there is none, as what a batch that keeps some days writes beside its rows.

    Args:
        location: of the table.
        schema: of checkpoints (`kept_schema`).
        days: that are kept; what was known of them is replaced.
    """
    wanted = Schema.from_json(schema.json())
    entity, *others = (each for each in schema.fields if each.name not in PLACE)
    numbers = tuple(each.name for each in others if isinstance(each.dataType, T.LongType))
    table = Target(location, schema, (), partition_by=PLACE, at_once=True, in_order=entity.name, by_byte=numbers)
    try:
        log = TableLog(location)
    except TableNotFoundError:
        settings = {"delta.checkpointInterval": "10"}
        log = TableLog.create(location, wanted, mode="ignore", partition_by=[*PLACE], configuration=settings)
    if log.schema() != wanted:
        # Of other definitions: nothing goes on from there.
        return KeptBeside(table, log, outlived=None)
    return KeptBeside(table, log, _outlived(_files(log), days))


def _outlived(files: Sequence[Mapping[str, Any]], days: Collection[date]) -> list[str]:
    newest = set(sorted({*days, *(each[DAY] for each in files)})[-_NEWEST:])
    return [each["path"] for each in files if each[DAY] in days or not (each[DAY] in newest or ends_month(each[DAY]))]


def ends_month(day: date) -> bool:
    """Whether it is a month's last day."""
    return (day + timedelta(days=1)).day == 1


def _files(log: TableLog) -> list[dict[str, Any]]:
    """Where each file is, and of which day, stage batch and bucket."""
    found = pa.table(log.get_add_actions(flatten=True)).to_pylist()
    return [{name: each[f"partition.{name}"] for name in PLACE} | {"path": each["path"]} for each in found]
