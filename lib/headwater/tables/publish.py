"""Gold: the published history and the latest row per entity.

History is partitioned by month, a column Delta derives from `feature_date`, so that a filter on the date prunes months.
A publication writes each month in order of entity. A month that came in one publication stays as it is; any other is
compacted and Z-ordered by entity once it is closed, when a later month has a published date. So a lookup of one
customer opens a file or two per closed month.

History keeps a change data feed, so that a training set can ask what was published at the time. A date that is
published for the first time costs nothing more by it; rows that are published again are kept twice over, as they were
and as they are. The feed lives in the table: VACUUM deletes its files with the others of that age, and
the log's commits have to be there from the first one on, so they are kept for ten years.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.features.asof import FEATURE_DATE
from headwater.features.scope import in_scope
from headwater.tables.delta import Batch, TableSpec, Written, overwrite_once, replace_dates_once
from headwater.tables.merge import Upsert, merge_once

FEATURE_MONTH = "feature_month"
# A file of ten features takes a few bytes a row; a reader of one entity opens one file a month.
ROWS_OF_A_FILE = 1_000_000
_GONE, _REPLACED, _ROW, _WAS = "_gone", "_replaced", "_row", "_was"


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


def publish_history(audited: DataFrame, location: str, dates: Sequence[date], rows: int, batch: Batch) -> Written:
    """Replace the history of some dates by audited rows, each month in order of entity.

    Args:
        audited: all rows of the dates.
        location: of the history.
        dates: to be replaced.
        rows: about how many there are.
        batch: of the publication.
    """
    order = (F.trunc(FEATURE_DATE, "MM"), audited.columns[0])
    placed = audited.repartitionByRange(max(1, rows // ROWS_OF_A_FILE), *order)
    ordered = placed.sortWithinPartitions(*order, FEATURE_DATE)
    return replace_dates_once(ordered, location, FEATURE_DATE, dates, batch)


def rows_gone(rows: DataFrame, scope: DataFrame, history: DataFrame, dates: Sequence[date]) -> DataFrame:
    """Entity and date of the published rows in a scope that have no row any more.

    Args:
        rows: audited, of the scope; one per (entity, feature_date).
        scope: the entities and days that are replaced (`features.scope`).
        history: the published rows.
        dates: which days of the scope.
    """
    key = [rows.columns[0], FEATURE_DATE]
    published = history.where(F.col(FEATURE_DATE).isin(list(dates)) & F.col(FEATURE_MONTH).isin(_months(dates)))
    known = in_scope(published.select(*key), scope, FEATURE_DATE)
    return known.join(rows.select(*key), on=key, how="left_anti")


def repair_history(
    rows: DataFrame, gone: DataFrame | None, location: str, dates: Sequence[date], batch: Batch
) -> Written:
    """Put rows of some entities in the place of those that are published.

    Args:
        rows: audited; one per (entity, feature_date).
        gone: entity and date of rows to be deleted; None: there are none, and every row has one to replace. Then a
            few rows can be sent to where the published ones are, which otherwise move.
        location: of the history.
        dates: which dates there may be among them.
        batch: of the publication.
    """
    entity = rows.columns[0]
    month = F.trunc(FEATURE_DATE, "MM").alias(FEATURE_MONTH)
    months = [f"date'{each.isoformat()}'" for each in _months(dates)]
    upsert = Upsert(key=[entity, FEATURE_DATE], within={FEATURE_MONTH: months}, only_there=gone is None)
    if gone is None:
        return merge_once(rows.select("*", month), location, upsert, batch)
    taken = gone.select("*", month, F.lit(True).alias(_GONE))  # noqa: FBT003
    changes = rows.select("*", month, F.lit(False).alias(_GONE)).unionByName(taken, allowMissingColumns=True)  # noqa: FBT003
    return merge_once(changes, location, replace(upsert, gone=_GONE), batch)


def changed_by_date(changes: DataFrame, columns: Sequence[str]) -> dict[date, int]:
    """How many rows of each date came or went by a repair, or are others than they were.

    Args:
        changes: the history's change data feed of the repair's version.
        columns: of the view, the entity first.
    """
    image = F.struct(*columns)
    rows = changes.groupBy(columns[0], FEATURE_DATE).agg(
        F.min(image).alias("least"), F.max(image).alias("greatest"), F.min("_change_type").alias("kind")
    )
    is_other = ~F.col("least").eqNullSafe(F.col("greatest")) | F.col("kind").isin("delete", "insert")
    counted = rows.where(is_other).groupBy(FEATURE_DATE).count()
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
    # A feature that is new has no column in the latest table yet, and no value in its rows.
    fresh = rows.withColumn(_REPLACED, F.lit(False))  # noqa: FBT003
    candidates = fresh.unionByName(before, allowMissingColumns=True).select(*columns, _REPLACED)
    row = F.struct(FEATURE_DATE, *(name for name in columns if name not in (entity, FEATURE_DATE)))
    newest, was = F.max(F.when(~F.col(_REPLACED), row)), F.max(F.when(F.col(_REPLACED), F.col(FEATURE_DATE)))
    picked = candidates.groupBy(entity).agg(newest.alias(_ROW), was.alias(_WAS)).persist()
    try:
        is_lost = F.coalesce(F.col(_WAS) > F.col(_ROW)[FEATURE_DATE], F.col(_ROW).isNull())
        lost, found = picked.where(is_lost).select(entity), picked.where(~is_lost).select(entity, _ROW)
        if not lost.isEmpty():
            theirs = history.join(F.broadcast(lost), on=entity, how="left_semi")
            found = found.unionByName(theirs.groupBy(entity).agg(F.max(row).alias(_ROW)))
        latest = found.select(entity, *(F.col(_ROW)[name].alias(name) for name in columns if name != entity))
        return overwrite_once(latest.sortWithinPartitions(entity), location, batch)
    finally:
        picked.unpersist()


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
