"""Gold: the published history and the latest row per entity.

History is partitioned by month, a column Delta derives from `feature_date`, so that a filter on the date prunes months.
While a month is open its files are per run; once a later month has a published date it is closed, compacted and
Z-ordered by entity, and a lookup of one customer opens a file or two per month.

History keeps a change data feed, so that a training set can ask what was published at the time. A date that is
published for the first time costs nothing more by it; one that is published again costs its rows twice over, once as
they were and once as they are. The feed lives in the table: VACUUM deletes its files with the others of that age, and
the log's commits have to be there from the first one on, so they are kept for ten years.
"""

from collections.abc import Iterable, Sequence
from datetime import date

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.tables.delta import Batch, TableSpec, Written, overwrite_once, replace_dates_once

FEATURE_DATE = "feature_date"
FEATURE_MONTH = "feature_month"


def staged_spec(location: str, schema: T.StructType) -> TableSpec:
    """The table that holds candidate rows until they are audited; latest is created alike."""
    return TableSpec(location, schema, properties=_statistics(schema))


def history_spec(location: str, schema: T.StructType) -> TableSpec:
    """The published table: the view's columns and the month they fall in."""
    with_month = T.StructType([*schema.fields, T.StructField(FEATURE_MONTH, T.DateType())])
    month = f"cast(trunc({FEATURE_DATE}, 'MM') as date)"
    return TableSpec(
        location,
        with_month,
        partition_by=(FEATURE_MONTH,),
        generated={FEATURE_MONTH: month},
        properties={
            **_statistics(schema),
            "delta.enableChangeDataFeed": "true",
            "delta.logRetentionDuration": "interval 3650 days",
        },
    )


def _statistics(schema: T.StructType) -> dict[str, str]:
    """Files are found by entity and date; the least and greatest of every feature would cost a third of a write."""
    entity = schema.fieldNames()[0]
    return {"delta.dataSkippingStatsColumns": f"{entity},{FEATURE_DATE}"}


def publish_history(audited: DataFrame, location: str, dates: Sequence[date], batch: Batch) -> Written:
    """Replace the history of some dates by audited rows."""
    return replace_dates_once(audited, location, FEATURE_DATE, dates, batch)


def publish_latest(history: DataFrame, location: str, dates: Sequence[date], batch: Batch) -> Written:
    """Bring the latest table, each entity's row of greatest date clustered by entity, up to a history.

    Args:
        history: published rows, after the dates were replaced.
        location: the latest table, as it followed from the history before.
        dates: the dates that were replaced; what is not of them needs not be read, unless an entity has lost its row.
        batch: of the publication.
    """
    spark, replaced = history.sparkSession, F.col(FEATURE_DATE).isin(list(dates))
    columns = [name for name in history.columns if name != FEATURE_MONTH]
    entity = columns[0]
    before = spark.read.format("delta").load(location)
    rows = history.select(*columns)
    # A feature that is new has no column in the latest table yet, and no value in its rows.
    candidates = rows.where(replaced).unionByName(before.where(~replaced), allowMissingColumns=True).select(*columns)
    newest = candidates.groupBy(entity).agg(F.max(FEATURE_DATE).alias("_is"))
    was = before.where(replaced).select(entity, F.col(FEATURE_DATE).alias("_was")).join(newest, on=entity, how="left")
    lost = was.where(F.col("_is").isNull() | (F.col("_is") < F.col("_was"))).select(entity)
    candidates = candidates.unionByName(rows.join(F.broadcast(lost), on=entity, how="left_semi"))
    return overwrite_once(_newest(candidates, entity).sortWithinPartitions(entity), location, batch)


def _newest(rows: DataFrame, entity: str) -> DataFrame:
    others = [name for name in rows.columns if name not in (entity, FEATURE_DATE)]
    newest = rows.groupBy(entity).agg(F.max(F.struct(FEATURE_DATE, *others)).alias("_row"))
    return newest.select(entity, *(F.col(f"_row.`{name}`").alias(name) for name in rows.columns if name != entity))


def closed_months(dates: Iterable[date], last_published: date) -> tuple[date, ...]:
    """Months of `dates` that are closed once `last_published` is published."""
    months = {day.replace(day=1) for day in dates}
    return tuple(sorted(month for month in months if month < last_published.replace(day=1)))


def compact_months(spark: SparkSession, location: str, months: Iterable[date], entity: str) -> None:
    """Compact and Z-order closed months; repeating it rewrites files, never rows."""
    for month in months:
        table = DeltaTable.forPath(spark, location)
        table.optimize().where(f"{FEATURE_MONTH} = date'{month.isoformat()}'").executeZOrderBy(entity)
