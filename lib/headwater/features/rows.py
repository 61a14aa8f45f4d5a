"""What a feature reads of a silver row, as Spark columns: the value in smallest units, and whether the row counts."""

from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import assert_never

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.aggregates import READING, Aggregate
from headwater.config.features import FeatureView
from headwater.config.rows import CalendarPart, ColumnValue, Condition, DaysBetween, Part, part_type, typed
from headwater.config.tables import TableContract
from headwater.contracts.schema import spark_type


def entity_type(view: FeatureView, contracts: Mapping[str, TableContract]) -> T.DataType:
    """The type of a view's entity: that of its population's."""
    members = contracts[view.population.table]
    return spark_type(_type(members.entity, members))


def day_of(column: str) -> Column:
    """The UTC day of a date or timestamp column, since 1970."""
    return F.expr(f"unix_date(to_date(`{column}`))").cast("bigint")


def time_of(column: str) -> Column:
    """A timestamp column, or the begin of a day, in microseconds since 1970."""
    return F.unix_micros(F.col(f"`{column}`").cast("timestamp"))


def value_scale(feature: Aggregate, contract: TableContract) -> int:
    """Decimal places of the value that a feature aggregates; its states count in that smallest unit."""
    if not isinstance(feature.value, ColumnValue):
        return 0
    return int(getattr(spark_type(_type(feature.value.column, contract)), "scale", 0))


def contribution(feature: Aggregate, contract: TableContract) -> Column:
    """What a row contributes, a whole number of smallest units or a text; null where it does not count."""
    return F.when(counts(feature, contract), value_of(feature, contract))


def value_of(feature: Aggregate, contract: TableContract) -> Column:
    """What a feature reads of a row: text, else a whole number (of smallest units, days, microseconds, or 1)."""
    match feature.value:
        case None:
            return F.lit(1).cast("bigint")
        case ColumnValue(column=column) if feature.op not in READING:
            # Any value will do, of whatever type and size.
            return F.when(F.col(f"`{column}`").isNotNull(), F.lit(1).cast("bigint"))
        case ColumnValue(column=column):
            return _column_value(column, contract)
        case DaysBetween(start=start, end=end):
            return day_of(end) - day_of(start)
        case CalendarPart(part=part, of=of):
            return calendar_part(part, F.col(f"`{of}`")).cast("bigint")
        case _:
            assert_never(feature.value)


def _column_value(name: str, contract: TableContract) -> Column:
    column = F.col(f"`{name}`")
    match spark_type(_type(name, contract)):
        case T.StringType():
            return column
        case T.DateType():
            return day_of(name)
        case T.TimestampType():
            return time_of(name)
        case T.BooleanType():
            return column.cast("bigint")
        case found:
            return (column * F.lit(10 ** int(getattr(found, "scale", 0)))).cast("bigint")


def counts(feature: Aggregate, contract: TableContract) -> Column:
    """Whether a row meets every condition of a feature; never null."""
    return reduce(and_, (_holds(condition, contract) for condition in feature.where), F.expr("true"))


def _holds(condition: Condition, contract: TableContract) -> Column:
    column = F.col(f"`{condition.read}`")
    if condition.is_null is not None:
        return column.isNull() if condition.is_null else column.isNotNull()
    kind = part_type(condition.part) if condition.part else _type(condition.read, contract)
    found = calendar_part(condition.part, column) if condition.part else column
    found = found.cast("boolean") if condition.part == "weekend" else found
    answers = []
    if condition.equals is not None:
        answers.append(found == F.lit(typed(condition.equals, kind)))
    if condition.among is not None:
        answers.append(found.isin([typed(value, kind) for value in condition.among]))
    if condition.at_least is not None:
        answers.append(found >= F.lit(typed(condition.at_least, kind)))
    if condition.at_most is not None:
        answers.append(found <= F.lit(typed(condition.at_most, kind)))
    return F.coalesce(reduce(and_, answers), F.expr("false"))


def calendar_part(part: Part, column: Column) -> Column:
    """Where in the calendar a date or an instant (in UTC) lies, as an int; Monday is day 1 of a week."""
    match part:
        case "hour":
            return F.hour(column)
        case "day_of_week":
            return F.weekday(column) + 1
        case "month":
            return F.month(column)
        case "quarter":
            return F.quarter(column)
        case "weekend":
            return (F.weekday(column) >= 5).cast("int")
        case _:
            assert_never(part)


def _type(column: str, contract: TableContract) -> str:
    return next(each.type for each in contract.columns if each.name == column)
