"""The latest table follows history, date by date, and looks behind them only for who lost a row."""

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import types as T

from headwater.features.asof import FEATURE_DATE
from headwater.features.scope import FIRST, LAST
from headwater.tables.delta import Batch, ensure_table, read_changes, replace_dates_once
from headwater.tables.publish import (
    Replaced,
    changed_by_date,
    history_spec,
    publish_history,
    publish_latest,
    repair_history,
    rows_gone,
    staged_spec,
)

EPOCH = date(1970, 1, 1)
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


def test_rows_of_some_entities_take_the_place_of_what_was_there(spark: SparkSession, tmp_path: Path) -> None:
    history, latest = str(tmp_path / "history"), str(tmp_path / "latest")
    ensure_table(spark, history_spec(history, SCHEMA))
    ensure_table(spark, staged_spec(latest, SCHEMA))
    days = [date(2024, 2, day) for day in (1, 2, 3)]
    before = spark.createDataFrame([(who, day, 1) for who in ("ann", "bob", "cid") for day in days], SCHEMA)
    publish_history(before, history, days, 9, Batch("h", 1))
    publish_latest(before, spark.read.format("delta").load(history), latest, Replaced(days), Batch("l", 1))
    # ann on the last two days, of which the last is gone; bob on the first two, of which the first is as it was.
    spans = [("ann", 1, 2), ("bob", 0, 1), ("eve", 0, 2)]
    scope = spark.createDataFrame(
        [(who, (days[first] - EPOCH).days, (days[last] - EPOCH).days) for who, first, last in spans],
        f"who string, {FIRST} bigint, {LAST} bigint",
    )
    new = [("ann", days[1], 5), ("bob", days[0], 1), ("bob", days[1], 7), ("eve", days[2], 8)]
    rows = spark.createDataFrame(new, SCHEMA)
    gone = rows_gone(rows, scope, spark.read.format("delta").load(history), days)
    assert [tuple(row) for row in gone.collect()] == [("ann", days[2])]
    for n in (1, 2):
        # The second time there is nothing left to do, which is a commit all the same.
        written = repair_history(rows, gone if n == 1 else None, history, days, Batch("h/repair", n))
        changed = changed_by_date(
            read_changes(spark, history, written.version, after=written.version - 1), SCHEMA.fieldNames()
        )
        assert changed == ({days[1]: 2, days[2]: 2} if n == 1 else {})
    rest = {("ann", days[0], 1), ("bob", days[2], 1), *(("cid", day, 1) for day in days)}
    now = spark.read.format("delta").load(history).select("who", FEATURE_DATE, "n")
    assert {tuple(row) for row in now.collect()} == {*rest, *new}
    assert now.count() == len(rest) + len(new)
    publish_latest(rows, now, latest, Replaced([], scope, days), Batch("l", 2))
    found = {tuple(row) for row in spark.read.format("delta").load(latest).select("who", FEATURE_DATE, "n").collect()}
    assert found == {("ann", days[1], 5), ("bob", days[2], 1), ("cid", days[2], 1), ("eve", days[2], 8)}
