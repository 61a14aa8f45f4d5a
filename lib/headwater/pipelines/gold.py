"""Gold: which dates to compute, and staging them; the audit and `pipelines.publication` follow.

    silver commits since the last publish ──touched days x windows──> affected published dates ─┐
    dates not published yet up to the run date ─────────────────────────────────────────────────┴─> stage ─> publish

Every decision here reads the ledger and table versions only.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.config.features import FeatureView
from headwater.errors import DataRejected
from headwater.features.asof import FEATURE_DATE
from headwater.features.carry import carry_forward
from headwater.features.computed import Computed, computed_by_spark
from headwater.features.scope import scope_rows
from headwater.features.tilesets import tile_sets
from headwater.features.windows import Wanted, feature_rows, published_schema
from headwater.pipelines.batches import last_batches
from headwater.pipelines.checkpoints import checkpoints_there, kept_beside
from headwater.pipelines.feeds import feeds_kept
from headwater.pipelines.increment import open_log, tiles_for
from headwater.pipelines.layouts import require_gold
from headwater.pipelines.published import by_date, publications_of
from headwater.pipelines.refusals import fitting, is_of_a_commit, versions_kept
from headwater.pipelines.repair import affected, changed_scope, repair_of, words
from headwater.pipelines.staleness import carried_dates, caught_up, provisional_dates
from headwater.pipelines.steps import (
    REJECTED,
    CachedHistory,
    Plan,
    PlannedStep,
    Runtime,
    StageDates,
    require_same,
    unfinished,
)
from headwater.state.streams import StreamState
from headwater.tables.delta import Batch, ensure_table, find, read_at, record_count, version
from headwater.tables.feed import table_id
from headwater.tables.files import FEW, list_files, read_files
from headwater.tables.parquet import name_in_store
from headwater.tables.publish import staged_spec
from headwater.tables.staging import replace_rows_once

_WITHHELD_AT_MOST = timedelta(days=31)


def plan_stage(runtime: Runtime, *, ready: bool = True) -> Plan:
    """Plan which dates to compute: those not published up to the run date, and published ones that changed.

    Args:
        runtime: where to look.
        ready: whether silver has to be there already; a dry run of the whole pipeline only looks ahead.

    Raises:
        DataRejected: there is no silver to compute from.
        ConfigError: the published history has columns of other types.
    """
    view = runtime.project.view
    stream = runtime.stream("stage", view.name)
    state = runtime.ledger.stream(stream)
    title = f"stage {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    published = by_date(publications_of(runtime))
    # Committed batches, and before the versions are read: a MERGE that lands in between is only computed once more.
    batches = last_batches(runtime, view.tables)
    found = affected(runtime)
    # A date that keeps values of a stale source is computed for everybody: its rows are provisional together.
    provisional = {day for days in provisional_dates(published).values() for day in days if day in found.by_entity}
    whole = sorted(_missing_dates(runtime, published) | found.whole | caught_up(runtime, published) | provisional)
    found = replace(found, by_entity=tuple(day for day in found.by_entity if day not in whole))
    if not whole and not found.by_entity:
        nothing = f"{runtime.run_date} is published and nothing it rests on has changed"
        return Plan(title, (), (nothing, *map(words, found.late)))
    if not ready and missing_silver(runtime):
        due = sorted({*whole, *found.by_entity})
        return Plan(title, (), (f"{len(due)} dates {due[0]} .. {due[-1]}, once there is silver",))
    versions = silver_versions(runtime)
    tiles = tiles_for(runtime, whole, found.by_entity, versions)
    versions |= tiles.silver if tiles else {}
    repair = repair_of(runtime, found, versions)
    dates = tuple(sorted({*whole, *(repair.dates if repair else ())}))
    if not dates:
        return Plan(title, (), ("late rows wait for tiles to take them up", *map(words, found.late)))
    carried = carried_dates(runtime, dates, published) if ready else {}
    if tiles and carried:
        # Such rows pass through Spark once more, and their states do not.
        tiles = tiles.model_copy(update={"kept_on": ()})
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
        late=found.late,
        repair=repair,
    )
    if is_staged(state, step):
        return Plan(title, (), (f"{len(dates)} dates are staged from the same input already",))
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),), tuple(map(words, found.late)))


def missing_silver(runtime: Runtime) -> list[str]:
    """Tables of the view that do not exist yet."""
    tables = runtime.project.view.tables
    return sorted(table for table in tables if version(runtime.project.path("silver", table)) is None)


def silver_versions(runtime: Runtime) -> dict[str, int]:
    """The present version of every table of the view.

    Raises:
        DataRejected: there is no silver to compute from.
        ConfigError: what is computed from it would not fit the published history.
    """
    if missing := missing_silver(runtime):
        raise DataRejected(
            "no_silver",
            f"There is no silver table yet for {', '.join(missing)}.",
            remedy="Run extract_bronze and build_silver for every source first.",
            facts={"tables": missing},
        )
    require_gold(runtime)
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
        with changed_scope(step.repair, runtime) as scope, _all_there(step, runtime):
            parts = _parts(step, batch, scope, runtime)
            kept = kept_beside(step, runtime)
            written = replace_rows_once(parts, location, (view.entity, FEATURE_DATE), batch, kept)
    # Beside the rows there is the scope of a repair: without a date.
    rows = record_count(location, at=written.version, known=FEATURE_DATE)
    runtime.log.write("feature_computed", data_source=view.name, record_count=rows, dates=len(step.dates))
    return {"rows": rows, "staged_version": written.version, "stale": sorted(step.carried)}


@contextmanager
def _all_there(step: StageDates, runtime: Runtime) -> Iterator[None]:
    """Raise what does not fit, and what is gone, as what it is."""
    changes = [seen.changes for seen in (step.tiles.checkpoint,) if seen and seen.changes] if step.tiles else []
    with fitting(step.view), _inputs_there(step, runtime), feeds_kept(changes), checkpoints_there(runtime):
        yield


@contextmanager
def _inputs_there(step: StageDates, runtime: Runtime) -> Iterator[None]:
    """Raise a version of silver, or of the log of tiles, that cannot be read any more as what it is.

    Raises:
        DataRejected: the batch is closed, and the next one is planned on what there is by then.
    """
    tiles = runtime.project.path("tiles", step.view)
    places = {runtime.project.path("silver", table): f"silver.{table}" for table in step.versions}
    places |= {tiles: "the log of tiles"}

    def refusal(found: re.Match[str]) -> DataRejected | None:
        named = [name for place, name in places.items() if f"{name_in_store(place)}/" in found.string]
        return _version_gone(step, named or places.values(), found[0]) if named or is_of_a_commit(found) else None

    if step.tiles and table_id(tiles) != step.tiles.log:
        raise _version_gone(step, [places[tiles]], "it was made anew")
    with versions_kept(refusal):
        yield


def _version_gone(step: StageDates, what: Iterable[str], why: str) -> DataRejected:
    return DataRejected(
        "version_gone",
        f"A version that {step.view} is computed from cannot be read any more: {' or '.join(what)} ({why}).",
        remedy="Run the job again: it begins from what there is now. Nothing was written. Let VACUUM, and the tables' "
        "logs, keep what is younger than the last run.",
        facts={"view": step.view, "versions": dict(step.versions)},
    )


def _parts(step: StageDates, batch: Batch, scope: DataFrame | None, runtime: Runtime) -> list[Computed]:
    """Every row of the whole dates; of the others those in the scope, and the scope itself for who comes after."""
    spark, project, view, seen = runtime.session(), runtime.project, runtime.project.view, step.tiles
    silver = {table: _silver(table, step.versions[table], runtime) for table in _read(step, view)}
    parts = []
    if step.whole:
        log = open_log(seen, step.whole, seen.checkpoint, runtime, of_all=True) if seen else None
        wanted = Wanted(step.whole, step.carried, kept_on=seen.kept_on if seen else (), stage=batch.n)
        parts.append(feature_rows(view, project.tables, silver, wanted, log))
    if step.repair and scope is not None:
        log = open_log(seen, step.repair.dates, seen.repaired_from, runtime, of_all=False) if seen else None
        parts.append(feature_rows(view, project.tables, silver, Wanted(step.repair.dates, step.carried, scope), log))
    if step.cached:
        history = read_at(spark, project.path("gold", view.name), step.cached.version)
        recent = history.where(F.col(FEATURE_DATE) >= F.lit(step.cached.since))
        parts = [computed_by_spark(carry_forward(part.rows, recent, view, step.carried)) for part in parts]
    return parts if scope is None else [*parts, computed_by_spark(scope_rows(scope))]


def _read(step: StageDates, view: FeatureView) -> list[str]:
    """The silver tables that rows are computed from: the population's, and those whose tiles are not stored."""
    stored_kinds = step.tiles.kinds if step.tiles else {}
    groups = [each.group.table for each in tile_sets(view) if each.kind not in stored_kinds]
    return list(dict.fromkeys([view.population.table, *groups]))


def _silver(table: str, at: int, runtime: Runtime) -> DataFrame:
    location = runtime.project.path("silver", table)
    return read_files(runtime.session(), location, at, list_files(location, at, most=FEW))


def _cached(
    runtime: Runtime, carried: Mapping[str, Sequence[date]], published: Collection[date]
) -> CachedHistory | None:
    """Where values to keep are found: an entity whose rows were withheld for a month has none."""
    first = min((day for days in carried.values() for day in days), default=None)
    before = [day for day in published if first and day <= first]
    at = version(runtime.project.path("gold", runtime.project.view.name))
    return CachedHistory(version=at, since=max(before) - _WITHHELD_AT_MOST) if before and at is not None else None


def _missing_dates(runtime: Runtime, published: Collection[date]) -> set[date]:
    """Dates up to the run date that were never published; of an empty history as many as the project begins with."""
    day = timedelta(days=1)
    if not published:
        first = runtime.run_date - (runtime.project.initial_dates - 1) * day
        return {first + offset * day for offset in range(runtime.project.initial_dates)}
    gap = max((runtime.run_date - max(published)).days, 0)
    missing = {max(published) + offset * day for offset in range(1, gap + 1)}
    return missing if runtime.run_date in published else {*missing, runtime.run_date}


def is_staged(state: StreamState, step: StageDates) -> bool:
    """Whether the last stage batch holds what a step would give."""
    if not state.commits or REJECTED in state.commits[-1].facts:
        return False
    return _rests_on(StageDates.model_validate(state.commits[-1].payload)) == _rests_on(step)


def _rests_on(step: StageDates) -> dict[str, JsonValue]:
    """What decides the rows: of checkpoints not the table's version, which a batch moves by keeping its own."""
    of_tiles = dict.fromkeys(("checkpoint", "repaired_from"), {"version"})
    return step.model_dump(exclude={"run_date": True, "tiles": of_tiles})
