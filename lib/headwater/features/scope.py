"""Which rows a change of silver can change: per entity, the days from the first to the last that it counts on.

    change feed (old and new images) ──day, day + window - 1──> per entity: first day, last day

An interval may hold days that nothing changed on; what is computed there is what is there already.
"""

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM
from headwater.features.kernel import ALWAYS, NEVER, Span
from headwater.features.rows import day_of, entity_type
from headwater.features.tilesets import FROM, UNTIL

FIRST, LAST = "_first", "_last"
SCOPE = "_scope"


def changed_entities(
    feeds: Mapping[str, DataFrame], contracts: Mapping[str, TableContract], view: FeatureView, span: Span
) -> DataFrame:
    """The scope of what changed in silver.

    Args:
        feeds: by table, the rows that came, went or were changed, as they were and as they are.
        contracts: of the view's tables.
        view: its windows say how far a row reaches; what has none, and the dimension, reaches for ever.
        span: the published days in question.

    Returns:
        The view's entity, `_first` and `_last` (days since 1970); one row per entity that has any in the span.
    """
    kind = entity_type(view, contracts)
    reached = [
        feed.select(F.col(f"`{contracts[table].entity}`").cast(kind).alias(view.entity), F.explode(F.array(*reaches)))
        for table, feed in feeds.items()
        if (reaches := _reaches(contracts[table], view))
    ]
    days = reduce(DataFrame.unionByName, reached).select(view.entity, "col.*")
    within = days.where((F.col(FIRST) <= span.last) & (F.col(LAST) >= span.first))
    return within.groupBy(view.entity).agg(F.min(FIRST).alias(FIRST), F.max(LAST).alias(LAST))


def scope_rows(scope: DataFrame) -> DataFrame:
    """A scope as rows of a staging table: entity, and `_scope` with its days; no date."""
    return scope.select(scope.columns[0], F.struct(FIRST, LAST).alias(SCOPE))


def scope_in(staged: DataFrame) -> DataFrame:
    """The scope that a staging table, whose first column is the entity, holds beside its rows."""
    return staged.where(F.col(SCOPE).isNotNull()).select(staged.columns[0], f"{SCOPE}.*")


def of_entities(rows: DataFrame, entity: str, scope: DataFrame) -> DataFrame:
    """The rows of entities in a scope.

    Args:
        rows: anything with a column of entities.
        entity: which it is.
        scope: its first column is the entity.
    """
    name = scope.columns[0]
    wanted = scope.select(F.col(name).alias("_wanted"))
    is_wanted = F.col(f"`{entity}`").cast(scope.schema[name].dataType) == F.col("_wanted")
    return rows.join(F.broadcast(wanted), on=is_wanted, how="left_semi")


def cut_to(members: DataFrame, scope: DataFrame) -> DataFrame:
    """Membership on the days of a scope only.

    Args:
        members: entity, `_from` and `_until` (the first day without), and any others.
        scope: see `changed_entities`.
    """
    entity = scope.columns[0]
    begin, end = F.greatest(FROM, FIRST), F.least(F.coalesce(UNTIL, F.lit(NEVER)), F.col(LAST) + 1)
    cut = members.join(F.broadcast(scope), on=entity, how="inner").withColumns({FROM: begin, UNTIL: end})
    return cut.select(*members.columns)


def in_scope(rows: DataFrame, scope: DataFrame, date: str) -> DataFrame:
    """Rows of the entities and days of a scope.

    Args:
        rows: entity, a date, and any others.
        scope: see `changed_entities`.
        date: the column that holds the date.
    """
    day = F.unix_date(date)
    found = rows.join(F.broadcast(scope), on=scope.columns[0], how="inner")
    return found.where(day.between(F.col(FIRST), F.col(LAST))).select(*rows.columns)


def _reaches(contract: TableContract, view: FeatureView) -> list[Column]:
    """The days that a row of a table counts on, for each thing that is made of it."""
    found = [
        _interval(day_of(group.event_time), group.longest_window)
        for group in view.groups
        if group.table == contract.name
    ]
    if contract.name == view.population.table:
        # A version answers from its own begin on, the first one for all time before it.
        since = day_of(view.population.since) if contract.kind == "fact" else day_of(VALID_FROM)
        found.append(_interval(F.coalesce(since, F.lit(ALWAYS)), None))
    return found


def _interval(day: Column, window: int | None) -> Column:
    last = F.lit(NEVER) if window is None else day + (window - 1)
    return F.struct(day.alias(FIRST), last.cast("bigint").alias(LAST))
