"""What several test folders share: one Spark session per test process, built by the code under test.

`make test` runs two processes. What shares an expensive world stays in one of them, and the longest begin first.
"""

import gc
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from xdist.scheduler import LoadScopeScheduling

from headwater.config.project import SparkSettings
from headwater.session import build_session

# Of so few rows, compiling each query costs more than running it; `make soak` compiles, as deployments do.
_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
_JARS = Path(__file__).parents[1] / ".cache" / "jars"
_PUBLISHED = "published"
_OF_PUBLISHED = ("test_crash.py", "test_fire.py", "test_backfill.py", "test_pipeline.py", "test_training_set.py")
_LONGEST_FIRST = (_PUBLISHED, "test_gates.py", "test_sensors.py", "test_quality.py", "test_mistakes.py")


def pytest_configure() -> None:
    """Serve a bare `pytest` too: without the Makefile's exports, what it downloaded is used."""
    demo = sorted((_JARS / "demo").glob("*.jar"))
    os.environ.setdefault("HEADWATER_DEMO_CLASSPATH", os.pathsep.join(str(jar) for jar in demo))


class _ByWorld(LoadScopeScheduling):
    """Tests of one world, else of one file, stay in one process."""

    def _split_scope(self, nodeid: str) -> str:
        name = Path(nodeid.partition("::")[0]).name
        return _PUBLISHED if name in _OF_PUBLISHED else name


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """What `-n` goes by."""
    return _ByWorld(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the sort keeps the order within a file."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    name = _PUBLISHED if item.path.name in _OF_PUBLISHED else item.path.name
    return _LONGEST_FIRST.index(name) if name in _LONGEST_FIRST else len(_LONGEST_FIRST)


def pytest_collection_finish() -> None:
    """Keep what was imported out of every later search for garbage: a tenth of the unit suite's time."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter find its garbage at the end: some extensions complain of what stays."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def jars() -> str:
    """Comma-separated jars: those the Makefile exports, else those it downloaded."""
    return os.environ.get("HEADWATER_JARS") or ",".join(str(jar) for jar in sorted(_JARS.glob("*.jar")))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, jars: str) -> Iterator[SparkSession]:
    """The session of this process: two cores, two shuffle partitions, a warehouse of its own."""
    settings = {
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.sql.adaptive.enabled": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:NewSize=512m",
    }
    if not os.environ.get("HEADWATER_SOAK"):
        settings |= _INTERPRETED
    session = build_session("tests", SparkSettings(master="local[2]", settings=settings), jars=jars)
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def utc_now() -> Callable[[], datetime]:
    """The real clock."""
    return lambda: datetime.now(UTC)
