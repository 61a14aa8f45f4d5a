"""Who has a row: the days on which an entity is a member, by the version that is valid at their end.

From a dimension: where the version's start date has come. From a fact table: from the entity's first event on.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO
from headwater.features.kernel import Span
from headwater.features.log import CHANGE, TAKES_BACK
from headwater.features.rows import day_of
from headwater.features.tilesets import FROM, KIND, MEMBER, SIGN, UNTIL


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
    return lives if contract.kind == "fact" else _within(lives, span)


def changed_members(changes: DataFrame, contract: TableContract, view: FeatureView, span: Span) -> DataFrame:
    """What has changed of who is a member on the days of a span.

    Args:
        changes: change feed of the population's table since it was known who is one; of a fact table rows that came.
        contract: of the table.
        view: population and attributes.
        span: the days; no version that was there already begins or ends on them.

    Returns:
        As `members`. Of a dimension the lives that came, and those that went, with their `_sign`; one that came and was
        changed again is there three times. On the days of what is left, once they are added up, an entity is only
        what it is told to be, on others what it was. From a fact table who has joined.
    """
    if contract.kind == "fact":
        return _lives(changes, contract, view)
    sign = F.when(F.col(CHANGE).isin(*TAKES_BACK), -1).otherwise(1)
    return _within(_lives(changes.withColumn(SIGN, sign), contract, view, SIGN), span)


def _within(lives: DataFrame, span: Span) -> DataFrame:
    return lives.where((F.col(FROM) <= span.last) & (F.col(UNTIL).isNull() | (F.col(UNTIL) > span.first)))


def _lives(rows: DataFrame, contract: TableContract, view: FeatureView, *others: str) -> DataFrame:
    since = day_of(view.population.since)
    entity, kind = F.col(f"`{contract.entity}`").alias(view.entity), F.lit(MEMBER).alias(KIND)
    if contract.kind == "fact":
        first = rows.groupBy(entity).agg(F.min(since).alias(FROM))
        return first.select(view.entity, kind, FROM, F.lit(None).cast("bigint").alias(UNTIL))
    # Of versions that follow each other within a day the last one stands at its end, and the others are empty.
    begin, until = F.greatest(since, day_of(VALID_FROM)), day_of(VALID_TO)
    named = rows.where(since.isNotNull()).select(
        entity, kind, begin.alias(FROM), until.alias(UNTIL), *view.attributes, *others
    )
    return named.where(F.col(UNTIL).isNull() | (F.col(FROM) < F.col(UNTIL)))
