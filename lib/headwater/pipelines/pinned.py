"""What a silver batch sees: every table it reads, at the version that its intent names."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.tables import TableContract
from headwater.contracts.schema import DOCUMENT, VALID_FROM, VALID_TO, Form, struct_type
from headwater.pipelines.steps import ConformBatch, Runtime
from headwater.tables.catalog import register
from headwater.tables.delta import TableSpec, ensure_table, read_at
from headwater.transforms.conform import BATCH_ID, BRONZE_COLUMNS, CORRUPT, EXTRACTED_AT
from headwater.transforms.dedup import BUCKET
from headwater.transforms.quarantine import QUARANTINE_SCHEMA

FORMS: Mapping[str, Form] = {"jdbc": "typed", "mongo": "document", "files": "text"}


@dataclass(frozen=True, slots=True)
class Pinned:
    """The tables as the batch sees them."""

    bronze: DataFrame
    quarantine: DataFrame
    silver: DataFrame
    known: DataFrame | None


def pinned(step: ConformBatch, contract: TableContract, runtime: Runtime) -> Pinned:
    """Open every table at the version of the intent; one that did not exist then is empty, as its version 0 is."""
    spark, project = runtime.session(), runtime.project
    silver, quarantine = project.path("silver", contract.name), project.path("quarantine", contract.source)
    ensure_table(spark, _silver_spec(silver, contract))
    ensure_table(spark, TableSpec(quarantine, QUARANTINE_SCHEMA))
    if contract.catalog:
        register(spark, contract.catalog, silver)
    known = None
    if rule := contract.reference:
        known = _known_keys(spark, runtime, step.versions["dimension"], rule.table, rule.column)
    bronze = project.path("bronze", contract.source)
    at = step.versions["bronze"]
    return Pinned(
        bronze=_no_records(spark, runtime, contract) if at is None else read_at(spark, bronze, at),
        quarantine=read_at(spark, quarantine, step.versions["quarantine"] or 0),
        silver=read_at(spark, silver, step.versions["silver"] or 0),
        known=known,
    )


def _no_records(spark: SparkSession, runtime: Runtime, contract: TableContract) -> DataFrame:
    """What a source that never held anything looks like: every column of its form, no row."""
    names = [*BRONZE_COLUMNS, *contract.names]
    if FORMS[runtime.project.sources[contract.source].kind] == "document":
        names.append(DOCUMENT)
    fields = [T.StructField(name, T.StringType()) for name in dict.fromkeys([*names, CORRUPT])]
    return spark.createDataFrame([], T.StructType(fields)).withColumn(EXTRACTED_AT, F.lit(None).cast("timestamp"))


def _known_keys(spark: SparkSession, runtime: Runtime, at: int | None, table: str, column: str) -> DataFrame:
    dimension = runtime.project.tables[table]
    location = runtime.project.path("silver", table)
    ensure_table(spark, _silver_spec(location, dimension))
    return read_at(spark, location, at or 0).select(F.col(dimension.key[0]).alias(column)).distinct()


def _silver_spec(location: str, contract: TableContract) -> TableSpec:
    fields = [
        *struct_type(contract).fields,
        T.StructField(BUCKET, T.IntegerType()),
        T.StructField(BATCH_ID, T.StringType()),
    ]
    if contract.kind == "history":
        fields += [T.StructField(name, T.TimestampType()) for name in (VALID_FROM, VALID_TO)]
    feed = {"delta.enableChangeDataFeed": "true"}
    return TableSpec(location, T.StructType(fields), partition_by=(BUCKET,), properties=feed)
