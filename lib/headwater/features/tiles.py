"""Tiles: per entity, event day and available day, the partial states of every feature of a group.

    silver rows (one per event) ──prepare──> entity, event_day, available_day, <feature>__<state>...

A tile holds what its day contributes, so a window is a merge of tiles and a late event touches one tile.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import Aggregate, ColumnValue, DaysBetween, FeatureGroup
from headwater.config.tables import TableContract
from headwater.contracts.schema import spark_type
from headwater.features.algebra import operation

EVENT_DAY = "event_day"
AVAILABLE_DAY = "available_day"


def tiles(events: DataFrame, group: FeatureGroup, contract: TableContract) -> DataFrame:
    """Aggregate a group's events by day.

    Args:
        events: silver rows of the group's table.
        group: declared features.
        contract: the table's contract, for the entity column and the scale of money.

    Returns:
        Entity, `event_day`, `available_day` (null where a fact is not known yet, or where no feature has such a date)
        and the states; one row per (entity, event day, available day).
    """
    available = group.available
    days = events.withColumn(EVENT_DAY, F.to_date(f"`{group.event_time}`"))
    days = days.withColumn(AVAILABLE_DAY, F.to_date(f"`{available}`") if available else F.lit(None).cast("date"))
    states: list[Column] = []
    for feature in group.features:
        value = _integer_value(feature, contract)
        prepared = operation(feature.op).prepare(value, F.col(EVENT_DAY), _counts(feature))
        states += [expression.alias(state_column(feature, name)) for name, expression in prepared.items()]
    return days.groupBy(contract.entity, EVENT_DAY, AVAILABLE_DAY).agg(*states)


def state_column(feature: Aggregate, state: str) -> str:
    """Name of a state's column in a tile."""
    return f"{feature.name}__{state}"


def value_scale(feature: Aggregate, contract: TableContract) -> int:
    """Decimal places of the value that a feature aggregates; its states count in that smallest unit."""
    if not isinstance(feature.value, ColumnValue):
        return 0
    declared = next(column.type for column in contract.columns if column.name == feature.value.column)
    return int(getattr(spark_type(declared), "scale", 0))


def _counts(feature: Aggregate) -> Column:
    matches = F.expr("true")
    for condition in feature.where:
        matches &= F.coalesce(F.col(f"`{condition.column}`") == condition.equals, F.expr("false"))
    return matches


def _integer_value(feature: Aggregate, contract: TableContract) -> Column:
    match feature.value:
        case None:
            return F.lit(1).cast("decimal(38,0)")
        case ColumnValue(column=column):
            return (F.col(f"`{column}`") * F.lit(10 ** value_scale(feature, contract))).cast("decimal(38,0)")
        case DaysBetween(start=start, end=end):
            return F.datediff(F.to_date(f"`{end}`"), F.to_date(f"`{start}`")).cast("decimal(38,0)")
