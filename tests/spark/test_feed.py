"""What changed in a table by the files of its commits, beside what Delta's own reader says."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from delta.tables import DeltaTable
from deltalake import DeltaTable as TableLog
from pyspark.sql import DataFrame, SparkSession

from headwater.tables.delta import Batch, TableSpec, ensure_table, read_changes
from headwater.tables.feed import changed_files, changed_rows, only_adds
from headwater.tables.merge import Upsert, merge_once

DDL = "id int, place int, value string"
FEED = {"delta.enableChangeDataFeed": "true"}


@pytest.fixture
def location(spark: SparkSession, tmp_path: Path) -> str:
    """A table as silver's are: partitioned by something that is no column of a contract, with a feed."""
    place = str(tmp_path / "table")
    schema = spark.createDataFrame([], DDL).schema
    ensure_table(spark, TableSpec(place, schema, partition_by=("place",), properties=FEED))
    return place


def images(rows: DataFrame) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row) for row in rows.select("id", "value", "_change_type").collect())


def changed(spark: SparkSession, location: str, rng: Random, n: int) -> None:
    """A commit of one of the kinds that silver, or an operator, makes."""
    rows = [(rng.randrange(8), each % 2, f"{n}") for each in range(rng.randint(1, 4))]
    frame = spark.createDataFrame(list({row[0]: row for row in rows}.values()), DDL)
    match n % 6:
        case 0:
            frame.write.format("delta").mode("append").save(location)
        case 1 | 2:
            merge_once(frame, location, Upsert(["id", "place"]), Batch("s", n))
        case 3:
            DeltaTable.forPath(spark, location).delete(f"id % 3 = {rng.randrange(3)}")
        case 4:
            # Whole files go, and no row is looked at.
            DeltaTable.forPath(spark, location).delete(f"place = {rng.randrange(2)}")
        case _:
            DeltaTable.forPath(spark, location).optimize().executeCompaction()


def test_files_say_what_the_feed_says(spark: SparkSession, location: str) -> None:
    rng = Random(4)
    for n in range(1, 13):
        changed(spark, location, rng, n)
    last = TableLog(location).version()
    kinds = set()
    for after in range(-1, last):
        for upto in {after + 1, rng.randint(after + 1, last)}:
            by_spark = images(read_changes(spark, location, upto, after=after))
            files = changed_files(location, upto, after=after)
            assert files is not None
            kinds |= {name for name in ("told", "came", "went") if getattr(files, name)}
            assert images(changed_rows(spark, location, upto, after=after)) == by_spark, (after, upto)
            assert only_adds(location, upto, after=after) == ({each[2] for each in by_spark} <= {"insert"})
    assert kinds == {"told", "came", "went"}


def test_where_files_do_not_say_it_delta_does(spark: SparkSession, location: str) -> None:
    frame = spark.createDataFrame([(each, 0, "a") for each in range(5)], DDL)
    frame.coalesce(1).write.format("delta").mode("append").save(location)
    spark.sql(f"ALTER TABLE delta.`{location}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    DeltaTable.forPath(spark, location).delete("id = 3")
    last = TableLog(location).version()
    assert changed_files(location, last, after=0) is None
    assert not only_adds(location, last, after=1)
    assert images(changed_rows(spark, location, last, after=1)) == {(3, "a", "delete"): 1}


def test_commits_that_were_cleaned_away_say_nothing(spark: SparkSession, location: str) -> None:
    for n in range(1, 3):
        spark.createDataFrame([(n, 0, "a")], DDL).write.format("delta").mode("append").save(location)
    last = TableLog(location).version()
    assert only_adds(location, last, after=0)
    TableLog(location).create_checkpoint()
    for version in (0, 1):
        Path(f"{location}/_delta_log/{version:020}.json").unlink()
    assert changed_files(location, last, after=0) is None
    assert changed_files(location, last, after=1) is not None
