"""MongoDB: every document word for word, whatever its types, and exact window edges."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from py4j.protocol import Py4JError
from pydantic import SecretStr
from pyspark.sql import SparkSession
from tests.e2e.sources.conftest import DAY, T1, MongoWorld

from headwater.errors import ConfigError
from headwater.sources.base import Window
from headwater.sources.failures import classify_spark_error

MS = timedelta(milliseconds=1)


def test_every_bson_type_arrives_verbatim(collection: MongoWorld, spark: SparkSession) -> None:
    document = {
        "_id": "B1",
        "int32": 5,
        "int64": Int64(5),
        "large": Int64(2**53 + 1),
        "double": 1.5,
        "whole": 2.0,
        "nan": float("nan"),
        "decimal": Decimal128("1.10"),
        "date": datetime(2025, 3, 1, 12, 0, 0, 123000, tzinfo=UTC),
        "old": datetime(1960, 1, 1, tzinfo=UTC),
        "far": DatetimeMS(253402300800000),
        "text": 'é "quoted", 漢\n',
        "nested": {"a": [1, Int64(2), {"b": None}]},
        "oid": ObjectId("65f000000000000000000001"),
        "flag": True,
        "nothing": None,
        "bytes": Binary(b"ab"),
        "updated_at": T1,
    }
    collection.insert([document])
    source = collection.source()
    with source.read(spark, source.extent([])) as extraction:
        assert extraction.frame.dtypes == [("_id", "string"), ("updated_at", "string"), ("document", "string")]
        row = extraction.frame.collect()[0]
        assert extraction.counted is None
    assert row["_id"] == "B1"
    assert row["updated_at"] == '{"$date": {"$numberLong": "1743472800000"}}'
    assert json.loads(row["document"]) == {
        "_id": "B1",
        "int32": {"$numberInt": "5"},
        "int64": {"$numberLong": "5"},
        "large": {"$numberLong": "9007199254740993"},
        "double": {"$numberDouble": "1.5"},
        "whole": {"$numberDouble": "2.0"},
        "nan": {"$numberDouble": "NaN"},
        "decimal": {"$numberDecimal": "1.10"},
        "date": {"$date": {"$numberLong": "1740830400123"}},
        "old": {"$date": {"$numberLong": "-315619200000"}},
        "far": {"$date": {"$numberLong": "253402300800000"}},
        "text": 'é "quoted", 漢\n',
        "nested": {"a": [{"$numberInt": "1"}, {"$numberLong": "2"}, {"b": None}]},
        "oid": {"$oid": "65f000000000000000000001"},
        "flag": True,
        "nothing": None,
        "bytes": {"$binary": {"base64": "YWI=", "subType": "00"}},
        "updated_at": {"$date": {"$numberLong": "1743472800000"}},
    }
    assert list(json.loads(row["document"])) == list(document)


def test_a_window_excludes_its_start_and_includes_its_end(collection: MongoWorld, spark: SparkSession) -> None:
    for number, at in enumerate([T1, T1 + MS, T1 + DAY, T1 + DAY + MS], start=1):
        collection.write([number], at)
    with collection.source().read(spark, Window(T1, T1 + DAY)) as extraction:
        assert collection.ids(extraction.frame) == ["2", "3"]


def test_consecutive_windows_with_microseconds_neither_overlap_nor_leave_a_gap(
    collection: MongoWorld, spark: SparkSession
) -> None:
    edge = T1 + timedelta(microseconds=123_456)
    for number in range(121, 127):
        collection.write([number], T1 + number * MS)
    with collection.source().read(spark, Window(None, edge)) as extraction:
        assert collection.ids(extraction.frame) == ["121", "122", "123"]
    with collection.source().read(spark, Window(edge, T1 + DAY)) as extraction:
        assert collection.ids(extraction.frame) == ["124", "125", "126"]


def test_documents_without_a_time_belong_to_every_window(collection: MongoWorld, spark: SparkSession) -> None:
    no_times = [None, "2025-04-01", 5, {"nested": T1}, [T1], [T1 - 9 * DAY]]
    collection.insert([{"_id": str(number), "updated_at": value} for number, value in enumerate(no_times)])
    collection.insert([{"_id": "missing"}, {"_id": "elsewhere", "updated_at": T1 - 9 * DAY}])
    for window in (Window(T1, T1 + DAY), Window(T1 + DAY, T1 + DAY)):
        with collection.source().read(spark, window) as extraction:
            assert collection.ids(extraction.frame) == [*map(str, range(len(no_times))), "missing"]


def test_keys_of_mixed_types_are_all_read(collection: MongoWorld, spark: SparkSession) -> None:
    collection.insert([{"_id": key, "updated_at": T1} for key in ("a", 42, ObjectId("65f000000000000000000002"))])
    source = collection.source()
    with source.read(spark, source.extent([])) as extraction:
        assert set(collection.ids(extraction.frame)) == {
            "a",
            '{"$numberInt": "42"}',
            '{"$oid": "65f000000000000000000002"}',
        }


def test_a_collection_without_watermark_is_read_wholly(collection: MongoWorld, spark: SparkSession) -> None:
    collection.write([1], T1 + 5 * DAY)
    source = collection.source(watermark=None)
    with source.read(spark, source.extent([Window(None, T1 - DAY)])) as extraction:
        assert extraction.frame.columns == ["_id", "document"]
        assert collection.ids(extraction.frame) == ["1"]


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300", "data_source_unavailable"),
        ("mongodb://reader:s3cret@{host}/?serverSelectionTimeoutMS=300", "authentication_failed"),
    ],
    ids=["away", "refused"],
)
def test_a_failure_inside_spark_is_recognised(collection: MongoWorld, spark: SparkSession, uri: str, code: str) -> None:
    host = collection.stack.mongo_uri.removeprefix("mongodb://")
    frame = (
        spark.read.format("mongodb")
        .option("connection.uri", uri.format(host=host))
        .option("database", "app")
        .option("collection", collection.name)
        .schema("_id string")
        .load()
    )
    with pytest.raises(Py4JError) as caught:
        frame.collect()
    found = classify_spark_error(caught.value, "user_behavior")
    assert found is not None
    assert found.code == code
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("uri", ["mongodb://u:p@ss:w@h/", "nonsense://"], ids=["not-encoded", "scheme"])
def test_an_invalid_uri_is_a_mistake_in_conf_and_is_not_shown(collection: MongoWorld, uri: str) -> None:
    source = collection.source()
    broken = type(source)(source.spec, source.connection, lambda *_: SecretStr(uri), source.clock, source.policy)
    with pytest.raises(ConfigError) as caught:
        broken.extent([])
    assert caught.value.code == "invalid_uri"
    assert uri not in str(caught.value)
