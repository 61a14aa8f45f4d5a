"""The whole flow in one session: every source, every table, stage, audit, publish."""

from collections.abc import Callable
from functools import partial

from headwater.errors import DataRejected
from headwater.pipelines.audit import plan_audit, require_passed
from headwater.pipelines.bronze import plan_extract
from headwater.pipelines.gates import require_nothing_held
from headwater.pipelines.gold import plan_stage
from headwater.pipelines.publication import plan_publish, plan_unfinished_publication
from headwater.pipelines.report import write_report
from headwater.pipelines.run import run_plan, run_planned
from headwater.pipelines.silver import plan_conform
from headwater.pipelines.steps import Plan, Runtime
from headwater.pipelines.tiles import plan_tiles
from headwater.state.streams import Commit


def reported(story: Callable[[Runtime], tuple[Commit, ...]], runtime: Runtime) -> tuple[Commit, ...]:
    """Run a story that leaves a quality report when it did something, and when a gate stops it.

    Raises:
        DataRejected: as the story does; its report is written by then.
        ExceptionGroup: as the story does.
    """
    try:
        commits = story(runtime)
    except DataRejected as stop:
        write_report(runtime, [stop])
        raise
    except ExceptionGroup as failed:
        if stops := [error for error in failed.exceptions if isinstance(error, DataRejected)]:
            write_report(runtime, stops)
        raise
    if commits:
        write_report(runtime)
    return commits


def run_sources(runtime: Runtime) -> tuple[Commit, ...]:
    """Extract every source for the run date."""
    return run_planned(lambda: plan_extract(runtime, runtime.project.sources), runtime)


def plan_tables(runtime: Runtime) -> tuple[Plan, ...]:
    """What each group of tables would conform as things stand."""
    return tuple(plan_conform(runtime, tables) for tables in runtime.project.dimensions_first)


def run_tables(runtime: Runtime) -> tuple[Commit, ...]:
    """Conform every table, dimensions before the tables that refer to them.

    Raises:
        DataRejected: a batch is held that has to stop the pipeline; every other batch is in silver.
    """
    commits: tuple[Commit, ...] = ()
    for tables in runtime.project.dimensions_first:
        commits += run_planned(partial(plan_conform, runtime, tables), runtime)
    require_nothing_held(runtime, runtime.project.tables)
    return commits


def run_audit(runtime: Runtime) -> tuple[Commit, ...]:
    """Audit what is staged.

    Raises:
        DataRejected: a blocking check failed; the results are in the ledger.
    """
    commits = run_planned(lambda: plan_audit(runtime), runtime)
    require_passed(runtime)
    return commits


def run_publish(runtime: Runtime) -> tuple[Commit, ...]:
    """Publish what the audit let through."""
    return run_planned(lambda: plan_publish(runtime), runtime)


def run_stage(runtime: Runtime) -> tuple[Commit, ...]:
    """Stage what is due, tiles first; before it a publication that was left open, since it decides what is due."""
    open_publication = plan_unfinished_publication(runtime)
    commits = run_plan(open_publication, runtime) + run_planned(lambda: plan_tiles(runtime), runtime)
    return commits + run_planned(lambda: plan_stage(runtime), runtime)


def run_pipeline(runtime: Runtime) -> tuple[Commit, ...]:
    """Do all of it."""
    commits = run_sources(runtime) + run_tables(runtime)
    return commits + run_stage(runtime) + run_audit(runtime) + run_publish(runtime)


def plan_pipeline(runtime: Runtime) -> tuple[Plan, ...]:
    """What each stage would do as things stand; a stage plans on what the ones before it have done so far."""
    return (
        plan_extract(runtime, runtime.project.sources),
        *plan_tables(runtime),
        plan_unfinished_publication(runtime),
        plan_tiles(runtime),
        plan_stage(runtime, ready=False),
        plan_audit(runtime),
    )
