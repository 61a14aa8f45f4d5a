"""The latest table follows history, date by date, and looks behind them only for who lost a row."""

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import types as T

from headwater.tables.delta import Batch, ensure_table, replace_dates_once
from headwater.tables.publish import FEATURE_DATE, Replaced, history_spec, publish_latest, staged_spec

SCHEMA = T.StructType(
    [T.StructField("who", T.StringType()), T.StructField(FEATURE_DATE, T.DateType()), T.StructField("n", T.LongType())]
)
PUBLICATIONS = [
    {("ann", 2, 1), ("bob", 2, 1), ("cid", 2, 1), ("ann", 3, 2), ("bob", 3, 2)},
    # Older dates: of those with a newer row nothing changes.
    {("ann", 1, 0), ("dan", 1, 0)},
    # A date again: bob's row is gone, cid's is new.
    {("ann", 3, 7), ("cid", 3, 7)},
    {("ann", 4, 9)},
    # cid has lost the newest row and one before; ann keeps hers.
    {("bob", 2, 5), ("ann", 3, 5)},
]


def test_latest_follows_history(spark: SparkSession, tmp_path: Path) -> None:
    history, latest = str(tmp_path / "history"), str(tmp_path / "latest")
    ensure_table(spark, history_spec(history, SCHEMA))
    ensure_table(spark, staged_spec(latest, SCHEMA))
    kept: set[tuple[str, int, int]] = set()
    for n, rows in enumerate(PUBLICATIONS, start=1):
        days = {day for _, day, _ in rows}
        kept = {row for row in kept if row[1] not in days} | rows
        dates = [date(2024, 2, day) for day in days]
        frame = spark.createDataFrame([(who, date(2024, 2, day), value) for who, day, value in rows], SCHEMA)
        replace_dates_once(frame, history, FEATURE_DATE, dates, Batch("h", n))
        publish_latest(frame, spark.read.format("delta").load(history), latest, Replaced(dates), Batch("l", n))
        found = {(row[0], row[1].day, row[2]) for row in spark.read.format("delta").load(latest).collect()}
        by_entity = {who: max(row[1:] for row in kept if row[0] == who) for who in {row[0] for row in kept}}
        assert found == {(who, day, value) for who, (day, value) in by_entity.items()}, n


def test_a_feature_that_is_new(spark: SparkSession, tmp_path: Path) -> None:
    history, latest = str(tmp_path / "history"), str(tmp_path / "latest")
    ensure_table(spark, history_spec(history, SCHEMA))
    ensure_table(spark, staged_spec(latest, SCHEMA))
    wider = T.StructType([*SCHEMA.fields, T.StructField("m", T.LongType())])
    publications = [
        (SCHEMA, [("ann", date(2024, 2, 1), 1), ("bob", date(2024, 2, 1), 1)]),
        (wider, [("ann", date(2024, 2, 2), 2, 5)]),
    ]
    for n, (schema, rows) in enumerate(publications, start=1):
        dates = sorted({row[1] for row in rows})
        frame = spark.createDataFrame(rows, schema)
        replace_dates_once(frame, history, FEATURE_DATE, dates, Batch("h", n))
        publish_latest(frame, spark.read.format("delta").load(history), latest, Replaced(dates), Batch("l", n))
    found = {tuple(row) for row in spark.read.format("delta").load(latest).select("who", "n", "m").collect()}
    assert found == {("ann", 2, 5), ("bob", 1, None)}
