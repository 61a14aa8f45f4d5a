"""Kill the job where it hurts, run it again: the content is that of a run nobody disturbed."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from tests.e2e.conftest import ROOT, Site, run_job, site

from headwater.state.holder import Holder
from headwater.state.ledger import Ledger

PIPELINE = "customer_churn_features"
SOURCES = ("transactions", "customers", "user_behavior", "support_tickets")
NOT_CONTENT = {"_bucket", "_batch_id", "row_id", "batch_id", "feature_month"}
# In the order in which a run meets them.
KILLS = (
    "extract:transactions:written",
    "conform:customers:merged",
    "conform:support_tickets:written",
    "conform:user_behavior:merged",
    "stage:customer_churn_features:committed",
    "publish:customer_churn_features:history",
    "publish:customer_churn_features:written",
)
AFTER_BRONZE, AFTER_MERGE, BEFORE_PUBLISH = KILLS[0], KILLS[3], KILLS[4]
# Each sequence is one run that dies at every point of it. At full count: at each alone, and at all in turn.
SEQUENCES = (
    (*((point,) for point in KILLS), KILLS)
    if os.environ.get("HEADWATER_SOAK")
    else ((AFTER_BRONZE, AFTER_MERGE, BEFORE_PUBLISH),)
)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("crash"), customers=100, days=45) as small:
        small.load_initial()
        yield small


@pytest.fixture(scope="module")
def undisturbed(here: Site, spark: object) -> dict[str, str]:
    lake = here.folder / "undisturbed"
    assert run_job("run_pipeline", arguments(here), here.environment(lake, here.world.first_extraction)) == 0
    return contents(lake)


def arguments(here: Site) -> list[str]:
    return ["--date", str(here.days[0])]


def contents(lake: Path) -> dict[str, str]:
    """A hash of every content table, whatever the order of its rows and however they came to be there."""
    tables = [f"{layer}/{source}" for layer in ("silver", "quarantine") for source in SOURCES]
    tables += [f"gold/{PIPELINE}", f"gold/{PIPELINE}_latest"]
    return {name: content(DeltaTable(str(lake / name)).to_pyarrow_table()) for name in tables}


def content(rows: pa.Table) -> str:
    rows = rows.select([name for name in rows.column_names if name not in NOT_CONTENT])
    lines = sorted(repr(sorted(row.items())) for row in rows.to_pylist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def killed(here: Site, lake: Path, point: str, jars: str, job: tuple[str, ...] = ("run_pipeline",)) -> int:
    """Run a job in a process of its own that dies at a point; returns what the shell would see."""
    variables = {
        **os.environ,
        **here.environment(lake, here.world.first_extraction),
        "HEADWATER_JARS": jars,
        "HEADWATER_FAILPOINT": point,
        "PYTHONPATH": str(ROOT / "lib"),
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1",
    }
    command = [sys.executable, f"jobs/{job[0]}.py", *arguments(here), *job[1:]]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=False).returncode


@pytest.mark.parametrize("points", SEQUENCES, ids=" ".join)
def test_rerun_after_kills_gives_the_undisturbed_content(
    here: Site, undisturbed: dict[str, str], jars: str, tmp_path: Path, points: tuple[str, ...]
) -> None:
    lake = tmp_path / "lake"
    for point in points:
        assert killed(here, lake, point, jars) == -9
    assert (lake / "gold" / PIPELINE).exists() == points[-1].startswith("publish")
    assert run_job("run_pipeline", arguments(here), here.environment(lake, here.world.first_extraction)) == 0
    assert contents(lake) == undisturbed


def test_the_next_date_finishes_what_a_kill_left_and_goes_on(
    here: Site, spark: object, jars: str, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    job = ("extract_bronze", "--source", "customers")
    assert killed(here, lake, "extract:customers:written", jars, job) == -9
    variables = here.environment(lake, here.world.second_extraction)
    assert run_job(job[0], ["--date", str(here.days[1]), *job[1:]], variables) == 0
    ledger = Ledger(str(lake / "ops"), clock=lambda: pytest.fail("no clock"), holder=Holder.current("test"))
    commits = ledger.stream(f"{PIPELINE}/customers/bronze").commits
    assert [commit.payload["run_date"] for commit in commits] == [str(day) for day in here.days]
    assert commits[0].facts["records"] > 0


def test_second_process_on_a_source_is_refused(
    here: Site, undisturbed: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], utc_now
) -> None:
    lake = tmp_path / "lake"
    other = Ledger(str(lake / "ops"), clock=utc_now, holder=Holder.current("other"), lease=timedelta(minutes=5))
    payload = {
        "kind": "extract",
        "source": "transactions",
        "run_date": str(here.days[0]),
        "extracted_at": here.world.first_extraction.isoformat(),
        "extent": None,
    }
    other.begin(f"{PIPELINE}/transactions/bronze", payload)
    variables = here.environment(lake, here.world.first_extraction)
    assert run_job("extract_bronze", [*arguments(here), "--source", "transactions"], variables) == 5
    assert "stream_held" in capfd.readouterr().err
    assert not (lake / "bronze").exists()
    assert undisturbed


def test_wrong_threshold_publishes_nothing(
    here: Site, undisturbed: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake = here.folder / "undisturbed"
    conf = tmp_path / "conf"
    subprocess.run(["cp", "-r", str(ROOT / "conf"), str(conf)], check=True)
    checks = conf / "checks" / f"{PIPELINE}.yaml"
    text = checks.read_text()
    assert "min: 0, max: 365," in text
    checks.write_text(text.replace("min: 0, max: 365,", "min: 0, max: 36,"))
    here.load_change()
    day = ["--date", str(here.days[1])]
    variables = here.environment(lake, here.world.second_extraction)
    for job in ("extract_bronze",):
        for source in SOURCES:
            assert run_job(job, [*day, "--source", source], variables, conf) == 0
    assert run_job("build_silver", day, variables, conf) == 0
    assert run_job("build_gold", day, variables, conf) == 0
    assert run_job("publish_gold", day, variables, conf) == 3
    assert "not_verified" in capfd.readouterr().err
    assert run_job("verify_gold", day, variables, conf) == 3
    assert "days_since_last_login" in capfd.readouterr().err
    assert run_job("publish_gold", day, variables, conf) == 3
    after = contents(lake)
    assert {name: after[name] for name in after if name.startswith("gold/")} == {
        name: undisturbed[name] for name in undisturbed if name.startswith("gold/")
    }
    assert run_job("verify_gold", day, variables) == 0
    assert run_job("publish_gold", day, variables) == 0
    assert contents(lake)[f"gold/{PIPELINE}"] != undisturbed[f"gold/{PIPELINE}"]
