"""A project of another domain, by `conf/` alone: string keys, hourly events, no dimension, composite keys.

The law of the engine is held against this project's own naive query: dates in one pass, day by day, and repaired after
late and corrected records give the same cells; so they do on a cluster, on an object store, in another locale, time zone
and user.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random

import boto3
import psycopg
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from tests.e2e.conftest import ROOT, run_job
from tests.e2e.projects.plant import LAST, NEXT, PROJECT, TABLES, Records, corrections, drawn, extraction, naive, write
from tests.e2e.test_crash import SHORT_LIVED
from tests.oracles.churn import differences

from headwater.demo.stack import Stack, start_stack
from headwater.tables.sample import all_rows

FIVE = [LAST - timedelta(days=back) for back in reversed(range(5))]
KEY = ["sensor", "feature_date"]
ELSEWHERE = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "tr_TR.UTF-8"}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(tmp_path_factory.mktemp("plant") / "servers") as stack:
        with psycopg.connect(stack.postgres.dsn) as connection:
            connection.execute(TABLES)
        yield stack


@pytest.fixture(scope="module")
def phases(plant: Stack) -> tuple[Records, ...]:
    """Two weeks; then, after the first extraction, a new day, corrections, and another day's events, late."""
    rng, late = Random(20240301), extraction(LAST) + timedelta(hours=3)
    first = drawn(rng, [LAST - timedelta(days=back) for back in reversed(range(14))])
    write(plant, first)
    late_day = drawn(rng, [LAST - timedelta(days=3)], late + timedelta(minutes=1))
    return first, drawn(rng, [NEXT]), corrections(rng, first, late), late_day


def variables(plant: Stack, lake: str, day: date) -> dict[str, str]:
    return {**plant.environment(), "HEADWATER_LAKE": lake, "HEADWATER_CLOCK": extraction(day).isoformat()}


def run(plant: Stack, lake: Path, day: date) -> int:
    return run_job("run_pipeline", ["--date", str(day)], variables(plant, str(lake), day), PROJECT / "conf")


def published(lake: str, options: dict[str, str] | None = None) -> pa.Table:
    return all_rows(f"{lake}/gold/sensor_health", options=options)


def by_key(lake: Path) -> dict[tuple[str, date], dict[str, object]]:
    return {(row["sensor"], row["feature_date"]): row for row in published(str(lake)).to_pylist()}


def test_daily_runs_and_repair_equal_the_naive_query(
    spark: SparkSession, plant: Stack, phases: tuple[Records, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repaired by sensor, as if they were many."""
    monkeypatch.setattr("headwater.pipelines.repair._AT_MOST", 0)
    lake = tmp_path / "lake"
    assert run(plant, lake, LAST) == 0
    names = naive(list(phases[:1]), FIVE).column_names
    assert differences(naive(list(phases[:1]), FIVE), published(str(lake)).select(names), KEY) == []
    before = by_key(lake)
    for records in phases[1:]:
        write(plant, records)
    assert run(plant, lake, NEXT) == 0
    expected = naive(list(phases), [*FIVE, NEXT])
    assert differences(expected, published(str(lake)).select(names), KEY) == []
    after = by_key(lake)
    changed = Counter(str(key[1]) for key in before | after if key[1] != NEXT and before.get(key) != after.get(key))
    reports = [json.loads(path.read_text()) for path in (lake / "ops" / "reports").glob("*.json")]
    (repairs,) = [each["repairs"] for each in reports if each["run_date"] == str(NEXT)]
    assert (repairs["whole"], repairs["rows"]) == ([], dict(changed))
    assert 0 < sum(changed.values()) < len(before)
    for name in ("mean_inside_7d", "severe_faults_5d", "days_to_clear_9d", "last_visit", "minutes_on_site"):
        values = expected[name].to_pylist()
        assert len(set(values)) > len(values) / 6, name


def test_one_pass_elsewhere_gives_the_same_cells(
    plant: Stack, phases: tuple[Records, ...], jars: str, tmp_path: Path
) -> None:
    """Two source jobs at once on a lake on S3A; then the rest on a cluster, by no root, in Nepal, in Turkish."""
    for records in phases[1:]:
        write(plant, records)
    store = plant.s3
    options = {
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_REGION": store.region,
        "AWS_ALLOW_HTTP": "true",
    }
    boto3.client(
        "s3", endpoint_url=store.endpoint, aws_access_key_id="x", aws_secret_access_key="x", region_name=store.region
    ).create_bucket(Bucket="lake")
    conf = Path(shutil.copytree(PROJECT / "conf", tmp_path / "conf"))
    text = (conf / "project.yaml").read_text()
    (conf / "project.yaml").write_text(text.replace("initial_dates: 5", "initial_dates: 6"))
    environment = {
        **os.environ,
        **variables(plant, "s3a://lake/plant", NEXT),
        **options,
        "AWS_DEFAULT_REGION": store.region,
        "HEADWATER_JARS": jars,
        "PYTHONPATH": str(ROOT / "lib"),
        "PLANT_MASTER": "local[2]",
        "JDK_JAVA_OPTIONS": SHORT_LIVED,
    }

    def start(job: str, *arguments: str, wrapped: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        command = [*wrapped, sys.executable, f"jobs/{job}.py", "--conf", str(conf), "--env", "s3"]
        return subprocess.Popen(
            [*command, "--date", str(NEXT), *arguments],
            cwd=ROOT, env={**environment, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    both = [start("extract_bronze", "--source", source) for source in ("readings", "faults")]
    for process in both:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    user = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
    nobody = user if os.geteuid() == 0 and subprocess.run([*user, "true"], check=False).returncode == 0 else ()
    turkish = f"-Duser.language=tr -Duser.country=TR -Dfile.encoding=UTF-8 -Duser.home={tmp_path} {SHORT_LIVED}"
    rest = start(
        "run_pipeline", wrapped=nobody, PLANT_MASTER="local-cluster[2,1,1024]", JDK_JAVA_OPTIONS=turkish, **ELSEWHERE
    )
    output, _ = rest.communicate()
    assert rest.returncode == 0, output
    expected = naive(list(phases), [*FIVE, NEXT])
    # The source no longer holds the versions that the corrections replaced; they won, so nothing is missing.
    found = published("s3a://lake/plant", options).select(expected.column_names)
    assert differences(expected, found, KEY) == []
