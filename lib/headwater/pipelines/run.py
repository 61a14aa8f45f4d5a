"""Execute a plan: for each step an intent, the work under a lease, the commit.

The steps of a plan belong to different streams and tables, so they run side by side, each in a session of its own:
while one waits for its server or for the driver's planner, the others have the cores.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TypeVar, assert_never

from pyspark.sql import SparkSession

from headwater.config.base import JsonValue
from headwater.errors import DataRejected
from headwater.pipelines.audit import audit_stage
from headwater.pipelines.bronze import extract
from headwater.pipelines.gold import stage_dates
from headwater.pipelines.publication import publish_stage
from headwater.pipelines.quarantine import quarantine_path
from headwater.pipelines.silver_batch import conform_batch
from headwater.pipelines.steps import (
    REJECTED,
    AnyStep,
    AuditStage,
    BuildTrainingSet,
    ConformBatch,
    ExtractBatch,
    Plan,
    PlannedStep,
    PublishStage,
    Runtime,
    StageDates,
    UpdateTiles,
    from_payload,
    to_payload,
)
from headwater.pipelines.tiles import update_tiles
from headwater.pipelines.training_build import build_training_set, set_location
from headwater.session import active_session_kept, in_own_session
from headwater.state.runs import StepRow
from headwater.state.streams import Commit
from headwater.tables.delta import Batch, last_transaction
from headwater.tables.logs import logs_at_one_moment

Planned = TypeVar("Planned")


def run_planned(make_plan: Callable[[], Plan], runtime: Runtime) -> tuple[Commit, ...]:
    """Plan and execute; a plan that finishes what an earlier run left open is followed by the plan of today."""
    plan = planned(make_plan, runtime)
    commits = run_plan(plan, runtime)
    if any(step.unfinished for step in plan.steps):
        commits += run_plan(planned(make_plan, runtime), runtime)
    return commits


def planned(make: Callable[[], Planned], runtime: Runtime) -> Planned:
    """Make a plan, or several, of one state of the ledger and of the tables."""
    # The ledger first: what commits in between is seen in a table at the most, and planned once more.
    with runtime.ledger.at_one_moment(), logs_at_one_moment():
        return make()


def run_plan(plan: Plan, runtime: Runtime) -> tuple[Commit, ...]:
    """Execute the steps; a step that fails stops no other.

    Returns:
        The commits made, one per step; none means there was nothing to do.

    Raises:
        ExceptionGroup: what could not be planned, and what failed; those batches stay open and the next run finishes
            them.
    """
    for note in plan.notes:
        runtime.progress(f"  {note}")
    if not plan.steps:
        _raise_all(plan, [])
        return ()
    # The session is asked for first: whoever only wants to know whether there is work stops here, before any intent.
    session = runtime.session()
    runtime.progress(f"  {plan.title}")
    with active_session_kept(), ThreadPoolExecutor(runtime.project.environment.parallel_steps) as pool:
        works = (partial(_run_step, step, runtime) for step in plan.steps)
        running = [pool.submit(in_own_session(session, work)) for work in works]
        try:
            wait(running)
        finally:
            # After Ctrl-C what runs ends with its Spark jobs, and what waits does not begin.
            pool.shutdown(wait=False, cancel_futures=True)
    failed = [error for each in running if (error := each.exception()) is not None]
    _raise_all(plan, failed)
    return tuple(each.result() for each in running)


def _raise_all(plan: Plan, failed: Sequence[BaseException]) -> None:
    """Raise what could not be planned beside what failed when it ran."""
    if errors := [*plan.failed, *failed]:
        raise BaseExceptionGroup(f"{len(errors)} of {len(plan.steps) + len(plan.failed)} steps failed", errors)


def _run_step(planned: PlannedStep, shared: Runtime, session: SparkSession) -> Commit:
    runtime = replace(shared, session=lambda: session)
    clock, started_at = monotonic(), runtime.clock()
    name = planned.stream.split("/")[1]
    if planned.unfinished:
        intent = runtime.ledger.resume(planned.unfinished)
    else:
        target = max((last_transaction(each, planned.stream) or 0 for each in _targets(planned, runtime)), default=0)
        intent = runtime.ledger.begin(
            planned.stream, to_payload(planned.step), table_version=target, last_n=planned.decided_on
        )
    step = from_payload(intent.payload)
    with runtime.ledger.holding(intent):
        runtime.failpoint(f"{step.kind}:{name}:begun")
        try:
            facts = _execute(step, Batch(intent.stream, intent.n), runtime)
        except DataRejected as rejection:
            if isinstance(step, UpdateTiles | StageDates | BuildTrainingSet):
                runtime.ledger.commit(intent, {REJECTED: rejection.message, "code": rejection.code})
            raise
        runtime.failpoint(f"{step.kind}:{name}:written")
        commit = runtime.ledger.commit(intent, facts)
        runtime.failpoint(f"{step.kind}:{name}:committed")
    seconds = monotonic() - clock
    runtime.run_log.append_step(
        StepRow(
            run_id=runtime.run_id,
            step=step.kind,
            stream=intent.stream,
            n=intent.n,
            started_at=started_at,
            seconds=seconds,
            facts=facts,
        )
    )
    runtime.log.write("step_done", data_source=name, record_count=rows_of(commit), step=step.kind, seconds=seconds)
    runtime.progress(f"    {name:<34} {rows_of(commit):>12,} rows {seconds:>7.1f} s")
    return commit


def rows_of(commit: Commit) -> int:
    """Rows that a step handled, for logs and the execution result."""
    facts = commit.facts
    if "inserted" in facts:
        return int(str(facts["extracted"])) + int(str(facts["replayed"]))
    return int(str(facts.get("records", facts.get("rows", 0))))


def is_degraded(commit: Commit) -> bool:
    """Whether a step did less than it should have: it held a batch, or carried old values forward."""
    findings = commit.facts.get("findings")
    holds = [finding["holds"] for finding in findings.values()] if isinstance(findings, dict) else []
    return bool(commit.payload.get("carried")) or any(holds)


def _execute(step: AnyStep, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    match step:
        case ExtractBatch():
            facts = extract(step, batch, runtime)
        case ConformBatch():
            facts = conform_batch(step, batch, runtime)
        case UpdateTiles():
            facts = update_tiles(step, batch, runtime)
        case StageDates():
            facts = stage_dates(step, batch, runtime)
        case AuditStage():
            facts = audit_stage(step, batch, runtime)
        case PublishStage():
            facts = publish_stage(step, batch, runtime)
        case BuildTrainingSet():
            facts = build_training_set(step, batch, runtime)
        case _:
            assert_never(step)
    return facts


def _targets(planned: PlannedStep, runtime: Runtime) -> tuple[str, ...]:
    """The tables whose transactions number a stream, so that a lost ledger cannot make numbers go back."""
    project, step = runtime.project, planned.step
    match step:
        case ExtractBatch():
            tables: tuple[str, ...] = (project.path("bronze", step.source),)
        case ConformBatch():
            source = project.tables[step.table].source
            tables = (project.path("silver", step.table), project.path("quarantine", source))
        case UpdateTiles():
            tables = (project.path("tiles", step.view),)
        case StageDates():
            tables = (project.path("staged", step.view), project.path("checkpoints", step.view))
        case AuditStage():
            tables = (quarantine_path(runtime, step.view),)
        case PublishStage():
            tables = (project.path("gold", step.view), project.path("gold", f"{step.view}_latest"))
        case BuildTrainingSet():
            tables = (set_location(project, step),)
        case _:
            assert_never(step)
    return tables
