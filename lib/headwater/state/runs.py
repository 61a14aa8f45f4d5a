"""What each run did: the tables `runs`, `steps` and `checks`, and the result file an orchestrator reads.

Rows are only ever appended; a run, step or check is written once, when it has ended.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from headwater.config.base import JsonValue
from headwater.state.streams import Payload
from headwater.state.table import TIMESTAMP, StateTable, sql_text

RunStatus: TypeAlias = Literal["done", "degraded", "nothing_to_do", "rejected", "failed"]

RUNS = pa.schema(
    [
        ("pipeline_id", pa.string()),
        ("run_id", pa.string()),
        ("job", pa.string()),
        ("run_date", pa.date32()),
        ("status", pa.string()),
        ("started_at", TIMESTAMP),
        ("ended_at", TIMESTAMP),
        ("exit_code", pa.int32()),
        ("rows_processed", pa.int64()),
        ("errors", pa.string()),
    ]
)
STEPS = pa.schema(
    [
        ("run_id", pa.string()),
        ("step", pa.string()),
        ("stream", pa.string()),
        ("n", pa.int64()),
        ("started_at", TIMESTAMP),
        ("seconds", pa.float64()),
        ("facts", pa.string()),
    ]
)
CHECKS = pa.schema(
    [
        ("run_id", pa.string()),
        ("view", pa.string()),
        ("stage_n", pa.int64()),
        ("staged_version", pa.int64()),
        ("name", pa.string()),
        ("dimension", pa.string()),
        ("layer", pa.string()),
        ("engine", pa.string()),
        ("blocking", pa.bool_()),
        ("passed", pa.bool_()),
        ("expected", pa.string()),
        ("observed", pa.string()),
        ("ratio", pa.float64()),
        ("at", TIMESTAMP),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run of one job, as it ended."""

    pipeline_id: str
    run_id: str
    job: str
    run_date: date
    status: RunStatus
    started_at: datetime
    ended_at: datetime
    exit_code: int
    rows_processed: int
    errors: tuple[Payload, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step of a run; stream and n name its batch if it wrote one."""

    run_id: str
    step: str
    stream: str | None
    n: int | None
    started_at: datetime
    seconds: float
    facts: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """The outcome of one check on one staged version; ratio is the share of rows that passed a row check."""

    run_id: str
    view: str
    stage_n: int
    staged_version: int
    name: str
    dimension: str
    layer: str
    engine: str
    blocking: bool
    passed: bool
    expected: str
    observed: str
    ratio: float | None
    at: datetime


class RunLog:
    """The three tables below one ops folder."""

    def __init__(self, location: str, *, storage_options: Mapping[str, str] | None = None) -> None:
        """Remember the place; a table is created by its first row.

        Args:
            location: the ops folder, a local path or a URL.
            storage_options: credentials and endpoint, as delta-rs names them.
        """
        root = location.rstrip("/")
        self._runs = StateTable(f"{root}/runs", RUNS, storage_options=storage_options)
        self._steps = StateTable(f"{root}/steps", STEPS, storage_options=storage_options)
        self._checks = StateTable(f"{root}/checks", CHECKS, storage_options=storage_options)

    @property
    def tables(self) -> tuple[StateTable, ...]:
        """What upkeep compacts."""
        return (self._runs, self._steps, self._checks)

    def append_run(self, run: RunRow) -> None:
        """Write down how a run ended."""
        _append(self._runs, [run])

    def append_step(self, step: StepRow) -> None:
        """Write down what a step did."""
        _append(self._steps, [step])

    def append_checks(self, checks: Sequence[CheckRow]) -> None:
        """Write down the outcomes of one audit as one commit; none of them makes no commit."""
        if checks:
            _append(self._checks, checks)

    def runs(self, limit: int = 20) -> tuple[RunRow, ...]:
        """Give the newest runs, newest first."""
        rows = [RunRow(**_decoded(row, "errors", tuple)) for row in self._runs.rows()]
        return tuple(sorted(rows, key=lambda run: (run.started_at, run.run_id), reverse=True)[:limit])

    def steps(self, run_id: str) -> tuple[StepRow, ...]:
        """Give the steps of a run in the order they began."""
        rows = [StepRow(**_decoded(row, "facts", dict)) for row in self._steps.rows(f"run_id = {sql_text(run_id)}")]
        return tuple(sorted(rows, key=lambda step: (step.started_at, step.step)))

    def checks(self, *, run_id: str | None = None, stage_n: int | None = None) -> tuple[CheckRow, ...]:
        """Give the checks of a run, of a staged batch, or those of both; ordered by view, time and name."""
        wanted = []
        if run_id is not None:
            wanted.append(f"run_id = {sql_text(run_id)}")
        if stage_n is not None:
            wanted.append(f"stage_n = {stage_n}")
        rows = [CheckRow(**_utc(row)) for row in self._checks.rows(" and ".join(wanted) or None)]
        return tuple(sorted(rows, key=lambda check: (check.view, check.at, check.name)))


def _append(table: StateTable, rows: Sequence[RunRow | StepRow | CheckRow]) -> None:
    table.append([_encoded(row) for row in rows], handle=table.open())


def _encoded(row: RunRow | StepRow | CheckRow) -> dict[str, Any]:
    """Turn a row into columns; structured values become JSON text."""
    columns = {item.name: getattr(row, item.name) for item in fields(row)}
    return {name: _as_text(value) if isinstance(value, Mapping | tuple) else value for name, value in columns.items()}


def _decoded(
    row: Mapping[str, Any], column: str, shape: type[tuple[JsonValue, ...]] | type[dict[str, JsonValue]]
) -> dict[str, Any]:
    """Turn columns back, reading one column as JSON."""
    return _utc(row) | {column: shape(json.loads(row[column]))}


def _utc(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v.astimezone(UTC) if isinstance(v, datetime) else v for name, v in row.items()}


def _as_text(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
