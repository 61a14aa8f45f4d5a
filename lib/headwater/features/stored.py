"""Stored tiles: a log of what each change of silver adds to and takes from a tile.

    change feed of a silver table ──of an event, new image +, old image - ──> contributions
      ──sum over (group, entity, event day, available day)──> changes of tiles ──appended──> log
    log, days that matter ──> records of the engine, which add up to the tiles they are of

A change is written without reading what it changes, since every stored state is a sum: what is known as a Z-set in the
incremental maintenance of views (Budiu et al., "DBSP", VLDB 2023). The day of a first or last event is not stored; the
tile's own day says it as long as its records add up to an event.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.features import FeatureGroup, FeatureView
from headwater.config.tables import TableContract
from headwater.features.algebra import operation
from headwater.features.blocks import STATES, state_field, state_places
from headwater.features.kernel import Span
from headwater.features.records import COUNTED, FROM, KIND, UNTIL
from headwater.features.tiles import contributions

GROUP, BATCH, MONTH = "_group", "_batch", "_month"
CHANGE = "_change_type"
_TAKES_BACK = ("update_preimage", "delete")
_EPOCH = date(1970, 1, 1)
# What tiles hold of a feature; windows, caps, defaults and names are applied to them.
_MEANING = {"op", "value", "where", "available"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The states at the end of a day, of every entity that has any.

    Attributes:
        day: whose end, since 1970.
        batch: the last batch of the log that they count.
        groups: numbers of the groups that are resumed from them.
        states: entity and `_states`; one row per entity.
    """

    day: int
    batch: int
    groups: frozenset[int]
    states: DataFrame


@dataclass(frozen=True, slots=True)
class Stored:
    """What a computation sees of the log.

    Attributes:
        log: the log at one version.
        groups: numbers of the groups that are computed from it.
        checkpoint: where to go on from, if there is something.
        keeps: whether the states of the last date go out beside its rows.
    """

    log: DataFrame
    groups: frozenset[int]
    checkpoint: Checkpoint | None = None
    keeps: bool = True


def stored_groups(view: FeatureView) -> frozenset[int]:
    """Numbers of the groups whose tiles are sums, and days of events."""
    return frozenset(number for number, group in enumerate(view.groups, start=1) if _is_summed(group))


def resumable_groups(view: FeatureView) -> frozenset[int]:
    """Numbers of the stored groups whose states at a day's end lead to those of the next.

    What is not a sum must never leave its window.
    """
    return frozenset(
        number
        for number in stored_groups(view)
        if all(
            each.monoid == "add" or feature.window_days is None
            for feature in view.groups[number - 1].features
            for each in operation(feature.op).states
        )
    )


def count_places(group: FeatureGroup) -> list[str]:
    """The stored columns that count events."""
    states = [each for feature in group.features for each in operation(feature.op).states]
    return [f"_s{place}" for place, each in enumerate(states) if each.name == "n"]


def has_days(group: FeatureGroup) -> bool:
    """Whether a group asks for days of events, which cannot be taken back from a checkpoint."""
    return any(each.of_day for feature in group.features for each in operation(feature.op).states)


def kept_states(view: FeatureView) -> tuple[tuple[str, str], ...]:
    """The (feature, state) pairs of a checkpoint."""
    resumable = resumable_groups(view)
    return tuple(
        (feature.name, each.name)
        for number, group in enumerate(view.groups, start=1)
        if number in resumable
        for feature in group.features
        for each in operation(feature.op).states
    )


def group_id(group: FeatureGroup, contract: TableContract) -> str:
    """What a group's tiles are found by: the table and a digest of all that decides what they hold."""
    parts = [group.event_time, contract.model_dump_json(include={"columns", "entity"})]
    parts += [feature.model_dump_json(include=_MEANING) for feature in group.features]
    return f"{group.table}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:8]}"


def log_schema(view: FeatureView, entity: T.DataType) -> T.StructType:
    """The log: (group, entity, event day, available day, batch) and the states of the largest group."""
    width = max((int(place.removeprefix("_s")) for place in state_places(view).values()), default=0) + 1
    fields = [T.StructField(GROUP, T.StringType()), T.StructField(MONTH, T.DateType())]
    fields += [T.StructField(view.entity, entity)]
    fields += [T.StructField(name, T.LongType()) for name in (FROM, UNTIL, BATCH)]
    return T.StructType(fields + [T.StructField(f"_s{place}", T.LongType()) for place in range(width)])


def tile_changes(
    feed: DataFrame, view: FeatureView, number: int, contract: TableContract, batch: int, entity: T.DataType
) -> DataFrame:
    """What rows of a change feed change in the tiles of a group.

    Args:
        feed: silver rows with `_change_type` as Delta's change feed has it.
        view: the definitions.
        number: the group's, from 1.
        contract: of the group's table.
        batch: of the log.
        entity: type of the view's entity.

    Returns:
        Columns of `log_schema`; one row per tile that changes, ordered by month, day and entity.
    """
    group = view.groups[number - 1]
    sums = _sums(group)
    sign = F.when(F.col(CHANGE).isin(*_TAKES_BACK), -1).otherwise(1)
    month = F.trunc(F.date_from_unix_date(F.col(FROM).cast("int")), "MM").alias(MONTH)
    signed = contributions(feed, group, contract, [CHANGE]).select(
        F.lit(group_id(group, contract)).alias(GROUP),
        month,
        F.col(f"`{contract.entity}`").cast(entity).alias(view.entity),
        FROM,
        UNTIL,
        *((F.col(place) * sign).alias(place) for place in sums),
    )
    # One shuffle, by what the log is partitioned by: a month of a group is written by one task, into one file.
    by_month = signed.repartition(GROUP, MONTH)
    totals = [F.sum(place).cast("bigint").alias(place) for place in sums]
    changed = by_month.groupBy(GROUP, MONTH, view.entity, FROM, UNTIL).agg(*totals)
    differs = reduce(or_, (F.coalesce(F.col(place), F.lit(0)) != 0 for place in sums))
    return (
        changed.where(F.col(FROM).isNotNull() & differs)
        .withColumn(BATCH, F.lit(batch).cast("bigint"))
        .sortWithinPartitions(GROUP, MONTH, FROM, view.entity)
    )


def stored_records(stored: Stored, view: FeatureView, number: int, contract: TableContract, span: Span) -> DataFrame:
    """The records of a group for the dates of a span: tiles, and the checkpoint to go on from.

    Returns:
        Entity, `_kind`, `_from`, `_until`, `_counted` and the group's states.
    """
    group, checkpoint = view.groups[number - 1], stored.checkpoint
    ours = stored.log.where(F.col(GROUP) == group_id(group, contract)).where(_days(FROM, None, span.last))
    if checkpoint is None or number not in checkpoint.groups:
        return _records(_within_windows(ours, group, span), view, number, is_counted=F.lit(False))  # noqa: FBT003
    is_new = F.col(BATCH) > checkpoint.batch
    new = _within_windows(ours.where(is_new), group, span)
    moving = ours.where(~is_new).where(_comes_or_goes(group, span))
    tiles = _records(new.unionByName(moving), view, number, is_counted=~is_new)
    places = {name: place for name, place in state_places(view).items() if name[0] in _names(group)}
    states = checkpoint.states.select(
        view.entity,
        F.lit(-number).alias(KIND),
        *(F.col(STATES)[state_field(*pair)].alias(place) for pair, place in places.items()),
    )
    return tiles.unionByName(states, allowMissingColumns=True)


def _comes_or_goes(group: FeatureGroup, span: Span) -> Column:
    """Tiles that begin or cease to count on a date of the span."""
    enters = _days(FROM, span.first, span.last)
    windows = {feature.window_days for feature in group.features if feature.window_days is not None}
    leaves = [_days(FROM, span.first - days, span.last - days) for days in sorted(windows)]
    if group.available:
        earliest = None if group.longest_window is None else span.first - group.longest_window
        enters |= _days(UNTIL, span.first, span.last) & _days(FROM, earliest, span.last)
    return reduce(or_, leaves, enters)


def _within_windows(rows: DataFrame, group: FeatureGroup, span: Span) -> DataFrame:
    longest = group.longest_window
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


def _records(rows: DataFrame, view: FeatureView, number: int, *, is_counted: Column) -> DataFrame:
    sums = _sums(view.groups[number - 1])
    return rows.select(view.entity, F.lit(number).alias(KIND), FROM, UNTIL, is_counted.alias(COUNTED), *sums)


def _sums(group: FeatureGroup) -> list[str]:
    """The stored columns of a group: its states that are sums."""
    states = [each for feature in group.features for each in operation(feature.op).states]
    return [f"_s{place}" for place, each in enumerate(states) if each.monoid == "add"]


def _names(group: FeatureGroup) -> frozenset[str]:
    return frozenset(feature.name for feature in group.features)


def _is_summed(group: FeatureGroup) -> bool:
    return all(
        each.monoid == "add" or each.of_day for feature in group.features for each in operation(feature.op).states
    )


def as_inserts(rows: DataFrame) -> DataFrame:
    """A whole table as a change feed of its own."""
    return rows.withColumn(CHANGE, F.lit("insert"))
