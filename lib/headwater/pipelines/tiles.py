"""Stored tiles in the pipeline: bring the log up to silver.

    silver versions since the last tile batch ──change feed──> log of tiles (appended once)

Below `tiles_from_mb` of silver there are none: computing a date from silver costs less than keeping them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.features.log import MONTH, Changes, log_schema, tile_changes
from headwater.features.rows import entity_type
from headwater.features.stored import count_columns, has_days, storable, tiles_id
from headwater.features.tilesets import BATCH, FROM, TILES, UNTIL, TileSet
from headwater.pipelines.batches import last_batches
from headwater.pipelines.feeds import FEED_GONE, feed_gone, feeds_kept, read_feed
from headwater.pipelines.layouts import require_tiles
from headwater.pipelines.refusals import fitting
from headwater.pipelines.steps import (
    REJECTED,
    Plan,
    PlannedStep,
    Runtime,
    TileChanges,
    UpdateTiles,
    require_same,
    unfinished,
)
from headwater.state.streams import Commit
from headwater.tables.delta import (
    Batch,
    TableSpec,
    Written,
    ensure_table,
    find,
    last_transaction,
    read_at,
    size_in_bytes,
    version,
)
from headwater.tables.feed import only_adds, table_id
from headwater.tables.staging import append_rows_once
from headwater.tables.workers import Target

_MB = 1 << 20
# Rows that a reader of a day may skip at a time.
_GROUP = 1 << 14
_FOUND_BY = (FROM, UNTIL, BATCH)


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


@dataclass(frozen=True, slots=True)
class TileLog:
    """The log of the view's tiles that is there now.

    Attributes:
        table: what it is known by; None: there is none.
        commits: the batches that it holds; none of those before, where it was deleted or made anew.
        sets: every tile set of the view that can be stored.
    """

    table: str | None
    commits: Sequence[Commit]
    sets: tuple[StoredSet, ...]

    @property
    def taken_up(self) -> dict[str, int]:
        """Up to which version of its table each tile set was taken up, by what its tiles are found by."""
        steps = (UpdateTiles.model_validate(commit.payload) for commit in self.commits)
        return {change.id: change.upto for step in steps for change in step.changes}


def tile_log(runtime: Runtime) -> TileLog:
    """What the ledger says of the log, as far as the table is the one that it speaks of."""
    project, view = runtime.project, runtime.project.view
    stream, location = runtime.stream("tiles", view.name), project.path("tiles", view.name)
    every, there = runtime.ledger.stream(stream).commits, table_id(location)
    commits = [each for each in every if REJECTED not in each.facts and each.facts.get("table") == there]
    # Without one, as a batch that is begun now will be numbered; the log may have outlived its ledger.
    before = [] if commits else [last_transaction(location, stream) or 0, *(each.n for each in every)]
    first = commits[0].n if commits else 1 + max(before)
    sets = storable(view)
    origins = _origins(runtime, every, {each.group.table for each in sets}, first)
    entity = f"{view.entity} {entity_type(view, project.tables).simpleString()}"
    return TileLog(
        there,
        commits,
        tuple(
            StoredSet(each, tiles_id(each, project.tables[table], entity, origins[table]), origins[table])
            for each in sets
            for table in [each.group.table]
        ),
    )


def plan_tiles(runtime: Runtime) -> Plan:
    """Plan which changes of silver the log has to take up.

    Raises:
        ConfigError: the log has the entity as another type.
    """
    view = runtime.project.view
    stream = runtime.stream("tiles", view.name)
    state = runtime.ledger.stream(stream)
    title = f"update tiles {view.name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    log = tile_log(runtime)
    tables = sorted({each.table for each in log.sets})
    if not log.commits and not _pays(runtime, tables):
        return Plan(title, ())
    before = log.taken_up
    # Committed batches, and before the versions are read: a MERGE that lands in between is only computed once more.
    batches = last_batches(runtime, tables)
    present = {table: version(runtime.project.path("silver", table)) for table in tables}
    # Sets that hold the same, for features of other windows, are one.
    changes = {
        each.id: TileChanges(id=each.id, table=each.table, origin=each.origin, after=before.get(each.id), upto=upto)
        for each in log.sets
        if (upto := present[each.table]) is not None and before.get(each.id) != upto
    }
    if not changes or None in present.values():
        return Plan(title, ())
    require_tiles(runtime)
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
    stored = {each.id: each for each in tile_log(runtime).sets}
    sets = {name: each.tiles for name, each in stored.items()}
    written = find(location, batch)
    if written is None:
        _require_same_origins(step, stored.values())
        written = _append(step, sets, batch, runtime)
    return {
        "table": table_id(location),
        "rows": written.rows,
        "tiles_version": written.version,
        "taken_back": _taken_back(written, step, sets, batch, runtime),
    }


def _append(step: UpdateTiles, sets: Mapping[str, TileSet], batch: Batch, runtime: Runtime) -> Written:
    project, view = runtime.project, runtime.project.view
    decided = [change.id for change in step.changes]
    present = [each for each in decided if each in sets]
    require_same(f"tiles of {view.name}", ", ".join(decided), ", ".join(present), batch.id)
    kind = entity_type(view, project.tables)
    target = Target(
        location=project.path("tiles", view.name),
        schema=log_schema(view, kind),
        found_by=_FOUND_BY,
        partition_by=(TILES, MONTH),
        in_order=view.entity,
        group=_GROUP,
    )
    properties = {"delta.dataSkippingStatsColumns": ",".join(_FOUND_BY), "delta.enableDeletionVectors": "false"}
    spec = TableSpec(target.location, target.schema, target.partition_by, properties=properties)
    ensure_table(runtime.session(), spec)
    with fitting(view.name), feeds_kept(step.changes):
        changes = [
            Changes(read_feed(each, runtime), sets[each.id], project.tables[each.table], each.id)
            for each in step.changes
        ]
        return append_rows_once(tile_changes(changes, view, kind, batch.n), target, batch)


def _require_same_origins(step: UpdateTiles, present: Iterable[StoredSet]) -> None:
    origins = {each.table: each.origin for each in present}
    # Of a table without a set now the definitions have changed, which is told as that.
    if remade := [each for each in step.changes if origins.get(each.table, each.origin) != each.origin]:
        raise feed_gone(remade, "the table, or the log of its tiles, was made anew since")


def _taken_back(
    written: Written, step: UpdateTiles, sets: Mapping[str, TileSet], batch: Batch, runtime: Runtime
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
    log = read_at(runtime.session(), runtime.project.path("tiles", step.view), written.version)
    ours = log.where(F.col(BATCH) == batch.n).where(reduce(or_, lost))
    return sorted({row[0] for row in ours.select(TILES).distinct().collect()} | unknown)


def _pays(runtime: Runtime, tables: Sequence[str]) -> bool:
    """The cost rule: a log is begun once silver has grown large."""
    size = sum(size_in_bytes(runtime.project.path("silver", table)) for table in tables)
    return size >= runtime.project.environment.tiles_from_mb * _MB


def _origins(runtime: Runtime, commits: Sequence[Commit], tables: Iterable[str], first: int) -> dict[str, str]:
    """What the tiles of each table are begun from: of another origin they are other tiles.

    The table's id, for one that was made anew has another; the last batch refused for what its feed lacks; and the
    first batch of the log that is there.
    """
    refused = {
        change.table: commit.n
        for commit in commits
        if commit.facts.get("code") == FEED_GONE
        for change in UpdateTiles.model_validate(commit.payload).changes
    }
    silver = {table: table_id(runtime.project.path("silver", table)) for table in tables}
    return {table: f"{known} {refused.get(table, 0)} {first}" for table, known in silver.items()}
