"""Rejected records as rows of the quarantine table: a reference, the reasons, a masked preview, never the record."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.transforms.conform import (
    BATCH_ID,
    BRONZE_COLUMNS,
    EXTRACTED_AT,
    NULLS,
    PREVIEW,
    REASONS,
    ROW_ID,
    SOURCE_FILE,
)

RECORD_ID = "_record_id"
CONTENT = "_content"
QUARANTINE_SCHEMA = T.StructType(
    [
        T.StructField("id", T.StringType()),
        T.StructField("source", T.StringType()),
        T.StructField("batch_id", T.StringType()),
        T.StructField("row_id", T.StringType()),
        T.StructField("stage", T.StringType()),
        T.StructField("reasons", T.ArrayType(T.StringType())),
        T.StructField("preview", T.StringType()),
        T.StructField("status", T.StringType()),
        T.StructField("quarantined_at", T.TimestampType()),
    ]
)


def with_content(records: DataFrame) -> DataFrame:
    """Add `_content`: a digest of what the source wrote, so that a record met again is known as the same."""
    raw = [name for name in records.columns if name not in BRONZE_COLUMNS and not name.startswith("_record")]
    written = F.to_json(F.struct(SOURCE_FILE, *(F.col(f"`{name}`") for name in raw)))
    return records.withColumn(CONTENT, F.sha2(written, 256))


def quarantine_rows(records: DataFrame, source: str, stage: str, waited_for: str = "") -> DataFrame:
    """Rows for the quarantine table.

    A record's id is the digest of its content and of how many equal ones precede it in its bronze batch: the same bad
    record read again next week, or twice before silver comes to it, keeps its id and its one row; two equal bad records
    of one batch are two rows. A replayed record brings its id along.

    Args:
        records: conformed rows with `_content`, `_record_id` (null unless replayed), `_batch_id`, `_row_id`; rejected
            ones become open, replayed ones that passed keep the reason they waited for.
        source: name of the source.
        stage: where the record was rejected.
        waited_for: the reason whose end lets a record be replayed.
    """
    passed = F.size(REASONS) == 0
    equal = Window.partitionBy(CONTENT, BATCH_ID, F.col(RECORD_ID).isNull()).orderBy(ROW_ID)
    identified = records.withColumn("id", F.coalesce(RECORD_ID, _own_id(source, F.row_number().over(equal))))
    first = F.row_number().over(Window.partitionBy("id").orderBy(BATCH_ID, ROW_ID)) == 1
    return (
        identified.withColumn("_first", first)
        .where("_first")
        .select(
            "id",
            F.lit(source).alias("source"),
            F.col(BATCH_ID).alias("batch_id"),
            F.col(ROW_ID).alias("row_id"),
            F.lit(stage).alias("stage"),
            F.when(passed, F.array(F.lit(waited_for))).otherwise(F.col(REASONS)).alias("reasons"),
            F.col(PREVIEW).alias("preview"),
            F.when(passed, "replayed").otherwise("open").alias("status"),
            F.col(EXTRACTED_AT).alias("quarantined_at"),
        )
    )


def met_before(records: DataFrame, quarantine: DataFrame, source: str) -> DataFrame:
    """The records lacking a required column whose content the quarantine holds already."""
    lacking = records.where(F.size(NULLS) > 0).withColumn("id", _own_id(source, F.lit(1)))
    return lacking.join(quarantine.select("id"), on="id", how="left_semi")


def unseen(rows: DataFrame, quarantine: DataFrame) -> DataFrame:
    """The rows whose id the quarantine does not hold yet."""
    return rows.join(quarantine.select("id"), on="id", how="left_anti").select(*rows.columns)


def _own_id(source: str, occurrence: Column) -> Column:
    """Id of the n-th record of some content in its batch."""
    return F.sha2(F.concat_ws("|", F.lit(source), CONTENT, occurrence), 256)


def waiting(quarantine: DataFrame, reason: str) -> DataFrame:
    """Open records whose only reason is the given one: `_record_id`, `_batch_id`, `_row_id` to find them in bronze."""
    is_waiting = (F.col("status") == "open") & (F.col("reasons") == F.array(F.lit(reason)))
    return quarantine.where(is_waiting).select(
        F.col("id").alias(RECORD_ID), F.col("batch_id").alias(BATCH_ID), F.col("row_id").alias(ROW_ID)
    )
