"""A backfill that is killed and run again: every cell as the naive oracle has it, and no slice done twice."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from tests.e2e.conftest import ROOT, Published, run_job
from tests.e2e.test_crash import PIPELINE, SHORT_LIVED, copied, ledger_of
from tests.oracles.churn import FEATURE_SCHEMA, ChurnOracle, differences

from headwater.pipelines.steps import StageDates
from headwater.tables.sample import all_rows


def test_killed_and_run_again_it_goes_on(
    spark: SparkSession, published: Published, jars: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here, lake = published.site, copied(published.after, tmp_path)
    stage = f"{PIPELINE}/{PIPELINE}/stage"
    before = len(ledger_of(lake).stream(stage).commits)
    last = here.days[0] - timedelta(days=40)
    arguments = ["--from", str(last - timedelta(days=11)), "--to", str(last), "--slice-rows", "3200"]
    # As in a lake that has grown: from stored tiles.
    variables = {**here.environment(lake, here.world.second_extraction), "HEADWATER_TILES_FROM_MB": "0"}
    killed = {
        **os.environ, **variables, "HEADWATER_JARS": jars, "JDK_JAVA_OPTIONS": SHORT_LIVED, "PYTHONPATH": str(ROOT / "lib"),
        "HEADWATER_FAILPOINT": f"publish:{PIPELINE}:history",
    }  # fmt: skip
    job = [sys.executable, "jobs/backfill_gold.py", *arguments]
    assert subprocess.run(job, cwd=ROOT, env=killed, check=False, capture_output=True).returncode == -9
    assert run_job("backfill_gold", arguments, variables) == 0
    assert "dates are published, about" in capfd.readouterr().out

    slices = [StageDates.model_validate(each.payload).dates for each in ledger_of(lake).stream(stage).commits[before:]]
    dates = [last - timedelta(days=back) for back in reversed(range(12))]
    assert len(ledger_of(lake).stream(f"{PIPELINE}/{PIPELINE}/tiles").commits) == 1
    assert [day for part in slices for day in part] == dates
    assert len(slices) >= 3
    rows = all_rows(str(lake / "gold" / PIPELINE)).select(FEATURE_SCHEMA.names)
    every = [*dates, *(here.days[1] - timedelta(days=back) for back in reversed(range(41)))]
    expected = ChurnOracle(published.dumps).features(every)
    assert differences(expected, rows, ["user_id", "feature_date"]) == []

    assert run_job("backfill_gold", arguments, variables) == 0
    assert '"status": "nothing_to_do"' in capfd.readouterr().out
    assert run_job("run_pipeline", ["--date", str(here.days[1])], variables) == 0
    assert '"status": "nothing_to_do"' in capfd.readouterr().out
