"""Kill a job where it hurts, run it again: the content is that of a run nobody disturbed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from time import monotonic

import duckdb
import pyarrow as pa
import pytest
from tests.e2e.conftest import ROOT, Published, run_job

from headwater.state.holder import Holder
from headwater.state.ledger import Ledger
from headwater.tables.sample import all_rows

PIPELINE = "customer_churn_features"
SOURCES = ("transactions", "customers", "user_behavior", "support_tickets")
# Not only quicker: what interpreted queries left half-done, compiled ones finish, and the content must be the same.
SHORT_LIVED = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    " -Dspark.sql.codegen.wholeStage=false -Dspark.sql.codegen.factoryMode=NO_CODEGEN"
)
NOT_CONTENT = {"_bucket", "_batch_id", "_row_id", "row_id", "batch_id", "feature_month"}
SILVER = tuple(f"{layer}/{source}" for layer in ("silver", "quarantine") for source in SOURCES)
GOLD = (f"gold/{PIPELINE}", f"gold/{PIPELINE}_latest")


def contents(lake: Path, names: tuple[str, ...] = SILVER + GOLD) -> dict[str, tuple[int, ...]]:
    """A hash of every content table, whatever the order of its rows and however they came to be there."""
    return {name: content(all_rows(str(lake / name))) for name in names}


def content(rows: pa.Table) -> tuple[int, ...]:
    """How many rows, and two sums over their hashes, which know no order."""
    rows = rows.select(sorted(name for name in rows.column_names if name not in NOT_CONTENT))
    sums = "select count(*), sum(hash(rows)::hugeint), bit_xor(hash(rows)) from rows"
    return duckdb.sql(sums).fetchall()[0]


@pytest.fixture(scope="module")
def undisturbed(published: Published) -> dict[str, tuple[int, ...]]:
    return contents(published.after)


def copied(lake: Path, to: Path) -> Path:
    return shutil.copytree(lake, to / "lake")


def run(published: Published, lake: Path, job: str, *options: str, conf: Path = ROOT / "conf") -> int:
    """Run a job for D+1 on a lake that holds D."""
    here = published.site
    variables = here.environment(lake, here.world.second_extraction)
    return run_job(job, ["--date", str(here.days[1]), *options], variables, conf)


def start(
    published: Published, lake: Path, jars: str, job: str, *options: str, dies_at: str = "", day: int = 1
) -> subprocess.Popen[bytes]:
    """Start a job in a process of its own."""
    here = published.site
    at = (here.world.first_extraction, here.world.second_extraction)[day]
    variables = {
        **os.environ,
        **here.environment(lake, at),
        "HEADWATER_JARS": jars,
        "HEADWATER_FAILPOINT": dies_at,
        "PYTHONPATH": str(ROOT / "lib"),
        "JDK_JAVA_OPTIONS": SHORT_LIVED,
    }
    command = [sys.executable, f"jobs/{job}.py", "--date", str(here.days[day]), *options]
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(published: Published, lake: Path, point: str, jars: str, job: str, *options: str, day: int = 1) -> int:
    """Run a job in a process of its own that dies at a point; returns what the shell would see."""
    return start(published, lake, jars, job, *options, dies_at=point, day=day).wait()


def ledger_of(lake: Path) -> Ledger:
    return Ledger(str(lake / "ops"), clock=lambda: pytest.fail("no clock"), holder=Holder.current("test"))


@pytest.fixture(scope="module")
def staged(published: Published, jars: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """D+1 staged, not published: killed after a MERGE and after staging."""
    lake = copied(published.before, tmp_path_factory.mktemp("staged"))
    for name in SOURCES:
        assert run(published, lake, "extract_bronze", "--source", name) == 0
    assert killed(published, lake, "conform:customers:merged", jars, "build_silver") == -9
    assert run(published, lake, "build_silver") == 0
    assert killed(published, lake, f"stage:{PIPELINE}:committed", jars, "build_gold") == -9
    return lake


def test_rerun_after_kills_gives_the_undisturbed_content(
    published: Published, undisturbed: dict[str, tuple[int, ...]], staged: Path, tmp_path: Path
) -> None:
    lake = copied(staged, tmp_path)
    assert contents(lake, GOLD) == contents(published.before, GOLD)
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == undisturbed


def test_the_next_date_finishes_what_a_kill_left_and_goes_on(published: Published, jars: str, tmp_path: Path) -> None:
    lake, source = tmp_path / "lake", ("--source", "customers")
    assert killed(published, lake, "extract:customers:written", jars, "extract_bronze", *source, day=0) == -9
    assert run(published, lake, "extract_bronze", *source) == 0
    commits = ledger_of(lake).stream(f"{PIPELINE}/customers/bronze").commits
    assert [commit.payload["run_date"] for commit in commits] == [str(day) for day in published.site.days]
    assert commits[0].facts["records"] > 0


def test_second_process_on_a_source_is_refused(
    published: Published, jars: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake, source = tmp_path / "lake", ("--source", "transactions")
    first = start(published, lake, jars, "extract_bronze", *source)
    deadline = monotonic() + 120
    while not (lake / "ops").exists() or ledger_of(lake).stream(f"{PIPELINE}/transactions/bronze").open is None:
        assert first.poll() is None
        assert monotonic() < deadline
        Event().wait(0.02)
    first.send_signal(signal.SIGSTOP)
    try:
        assert run(published, lake, "extract_bronze", *source) == 5
        assert "stream_held" in capfd.readouterr().err
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    assert run(published, lake, "extract_bronze", *source) == 0
    assert len(ledger_of(lake).stream(f"{PIPELINE}/transactions/bronze").commits) == 1


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
    shown = capfd.readouterr().err
    assert "checks_failed" in shown
    assert "days_since_last_login" in shown
    assert run(published, lake, "publish_gold", conf=conf) == 3
    assert contents(lake, GOLD) == contents(published.before, GOLD)
    assert run(published, lake, "verify_gold") == 0
    assert run(published, lake, "publish_gold") == 0
    assert contents(lake, GOLD) == contents(published.after, GOLD)
