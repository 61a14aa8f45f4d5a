"""Stored tiles in the pipeline: bring the log up to silver, and decide what a stage batch takes from it.

    silver versions since the last tile batch ──change feed──> log of tiles (appended once)
    last checkpoint staged ─┐
    log ────────────────────┴──> dates to compute: from the checkpoint where it leads to them, else from all tiles

Below `tiles_from_mb` of silver there are none: computing a date from silver costs less than keeping them.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.config.base import JsonValue
from headwater.contracts.schema import spark_type
from headwater.features.asof import FEATURE_DATE
from headwater.features.blocks import STATES
from headwater.features.stored import (
    BATCH,
    MONTH,
    TILES,
    Checkpoint,
    Stored,
    as_inserts,
    count_columns,
    has_days,
    log_schema,
    resumable,
    signed_contributions,
    storable,
    tile_changes,
    tiles_id,
)
from headwater.features.tilesets import FROM, TileSet
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
    append_once,
    ensure_table,
    find,
    read_at,
    read_changes,
    size_in_bytes,
    version,
)

_MB = 1 << 20
# What a later stage batch has replaced may be vacuumed a week after.
_KEPT = timedelta(days=6)


def plan_tiles(runtime: Runtime) -> Plan:
    """Plan which changes of silver the log has to take up."""
    view = runtime.project.view
    stream = runtime.stream("tiles", view.name)
    state = runtime.ledger.stream(stream)
    title = f"update tiles {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    if not _pays(runtime, has_log=bool(state.commits)):
        return Plan(title, ())
    before = _taken_up(state.commits)
    # Committed batches, and before the versions are read: a MERGE that lands in between is only computed once more.
    tables = sorted({table for _, _, table in _stored(runtime)})
    batches = {table: _last_batch(runtime, table) for table in tables}
    present = {table: version(runtime.project.path("silver", table)) for table in tables}
    # Sets that hold the same, for features of other windows, are one.
    changes = {
        each: TileChanges(id=each, table=table, after=before.get(each), upto=upto)
        for _, each, table in _stored(runtime)
        if (upto := present[table]) is not None and before.get(each) != upto
    }
    if not changes or None in present.values():
        return Plan(title, ())
    step = UpdateTiles(
        view=view.name, run_date=runtime.run_date, changes=tuple(changes.values()), silver_batches=batches
    )
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))


def update_tiles(step: UpdateTiles, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Append what the changes of silver change in tiles; says of which sets something was taken back."""
    project, view = runtime.project, runtime.project.view
    location, spark = project.path("tiles", view.name), runtime.session()
    written = find(location, batch)
    if written is None:
        sets = {each: tile_set for tile_set, each, _ in _stored(runtime)}
        decided = [change.id for change in step.changes]
        present = [each for each in decided if each in sets]
        require_same(f"tiles of {view.name}", ", ".join(decided), ", ".join(present), batch.id)
        members = project.tables[view.population.table]
        kind = spark_type({column.name: column.type for column in members.columns}[members.entity])
        entity, found = T.StructField(view.entity, kind), {"delta.dataSkippingStatsColumns": f"{FROM},{BATCH}"}
        schema = log_schema(view, kind)
        ensure_table(spark, TableSpec(location, schema, partition_by=(TILES, MONTH), properties=found))
        signed = [
            signed_contributions(
                _feed(spark, project.path("silver", change.table), change),
                sets[change.id],
                project.tables[change.table],
                entity,
            )
            for change in step.changes
        ]
        written = append_once(tile_changes(signed, view.entity, batch.n), location, batch)
    return {
        "rows": written.rows,
        "tiles_version": written.version,
        "taken_back": _taken_back(read_at(spark, location, written.version), step, batch, runtime),
    }


def _feed(spark: SparkSession, location: str, change: TileChanges) -> DataFrame:
    if change.after is None:
        return as_inserts(read_at(spark, location, change.upto))
    return read_changes(spark, location, change.upto, after=change.after)


def _taken_back(log: DataFrame, step: UpdateTiles, batch: Batch, runtime: Runtime) -> list[JsonValue]:
    """Sets with days of events that lost one: no checkpoint can tell which day is the first or last then."""
    asked = {change.id for change in step.changes if change.after is not None}
    lost = [
        (F.col(TILES) == each) & reduce(or_, (F.col(place) < 0 for place in count_columns(tile_set)))
        for tile_set, each, _ in _stored(runtime)
        if each in asked and has_days(tile_set)
    ]
    if not lost:
        return []
    ours = log.where(F.col(BATCH) == batch.n).where(reduce(or_, lost))
    return sorted(row[0] for row in ours.select(TILES).distinct().collect())


def tiles_for(runtime: Runtime, dates: Sequence[date], *, keeps: bool) -> TilesSeen | None:
    """What a stage batch takes from the log; None when there is none of the present definitions.

    Args:
        runtime: where to look.
        dates: to be computed, sorted.
        keeps: whether the states of the last date become a checkpoint.
    """
    commits = runtime.ledger.stream(runtime.stream("tiles", runtime.project.view.name)).commits
    taken_up = _taken_up(commits)
    sets = _stored(runtime)
    if not sets or any(each not in taken_up for _, each, _ in sets):
        return None
    last = UpdateTiles.model_validate(commits[-1].payload)
    return TilesSeen(
        version=int(str(commits[-1].facts["tiles_version"])),
        batch=commits[-1].n,
        kinds={tile_set.kind: each for tile_set, each, _ in sets},
        silver={table: taken_up[each] for _, each, table in sets},
        silver_batches=last.silver_batches,
        checkpoint=_checkpoint_before(runtime, dates[0], commits),
        keeps=keeps,
    )


def _checkpoint_before(runtime: Runtime, first: date, commits: Sequence[Commit]) -> CheckpointSeen | None:
    """The newest checkpoint of the day before a date, and the tile sets that go on from it."""
    view, now = runtime.project.view, runtime.clock()
    for staged in reversed(runtime.ledger.stream(runtime.stream("stage", view.name)).commits):
        if REJECTED in staged.facts or now - staged.committed_at > _KEPT:
            continue
        step = StageDates.model_validate(staged.payload)
        if step.pipeline_version != view.pipeline_version or not (step.tiles and step.tiles.keeps):
            continue
        if step.dates[-1] != first - timedelta(days=1):
            continue
        lost = {
            each for commit in commits if commit.n > step.tiles.batch for each in _texts(commit.facts["taken_back"])
        }
        # Tiles that are found by another id now were built anew, and what was built counts them all.
        same = {tile_set.kind for tile_set, each, _ in _stored(runtime) if step.tiles.kinds.get(tile_set.kind) == each}
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


def _pays(runtime: Runtime, *, has_log: bool) -> bool:
    """The cost rule: a log is begun once silver has grown large, and then kept up."""
    project, tables = runtime.project, {table for _, _, table in _stored(runtime)}
    size = sum(size_in_bytes(project.path("silver", table)) for table in tables)
    return bool(tables) and (has_log or size >= project.environment.tiles_from_mb * _MB)


def _stored(runtime: Runtime) -> list[tuple[TileSet, str, str]]:
    """Every tile set that can be stored, what it is found by, and its table."""
    tables = runtime.project.tables
    return [
        (tile_set, tiles_id(tile_set, tables[tile_set.group.table]), tile_set.group.table)
        for tile_set in storable(runtime.project.view)
    ]


def _taken_up(commits: Sequence[Commit]) -> dict[str, int]:
    """Up to which version of its table each tile set was taken up."""
    steps = (UpdateTiles.model_validate(commit.payload) for commit in commits)
    return {change.id: change.upto for step in steps for change in step.changes}


def _last_batch(runtime: Runtime, table: str) -> int:
    commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
    return commits[-1].n if commits else 0


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
