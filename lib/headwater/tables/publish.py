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
from dataclasses import dataclass
from datetime import date

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.features.scope import in_scope
from headwater.tables.delta import Batch, TableSpec, Upsert, Written, merge_once, overwrite_once, replace_dates_once

FEATURE_DATE = "feature_date"
FEATURE_MONTH = "feature_month"
_GONE, _REPLACED = "_gone", "_replaced"


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a publication replaces.

    Attributes:
        dates: every row of these.
        scope: of others the rows of these entities and days (`features.scope`); None for none.
        repaired: which others.
    """

    dates: Sequence[date]
    scope: DataFrame | None = None
    repaired: Sequence[date] = ()

    def told(self, rows: DataFrame) -> DataFrame:
        """Rows, each with whether it is replaced."""
        of_dates = F.col(FEATURE_DATE).isin(list(self.dates))
        if self.scope is None:
            return rows.withColumn(_REPLACED, of_dates)
        entity, first, last = self.scope.columns
        day = F.unix_date(FEATURE_DATE)
        of_scope = F.col(FEATURE_DATE).isin(list(self.repaired)) & day.between(F.col(first), F.col(last))
        known = rows.join(F.broadcast(self.scope), on=entity, how="left")
        return known.withColumn(_REPLACED, of_dates | F.coalesce(of_scope, F.lit(False))).drop(first, last)  # noqa: FBT003


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
            "delta.enableDeletionVectors": "true",
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


def repair_history(
    rows: DataFrame, scope: DataFrame, before: DataFrame, location: str, dates: Sequence[date], batch: Batch
) -> Written:
    """Put rows of some entities in the place of those that are published; a row that is as it was stays where it is.

    Args:
        rows: audited, of the scope; one per (entity, feature_date).
        scope: the entities and days that are replaced (`features.scope`).
        before: the published history; of its rows in the scope those without a new one are deleted.
        location: of the history.
        dates: which days of the scope.
        batch: of the publication.
    """
    entity = rows.columns[0]
    month = F.trunc(FEATURE_DATE, "MM").alias(FEATURE_MONTH)
    published = before.where(F.col(FEATURE_DATE).isin(list(dates)) & F.col(FEATURE_MONTH).isin(_months(dates)))
    keys = in_scope(published.select(entity, FEATURE_DATE), scope, FEATURE_DATE)
    gone = keys.join(rows.select(entity, FEATURE_DATE), on=[entity, FEATURE_DATE], how="left_anti")
    new = rows.select("*", month, F.lit(False).alias(_GONE))  # noqa: FBT003
    changes = new.unionByName(gone.select("*", month, F.lit(True).alias(_GONE)), allowMissingColumns=True)  # noqa: FBT003
    months = [f"date'{each.isoformat()}'" for each in _months(dates)]
    upsert = Upsert(key=[entity, FEATURE_DATE], within={FEATURE_MONTH: months}, gone=_GONE)
    return merge_once(changes, location, upsert, batch)


def changed_by_date(changes: DataFrame) -> dict[date, int]:
    """How many rows of each date a repair wrote, changed or took away.

    Args:
        changes: the history's change data feed of the repair's version.
    """
    counted = changes.where(F.col("_change_type") != "update_preimage").groupBy(FEATURE_DATE).count()
    return dict(sorted((row[0], row[1]) for row in counted.collect()))


def publish_latest(rows: DataFrame, history: DataFrame, location: str, replaced: Replaced, batch: Batch) -> Written:
    """Bring the latest table, each entity's row of greatest date clustered by entity, up to a history.

    Args:
        rows: what was put in the place of what was replaced.
        history: published rows, after that.
        location: the latest table, as it followed from the history before.
        replaced: what was; of the rest nothing needs to be read, unless an entity has lost its row.
        batch: of the publication.
    """
    columns, entity = rows.columns, rows.columns[0]
    before = replaced.told(rows.sparkSession.read.format("delta").load(location))
    stays = before.where(~F.col(_REPLACED))
    # A feature that is new has no column in the latest table yet, and no value in its rows.
    candidates = rows.unionByName(stays, allowMissingColumns=True).select(*columns)
    newest = candidates.groupBy(entity).agg(F.max(FEATURE_DATE).alias("_is"))
    leaves = before.where(_REPLACED).select(entity, F.col(FEATURE_DATE).alias("_was"))
    was = leaves.join(newest, on=entity, how="left")
    lost = was.where(F.col("_is").isNull() | (F.col("_is") < F.col("_was"))).select(entity)
    found = history.select(*columns).join(F.broadcast(lost), on=entity, how="left_semi")
    candidates = candidates.unionByName(found)
    return overwrite_once(_newest(candidates, entity).sortWithinPartitions(entity), location, batch)


def _newest(rows: DataFrame, entity: str) -> DataFrame:
    others = [name for name in rows.columns if name not in (entity, FEATURE_DATE)]
    newest = rows.groupBy(entity).agg(F.max(F.struct(FEATURE_DATE, *others)).alias("_row"))
    return newest.select(entity, *(F.col(f"_row.`{name}`").alias(name) for name in rows.columns if name != entity))


def _months(dates: Iterable[date]) -> list[date]:
    return sorted({day.replace(day=1) for day in dates})


def closed_months(dates: Iterable[date], last_published: date) -> tuple[date, ...]:
    """Months of `dates` that are closed once `last_published` is published."""
    months = {day.replace(day=1) for day in dates}
    return tuple(sorted(month for month in months if month < last_published.replace(day=1)))


def compact_months(spark: SparkSession, location: str, months: Iterable[date], entity: str) -> None:
    """Compact and Z-order closed months; repeating it rewrites files, never rows."""
    for month in months:
        table = DeltaTable.forPath(spark, location)
        table.optimize().where(f"{FEATURE_MONTH} = date'{month.isoformat()}'").executeZOrderBy(entity)
