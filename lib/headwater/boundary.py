"""The job boundary: arguments in, exit code out; the one place that catches everything.

It makes the clock, reads the environment, opens the runtime, runs the job's story, and whatever happens writes the
run's row and its result file. An error a user can cause ends in one readable message and the exit code of its type.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TextIO
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError
from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession

from headwater.config.project import Project, load_project
from headwater.config.secrets import resolve_secret
from headwater.errors import ConfigError, ExitCode, HeadwaterError
from headwater.job import Job, parser
from headwater.outcome import as_headwater_error, event_of, gravest, leaves
from headwater.pipelines.explain import describe
from headwater.pipelines.run import is_degraded, planned, rows_of
from headwater.pipelines.steps import Runtime
from headwater.session import open_session
from headwater.sources.base import Source
from headwater.sources.connect import open_source
from headwater.state.holder import Holder
from headwater.state.ledger import Ledger
from headwater.state.results import ExecutionResult, error_entry, write_result
from headwater.state.runs import RunLog, RunRow, RunStatus
from headwater.state.storage import classify_store_error, require_put_if_absent
from headwater.state.streams import Commit
from headwater.telemetry.logs import EventLog

# Exit code of a peek (HEADWATER_PEEK=1): there is work, and it needs a session.
WORK_TO_DO = 75


class _SessionNeeded(BaseException):  # noqa: N818 -- control flow of a peek, and no error
    """A peek met work that needs a session."""


def run_job(job: Job, argv: Sequence[str] | None = None) -> int:
    """Run a job from its command line; returns the exit code."""
    args = parser(job).parse_args(argv)
    try:
        project = load_project(Path(args.conf), args.env, os.environ)
    except ConfigError as error:
        _complain(error)
        return int(error.exit_code)
    run = _Run(job, args, project)
    return run.execute()


def open_runtime(
    project: Project, run_id: str, run_date: date, *, strict: bool = False, session: Callable[[], SparkSession]
) -> Runtime:
    """Make what a run works with; contacts nothing.

    Args:
        project: the loaded `conf/`.
        run_id: who works, for the ledger.
        run_date: the date asked for.
        strict: whether a degraded result is refused.
        session: gives the session when it is first needed.
    """
    ops = project.path("ops", "").rstrip("/")
    lease = timedelta(seconds=project.environment.lease_seconds)
    return Runtime(
        project=project,
        run_id=run_id,
        run_date=run_date,
        ledger=Ledger(ops, clock=_now, holder=Holder.current(run_id), lease=lease),
        run_log=RunLog(ops),
        log=EventLog(project.pipeline, run_id, _now, _log_stream(os.environ.get("HEADWATER_LOG"))),
        clock=_now,
        session=session,
        source=cache(lambda name: _open_source(project, name)),
        strict=strict,
        progress=lambda line: print(f"{line}\n", end="", flush=True),  # noqa: T201 -- progress is for a person
        failpoint=_failpoint(os.environ.get("HEADWATER_FAILPOINT")),
    )


class _Run:
    """One run of one job, from open to recorded."""

    def __init__(self, job: Job, args: argparse.Namespace, project: Project) -> None:
        self._job, self._args, self._project = job, args, project
        self._run_id = args.run_id or f"{args.date:%Y%m%d}-{uuid4().hex[:12]}"
        self._ops = project.path("ops", "").rstrip("/")
        self._peeking = os.environ.get("HEADWATER_PEEK") == "1"
        self._started_at, self._clock = _now(), monotonic()
        self._sessions: list[SparkSession] = []
        self._runtime = self._open()

    def execute(self) -> int:
        """Do it, record it, return the exit code."""
        try:
            if self._args.dry_run:
                plans = planned(lambda: self._job.plans(self._runtime, self._args), self._runtime)
                print("\n".join(line for plan in plans for line in describe(plan)))  # noqa: T201 -- a dry run's answer
                unplanned = [error for plan in plans for error in plan.failed]
                return self._fail(unplanned) if unplanned else int(ExitCode.DONE)
            require_put_if_absent(self._ops)
            commits = self._job.story(self._runtime, self._args)
            return self._record(_status(commits), ExitCode.DONE, sum(map(rows_of, commits)))
        except _SessionNeeded:
            return WORK_TO_DO
        except Exception as error:
            return self._fail(leaves(error))
        finally:
            for session in self._sessions:
                session.stop()

    def _open(self) -> Runtime:
        return open_runtime(
            self._project, self._run_id, self._args.date, strict=self._args.strict, session=cache(self._session)
        )

    def _session(self) -> SparkSession:
        if self._peeking:
            raise _SessionNeeded
        name = f"{self._project.pipeline}/{self._job.name}"
        jars = os.environ.get("HEADWATER_JARS", "")
        session, ours = open_session(name, self._project.environment.spark, jars)
        if ours:
            self._sessions.append(session)
        return session

    def _fail(self, causes: Sequence[Exception]) -> int:
        known = [as_headwater_error(cause) for cause in causes]
        for error in known:
            _complain(error)
        code = gravest(known)
        if self._args.dry_run:
            return int(code)
        for error in known:
            source = str(error.facts.get("source", self._job.name))
            self._runtime.log.write(event_of(error), data_source=source, code=error.code)
        return self._record("rejected" if code is ExitCode.REJECTED else "failed", code, 0, known)

    def _record(self, status: RunStatus, code: ExitCode, rows: int, failed: Sequence[HeadwaterError] = ()) -> int:
        errors = tuple(error_entry(error) for error in failed)
        result = ExecutionResult(
            pipeline_id=self._project.pipeline,
            run_id=self._run_id,
            status=status,
            rows_processed=rows,
            duration=monotonic() - self._clock,
            errors=errors,
        )
        try:
            self._write_down(status, code, rows, result)
        except (DeltaError, OSError, BotoCoreError, ClientError) as error:
            # The result is printed all the same; a run that went well does not fail for its records.
            _complain(classify_store_error(error) or _unrecorded(error))
        print(json.dumps(result.as_json()), flush=True)  # noqa: T201 -- the execution result is printed by contract
        return int(code)

    def _write_down(self, status: RunStatus, code: ExitCode, rows: int, result: ExecutionResult) -> None:
        self._runtime.run_log.append_run(
            RunRow(
                pipeline_id=self._project.pipeline,
                run_id=self._run_id,
                job=self._job.name,
                run_date=self._args.date,
                status=status,
                started_at=self._started_at,
                ended_at=_now(),
                exit_code=int(code),
                rows_processed=rows,
                errors=result.errors,
            )
        )
        write_result(self._ops, result)


def _open_source(project: Project, name: str) -> Source:
    spec, fixed = project.sources[name], project.environment.clock
    return open_source(
        spec,
        project.environment.connections[spec.connection],
        secrets=lambda reference, used_by: resolve_secret(reference, os.environ, used_by=used_by),
        clock=(lambda: fixed) if isinstance(fixed, datetime) else None,
    )


def _status(commits: Sequence[Commit]) -> RunStatus:
    if any(map(is_degraded, commits)):
        return "degraded"
    return "done" if any(map(rows_of, commits)) else "nothing_to_do"


def _complain(error: HeadwaterError) -> None:
    print(f"error [{error.code}] {error}", file=sys.stderr, flush=True)  # noqa: T201 -- the message to the user


def _unrecorded(error: Exception) -> HeadwaterError:
    return HeadwaterError("not_recorded", f"The run could not be written down: {error}")


def _failpoint(named: str | None) -> Callable[[str], None]:
    """Nothing, unless a test names the point at which this process has to die, or with `=stop` to stand still."""
    if not named:
        return lambda _point: None
    fatal, _, action = named.partition("=")
    sent = signal.SIGSTOP if action == "stop" else signal.SIGKILL
    return lambda point: os.kill(os.getpid(), sent) if point == fatal else None


def _log_stream(file: str | None) -> TextIO:
    """Where events go: standard error, or a file, since spark-submit mixes a driver's two streams into one."""
    return sys.stderr if file is None else Path(file).open("a", encoding="utf-8")


def _now() -> datetime:
    return datetime.now(UTC)
