"""`make bench`: what a point-in-time join moves and takes, beside the join of every label with every earlier date.

`ARGS="--size base"` is 100,000 labels against a year of 100,000 customers; the default is small. The naive join runs only
where it ends in reasonable time.
"""

from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tests.bench.world import SIZES
from tests.plans import moved

from headwater.features.lookup import Images, Rule, look_up, repaired_images
from headwater.tables.delta import Batch, append_once, ensure_table
from headwater.tables.publish import FEATURE_MONTH, history_spec

FIRST, DAYS = date(2024, 1, 1), 365
LABELS = 100_000
FEATURES = ("spend", "orders_7d", "orders_30d", "mean_value", "idle_days", "views", "uses", "tickets", "country")


@pytest.fixture
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    customers = SIZES[request.config.getoption("--size")].customers
    return customers, LABELS if customers > SIZES["small"].customers else customers


def written(spark: SparkSession, folder: Path, customers: int, asked: int) -> tuple[DataFrame, DataFrame]:
    """Labels at random times, and a history in the layout of closed months; a feature changes about once a week."""
    rows = f"""
        SELECT concat('U', lpad(who, 7, '0')) AS user_id, date_add(DATE'{FIRST}', day) AS feature_date,
               CAST(pmod(xxhash64(who, day DIV 7, 1), 100000) AS decimal(18,2)) / 100 AS spend,
               pmod(xxhash64(who, day DIV 7, 2), 9) AS orders_7d, pmod(xxhash64(who, day DIV 7, 2), 30) AS orders_30d,
               pmod(xxhash64(who, day DIV 7, 3), 1000000) / 1e4D AS mean_value, day % 60 AS idle_days,
               pmod(xxhash64(who, day DIV 7, 4), 500) AS views, day DIV 3 AS uses, pmod(xxhash64(who, day DIV 30), 4) AS tickets,
               concat('C', who % 40) AS country
        FROM (SELECT id AS who, explode(sequence({{}}, {{}})) AS day FROM range({customers}))"""
    place = str(folder / "history")
    ensure_table(spark, history_spec(place, spark.sql(rows.format(0, 0)).schema))
    months = sorted({(FIRST + timedelta(days=day)).replace(day=1) for day in range(DAYS)})
    ends = [*((month - FIRST).days - 1 for month in months[1:]), DAYS - 1]
    for n, (begin, end) in enumerate(zip([0, *(each + 1 for each in ends)], ends, strict=False), start=1):
        append_once(spark.sql(rows.format(begin, end)), place, Batch("bench", n))
    spark.sql(f"""
        SELECT concat('U', lpad(CAST(rand(1) * {customers} AS int), 7, '0')) AS user_id, id % 2 AS churned,
               timestampadd(SECOND, CAST(rand(2) * {DAYS * 86_400} AS bigint), TIMESTAMP'{FIRST} 00:00:00') AS at
        FROM range({asked})""").write.format("delta").save(str(folder / "labels"))
    labels, history = (spark.read.format("delta").load(str(folder / name)) for name in ("labels", "history"))
    return labels, history.drop(FEATURE_MONTH)


def naive(labels: DataFrame, history: DataFrame) -> DataFrame:
    """Every label with every earlier row of its customer, and then the newest."""
    pairs = labels.join(history, "user_id", "left").where(F.col("feature_date") < F.to_date("at"))
    row = F.struct("feature_date", *FEATURES)
    return pairs.groupBy("user_id", "at", "churned").agg(F.max(row).alias("row"))


def test_point_in_time_join(spark: SparkSession, size: tuple[int, int], tmp_path: Path) -> None:
    customers, asked = size
    labels, history = written(spark, tmp_path, customers, asked)
    bytes_read = {
        name: int(spark.sql(f"DESCRIBE DETAIL delta.`{tmp_path / name}`").collect()[0]["sizeInBytes"])
        for name in ("labels", "history")
    }
    # A plan that changes while it runs does not show its metrics.
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    queries = {
        "look_up": look_up(
            labels, [Images(repaired_images(history), "user_id", FEATURES)], Rule("user_id", "at", "before_day")
        )
    }
    if customers <= SIZES["small"].customers:
        queries["naive"] = naive(labels, history)
    print(f"\n{asked:,} labels, {customers:,} customers x {DAYS} dates; bytes of the inputs {bytes_read}")
    for name, query in queries.items():
        began = perf_counter()
        found = moved(query)
        print(
            f"  {name:<8} {perf_counter() - began:8.1f} s, bytes of each shuffle: {found.shuffled}, joins {found.joins}"
        )
