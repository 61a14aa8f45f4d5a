"""A backfill: dates of a range that are missing, or published by other definitions, slice by slice.

    due dates ──cut by size──> slice ──stage──> audit ──publish──> next slice, planned on what the ledger says by then

Every slice is verified before anybody reads it, and is done for good once it is published: a backfill that dies is run
again and begins with the slice it died in. What is due is a fact of the ledger, so a finished backfill does nothing.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from time import monotonic

from headwater.errors import ConfigError
from headwater.pipelines.audit import plan_audit, require_passed
from headwater.pipelines.gold import by_date, same_input, silver_versions
from headwater.pipelines.publication import plan_publish, plan_unfinished_publication
from headwater.pipelines.run import run_plan, run_planned
from headwater.pipelines.steps import Plan, PlannedStep, PublishStage, Runtime, StageDates, unfinished
from headwater.state.streams import Commit
from headwater.tables.delta import record_count


def due_dates(runtime: Runtime, first: date, last: date) -> tuple[date, ...]:
    """Dates of a range that are not published by the present definitions.

    Raises:
        ConfigError: the range ends before it begins, or after the run's horizon.
    """
    if last < first:
        raise ConfigError(
            "wrong_range",
            f"The backfill would begin on {first} and end on {last}.",
            remedy="--from is the first date, --to the last.",
            facts={"from": str(first), "to": str(last)},
        )
    view = runtime.project.view
    staged = runtime.ledger.stream(runtime.stream("stage", view.name)).commits
    by = {commit.n: StageDates.model_validate(commit.payload).pipeline_version for commit in staged}
    published = by_date(_publications(runtime))
    done = {day for day, publication in published.items() if by[publication.stage_n] == view.pipeline_version}
    wanted = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
    return tuple(day for day in wanted if day not in done)


def slices(dates: Sequence[date], entities: int, rows: int) -> tuple[tuple[date, ...], ...]:
    """Cut dates into slices of at most so many rows, at the ends of months where one fits."""
    most = max(1, rows // max(1, entities))
    cut: list[list[date]] = []
    for month in _months(dates):
        if cut and len(cut[-1]) + len(month) <= most:
            cut[-1] += month
        else:
            cut += [month[at : at + most] for at in range(0, len(month), most)]
    return tuple(map(tuple, cut))


def plan_backfill(runtime: Runtime, first: date, last: date, rows: int) -> Plan:
    """Plan the first slice that is due, or what has to be finished before it."""
    view = runtime.project.view
    stream = runtime.stream("stage", view.name)
    state = runtime.ledger.stream(stream)
    title = f"backfill {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    due = slices(due_dates(runtime, first, last), _entities(runtime), rows)
    if not due:
        return Plan(title, (), (f"{first} .. {last} is published by these definitions",))
    step = StageDates(
        view=view.name,
        pipeline_version=view.pipeline_version,
        run_date=runtime.run_date,
        dates=due[0],
        versions=silver_versions(runtime),
        silver_batches=_taken_up(runtime),
    )
    if state.commits and same_input(StageDates.model_validate(state.commits[-1].payload), step):
        return Plan(title, (), (f"{due[0][0]} .. {due[0][-1]} is staged from the same input already",))
    notes = tuple(f"then {part[0]} .. {part[-1]}, {len(part)} dates" for part in due[1:])
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),), notes)


def run_backfill(runtime: Runtime, first: date, last: date, rows: int) -> tuple[Commit, ...]:
    """Publish slice after slice until nothing is due.

    Raises:
        DataRejected: a slice did not pass its audit; the slices before it are published.
    """
    commits = run_plan(plan_unfinished_publication(runtime), runtime)
    begun, ahead = monotonic(), len(due_dates(runtime, first, last))
    while due := due_dates(runtime, first, last):
        if len(due) < ahead:
            left = (monotonic() - begun) / (ahead - len(due)) * len(due)
            runtime.progress(f"  {ahead - len(due)} of {ahead} dates are published, about {left:.0f} s left")
        plan = plan_backfill(runtime, first, last, rows)
        commits += run_plan(Plan(plan.title, plan.steps), runtime)
        commits += run_planned(lambda: plan_audit(runtime), runtime)
        require_passed(runtime)
        commits += run_planned(lambda: plan_publish(runtime), runtime)
    return commits


def _taken_up(runtime: Runtime) -> dict[str, int]:
    """The silver batches that published dates have been repaired for.

    A backfill repairs only its own dates. It must not look as if it had taken up what other dates still wait for.
    """
    publications = _publications(runtime)
    if publications:
        return publications[-1].silver_batches
    tables = runtime.project.view.tables
    states = {table: runtime.ledger.stream(runtime.stream("silver", table)).commits for table in tables}
    return {table: commits[-1].n if commits else 0 for table, commits in states.items()}


def _publications(runtime: Runtime) -> list[PublishStage]:
    commits = runtime.ledger.stream(runtime.stream("publish", runtime.project.view.name)).commits
    return [PublishStage.model_validate(commit.payload) for commit in commits]


def _entities(runtime: Runtime) -> int:
    """About how many rows a date has: those of the population's table, or more where it keeps versions."""
    return record_count(runtime.project.path("silver", runtime.project.view.population.table))


def _months(dates: Sequence[date]) -> list[list[date]]:
    months: dict[date, list[date]] = {}
    for day in dates:
        months.setdefault(day.replace(day=1), []).append(day)
    return list(months.values())
