"""Feature rows on histories small enough to check by eye; every expected value is written by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from chispa.dataframe_comparer import assert_df_equality
from pyspark.sql import SparkSession

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.errors import DataRejected
from headwater.features.carry import carry_forward
from headwater.features.windows import Wanted, feature_rows
from headwater.pipelines.refusals import fitting

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
            {"name": "plan", "type": "string", "nullable": True},
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
            {"name": "id", "type": "string"},
            {"name": "buyer", "type": "string"},
            {"name": "price", "type": "decimal(12,2)"},
            {"name": "shipped", "type": "date", "nullable": True},
            {"name": "at", "type": "timestamp"},
        ],
    }
)
VIEW = FeatureView.model_validate(
    {
        "name": "v",
        "version": "1",
        "entity": "who",
        "population": {"table": "people", "since": "joined"},
        "attributes": ["plan"],
        "groups": [
            {
                "table": "sales",
                "event_time": "at",
                "features": [
                    {"name": "spent_3d", "type": "decimal(18,2)", "op": "sum", "value": {"kind": "column", "column": "price"}, "window_days": 3, "default": 0},
                    {"name": "sales_ever", "type": "bigint", "op": "count", "default": 0},
                    {"name": "mean_3d", "type": "double", "op": "mean", "value": {"kind": "column", "column": "price"}, "window_days": 3, "default": 0},
                    {"name": "last_sale", "type": "date", "op": "last_day"},
                    {"name": "days_since", "type": "int", "op": "days_since_last", "cap": 5, "default": 5},
                    {"name": "shipping_days", "type": "double", "op": "mean", "value": {"kind": "days_between", "start": "at", "end": "shipped"}, "window_days": 9, "available": "shipped"},
                ],
            }
        ],
    }
)  # fmt: skip
COLUMNS = "who string, feature_date date, spent_3d decimal(18,2), sales_ever bigint, mean_3d double, last_sale date, days_since int, shipping_days double, plan string"


def instant(day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(2024, 2, day, hour, minute, second, micro, tzinfo=UTC)


@pytest.fixture
def silver(spark: SparkSession):
    people = [
        ("ann", "free", date(2024, 2, 1), instant(1), None, instant(28)),
        ("ann", "paid", date(2024, 2, 1), instant(28), instant(28), None),
        ("bob", "free", date(2024, 2, 28), instant(28), None, None),
    ]
    # The last microsecond of a day belongs to it; midnight to the next one; 29 February exists.
    sales = [
        ("1", "ann", Decimal("10.00"), date(2024, 2, 28), instant(25, 23, 59, 59, 999999)),
        ("2", "ann", Decimal("0.01"), None, instant(26)),
        ("3", "ann", Decimal("0.02"), date(2024, 2, 29), instant(28, 12)),
        ("4", "ann", Decimal("0.02"), date(2024, 2, 28), instant(28, 12)),
    ]
    ddl = "id string, buyer string, price decimal(12,2), shipped date, at timestamp"
    validity = "who string, plan string, joined date, at timestamp, valid_from timestamp, valid_to timestamp"
    return {"people": spark.createDataFrame(people, validity), "sales": spark.createDataFrame(sales, ddl)}


def test_windows_attributes_and_second_dates(spark: SparkSession, silver) -> None:
    days = [date(2024, 2, 25), date(2024, 2, 27), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 7)]
    expected = [
        ("ann", days[0], Decimal("10.00"), 1, 10.0, date(2024, 2, 25), 0, None, "free"),
        ("ann", days[1], Decimal("10.01"), 2, 5.005, date(2024, 2, 26), 1, None, "free"),
        # 0.05 / 3 = 0.01666..: rounded, not cut, to six decimals. Two shipped by now: (3 + 0) / 2.
        ("ann", days[2], Decimal("0.05"), 4, 0.016667, date(2024, 2, 28), 0, 1.5, "paid"),
        ("bob", days[2], Decimal("0.00"), 0, 0.0, None, 5, None, "free"),
        # 2 February sales are left in three days; (3 + 0 + 1) / 3 days of shipping.
        ("ann", days[3], Decimal("0.04"), 4, 0.02, date(2024, 2, 28), 1, 1.333333, "paid"),
        ("bob", days[3], Decimal("0.00"), 0, 0.0, None, 5, None, "free"),
        ("ann", days[4], Decimal("0.00"), 4, 0.0, date(2024, 2, 28), 5, 0.5, "paid"),
        ("bob", days[4], Decimal("0.00"), 0, 0.0, None, 5, None, "free"),
    ]
    contracts = {"people": PEOPLE, "sales": SALES}
    rows = feature_rows(VIEW, contracts, silver, Wanted(days)).rows.drop("stale_sources", "pipeline_version")
    assert_df_equality(rows, spark.createDataFrame(expected, COLUMNS), ignore_row_order=True, ignore_nullable=True)


def test_means_round_half_away_from_zero(spark: SparkSession, silver) -> None:
    # -0.01 / 8 = -0.00125 exactly; to six decimals that is itself. 0.01 / 3200000 is 3.125e-9, which rounds to 0;
    # 0.01 / 20000 = 5e-7, the half that goes away from zero.
    rows = [(str(n), who, Decimal(price), None, instant(28)) for n, (who, price) in enumerate(
        [("ann", "-0.01"), *[("ann", "0.00")] * 7, ("bob", "0.01")]
    )]  # fmt: skip
    ddl = "id string, buyer string, price decimal(12,2), shipped date, at timestamp"
    halves = spark.range(1, 20000).selectExpr(
        "concat('z', id) as id", "'bob' as buyer", "cast(0 as decimal(12,2)) as price", "cast(null as date) as shipped",
        "timestamp'2024-02-28 00:00:00' as at",
    )  # fmt: skip
    sales = spark.createDataFrame(rows, ddl).unionByName(halves)
    found = feature_rows(
        VIEW, {"people": PEOPLE, "sales": SALES}, {**silver, "sales": sales}, Wanted([date(2024, 2, 28)])
    ).rows
    assert {row["who"]: row["mean_3d"] for row in found.collect()} == {"ann": -0.00125, "bob": 0.000001}


def test_stale_groups_keep_what_was_published_last(spark: SparkSession, silver) -> None:
    day, next_day, later = date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 7)
    carried = {"sales": [next_day]}
    old = (Decimal("7.00"), 7, 7.0, None, 4, 7.5)
    published = [
        ("ann", date(2024, 2, 26), Decimal("1.00"), 1, 1.0, None, 1, None, "free"),
        ("ann", day, *old, "gone"),
        ("ann", later, Decimal("9.00"), 9, 9.0, day, 0, 9.0, "later"),
        ("bob", later, Decimal("9.00"), 9, 9.0, day, 0, 9.0, "later"),
    ]
    expected = [
        ("ann", day, Decimal("0.05"), 4, 0.016667, day, 0, 1.5, "paid", []),
        ("bob", day, Decimal("0.00"), 0, 0.0, None, 5, None, "free", []),
        ("ann", next_day, *old, "paid", ["sales"]),
        # Nothing was published for bob by then: he gets the values of somebody without sales.
        ("bob", next_day, Decimal("0.00"), 0, 0.0, None, 5, None, "free", ["sales"]),
    ]
    rows = feature_rows(VIEW, {"people": PEOPLE, "sales": SALES}, silver, Wanted([day, next_day], carried)).rows
    kept = carry_forward(rows, spark.createDataFrame(published, COLUMNS), VIEW, carried).drop("pipeline_version")
    wanted = spark.createDataFrame(expected, f"{COLUMNS}, stale_sources array<string>")
    assert_df_equality(kept, wanted, ignore_row_order=True, ignore_nullable=True)


def test_a_value_that_its_type_cannot_hold_is_named(spark: SparkSession, silver) -> None:
    features = VIEW.model_dump(mode="json")
    features["groups"][0]["features"][0]["type"] = "decimal(3,2)"
    rows = feature_rows(
        FeatureView.model_validate(features), {"people": PEOPLE, "sales": SALES}, silver, Wanted([date(2024, 2, 25)])
    )
    with pytest.raises(DataRejected) as caught, fitting("v"):
        rows.rows.collect()
    assert caught.value.code == "value_out_of_range"
    assert caught.value.message == "View v: spent_3d: a value does not fit decimal(3,2)."
