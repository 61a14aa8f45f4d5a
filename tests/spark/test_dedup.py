"""Winners, effects and versions on tables small enough to check by eye."""

from datetime import UTC, datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

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


def test_a_late_version_is_put_between_its_neighbours(spark: SparkSession) -> None:
    silver = spark.createDataFrame([("a", "v1", at(1)), ("a", "v3", at(9)), ("b", "v1", at(1))], DDL)
    changes = spark.createDataFrame([("a", "v2", at(5))], DDL)
    with_bucket = F.lit(0).alias("_bucket")
    rows = versions(silver.select("*", with_bucket), changes.select("*", with_bucket), contract("history")).collect()
    validity = {row["who"]: (row["valid_from"], row["valid_to"]) for row in rows}
    naive = {name: at(day).replace(tzinfo=None) for name, day in (("v2", 5), ("v3", 9))}
    assert validity == {"v1": (None, naive["v2"]), "v2": (naive["v2"], naive["v3"]), "v3": (naive["v3"], None)}


def test_an_earlier_first_version_takes_over_the_beginning(spark: SparkSession) -> None:
    silver = spark.createDataFrame([("a", "v2", at(5))], DDL).withColumn("_bucket", F.lit(0))
    changes = spark.createDataFrame([("a", "v1", at(2))], DDL).withColumn("_bucket", F.lit(0))
    rows = {row["who"]: row for row in versions(silver, changes, contract("history")).collect()}
    assert rows["v1"]["valid_from"] is None
    assert rows["v2"]["valid_from"] == at(5).replace(tzinfo=None)
