"""Threads that work beside each other: the semantics of their session, and settings that stay in the thread."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from headwater.session import active_session_kept, in_own_session


def test_expressions_built_beside_others_are_strict(spark: SparkSession) -> None:
    def work(own: SparkSession) -> None:
        own.range(1).select(F.lit("x").cast("int")).collect()

    with ThreadPoolExecutor() as pool, pytest.raises(PySparkException, match="CAST_INVALID_INPUT"):
        pool.submit(in_own_session(spark, work)).result()


def test_settings_made_beside_others_stay_there(spark: SparkSession) -> None:
    def work(own: SparkSession) -> str:
        own.conf.set("spark.some.setting", "theirs")
        own.createDataFrame([(1,)], "x int")
        return own.conf.get("spark.sql.shuffle.partitions")

    spark.conf.set("spark.sql.shuffle.partitions", "3")
    try:
        with active_session_kept(), ThreadPoolExecutor() as pool:
            assert pool.submit(in_own_session(spark, work)).result() == "3"
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "2")
    assert spark.conf.get("spark.some.setting", "none") == "none"
    assert SparkSession.getActiveSession() is spark
