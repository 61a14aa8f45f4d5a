"""Only in `make soak`: twenty pairs of processes at random moments on one run, and disks that are full at ten places."""

import shutil
from pathlib import Path
from random import Random
from threading import Event

import pytest
from tests.e2e.conftest import Published
from tests.e2e.test_crash import PIPELINE, SOURCES, contents, copied, ledger_of, run, start
from tests.e2e.test_fire import filled


@pytest.mark.parametrize("seed", range(20))
def test_of_two_processes_on_one_run_one_wins(published: Published, jars: str, tmp_path: Path, seed: int) -> None:
    lake, rng = copied(published.before, tmp_path), Random(seed)
    first = start(published, lake, jars, "run_pipeline")
    Event().wait(rng.random() * 60)
    second = start(published, lake, jars, "run_pipeline")
    codes = {first.wait(), second.wait()}
    assert codes <= {0, 5}
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == contents(published.after)
    for source in SOURCES:
        assert [commit.n for commit in ledger_of(lake).stream(f"{PIPELINE}/{source}/bronze").commits] == [1, 2]
    shutil.rmtree(lake)


def test_disks_that_are_full_at_ten_places(published: Published, jars: str, tmp_path: Path) -> None:
    lake = copied(published.before, tmp_path)
    for room in (20_000, 60_000, 150_000, 300_000, 500_000, 800_000, 1_200_000, 1_800_000, 2_500_000, 3_500_000):
        assert filled(published, lake, jars, room, tmp_path, "run_pipeline") in (0, 4), room
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == contents(published.after)
