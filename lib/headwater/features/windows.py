"""Feature rows for a set of dates: slow, plain and right.

    spine (entity x date)  <──left join──  per group: tiles x dates within the longest window ──merge──> states
                                            └──finalize, default──> features

Every tile meets every date whose window it lies in; there is no carried state. A view costs one scan and one shuffle
per group and one join of the results, whatever the number of dates.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import Aggregate, FeatureGroup, FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import spark_type
from headwater.features.algebra import operation
from headwater.features.asof import FEATURE_DATE, spine
from headwater.features.carry import stale_sources
from headwater.features.tiles import AVAILABLE_DAY, EVENT_DAY, state_column, tiles, value_scale


def feature_rows(
    view: FeatureView,
    contracts: Mapping[str, TableContract],
    silver: Mapping[str, DataFrame],
    dates: DataFrame,
    carried: Mapping[str, Sequence[date]] | None = None,
) -> DataFrame:
    """Compute the view for every date of `dates`.

    Args:
        view: what to compute.
        contracts: contracts of the view's tables.
        silver: their rows, by table name.
        dates: one column, `feature_date`.
        carried: by table, dates at which its source is stale; its group is left at the no-match values there.

    Returns:
        The view's columns in published order; one row per (entity, feature_date).
    """
    carried = carried or {}
    population = view.population.table
    rows = spine(silver[population], contracts[population], view, dates)
    for group in view.groups:
        contract = contracts[group.table]
        own = dates.where(~F.col(FEATURE_DATE).isin(list(carried[group.table]))) if group.table in carried else dates
        states = _merged(tiles(silver[group.table], group, contract), group, contract, own)
        states = states.withColumnRenamed(contract.entity, view.entity)
        rows = rows.join(states, on=[view.entity, FEATURE_DATE], how="left")
    finished = [
        _finished(feature, contracts[group.table]).alias(feature.name)
        for group in view.groups
        for feature in group.features
    ]
    return rows.select(
        view.entity,
        FEATURE_DATE,
        *finished,
        *view.attributes,
        stale_sources({table: contracts[table].source for table in carried}, carried),
        F.lit(view.pipeline_version).alias("pipeline_version"),
    )


def _merged(tiled: DataFrame, group: FeatureGroup, contract: TableContract, dates: DataFrame) -> DataFrame:
    """Merge each entity's tiles over every feature's window; one row per (entity, date) that has any tile."""
    within = F.col(EVENT_DAY) <= F.col(FEATURE_DATE)
    if group.longest_window is not None:
        within &= F.col(EVENT_DAY) > F.date_sub(FEATURE_DATE, group.longest_window)
    placed = tiled.join(F.broadcast(dates), on=within, how="inner")
    merged = [
        operation(feature.op).merge(F.when(_in_window(feature), F.col(name))).alias(name)
        for feature in group.features
        for name in _state_columns(feature, tiled)
    ]
    return placed.groupBy(contract.entity, FEATURE_DATE).agg(*merged)


def _in_window(feature: Aggregate) -> Column:
    inside = F.expr("true")
    if feature.window_days is not None:
        inside &= F.col(EVENT_DAY) > F.date_sub(FEATURE_DATE, feature.window_days)
    if feature.available is not None:
        inside &= F.col(AVAILABLE_DAY) <= F.col(FEATURE_DATE)
    return inside


def _state_columns(feature: Aggregate, tiled: DataFrame) -> list[str]:
    prefix = state_column(feature, "")
    return [name for name in tiled.columns if name.startswith(prefix)]


def _finished(feature: Aggregate, contract: TableContract) -> Column:
    op = operation(feature.op)
    names = op.prepare(F.lit(0), F.lit(None), F.expr("true"))
    states = {name: F.col(state_column(feature, name)) for name in names}
    value = op.finalize(states, F.col(FEATURE_DATE), value_scale(feature, contract), feature)
    return (
        value if feature.default is None else F.coalesce(value, F.lit(feature.default).cast(spark_type(feature.type)))
    )
