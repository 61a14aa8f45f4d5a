"""PostgreSQL: one snapshot for all slices, exact window edges, and values that Spark cannot hold."""

from datetime import date, timedelta
from decimal import Decimal

import psycopg
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from tests.e2e.sources.conftest import DAY, T1, JdbcWorld

from headwater.errors import ConfigError, SourceUnavailable
from headwater.sources.base import Window
from headwater.sources.failures import reading

ROWS = 20_000
INSTANT = timedelta(microseconds=1)


def test_slices_of_a_changing_table_see_one_snapshot(table: JdbcWorld, spark: SparkSession) -> None:
    table.sql(f"INSERT INTO {table.name} SELECT i, 1, '{T1 - DAY}' FROM generate_series(1, {ROWS}) AS i")
    source = table.source(slices=8, fetch_size=500)
    with source.read(spark, source.extent([])) as extraction:
        assert extraction.frame.rdd.getNumPartitions() == 8
        rows = extraction.frame.select("id", "amount").toLocalIterator()
        seen = [next(rows)]
        # The first slice was read; now keys move into read and unread slices, rows vanish and appear.
        table.sql(
            f"UPDATE {table.name} SET id = {ROWS} + 1 - id, amount = 2, updated_at = now() WHERE id % 3 = 0",
            f"DELETE FROM {table.name} WHERE id % 3 = 1",
            f"INSERT INTO {table.name} SELECT i, 3, '{T1 - DAY}' FROM generate_series(1, {ROWS}) AS i",
        )
        seen += list(rows)
        assert extraction.counted == ROWS
    assert sorted(row.id for row in seen) == list(range(1, ROWS + 1))
    assert {row.amount for row in seen} == {Decimal("1.00")}


def test_a_writer_between_extent_and_read_is_seen_only_inside_the_window(table: JdbcWorld, spark: SparkSession) -> None:
    table.write([1, 2], T1)
    source = table.source()
    extent = source.extent([])
    table.sql(f"UPDATE {table.name} SET updated_at = '{T1 + DAY}' WHERE id = 2")
    with source.read(spark, extent) as extraction:
        assert table.ids(extraction.frame) == ["1"]
        assert extraction.counted == 1
    with source.read(spark, Window(extent.hi, T1 + DAY)) as extraction:
        assert table.ids(extraction.frame) == ["2"]


def test_a_window_excludes_its_start_and_includes_its_end(table: JdbcWorld, spark: SparkSession) -> None:
    for number, at in enumerate([T1, T1 + INSTANT, T1 + DAY, T1 + DAY + INSTANT], start=1):
        table.write([number], at)
    with table.source().read(spark, Window(T1, T1 + DAY)) as extraction:
        assert table.ids(extraction.frame) == ["2", "3"]


def test_rows_without_a_time_belong_to_every_window(table: JdbcWorld, spark: SparkSession) -> None:
    table.sql(f"INSERT INTO {table.name} VALUES (1, 1, NULL), (2, 1, 'infinity'), (3, 1, '-infinity'), (NULL, 1, NULL)")
    for window in (Window(None, T1), Window(T1, T1 + DAY), Window(T1, T1)):
        with table.source().read(spark, window) as extraction:
            assert table.ids(extraction.frame) == ["1", "2", "3", "None"]
            assert {row.updated_at for row in extraction.frame.collect()} == {None}
            assert extraction.facts["unreadable_values"] == 2


def test_the_settle_delay_holds_fresh_rows_back(table: JdbcWorld) -> None:
    assert table.source(settle_seconds=300).extent([]) == Window(None, T1 - timedelta(seconds=300))


def test_columns_keep_the_types_of_the_source(table: JdbcWorld, spark: SparkSession) -> None:
    table.sql(
        'CREATE TABLE typed (id bigint, small smallint, amount numeric(12,2), loose numeric, "Mixed Case" text,'
        " local timestamp, at timestamptz, day date, ratio double precision, flag boolean, doc jsonb)",
        "INSERT INTO typed VALUES (1, 2, 1.5, 2.25, 'é,\"', '2025-03-30 02:30:00.123456', '2025-03-30 02:30:00+02',"
        " '2025-03-30', 0.5, true, '{\"a\": 1}')",
    )
    source = table.source(table="typed", watermark="local")
    with source.read(spark, source.extent([])) as extraction:
        frame = extraction.frame
        row = frame.withColumns({name: F.col(name).cast("string") for name in ("local", "at")}).collect()[0]
    assert dict(frame.dtypes) == {
        "id": "bigint",
        "small": "smallint",
        "amount": "decimal(12,2)",
        "loose": "decimal(38,18)",
        "Mixed Case": "string",
        "local": "timestamp",
        "at": "timestamp",
        "day": "date",
        "ratio": "double",
        "flag": "boolean",
        "doc": "string",
    }
    assert (row["id"], row["small"], row["amount"], row["loose"]) == (1, 2, Decimal("1.50"), Decimal("2.25"))
    assert (row["Mixed Case"], row["day"], row["doc"]) == ('é,"', date(2025, 3, 30), '{"a": 1}')
    assert row["local"] == "2025-03-30 02:30:00.123456"
    assert row["at"] == "2025-03-30 00:30:00"
    table.sql("DROP TABLE typed")


def test_values_that_spark_cannot_hold_are_null_and_counted(table: JdbcWorld, spark: SparkSession) -> None:
    table.sql(
        f"ALTER TABLE {table.name} ADD COLUMN loose numeric, ADD COLUMN day date",
        f"INSERT INTO {table.name} VALUES (1, 'NaN', '{T1}', 1, NULL), (2, 1, '{T1}', 'NaN', NULL),"
        f" (3, 1, '{T1}', 1e30, NULL), (4, 1, '{T1}', '-infinity', NULL), (5, 1, '{T1}', 1, 'infinity'),"
        f" (6, -9999999999.99, '{T1}', -99999999999999999999, '{T1.date()}')",
    )
    source = table.source()
    with source.read(spark, source.extent([])) as extraction:
        rows = {row.id: row for row in extraction.frame.collect()}
        assert extraction.facts["unreadable_values"] == 5
        assert extraction.counted == 6
    assert rows[1].amount is None
    assert [rows[number].loose for number in (2, 3, 4)] == [None] * 3
    assert rows[5].day is None
    assert (rows[6].amount, rows[6].loose) == (Decimal("-9999999999.99"), Decimal(-99999999999999999999))
    assert rows[6].day == T1.date()


def test_a_table_without_watermark_is_read_wholly_each_time(table: JdbcWorld, spark: SparkSession) -> None:
    table.write([1], T1 + 5 * DAY)
    source = table.source(watermark=None, slice_by=None)
    extent = source.extent([Window(None, T1 - DAY)])
    assert extent == Window(None, T1)
    with source.read(spark, extent) as extraction:
        assert table.ids(extraction.frame) == ["1"]


def test_the_snapshot_is_let_go_with_the_context(table: JdbcWorld, spark: SparkSession) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headwater'"
    source = table.source()
    with psycopg.connect(table.stack.postgres.dsn, autocommit=True) as connection:
        with source.read(spark, Window(None, T1)):
            assert connection.execute(query).fetchone() == (1,)
        connection.execute("SELECT pg_sleep(0.2)")
        assert connection.execute(query).fetchone() == (0,)


def test_a_server_that_ends_the_snapshot_makes_the_source_unavailable(table: JdbcWorld, spark: SparkSession) -> None:
    table.write([1, 2, 3], T1)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headwater'"
    with table.source().read(spark, Window(None, T1)) as extraction:
        table.sql(end)
        with pytest.raises(SourceUnavailable) as caught, reading("transactions"):
            extraction.frame.collect()
    assert caught.value.facts["source"] == "transactions"


@pytest.mark.parametrize(
    ("changes", "code", "setting"),
    [
        ({"watermark": "update_at"}, "unknown_column", "watermark"),
        ({"slice_by": "ident"}, "unknown_column", "slice_by"),
        ({"watermark": "amount"}, "wrong_column", "watermark"),
        ({"slice_by": "amount"}, "wrong_column", "slice_by"),
    ],
    ids=["no-watermark", "no-slice-column", "watermark-type", "slice-type"],
)
def test_a_wrong_column_is_a_mistake_in_conf(
    table: JdbcWorld, changes: dict[str, str], code: str, setting: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        table.source(**changes).extent([])
    assert caught.value.code == code
    assert caught.value.facts["path"] == f"sources.transactions.{setting}"


def test_a_missing_database_is_a_mistake_in_conf(table: JdbcWorld) -> None:
    url = table.stack.postgres.jdbc_url.replace("/crm", "/nowhere")
    with pytest.raises(ConfigError) as caught:
        table.open(T1, table.spec(), table.connection(url=url)).extent([])
    assert (caught.value.code, caught.value.facts["path"]) == ("unknown_database", "connections.crm.url")
