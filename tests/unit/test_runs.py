"""Runs, steps and checks come back as they were written; the result file has exactly the names others rely on."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from headwater.errors import DataRejected
from headwater.state.results import ExecutionResult, error_entry, write_result
from headwater.state.runs import CheckRow, RunLog, RunRow, StepRow

START = datetime(2025, 4, 1, 2, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    return RunLog(str(tmp_path / "ops"))


def run(run_id: str, *, minute: int = 0) -> RunRow:
    return RunRow(
        pipeline_id="customer_churn_features",
        run_id=run_id,
        job="run_pipeline",
        run_date=date(2025, 3, 31),
        status="rejected",
        started_at=START + timedelta(minutes=minute),
        ended_at=START + timedelta(minutes=minute + 1),
        exit_code=3,
        rows_processed=1000,
        errors=({"code": "gate_failed", "facts": {"view": "churn"}},),
    )


def check(name: str, *, run_id: str = "r1", stage_n: int = 1) -> CheckRow:
    return CheckRow(
        run_id=run_id,
        view="churn",
        stage_n=stage_n,
        staged_version=4,
        name=name,
        dimension="validity",
        layer="business",
        engine="deequ",
        blocking=True,
        passed=False,
        expected="0..365",
        observed="-1",
        ratio=None,
        at=START,
    )


def test_reading_before_the_first_run_creates_nothing(log: RunLog, tmp_path: Path) -> None:
    assert (log.runs(), log.steps("r1"), log.checks()) == ((), (), ())
    assert list(tmp_path.iterdir()) == []


def test_runs_come_newest_first_and_only_as_many_as_asked(log: RunLog) -> None:
    for minute, run_id in enumerate(["r1", "r2", "r3"]):
        log.append_run(run(run_id, minute=minute))

    assert log.runs(limit=2) == (run("r3", minute=2), run("r2", minute=1))


def test_runs_that_end_at_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    """Even when each finds no table and creates it."""
    together = threading.Barrier(4)

    def end(run_id: str) -> None:
        own = RunLog(str(tmp_path / "ops"))
        together.wait()
        own.append_run(run(run_id))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(end, ["r1", "r2", "r3", "r4"]))

    assert [row.run_id for row in RunLog(str(tmp_path / "ops")).runs()] == ["r4", "r3", "r2", "r1"]


def test_steps_of_one_run_come_in_the_order_they_began(log: RunLog) -> None:
    def step(run_id: str, name: str, second: int) -> StepRow:
        begun = START + timedelta(seconds=second)
        return StepRow(
            run_id=run_id,
            step=name,
            stream="s/bronze",
            n=None,
            started_at=begun,
            seconds=1.5,
            facts={"rows": {"in": 3}},
        )

    for row in (step("r1", "silver", 2), step("r2", "bronze", 0), step("r1", "bronze", 1)):
        log.append_step(row)

    assert log.steps("r1") == (step("r1", "bronze", 1), step("r1", "silver", 2))


def test_checks_are_found_by_run_by_staged_batch_and_by_both(log: RunLog) -> None:
    log.append_checks([check("b"), check("a")])
    log.append_checks([check("c", run_id="it's", stage_n=1), check("d", run_id="r1", stage_n=2)])
    log.append_checks([])

    assert log.checks(run_id="r1", stage_n=1) == (check("a"), check("b"))
    assert [row.name for row in log.checks(run_id="it's")] == ["c"]
    assert [row.name for row in log.checks(stage_n=2)] == ["d"]
    assert [row.name for row in log.checks()] == ["a", "b", "c", "d"]


def test_the_result_file_has_exactly_the_agreed_names(tmp_path: Path) -> None:
    error = DataRejected("gate_failed", "Too few rows.", remedy="Look.", facts={"on": date(2025, 3, 31)})
    result = ExecutionResult(
        pipeline_id="churn",
        run_id="manual__2025-04-01T02:00:00+00:00/1",
        status="rejected",
        rows_processed=7,
        duration=1.23456,
        errors=(error_entry(error),),
    )

    path = write_result(str(tmp_path), result)

    assert path == str(tmp_path / "results" / "manual__2025-04-01T02:00:00+00:00%2F1.json")
    assert json.loads(Path(path).read_text()) == {
        "pipeline_id": "churn",
        "run_id": "manual__2025-04-01T02:00:00+00:00/1",
        "status": "rejected",
        "rows_processed": 7,
        "duration": 1.235,
        "errors": [
            {"code": "gate_failed", "message": "Too few rows.", "remedy": "Look.", "facts": {"on": "2025-03-31"}}
        ],
    }


def test_a_result_written_again_replaces_the_file_and_leaves_no_draft(tmp_path: Path) -> None:
    for rows in (1, 2):
        path = write_result(str(tmp_path), ExecutionResult(
            pipeline_id="churn", run_id="r1", status="done", rows_processed=rows, duration=0.0
        ))  # fmt: skip

    assert json.loads(Path(path).read_text())["rows_processed"] == 2
    assert [item.name for item in Path(path).parent.iterdir()] == ["r1.json"]
