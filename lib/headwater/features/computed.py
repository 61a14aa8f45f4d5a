"""Rows that Python workers make of a frame: a frame again where Spark goes on, Arrow batches for who can take those.

A batch that stays with the worker costs nothing more; as rows of the JVM it costs several times what made it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from headwater.features.asof import FEATURE_DATE
from headwater.features.slices import Made, Slice, feature_batches

Batches: TypeAlias = Iterable[pa.RecordBatch]
# From the batches of a partition, and its number, to what is made of them; texts may be dictionaries.
Make: TypeAlias = Callable[[Batches, int], Made]


@dataclass(frozen=True, slots=True)
class Computed:
    """Rows, as what they are made of and how.

    Attributes:
        records: a frame.
        make: what a worker does with a partition of it.
        schema: of the rows.
        kept: of what is kept beside them, if something is.
        in_order: a column whose values come in order and hardly repeat, if there is one.
    """

    records: DataFrame
    make: Make
    schema: T.StructType
    kept: T.StructType | None = None
    in_order: str | None = None

    @property
    def rows(self) -> DataFrame:
        """The rows as a frame, without what is kept beside them."""
        return self.records.mapInArrow(partial(_plain, make=self.make), self.schema)


def computed_by_spark(rows: DataFrame) -> Computed:
    """Rows that are a frame already."""
    return Computed(rows, _as_they_are, rows.schema)


def partition() -> int:
    """The number of the partition that a worker is at."""
    context = TaskContext.get()
    return context.partitionId() if context else 0


def published_batches(batches: Batches, bucket: int, part: Slice, stale: Mapping[date, Sequence[str]]) -> Made:
    """Compute feature rows and put beside them what is the same for every entity of a date.

    Args:
        batches: as `feature_batches` takes them.
        bucket: likewise.
        part: what to compute.
        stale: by date, the sources whose values are carried to it, sorted.
    """
    version = pa.array([part.view.pipeline_version])
    for of, batch in feature_batches(batches, part, bucket):
        if of == "kept":
            yield of, batch
            continue
        told = {
            "stale_sources": _stale_sources(batch[FEATURE_DATE], stale),
            "pipeline_version": pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), version),
        }
        found = told | {name: batch[name] for name in batch.schema.names}
        yield of, pa.RecordBatch.from_pydict({name: found[name] for name in part.view.columns})


def _stale_sources(days: pa.Array, stale: Mapping[date, Sequence[str]]) -> pa.Array:
    if not stale:
        return pa.ListArray.from_arrays(np.zeros(len(days) + 1, np.int32), pa.array([], pa.string()))
    lists = pa.array([*stale.values(), []], pa.list_(pa.string()))
    place = pc.index_in(days, value_set=pa.array(stale, pa.date32()))
    return lists.take(pc.fill_null(place, len(stale)))


def _as_they_are(batches: Batches, _bucket: int) -> Made:
    for batch in batches:
        yield "rows", batch


def _plain(batches: Batches, make: Make) -> Iterator[pa.RecordBatch]:
    """Batches as Spark reads them: it knows no dictionaries."""
    for of, batch in make(batches, partition()):
        if of == "rows":
            columns = [
                each.dictionary_decode() if pa.types.is_dictionary(each.type) else each for each in batch.columns
            ]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
