"""Stored tiles: a log of what each change of silver adds to and takes from a tile.

    change feed of a silver table ──of an event, new image +, old image - ──> contributions
      ──sum over (tile set, entity, event day, available day)──> changes of tiles ──appended──> log
    log, days that matter ──> records of the engine, which add up to the tiles they are of

A change is written without reading what it changes, since every stored state is a sum: what is known as a Z-set in the
incremental maintenance of views (Budiu et al., "DBSP", VLDB 2023). The day of a first or last event is not stored; the
tile's own day says it as long as its records add up to an event.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.features.algebra import State, operation
from headwater.features.blocks import STATES, state_field
from headwater.features.kernel import Span
from headwater.features.tiles import contributions
from headwater.features.tilesets import COUNTED, FROM, KIND, UNTIL, TileSet, tile_sets

TILES, BATCH, MONTH = "_tiles", "_batch", "_month"
CHANGE = "_change_type"
_TAKES_BACK = ("update_preimage", "delete")
_EPOCH = date(1970, 1, 1)
# What tiles hold of a feature; windows, caps, defaults and names are applied to them.
_MEANING = {"op", "value", "where", "available"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The states at the end of a day, of every entity that has any.

    Attributes:
        batch: the last batch of the log that they count.
        kinds: the tile sets that are resumed from them.
        states: entity and `_states`; one row per entity.
    """

    batch: int
    kinds: frozenset[int]
    states: DataFrame


@dataclass(frozen=True, slots=True)
class Stored:
    """What a computation sees of the log.

    Attributes:
        log: the log at one version.
        kinds: the tile sets that are computed from it, by what their tiles are found by.
        checkpoint: where to go on from, if there is something: the states of the day before the first date.
        keeps: whether the states of the last date go out beside its rows.
    """

    log: DataFrame
    kinds: Mapping[int, str]
    checkpoint: Checkpoint | None = None
    keeps: bool = True


def storable(view: FeatureView) -> tuple[TileSet, ...]:
    """Tile sets of days that hold sums only, and days of events."""
    return tuple(
        tile_set
        for tile_set in tile_sets(view)
        if tile_set.grain == "day" and all(each.monoid == "add" or each.of_day for each in _states(tile_set).values())
    )


def resumable(view: FeatureView) -> tuple[TileSet, ...]:
    """Storable tile sets whose states at a day's end lead to those of the next.

    What is not a sum must never leave its window.
    """
    return tuple(
        tile_set
        for tile_set in storable(view)
        if all(
            each.monoid == "add" or feature.window_days is None
            for feature in tile_set.features
            for each in operation(feature.op).states
        )
    )


def has_days(tile_set: TileSet) -> bool:
    """Whether a set tells days of events, which cannot be taken back from a checkpoint."""
    return any(each.of_day for each in _states(tile_set).values())


def count_columns(tile_set: TileSet) -> list[str]:
    """The stored columns that count events."""
    return [place for (_, name), (place, *_) in tile_set.places.items() if name == "n"]


def kept_states(view: FeatureView) -> tuple[tuple[str, str], ...]:
    """The (feature, state) pairs of a checkpoint."""
    return tuple(pair for tile_set in resumable(view) for pair in tile_set.places)


def tiles_id(tile_set: TileSet, contract: TableContract) -> str:
    """What the tiles of a set are found by: the table and a digest of all that decides what they hold."""
    parts = [tile_set.group.event_time, contract.model_dump_json(include={"columns", "entity"})]
    parts += [feature.model_dump_json(include=_MEANING) for feature in tile_set.features]
    return f"{tile_set.group.table}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:8]}"


def log_schema(view: FeatureView, entity: T.DataType) -> T.StructType:
    """The log: tile set, month, entity, event day, available day, batch, and the sums that any set has."""
    sums = dict.fromkeys(place for tile_set in storable(view) for place in _sums(tile_set))
    fields = [T.StructField(TILES, T.StringType()), T.StructField(MONTH, T.DateType())]
    fields += [T.StructField(view.entity, entity)]
    return T.StructType(fields + [T.StructField(name, T.LongType()) for name in (FROM, UNTIL, BATCH, *sums)])


def signed_contributions(
    feed: DataFrame, tile_set: TileSet, contract: TableContract, entity: T.StructField
) -> DataFrame:
    """What each row of a change feed adds to its tile, or takes from it.

    Args:
        feed: silver rows with `_change_type` as Delta's change feed has it.
        tile_set: a storable one.
        contract: of its table.
        entity: name and type of the view's entity.

    Returns:
        Columns of `log_schema` without the batch, and of the sums those of the set; one row per row of the feed.
    """
    sign = F.when(F.col(CHANGE).isin(*_TAKES_BACK), -1).otherwise(1)
    return contributions(feed, tile_set, contract, [CHANGE]).select(
        F.lit(tiles_id(tile_set, contract)).alias(TILES),
        F.trunc(F.date_from_unix_date(F.col(FROM).cast("int")), "MM").alias(MONTH),
        F.col(f"`{contract.entity}`").cast(entity.dataType).alias(entity.name),
        FROM,
        UNTIL,
        *((F.col(place) * sign).alias(place) for place in _sums(tile_set)),
    )


def tile_changes(signed: Sequence[DataFrame], entity: str, batch: int) -> DataFrame:
    """What changes in tiles.

    Args:
        signed: contributions to the tiles of each set.
        entity: name of the view's entity.
        batch: of the log.

    Returns:
        Columns of `log_schema`; one row per tile that changes, ordered by month, day and entity.
    """
    every = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), signed)
    keys = [TILES, MONTH, entity, FROM, UNTIL]
    sums = [name for name in every.columns if name not in keys]
    # One shuffle, by what the log is partitioned by: a month is written by one task, into one file.
    by_month = every.where(F.col(FROM).isNotNull()).repartition(TILES, MONTH)
    changed = by_month.groupBy(*keys).agg(*(F.sum(place).cast("bigint").alias(place) for place in sums))
    differs = reduce(or_, (F.coalesce(F.col(place), F.lit(0)) != 0 for place in sums))
    dated = changed.where(differs).withColumn(BATCH, F.lit(batch).cast("bigint"))
    return dated.sortWithinPartitions(TILES, MONTH, FROM, entity)


def stored_records(stored: Stored, tile_set: TileSet, entity: str, span: Span) -> DataFrame:
    """The records of a tile set for the dates of a span: tiles, and the checkpoint to go on from.

    Returns:
        Entity, `_kind`, `_from`, `_until`, `_counted` and the set's states.
    """
    checkpoint = stored.checkpoint
    ours = stored.log.where(F.col(TILES) == stored.kinds[tile_set.kind]).where(_days(FROM, None, span.last))
    if checkpoint is None or tile_set.kind not in checkpoint.kinds:
        return _records(_within_windows(ours, tile_set, span), tile_set, entity, is_counted=F.lit(False))  # noqa: FBT003
    is_new = F.col(BATCH) > checkpoint.batch
    new = _within_windows(ours.where(is_new), tile_set, span)
    moving = ours.where(~is_new).where(_comes_or_goes(tile_set, span))
    tiles = _records(new.unionByName(moving), tile_set, entity, is_counted=~is_new)
    states = checkpoint.states.select(
        entity,
        F.lit(-tile_set.kind).alias(KIND),
        *(F.col(STATES)[state_field(*pair)].alias(place) for pair, (place,) in tile_set.places.items()),
    )
    return tiles.unionByName(states, allowMissingColumns=True)


def as_inserts(rows: DataFrame) -> DataFrame:
    """A whole table as a change feed of its own."""
    return rows.withColumn(CHANGE, F.lit("insert"))


def _comes_or_goes(tile_set: TileSet, span: Span) -> Column:
    """Tiles that begin or cease to count on a date of the span."""
    enters = _days(FROM, span.first, span.last)
    windows = {feature.window_days for feature in tile_set.features if feature.window_days is not None}
    leaves = [_days(FROM, span.first - days, span.last - days) for days in sorted(windows)]
    if tile_set.available:
        earliest = None if tile_set.longest_window is None else span.first - tile_set.longest_window
        enters |= _days(UNTIL, span.first, span.last) & _days(FROM, earliest, span.last)
    return reduce(or_, leaves, enters)


def _within_windows(rows: DataFrame, tile_set: TileSet, span: Span) -> DataFrame:
    longest = tile_set.longest_window
    return rows if longest is None else rows.where(_days(FROM, span.first - longest + 1, None))


def _days(column: str, first: int | None, last: int | None) -> Column:
    """Days of a range; of event days, the months too, which files are found by."""
    terms = [F.lit(True)]  # noqa: FBT003
    for day, is_first in ((first, True), (last, False)):
        if day is None:
            continue
        bounds = [(F.col(column), F.lit(day))]
        if column == FROM:
            bounds.append((F.col(MONTH), F.lit((_EPOCH + timedelta(days=day)).replace(day=1))))
        terms += [left >= right if is_first else left <= right for left, right in bounds]
    return reduce(and_, terms)


def _records(rows: DataFrame, tile_set: TileSet, entity: str, *, is_counted: Column) -> DataFrame:
    # The columns of days are there, and empty: the tiles' own days stand for them.
    columns = [
        F.col(place) if each.monoid == "add" else F.lit(None).cast("bigint").alias(place)
        for place, each in _states(tile_set).items()
    ]
    return rows.select(entity, F.lit(tile_set.kind).alias(KIND), FROM, UNTIL, is_counted.alias(COUNTED), *columns)


def _sums(tile_set: TileSet) -> list[str]:
    """The stored columns of a set: its states that are sums."""
    return [place for place, each in _states(tile_set).items() if each.monoid == "add"]


def _states(tile_set: TileSet) -> dict[str, State]:
    """The states of a set by the column they are in, or the first of two."""
    return {
        tile_set.places[feature.name, each.name][0]: each
        for feature in tile_set.features
        for each in operation(feature.op).states
    }
