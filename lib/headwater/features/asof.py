"""Who has a row on a date, and what a dimension said at the end of that date."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.contracts.schema import VALID_FROM, VALID_TO

FEATURE_DATE = "feature_date"


def spine(dimension: DataFrame, view: FeatureView, dates: DataFrame) -> DataFrame:
    """Entity x date, with attributes: the version valid at the end of the date, if its start date has come.

    Args:
        dimension: the population's table, every version with its validity.
        view: population and attributes.
        dates: one column, `feature_date`; small.

    Returns:
        Entity, `feature_date` and the view's attributes; one row per entity of the population and date.
    """
    next_midnight = F.date_add(FEATURE_DATE, 1).cast("timestamp")
    begun = F.col(VALID_FROM).isNull() | (F.col(VALID_FROM) < next_midnight)
    lasting = F.col(VALID_TO).isNull() | (F.col(VALID_TO) >= next_midnight)
    member = F.to_date(f"`{view.population.since}`") <= F.col(FEATURE_DATE)
    valid = dimension.crossJoin(F.broadcast(dates)).where(begun & lasting).where(member)
    return valid.select(view.entity, FEATURE_DATE, *view.attributes)
