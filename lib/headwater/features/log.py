"""The log of tiles: what each change of silver adds to a tile, and what it takes from it.

    change feed of a silver table ──of an event, new image +, old image - ──> signed contributions
      ──shuffled by (tile set, month), in order of (day, entity, available day)──> what is one tile's stands together
      ──added up by the worker that writes it──> log

Nearly every event is a tile of its own, so the sort that the files need brings together what there is to add up, and
Spark has nothing to group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.features.computed import Batches, Computed
from headwater.features.kernel import Flags, Integers
from headwater.features.runs import begins, whole_runs
from headwater.features.slices import Made
from headwater.features.stored import storable, sums_of
from headwater.features.tiles import contributions
from headwater.features.tilesets import BATCH, FROM, TILES, UNTIL, TileSet

MONTH = "_month"
CHANGE = "_change_type"
TAKES_BACK = ("update_preimage", "delete")
# Tile set and event day as one number, which Spark sorts by without looking at the row.
_ORDER, _DAYS, _EPOCH = "_order", 2**32, 2**31
_GATHERED = 1 << 17
_GREATEST_SUM = 2.0**62


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of a silver table, as a tile set takes them up.

    Attributes:
        feed: silver rows with `_change_type` as Delta's change feed has it.
        tiles: a storable set of the table.
        contract: of the table.
        id: what the set's tiles are found by.
    """

    feed: DataFrame
    tiles: TileSet
    contract: TableContract
    id: str


def log_schema(view: FeatureView, entity: T.DataType) -> T.StructType:
    """The log: tile set, month, entity, event day, available day, batch, and the sums that any set has."""
    fields = [T.StructField(TILES, T.StringType()), T.StructField(MONTH, T.DateType())]
    fields += [T.StructField(view.entity, entity)]
    return T.StructType(fields + [T.StructField(name, T.LongType()) for name in (FROM, UNTIL, BATCH, *_sums(view))])


def tile_changes(changes: Sequence[Changes], view: FeatureView, entity: T.DataType, batch: int) -> Computed:
    """What changes in tiles.

    Args:
        changes: of each tile set.
        view: the definitions.
        entity: type of the view's entity.
        batch: of the log.

    Returns:
        `log_schema`; one row per tile that changes, in order of tile set, day, entity and available day.
    """
    parts = [_signed(each, number, T.StructField(view.entity, entity)) for number, each in enumerate(changes)]
    every = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), parts)
    day = F.col(_ORDER) % _DAYS - _EPOCH
    month = F.trunc(F.date_from_unix_date(day.cast("int")), "MM")
    dated = every.where(F.col(_ORDER).isNotNull() & F.col(view.entity).isNotNull())
    by_month = dated.repartition(F.shiftright(_ORDER, 32), month)
    ordered = by_month.sortWithinPartitions(_ORDER, view.entity, UNTIL)
    ids, sums = tuple(each.id for each in changes), tuple(_sums(view))
    make = partial(_merged, entity=view.entity, ids=ids, sums=sums, batch=batch)
    return Computed(ordered, make, log_schema(view, entity))


def as_inserts(rows: DataFrame) -> DataFrame:
    """A whole table as a change feed of its own."""
    return rows.withColumn(CHANGE, F.lit("insert"))


def _sums(view: FeatureView) -> list[str]:
    return list(dict.fromkeys(place for tile_set in storable(view) for place in sums_of(tile_set)))


def _signed(changes: Changes, number: int, entity: T.StructField) -> DataFrame:
    """What each row of a change feed adds to its tile, or takes from it; one row per row of the feed."""
    sign = F.when(F.col(CHANGE).isin(*TAKES_BACK), -1).otherwise(1)
    return contributions(changes.feed, changes.tiles, changes.contract, [CHANGE]).select(
        (F.col(FROM) + (_EPOCH + number * _DAYS)).alias(_ORDER),
        F.col(f"`{changes.contract.entity}`").cast(entity.dataType).alias(entity.name),
        UNTIL,
        *((F.col(place) * sign).alias(place) for place in sums_of(changes.tiles)),
    )


def _merged(
    batches: Batches, _partition: int, entity: str, ids: tuple[str, ...], sums: tuple[str, ...], batch: int
) -> Made:
    """Add up what stands together."""
    for rows in whole_runs(batches, _GATHERED, partial(_is_new, entity=entity)):
        at = np.flatnonzero(_is_new(rows, entity))
        first = rows.take(pa.array(at))
        found = {name: _added(rows, name, at) for name in sums}
        changes = np.any([each != 0 for each in found.values()], axis=0)
        order = first[_ORDER].to_numpy()
        day = (order % _DAYS - _EPOCH).astype("datetime64[D]")
        of = pa.DictionaryArray.from_arrays((order // _DAYS).astype(np.int32), pa.array(ids))
        table = pa.table(
            {
                TILES: of.cast(pa.string()),
                MONTH: pa.array(day.astype("datetime64[M]").astype("datetime64[D]"), pa.date32()),
                entity: first[entity],
                FROM: pa.array(day.astype(np.int64)),
                UNTIL: first[UNTIL],
                BATCH: pa.array(np.full(len(first), batch)),
                **{name: pa.array(each) for name, each in found.items()},
            }
        )
        for each in table.filter(pa.array(changes)).combine_chunks().to_batches():
            yield "rows", each


def _is_new(rows: pa.Table, entity: str) -> Flags:
    """Where another tile than the one before begins."""
    return begins([rows[_ORDER], rows[entity], pc.fill_null(rows[UNTIL], _DAYS)])


def _added(rows: pa.Table, name: str, at: Integers) -> Integers:
    """A sum per tile; each begins where it is said.

    Raises:
        OverflowError: absolute values of one tile add up to more than 2^62.
    """
    if name not in rows.column_names:
        return np.zeros(len(at), np.int64)
    values: Integers = pc.fill_null(rows[name], 0).to_numpy()
    if np.add.reduceat(np.abs(values.astype(np.float64)), at).max() >= _GREATEST_SUM:
        message = "the values of one entity and day add up to more than 2^62 of the smallest unit"
        raise OverflowError(message)
    sums: Integers = np.add.reduceat(values, at)
    return sums
