"""What a Python worker does for a table: write a partition's rows as a Parquet file, and say what is in it.

Of no table yet: the driver commits the files. Nothing here needs a session or a log, for workers would load them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_type

from headwater.features.computed import Batches
from headwater.tables.parquet import open_store

FILES = "path string, size bigint, rows bigint, statistics string"
# A group's columns lie in memory until it is full.
_GROUP = 1 << 17
# Without it Spark does not know by which calendar old dates were written, and refuses to read them.
_AS_SPARK = {"org.apache.spark.version": "3.5.0"}
# Decimals as Spark writes them; the Arrow schema would speak of dictionaries, which are no types of the table.
_OPTIONS: dict[str, Any] = {"store_decimal_as_integer": True, "store_schema": False}


@dataclass(frozen=True, slots=True)
class Target:
    """Where files go, and what they are.

    Attributes:
        location: of the table, absolute.
        schema: of its rows.
        found_by: columns that get statistics; texts, whole numbers and dates.
    """

    location: str
    schema: T.StructType
    found_by: tuple[str, ...]


def write_rows(
    batches: Batches, make: Callable[[Batches], Iterator[pa.RecordBatch]], target: Target
) -> Iterator[pa.RecordBatch]:
    """Write what is made of a partition as one file of a name that nothing else has.

    Yields:
        One row of `FILES`, none where there are no rows.
    """
    groups = _groups(make(batches), target.schema)
    first = next(groups, None)
    if first is None:
        return
    statistics = _Statistics(target.found_by)
    store, root = open_store(target.location)
    path = f"part-{uuid4()}.snappy.parquet"
    with store.open_output_stream(f"{root}/{path}") as sink:
        with pq.ParquetWriter(sink, first.schema, **_OPTIONS) as writer:
            writer.add_key_value_metadata(_AS_SPARK)
            for group in chain([first], groups):
                writer.write_table(group, row_group_size=group.num_rows)
                statistics.add(group)
        size = sink.tell()
    known = {"path": path, "size": size, "rows": statistics.rows, "statistics": statistics.as_json()}
    yield pa.RecordBatch.from_pylist([known])


def _groups(batches: Batches, schema: T.StructType) -> Iterator[pa.Table]:
    """Tables large enough for a row group; a text column is one dictionary in each, which Parquet takes as it is."""
    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        gathered.append(_typed(batch, schema))
        if sum(each.num_rows for each in gathered) >= _GROUP:
            yield pa.Table.from_batches(gathered).unify_dictionaries()
            gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered).unify_dictionaries()


def _typed(batch: pa.RecordBatch, schema: T.StructType) -> pa.RecordBatch:
    columns = []
    for each in schema.fields:
        column = batch[each.name]
        is_coded = pa.types.is_dictionary(column.type)
        columns.append(column if is_coded else column.cast(to_arrow_type(each.dataType)))
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


@dataclass(slots=True)
class _Statistics:
    """What Delta skips a file by, and answers a minimum or a maximum with: as tight as can be."""

    found_by: tuple[str, ...]
    rows: int = 0
    nulls: dict[str, int] = field(default_factory=dict)
    least: dict[str, Any] = field(default_factory=dict)
    greatest: dict[str, Any] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """Take a group's rows in."""
        self.rows += rows.num_rows
        for name in self.found_by:
            column = rows[name]
            self.nulls[name] = self.nulls.get(name, 0) + column.null_count
            # A dictionary may hold texts that no row has.
            values = column.unique().dictionary_decode() if pa.types.is_dictionary(column.type) else column
            found = pc.min_max(values).as_py()
            if found["min"] is not None:
                self.least[name] = min(self.least.get(name, found["min"]), found["min"])
                self.greatest[name] = max(self.greatest.get(name, found["max"]), found["max"])

    def as_json(self) -> str:
        """As the protocol has it."""
        return json.dumps(
            {
                "numRecords": self.rows,
                "minValues": {name: _told(value) for name, value in self.least.items()},
                "maxValues": {name: _told(value) for name, value in self.greatest.items()},
                "nullCount": self.nulls,
            }
        )


def _told(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
