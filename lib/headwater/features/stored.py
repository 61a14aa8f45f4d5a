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
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.features.algebra import State, operation
from headwater.features.kernel import Span, date_of
from headwater.features.tiles import contributions
from headwater.features.tilesets import CHECKPOINT, COUNTED, FROM, KIND, STATES, UNTIL, TileSet, tile_sets

TILES, BATCH, MONTH = "_tiles", "_batch", "_month"
CHANGE = "_change_type"
_TAKES_BACK = ("update_preimage", "delete")
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
    return list(dict.fromkeys(place for (_, name), (place, *_) in tile_set.places.items() if name == "n"))


def kept_states(view: FeatureView) -> Mapping[str, tuple[str, str]]:
    """What a checkpoint holds: by name, a (feature, state) that it is kept of."""
    found: dict[str, tuple[str, str]] = {}
    for tile_set in resumable(view):
        for pair, name in tile_set.kept.items():
            found.setdefault(name, pair)
    return found


def tiles_id(tile_set: TileSet, contract: TableContract, origin: str) -> str:
    """What the tiles of a set are found by: the table and a digest of all that decides what they hold.

    Args:
        tile_set: a storable one.
        contract: of its table; a column that the set does not read decides nothing.
        origin: what they were begun from. Of another one they are other tiles, built anew.
    """
    types, event_time = {column.name: column.type for column in contract.columns}, tile_set.group.event_time
    read = {contract.entity, *(name for feature in tile_set.features for name in feature.reads(event_time))}
    parts = [origin, event_time, contract.entity, *(f"{name} {types[name]}" for name in sorted(read))]
    parts += [feature.model_dump_json(include=_MEANING) for feature in tile_set.features]
    return f"{tile_set.group.table}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:8]}"


def log_schema(view: FeatureView, entity: T.DataType) -> T.StructType:
    """The log: tile set, month, entity, event day, available day, batch, and the sums that any set has."""
    sums = dict.fromkeys(place for tile_set in storable(view) for place in _sums(tile_set))
    fields = [T.StructField(TILES, T.StringType()), T.StructField(MONTH, T.DateType())]
    fields += [T.StructField(view.entity, entity)]
    return T.StructType(fields + [T.StructField(name, T.LongType()) for name in (FROM, UNTIL, BATCH, *sums)])


def signed_contributions(
    feed: DataFrame, tile_set: TileSet, contract: TableContract, entity: T.StructField, found_by: str
) -> DataFrame:
    """What each row of a change feed adds to its tile, or takes from it.

    Args:
        feed: silver rows with `_change_type` as Delta's change feed has it.
        tile_set: a storable one.
        contract: of its table.
        entity: name and type of the view's entity.
        found_by: what the set's tiles are found by.

    Returns:
        Columns of `log_schema` without the batch, and of the sums those of the set; one row per row of the feed.
    """
    sign = F.when(F.col(CHANGE).isin(*_TAKES_BACK), -1).otherwise(1)
    return contributions(feed, tile_set, contract, [CHANGE]).select(
        F.lit(found_by).alias(TILES),
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


def stored_records(stored: Stored, sets: Sequence[TileSet], entity: str, span: Span) -> DataFrame:
    """The records of tile sets for the dates of a span: tiles, and the checkpoint to go on from.

    The log is read once, whatever the number of sets: its every scan is planned by a Spark job of its own.

    Args:
        stored: the log.
        sets: those of its kinds.
        entity: name of the view's entity.
        span: the dates.

    Returns:
        Entity, `_kind`, `_from`, `_until`, `_counted` and the states of all sets, of a record those of its own set;
        of a checkpoint `_states`.
    """
    checkpoint = stored.checkpoint
    parts = [(each, _parts(each, checkpoint, span)) for each in sets]
    # Files are found by partitions where a term is about nothing else, and by days and batches in the other one.
    in_months = reduce(or_, (part.in_months(stored.kinds[each.kind]) for each, found in parts for part in found))
    wanted = {each.kind: reduce(or_, (part.rows(stored.kinds[each.kind]) for part in found)) for each, found in parts}
    rows = stored.log.where(in_months).where(reduce(or_, wanted.values()))
    # A tile is a record of each of the sets that share it.
    kinds = F.explode(F.array(*(F.when(condition, F.lit(kind)) for kind, condition in wanted.items())))
    states = dict.fromkeys(place for each in sets for place in _states(each))
    in_log = {place for each in sets for place in _sums(each)}
    # The columns of days are there, and empty: the tiles' own days stand for them.
    columns = [F.col(place) if place in in_log else F.lit(None).cast("bigint").alias(place) for place in states]
    tiles = rows.select(entity, kinds.alias(KIND), FROM, UNTIL, BATCH, *columns).where(F.col(KIND).isNotNull())
    if checkpoint is None:
        return tiles.withColumn(COUNTED, F.lit(False)).drop(BATCH)  # noqa: FBT003
    is_counted = F.col(KIND).isin(sorted(checkpoint.kinds)) & (F.col(BATCH) <= checkpoint.batch)
    counted = tiles.withColumn(COUNTED, is_counted).drop(BATCH)
    # One record per entity, whatever the number of sets that go on from it.
    resumed = checkpoint.states.select(entity, F.lit(CHECKPOINT).alias(KIND), STATES)
    return counted.unionByName(resumed, allowMissingColumns=True)


def as_inserts(rows: DataFrame) -> DataFrame:
    """A whole table as a change feed of its own."""
    return rows.withColumn(CHANGE, F.lit("insert"))


@dataclass(frozen=True, slots=True)
class _Part:
    """Tiles of a range of event days.

    Attributes:
        first: None for from the beginning.
        last: day.
        others: what else holds of them.
    """

    first: int | None
    last: int
    others: Column

    def rows(self, tiles: str) -> Column:
        """The tiles, by their rows."""
        days = F.col(FROM) <= self.last
        if self.first is not None:
            days &= F.col(FROM) >= self.first
        return (F.col(TILES) == tiles) & days & self.others

    def in_months(self, tiles: str) -> Column:
        """What they are partitioned by."""
        months = F.col(MONTH) <= _month(self.last)
        if self.first is not None:
            months &= F.col(MONTH) >= _month(self.first)
        return (F.col(TILES) == tiles) & months


def _month(day: int) -> Column:
    return F.lit(date_of(day).replace(day=1))


def _parts(tile_set: TileSet, checkpoint: Checkpoint | None, span: Span) -> list[_Part]:
    """The tiles that matter: within the windows; of those that the checkpoint counts, which begin or cease to count."""
    longest = tile_set.longest_window
    within = None if longest is None else span.first - longest + 1
    if checkpoint is None or tile_set.kind not in checkpoint.kinds:
        return [_Part(within, span.last, F.lit(True))]  # noqa: FBT003
    is_new = F.col(BATCH) > checkpoint.batch
    windows = {feature.window_days for feature in tile_set.features if feature.window_days is not None}
    parts = [_Part(within, span.last, is_new), _Part(span.first, span.last, ~is_new)]
    parts += [_Part(span.first - days, span.last - days, ~is_new) for days in sorted(windows)]
    if tile_set.available:
        is_known = F.col(UNTIL).between(span.first, span.last)
        parts.append(_Part(None if longest is None else span.first - longest, span.last, ~is_new & is_known))
    return parts


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
