"""Which checkpoint a stage batch goes on from, and what it says: by the ledger and the logs of tables alone."""

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction, RemoveAction
from pyspark.errors import PySparkException
from pyspark.sql import types as T

from headwater.errors import DataRejected
from headwater.features.buckets import bucket_of
from headwater.features.stored import has_days, resumable
from headwater.features.windows import checkpoint_schema
from headwater.pipelines.checkpoints import checkpoints_there, kept_dates, open_seen
from headwater.pipelines.feeds import feeds_kept
from headwater.pipelines.gold import is_staged
from headwater.pipelines.increment import tiles_for
from headwater.pipelines.late import TableChanges
from headwater.pipelines.steps import (
    REJECTED,
    CheckpointSeen,
    ConformBatch,
    Runtime,
    StageDates,
    TileChanges,
    TilesSeen,
    UpdateTiles,
    to_payload,
)
from headwater.pipelines.tiles import tile_log
from headwater.tables.checkpoints import beside, kept_days, open_checkpoint
from headwater.tables.delta import Batch
from headwater.tables.feed import newest_alike, table_id
from headwater.tables.staging import _commit

DAY = date(2024, 1, 10)
PLACES = {"_day": pa.date32(), "_stage": pa.int32(), "_bucket": pa.int32()}
MEMBERS = 40


@pytest.fixture
def runtime(runtime: Runtime) -> Runtime:
    """Tiles of the present definitions are stored; the dimension has some members."""
    write_deltalake(runtime.project.path("silver", "customers"), people(MEMBERS))
    taken_up(runtime)
    return runtime


def people(count: int, since: date = date(2023, 5, 1), until: date | None = None) -> pa.Table:
    """Versions of a dimension."""
    until_at = datetime.combine(until, time(), UTC) if until else None
    at = pa.timestamp("us", "UTC")
    values = {"signup_date": (since, pa.date32()), "valid_from": (None, at), "valid_to": (until_at, at)}
    return pa.table({name: pa.array([value] * count, kind) for name, (value, kind) in values.items()})


def ids(runtime: Runtime) -> dict[int, str]:
    return {each.tiles.kind: each.id for each in tile_log(runtime).sets}


def taken_up(runtime: Runtime, back: tuple[str, ...] = ()) -> None:
    """A batch of the log, with tiles of the present definitions, that takes back events of some sets."""
    changes = tuple(
        TileChanges(id=each.id, table=each.table, origin=each.origin, after=None, upto=1)
        for each in tile_log(runtime).sets
    )
    step = UpdateTiles(view=runtime.project.view.name, run_date=DAY, changes=changes, silver_batches={})
    begun = runtime.ledger.begin(runtime.stream("tiles", step.view), to_payload(step))
    runtime.ledger.commit(begun, {"tiles_version": begun.n, "taken_back": [*back], "rows": 5_000_000})


def place(runtime: Runtime) -> str:
    return runtime.project.path("checkpoints", runtime.project.view.name)


def staged(runtime: Runtime, day: date, *, keeps: bool = True, code: str | None = None) -> None:
    """A stage batch of a day that keeps a checkpoint of it, or is refused for something."""
    view, population = runtime.project.view, runtime.project.path("silver", "customers")
    log = runtime.ledger.stream(runtime.stream("tiles", view.name))
    seen = TilesSeen(
        log="", version=1, batch=log.last_n, kinds=ids(runtime), silver={}, silver_batches={}, buckets=4,
        population=table_id(population) or "", kept_on=(day,),
    )  # fmt: skip
    step = StageDates(
        view=view.name, pipeline_version=view.pipeline_version, run_date=day, dates=(day,),
        versions={"customers": DeltaTable(population).version()}, silver_batches={"customers": 0}, tiles=seen,
    )  # fmt: skip
    begun = runtime.ledger.begin(runtime.stream("stage", view.name), to_payload(step))
    if keeps and code is None:
        values = {"_day": day, "_stage": begun.n, "_bucket": 0}
        columns = {name: pa.array([values[name]], kind) for name, kind in PLACES.items()}
        write_deltalake(
            place(runtime), pa.table({"user_id": ["ann"], **columns}), mode="append", partition_by=[*PLACES]
        )
    runtime.ledger.commit(begun, {"staged_version": 7} if code is None else {REJECTED: "why", "code": code})


def conformed(runtime: Runtime, rows: int, versions: pa.Table | None = None) -> None:
    """A batch of the dimension that changes some rows."""
    location = runtime.project.path("silver", "customers")
    write_deltalake(location, versions or people(1), mode="append")
    step = ConformBatch(table="customers", run_date=DAY, batches=(), contract="", layout="", versions={})
    begun = runtime.ledger.begin(runtime.stream("silver", "customers"), to_payload(step))
    facts = {"touched": {str(DAY): rows}, "silver_version": DeltaTable(location).version()}
    runtime.ledger.commit(begun, facts)


def seen(runtime: Runtime, *dates: date, repaired: tuple[date, ...] = ()) -> TilesSeen:
    versions = {"customers": DeltaTable(runtime.project.path("silver", "customers")).version()}
    found = tiles_for(runtime, dates, repaired, versions)
    assert found is not None
    return found


def goes_on(runtime: Runtime, *dates: date) -> CheckpointSeen:
    found = seen(runtime, *(dates or (DAY,))).checkpoint
    assert found is not None
    return found


def before(days: int) -> date:
    return DAY - timedelta(days=days)


def test_the_newest_day_before_the_dates_is_gone_on_from(runtime: Runtime) -> None:
    assert seen(runtime, DAY).checkpoint is None
    for days in (3, 2, 1):
        staged(runtime, before(days))
    found = seen(runtime, DAY, repaired=(before(2), before(1)))
    assert found.checkpoint is not None
    assert (found.checkpoint.day, found.checkpoint.version, found.checkpoint.batch) == (before(1), 2, 1)
    assert found.checkpoint.kinds == tuple(each.kind for each in resumable(runtime.project.view))
    assert found.repaired_from is not None
    assert (found.repaired_from.day, found.repaired_from.members) == (before(3), False)
    assert seen(runtime, before(3)).checkpoint is None


def test_a_batch_that_has_kept_its_own_is_staged_from_the_same_input(runtime: Runtime) -> None:
    """Though the table of checkpoints has one more version by that."""
    staged(runtime, before(1))
    stream = runtime.stream("stage", runtime.project.view.name)
    last = StageDates.model_validate(runtime.ledger.stream(stream).commits[-1].payload)
    step = last.model_copy(update={"dates": (DAY,), "tiles": seen(runtime, DAY)})
    runtime.ledger.commit(runtime.ledger.begin(stream, to_payload(step)), {"staged_version": 7})
    write_deltalake(place(runtime), DeltaTable(place(runtime)).to_pyarrow_table(), mode="append")
    again = seen(runtime, DAY)
    assert again != step.tiles
    assert is_staged(runtime.ledger.stream(stream), step.model_copy(update={"tiles": again, "run_date": before(0)}))
    assert again.checkpoint is not None
    other = again.model_copy(update={"checkpoint": again.checkpoint.model_copy(update={"batch": 9})})
    assert not is_staged(runtime.ledger.stream(stream), step.model_copy(update={"tiles": other}))


def test_only_what_a_committed_batch_has_kept_counts(runtime: Runtime) -> None:
    """The table may hold days of a batch that was refused later, or whose writer kept nothing."""
    staged(runtime, before(3))
    staged(runtime, before(2), keeps=False)
    assert goes_on(runtime).day == before(3)
    stray = {"_day": before(1), "_stage": 9, "_bucket": 0}
    columns = {name: pa.array([stray[name]], kind) for name, kind in PLACES.items()}
    write_deltalake(place(runtime), pa.table({"user_id": ["ann"], **columns}), mode="append")
    assert goes_on(runtime).day == before(3)


def test_after_a_checkpoint_was_gone_only_later_ones_count(runtime: Runtime) -> None:
    staged(runtime, before(3))
    staged(runtime, before(2), code="checkpoint_gone")
    assert seen(runtime, DAY).checkpoint is None
    staged(runtime, before(1))
    assert goes_on(runtime).day == before(1)


def test_tiles_that_are_built_anew_are_counted_from_their_beginning(runtime: Runtime) -> None:
    """With them comes all of history as new, which the checkpoint of the old ones holds as well."""
    staged(runtime, before(1))
    contract = runtime.project.tables["transactions"]
    columns = [
        column.model_copy(update={"type": "decimal(18,4)"}) if column.name == "amount" else column
        for column in contract.columns
    ]
    tables = {**runtime.project.tables, "transactions": contract.model_copy(update={"columns": tuple(columns)})}
    runtime = replace(runtime, project=replace(runtime.project, tables=tables))
    taken_up(runtime)
    found = goes_on(runtime)
    sets = resumable(runtime.project.view)
    assert found.kinds == tuple(each.kind for each in sets if each.group.table != "transactions")


def test_days_of_events_that_were_taken_back_are_not_gone_on_from(runtime: Runtime) -> None:
    staged(runtime, before(2))
    with_days = {each.id for each in tile_log(runtime).sets if has_days(each.tiles)}
    taken_up(runtime, tuple(with_days))
    found = goes_on(runtime)
    assert {ids(runtime)[kind] for kind in found.kinds} == set(ids(runtime).values()) - with_days
    staged(runtime, before(1))
    found = goes_on(runtime)
    assert set(found.kinds) == set(ids(runtime))


@pytest.mark.parametrize(("days", "dates", "tables"), [
    (1, 1, {"transactions", "user_behavior", "support_tickets"}),
    # Of transactions the days since are read three times, or those of the dates and a window of 30 once.
    (9, 1, {"transactions", "user_behavior", "support_tickets"}),
    (10, 1, {"user_behavior", "support_tickets"}),
    (1, 15, {"user_behavior", "support_tickets"}),
    (40, 1, {"user_behavior"}),
])  # fmt: skip
def test_a_set_goes_on_where_that_reads_fewer_days(runtime: Runtime, days: int, dates: int, tables: set[str]) -> None:
    staged(runtime, before(days))
    found = goes_on(runtime, *(DAY + timedelta(days=each) for each in range(dates)))
    by_kind = {each.tiles.kind: each.table for each in tile_log(runtime).sets}
    assert {by_kind[kind] for kind in found.kinds} == tables


def test_members_are_known_while_few_have_changed(runtime: Runtime) -> None:
    staged(runtime, before(1))
    assert goes_on(runtime) == goes_on(runtime).model_copy(update={"members": True, "changes": None})
    conformed(runtime, MEMBERS // 10)
    found = goes_on(runtime)
    assert found.changes is not None
    assert (found.members, found.changes.after, found.changes.upto) == (True, 0, 1)
    conformed(runtime, 1)
    assert not goes_on(runtime).members


def test_members_are_known_for_a_week(runtime: Runtime) -> None:
    staged(runtime, before(1))
    later = replace(runtime, clock=lambda: datetime.now(UTC) + timedelta(days=6, hours=1))
    assert (goes_on(runtime).members, goes_on(later).members) == (True, False)


def test_members_of_a_table_made_anew_are_not_known(runtime: Runtime) -> None:
    location = runtime.project.path("silver", "customers")
    staged(runtime, before(1))
    assert goes_on(runtime).members
    shutil.rmtree(location)
    write_deltalake(location, people(MEMBERS))
    assert not goes_on(runtime).members


@pytest.mark.parametrize(("of", "day", "known"), [
    ("since", date(2024, 1, 9), True), ("since", date(2024, 1, 10), False),
    ("until", date(2024, 1, 9), True), ("until", date(2024, 1, 11), False),
])  # fmt: skip
def test_members_are_not_known_where_a_known_version_turns_later(
    runtime: Runtime, of: str, day: date, known: bool
) -> None:
    conformed(runtime, 1, people(1, **{of: day}))
    staged(runtime, before(1))
    assert goes_on(runtime).members == known
    # What came since is in the feed.
    conformed(runtime, 1, people(1, since=DAY))
    assert goes_on(runtime).members == known


def test_members_are_not_known_where_files_say_nothing(runtime: Runtime) -> None:
    location = runtime.project.path("silver", "customers")
    table = DeltaTable(location)
    table.create_write_transaction([AddAction("x.parquet", 1, {}, 0, True, "{}")], mode="append", schema=table.schema())
    staged(runtime, before(1))
    assert not goes_on(runtime).members


def test_members_are_asked_for_anew_after_their_feed_was_gone(runtime: Runtime) -> None:
    staged(runtime, before(2))
    staged(runtime, before(1), code="change_feed_gone")
    assert not goes_on(runtime).members
    staged(runtime, before(1))
    assert goes_on(runtime).members


def test_buckets_follow_from_what_there_is(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 million records of the log three make four partitions; of a checkpoint's four the two that 40 members need."""
    assert seen(runtime, DAY).buckets == 4
    staged(runtime, before(1))
    assert seen(runtime, DAY).buckets == 2
    # And once they are many more of them than it was kept in.
    monkeypatch.setattr("headwater.pipelines.checkpoints._ENTITIES", 3)
    assert seen(runtime, DAY).buckets == 16


@pytest.mark.parametrize("workers", [1, 2, 4, 16])
def test_every_worker_finds_its_own_of_a_checkpoint(runtime: Runtime, workers: int) -> None:
    """In a file of its own, in several, or in one that it shares with others."""
    who = pa.array([f"U{number:04}" for number in range(200)])
    states = pa.table({"who": who, "n": pa.array(range(200))})
    for bucket in range(4):
        ours = states.filter(pa.array(bucket_of(who, 4) == bucket)).sort_by("who")
        values = {"_day": DAY, "_stage": 1, "_bucket": bucket}
        for name, kind in PLACES.items():
            ours = ours.append_column(name, pa.array([values[name]] * len(ours), kind))
        write_deltalake(place(runtime), ours, mode="append", partition_by=[*PLACES])
    schema = T.StructType([T.StructField("who", T.StringType()), T.StructField("n", T.LongType())])
    read = open_checkpoint(place(runtime), 3, DAY, workers, min(workers, 4), schema)
    for bucket in range(workers):
        expected = states.filter(pa.array(bucket_of(who, workers) == bucket)).sort_by("who")
        assert read(bucket).to_pydict() == expected.to_pydict()


def test_the_last_day_and_the_ends_of_months_are_kept(runtime: Runtime) -> None:
    dates = [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 5)]
    assert kept_dates(runtime, dates) == (date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 5))
    assert kept_dates(runtime, dates[:1]) == (date(2024, 1, 30),)
    assert kept_dates(runtime, []) == ()


def at(runtime: Runtime, lake: str) -> Runtime:
    """The same with its lake elsewhere."""
    environment = runtime.project.environment.model_copy(update={"lake": lake})
    return replace(runtime, project=replace(runtime.project, environment=environment))


@pytest.mark.parametrize(
    ("lake", "told"),
    [("s3a://bucket/a/lake", "bucket/a/lake"), ("./a/lake", f"{Path.cwd()}/a/lake"), ("/a/lake/", "/a/lake")],
)
def test_a_file_of_a_checkpoint_that_is_gone_is_told_by_a_worker(runtime: Runtime, lake: str, told: str) -> None:
    """Who knows the place without its scheme, or from the root on."""
    runtime = at(runtime, lake)
    for table in (f"checkpoints/{runtime.project.view.name}", "silver/customers"):
        message = f"FileNotFoundError: [Errno 2] Failed to open '{told}/{table}/_day=2024-01-09/x.parquet'"
        with pytest.raises((DataRejected, PySparkException)) as caught, feeds_kept([]), checkpoints_there(runtime):
            raise PySparkException(message)
        assert isinstance(caught.value, DataRejected) == table.startswith("checkpoints")


def test_a_server_that_does_not_answer_is_no_history_that_is_gone() -> None:
    """Though names of methods stand in the stack of Java's."""
    stack = "ConnectTimeoutException: s3\n\tat io.delta.SnapshotManagement.getLogSegmentForVersion(x.scala:7)"
    for text, gone in ((stack, False), ("No files in log segment", True), ("[DELTA_VERSION_NOT_CONTIGUOUS]", True)):
        change = TableChanges(table="customers", after=1, upto=2)
        with pytest.raises((DataRejected, PySparkException)) as caught, feeds_kept([change]):
            raise PySparkException(text)
        assert isinstance(caught.value, DataRejected) == gone


def test_files_of_the_log_that_were_put_together_are_read(runtime: Runtime) -> None:
    log = runtime.project.path("tiles", runtime.project.view.name)
    for n in range(3):
        write_deltalake(log, pa.table({"n": [n]}), mode="append")
    assert newest_alike(log, 2) == 2
    DeltaTable(log).optimize.compact()
    DeltaTable(log).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    found = newest_alike(log, 2)
    assert found == DeltaTable(log).version() > 2
    assert len(DeltaTable(log, version=found).to_pyarrow_table()) == 3
    write_deltalake(log, pa.table({"n": [3]}), mode="append")
    assert newest_alike(log, 2) == 2


def test_a_table_of_checkpoints_that_is_gone_is_told(runtime: Runtime) -> None:
    staged(runtime, before(1))
    found = goes_on(runtime)
    shutil.rmtree(place(runtime))
    with pytest.raises(DataRejected) as caught:
        open_seen(found, 2, runtime)
    assert caught.value.code == "checkpoint_gone"


def test_the_newest_days_and_the_ends_of_months_are_kept(runtime: Runtime) -> None:
    schema = checkpoint_schema(runtime.project.view, runtime.project.tables)
    days = [date(2023, 11, 29) + timedelta(days=each) for each in range(40)]
    kept: dict[date, int] = {}
    for n, day in enumerate(days, start=1):
        found = beside(place(runtime), schema, [day])
        assert found.outlived is not None
        by_path = {
            each["path"]: each["partition._day"]
            for each in pa.table(found.log.get_add_actions(flatten=True)).to_pylist()
        }
        gone = {by_path[path] for path in found.outlived}
        kept = {each: stage for each, stage in kept.items() if each not in gone} | {day: n}
        added = AddAction(
            f"{n}.parquet", 1, {"_day": str(day), "_stage": str(n), "_bucket": "0"}, 0, True, '{"numRecords": 1}'
        )
        removed = [RemoveAction(path, True, n) for path in found.outlived]
        _commit(found.log, [added, *removed], "append", found.table, Batch("stage", n))
        assert kept_days(place(runtime)) == kept
    assert set(kept) == {date(2023, 11, 30), date(2023, 12, 31), *days[-7:]}
    again = beside(place(runtime), schema, [days[-1]])
    assert again.outlived == [f"{len(days)}.parquet"]
    others = T.StructType([T.StructField("who", T.StringType()), *schema.fields[-3:]])
    assert beside(place(runtime), others, [DAY]).outlived is None
