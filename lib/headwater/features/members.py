"""Who has a row: the days on which an entity is a member, by the version that is valid at their end.

From a dimension: where the version's start date has come. From a fact table: from the entity's first event on.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO
from headwater.features.kernel import NEVER, Span
from headwater.features.rows import day_of
from headwater.features.tilesets import FROM, KIND, MEMBER, UNTIL

_CHANGED = "_changed"


def members(rows: DataFrame, contract: TableContract, view: FeatureView, span: Span) -> DataFrame:
    """Everybody who is a member on a day of a span; from a fact table, also who will be.

    Args:
        rows: of the population's table; of a dimension every version with its validity.
        contract: of the table.
        view: population and attributes.
        span: the days.

    Returns:
        Entity, `_kind`, `_from`, `_until` (the first day without; null: none) and the attributes; one row per version,
        or per entity of a fact table.
    """
    lives = _lives(rows, contract, view)
    if contract.kind == "fact":
        return lives
    return lives.where((F.col(FROM) <= span.last) & (F.col(UNTIL).isNull() | (F.col(UNTIL) > span.first)))


def changed_members(
    rows: DataFrame, contract: TableContract, view: FeatureView, span: Span, changes: DataFrame | None
) -> DataFrame:
    """Of those who are not on the days of a span what they were on the day before it, all that is to be known.

    Args:
        rows: of the population's table.
        contract: of the table.
        view: population and attributes.
        span: the days.
        changes: rows that came, went or were changed since it was last known who is a member; of a fact table they only
            came. None for none.

    Returns:
        As `members`. Of a dimension all lives of an entity, or one without a day of who has none; from a fact table
        those who have joined.
    """
    if contract.kind == "fact":
        return _lives(rows.limit(0) if changes is None else changes, contract, view)
    lives = _lives(rows, contract, view)
    # What neither begins nor ends within the span is on all of its days as it was on the day before.
    is_told: Column = F.col(FROM).between(span.first, span.last) | F.col(UNTIL).between(span.first, span.last)
    if changes is None:
        return lives.where(F.coalesce(is_told, F.lit(False)))  # noqa: FBT003
    who = changes.select(F.col(f"`{contract.entity}`").alias(view.entity)).distinct()
    named = F.broadcast(who.withColumn(_CHANGED, F.lit(True)))  # noqa: FBT003
    known = lives.join(named, on=view.entity, how="left")
    told = known.where(F.coalesce(F.col(_CHANGED) | is_told, F.lit(False))).drop(_CHANGED)  # noqa: FBT003
    never = {FROM: F.lit(NEVER), UNTIL: F.lit(NEVER), KIND: F.lit(MEMBER)}
    return told.unionByName(who.withColumns(never), allowMissingColumns=True)


def _lives(rows: DataFrame, contract: TableContract, view: FeatureView) -> DataFrame:
    since = day_of(view.population.since)
    entity = F.col(f"`{contract.entity}`").alias(view.entity)
    kind = F.lit(MEMBER).alias(KIND)
    if contract.kind == "fact":
        first = rows.groupBy(entity).agg(F.min(since).alias(FROM))
        return first.select(view.entity, kind, FROM, F.lit(None).cast("bigint").alias(UNTIL))
    # Of versions that follow each other within a day the last one stands at its end, and the others are empty.
    begin, until = F.greatest(since, day_of(VALID_FROM)), day_of(VALID_TO)
    return rows.where(since.isNotNull()).select(entity, kind, begin.alias(FROM), until.alias(UNTIL), *view.attributes)
