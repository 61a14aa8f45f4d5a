"""Who has a row on a date, and what a dimension said at the end of that date."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO

FEATURE_DATE = "feature_date"
_SINCE = "_since"


def spine(members: DataFrame, contract: TableContract, view: FeatureView, dates: DataFrame) -> DataFrame:
    """Entity x date, with attributes.

    From a dimension: the version valid at the end of the date, if its start date has come. From a fact table: every
    entity with an event on or before the date.

    Args:
        members: rows of the population's table; of a dimension every version with its validity.
        contract: the table's contract.
        view: population and attributes.
        dates: one column, `feature_date`; small.

    Returns:
        Entity, `feature_date` and the view's attributes; one row per entity of the population and date.
    """
    entity, since = F.col(f"`{contract.entity}`").alias(view.entity), F.to_date(f"`{view.population.since}`")
    begun = F.col(_SINCE) <= F.col(FEATURE_DATE)
    if contract.kind == "fact":
        first = members.groupBy(entity).agg(F.min(since).alias(_SINCE))
        return first.crossJoin(F.broadcast(dates)).where(begun).select(view.entity, FEATURE_DATE)
    next_midnight = F.date_add(FEATURE_DATE, 1).cast("timestamp")
    started = F.col(VALID_FROM).isNull() | (F.col(VALID_FROM) < next_midnight)
    lasting = F.col(VALID_TO).isNull() | (F.col(VALID_TO) >= next_midnight)
    versions = members.select(entity, since.alias(_SINCE), VALID_FROM, VALID_TO, *view.attributes)
    valid = versions.crossJoin(F.broadcast(dates)).where(started & lasting).where(begun)
    return valid.select(view.entity, FEATURE_DATE, *view.attributes)
