"""Gold: which dates to compute, and staging them; the audit and `pipelines.publication` follow.

    silver commits since the last publish ──touched days x windows──> affected published dates ─┐
    dates not published yet up to the run date ─────────────────────────────────────────────────┴─> stage ─> publish

Every decision here reads the ledger and table versions only.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.config.features import FeatureView
from headwater.errors import DataRejected
from headwater.features.carry import carry_forward
from headwater.features.computed import computed_by_spark
from headwater.features.windows import feature_rows, published_schema
from headwater.pipelines.staleness import carried_dates, caught_up
from headwater.pipelines.steps import (
    REJECTED,
    CachedHistory,
    Plan,
    PlannedStep,
    PublishStage,
    Runtime,
    StageDates,
    require_same,
    unfinished,
)
from headwater.pipelines.tiles import stored, tiles_for
from headwater.state.streams import StreamState
from headwater.tables.delta import Batch, ensure_table, find, read_at, version
from headwater.tables.publish import FEATURE_DATE, staged_spec
from headwater.tables.staging import replace_rows_once

# Of our cells and sums, and of Spark's sums over a day.
_OVERFLOW = re.compile(r"(?:OverflowError: |\[(?:ARITHMETIC|CAST)_OVERFLOW\] )(.+)")
_WITHHELD_AT_MOST = timedelta(days=31)


def plan_stage(runtime: Runtime, *, ready: bool = True) -> Plan:
    """Plan which dates to compute: those not published up to the run date, and published ones that changed.

    Args:
        runtime: where to look.
        ready: whether silver has to be there already; a dry run of the whole pipeline only looks ahead.

    Raises:
        DataRejected: there is no silver to compute from.
    """
    view = runtime.project.view
    stream = runtime.stream("stage", view.name)
    state = runtime.ledger.stream(stream)
    title = f"stage {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    publications = publications_of(runtime)
    # Committed batches, and before the versions are read: a MERGE that lands in between is only computed once more.
    batches = {table: _last_committed(runtime, table) for table in view.tables}
    dates = _dates_to_compute(runtime, publications)
    if not dates:
        return Plan(title, (), (f"{runtime.run_date} is published and nothing it rests on has changed",))
    if not ready and missing_silver(runtime):
        return Plan(title, (), (f"{len(dates)} dates {dates[0]} .. {dates[-1]}, once there is silver",))
    published = by_date(publications)
    tiles = tiles_for(runtime, dates, keeps=dates[-1] >= max(published, default=dates[-1]))
    versions = silver_versions(runtime) | (tiles.silver if tiles else {})
    carried = carried_dates(runtime, dates, published) if ready else {}
    step = StageDates(
        view=view.name,
        pipeline_version=view.pipeline_version,
        run_date=runtime.run_date,
        dates=dates,
        versions=versions,
        silver_batches=batches | (tiles.silver_batches if tiles else {}),
        carried=carried,
        cached=_cached(runtime, carried, published),
        tiles=tiles,
    )
    if is_staged(state, step):
        return Plan(title, (), (f"{len(dates)} dates are staged from the same input already",))
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))


def missing_silver(runtime: Runtime) -> list[str]:
    """Tables of the view that do not exist yet."""
    tables = runtime.project.view.tables
    return sorted(table for table in tables if version(runtime.project.path("silver", table)) is None)


def silver_versions(runtime: Runtime) -> dict[str, int]:
    """The present version of every table of the view.

    Raises:
        DataRejected: there is no silver to compute from.
    """
    if missing := missing_silver(runtime):
        raise DataRejected(
            "no_silver",
            f"There is no silver table yet for {', '.join(missing)}.",
            remedy="Run extract_bronze and build_silver for every source first.",
            facts={"tables": missing},
        )
    found = {table: version(runtime.project.path("silver", table)) for table in runtime.project.view.tables}
    return {table: at for table, at in found.items() if at is not None}


def stage_dates(step: StageDates, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Compute the view for the dates, from silver at the pinned versions, into the staging table."""
    project, view = runtime.project, runtime.project.view
    location = project.path("staged", view.name)
    written = find(location, batch)
    if written is None:
        require_same("feature view", step.pipeline_version, view.pipeline_version, batch.id)
        spark = runtime.session()
        ensure_table(spark, staged_spec(location, published_schema(view, project.tables)))
        silver = {table: read_at(spark, project.path("silver", table), at) for table, at in step.versions.items()}
        from_tiles = stored(step.tiles, runtime) if step.tiles else None
        rows = feature_rows(view, project.tables, silver, step.dates, step.carried, from_tiles)
        if step.cached:
            history = read_at(spark, project.path("gold", view.name), step.cached.version)
            recent = history.where(F.col(FEATURE_DATE) >= F.lit(step.cached.since))
            rows = computed_by_spark(carry_forward(rows.rows, recent, view, step.carried))
        with fitting(view.name):
            written = replace_rows_once(rows, location, (view.entity, FEATURE_DATE), batch)
    runtime.log.write("feature_computed", data_source=view.name, record_count=written.rows, dates=len(step.dates))
    return {"rows": written.rows, "staged_version": written.version, "stale": sorted(step.carried)}


@contextmanager
def fitting(view: str) -> Iterator[None]:
    """Raise a value that its type cannot hold as what it is; a worker's error, and Spark's own, arrive as text."""
    try:
        yield
    except (Py4JError, PySparkException) as error:
        found = _OVERFLOW.search(str(error))
        if found is None:
            raise
        raise DataRejected(
            "value_out_of_range",
            f"View {view}: {found[1].strip().rstrip('.')}.",
            remedy="Declare a wider type, or keep such values out of silver by a row rule. Nothing was staged.",
            facts={"view": view},
        ) from error


def _cached(
    runtime: Runtime, carried: Mapping[str, Sequence[date]], published: Collection[date]
) -> CachedHistory | None:
    """Where values to keep are found: an entity whose rows were withheld for a month has none."""
    first = min((day for days in carried.values() for day in days), default=None)
    before = [day for day in published if first and day <= first]
    at = version(runtime.project.path("gold", runtime.project.view.name))
    return CachedHistory(version=at, since=max(before) - _WITHHELD_AT_MOST) if before and at is not None else None


def affected_dates(view: FeatureView, touched: dict[str, Iterable[date]], published: Sequence[date]) -> set[date]:
    """Published dates whose rows can change when rows of some event days changed.

    Args:
        view: its windows say how far a day reaches: window - 1 days for a window, for ever for lifetime features and
            for the dimension.
        touched: event days of old and new row images, by silver table.
        published: the published dates.
    """
    reaches = [(group.table, group.longest_window) for group in view.groups] + [(view.population.table, None)]
    return {
        at
        for table, window in reaches
        for day in touched.get(table, ())
        for at in published
        if day <= at and _within(at, day, window)
    }


def _dates_to_compute(runtime: Runtime, publications: Sequence[PublishStage]) -> tuple[date, ...]:
    day = timedelta(days=1)
    published = published_dates(publications)
    if not published:
        first = runtime.run_date - (runtime.project.initial_dates - 1) * day
        return tuple(first + offset * day for offset in range(runtime.project.initial_dates))
    gap = max((runtime.run_date - max(published)).days, 0)
    missing = {max(published) + offset * day for offset in range(1, gap + 1)}
    if runtime.run_date not in published:
        missing.add(runtime.run_date)
    last = publications[-1]
    touched = {
        table: [
            date.fromisoformat(str(day))
            for commit in runtime.ledger.stream(runtime.stream("silver", table)).commits
            if commit.n > last.silver_batches.get(table, 0)
            for day in _texts(commit.facts["touched"])
        ]
        for table in runtime.project.view.tables
    }
    changed = affected_dates(runtime.project.view, dict(touched), sorted(published))
    return tuple(sorted(missing | changed | caught_up(runtime, by_date(publications))))


def _within(at: date, day: date, window: int | None) -> bool:
    return window is None or (at - day).days < window


def _last_committed(runtime: Runtime, table: str) -> int:
    commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
    return commits[-1].n if commits else 0


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def published_dates(publications: Iterable[PublishStage]) -> set[date]:
    """Every date that was ever published."""
    return {day for publication in publications for day in publication.dates}


def by_date(publications: Iterable[PublishStage]) -> dict[date, PublishStage]:
    """The last publication of each published date."""
    return {day: publication for publication in publications for day in publication.dates}


def publications_of(runtime: Runtime) -> list[PublishStage]:
    """Every publication of the view, oldest first."""
    commits = runtime.ledger.stream(runtime.stream("publish", runtime.project.view.name)).commits
    return [PublishStage.model_validate(commit.payload) for commit in commits]


def is_staged(state: StreamState, step: StageDates) -> bool:
    """Whether the last stage batch holds what a step would give."""
    if not state.commits or REJECTED in state.commits[-1].facts:
        return False
    last = StageDates.model_validate(state.commits[-1].payload)
    return last.model_copy(update={"run_date": step.run_date}) == step
