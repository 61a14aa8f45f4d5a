"""The catalogue's SQL on published tables small enough to check by eye: it gives what its headline says."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from headwater.tables.examples import Published, history_of, latest_row, named, point_in_time, table_reference

DAY = date(2025, 3, 31)
TTL = 7


def day(offset: int) -> date:
    return DAY + timedelta(days=offset)


@pytest.fixture
def table(tmp_path: Path) -> Published:
    """History with a row a day of a, two of b, and a gap; `left` is a feature whose name is a word of SQL."""
    days = {"a": range(-20, 1), "b": (-12, -4)}
    rows = [(who, day(offset), offset) for who, offsets in days.items() for offset in offsets]
    newest = [
        ("fresh", datetime.now(UTC).date() - timedelta(days=TTL), 1),
        ("old", datetime.now(UTC).date() - timedelta(days=TTL + 1), 2),
    ]
    for name, found in (("a history", rows), ("a history_latest", newest)):
        columns = dict(zip(("user", "feature_date", "left"), map(list, zip(*found, strict=True)), strict=True))
        write_deltalake(str(tmp_path / name), pa.table(columns))
    return Published(
        history=table_reference(str(tmp_path / "a history"), None),
        latest=table_reference(str(tmp_path / "a history_latest"), None, suffix="_latest"),
        entity="user",
        entity_type="string",
        columns=["left"],
        ttl_days=TTL,
        newest=DAY,
    )


def test_latest_row_is_given_as_long_as_it_is_good(spark: SparkSession, table: Published) -> None:
    def left(who: str) -> list[int]:
        return [row["left"] for row in spark.sql(latest_row(table).replace("<user>", who)).collect()]

    assert (left("fresh"), left("old"), left("nobody")) == ([1], [], [])


def test_history_has_both_ends(spark: SparkSession, table: Published) -> None:
    rows = spark.sql(history_of(table).replace("<user>", "a")).collect()
    assert [row["feature_date"] for row in rows] == [day(offset) for offset in range(-6, 1)]


def test_labels_meet_what_was_known_before_their_day(spark: SparkSession, table: Published) -> None:
    labels = [
        ("a", 0, 1),
        ("a", 0, 2),
        ("a", 1, 3),
        ("a", 9, 4),
        ("b", -4, 5),
        ("b", -3, 6),
        ("b", 3, 7),
        ("b", 4, 8),
        ("c", 0, 9),
    ]
    given = [(who, day(offset), number) for who, offset, number in labels]
    spark.createDataFrame(given, "user string, label_date date, number int").createOrReplaceTempView("labels")
    rows = spark.sql(point_in_time(table))
    assert rows.columns == ["user", "label_date", "number", "feature_date", "left"]
    found = {row["number"]: (row["left"], row["feature_date"]) for row in rows.collect()}
    assert rows.count() == len(labels)
    # Not of the label's own day; the newest before it; none that is older than it may be.
    wanted = {1: -1, 2: -1, 3: 0, 4: None, 5: None, 6: -4, 7: -4, 8: None, 9: None}
    assert found == {number: (left, left if left is None else day(left)) for number, left in wanted.items()}


@pytest.mark.parametrize(
    ("kind", "value"), [("string", "'<user>'"), ("bigint", "0"), ("date", "date'2025-03-31'"), ("boolean", "true"), ("timestamp", "timestamp'2025-03-31'")]
)  # fmt: skip
def test_the_value_to_replace_is_of_the_columns_type(spark: SparkSession, kind: str, value: str) -> None:
    query = latest_row(Published("h", "l", "user", kind, ["f"], None, DAY))
    assert query.endswith(f"where `user` = {value}")
    assert spark.sql(f"select {value}").dtypes[0][1] in (kind, "int")


def test_every_word_of_sql_can_be_a_column(spark: SparkSession) -> None:
    words = [row["keyword"].lower() for row in spark.sql("select keyword from sql_keywords()").collect()]
    rows = spark.createDataFrame([tuple(range(len(words)))], ", ".join(f"`{word}` int" for word in words))
    rows.createOrReplaceTempView("words")
    assert "left" in words
    # Alone and behind a table's name, as the samples have them.
    alone = spark.sql(f"select {', '.join(map(named, words))} from words").first()
    behind = spark.sql(f"select {', '.join(f'w.{named(word)}' for word in words)} from words as w").first()
    assert tuple(alone) == tuple(behind) == tuple(range(len(words)))


def test_names_are_quoted() -> None:
    assert table_reference("/lake/a`b", None) == "delta.`/lake/a``b`"
    assert table_reference("/lake", "main.shop.churn", suffix="_latest") == "`main`.`shop`.`churn_latest`"
