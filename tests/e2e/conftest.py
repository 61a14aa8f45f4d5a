"""Three live servers, a dirty world on them, and the main job run on two days: shared by the whole folder."""

import importlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.oracles.dump import dump_sources, source_counts

from headwater.demo.load import load_change, load_initial
from headwater.demo.run import BUCKET, object_store
from headwater.demo.seed import generate
from headwater.demo.stack import Stack, start_stack
from headwater.demo.world import Scale, World

ROOT = Path(__file__).parents[2]
# In `make soak` the world is so large that every kind of dirt occurs five times and more.
CUSTOMERS, DAYS, OF_EACH_REASON = (2000, 120, 5) if os.environ.get("HEADWATER_SOAK") else (600, 100, 3)


@dataclass(frozen=True)
class Site:
    """Live servers with a world on them, and where lakes and dumps go."""

    stack: Stack
    world: World
    folder: Path

    def load_initial(self) -> None:
        load_initial(
            self.world, dsn=self.stack.postgres.dsn, mongo_uri=self.stack.mongo_uri, s3=self.store, bucket=BUCKET
        )

    def load_change(self) -> None:
        load_change(
            self.world, dsn=self.stack.postgres.dsn, mongo_uri=self.stack.mongo_uri, s3=self.store, bucket=BUCKET
        )

    @property
    def store(self):
        return object_store(self.stack)

    @property
    def days(self) -> tuple[date, date]:
        return self.world.last_day, self.world.scale.change_day

    def dump(self, name: str, at: datetime) -> Path:
        folder = self.folder / name
        dump_sources(folder, extracted_at=at, **self._clients())
        return folder

    def counts(self) -> dict[str, int]:
        return source_counts(**self._clients())

    def _clients(self):
        stack = self.stack
        return {"dsn": stack.postgres.dsn, "mongo_uri": stack.mongo_uri, "s3_client": self.store, "bucket": BUCKET}

    def environment(self, lake: Path, at: datetime) -> dict[str, str]:
        return {**self.stack.environment(), "HEADWATER_LAKE": str(lake), "HEADWATER_CLOCK": at.isoformat()}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_job(name: str, arguments: Sequence[str], variables: Mapping[str, str], conf: Path = ROOT / "conf") -> int:
    """Run a job of `jobs/` in this process, with the session that it has; returns the exit code."""
    with environment(variables):
        return importlib.import_module(f"jobs.{name}").main(["--conf", str(conf), *arguments])


@contextmanager
def site(folder: Path, customers: int, days: int) -> Iterator[Site]:
    with start_stack(folder / "servers") as stack:
        yield Site(stack, generate(Scale(customers=customers, days=days, seed=7)), folder)


@dataclass(frozen=True)
class Published:
    """The main job's two days: the lake after each, what the sources held, and what they counted."""

    site: Site
    before: Path
    after: Path
    dumps: tuple[Path, Path]
    counts: dict[str, int]


@pytest.fixture(scope="session")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A world with all the dirt, published for D and, after the change, for D+1."""
    with site(tmp_path_factory.mktemp("published"), CUSTOMERS, DAYS) as here:
        lake = here.folder / "lake"
        first, second = here.world.first_extraction, here.world.second_extraction
        here.load_initial()
        counts = here.counts()
        dump_before = here.dump("dump-before", first)
        assert (
            run_job("run_pipeline", ["--date", str(here.days[0]), "--run-id", "one"], here.environment(lake, first))
            == 0
        )
        shutil.copytree(lake, here.folder / "lake-before")
        here.load_change()
        dump_after = here.dump("dump-after", second)
        assert (
            run_job("run_pipeline", ["--date", str(here.days[1]), "--run-id", "two"], here.environment(lake, second))
            == 0
        )
        yield Published(here, here.folder / "lake-before", lake, (dump_before, dump_after), counts)
