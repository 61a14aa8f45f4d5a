"""What a training set gives away: suspicious features by their numbers, and rows that must not be."""

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.training import TrainingSet
from headwater.errors import DataRejected
from headwater.features.leakage import suspicion_measures, suspicions
from headwater.features.lookup import Images, Rule
from headwater.pipelines.steps import BuildTrainingSet, LabelVersion
from headwater.pipelines.training_checks import LabelCounts, examined

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
COUNTS = LabelCounts(labels=1, mature=1, oldest=None, last=NOON.date())


def told(frame: DataFrame, label: str = "y") -> list[tuple[str, str, float]]:
    names = [name for name in frame.columns if name != label]
    found = frame.agg(*suspicion_measures(frame.schema, names, label)).collect()[0].asDict()
    return [(each.feature, each.sign, round(each.strength, 3)) for each in suspicions(found)]


def test_features_that_are_the_label_are_named(spark: SparkSession) -> None:
    frame = spark.range(400).selectExpr(
        "id % 2 = 1 AS y",
        "CAST(1 - id % 2 * 7 AS decimal(9,2)) AS opposite",
        "id % 2 * (1000 + id % 100 * 50) AS apart",
        "CASE WHEN id % 2 = 1 THEN id % 10 END AS only_then",
        "CASE WHEN id % 2 = 0 THEN 'text' END AS text_only_then",
        "date_add(DATE'2024-01-01', CAST(id % 2 * 9 AS int)) AS day",
        "3 AS always",
        "CAST(NULL AS int) AS never",
        "CASE WHEN id < 20 THEN id % 2 END AS too_rare",
        "id % 7 AS honest",
        "CASE WHEN id % 3 = 0 THEN id END AS honest_gaps",
        "CASE WHEN id % 5 = 0 THEN double('NaN') ELSE id % 2 END AS not_numbers",
    )
    assert told(frame) == [
        ("opposite", "correlated", -1.0),
        ("apart", "separates", 1.0),
        ("day", "correlated", 1.0),
        ("not_numbers", "correlated", 1.0),
        ("only_then", "null_tells", -1.0),
        ("text_only_then", "null_tells", 1.0),
    ]


def test_a_number_as_label_and_one_that_is_no_number(spark: SparkSession) -> None:
    frame = spark.range(100).selectExpr("id AS y", "id * 2 + id % 2 AS double", "id % 9 AS other")
    assert told(frame) == [("double", "correlated", 1.0)]
    text = frame.withColumn("y", F.col("y").cast("string"))
    assert suspicion_measures(text.schema, ["double", "other"], "y") == []
    assert list(suspicions({"rows": 100})) == []


@pytest.mark.parametrize(
    ("cutoff", "age", "published_late", "refused"),
    [
        ("before_day", 1, False, False), ("before_day", 0, False, True), ("through_day", 0, False, False),
        ("through_day", -1, False, True), ("through_day", 5, False, False), ("through_day", 6, False, True),
        ("through_day", 1, True, True),
    ],
)  # fmt: skip
def test_rows_beyond_the_cut_off_are_refused(
    spark: SparkSession, cutoff: str, age: int, published_late: bool, refused: bool
) -> None:
    late = NOON + timedelta(microseconds=1 if published_late else 0)
    rows = spark.createDataFrame(
        [("a", NOON, 1, None, NOON.date() - timedelta(days=age), late, 7)],
        "who string, at timestamp, y int, split string, feature_date date, published_at timestamp, x int",
    )
    view = Images(rows, "who", ("x",), commits=(NOON,))
    declared = {
        "name": "set", "cutoff": cutoff, "views": [{"kind": "table", "path": "p", "entity": "who"}],
        "labels": {"path": "l", "entity": "who", "time": "at", "label": "y"},
    }  # fmt: skip
    definition = TrainingSet.model_validate(declared)
    step = BuildTrainingSet(id="x", definition=definition, run_date=NOON.date(), labels=LabelVersion(), versions=(0,))
    if not refused:
        assert examined(rows, [view], Rule("who", "at", cutoff, 5), step, COUNTS)["rows"] == 1
        return
    with pytest.raises(DataRejected) as caught:
        examined(rows, [view], Rule("who", "at", cutoff, 5), step, COUNTS)
    assert caught.value.code == "beyond_cutoff"
    assert caught.value.facts["rows"] == 1
