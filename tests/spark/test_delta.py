"""Every writer, twice and with nothing to write; and the silent skip of Delta that must not pass for a write."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from delta.exceptions import ConcurrentAppendException
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from headwater.errors import Unproven
from headwater.outcome import as_headwater_error
from headwater.tables.delta import (
    Batch,
    TableSpec,
    Written,
    append_once,
    ensure_table,
    find,
    last_transaction,
    overwrite_once,
    replace_dates_once,
    version,
)
from headwater.tables.merge import Upsert, merge_once

DAY = date(2025, 1, 31)
Writer = Callable[[DataFrame, str, Batch], Written]
WRITERS: dict[str, Writer] = {
    "append": append_once,
    "replace": lambda frame, location, batch: replace_dates_once(frame, location, "d", [DAY], batch),
    "overwrite": overwrite_once,
    "merge": lambda frame, location, batch: merge_once(frame, location, Upsert(key=["id"]), batch),
}


@pytest.fixture
def location(spark: SparkSession, tmp_path: Path) -> str:
    place = str(tmp_path / "table")
    ensure_table(spark, TableSpec(place, rows(spark).schema))
    return place


def rows(spark: SparkSession, *ids: str) -> DataFrame:
    return spark.createDataFrame([(each, DAY) for each in ids], "id string, d date")


@pytest.mark.parametrize("name", WRITERS)
def test_a_batch_is_there_once(spark: SparkSession, location: str, name: str) -> None:
    batch = Batch("stream", 7, {"why": "test"})
    first = WRITERS[name](rows(spark, "a", "b"), location, batch)
    again = WRITERS[name](rows(spark, "a", "b", "c"), location, batch)
    assert again == first
    assert first.facts["why"] == "test"
    assert sorted(row["id"] for row in spark.read.format("delta").load(location).collect()) == ["a", "b"]
    assert last_transaction(location, "stream") == 7


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_batch_is_proved_too(spark: SparkSession, location: str, name: str) -> None:
    written = WRITERS[name](rows(spark), location, Batch("stream", 1))
    assert written.version == version(location) == 1


@pytest.mark.parametrize("name", WRITERS)
def test_a_silent_skip_is_no_write(spark: SparkSession, location: str, name: str) -> None:
    append_once(rows(spark, "a"), location, Batch("stream", 5))
    with pytest.raises(Unproven) as raised:
        WRITERS[name](rows(spark, "b"), location, Batch("stream", 4))
    assert raised.value.code == "commit_not_found"
    assert raised.value.facts["n"] == 4


def test_a_batch_number_is_not_taken_for_a_longer_one(spark: SparkSession, location: str) -> None:
    append_once(rows(spark, "a"), location, Batch("stream", 12))
    assert find(location, Batch("stream", 1)) is None
    assert find(location, Batch("other", 12)) is None


def test_a_merge_leaves_no_settings_behind(spark: SparkSession, location: str) -> None:
    merge_once(rows(spark, "a"), location, Upsert(key=["id"]), Batch("one", 3))
    append_once(rows(spark, "b"), location, Batch("two", 1))
    assert last_transaction(location, "one") == 3
    assert last_transaction(location, "two") == 1


def test_a_merge_into_a_table_that_was_declared_with_other_columns(spark: SparkSession, location: str) -> None:
    merge_once(rows(spark, "a", "b"), location, Upsert(key=["id"]), Batch("one", 1))
    spark.sql(f"alter table delta.`{location}` add columns (`more` int)")
    changes = spark.createDataFrame([("b", 5), ("c", 7)], "id string, more int")
    merge_once(changes, location, Upsert(key=["id"]), Batch("one", 2))
    found = {tuple(row) for row in spark.read.format("delta").load(location).collect()}
    assert found == {("a", DAY, None), ("b", DAY, 5), ("c", None, 7)}


@pytest.mark.parametrize(
    "left", [[], [".00000000000000000000.json.5c1e.tmp"]], ids=["nothing", "a half-written commit"]
)
def test_a_creation_killed_before_its_first_commit_is_done_again(
    spark: SparkSession, tmp_path: Path, left: list[str]
) -> None:
    log = tmp_path / "table" / "_delta_log"
    log.mkdir(parents=True)
    for name in left:
        (log / name).touch()
    place = str(tmp_path / "table")
    ensure_table(spark, TableSpec(place, rows(spark).schema))
    assert version(place) == 0
    append_once(rows(spark, "a"), place, Batch("stream", 1))
    assert last_transaction(place, "stream") == 1


def test_a_table_is_created_with_all_that_its_spec_says(spark: SparkSession, tmp_path: Path) -> None:
    place = str(tmp_path / "table")
    schema = rows(spark).schema.add("month", T.DateType())
    spec = TableSpec(place, schema, ("month",), {"month": "trunc(d, 'MM')"}, {"delta.enableChangeDataFeed": "true"})
    ensure_table(spark, spec)
    append_once(rows(spark, "a"), place, Batch("stream", 1))
    ensure_table(spark, spec)
    assert version(place) == 1
    table = spark.read.format("delta").load(place)
    assert [row["month"] for row in table.collect()] == [date(2025, 1, 1)]
    assert table.schema.fieldNames() == ["id", "d", "month"]
    assert (
        DeltaTable.forPath(spark, place).detail().first().asDict().items()
        >= {
            "partitionColumns": ["month"],
            "properties": {"delta.enableChangeDataFeed": "true"},
        }.items()
    )


def test_no_table_is_no_version(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert version(nowhere) is None
    assert last_transaction(nowhere, "stream") is None
    assert find(nowhere, Batch("stream", 1)) is None


def test_a_foreign_writer_is_named(spark: SparkSession) -> None:
    """Of the class that Delta raises; a race that always ends so cannot be had."""
    error = as_headwater_error(ConcurrentAppendException("Files were added to the root.", stackTrace=""))
    assert (error.code, error.exit_code) == ("table_conflict", 5)
    assert "Files were added" in error.message
