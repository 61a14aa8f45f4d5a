"""The job boundary: several steps fail at once, one exit code answers, and every error is written down."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from headwater.boundary import run_job
from headwater.errors import ConfigError, DataRejected, SourceUnavailable, WriterConflict
from headwater.job import Job
from headwater.pipelines.steps import Plan, Runtime
from headwater.tables.delta import version

CONF = Path(__file__).parents[2] / "conf"
AWAY = SourceUnavailable("data_source_unavailable", "away", facts={"source": "transactions"})


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CRM_USER", "DESK_S3_BUCKET"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CRM_JDBC_URL", "jdbc:postgresql://127.0.0.1:1/x")
    monkeypatch.setenv("HEADWATER_LAKE", str(tmp_path / "lake"))
    return tmp_path / "lake"


def test_a_dry_run_is_of_one_state(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What others commit while it looks is not half of what it says."""
    append(lake)

    def plans(runtime: Runtime, _: object) -> list[Plan]:
        before = Plan(f"version {version(str(lake))}, batch {runtime.ledger.stream('some').last_n}", ())
        append(lake)
        runtime.ledger.begin("some", {})
        return [before, Plan(f"version {version(str(lake))}, batch {runtime.ledger.stream('some').last_n}", ())]

    job = Job(name="some", about="", plans=plans, story=lambda *_: ())
    assert run_job(job, ["--conf", str(CONF), "--date", "2025-03-31", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("version 0, batch 0") == 2


def append(location: Path) -> None:
    write_deltalake(location, pa.table({"n": [1]}), mode="append")


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (ConfigError("authentication_failed", "refused"), 2),
        (DataRejected("header_mismatch", "no such column"), 3),
        (WriterConflict("stream_held", "held"), 5),
        (ValueError("a slip"), 1),
        (SourceUnavailable("rate_limit_exceeded", "slow down"), 4),
    ],
)
def test_the_gravest_of_several_failures_decides(
    lake: Path, other: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def story(*_: object) -> int:
        raise ExceptionGroup("2 of 2 steps failed", [AWAY, ExceptionGroup("1 of 1 steps failed", [other])])

    job = Job(name="some", about="", plans=lambda *_: (), story=story)
    given = run_job(job, ["--conf", str(CONF), "--date", "2025-03-31", "--run-id", "r"])
    assert given == code
    result = json.loads((lake / "ops" / "results" / "r.json").read_text())
    assert [entry["code"] for entry in result["errors"]] == [AWAY.code, getattr(other, "code", "bug")]
    assert result["status"] == ("rejected" if code == 3 else "failed")
    assert capsys.readouterr().err.count("error [") == 2
