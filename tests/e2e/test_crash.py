"""Kill a job where it hurts, run it again: the content is that of a run nobody disturbed."""

import hashlib
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from tests.e2e.conftest import ROOT, Published, run_job

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
    "conform:user_behavior:rejected",
    "conform:user_behavior:merged",
    "stage:customer_churn_features:committed",
    "publish:customer_churn_features:history",
    "publish:customer_churn_features:written",
)
FULL_COUNT = (*((point,) for point in KILLS), KILLS) if os.environ.get("HEADWATER_SOAK") else (KILLS[-2:],)


SILVER = tuple(f"{layer}/{source}" for layer in ("silver", "quarantine") for source in SOURCES)
GOLD = (f"gold/{PIPELINE}", f"gold/{PIPELINE}_latest")


def contents(lake: Path, names: tuple[str, ...] = SILVER + GOLD) -> dict[str, str]:
    """A hash of every content table, whatever the order of its rows and however they came to be there."""
    return {name: content(DeltaTable(str(lake / name)).to_pyarrow_table()) for name in names}


def content(rows: pa.Table) -> str:
    rows = rows.select([name for name in rows.column_names if name not in NOT_CONTENT])
    lines = sorted(repr(sorted(row.items())) for row in rows.to_pylist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(published: Published) -> dict[str, str]:
    return contents(published.after)


def copied(lake: Path, to: Path) -> Path:
    return shutil.copytree(lake, to / "lake")


def run(published: Published, lake: Path, job: str, *options: str, conf: Path = ROOT / "conf") -> int:
    """Run a job for D+1 on a lake that holds D."""
    here = published.site
    variables = here.environment(lake, here.world.second_extraction)
    return run_job(job, ["--date", str(here.days[1]), *options], variables, conf)


def killed(published: Published, lake: Path, point: str, jars: str, job: str, *options: str, day: int = 1) -> int:
    """Run a job in a process of its own that dies at a point; returns what the shell would see."""
    here = published.site
    at = (here.world.first_extraction, here.world.second_extraction)[day]
    variables = {
        **os.environ,
        **here.environment(lake, at),
        "HEADWATER_JARS": jars,
        "HEADWATER_FAILPOINT": point,
        "PYTHONPATH": str(ROOT / "lib"),
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    command = [sys.executable, f"jobs/{job}.py", "--date", str(here.days[day]), *options]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def staged(published: Published, jars: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """D+1 staged, not published: killed after a write to bronze, after a MERGE and after staging, rerun each time."""
    lake = copied(published.before, tmp_path_factory.mktemp("staged"))
    source = ("--source", "transactions")
    assert killed(published, lake, "extract:transactions:written", jars, "extract_bronze", *source) == -9
    for name in SOURCES:
        assert run(published, lake, "extract_bronze", "--source", name) == 0
    assert killed(published, lake, "conform:user_behavior:merged", jars, "build_silver") == -9
    assert run(published, lake, "build_silver") == 0
    assert killed(published, lake, f"stage:{PIPELINE}:committed", jars, "build_gold") == -9
    return lake


def test_rerun_after_kills_gives_the_undisturbed_content(
    published: Published, undisturbed: dict[str, str], staged: Path, tmp_path: Path
) -> None:
    lake = copied(staged, tmp_path)
    assert contents(lake, GOLD) == contents(published.before, GOLD)
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == undisturbed


@pytest.mark.parametrize("points", FULL_COUNT, ids=" ".join)
def test_a_run_that_dies_at_any_point_can_be_run_again(
    published: Published, undisturbed: dict[str, str], staged: Path, jars: str, tmp_path: Path, points: tuple[str, ...]
) -> None:
    only_publishing = all(point.startswith("publish") for point in points)
    lake = copied(staged if only_publishing else published.before, tmp_path)
    for point in points:
        assert killed(published, lake, point, jars, "run_pipeline") == -9
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == undisturbed


def test_the_next_date_finishes_what_a_kill_left_and_goes_on(published: Published, jars: str, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", ("--source", "customers")
    assert killed(published, lake, "extract:customers:written", jars, "extract_bronze", *source, day=0) == -9
    assert run(published, lake, "extract_bronze", *source) == 0
    ledger = Ledger(str(lake / "ops"), clock=lambda: pytest.fail("no clock"), holder=Holder.current("test"))
    commits = ledger.stream(f"{PIPELINE}/customers/bronze").commits
    assert [commit.payload["run_date"] for commit in commits] == [str(day) for day in published.site.days]
    assert commits[0].facts["records"] > 0


def test_second_process_on_a_source_is_refused(
    published: Published, tmp_path: Path, capfd: pytest.CaptureFixture[str], utc_now
) -> None:
    lake = tmp_path / "lake"
    other = Ledger(str(lake / "ops"), clock=utc_now, holder=Holder.current("other"), lease=timedelta(minutes=5))
    payload = {
        "kind": "extract",
        "source": "transactions",
        "run_date": str(published.site.days[1]),
        "extracted_at": published.site.world.second_extraction.isoformat(),
        "extent": None,
    }
    other.begin(f"{PIPELINE}/transactions/bronze", payload)
    assert run(published, lake, "extract_bronze", "--source", "transactions") == 5
    assert "stream_held" in capfd.readouterr().err
    assert not (lake / "bronze").exists()


def test_wrong_threshold_publishes_nothing(
    published: Published, staged: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake = copied(staged, tmp_path)
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    checks = conf / "checks" / f"{PIPELINE}.yaml"
    text = checks.read_text()
    assert "min: 0, max: 365," in text
    checks.write_text(text.replace("min: 0, max: 365,", "min: 0, max: 36,"))
    assert run(published, lake, "publish_gold", conf=conf) == 3
    assert "not_verified" in capfd.readouterr().err
    assert run(published, lake, "verify_gold", conf=conf) == 3
    assert "days_since_last_login" in capfd.readouterr().err
    assert run(published, lake, "publish_gold", conf=conf) == 3
    assert contents(lake, GOLD) == contents(published.before, GOLD)
    assert run(published, lake, "verify_gold") == 0
    assert run(published, lake, "publish_gold") == 0
    assert contents(lake, GOLD) == contents(published.after, GOLD)
