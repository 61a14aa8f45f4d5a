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


def population_changes(members: DataFrame, contract: TableContract, view: FeatureView) -> DataFrame:
    """By how many the population changes on each day.

    From a dimension: a version adds its entity on the day from whose end on it is the valid one and its start date has
    come, and takes it away on the day at whose end it no longer is. From a fact table: an entity's first event adds it.

    Args:
        members: rows of the population's table; of a dimension every version with its validity.
        contract: the table's contract.
        view: population.

    Returns:
        `day` and `change`; one row per day on which something changes.
    """
    since = F.to_date(f"`{view.population.since}`")
    if contract.kind == "fact":
        entered = members.groupBy(f"`{contract.entity}`").agg(F.min(since).alias(DAY))
        return entered.groupBy(DAY).agg(F.count("*").alias(CHANGE))
    begins, ends = F.greatest(since, F.to_date(VALID_FROM)), F.to_date(VALID_TO)
    lasting = members.where(since.isNotNull() & (ends.isNull() | (begins < ends)))
    steps = F.array(F.struct(begins.alias(DAY), F.lit(1).alias("by")), F.struct(ends.alias(DAY), F.lit(-1).alias("by")))
    each = lasting.select(F.explode(steps).alias("step")).select("step.*").where(F.col(DAY).isNotNull())
    return each.groupBy(DAY).agg(F.sum("by").alias(CHANGE))


def population_at(changes: Mapping[date, int], dates: Iterable[date]) -> dict[date, int]:
    """How many have a row on each of some dates."""
    counts, total, steps = {}, 0, sorted(changes.items(), reverse=True)
    for day in sorted(dates):
        while steps and steps[-1][0] <= day:
            total += steps.pop()[1]
        counts[day] = total
    return counts
