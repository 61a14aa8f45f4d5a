"""Winners, effects and versions on tables small enough to check by eye."""

from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from headwater.config.tables import TableContract
from headwater.transforms.dedup import classify, winners
from headwater.transforms.history import versions

DDL = "id string, who string, at timestamp"


def contract(kind: str = "fact") -> TableContract:
    columns = [
        {"name": "id", "type": "string"},
        {"name": "who", "type": "string", "nullable": True},
        {"name": "at", "type": "timestamp"},
    ]
    return TableContract.model_validate(
        {"name": "t", "source": "t", "kind": kind, "key": ["id"], "order": ["at"], "entity": "id", "columns": columns}
    )


def at(day: int) -> datetime:
    return datetime(2025, 1, day, tzinfo=UTC)


def test_the_greatest_record_wins_whatever_the_arrival(spark: SparkSession) -> None:
    rows = [
        ("newer", "a", at(2)),
        ("newer", "z", at(1)),
        ("bytes", "Z", at(1)),
        ("bytes", "a", at(1)),
        ("null", None, at(1)),
        ("null", "", at(1)),
        ("same", "a", at(1)),
        ("same", "a", at(1)),
    ]
    expected = {("newer", "a", 2), ("bytes", "a", 2), ("null", "", 2), ("same", "a", 2)}
    for order in (rows, rows[::-1]):
        won = winners(spark.createDataFrame(order, DDL), contract()).collect()
        assert {(row["id"], row["who"], row["_records"]) for row in won} == expected


def test_effects_against_silver(spark: SparkSession) -> None:
    silver = spark.createDataFrame([(name, "m", at(5)) for name in ("same", "older", "newer", "less", "more")], DDL)
    batch = [
        ("new", "m", at(1)),
        ("same", "m", at(5)),
        ("older", "z", at(4)),
        ("newer", "a", at(6)),
        ("less", "a", at(5)),
        ("more", "z", at(5)),
    ]
    found = classify(winners(spark.createDataFrame(batch, DDL), contract()), silver, contract()).collect()
    assert {row["id"]: row["_effect"] for row in found} == {
        "new": "inserted",
        "same": "unchanged",
        "older": "superseded",
        "newer": "updated",
        "less": "superseded",
        "more": "updated",
    }


def dimension(spark: SparkSession, *rows: tuple[object, ...]) -> DataFrame:
    """Silver rows (id, who, day, valid from day, valid to day)."""
    days = [(key, who, at(day), start and at(start), end and at(end), 0) for key, who, day, start, end in rows]
    return spark.createDataFrame(days, f"{DDL}, valid_from timestamp, valid_to timestamp, _bucket int")


def placed(silver: DataFrame, effect: str, *changes: tuple[str, str, int]) -> dict[str, tuple[object, ...]]:
    rows = [(key, who, at(day), effect, 0) for key, who, day in changes]
    frame = silver.sparkSession.createDataFrame(rows, f"{DDL}, _effect string, _bucket int")
    return {
        row["who"]: (
            row["valid_from"] and row["valid_from"].day,
            row["valid_to"] and row["valid_to"].day,
            row["_own"],
            row["_known"],
        )
        for row in versions(silver, frame, contract("history")).collect()
    }


def test_a_late_version_is_put_between_its_neighbours(spark: SparkSession) -> None:
    silver = dimension(
        spark, ("a", "v0", 1, None, 2), ("a", "v1", 2, 2, 9), ("a", "v3", 9, 9, None), ("b", "w", 1, None, None)
    )
    assert placed(silver, "inserted", ("a", "v2", 5)) == {
        "v1": (2, 5, False, True),
        "v2": (5, 9, True, True),
    }


def test_an_earlier_first_version_takes_over_the_beginning(spark: SparkSession) -> None:
    silver = dimension(spark, ("a", "v2", 5, None, None))
    assert placed(silver, "inserted", ("a", "v1", 2)) == {"v1": (None, 5, True, True), "v2": (5, None, False, True)}


def test_a_key_met_first_is_told_from_one_that_is_corrected(spark: SparkSession) -> None:
    silver = dimension(spark, ("a", "v1", 5, None, None))
    assert placed(silver, "inserted", ("n", "w1", 2), ("n", "w2", 3)) == {
        "w1": (None, 3, True, False),
        "w2": (3, None, True, False),
    }
    assert placed(silver, "updated", ("a", "v1 corrected", 5)) == {"v1 corrected": (None, None, True, True)}
