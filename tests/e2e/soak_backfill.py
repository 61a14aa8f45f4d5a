"""Only in `make soak`: a backfill that is killed at twenty points, one after the other, on its way."""

import os
import subprocess
import sys
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from random import Random

from tests.e2e.conftest import CUSTOMERS, ROOT, Published, run_job
from tests.e2e.test_crash import PIPELINE, SHORT_LIVED, contents, copied, ledger_of

from headwater.pipelines.steps import StageDates

KILLS, DATES_OF_A_SLICE = 20, 2
OF_THE_TILES = ("tiles:begun", "tiles:written", "tiles:committed")
OF_A_SLICE = ("stage:begun", "stage:written", "stage:committed", "audit:begun", "audit:written", "audit:committed",
              "publish:begun", "publish:history", "publish:latest", "publish:written", "publish:committed")  # fmt: skip


def test_a_backfill_that_dies_twenty_times(published: Published, jars: str, tmp_path: Path) -> None:
    here, rng = published.site, Random(5)
    # From each death some points further, through as many slices as that takes and one more.
    further = list(accumulate((rng.randint(1, 6) for _ in range(KILLS)), initial=-1))[1:]
    slices = further[-1] // len(OF_A_SLICE) + 2
    points = [*OF_THE_TILES, *OF_A_SLICE * slices]
    last, dates = here.days[0] - timedelta(days=40), slices * DATES_OF_A_SLICE
    arguments = ["--from", str(last - timedelta(days=dates - 1)), "--to", str(last)]
    # A few customers arrive on the second day.
    arguments += ["--slice-rows", str(DATES_OF_A_SLICE * CUSTOMERS * 5 // 4)]
    job = [sys.executable, "jobs/backfill_gold.py", *arguments]
    (tmp_path / "calm").mkdir()
    (tmp_path / "killed").mkdir()
    calm, lake = copied(published.after, tmp_path / "calm"), copied(published.after, tmp_path / "killed")
    stage = f"{PIPELINE}/{PIPELINE}/stage"
    before = len(ledger_of(lake).stream(stage).commits)
    assert run_job("backfill_gold", arguments, here.environment(calm, here.world.second_extraction)) == 0
    # The calm one computes from silver, the killed one from stored tiles: both have to give the same.
    variables = {**here.environment(lake, here.world.second_extraction), "HEADWATER_TILES_FROM_MB": "0"}
    for place in further:
        step, _, at = points[place].partition(":")
        dies = {
            **os.environ, **variables, "HEADWATER_JARS": jars, "JDK_JAVA_OPTIONS": SHORT_LIVED,
            "PYTHONPATH": str(ROOT / "lib"), "HEADWATER_FAILPOINT": f"{step}:{PIPELINE}:{at}",
        }  # fmt: skip
        assert subprocess.run(job, cwd=ROOT, env=dies, check=False, capture_output=True).returncode == -9, (place, at)
    assert run_job("backfill_gold", arguments, variables) == 0
    gold = (f"gold/{PIPELINE}", f"gold/{PIPELINE}_latest")
    assert contents(lake, gold) == contents(calm, gold)
    staged = [StageDates.model_validate(each.payload).dates for each in ledger_of(lake).stream(stage).commits[before:]]
    assert len(staged) == len(set(staged)) >= slices - 1, "a slice was staged twice"
