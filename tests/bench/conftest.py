"""The size of a bench is an option; its session is that of a small cluster node, with a heap that is said."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from tests.bench.world import SIZES

from headwater.config.project import SparkSettings
from headwater.session import build_session

HEAP = "2g"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", choices=sorted(SIZES), default="small")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, jars: str) -> Iterator[SparkSession]:
    """Two cores; adaptive execution and both compilers on, as deployments have them."""
    settings = {
        "spark.driver.memory": HEAP,
        "spark.sql.shuffle.partitions": "8",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    session = build_session("bench", SparkSettings(master="local[2]", settings=settings), jars=jars)
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
