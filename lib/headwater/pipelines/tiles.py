"""Stored tiles in the pipeline: bring the log up to silver, and decide what a stage batch takes from it.

    silver versions since the last tile batch ──change feed──> log of tiles (appended once)
    last checkpoint staged ─┐
    log ────────────────────┴──> dates to compute: from the checkpoint where it leads to them, else from all tiles

Below `tiles_from_mb` of silver there are none: computing a date from silver costs less than keeping them.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.contracts.schema import spark_type
from headwater.features.asof import FEATURE_DATE
from headwater.features.blocks import STATES, day_number
from headwater.features.records import FROM
from headwater.features.stored import (
    BATCH,
    GROUP,
    MONTH,
    Checkpoint,
    Stored,
    as_inserts,
    count_places,
    group_id,
    has_days,
    log_schema,
    resumable_groups,
    stored_groups,
    tile_changes,
)
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
from headwater.tables.delta import Batch, TableSpec, append_once, ensure_table, find, read_at, size_in_bytes, version

_MB = 1 << 20


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
    tables = sorted({view.groups[number - 1].table for number in stored_groups(view)})
    batches = {table: _last_batch(runtime, table) for table in tables}
    present = {table: version(runtime.project.path("silver", table)) for table in tables}
    changes = tuple(
        TileChanges(group=number, id=each, table=table, after=before.get(each), upto=upto)
        for number, each, table in _groups(runtime)
        if (upto := present[table]) is not None and before.get(each) != upto
    )
    if not changes or None in present.values():
        return Plan(title, ())
    step = UpdateTiles(view=view.name, run_date=runtime.run_date, changes=changes, silver_batches=batches)
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))


def update_tiles(step: UpdateTiles, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Append what the changes of silver change in tiles; says of which groups something was taken back."""
    project, view = runtime.project, runtime.project.view
    location, spark = project.path("tiles", view.name), runtime.session()
    written = find(location, batch)
    if written is None:
        for change in step.changes:
            present = group_id(view.groups[change.group - 1], project.tables[change.table])
            require_same(f"group {change.group} of {view.name}", change.id, present, batch.id)
        members = project.tables[view.population.table]
        entity = spark_type({column.name: column.type for column in members.columns}[members.entity])
        schema = log_schema(view, entity)
        found = {"delta.dataSkippingStatsColumns": f"{FROM},{BATCH}"}
        ensure_table(spark, TableSpec(location, schema, partition_by=(GROUP, MONTH), properties=found))
        changes = [
            tile_changes(_feed(spark, project.path("silver", change.table), change), view, change.group,
                         project.tables[change.table], batch.n, entity)
            for change in step.changes
        ]  # fmt: skip
        together = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), changes)
        written = append_once(together, location, batch)
    return {
        "rows": written.rows,
        "tiles_version": written.version,
        "taken_back": _taken_back(read_at(spark, location, written.version), step, batch, runtime),
    }


def _feed(spark: SparkSession, location: str, change: TileChanges) -> DataFrame:
    if change.after is None:
        return as_inserts(read_at(spark, location, change.upto))
    feed = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", change.after + 1)
    return feed.option("endingVersion", change.upto).load(location)


def _taken_back(log: DataFrame, step: UpdateTiles, batch: Batch, runtime: Runtime) -> list[JsonValue]:
    """Groups with days of events that lost one: no checkpoint can tell which day is the first or last then."""
    view = runtime.project.view
    asked = {change.id: view.groups[change.group - 1] for change in step.changes if change.after is not None}
    lost = [
        (F.col(GROUP) == each) & reduce(lambda a, b: a | b, (F.col(place) < 0 for place in count_places(group)))
        for each, group in asked.items()
        if has_days(group)
    ]
    if not lost:
        return []
    ours = log.where(F.col(BATCH) == batch.n).where(reduce(lambda a, b: a | b, lost))
    return sorted(row[0] for row in ours.select(GROUP).distinct().collect())


def tiles_for(runtime: Runtime, dates: Sequence[date], *, keeps: bool) -> TilesSeen | None:
    """What a stage batch takes from the log; None when there is none of the present definitions.

    Args:
        runtime: where to look.
        dates: to be computed, sorted.
        keeps: whether the states of the last date become a checkpoint.
    """
    commits = runtime.ledger.stream(runtime.stream("tiles", runtime.project.view.name)).commits
    taken_up = _taken_up(commits)
    groups = [(number, each, table) for number, each, table in _groups(runtime) if each in taken_up]
    if not groups or len(groups) < len(stored_groups(runtime.project.view)):
        return None
    last = UpdateTiles.model_validate(commits[-1].payload)
    return TilesSeen(
        version=int(str(commits[-1].facts["tiles_version"])),
        batch=commits[-1].n,
        groups={number: each for number, each, _ in groups},
        silver={table: taken_up[each] for _, each, table in groups},
        silver_batches=last.silver_batches,
        checkpoint=_checkpoint_before(runtime, dates[0], commits),
        keeps=keeps,
    )


def _checkpoint_before(runtime: Runtime, first: date, commits: Sequence[Commit]) -> CheckpointSeen | None:
    """The newest checkpoint of the day before a date, and the groups that it leads on from."""
    view = runtime.project.view
    for staged in reversed(runtime.ledger.stream(runtime.stream("stage", view.name)).commits):
        if REJECTED in staged.facts:
            continue
        step = StageDates.model_validate(staged.payload)
        if step.pipeline_version != view.pipeline_version or not (step.tiles and step.tiles.keeps):
            continue
        if step.dates[-1] != first - timedelta(days=1):
            continue
        lost = {
            each for commit in commits if commit.n > step.tiles.batch for each in _texts(commit.facts["taken_back"])
        }
        goes_on = tuple(sorted(n for n in resumable_groups(view) if step.tiles.groups.get(n, "") not in {*lost, ""}))
        if not goes_on:
            return None
        at = int(str(staged.facts["staged_version"]))
        return CheckpointSeen(day=step.dates[-1], staged_version=at, batch=step.tiles.batch, groups=goes_on)
    return None


def stored(seen: TilesSeen, runtime: Runtime) -> Stored:
    """Open the log, and the checkpoint, as an intent names them."""
    spark, project, view = runtime.session(), runtime.project, runtime.project.view
    checkpoint = None
    if found := seen.checkpoint:
        staged = read_at(spark, project.path("staged", view.name), found.staged_version)
        of_day = F.col(FEATURE_DATE).isNull() | (F.col(FEATURE_DATE) == F.lit(found.day))
        states = staged.where(of_day).where(F.col(STATES).isNotNull()).select(view.entity, STATES)
        checkpoint = Checkpoint(day_number(found.day), found.batch, frozenset(found.groups), states)
    log = read_at(spark, project.path("tiles", view.name), seen.version)
    return Stored(log, frozenset(seen.groups), checkpoint, keeps=seen.keeps)


def _pays(runtime: Runtime, *, has_log: bool) -> bool:
    """The cost rule: a log is begun once silver has grown large, and then kept up."""
    view, project = runtime.project.view, runtime.project
    if not stored_groups(view):
        return False
    tables = {view.groups[number - 1].table for number in stored_groups(view)}
    return has_log or (
        sum(size_in_bytes(project.path("silver", table)) for table in tables) >= project.environment.tiles_from_mb * _MB
    )


def _groups(runtime: Runtime) -> list[tuple[int, str, str]]:
    """Number, id and table of every stored group."""
    view, tables = runtime.project.view, runtime.project.tables
    return [
        (number, group_id(group, tables[group.table]), group.table)
        for number, group in enumerate(view.groups, start=1)
        if number in stored_groups(view)
    ]


def _taken_up(commits: Sequence[Commit]) -> dict[str, int]:
    """Up to which version of its table each group was taken up."""
    steps = (UpdateTiles.model_validate(commit.payload) for commit in commits)
    return {change.id: change.upto for step in steps for change in step.changes}


def _last_batch(runtime: Runtime, table: str) -> int:
    commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
    return commits[-1].n if commits else 0


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
