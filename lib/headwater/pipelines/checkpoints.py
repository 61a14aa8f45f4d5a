"""Which checkpoint a stage batch goes on from, what it may take from it, and which it keeps.

    table of checkpoints (day, stage batch that kept it) + ledger ──newest day before the dates──> CheckpointSeen
      ──same tiles, nothing taken back since, fewer days to read──> the tile sets that go on
      ──few changes of the population, its feed surely there──> membership as well

Decided by ledger and table logs alone; a session opens what an intent names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from math import ceil, log2

from pyspark.sql.pandas.types import to_arrow_type

from headwater.contracts.schema import VALID_FROM, VALID_TO
from headwater.errors import DataRejected
from headwater.features.buckets import can_be_placed
from headwater.features.checkpoints import Checkpoint, Resumed
from headwater.features.increment import goes_on
from headwater.features.kernel import Span, day_number
from headwater.features.rows import entity_type
from headwater.features.stored import resumable
from headwater.features.windows import checkpoint_schema
from headwater.pipelines.batches import texts, touched
from headwater.pipelines.feeds import FEED_GONE, SURELY_THERE, read_feed
from headwater.pipelines.late import TableChanges
from headwater.pipelines.published import entities
from headwater.pipelines.refusals import versions_kept
from headwater.pipelines.steps import REJECTED, CheckpointSeen, Runtime, StageDates, TilesSeen
from headwater.state.streams import Commit
from headwater.tables.checkpoints import beside, ends_month, kept_days, open_checkpoint
from headwater.tables.delta import version
from headwater.tables.feed import only_adds, table_id
from headwater.tables.files import list_files
from headwater.tables.parquet import is_reached, name_in_store
from headwater.tables.staging import KeptBeside

# Of a batch that was closed for it, so that the next one goes on from another.
_CODE = "checkpoint_gone"
# Of the entities; above it, reading all members anew costs less than finding out who has changed.
_AT_MOST = 10
# Of a partition: entities, of which it holds the checkpoint; records of the log, which it is sorted from; rows.
_ENTITIES, _RECORDS, _ROWS = 1 << 18, 1 << 21, 1 << 22
_AT_LEAST = 2


def place(runtime: Runtime) -> str:
    """Where the view's checkpoints are."""
    return runtime.project.path("checkpoints", runtime.project.view.name)


def kept_dates(runtime: Runtime, dates: Sequence[date]) -> tuple[date, ...]:
    """Of dates that are computed for everybody, in order, those at whose end a checkpoint is kept.

    The last one, for the next run or slice goes on from there, and the ends of months, for repairs.
    """
    if not dates or not resumable(runtime.project.view) or not is_reached(place(runtime)):
        return ()
    return tuple(sorted({*filter(ends_month, dates), dates[-1]}))


def buckets(runtime: Runtime, records: int, dates: int, checkpoint: CheckpointSeen | None) -> int:
    """How many partitions the entities are shuffled to, a power of two: by what each will hold.

    Args:
        runtime: where.
        records: of the log.
        dates: how many are computed for everybody.
        checkpoint: what they go on from; then of the log a part is read.
    """
    rows = entities(runtime)
    wanted = max(_AT_LEAST, _power(rows / _ENTITIES), _power(rows * dates / _ROWS))
    return partitions(wanted, checkpoint, runtime) if checkpoint else max(wanted, _power(records / _RECORDS))


def partitions(wanted: int, checkpoint: CheckpointSeen, runtime: Runtime) -> int:
    """How many workers may share a checkpoint: as many as wanted, if one finds its own entities in a larger bucket."""
    kind = to_arrow_type(entity_type(runtime.project.view, runtime.project.tables))
    return wanted if can_be_placed(kind) else min(wanted, checkpoint.buckets)


@dataclass(frozen=True, slots=True)
class Log:
    """The log of tiles, as a checkpoint has to match it.

    Attributes:
        ids: by kind, what the tiles of each set are found by.
        batches: that it holds, and what each took back.
    """

    ids: Mapping[int, str]
    batches: Sequence[Commit]


def checkpoint_before(
    runtime: Runtime, dates: Sequence[date], log: Log, versions: Mapping[str, int] | None = None
) -> CheckpointSeen | None:
    """The newest checkpoint of a day before some dates, if something goes on from it.

    Args:
        runtime: where.
        dates: to be computed, in order.
        log: the log of tiles.
        versions: of silver, as the dates will see it; None: it need not say who has a row.
    """
    stages = runtime.ledger.stream(runtime.stream("stage", runtime.project.view.name)).commits
    gone = max((each.n for each in stages if each.facts.get("code") == _CODE), default=0)
    kept_by = {each.n: each for each in stages if REJECTED not in each.facts and each.n > gone}
    at = version(place(runtime))
    found = {day: kept_by[n] for day, n in kept_days(place(runtime)).items() if n in kept_by and day < dates[0]}
    if not found or at is None:
        return None
    day = max(found)
    step = StageDates.model_validate(found[day].payload)
    if step.tiles is None or step.pipeline_version != runtime.project.view.pipeline_version:
        return None
    kinds = _going_on(runtime, step.tiles, log, day, Span(day_number(dates[0]), day_number(dates[-1])))
    if not kinds:
        return None
    seen = CheckpointSeen(day=day, version=at, batch=step.tiles.batch, buckets=step.tiles.buckets, kinds=kinds)
    return seen if versions is None else _with_membership(seen, found[day], versions, runtime)


def _going_on(runtime: Runtime, before: TilesSeen, log: Log, day: date, dates: Span) -> tuple[int, ...]:
    """The tile sets whose states at the end of a day lead to those of some dates, and cheaper."""
    lost = {each for commit in log.batches if commit.n > before.batch for each in texts(commit.facts["taken_back"])}
    # Tiles that are found by another id now were built anew, and what was built counts them all.
    same = {kind for kind, tiles in log.ids.items() if before.kinds.get(kind) == tiles and tiles not in lost}
    sets = [each for each in resumable(runtime.project.view) if each.kind in same]
    return tuple(each.kind for each in sets if goes_on(each, day_number(day), dates))


def _with_membership(
    seen: CheckpointSeen, kept: Commit, versions: Mapping[str, int], runtime: Runtime
) -> CheckpointSeen:
    """Let a checkpoint say who has a row, where what has changed since is surely known, and little."""
    step, table = StageDates.model_validate(kept.payload), runtime.project.view.population.table
    location, after, upto = runtime.project.path("silver", table), step.versions[table], versions[table]
    commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
    stages = runtime.ledger.stream(runtime.stream("stage", step.view)).commits
    refused = any(each.facts.get("code") == FEED_GONE for each in stages if each.n > kept.n)
    is_another = step.tiles is None or step.tiles.population != table_id(location)
    if refused or is_another or runtime.clock() - kept.committed_at > SURELY_THERE:
        return seen
    if runtime.project.tables[table].kind == "fact":
        is_known = only_adds(location, upto, after=after)
    else:
        changed = [each for each in commits if int(str(each.facts.get("silver_version", 0))) > after]
        is_few = sum(touched(changed).values()) * _AT_MOST <= entities(runtime)
        is_known = is_few and not _may_turn(runtime, location, after, seen.day)
    changes = TableChanges(table=table, after=after, upto=upto) if upto > after else None
    return seen.model_copy(update={"members": True, "changes": changes}) if is_known else seen


def _may_turn(runtime: Runtime, location: str, at: int, day: date) -> bool:
    """Whether a version of a dimension may begin or end after a day, by the greatest values of its files."""
    columns = (runtime.project.view.population.since, VALID_FROM, VALID_TO)
    files = list_files(location, at, about=columns)
    return files is None or any(not each.ends_by(column, day) for each in files for column in columns)


def open_seen(seen: CheckpointSeen, workers: int, runtime: Runtime) -> Checkpoint:
    """Open a checkpoint, as an intent names it, for the workers of so many partitions (`partitions`).

    Raises:
        DataRejected: the table is not there any more.
    """
    if (at := version(place(runtime))) is None or at < seen.version:
        raise _gone(runtime, f"the table has no version {seen.version}")
    project, view = runtime.project, runtime.project.view
    schema = checkpoint_schema(view, project.tables)
    read = open_checkpoint(place(runtime), seen.version, seen.day, workers, min(workers, seen.buckets), schema)
    resumed = Resumed(day_number(seen.day), seen.batch, frozenset(seen.kinds), read, workers, seen.members)
    changes = read_feed(seen.changes, runtime) if seen.changes else None
    return Checkpoint(resumed, changes)


def kept_beside(step: StageDates, runtime: Runtime) -> KeptBeside | None:
    """Where the checkpoints that a stage batch keeps are written."""
    if step.tiles is None or not step.tiles.kept_on:
        return None
    schema = checkpoint_schema(runtime.project.view, runtime.project.tables)
    return beside(place(runtime), schema, step.tiles.kept_on)


@contextmanager
def checkpoints_there(runtime: Runtime) -> Iterator[None]:
    """Raise that a checkpoint's files are gone as what it is.

    Raises:
        DataRejected: the next batch goes on from another, or from nothing.
    """

    def refusal(found: re.Match[str]) -> DataRejected | None:
        ours = name_in_store(place(runtime)) in found.string
        return _gone(runtime, f"a file of it is not there ({found[0]})") if ours else None

    with versions_kept(refusal):
        yield


def _gone(runtime: Runtime, why: str) -> DataRejected:
    view = runtime.project.view.name
    return DataRejected(
        "checkpoint_gone",
        f"A checkpoint of {view} cannot be read: {why}.",
        remedy="Run the job again: it computes from the log of tiles instead. Nothing was written. Let VACUUM keep "
        "what is younger than the last run.",
        facts={"view": view},
    )


def _power(wanted: float) -> int:
    """The least power of two that is not less."""
    return 1 << max(0, ceil(log2(max(1.0, wanted))))
