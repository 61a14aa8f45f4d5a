"""What a stage batch takes from the log of tiles and from checkpoints: planned by the ledger, opened by the intent.

    log, checkpoint before the dates ──plan──> TilesSeen ──open──> what Spark shuffles, or workers read by themselves

Cost rule: of a checkpoint's next days so little of the log matters that every worker may read all of it and keep what
is its own; Spark would need longer to scan, shuffle and hand over the same. Beyond so many rows or files Spark does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from math import inf

from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from headwater.features.buckets import can_be_placed
from headwater.features.increment import Part, Stored, numbered, wanted_parts
from headwater.features.kernel import Span, day_number
from headwater.features.log import MONTH, log_schema
from headwater.features.rows import entity_type
from headwater.features.tilesets import FROM, TILES, tile_sets
from headwater.pipelines.checkpoints import Log, buckets, checkpoint_before, kept_dates, open_seen, partitions
from headwater.pipelines.steps import CheckpointSeen, Runtime, TilesSeen, UpdateTiles
from headwater.pipelines.tiles import tile_log
from headwater.tables.feed import newest_alike, table_id
from headwater.tables.files import FileFacts, list_files, read_files
from headwater.tables.parquet import absolute, is_reached
from headwater.tables.readers import TileFiles

# What workers may read of the log: rows, all of them together; rows that one keeps; files, each of them.
_ROWS, _KEPT, _FILES = 8_000_000, 1 << 20, 64


def tiles_for(
    runtime: Runtime,
    whole: Sequence[date],
    repaired: Sequence[date],
    versions: Mapping[str, int],
) -> TilesSeen | None:
    """What a stage batch takes from the log, and keeps; None when there is none of the present definitions.

    Args:
        runtime: where to look.
        whole: dates to be computed for everybody, in order.
        repaired: dates to be computed for some.
        versions: of silver tables, as they are now.
    """
    present = tile_log(runtime)
    commits, known = present.commits, present.taken_up
    if not present.sets or any(each.id not in known for each in present.sets):
        return None
    last = UpdateTiles.model_validate(commits[-1].payload)
    silver = {each.table: known[each.id] for each in present.sets}
    log = Log({each.tiles.kind: each.id for each in present.sets}, commits)
    checkpoint = checkpoint_before(runtime, whole, log, {**versions, **silver}) if whole else None
    records = sum(int(str(each.facts["rows"])) for each in commits)
    return TilesSeen(
        log=present.table or "",
        version=newest_alike(_place(runtime), int(str(commits[-1].facts["tiles_version"]))),
        batch=commits[-1].n,
        kinds=dict(log.ids),
        silver=silver,
        silver_batches=last.silver_batches,
        population=table_id(runtime.project.path("silver", runtime.project.view.population.table)) or "",
        buckets=buckets(runtime, records, len(whole), checkpoint),
        checkpoint=checkpoint,
        repaired_from=checkpoint_before(runtime, repaired, log) if repaired else None,
        kept_on=kept_dates(runtime, whole),
    )


def open_log(
    seen: TilesSeen, dates: Sequence[date], at: CheckpointSeen | None, runtime: Runtime, *, of_all: bool
) -> Stored:
    """Open what an intent names.

    Args:
        seen: the log.
        dates: to be computed, in order; what of the log does not matter for them may be left out.
        at: the checkpoint to go on from, if there is one.
        runtime: where.
        of_all: whether the dates are computed for everybody.
    """
    location = _place(runtime)
    workers = partitions(seen.buckets, at, runtime) if at else seen.buckets
    checkpoint = open_seen(at, workers, runtime) if at else None
    span = Span(day_number(dates[0]), day_number(dates[-1]))
    parts = wanted_parts(seen.kinds, tile_sets(runtime.project.view), checkpoint, span)
    files = list_files(location, seen.version)
    if files is not None:
        files = [each for each in files if any(_may_hold(each, part) for part in parts)]
        tiles = _for_workers(seen, files, parts, workers, runtime) if checkpoint and of_all else None
        if checkpoint and tiles:
            resumed = replace(checkpoint.resumed, tiles=tiles)
            return Stored(None, seen.kinds, workers, replace(checkpoint, resumed=resumed))
    log = read_files(runtime.session(), location, seen.version, files)
    return Stored(log, seen.kinds, workers, checkpoint)


def _for_workers(
    seen: TilesSeen, files: Sequence[FileFacts], parts: Sequence[Part], workers: int, runtime: Runtime
) -> TileFiles | None:
    """How a worker reads what matters of the log; None where Spark should."""
    view, location = runtime.project.view, _place(runtime)
    if any(each.kind not in seen.kinds for each in tile_sets(view)):
        # Other tiles come from Spark, however many there are, and are taken as they come.
        return None
    schema = log_schema(view, entity_type(view, runtime.project.tables))
    columns = to_arrow_schema(T.StructType([each for each in schema if each.name not in (TILES, MONTH)]))
    rows = sum(_rows(each, parts) for each in files)
    if not (is_reached(location) and can_be_placed(columns.field(view.entity).type)):
        return None
    if len(files) > _FILES or rows * workers > _ROWS or rows / workers > _KEPT:
        return None
    numbers = numbered(seen.kinds)
    paths = {n: [each.path for each in files if each.partition[TILES] == tiles] for tiles, n in numbers.items()}
    by_number = {n: [part for part in parts if part.tiles == tiles] for tiles, n in numbers.items()}
    return TileFiles(absolute(location), view.entity, workers, columns, paths, by_number)


def _place(runtime: Runtime) -> str:
    """Where the log is."""
    return runtime.project.path("tiles", runtime.project.view.name)


def _may_hold(file: FileFacts, part: Part) -> bool:
    return part.may_be_in(str(file.partition[TILES]), file.least, file.greatest)


def _rows(file: FileFacts, parts: Sequence[Part]) -> float:
    """About how many rows of a file matter, by the days that it holds; of one that does not say, no end of them."""
    if file.rows is None or FROM not in file.least or FROM not in file.greatest:
        return inf
    first, last = file.least[FROM], file.greatest[FROM]
    days = 0
    for part in (each for each in parts if _may_hold(file, each)):
        low, high = part.ranges[FROM]
        days += min(last, last if high is None else high) - max(first, first if low is None else low) + 1
    return float(file.rows * min(1.0, days / (last - first + 1)))
