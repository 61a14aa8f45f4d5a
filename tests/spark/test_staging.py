"""Files that workers write beside rows that Spark writes: the same cells, once, and nothing else in the table."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chispa.dataframe_comparer import assert_df_equality
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T
from tests.spark.test_windows import PEOPLE, SALES, VIEW, instant

from headwater.config.features import FeatureView
from headwater.errors import Unproven
from headwater.features.computed import Batches, Computed, computed_by_spark
from headwater.features.slices import Made
from headwater.features.windows import Wanted, feature_rows
from headwater.outcome import as_headwater_error
from headwater.tables.delta import (
    Batch,
    append_once,
    ensure_table,
    find,
    overwrite_once,
    read_at,
    record_count,
    version,
)
from headwater.tables.publish import staged_spec
from headwater.tables.staging import KeptBeside, replace_rows_once
from headwater.tables.workers import Target

FOUND_BY = ("who", "feature_date")
OF_ALL_TYPES = (
    "who string, feature_date date, small decimal(4,1), money decimal(18,2), large decimal(38,6), whole int, long bigint,"
    " ratio double, flag boolean, day date, at timestamp, word string, list array<string>, pair struct<n:bigint,s:bigint>"
)
LONG_AGO = datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
ROWS = [
    ("ann", date(2024, 2, 29), Decimal("-1.5"), Decimal("-0.01"), Decimal(10) ** 31, -(2**31), 2**63 - 1, -0.0,
     True, date(1582, 10, 15), LONG_AGO, "", [], (1, None)),
    ("ünï", date(2024, 2, 28), None, None, None, None, None, None, None, None, None, None, None, None),
    ("bob", None, Decimal("999.9"), Decimal("0.00"), Decimal("-0.000001"), 0, -(2**63), float("inf"),
     False, date(9999, 12, 31), instant(29, 23, 59, 59, 999999), "wörd", ["a", None, "b"], (None, None)),
    ("cid", date(2024, 3, 1), Decimal("0.0"), Decimal("1.10"), Decimal(0), 7, 7, float("nan"),
     None, date(2024, 2, 29), instant(1), "wörd", ["a"], (0, 2**63 - 1)),
]  # fmt: skip


def of_all_types(spark: SparkSession) -> Computed:
    """Rows that Spark has, in two partitions of which one is empty at times."""
    return computed_by_spark(spark.createDataFrame(ROWS, OF_ALL_TYPES).repartition(2, "whole"))


def of_the_kernel(spark: SparkSession) -> Computed:
    """Rows that workers compute: attributes of two types, a text feature, dates without a source."""
    people = [
        ("ann", "free", date(1600, 2, 1), instant(1), instant(1), instant(28)),
        ("ann", None, date(1600, 2, 1), instant(28), instant(28), None),
        ("bob", "free", date(2024, 2, 28), instant(28), instant(28), None),
    ]
    validity = "who string, plan string, joined date, at timestamp, valid_from timestamp, valid_to timestamp"
    sales = [
        ("1", "ann", Decimal("10.00"), date(2024, 2, 28), instant(25)),
        ("2", "ann", None, None, instant(28)),
        # Nobody's row, and so no file's greatest name.
        ("3", "zed", Decimal("1.00"), None, instant(25)),
    ]
    ddl = "id string, buyer string, price decimal(12,2), shipped date, at timestamp"
    silver = {"people": spark.createDataFrame(people, validity), "sales": spark.createDataFrame(sales, ddl)}
    features = VIEW.model_dump(mode="json")
    features["attributes"] = ["plan", "joined", "at"]
    of_text = {"kind": "column", "column": "buyer"}
    features["groups"][0]["features"].append(
        {"name": "last_buyer", "type": "string", "op": "last", "value": of_text, "window_days": 2}
    )
    view = FeatureView.model_validate(features)
    days = [date(2024, 2, 25), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 3)]
    contracts = {"people": PEOPLE, "sales": SALES}
    return feature_rows(view, contracts, silver, Wanted(days, {"sales": [date(2024, 2, 29)]}))


MADE: dict[str, Callable[[SparkSession], Computed]] = {"spark": of_all_types, "kernel": of_the_kernel}


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "staged")


def created(spark: SparkSession, computed: Computed, location: str) -> str:
    ensure_table(spark, staged_spec(location, computed.schema))
    return location


def latest(spark: SparkSession, location: str) -> DataFrame:
    return spark.read.format("delta").load(location)


def statistics(location: str) -> dict[str, tuple[object, ...]]:
    """What the log says of all files together."""
    log = pa.table(DeltaTable(location).get_add_actions(flatten=True)).to_pydict()
    kinds: dict[str, Callable[[list[object]], object]] = {"num_records": sum, "null_count": sum, "min": min, "max": max}
    return {
        name: kinds[name.split(".")[0]]([each for each in found if each is not None])
        for name, found in log.items()
        if name.split(".")[0] in kinds
    }


def physical(location: str) -> set[tuple[tuple[str, str, str, int], ...]]:
    """How the columns of a table's files are stored."""
    schemas = (pq.read_metadata(file).schema for file in DeltaTable(location).file_uris())
    columns = ((schema.column(each) for each in range(len(schema))) for schema in schemas)
    return {
        tuple((each.path, each.physical_type, str(each.logical_type), each.max_definition_level) for each in found)
        for found in columns
    }


@pytest.mark.parametrize("made", MADE)
def test_workers_write_what_spark_writes(spark: SparkSession, made: str, tmp_path: Path) -> None:
    computed = MADE[made](spark)
    ours, sparks = (created(spark, computed, str(tmp_path / name)) for name in ("ours", "sparks"))
    written = replace_rows_once([computed], ours, FOUND_BY, Batch("s", 1, {"why": "test"}))
    other = overwrite_once(computed.rows, sparks, Batch("s", 1, {"why": "test"}))
    assert written == other
    assert written.rows >= len(ROWS)
    dated = latest(spark, ours).where("feature_date is not null").count()
    assert {record_count(each, at=written.version, known="feature_date") for each in (ours, sparks)} == {dated}
    assert_df_equality(latest(spark, ours), latest(spark, sparks), ignore_row_order=True, allow_nan_equality=True)
    assert statistics(ours) == statistics(sparks)
    assert physical(ours) == physical(sparks)
    assert DeltaTable(ours).metadata().configuration == DeltaTable(sparks).metadata().configuration
    assert (
        spark.sql(f"DESCRIBE HISTORY delta.`{ours}`").first()["userMetadata"] == Batch("s", 1, {"why": "test"}).metadata
    )
    least = latest(spark, ours).selectExpr("min(who)", "max(who)", "count(*)").first()
    assert tuple(least) == tuple(latest(spark, sparks).selectExpr("min(who)", "max(who)", "count(*)").first())


def test_days_of_another_calendar_are_read_as_they_were_written(spark: SparkSession, location: str) -> None:
    rows = spark.createDataFrame([("harold", date(1066, 10, 14))], "who string, feature_date date")
    replace_rows_once(
        [computed_by_spark(rows)], created(spark, computed_by_spark(rows), location), FOUND_BY, Batch("s", 1)
    )
    assert latest(spark, location).collect() == rows.collect()


def test_rows_come_in_groups_that_bound_memory(spark: SparkSession, location: str) -> None:
    rows = spark.range(0, 300_000, 1, 1).selectExpr("concat('u', id) AS who", "DATE '2024-02-29' AS feature_date")
    created(spark, computed_by_spark(rows), location)
    assert replace_rows_once([computed_by_spark(rows)], location, FOUND_BY, Batch("s", 1)).rows == 300_000
    (file,) = DeltaTable(location).file_uris()
    assert pq.read_metadata(file).num_row_groups == 3
    assert latest(spark, location).distinct().count() == 300_000


def test_a_batch_that_is_committed_is_not_written_again(spark: SparkSession, location: str) -> None:
    computed = of_all_types(spark)
    first = replace_rows_once([computed], created(spark, computed, location), FOUND_BY, Batch("s", 7))
    files = sorted(Path(location).glob("*.parquet"))
    others = computed_by_spark(computed.rows.where("who = 'ann'"))
    assert replace_rows_once([others], location, FOUND_BY, Batch("s", 7)) == first
    assert sorted(Path(location).glob("*.parquet")) == files
    with pytest.raises(Unproven) as raised:
        replace_rows_once([others], location, FOUND_BY, Batch("s", 6))
    assert raised.value.code == "commit_not_found"
    assert latest(spark, location).count() == len(ROWS)


@dataclass
class Overtaken:
    """Records whose rows are still computed when somebody else commits."""

    records: DataFrame
    meanwhile: Callable[[], object]

    def mapInArrow(self, *args: object) -> DataFrame:  # noqa: N802 -- as a frame has it
        self.meanwhile()
        return self.records.mapInArrow(*args)


@pytest.mark.parametrize("by", ["the same batch", "another writer"])
def test_a_commit_in_between_refuses_ours_and_the_retry_leaves_one_copy(
    spark: SparkSession, location: str, by: str
) -> None:
    computed, batch = of_all_types(spark), Batch("s", 1)
    created(spark, computed, location)
    meanwhile = {
        "the same batch": lambda: replace_rows_once([computed], location, FOUND_BY, batch),
        "another writer": lambda: write_deltalake(
            location, pa.table({"who": ["x"]}), mode="append", schema_mode="merge"
        ),
    }
    late = replace(computed, records=Overtaken(computed.records, meanwhile[by]))
    with pytest.raises(CommitFailedError) as refused:
        replace_rows_once([late], location, FOUND_BY, batch)
    assert as_headwater_error(refused.value).code == "table_conflict"
    assert version(location) == 1
    written = find(location, batch) or replace_rows_once([computed], location, FOUND_BY, batch)
    assert written.rows == latest(spark, location).count() == len(ROWS)
    assert len(list(Path(location).glob("*.parquet"))) > len(DeltaTable(location).file_uris())


def test_a_vacuum_in_between_refuses_nothing(spark: SparkSession, location: str) -> None:
    computed = of_all_types(spark)
    created(spark, computed, location)
    for n in (1, 2):
        replace_rows_once([computed], location, FOUND_BY, Batch("s", n))

    def vacuum() -> None:
        DeltaTable(location).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    late = replace(computed, records=Overtaken(computed.records, vacuum))
    # It says that it begins, and that it has ended.
    assert replace_rows_once([late], location, FOUND_BY, Batch("s", 3)).version == 5
    assert latest(spark, location).count() == len(ROWS)


def test_what_is_kept_beside_rows_is_there_once_though_these_were_refused(
    spark: SparkSession, location: str, tmp_path: Path
) -> None:
    """Whoever dies between the two commits leaves the same."""
    place, batch = str(tmp_path / "kept"), Batch("s", 1)
    schema = T.StructType([T.StructField("who", T.StringType())])

    def make(batches: Batches, _bucket: int) -> Made:
        for each in batches:
            yield "kept", each.select(["who"])
            yield "rows", each

    def write(records: DataFrame) -> None:
        beside = KeptBeside(Target(place, schema, ()), DeltaTable(place), [])
        replace_rows_once([replace(computed, make=make, records=records)], location, FOUND_BY, batch, beside)

    computed = of_all_types(spark)
    created(spark, computed, location)
    write_deltalake(place, pa.table({"who": pa.array([], pa.string())}))
    another = partial(write_deltalake, location, pa.table({"who": ["x"]}), mode="append", schema_mode="merge")
    with pytest.raises(CommitFailedError):
        write(Overtaken(computed.records, another))
    assert (version(place), version(location)) == (1, 1)
    write(computed.records)
    who = sorted(row[0] for row in ROWS)
    assert sorted(row[0] for row in latest(spark, place).collect()) == who
    assert sorted(row[0] for row in latest(spark, location).select("who").collect()) == who


def test_the_table_is_the_last_batch_and_the_one_before_is_its_version(spark: SparkSession, location: str) -> None:
    first, second = of_all_types(spark), of_the_kernel(spark)
    created(spark, first, location)
    before = replace_rows_once([first], location, FOUND_BY, Batch("s", 1))
    assert replace_rows_once([second], location, FOUND_BY, Batch("s", 2)).version == before.version + 1
    assert_df_equality(latest(spark, location), second.rows, ignore_row_order=True, ignore_nullable=True)
    then = read_at(spark, location, before.version)
    assert_df_equality(then, first.rows, ignore_row_order=True, ignore_nullable=True, allow_nan_equality=True)


def test_no_rows_are_a_batch_too(spark: SparkSession, location: str) -> None:
    computed = of_all_types(spark)
    replace_rows_once([computed], created(spark, computed, location), FOUND_BY, Batch("s", 1))
    none = computed_by_spark(computed.rows.where("false"))
    written = replace_rows_once([none], location, FOUND_BY, Batch("s", 2))
    assert (written.version, written.rows, latest(spark, location).count()) == (2, 0, 0)


@pytest.mark.parametrize("place", ["file://{}", "{}"], ids=["another scheme", "a table with a feature"])
def test_what_only_spark_may_write_spark_writes(spark: SparkSession, place: str, location: str) -> None:
    computed = of_the_kernel(spark)
    created(spark, computed, location)
    if place == "{}":
        spark.sql(f"ALTER TABLE delta.`{location}` SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    append_once(spark.createDataFrame([("gone", 1)], "who string, old int"), location, Batch("other", 1))
    written = replace_rows_once([computed], place.format(location), FOUND_BY, Batch("s", 1))
    assert DeltaTable(location).history(1)[0]["engineInfo"].startswith("Apache-Spark")
    found = latest(spark, location)
    assert (found.columns, found.count()) == (computed.schema.names, written.rows)


def of_bucket(batches: Batches, bucket: int) -> Made:
    """A row that says which partition a worker takes itself to be at."""
    rows = sum(batch.num_rows for batch in batches)
    yield "rows", pa.RecordBatch.from_pydict({"who": pa.array([f"{rows} rows"]), "bucket": pa.array([bucket])})


@pytest.mark.parametrize("features", [{}, {"delta.enableChangeDataFeed": "true"}], ids=["by workers", "by Spark"])
def test_each_part_has_buckets_of_its_own(spark: SparkSession, features: dict[str, str], location: str) -> None:
    """A worker finds the files of its bucket by the number, whatever stands beside its part."""
    schema = spark.createDataFrame([], "who string, bucket bigint").schema
    parts = [Computed(spark.range(6).repartition(count, "id"), of_bucket, schema) for count in (2, 3)]
    ensure_table(spark, replace(staged_spec(location, schema), properties=features))
    replace_rows_once(parts, location, FOUND_BY, Batch("s", 1))
    assert sorted(row["bucket"] for row in latest(spark, location).collect()) == [0, 0, 1, 1, 2]
