"""Who has a row on a date, counted from the population's table alone."""

from collections.abc import Iterable, Mapping
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO

FEATURE_DATE = "feature_date"
DAY, CHANGE = "day", "change"
_BEGINS, _ENDS = "_begins", "_ends"
# Days since 1970 that a date can be.
_DATES = (-719_162, 2_932_896)


def population_changes(
    members: DataFrame, contract: TableContract, view: FeatureView, scope: DataFrame | None = None
) -> DataFrame:
    """By how many the population changes on each day.

    From a dimension: a version adds its entity on the day from whose end on it is the valid one and its start date has
    come, and takes it away on the day at whose end it no longer is. From a fact table: an entity's first event adds it.

    Args:
        members: rows of the population's table; of a dimension every version with its validity.
        contract: the table's contract.
        view: population.
        scope: the entities and days that are asked about (`scope.changed_entities`); None for all.

    Returns:
        `day` and `change`; one row per day on which something changes.
    """
    since, entity = F.to_date(f"`{view.population.since}`"), F.col(f"`{contract.entity}`").alias(view.entity)
    if contract.kind == "fact":
        lives = members.groupBy(entity).agg(F.min(since).alias(_BEGINS)).withColumn(_ENDS, F.lit(None).cast("date"))
    else:
        begins = F.greatest(since, F.to_date(VALID_FROM))
        lives = members.where(since.isNotNull()).select(entity, begins.alias(_BEGINS), F.to_date(VALID_TO).alias(_ENDS))
    if scope is not None:
        lives = _within(lives, scope)
    begins, ends = F.col(_BEGINS), F.col(_ENDS)
    lasting = lives.where(ends.isNull() | (begins < ends))
    steps = F.array(F.struct(begins.alias(DAY), F.lit(1).alias("by")), F.struct(ends.alias(DAY), F.lit(-1).alias("by")))
    each = lasting.select(F.explode(steps).alias("step")).select("step.*").where(F.col(DAY).isNotNull())
    return each.groupBy(DAY).agg(F.sum("by").alias(CHANGE))


def _within(lives: DataFrame, scope: DataFrame) -> DataFrame:
    """Lives on the days of a scope; a day too far off for a date is one without end."""
    entity, first, last = (F.col(name) for name in scope.columns)
    day = {
        each: F.date_from_unix_date(F.when(bound.between(*_DATES), bound).cast("int"))
        for each, bound in (("from", first), ("until", last + 1))
    }
    wanted = scope.select(entity, day["from"].alias("_wanted_from"), day["until"].alias("_wanted_until"))
    cut = lives.join(F.broadcast(wanted), on=scope.columns[0], how="inner")
    # Of several, the greatest or least that is one: null means without bound.
    begins, ends = F.greatest(_BEGINS, "_wanted_from"), F.least(_ENDS, "_wanted_until")
    return cut.select(begins.alias(_BEGINS), ends.alias(_ENDS))


def population_at(changes: Mapping[date, int], dates: Iterable[date]) -> dict[date, int]:
    """How many have a row on each of some dates."""
    counts, total, steps = {}, 0, sorted(changes.items(), reverse=True)
    for day in sorted(dates):
        while steps and steps[-1][0] <= day:
            total += steps.pop()[1]
        counts[day] = total
    return counts
