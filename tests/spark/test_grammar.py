"""Every operation through Spark, on a handful of events whose features can be worked out by hand."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.features.carry import carry_forward
from headwater.features.rows import counts
from headwater.features.sketch import rank_of, register_of
from headwater.features.windows import Wanted, feature_rows

PEOPLE = TableContract.model_validate(
    {
        "name": "people",
        "source": "people",
        "kind": "history",
        "key": ["who"],
        "order": ["at"],
        "entity": "who",
        "columns": [
            {"name": "who", "type": "string"},
            {"name": "joined", "type": "date"},
            {"name": "at", "type": "timestamp"},
        ],
    }
)
SALES = TableContract.model_validate(
    {
        "name": "sales",
        "source": "sales",
        "key": ["id"],
        "order": ["at"],
        "entity": "buyer",
        "columns": [
            {"name": "id", "type": "bigint"},
            {"name": "buyer", "type": "string"},
            {"name": "price", "type": "decimal(12,2)", "nullable": True},
            {"name": "items", "type": "int", "nullable": True},
            {"name": "channel", "type": "string", "nullable": True},
            {"name": "gift", "type": "boolean", "nullable": True},
            {"name": "weight", "type": "double", "nullable": True},
            {"name": "shipped", "type": "date", "nullable": True},
            {"name": "at", "type": "timestamp"},
        ],
    }
)
CONTRACTS = {"people": PEOPLE, "sales": SALES}
ROWS = "id bigint, buyer string, price decimal(12,2), items int, channel string, gift boolean, weight double, shipped date, at timestamp"
PRICE = {"kind": "column", "column": "price"}


def instant(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(2024, month, day, hour, minute, second, micro, tzinfo=UTC)


# The clocks of Europe went forward on 31 March 2024 at 01:00 UTC; 29 February exists; a day's last microsecond is its own.
EVENTS = [
    (1, "ann", Decimal("10.00"), 1, "web", True, 0.5, date(2024, 3, 1), instant(2, 28, 23, 59, 59, 999999)),
    (2, "ann", Decimal("30.00"), 2, "shop", False, 1.5, None, instant(2, 29)),
    (3, "ann", Decimal("0.01"), None, "web", None, None, date(2024, 2, 29), instant(2, 29, 23, 59, 59, 999999)),
    (4, "ann", None, 4, None, True, 2.5, None, instant(3, 1, 12)),
    (5, "ann", Decimal("5.00"), 3, "app", True, 3.5, date(2024, 3, 31), instant(3, 31, 0, 59, 59, 999999)),
    (6, "ann", Decimal("6.00"), 3, "shop", False, 3.5, date(2024, 4, 2), instant(3, 31, 1)),
    (7, "ann", Decimal("7.00"), 3, "app", True, 3.5, date(2024, 4, 9), instant(3, 31, 23, 59, 59, 999999)),
    (8, "bob", Decimal("-2.50"), 1, "app", False, 9.0, None, instant(3, 31, 2, 30)),
]


@pytest.fixture(scope="module")
def silver(spark: SparkSession) -> dict[str, DataFrame]:
    born = datetime(2020, 1, 1, tzinfo=UTC)
    people = [(who, born.date(), born, None, None) for who in ("ann", "bob", "eve")]
    validity = "who string, joined date, at timestamp, valid_from timestamp, valid_to timestamp"
    return {"people": spark.createDataFrame(people, validity), "sales": spark.createDataFrame(EVENTS, ROWS)}


def view(*features: dict[str, object], **more: object) -> FeatureView:
    return FeatureView.model_validate(
        {
            "name": "v",
            "version": "1",
            "entity": "who",
            "population": {"table": "people", "since": "joined"},
            "groups": [{"table": "sales", "event_time": "at", "features": features}],
            **more,
        }
    )


def found(of: FeatureView, silver: dict[str, DataFrame], *days: date) -> dict[tuple[str, date], Sequence[object]]:
    rows = feature_rows(of, CONTRACTS, silver, Wanted(days)).rows.drop("stale_sources", "pipeline_version")
    return {(row[0], row[1]): tuple(row)[2:] for row in rows.collect()}


def chosen(op: str, column: str, kind: str, **more: object) -> dict[str, object]:
    return {"name": f"{op}_{column}", "type": kind, "op": op, "value": {"kind": "column", "column": column}, **more}


def test_variance_and_standard_deviation(silver) -> None:
    of = view(
        {"name": "variance_2d", "type": "double", "op": "variance", "value": PRICE, "window_days": 2},
        {"name": "std", "type": "double", "op": "std", "value": PRICE, "default": -1},
    )
    rows = found(of, silver, date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 31))
    # Of 10.00 alone nothing can be said. 10, 30 and 0.01 have a mean of 13.336666.., and 233.2 is half the sum of the squared distances from it.
    assert rows["ann", date(2024, 2, 28)] == (None, -1.0)
    assert rows["ann", date(2024, 2, 29)] == (233.200033, 15.270888)
    # 30 and 0.01 are left of the window; a sale without a price has no part in it.
    assert rows["ann", date(2024, 3, 1)] == (449.70005, 15.270888)
    assert rows["ann", date(2024, 3, 31)] == (1.0, 10.479886)
    assert rows["bob", date(2024, 3, 31)] == (None, -1.0)


def test_to_count_values_they_need_not_be_numbers(spark: SparkSession, silver) -> None:
    weights = [(9, "eve", None, 1, None, None, each, None, instant(2, 29)) for each in (float("inf"), 1e300, None)]
    of = view(chosen("count", "weight", "int"), chosen("count", "channel", "int"), chosen("last_day", "weight", "date"))
    sales = silver["sales"].unionByName(spark.createDataFrame(weights, ROWS))
    rows = found(of, {**silver, "sales": sales}, date(2024, 3, 1))
    assert rows["eve", date(2024, 3, 1)] == (2, None, date(2024, 2, 29))
    assert rows["ann", date(2024, 3, 1)] == (3, 3, date(2024, 3, 1))


def test_squares_that_no_double_holds(spark: SparkSession, silver) -> None:
    prices = [Decimal("9999999999.99"), Decimal("9999999999.98")] * 500
    at = instant(2, 28)
    rows = [(n, "ann", price, None, None, None, None, None, at) for n, price in enumerate(prices)]
    of = view({"name": "variance", "type": "double", "op": "variance", "value": PRICE})
    sales = spark.createDataFrame(rows, ROWS)
    # 1000 values 0.005 to either side of their mean: 1000 * 0.000025 / 999.
    assert found(of, {**silver, "sales": sales}, at.date())["ann", at.date()] == (0.000025,)


RATIO = {"name": "share", "type": "double", "op": "ratio", "of": ["spent", "least"], "default": -1}
APART = {"name": "apart", "type": "decimal(12,2)", "op": "difference", "of": ["spent", "least"]}
SPENT = {
    "name": "spent",
    "type": "decimal(18,2)",
    "op": "sum",
    "value": PRICE,
    "window_days": 2,
    "default": 0,
    "cap": 12,
}
LEAST = {"name": "least", "type": "double", "op": "min", "value": PRICE}


def test_ratios_and_differences_are_those_of_exact_numbers(silver) -> None:
    rows = found(view(SPENT, LEAST, derived=[RATIO, APART]), silver, date(2024, 2, 29), date(2024, 3, 31))
    # 40.01 / 0.01, although 12.00 is published: operands are taken before their caps.
    assert rows["ann", date(2024, 2, 29)] == (Decimal("12.00"), 0.01, 4001.0, Decimal("40.00"))
    assert rows["ann", date(2024, 3, 31)] == (Decimal("12.00"), 0.01, 1800.0, Decimal("17.99"))
    assert rows["bob", date(2024, 3, 31)] == (Decimal("-2.50"), -2.5, 1.0, Decimal("0.00"))
    # Nothing was bought: the sum's default 0 is no operand either.
    assert rows["eve", date(2024, 3, 31)] == (Decimal("0.00"), None, -1.0, None)


def test_what_is_derived_from_a_stale_table_keeps_its_value(spark: SparkSession, silver) -> None:
    of, day, carried = view(SPENT, LEAST, derived=[RATIO]), date(2024, 3, 31), {"sales": [date(2024, 3, 31)]}
    ddl = "who string, feature_date date, spent decimal(18,2), least double, share double"
    history = spark.createDataFrame([("ann", date(2024, 3, 30), Decimal("1.00"), 2.0, 0.25)], ddl)
    rows = carry_forward(feature_rows(of, CONTRACTS, silver, Wanted([day], carried)).rows, history, of, carried)
    kept = {row["who"]: (row["spent"], row["least"], row["share"]) for row in rows.collect()}
    assert kept["ann"] == (Decimal("1.00"), 2.0, 0.25)
    assert kept["bob"] == (Decimal("0.00"), None, -1.0)


def counted(*where: dict[str, object]) -> dict[str, object]:
    name = "_".join(str(value) for condition in where for value in condition.values())
    return {
        "name": "n_" + "".join(c if c.isalnum() else "_" for c in name),
        "type": "bigint",
        "op": "count",
        "where": where,
        "default": 0,
    }


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ([{"column": "channel", "equals": "web"}], [1, 3]),
        ([{"column": "channel", "in": ["web", "app"]}], [1, 3, 5, 7]),
        ([{"column": "channel", "is_null": True}], [4]),
        ([{"column": "price", "is_null": False}], [1, 2, 3, 5, 6, 7]),
        ([{"column": "items", "at_least": 2, "at_most": 3}], [2, 5, 6, 7]),
        ([{"column": "items", "in": [1, 4]}], [1, 4]),
        ([{"column": "price", "at_most": 6}], [3, 5, 6]),
        ([{"column": "price", "equals": 0.01}], [3]),
        ([{"column": "price", "in": ["10.00", 7]}], [1, 7]),
        ([{"column": "gift", "equals": False}], [2, 6]),
        ([{"column": "weight", "at_least": 2.5}], [4, 5, 6, 7]),
        ([{"column": "shipped", "at_least": "2024-03-31"}], [5, 6, 7]),
        ([{"column": "at", "at_least": "2024-03-31T01:00:00+00:00"}], [6, 7]),
        ([{"column": "at", "at_most": "2024-02-29T00:00:00"}], [1, 2]),
        ([{"part": "hour", "of": "at", "equals": 23}], [1, 3, 7]),
        ([{"part": "hour", "of": "at", "at_most": 0}], [2, 5]),
        # 28 February 2024 was a Wednesday, 31 March a Sunday.
        ([{"part": "day_of_week", "of": "at", "in": [3, 7]}], [1, 5, 6, 7]),
        ([{"part": "weekend", "of": "at", "equals": True}], [5, 6, 7]),
        ([{"part": "month", "of": "at", "equals": 2}], [1, 2, 3]),
        ([{"part": "quarter", "of": "shipped", "equals": 2}], [6, 7]),
        ([{"column": "channel", "equals": "app"}, {"column": "gift", "equals": True}], [5, 7]),
    ],
)  # fmt: skip
def test_conditions(spark: SparkSession, silver, where: list[dict[str, object]], ids: list[int]) -> None:
    """A row without a value is neither equal, nor more, nor less."""
    feature = view(counted(*where)).aggregates[0]
    anns = silver["sales"].where("buyer = 'ann'")
    assert sorted(row["id"] for row in anns.where(counts(feature, SALES)).collect()) == ids
    assert anns.where(counts(feature, SALES).isNull()).isEmpty()


def test_parts_of_the_calendar_are_values(silver) -> None:
    parts = ("hour", "day_of_week", "month", "quarter", "weekend")
    of = view(
        *(
            {"name": part, "type": "int", "op": "max", "value": {"kind": "part", "part": part, "of": "at"}}
            for part in parts
        )
    )
    rows = found(of, silver, date(2024, 2, 29), date(2024, 3, 31))
    assert rows["ann", date(2024, 2, 29)] == (23, 4, 2, 1, 0)
    assert rows["ann", date(2024, 3, 31)] == (23, 7, 3, 1, 1)
    assert rows["bob", date(2024, 3, 31)] == (2, 7, 3, 1, 1)


def test_conditions_decide_what_is_computed(silver) -> None:
    web, late = {"column": "channel", "equals": "web"}, {"part": "hour", "of": "at", "at_least": 23}
    of = view(
        counted(web),
        {**SPENT, "where": [late], "cap": None},
        {**LEAST, "where": [{"column": "items", "is_null": True}]},
    )
    rows = found(of, silver, date(2024, 2, 29), date(2024, 3, 31))
    assert rows["ann", date(2024, 2, 29)] == (2, Decimal("10.01"), 0.01)
    assert rows["ann", date(2024, 3, 31)] == (2, Decimal("7.00"), 0.01)
    assert rows["bob", date(2024, 3, 31)] == (0, Decimal("0.00"), None)


def test_first_and_last_values(spark: SparkSession, silver) -> None:
    of = view(
        chosen("first", "price", "decimal(12,2)", window_days=2),
        chosen("last", "price", "double"),
        chosen("first", "channel", "string"),
        chosen("last", "channel", "string", window_days=3, default="none"),
        chosen("last", "shipped", "date", available="shipped"),
        chosen("last", "items", "int", where=[{"column": "channel", "equals": "shop"}]),
    )
    twins = [(9, "eve", None, 1, each, None, None, None, instant(2, 29, 12)) for each in ("b", "a", "\u00e9", "z", "Z")]
    both = {**silver, "sales": silver["sales"].unionByName(spark.createDataFrame(twins, ROWS))}
    rows = found(of, both, date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 31))
    assert rows["ann", date(2024, 2, 28)] == (Decimal("10.00"), 10.0, "web", "web", None, None)
    assert rows["ann", date(2024, 2, 29)] == (Decimal("10.00"), 0.01, "web", "web", date(2024, 2, 29), 2)
    # The sale of 1 March has neither price nor channel; on that day the shipment of 28 February's sale was known as well.
    assert rows["ann", date(2024, 3, 1)] == (Decimal("30.00"), 0.01, "web", "web", date(2024, 2, 29), 2)
    assert rows["ann", date(2024, 3, 4)] == (None, 0.01, "web", "none", date(2024, 2, 29), 2)
    assert rows["ann", date(2024, 3, 31)] == (Decimal("5.00"), 7.0, "web", "app", date(2024, 3, 31), 3)
    # Of one instant: the smallest and the greatest byte by byte.
    assert rows["eve", date(2024, 2, 29)] == (None, None, "Z", "\u00e9", None, None)
    assert rows["eve", date(2024, 3, 31)] == (None, None, "Z", "none", None, None)


def test_distinct_and_most_frequent_values(spark: SparkSession, silver) -> None:
    of = view(
        chosen("distinct", "channel", "bigint", window_days=2, default=0),
        chosen("distinct", "price", "int"),
        chosen("distinct", "gift", "int"),
        chosen("distinct", "shipped", "int", available="shipped"),
        chosen("distinct_approx", "channel", "bigint", default=0),
        chosen("most_frequent", "channel", "string", default="none"),
        chosen("most_frequent", "items", "int", window_days=2),
        chosen("most_frequent", "price", "decimal(12,2)"),
        chosen("most_frequent", "shipped", "date", where=[{"column": "gift", "equals": True}]),
    )
    rows = found(of, silver, date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 31))
    shipped = date(2024, 3, 1)
    assert rows["ann", date(2024, 2, 28)] == (1, 1, 1, None, 1, "web", 1, Decimal("10.00"), shipped)
    # web twice and shop; 1 and 2 once each, so the smaller one.
    assert rows["ann", date(2024, 2, 29)] == (2, 3, 2, 1, 2, "web", 1, Decimal("0.01"), shipped)
    assert rows["ann", date(2024, 3, 1)] == (2, 3, 2, 2, 2, "web", 2, Decimal("0.01"), shipped)
    # app, shop and web twice each: the first by its bytes.
    assert rows["ann", date(2024, 3, 31)] == (2, 6, 2, 3, 3, "app", 3, Decimal("0.01"), shipped)
    assert rows["bob", date(2024, 3, 31)] == (1, 1, 1, None, 1, "app", 1, Decimal("-2.50"), None)
    assert rows["eve", date(2024, 3, 31)] == (0, None, None, None, 0, "none", None, None, None)


def test_a_sketch_of_many_values(spark: SparkSession, silver) -> None:
    """Within three standard errors of the truth, and the same whatever the order and the batches."""
    of = view(chosen("distinct_approx", "id", "bigint"), {**chosen("distinct", "id", "bigint"), "name": "exactly"})
    many = spark.range(30_000).selectExpr("id % 20000 as id", "'ann' as buyer", "timestamp'2024-02-29 12:00:00' as at")
    empty = silver["sales"].limit(0)
    shuffled = many.orderBy("id").unionByName(many.repartition(5))
    days = (date(2024, 2, 29),)
    once, twice = (
        found(of, {**silver, "sales": empty.unionByName(each, allowMissingColumns=True)}, *days)["ann", days[0]]
        for each in (many, shuffled)
    )
    assert once == twice
    assert once[1] == 20_000
    assert abs(once[0] / 20_000 - 1) < 3 * 1.04 / 64


def test_registers_and_ranks_of_hashes(spark: SparkSession) -> None:
    hashes = [0, -1, 1, 2**51, 2**51 - 1, 2**52, -(2**63), 2**63 - 1, 3 << 52 | 5]
    frame = spark.createDataFrame([(each,) for each in hashes], "h bigint")
    rows = frame.select("h", register_of(F.col("h")), rank_of(F.col("h"))).collect()
    for hashed, register, rank in rows:
        bits = f"{hashed % 2**64:064b}"
        assert register == int(bits[:12], 2)
        assert rank == len(bits[12:]) - len(bits[12:].lstrip("0")) + 1


def newest(op: str, column: str, kind: str, events: int, **more: object) -> dict[str, object]:
    return {**chosen(op, column, kind, events=events, **more), "name": f"{op}_{column}_{events}"}


def test_the_newest_events(silver) -> None:
    of = view(
        newest("mean", "price", "double", 2),
        newest("std", "price", "double", 3, min_events=3, default=-1),
        newest("min", "price", "decimal(12,2)", 3),
        newest("max", "price", "double", 5, min_events=2),
        newest("sum", "items", "bigint", 2, where=[{"column": "gift", "equals": True}], default=0),
    )
    expected = {
        date(2024, 2, 28): (10.0, -1.0, Decimal("10.00"), None, 1),
        # 30 and 0.01; the sample deviation of 10, 30, 0.01; no second gift yet.
        date(2024, 2, 29): (15.005, 15.270888, Decimal("0.01"), 30.0, 1),
        # The sale without a price is none of the newest prices, but one of the newest gifts.
        date(2024, 3, 1): (15.005, 15.270888, Decimal("0.01"), 30.0, 5),
        date(2024, 3, 31): (6.5, 1.0, Decimal("5.00"), 30.0, 6),
    }
    rows = found(of, silver, *expected)
    assert {day: row for (who, day), row in rows.items() if who == "ann"} == expected
    assert rows["bob", date(2024, 3, 31)] == (-2.5, -1.0, Decimal("-2.50"), None, 0)
    assert rows["eve", date(2024, 3, 31)] == (None, -1.0, None, None, 0)
    # Alone, a date gets only the newest of what lies before it.
    for day, row in expected.items():
        assert found(of, silver, day)["ann", day] == row


SELECTION = [{"column": "channel", "in": ["web", "app"]}]
EVERYTHING = view(
    SPENT,
    LEAST,
    {"name": "n", "type": "bigint", "op": "count", "window_days": 6},
    {"name": "mean", "type": "double", "op": "mean", "value": PRICE, "window_days": 4},
    {"name": "most", "type": "decimal(12,2)", "op": "max", "value": PRICE, "where": SELECTION},
    {"name": "variance", "type": "double", "op": "variance", "value": PRICE, "window_days": 9},
    {"name": "std", "type": "double", "op": "std", "value": PRICE},
    {"name": "first_day", "type": "date", "op": "first_day", "where": SELECTION},
    {"name": "last_day", "type": "date", "op": "last_day", "window_days": 3},
    {"name": "since_first", "type": "int", "op": "days_since_first"},
    {"name": "since_last", "type": "int", "op": "days_since_last", "cap": 4, "default": 9},
    {"name": "to_ship", "type": "double", "op": "mean", "value": {"kind": "days_between", "start": "at", "end": "shipped"}, "available": "shipped"},
    {"name": "hour", "type": "int", "op": "most_frequent", "value": {"kind": "part", "part": "hour", "of": "at"}, "window_days": 8},
    chosen("first", "channel", "string", window_days=5),
    chosen("last", "channel", "string"),
    chosen("last", "price", "double", available="shipped"),
    chosen("distinct", "channel", "int", window_days=7),
    chosen("distinct", "items", "int", available="shipped", window_days=12),
    chosen("distinct_approx", "price", "int", window_days=10),
    chosen("most_frequent", "channel", "string", where=[{"column": "items", "at_least": 2}]),
    chosen("most_frequent", "price", "decimal(12,2)", window_days=11),
    newest("mean", "price", "double", 3),
    newest("std", "price", "double", 8, min_events=2),
    newest("max", "items", "int", 5, where=SELECTION),
    derived=[RATIO, APART, {"name": "spread", "type": "double", "op": "ratio", "of": ["std", "mean"]}],
)  # fmt: skip


def test_one_pass_is_a_pass_per_date_in_any_order(spark: SparkSession, silver) -> None:
    rng = Random(5)
    sales = [
        (
            number,
            rng.choice(["ann", "bob", "eve"]),
            rng.choice([None, Decimal("1.00"), Decimal("-2.50"), Decimal("99999999.99"), Decimal(rng.randrange(900)).scaleb(-2)]),
            rng.choice([None, 1, 2, 3]),
            rng.choice([None, "web", "app", "shop"]),
            None,
            None,
            rng.choice([None, date(2024, 2, rng.randint(20, 29)), date(2024, 3, rng.randint(1, 9))]),
            instant(*rng.choice([(2, rng.randint(15, 29)), (3, rng.randint(1, 8))]), rng.choice([0, 1, 23])),
        )
        for number in range(220)
    ]  # fmt: skip
    days = [date(2024, 2, 20), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 7)]
    whole = found(EVERYTHING, {**silver, "sales": spark.createDataFrame(sales, ROWS)}, *days)
    assert len(whole) == 12
    rng.shuffle(sales)
    shuffled = {**silver, "sales": spark.createDataFrame(sales, ROWS).repartition(7)}
    for day in (days[1], days[3]):
        alone = found(EVERYTHING, shuffled, day)
        assert alone == {place: row for place, row in whole.items() if place[1] == day}
