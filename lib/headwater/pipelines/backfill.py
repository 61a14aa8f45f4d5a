"""A backfill: dates of a range that are missing, or published by other definitions, slice by slice.

    due dates ──cut by size──> slice ──stage──> audit ──publish──> next slice, planned on what the ledger says by then

Every slice is verified before anybody reads it, and is done for good once it is published: a backfill that dies is run
again and begins with the slice it died in. What is due is a fact of the ledger, so a finished backfill does nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from time import monotonic

from headwater.errors import ConfigError
from headwater.pipelines.audit import plan_audit, require_passed
from headwater.pipelines.batches import last_batches
from headwater.pipelines.gold import is_staged, silver_versions
from headwater.pipelines.increment import tiles_for
from headwater.pipelines.publication import plan_publish, plan_unfinished_publication
from headwater.pipelines.published import by_date, entities, of_present_definitions, publications_of
from headwater.pipelines.run import planned, run_plan, run_planned
from headwater.pipelines.steps import Plan, PlannedStep, Runtime, StageDates, unfinished
from headwater.pipelines.tiles import plan_tiles
from headwater.state.streams import Commit


def due_dates(runtime: Runtime, first: date, last: date) -> tuple[date, ...]:
    """Dates of a range that are not published by the present definitions.

    Raises:
        ConfigError: the range ends before it begins, or after the newest published date (today, when there is none).
    """
    publications = publications_of(runtime)
    newest = max(by_date(publications), default=runtime.clock().date())
    if not first <= last <= newest:
        raise ConfigError(
            "wrong_range",
            f"A backfill cannot go from {first} to {last}: the newest date it may publish is {newest}.",
            remedy="--from is the first date, --to the last; what comes after the newest is the work of daily runs.",
            facts={"from": str(first), "to": str(last), "newest": str(newest)},
        )
    done = of_present_definitions(runtime, publications)
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


def plan_backfill(runtime: Runtime, first: date, last: date, rows: int) -> tuple[Plan, ...]:
    """What has to be finished first, tiles when something is due, and the slice that comes next."""
    tiles = (plan_tiles(runtime),) if due_dates(runtime, first, last) else ()
    return (plan_unfinished_publication(runtime), *tiles, _plan_slice(runtime, first, last, rows))


def _plan_slice(runtime: Runtime, first: date, last: date, rows: int) -> Plan:
    """The slice that comes next: the newest, which daily runs go on from, then the oldest and those after it.

    Each of these goes on from the checkpoint of the one before, so what looks at all history reads the log twice, not
    once a slice.
    """
    view = runtime.project.view
    stream = runtime.stream("stage", view.name)
    state = runtime.ledger.stream(stream)
    title = f"backfill {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    due = due_dates(runtime, first, last)
    if not due:
        return Plan(title, (), (f"{first} .. {last} is published by these definitions",))
    published = publications_of(runtime)
    *left, newest = slices(due, entities(runtime), rows)
    if left and max(of_present_definitions(runtime, published), default=date.min) > due[-1]:
        part, *left = *left, newest
    else:
        part = newest
    # Committed batches, and before the versions are read: a MERGE that lands in between is only computed once more.
    batches = last_batches(runtime, view.tables)
    versions = silver_versions(runtime)
    tiles = tiles_for(runtime, part, (), versions)
    step = StageDates(
        view=view.name,
        pipeline_version=view.pipeline_version,
        run_date=runtime.run_date,
        dates=part,
        versions=versions | (tiles.silver if tiles else {}),
        silver_batches=_taken_up(runtime, batches | (tiles.silver_batches if tiles else {})),
        tiles=tiles,
    )
    if is_staged(state, step):
        return Plan(title, (), (f"{part[0]} .. {part[-1]} is staged from the same input already",))
    notes = tuple(f"then {each[0]} .. {each[-1]}, {len(each)} dates" for each in left)
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),), notes)


def run_backfill(runtime: Runtime, first: date, last: date, rows: int) -> tuple[Commit, ...]:
    """Publish slice after slice until nothing is due.

    Raises:
        DataRejected: a slice did not pass its audit; the slices before it are published.
    """
    plan_slice = partial(_plan_slice, runtime, first, last, rows)
    begun, ahead = monotonic(), len(due_dates(runtime, first, last))
    commits = run_plan(plan_unfinished_publication(runtime), runtime)
    commits += run_planned(lambda: plan_tiles(runtime), runtime) if ahead else ()
    while due := due_dates(runtime, first, last):
        if len(due) < ahead:
            left = (monotonic() - begun) / (ahead - len(due)) * len(due)
            runtime.progress(f"  {ahead - len(due)} of {ahead} dates are published, about {left:.0f} s left")
        commits += run_plan(replace(planned(plan_slice, runtime), notes=()), runtime)
        commits += run_planned(lambda: plan_audit(runtime), runtime)
        require_passed(runtime)
        commits += run_planned(lambda: plan_publish(runtime), runtime)
    if not commits:
        run_plan(planned(plan_slice, runtime), runtime)
    return commits


def _taken_up(runtime: Runtime, now: Mapping[str, int]) -> dict[str, int]:
    """The silver batches that published dates have been repaired for, by those that a slice is computed from.

    A backfill repairs only its own dates. It must not look as if it had taken up what other dates still wait for; of a
    table that is new to the view nobody waits for anything.
    """
    publications = publications_of(runtime)
    before = publications[-1].silver_batches if publications else {}
    return {table: before.get(table, n) for table, n in now.items()}


def _months(dates: Sequence[date]) -> list[list[date]]:
    months: dict[date, list[date]] = {}
    for day in dates:
        months.setdefault(day.replace(day=1), []).append(day)
    return list(months.values())
