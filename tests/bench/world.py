"""Silver of any size, made by Spark from row numbers: the same for everybody who benches the same size."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

LAST = date(2025, 3, 31)


@dataclass(frozen=True)
class Size:
    """How much is benched; per customer and year as in the base size, 150 events in two years.

    Attributes:
        of_one: share of all events that are one customer's, in tenths.
    """

    customers: int
    days: int
    of_one: int = 0

    @property
    def first(self) -> date:
        return LAST - timedelta(days=self.days - 1)

    @property
    def dates(self) -> tuple[date, ...]:
        return tuple(self.first + timedelta(days=each) for each in range(self.days))


SIZES = {
    "small": Size(2_000, 120),
    "middle": Size(20_000, 365),
    "quarter": Size(100_000, 90),
    "year": Size(100_000, 365),
    "base": Size(100_000, 730),
    "x5": Size(500_000, 730),
    "x10": Size(1_000_000, 90),
}


def silver(spark: SparkSession, size: Size, folder: Path) -> Mapping[str, DataFrame]:
    """Write the four silver tables as Delta, each event at a pseudo-random day and customer; read them back."""
    tables = {
        "customers": f"""
            SELECT concat('U', lpad(id, 7, '0')) AS user_id, concat('C', id % 40) AS country, concat('S', id % 5) AS segment,
                   date_add(DATE '{size.first}', CAST(pmod(xxhash64(id, 1), {size.days}) - {size.days // 2} AS int)) AS signup_date,
                   CAST(NULL AS timestamp) AS valid_from, CAST(NULL AS timestamp) AS valid_to
            FROM range({size.customers})""",
        "transactions": _events(size, 0.068, "id AS transaction_id, CAST(pmod(xxhash64(id, 4), 50000) AS decimal(12,2)) / 100 AS amount, 'USD' AS currency, at AS transaction_date"),
        "user_behavior": _events(size, 0.124, """CAST(id AS string) AS _id, element_at(array('page_view', 'page_view', 'login', 'feature_usage'), CAST(pmod(xxhash64(id, 5), 4) AS int) + 1) AS event_type,
            at AS event_date, CAST(pmod(xxhash64(id, 6), 20) AS int) AS page_views"""),
        "support_tickets": _events(size, 0.013, """CAST(id AS string) AS ticket_id, CAST(at AS date) AS created_date,
            CASE WHEN pmod(id, 5) > 0 THEN date_add(CAST(at AS date), CAST(pmod(xxhash64(id, 7), 20) AS int)) END AS resolved_date"""),
    }  # fmt: skip
    for name, query in tables.items():
        frame = spark.sql(query)
        if name == "transactions":
            frame = frame.withColumn("amount", frame["amount"].cast("decimal(12,2)"))
        _write(frame, folder / name)
    return {name: spark.read.format("delta").load(str(folder / name)) for name in tables}


def add_day(spark: SparkSession, folder: Path, day: date) -> None:
    """A day of silver: the last day's events of the world once more, under ids of their own; of a thousand customers one
    moves to another country, and one has signed up."""
    _change_customers(spark, folder, day)
    later = (day - LAST).days
    dated = {"transactions": "transaction_date", "user_behavior": "event_date", "support_tickets": "created_date"}
    for name, column in dated.items():
        rows = spark.read.format("delta").load(str(folder / name)).where(f"to_date({column}) = DATE '{LAST}'")
        key = rows.columns[0]
        moved = rows.withColumns(
            {
                each: F.col(each) + F.expr(f"INTERVAL {later} DAYS")
                for each in (column, "resolved_date")
                if each in rows.columns
            }
        )
        fresh = F.concat(F.col(key), F.lit(f"+{later}")) if name != "transactions" else F.col(key) + later * 10**12
        _write(moved.withColumn(key, fresh).select(*rows.columns), folder / name)


def add_late(spark: SparkSession, size: Size, folder: Path, day: date) -> int:
    """Append an event of each kind on a day for every hundredth customer; gives how many of a kind."""
    customers = spark.read.format("delta").load(str(folder / "customers")).where("substr(user_id, -2) = '07'")
    at = F.lit(day).cast("timestamp") + F.expr("INTERVAL 12 HOURS")
    rows = {
        "transactions": {"transaction_date": at, "amount": F.lit(1).cast("decimal(12,2)"), "currency": F.lit("USD")},
        "user_behavior": {"event_date": at, "event_type": F.lit("feature_usage")},
        "support_tickets": {"created_date": F.lit(day), "resolved_date": F.lit(None).cast("date")},
    }
    for name, columns in rows.items():
        table = spark.read.format("delta").load(str(folder / name))
        key, number = table.columns[0], F.substring("user_id", 2, 9).cast("bigint") + 9 * 10**15
        given = {key: number.cast(table.schema[key].dataType), "user_id": F.col("user_id"), **columns}
        missing = {each.name: F.lit(0).cast(each.dataType) for each in table.schema if each.name not in given}
        found = {**given, **missing}
        _write(customers.select(*(found[each].alias(each) for each in table.columns)), folder / name)
    return size.customers // 100


def _change_customers(spark: SparkSession, folder: Path, day: date) -> None:
    table = DeltaTable.forPath(spark, str(folder / "customers"))
    now, ours = F.lit(day).cast("timestamp"), f"pmod(xxhash64(user_id, '{day}'), 1000)"
    known = spark.read.format("delta").load(str(folder / "customers")).where("valid_to IS NULL")
    moved = known.where(f"{ours} = 0")
    signed_up = known.where(f"{ours} = 1").withColumns(
        {"user_id": F.concat("user_id", F.lit(f"+{day}")), "signup_date": F.lit(day)}
    )
    new = moved.withColumns({"valid_from": now, "country": F.lit("C99")}).unionByName(signed_up)
    ended = moved.withColumn("valid_to", now)
    key = "t.user_id = s.user_id AND t.valid_from <=> s.valid_from"
    table.alias("t").merge(
        ended.unionByName(new).alias("s"), key
    ).whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()


def _write(frame: DataFrame, location: Path) -> None:
    frame.write.format("delta").mode("append").option("delta.enableChangeDataFeed", "true").save(str(location))


def _events(size: Size, per_customer_and_day: float, columns: str) -> str:
    """Events of customers that are drawn with a bias to few, over the days and the quarter before them."""
    count = int(size.customers * size.days * per_customer_and_day)
    return f"""
        SELECT {columns}, concat('U', lpad(CASE WHEN pmod(xxhash64(id, 9), 10) < {size.of_one} THEN 7 ELSE
               CAST(floor(pow(pmod(xxhash64(id, 2), 1000000) / 1e6D, 1.5) * {size.customers}) AS bigint) END, 7, '0')) AS user_id
        FROM (SELECT id, timestampadd(SECOND, CAST(pmod(xxhash64(id, 3), {(size.days + 90) * 86_400}) AS bigint),
                                      TIMESTAMP '{size.first - timedelta(days=90)} 00:00:00') AS at
              FROM range({count}))"""
