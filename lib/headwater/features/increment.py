"""What a computation takes from the log of tiles: of a checkpoint's days what is new, begins to count, or ceases to.

    without a checkpoint   tiles within the windows
    from a checkpoint      tiles that came since; of those that it counts, which enter or leave a window

Cost rule: a tile set goes on from a checkpoint where that reads fewer days of tiles. It reads the days since the
checkpoint once, and once more for every window and second date; from nothing it reads the dates and the longest window
before them. A set with a lifetime feature always goes on, for from nothing it reads all there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.features.checkpoints import Checkpoint
from headwater.features.kernel import Span, date_of
from headwater.features.log import MONTH
from headwater.features.tilesets import BATCH, FROM, KIND, STORED, TILES, UNTIL, TileSet


@dataclass(frozen=True, slots=True)
class Stored:
    """What a computation sees of the log.

    Attributes:
        log: the log at one version, where what no part of `wanted_parts` speaks of may be left out; None: workers read
            what matters of it themselves.
        kinds: the tile sets that are computed from it, by what their tiles are found by.
        buckets: how many partitions the entities are shuffled to.
        checkpoint: where to go on from, if there is something.
    """

    log: DataFrame | None
    kinds: Mapping[int, str]
    buckets: int
    checkpoint: Checkpoint | None = None

    @property
    def numbers(self) -> dict[str, int]:
        """What stands for tiles in a stream."""
        return numbered(self.kinds)


@dataclass(frozen=True, slots=True)
class Part:
    """Tiles that lie within some ranges.

    Attributes:
        tiles: what they are found by.
        ranges: by column of the log, the least and the greatest value, both included; None for no bound.
    """

    tiles: str
    ranges: Mapping[str, tuple[int | None, int | None]]

    @property
    def rows(self) -> Column:
        """The tiles, by their rows."""
        bounds = [F.col(TILES) == self.tiles]
        for name, (least, greatest) in self.ranges.items():
            bounds += [F.col(name) >= least] if least is not None else []
            bounds += [F.col(name) <= greatest] if greatest is not None else []
        return reduce(and_, bounds)

    @property
    def in_months(self) -> Column:
        """What they are partitioned by."""
        first, last = self.ranges[FROM]
        months = F.col(TILES) == self.tiles
        months &= F.col(MONTH) >= _month(first) if first is not None else F.lit(True)  # noqa: FBT003
        return months & (F.col(MONTH) <= _month(last) if last is not None else F.lit(True))  # noqa: FBT003

    @property
    def in_file(self) -> pc.Expression:
        """The tiles, by the rows of a file of them."""
        bounds = []
        for name, (least, greatest) in self.ranges.items():
            bounds += [pc.field(name) >= least] if least is not None else []
            bounds += [pc.field(name) <= greatest] if greatest is not None else []
        return reduce(and_, bounds)

    def may_be_in(self, tiles: str, least: Mapping[str, int], greatest: Mapping[str, int]) -> bool:
        """Whether a file may hold some of them, by the least and greatest that it holds of some columns."""
        return tiles == self.tiles and all(
            (low is None or greatest.get(name, low) >= low) and (high is None or least.get(name, high) <= high)
            for name, (low, high) in self.ranges.items()
        )


def numbered(kinds: Mapping[int, str]) -> dict[str, int]:
    """What stands for tiles in a stream, by what they are found by; tile sets may share them."""
    return {tiles: number for number, tiles in enumerate(sorted(set(kinds.values())))}


def goes_on(tile_set: TileSet, since: int, dates: Span) -> bool:
    """Whether a set reads less from a checkpoint than from nothing.

    Args:
        tile_set: a resumable one.
        since: the checkpoint's day.
        dates: what is to be computed.
    """
    longest = tile_set.longest_window
    times = 1 + len(_windows(tile_set)) + (tile_set.available is not None)
    return longest is None or (dates.last - since) * times < dates.days + longest - 1


def wanted_parts(
    stored: Mapping[int, str], sets: Sequence[TileSet], checkpoint: Checkpoint | None, dates: Span
) -> list[Part]:
    """The tiles that matter for some dates.

    Args:
        stored: kinds of sets in the log, by what their tiles are found by.
        sets: all tile sets.
        checkpoint: where some of them go on from.
        dates: from the first one wanted to the last.
    """
    of_stored = (each for each in sets if each.kind in stored)
    return [part for each in of_stored for part in _parts(each, stored[each.kind], checkpoint, dates)]


def stored_records(stored: Stored, log: DataFrame, parts: Sequence[Part], entity: str) -> DataFrame:
    """Stored tiles that matter, as records of the engine.

    The log is read once, whatever the number of sets: its every scan is planned by a Spark job of its own.

    Args:
        stored: which tiles there are.
        log: theirs.
        parts: what matters of it; more does no harm.
        entity: name of the view's entity.

    Returns:
        Entity, `_kind`, `_tiles` (a number), `_from`, `_until`, `_batch` and all sums of the log.
    """
    # Files are found by partitions where a term is about nothing else, and by days and batches in the other one.
    in_months = reduce(or_, (part.in_months for part in parts))
    rows = log.where(in_months).where(reduce(or_, (part.rows for part in parts)))
    number = F.coalesce(*(F.when(F.col(TILES) == tiles, F.lit(n)) for tiles, n in stored.numbers.items()))
    sums = [name for name in log.columns if name not in (TILES, MONTH, entity, FROM, UNTIL, BATCH)]
    return rows.select(entity, F.lit(STORED).alias(KIND), number.alias(TILES), FROM, UNTIL, BATCH, *sums)


def tile_records(rows: pa.Table, number: int) -> pa.Table:
    """As `stored_records`, of rows of the log that a worker has read: those of one set."""
    constants = {KIND: STORED, TILES: number}
    for name, value in constants.items():
        rows = rows.append_column(name, pa.array(np.full(len(rows), value, np.int32)))
    return rows


def _parts(tile_set: TileSet, tiles: str, checkpoint: Checkpoint | None, dates: Span) -> list[Part]:
    """Tiles within the windows; of those that the checkpoint counts, which begin or cease to count."""
    longest = tile_set.longest_window
    if checkpoint is None or tile_set.kind not in checkpoint.resumed.kinds:
        return [Part(tiles, {FROM: (None if longest is None else dates.first - longest + 1, dates.last)})]
    span, batch = Span(checkpoint.resumed.day + 1, dates.last), checkpoint.resumed.batch
    within, counted = None if longest is None else span.first - longest + 1, (None, batch)
    parts = [
        Part(tiles, {FROM: (within, span.last), BATCH: (batch + 1, None)}),
        Part(tiles, {FROM: (span.first, span.last), BATCH: counted}),
    ]
    for days in _windows(tile_set):
        parts.append(Part(tiles, {FROM: (span.first - days, span.last - days), BATCH: counted}))
    if tile_set.available:
        since = None if longest is None else span.first - longest
        parts.append(Part(tiles, {FROM: (since, span.last), BATCH: counted, UNTIL: (span.first, span.last)}))
    return parts


def _windows(tile_set: TileSet) -> list[int]:
    return sorted({feature.window_days for feature in tile_set.features if feature.window_days is not None})


def _month(day: int) -> Column:
    return F.lit(date_of(day).replace(day=1))
