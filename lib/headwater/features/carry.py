"""Feature rows whose sources have not come far enough: their groups keep the values that were published last.

    computed rows ──left join on (entity, date)──> published values ──> the stale features' columns from there

Of a stale group the computed rows hold the no-match values, because its events were left out; an entity that nothing
was published for keeps those. What is derived from a stale feature is stale too.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.features.asof import FEATURE_DATE

_FROM = "_from"
_VALUES = "_values"


def carry_forward(
    rows: DataFrame, history: DataFrame, view: FeatureView, carried: Mapping[str, Sequence[date]]
) -> DataFrame:
    """Put the values published last, on or before a row's date, into the features of stale tables.

    Args:
        rows: the view's columns, computed without the events of stale groups.
        history: published rows to take values from, the view's columns; one row per (entity, feature_date).
        view: groups and features.
        carried: by table, the dates its group is stale at.
    """
    stale = {
        name: sorted({day for table in tables for day in carried.get(table, ())})
        for name, tables in view.tables_of.items()
        if tables & carried.keys()
    }
    dates = F.explode(F.array(*(F.lit(day) for day in sorted({day for days in carried.values() for day in days}))))
    values = history.select(view.entity, F.col(FEATURE_DATE).alias(_FROM), F.struct(*stale).alias(_VALUES))
    offered = values.select("*", dates.alias(FEATURE_DATE)).where(F.col(_FROM) <= F.col(FEATURE_DATE))
    last = offered.groupBy(view.entity, FEATURE_DATE).agg(F.max_by(_VALUES, _FROM).alias(_VALUES))
    kept: dict[str, Column] = {}
    for name, days in stale.items():
        is_kept = F.col(FEATURE_DATE).isin(days) & F.col(_VALUES).isNotNull()
        kept[name] = F.when(is_kept, F.col(_VALUES)[name]).otherwise(F.col(name)).alias(name)
    joined = rows.join(last, on=[view.entity, FEATURE_DATE], how="left")
    return joined.select(*(kept.get(name, F.col(name)) for name in rows.columns))
