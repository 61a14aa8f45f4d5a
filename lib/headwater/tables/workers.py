"""What a Python worker does for tables: write a partition's rows as Parquet files, and say what is in them.

Of no table yet: the driver commits the files. Nothing here needs a session or a log, for workers would load them.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any
from uuid import uuid4
from zipimport import zipimporter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_type

from headwater.features.computed import Batches, Make, partition
from headwater.features.runs import begins
from headwater.features.slices import Of
from headwater.tables.parquet import create_file

FILES = "of string, path string, size bigint, rows bigint, statistics string, partition map<string,string>"
_FILE = pa.schema(
    [
        ("of", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("rows", pa.int64()),
        ("statistics", pa.string()),
        ("partition", pa.map_(pa.string(), pa.string())),
    ]
)
# A group's columns lie in memory until it is full.
_GROUP = 1 << 17
# How often values come at the least, on average, for a dictionary of them to be worth it.
_REPEATED = 4
# Without it Spark does not know by which calendar old dates were written, and refuses to read them.
_AS_SPARK = {"org.apache.spark.version": "3.5.0"}
# Of a decimal that is a whole number in the file.
_DIGITS = 18
# Decimals as Spark writes them; the Arrow schema would speak of dictionaries, which are no types of the table.
_OPTIONS: dict[str, Any] = {"store_decimal_as_integer": True, "store_schema": False}


@dataclass(frozen=True, slots=True)
class Target:
    """Where files go, and what they are.

    Attributes:
        location: of the table, absolute.
        schema: of its rows.
        found_by: columns that get statistics; texts, whole numbers and dates.
        partition_by: columns that are the same in all rows of a file; texts, whole numbers and dates.
        at_once: whether rows of several partitions come at once; else of one after another.
        in_order: a column whose values come in order and hardly repeat: written as what differs from the one before,
            and all of the file small; None: quickly.
        by_byte: columns of numbers whose bytes are written apart, the first ones of all numbers, then the second ones:
            a quarter smaller, and twice as quick, but Spark 3 does not read it.
        group: rows of a row group, which a reader can skip.
    """

    location: str
    schema: T.StructType
    found_by: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    at_once: bool = False
    in_order: str | None = None
    by_byte: tuple[str, ...] = ()
    group: int = _GROUP

    @property
    def columns(self) -> list[T.StructField]:
        """What a file holds."""
        return [each for each in self.schema.fields if each.name not in self.partition_by]


def write_rows(batches: Batches, make: Make, targets: Mapping[Of, Target]) -> Iterator[pa.RecordBatch]:
    """Write what is made of a partition, as files of names that nothing else has.

    Args:
        batches: of the partition.
        make: what becomes of them.
        targets: where rows, and what is kept beside them, go.

    Yields:
        A row of `FILES` per file.
    """
    writers = {of: _Files(of, target) for of, target in targets.items()}
    for of, batch in make(batches, partition()):
        yield from writers[of].add(batch)
    for each in writers.values():
        yield from each.close()
    # The process lives on, and what comes next may be Spark's alone.
    pa.default_memory_pool().release_unused()
    _forget_archives()


def _forget_archives() -> None:
    """Let the next task of the process begin at once.

    Spark has caches of imports made anew before each, for which Python lists every archive that anything was ever
    imported from, Spark's own jar among them: a tenth of a second. What is imported by then stays so.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            sys.path_importer_cache.pop(path, None)


class _Files:
    """The files of one table, one of each partition."""

    def __init__(self, of: Of, target: Target) -> None:
        self._of, self._target = of, target
        self._open: dict[tuple[str, ...], _File] = {}

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take rows in; gives the files that are complete by then."""
        for values, rows in _by_partition(batch, self._target.partition_by):
            if values not in self._open:
                if not self._target.at_once:
                    yield from self.close()
                self._open[values] = _File(self._target, values)
            self._open[values].add(rows)

    def close(self) -> Iterator[pa.RecordBatch]:
        for each in self._open.values():
            yield pa.RecordBatch.from_pylist([{"of": self._of, **each.close()}], _FILE)
        self._open = {}


class _File:
    """A file that rows are added to."""

    def __init__(self, target: Target, values: tuple[str, ...]) -> None:
        self._target = target
        self._partition = dict(zip(target.partition_by, values, strict=True))
        self._statistics = _Statistics(target.found_by)
        self._gathered: list[pa.RecordBatch] = []
        folder = "".join(f"{name}={value}/" for name, value in self._partition.items())
        self._path = f"{folder}part-{uuid4()}.parquet"
        self._sink = create_file(target.location, self._path)
        self._writer: pq.ParquetWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        self._gathered.append(_typed(batch, self._target.columns))
        if sum(each.num_rows for each in self._gathered) >= self._target.group:
            self._write(self._target.group)

    def close(self) -> dict[str, Any]:
        """What the driver has to know of it."""
        if self._gathered:
            self._write(1)
        if self._writer is not None:
            self._writer.add_key_value_metadata(_AS_SPARK)
            self._writer.close()
        size = self._sink.tell()
        self._sink.close()
        return {
            "path": self._path,
            "size": size,
            "rows": self._statistics.rows,
            "statistics": self._statistics.as_json(),
            "partition": list(self._partition.items()),
        }

    def _write(self, least: int) -> None:
        """Write what was gathered as groups, of which the last may be smaller down to so many rows.

        A text column is one dictionary in each group, which Parquet takes as it is.
        """
        rows = pa.Table.from_batches(self._gathered).unify_dictionaries()
        whole = len(rows) // least * least
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, rows.schema, **_OPTIONS, **_encoding(rows, self._target))
        self._writer.write_table(rows.slice(0, whole), row_group_size=self._target.group)
        self._statistics.add(rows.slice(0, whole))
        self._gathered = rows.slice(whole).to_batches()


def _encoding(rows: pa.Table, target: Target) -> dict[str, Any]:
    """How columns are written; of most a dictionary, where there are values that repeat."""
    if target.in_order is None:
        return {}
    encodings = _as_differences(target.in_order, rows.schema.field(target.in_order).type)
    encodings |= dict.fromkeys(target.by_byte, "BYTE_STREAM_SPLIT")
    others = [name for name in rows.schema.names if name not in encodings]
    numbers = [name for name in others if pa.types.is_integer(rows.schema.field(name).type)]
    various = [name for name in numbers if pc.count_distinct(rows[name]).as_py() * _REPEATED > len(rows)]
    encodings |= dict.fromkeys(various, "DELTA_BINARY_PACKED")
    coded = [name for name in others if name not in various]
    return {"compression": "zstd", "use_dictionary": coded, "column_encoding": encodings}


def _as_differences(name: str, kind: pa.DataType) -> dict[str, str]:
    """How a column is written as what differs from the value before; not at all where Parquet has no such form."""
    if pa.types.is_string(kind):
        return {name: "DELTA_BYTE_ARRAY"}
    is_whole = pa.types.is_integer(kind) or pa.types.is_temporal(kind)
    if is_whole or (pa.types.is_decimal(kind) and kind.precision <= _DIGITS):
        return {name: "DELTA_BINARY_PACKED"}
    return {}


def _by_partition(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], pa.RecordBatch]]:
    """Runs of rows that are of one partition."""
    if not batch.num_rows:
        return
    starts = np.flatnonzero(begins([batch[name] for name in columns])) if columns else [0]
    for start, end in pairwise([*starts, batch.num_rows]):
        rows = batch.slice(start, end - start)
        yield tuple(str(_as_said(rows[name][0].as_py())) for name in columns), rows


def _typed(batch: pa.RecordBatch, fields: list[T.StructField]) -> pa.RecordBatch:
    columns = []
    for each in fields:
        column = batch[each.name]
        is_coded = pa.types.is_dictionary(column.type)
        columns.append(column if is_coded else column.cast(to_arrow_type(each.dataType)))
    return pa.RecordBatch.from_arrays(columns, names=[each.name for each in fields])


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
                "minValues": {name: _as_said(value) for name, value in self.least.items()},
                "maxValues": {name: _as_said(value) for name, value in self.greatest.items()},
                "nullCount": self.nulls,
            }
        )


def _as_said(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
