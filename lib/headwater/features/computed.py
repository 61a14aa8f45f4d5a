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
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from headwater.features.asof import FEATURE_DATE
from headwater.features.blocks import Slice, feature_batches
from headwater.features.tilesets import STATES

Batches: TypeAlias = Iterable[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Computed:
    """Rows, as what they are made of and how.

    Attributes:
        records: a frame.
        make: from the batches of a partition of it to those of the rows; texts may be dictionaries.
        schema: of the rows.
    """

    records: DataFrame
    make: Callable[[Batches], Iterator[pa.RecordBatch]]
    schema: T.StructType

    @property
    def rows(self) -> DataFrame:
        """The rows as a frame."""
        return self.records.mapInArrow(partial(_plain, make=self.make), self.schema)


def computed_by_spark(rows: DataFrame) -> Computed:
    """Rows that are a frame already."""
    return Computed(rows, iter, rows.schema)


def published_batches(batches: Batches, part: Slice, stale: Mapping[date, Sequence[str]]) -> Iterator[pa.RecordBatch]:
    """Compute feature rows and put beside them what is the same for every entity of a date.

    Args:
        batches: as `feature_batches` takes them.
        part: what to compute.
        stale: by date, the sources whose values are carried to it, sorted.
    """
    version = pa.array([part.view.pipeline_version])
    for batch in feature_batches(batches, part):
        told = {
            "stale_sources": _stale_sources(batch[FEATURE_DATE], stale),
            "pipeline_version": pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), version),
        }
        found = told | {name: batch[name] for name in batch.schema.names}
        kept = [STATES] if part.kept else []
        yield pa.RecordBatch.from_pydict({name: found[name] for name in (*part.view.columns, *kept)})


def _stale_sources(days: pa.Array, stale: Mapping[date, Sequence[str]]) -> pa.Array:
    if not stale:
        return pa.ListArray.from_arrays(np.zeros(len(days) + 1, np.int32), pa.array([], pa.string()))
    lists = pa.array([*stale.values(), []], pa.list_(pa.string()))
    place = pc.index_in(days, value_set=pa.array(stale, pa.date32()))
    return lists.take(pc.fill_null(place, len(stale)))


def _plain(batches: Batches, make: Callable[[Batches], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Batches as Spark reads them: it knows no dictionaries."""
    for batch in make(batches):
        columns = [each.dictionary_decode() if pa.types.is_dictionary(each.type) else each for each in batch.columns]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
