"""Workers know the partition that Spark puts an entity in, and find each bucket of a checkpoint again."""

from collections.abc import Iterable, Iterator
from datetime import date
from random import Random

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from headwater.features.buckets import bucket_of, can_be_placed
from headwater.features.computed import partition

LETTERS = "abcU0129 é\U0001f600ß\x00"
VALUES: dict[str, list[object]] = {
    "string": ["", *("".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 23))) for rng in map(Random, range(400)))],
    "int": [0, -1, 2**31 - 1, -(2**31), *(Random(each).randrange(-(2**31), 2**31) for each in range(100))],
    "bigint": [0, -1, 2**63 - 1, -(2**63), *(Random(each).randrange(-(2**63), 2**63) for each in range(100))],
    "smallint": [0, -1, 2**15 - 1, -(2**15)],
    "date": [date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(9999, 12, 31)],
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_the_partition_is_the_one_that_spark_chooses(spark: SparkSession, kind: str) -> None:
    """By the rows of each partition, not by the hash function: what a worker reads goes with what is shuffled to it."""
    frame = spark.createDataFrame([(each,) for each in VALUES[kind]], f"who {kind}")

    def placed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            at = pa.array([partition()] * len(batch), pa.int32())
            yield pa.RecordBatch.from_arrays([batch["who"], at], names=["who", "at"])

    for buckets in (1, 2, 8, 64):
        rows = frame.repartition(buckets, "who").mapInArrow(placed, f"who {kind}, at int").collect()
        found = pa.array([row[0] for row in rows], {"smallint": pa.int16(), "int": pa.int32()}.get(kind))
        assert can_be_placed(found.type)
        assert bucket_of(found, buckets).tolist() == [row[1] for row in rows]
        # One of 8 holds the entities of those of 64 that leave it as the remainder.
        assert [each % 8 for each in bucket_of(found, 64)] == bucket_of(found, 8).tolist()


def test_other_types_are_not_placed() -> None:
    assert not any(can_be_placed(kind) for kind in (pa.decimal128(10, 0), pa.float64(), pa.timestamp("us"), pa.bool_()))
