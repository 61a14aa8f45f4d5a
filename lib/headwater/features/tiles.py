"""Tiles: per entity, event day and available day, the partial states of every feature of a group.

    silver rows (one per event) ──states of an event──merge──> entity, event day, available day, _s0, _s1, ..

A tile holds what its day contributes, so a window is a merge of tiles and a late event touches one tile.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import Aggregate, ColumnValue, DaysBetween, FeatureGroup
from headwater.config.tables import TableContract
from headwater.contracts.schema import spark_type
from headwater.features.algebra import State, merge_column, operation
from headwater.features.kernel import ALWAYS, Span
from headwater.features.records import FROM, UNTIL


def tiles(events: DataFrame, group: FeatureGroup, contract: TableContract, span: Span) -> DataFrame:
    """Merge the events of a group that can count on the dates of a span, by day.

    Days that lie before every window are one tile per entity: they count for lifetime features only, and for those
    it does not matter when before the span they were.

    Args:
        events: silver rows of the group's table.
        group: declared features.
        contract: the table's contract, for the entity column and the scale of money.
        span: the dates.

    Returns:
        The contract's entity column, `_from` (event day since 1970), `_until` (the day since when the fact is known;
        null: not known yet) and the states as `_s0`, `_s1`, .. in declared order; one row per entity and both days.
    """
    day = day_of(group.event_time)
    finite = [feature.window_days for feature in group.features if feature.window_days is not None]
    earliest = span.first - max(finite, default=1) + 1
    within = events.where(day <= span.last)
    if group.longest_window is not None:
        within = within.where(day >= earliest)
    prepared = contributions(within, group, contract)
    cut = prepared.withColumns({FROM: _cut(F.col(FROM), earliest), UNTIL: _cut(F.col(UNTIL), span.first)})
    merged = [merge_column(each.monoid, name).alias(name) for name, each in _states(group).items()]
    return cut.groupBy(contract.entity, FROM, UNTIL).agg(*merged)


def contributions(
    events: DataFrame, group: FeatureGroup, contract: TableContract, others: Sequence[str] = ()
) -> DataFrame:
    """What every event contributes to the tile it belongs to.

    Args:
        events: silver rows of the group's table.
        group: declared features.
        contract: the table's contract.
        others: columns to keep beside.

    Returns:
        The contract's entity column, `_from`, `_until` and `_s0`, .. as `tiles` has them; one row per event.
    """
    day = day_of(group.event_time)
    known_from = day_of(group.available) if group.available else F.lit(None).cast("bigint")
    features = [feature for feature in group.features for _ in operation(feature.op).states]
    contributed = [
        each.of_event(_value(feature, contract), day).cast("bigint").alias(name)
        for feature, (name, each) in zip(features, _states(group).items(), strict=True)
    ]
    return events.select(contract.entity, day.alias(FROM), known_from.alias(UNTIL), *contributed, *others)


def _states(group: FeatureGroup) -> dict[str, State]:
    """The states of a group by the column they are in."""
    states = (each for feature in group.features for each in operation(feature.op).states)
    return {f"_s{place}": each for place, each in enumerate(states)}


def _cut(day: Column, earliest: int) -> Column:
    """Days before all that matters are one."""
    return F.when(day < earliest, F.lit(ALWAYS)).otherwise(day)


def day_of(column: str) -> Column:
    """The UTC day of a date or timestamp column, since 1970."""
    return F.expr(f"unix_date(to_date(`{column}`))").cast("bigint")


def value_scale(feature: Aggregate, contract: TableContract) -> int:
    """Decimal places of the value that a feature aggregates; its states count in that smallest unit."""
    if not isinstance(feature.value, ColumnValue):
        return 0
    declared = next(column.type for column in contract.columns if column.name == feature.value.column)
    return int(getattr(spark_type(declared), "scale", 0))


def _value(feature: Aggregate, contract: TableContract) -> Column:
    """What a row contributes, in smallest units; null where it does not count."""
    matches = F.expr("true")
    for condition in feature.where:
        matches &= F.coalesce(F.col(f"`{condition.column}`") == condition.equals, F.expr("false"))
    return F.when(matches, _integer_value(feature, contract))


def _integer_value(feature: Aggregate, contract: TableContract) -> Column:
    match feature.value:
        case None:
            return F.lit(1).cast("bigint")
        case ColumnValue(column=column):
            return (F.col(f"`{column}`") * F.lit(10 ** value_scale(feature, contract))).cast("bigint")
        case DaysBetween(start=start, end=end):
            return day_of(end) - day_of(start)
