"""Tiles: per entity, event day and available day, the partial states of every feature of a tile set.

    silver rows (one per event) ──states of an event──merge──> entity, event day, available day, _s0, _s1, ..

A tile holds what its day contributes, so a window is a merge of tiles and a late event touches one tile.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from headwater.config.tables import TableContract
from headwater.features.algebra import Occurrence, State, merge_column, operation
from headwater.features.kernel import ALWAYS, Span
from headwater.features.rows import contribution, day_of, time_of, value_of
from headwater.features.sketch import register_of
from headwater.features.tilesets import FROM, KEY, TIME, UNTIL, TileSet

_RANK = "_rank"


def tiles(events: DataFrame, tile_set: TileSet, contract: TableContract, span: Span) -> DataFrame:
    """Merge the events that can count on the dates of a span, by day; of a set of grain `event`, only choose them.

    Days that lie before every window are one tile per entity: they count for lifetime features only, and for those
    it does not matter when before the span they were.

    Args:
        events: silver rows of the set's table.
        tile_set: declared features and their grain.
        contract: the table's contract, for the entity column and the scale of money.
        span: the dates.

    Returns:
        The contract's entity column, `_from` (event day since 1970), `_until` (the day since when the fact is known;
        null: not known yet), of a keyed set `_key` (value or register, as text), and the states as `_s0`, `_s1`, ..
        (`tile_set.places`); one row per entity, both days and key. Of grain `event` there is a row per event, with
        `_time` (microseconds since 1970).
    """
    if tile_set.grain == "event":
        return _newest_events(events, tile_set, contract, span)
    day = day_of(tile_set.group.event_time)
    finite = [feature.window_days for feature in tile_set.features if feature.window_days is not None]
    earliest = span.first - max(finite, default=1) + 1
    within = events.where(day <= span.last)
    if tile_set.longest_window is not None:
        within = within.where(day >= earliest)
    prepared = contributions(within, tile_set, contract)
    prepared = prepared.withColumns({FROM: _cut(F.col(FROM), earliest), UNTIL: _cut(F.col(UNTIL), span.first)})
    key = [] if tile_set.grain == "day" else [KEY]
    if key:
        prepared = prepared.where(F.coalesce(*(places[0] for _, places in _states(tile_set))).isNotNull())
    merged = [merge_column(state, places[0]).alias(places[0]) for state, places in _states(tile_set)]
    by = [contract.entity, FROM, UNTIL, *key]
    return prepared.groupBy(*by).agg(*merged).select(*by, *_columns(tile_set))


def contributions(
    events: DataFrame, tile_set: TileSet, contract: TableContract, others: Sequence[str] = ()
) -> DataFrame:
    """What every event contributes to the tile it belongs to.

    Args:
        events: silver rows of the set's table.
        tile_set: declared features and their grain.
        contract: the table's contract.
        others: columns to keep beside.

    Returns:
        As `tiles` has them, but with one row per event, days as they are and a pair as one struct.
    """
    known_from = day_of(tile_set.available) if tile_set.available else F.lit(None).cast("bigint")
    key = [] if tile_set.grain == "day" else [_key(tile_set, contract).alias(KEY)]
    return events.select(
        contract.entity,
        day_of(tile_set.group.event_time).alias(FROM),
        known_from.alias(UNTIL),
        *key,
        *_contributed(tile_set, contract),
        *others,
    )


def _newest_events(events: DataFrame, tile_set: TileSet, contract: TableContract, span: Span) -> DataFrame:
    """Events of the span, and of those before it the newest that its first date may look at, with all of one instant.

    The rank is cut off before the shuffle (Spark's window group limit), so that of a long history little is moved.
    """
    time = time_of(tile_set.group.event_time)
    columns = [day_of(tile_set.group.event_time).alias(FROM), F.lit(None).cast("bigint").alias(UNTIL), time.alias(TIME)]
    prepared = events.select(contract.entity, *columns, *_contributed(tile_set, contract))
    counting = prepared.where(F.coalesce(*(places[0] for _, places in _states(tile_set))).isNotNull())
    newest_first = Window.partitionBy(contract.entity).orderBy(F.col(TIME).desc())
    ranked = counting.where(F.col(FROM) < span.first).withColumn(_RANK, F.rank().over(newest_first))
    before = ranked.where(F.col(_RANK) <= tile_set.most_events).drop(_RANK)
    return counting.where(F.col(FROM).between(span.first, span.last)).unionByName(before)


def _states(tile_set: TileSet) -> list[tuple[State, tuple[str, ...]]]:
    """The states of a set, and the columns that carry them; several features' are there once."""
    found = {
        tile_set.places[feature.name, state.name]: state
        for feature in tile_set.features
        for state in operation(feature.op).states
    }
    return [(state, places) for places, state in found.items()]


def _contributed(tile_set: TileSet, contract: TableContract) -> list[Column]:
    """What an event contributes to each state, under the name of its first column."""
    day, time = day_of(tile_set.group.event_time), time_of(tile_set.group.event_time)
    found: dict[str, Column] = {}
    for feature in tile_set.features:
        value = contribution(feature, contract)
        event = Occurrence(_hashed(value) if tile_set.grain == "register" else value, day, time)
        for state in operation(feature.op).states:
            place = tile_set.places[feature.name, state.name][0]
            expression = state.of_event(event)
            found[place] = (expression if state.is_pair else expression.cast("bigint")).alias(place)
    return list(found.values())


def _key(tile_set: TileSet, contract: TableContract) -> Column:
    """What tells the tiles of a day apart, as text; all features of a keyed set read one value."""
    value = value_of(tile_set.features[0], contract)
    return (register_of(_hashed(value)) if tile_set.grain == "register" else value).cast("string")


def _hashed(value: Column) -> Column:
    return F.when(value.isNotNull(), F.xxhash64(value))


def _columns(tile_set: TileSet) -> list[Column]:
    """Merged states, a pair as two columns."""
    found = []
    for state, places in _states(tile_set):
        if state.is_pair:
            found += [
                F.col(places[0])[part].alias(place) for part, place in zip(("time", "value"), places, strict=True)
            ]
        else:
            found.append(F.col(places[0]))
    return found


def _cut(day: Column, earliest: int) -> Column:
    """Days before all that matters are one."""
    return F.when(day < earliest, F.lit(ALWAYS)).otherwise(day)
