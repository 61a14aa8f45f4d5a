"""Stored tiles in the pipeline: bring the log up to silver, and decide what a stage batch takes from it.

    silver versions since the last tile batch ──change feed──> log of tiles (appended once)
    last checkpoint staged ─┐
    log ────────────────────┴──> dates to compute: from the checkpoint where it leads to them, else from all tiles

Below `tiles_from_mb` of silver there are none: computing a date from silver costs less than keeping them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.base import JsonValue
from headwater.features.asof import FEATURE_DATE
from headwater.features.rows import entity_type
from headwater.features.stored import (
    BATCH,
    MONTH,
    TILES,
    Checkpoint,
    Stored,
    count_columns,
    has_days,
    log_schema,
    resumable,
    signed_contributions,
    storable,
    tile_changes,
    tiles_id,
)
from headwater.features.tilesets import FROM, STATES, TileSet
from headwater.pipelines.batches import last_batches, texts
from headwater.pipelines.feeds import FEED_GONE, KEPT, feed_gone, feeds_kept, read_feed
from headwater.pipelines.refusals import fitting
from headwater.pipelines.steps import (
    REJECTED,
    CheckpointSeen,
    Plan,
    PlannedStep,
    Runtime,
    StageDates,
    TileChanges,
    TilesSeen,
    UpdateTiles,
    require_same,
    unfinished,
)
from headwater.state.streams import Commit
from headwater.tables.delta import (
    Batch,
    TableSpec,
    Written,
    append_once,
    ensure_table,
    find,
    read_at,
    size_in_bytes,
    version,
)
from headwater.tables.feed import only_adds, table_id

_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredSet:
    """A tile set that is stored.

    Attributes:
        tiles: the set.
        id: what its tiles are found by.
        origin: what those were begun from.
    """

    tiles: TileSet
    id: str
    origin: str

    @property
    def table(self) -> str:
        """What it is computed from."""
        return self.tiles.group.table


def stored_sets(runtime: Runtime) -> tuple[StoredSet, ...]:
    """Every tile set of the view that can be stored."""
    project = runtime.project
    sets = storable(project.view)
    origins = _origins(runtime, sorted({each.group.table for each in sets}))
    return tuple(
        StoredSet(each, tiles_id(each, project.tables[table], origins[table]), origins[table])
        for each in sets
        for table in [each.group.table]
    )


def plan_tiles(runtime: Runtime) -> Plan:
    """Plan which changes of silver the log has to take up."""
    view = runtime.project.view
    stream = runtime.stream("tiles", view.name)
    state = runtime.ledger.stream(stream)
    title = f"update tiles {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    commits, sets = _written(runtime), stored_sets(runtime)
    tables = sorted({each.table for each in sets})
    if not commits and not _pays(runtime, tables):
        return Plan(title, ())
    before = _taken_up(commits)
    # Committed batches, and before the versions are read: a MERGE that lands in between is only computed once more.
    batches = last_batches(runtime, tables)
    present = {table: version(runtime.project.path("silver", table)) for table in tables}
    # Sets that hold the same, for features of other windows, are one.
    changes = {
        each.id: TileChanges(id=each.id, table=each.table, origin=each.origin, after=before.get(each.id), upto=upto)
        for each in sets
        if (upto := present[each.table]) is not None and before.get(each.id) != upto
    }
    if not changes or None in present.values():
        return Plan(title, ())
    step = UpdateTiles(
        view=view.name, run_date=runtime.run_date, changes=tuple(changes.values()), silver_batches=batches
    )
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))


def update_tiles(step: UpdateTiles, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Append what the changes of silver change in tiles; says of which sets something was taken back.

    Raises:
        DataRejected: a value does not fit, or changes cannot be read any more. Nothing is written then.
    """
    location = runtime.project.path("tiles", runtime.project.view.name)
    sets = {each.id: each.tiles for each in stored_sets(runtime)}
    written = find(location, batch) or _append(step, sets, batch, runtime)
    log = read_at(runtime.session(), location, written.version)
    return {
        "rows": written.rows,
        "tiles_version": written.version,
        "taken_back": _taken_back(log, step, sets, batch, runtime),
    }


def _append(step: UpdateTiles, sets: Mapping[str, TileSet], batch: Batch, runtime: Runtime) -> Written:
    project, view, spark = runtime.project, runtime.project.view, runtime.session()
    origins = _origins(runtime, {change.table for change in step.changes})
    if remade := [change for change in step.changes if change.origin != origins[change.table]]:
        raise feed_gone(remade, "the table was made anew since")
    decided = [change.id for change in step.changes]
    present = [each for each in decided if each in sets]
    require_same(f"tiles of {view.name}", ", ".join(decided), ", ".join(present), batch.id)
    kind = entity_type(view, project.tables)
    entity, found = T.StructField(view.entity, kind), {"delta.dataSkippingStatsColumns": f"{FROM},{BATCH}"}
    location = project.path("tiles", view.name)
    ensure_table(spark, TableSpec(location, log_schema(view, kind), partition_by=(TILES, MONTH), properties=found))
    with fitting(view.name), feeds_kept(step.changes):
        signed = [
            signed_contributions(
                read_feed(change, runtime),
                sets[change.id],
                project.tables[change.table],
                entity,
                change.id,
            )
            for change in step.changes
        ]
        return append_once(tile_changes(signed, view.entity, batch.n), location, batch)


def _taken_back(
    log: DataFrame, step: UpdateTiles, sets: Mapping[str, TileSet], batch: Batch, runtime: Runtime
) -> list[JsonValue]:
    """Sets with days of events that lost one: no checkpoint can tell which day is the first or last then."""
    # Of a set that nobody asks for now nothing is known; who asks again begins with all of it.
    unknown = {change.id for change in step.changes if change.after is not None and change.id not in sets}
    lost = [
        (F.col(TILES) == change.id) & reduce(or_, (F.col(place) < 0 for place in count_columns(sets[change.id])))
        for change in step.changes
        if change.after is not None
        and change.id in sets
        and has_days(sets[change.id])
        and not only_adds(runtime.project.path("silver", change.table), change.upto, after=change.after)
    ]
    if not lost:
        return list[JsonValue](sorted(unknown))
    ours = log.where(F.col(BATCH) == batch.n).where(reduce(or_, lost))
    return sorted({row[0] for row in ours.select(TILES).distinct().collect()} | unknown)


def tiles_for(runtime: Runtime, dates: Sequence[date], *, keeps: bool) -> TilesSeen | None:
    """What a stage batch takes from the log; None when there is none of the present definitions.

    Args:
        runtime: where to look.
        dates: to be computed, sorted.
        keeps: whether the states of the last date become a checkpoint.
    """
    commits, sets = _written(runtime), stored_sets(runtime)
    taken_up = _taken_up(commits)
    if not sets or any(each.id not in taken_up for each in sets):
        return None
    last = UpdateTiles.model_validate(commits[-1].payload)
    return TilesSeen(
        version=int(str(commits[-1].facts["tiles_version"])),
        batch=commits[-1].n,
        kinds={each.tiles.kind: each.id for each in sets},
        silver={each.table: taken_up[each.id] for each in sets},
        silver_batches=last.silver_batches,
        checkpoint=_checkpoint_before(runtime, dates[0], commits, sets),
        keeps=keeps,
    )


def _checkpoint_before(
    runtime: Runtime, first: date, commits: Sequence[Commit], sets: Sequence[StoredSet]
) -> CheckpointSeen | None:
    """The newest checkpoint of the day before a date, and the tile sets that go on from it."""
    view, now = runtime.project.view, runtime.clock()
    for staged in reversed(runtime.ledger.stream(runtime.stream("stage", view.name)).commits):
        if REJECTED in staged.facts or now - staged.committed_at > KEPT:
            continue
        step = StageDates.model_validate(staged.payload)
        if step.pipeline_version != view.pipeline_version or not (step.tiles and step.tiles.keeps):
            continue
        if step.dates[-1] != first - timedelta(days=1):
            continue
        lost = {each for commit in commits if commit.n > step.tiles.batch for each in texts(commit.facts["taken_back"])}
        # Tiles that are found by another id now were built anew, and what was built counts them all.
        same = {each.tiles.kind for each in sets if step.tiles.kinds.get(each.tiles.kind) == each.id}
        goes_on = tuple(
            each.kind for each in resumable(view) if each.kind in same and step.tiles.kinds[each.kind] not in lost
        )
        if not goes_on:
            return None
        at = int(str(staged.facts["staged_version"]))
        return CheckpointSeen(day=step.dates[-1], staged_version=at, batch=step.tiles.batch, kinds=goes_on)
    return None


def stored(seen: TilesSeen, runtime: Runtime) -> Stored:
    """Open the log, and the checkpoint, as an intent names them."""
    spark, project, view = runtime.session(), runtime.project, runtime.project.view
    checkpoint = None
    if found := seen.checkpoint:
        staged = read_at(spark, project.path("staged", view.name), found.staged_version)
        of_day = F.col(FEATURE_DATE).isNull() | (F.col(FEATURE_DATE) == F.lit(found.day))
        states = staged.where(of_day).where(F.col(STATES).isNotNull()).select(view.entity, STATES)
        checkpoint = Checkpoint(found.batch, frozenset(found.kinds), states)
    log = read_at(spark, project.path("tiles", view.name), seen.version)
    return Stored(log, seen.kinds, checkpoint, keeps=seen.keeps)


def _pays(runtime: Runtime, tables: Sequence[str]) -> bool:
    """The cost rule: a log is begun once silver has grown large."""
    size = sum(size_in_bytes(runtime.project.path("silver", table)) for table in tables)
    return size >= runtime.project.environment.tiles_from_mb * _MB


def _origins(runtime: Runtime, tables: Iterable[str]) -> dict[str, str]:
    """Per table its id, for one that was made anew has another, and the last batch refused for what its feed lacks."""
    commits = runtime.ledger.stream(runtime.stream("tiles", runtime.project.view.name)).commits
    refused = {
        change.table: commit.n
        for commit in commits
        if commit.facts.get("code") == FEED_GONE
        for change in UpdateTiles.model_validate(commit.payload).changes
    }
    return {table: f"{table_id(runtime.project.path('silver', table))} {refused.get(table, 0)}" for table in tables}


def _written(runtime: Runtime) -> list[Commit]:
    """The batches that the log holds."""
    commits = runtime.ledger.stream(runtime.stream("tiles", runtime.project.view.name)).commits
    return [commit for commit in commits if REJECTED not in commit.facts]


def _taken_up(commits: Sequence[Commit]) -> dict[str, int]:
    """Up to which version of its table each tile set was taken up."""
    steps = (UpdateTiles.model_validate(commit.payload) for commit in commits)
    return {change.id: change.upto for step in steps for change in step.changes}
