"""Which changes of silver a run takes up into the log of tiles: by the ledger and the tables' logs alone."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake
from tests.lakes import say_published, with_long_visits

from headwater.config.tables import ColumnSpec
from headwater.errors import ConfigError, DataRejected
from headwater.pipelines import run
from headwater.pipelines.backfill import plan_backfill
from headwater.pipelines.explain import describe
from headwater.pipelines.increment import tiles_for
from headwater.pipelines.steps import (
    REJECTED,
    PlannedStep,
    Runtime,
    StageDates,
    TileChanges,
    TilesSeen,
    UpdateTiles,
    to_payload,
)
from headwater.pipelines.tiles import plan_tiles, tile_log
from headwater.tables.feed import table_id

DAY = date(2024, 1, 1)
TABLES = ("support_tickets", "transactions", "user_behavior")


def silver(runtime: Runtime, tables: Iterable[str] = TABLES) -> None:
    """One more version of each table."""
    for table in tables:
        write_deltalake(runtime.project.path("silver", table), pa.table({"x": [1]}), mode="append")


def planned(runtime: Runtime) -> PlannedStep:
    (found,) = plan_tiles(runtime).steps
    return found


def changes(runtime: Runtime) -> tuple[TileChanges, ...]:
    step = planned(runtime).step
    assert isinstance(step, UpdateTiles)
    return step.changes


def take_up(runtime: Runtime) -> None:
    """Do what is planned, as far as the ledger can tell."""
    work = planned(runtime)
    begun = runtime.ledger.begin(work.stream, to_payload(work.step))
    facts = {"tiles_version": begun.n, "taken_back": [], "rows": 1, "table": table_id(log_of(runtime))}
    runtime.ledger.commit(begun, facts)


def log_of(runtime: Runtime) -> str:
    return runtime.project.path("tiles", runtime.project.view.name)


def ids(runtime: Runtime) -> dict[str, str]:
    return {each.table: each.id for each in tile_log(runtime).sets}


def seen(runtime: Runtime) -> TilesSeen | None:
    """What a stage batch of the day would take from the log."""
    return tiles_for(runtime, [DAY], [], {"customers": 0})


def refuse(runtime: Runtime, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what is planned, and fail."""

    def refuses(*_: object) -> None:
        raise DataRejected(code, "it cannot be")

    with monkeypatch.context() as patched:
        patched.setattr("headwater.pipelines.run._execute", refuses)
        with pytest.raises(DataRejected):
            run._run_step(planned(runtime), runtime, session=None)


@pytest.fixture
def runtime(runtime: Runtime) -> Runtime:
    """Tiles are stored from the first byte on; the dimension is there."""
    silver(runtime, ["customers"])
    environment = runtime.project.environment.model_copy(update={"tiles_from_mb": 0})
    return replace(runtime, project=replace(runtime.project, environment=environment))


def test_what_is_new_is_taken_up_once(runtime: Runtime) -> None:
    silver(runtime)
    assert [(each.table, each.after, each.upto) for each in changes(runtime)] == [
        ("transactions", None, 0),
        ("user_behavior", None, 0),
        ("support_tickets", None, 0),
    ]
    take_up(runtime)
    assert plan_tiles(runtime).steps == ()
    silver(runtime, ["transactions"])
    assert [(each.table, each.after, each.upto) for each in changes(runtime)] == [("transactions", 0, 1)]


def test_a_log_that_was_begun_is_kept_up_without_asking_for_sizes(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    silver(runtime)
    large = runtime.project.environment.model_copy(update={"tiles_from_mb": 256})
    small = replace(runtime, project=replace(runtime.project, environment=large))
    assert plan_tiles(small).steps == ()
    take_up(runtime)
    silver(runtime)
    monkeypatch.setattr("headwater.pipelines.tiles.size_in_bytes", lambda _: pytest.fail("asked for a size"))
    assert len(changes(small)) == len(TABLES)


def test_a_column_that_no_feature_reads_changes_no_tiles(runtime: Runtime) -> None:
    before = ids(runtime)
    tables = {
        name: contract.model_copy(
            update={"columns": (*contract.columns, ColumnSpec(name="note", type="string", nullable=True))}
        )
        for name, contract in runtime.project.tables.items()
    }
    assert ids(replace(runtime, project=replace(runtime.project, tables=tables))) == before


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("transactions", "amount"),
        ("transactions", "user_id"),
        ("transactions", "transaction_date"),
        ("user_behavior", "event_type"),
        ("support_tickets", "resolved_date"),
    ],
    ids=["value", "entity", "event time", "condition", "available"],
)
def test_another_type_of_a_column_that_is_read_is_another_tile(runtime: Runtime, table: str, column: str) -> None:
    before, contract = ids(runtime), runtime.project.tables[table]
    columns = [
        each.model_copy(update={"type": "decimal(18,4)"}) if each.name == column else each for each in contract.columns
    ]
    assert columns != list(contract.columns)
    wider = contract.model_copy(update={"columns": tuple(columns)})
    after = ids(replace(runtime, project=replace(runtime.project, tables={**runtime.project.tables, table: wider})))
    assert {each for each in before if after[each] != before[each]} == {table}


def test_an_entity_of_another_name_has_other_tiles(runtime: Runtime) -> None:
    """The log has a column of its name, in which the old ones have nothing."""
    before = ids(runtime)
    renamed = runtime.project.view.model_copy(update={"entity": "customer"})
    after = ids(replace(runtime, project=replace(runtime.project, view=renamed)))
    assert not set(before.values()) & set(after.values())


def test_an_entity_of_another_type_is_refused(runtime: Runtime) -> None:
    silver(runtime)
    place = runtime.project.path("tiles", runtime.project.view.name)
    write_deltalake(place, pa.table({runtime.project.view.entity: ["ann"]}))
    assert plan_tiles(runtime).steps
    shutil.rmtree(place)
    write_deltalake(place, pa.table({runtime.project.view.entity: [7]}))
    with pytest.raises(ConfigError) as caught:
        plan_tiles(runtime)
    assert caught.value.code == "type_changed"
    assert "bigint" in caught.value.message


def test_a_new_feature_builds_the_tiles_of_its_own_table_only(runtime: Runtime) -> None:
    silver(runtime)
    take_up(runtime)
    before = ids(runtime)
    runtime = replace(runtime, project=with_long_visits(runtime.project))
    assert {table for table, each in ids(runtime).items() if before[table] != each} == {"user_behavior"}
    assert [(each.table, each.after) for each in changes(runtime)] == [("user_behavior", None)]


def test_a_batch_whose_values_do_not_fit_is_closed_and_planned_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    silver(runtime)
    take_up(runtime)
    silver(runtime, ["transactions"])
    wanted = changes(runtime)
    for n in (1, 2):
        refuse(runtime, "value_out_of_range", monkeypatch)
        state = runtime.ledger.stream(runtime.stream("tiles", runtime.project.view.name))
        assert (state.open, state.last_n) == (None, n + 1)
        assert REJECTED in state.commits[-1].facts
        assert changes(runtime) == wanted
        found = seen(runtime)
        assert found is not None
        assert (found.batch, found.silver["transactions"]) == (1, 0)


def test_a_log_that_holds_nothing_yet_is_none(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    silver(runtime)
    refuse(runtime, "value_out_of_range", monkeypatch)
    assert seen(runtime) is None
    assert {each.after for each in changes(runtime)} == {None}


def test_after_a_feed_is_gone_its_tiles_are_built_anew(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    silver(runtime)
    take_up(runtime)
    before = ids(runtime)
    silver(runtime, ["transactions"])
    refuse(runtime, "change_feed_gone", monkeypatch)
    assert [(each.table, each.after, each.upto) for each in changes(runtime)] == [("transactions", None, 1)]
    after = ids(runtime)
    assert {table for table in TABLES if after[table] != before[table]} == {"transactions"}
    take_up(runtime)
    assert plan_tiles(runtime).steps == ()
    silver(runtime, ["transactions"])
    assert [(each.table, each.after, each.upto) for each in changes(runtime)] == [("transactions", 1, 2)]


def test_a_table_that_was_made_anew_has_other_tiles(runtime: Runtime) -> None:
    """Whatever its version: the changes after what was taken up are not those of the old table."""
    silver(runtime)
    silver(runtime, ["transactions"])
    take_up(runtime)
    shutil.rmtree(runtime.project.path("silver", "transactions"))
    silver(runtime, ["transactions"])
    for upto in (0, 1, 2):
        assert seen(runtime) is None
        assert [(each.table, each.after, each.upto) for each in changes(runtime)] == [("transactions", None, upto)]
        silver(runtime, ["transactions"])


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "made anew"])
def test_a_log_that_is_not_the_one_of_the_ledger_is_begun_anew(runtime: Runtime, *, again: bool) -> None:
    """Its tiles are others, which no checkpoint counts."""

    def log() -> None:
        write_deltalake(log_of(runtime), pa.table({runtime.project.view.entity: ["ann"]}))

    silver(runtime)
    log()
    take_up(runtime)
    before = ids(runtime)
    assert plan_tiles(runtime).steps == ()
    shutil.rmtree(log_of(runtime))
    if again:
        log()
    assert seen(runtime) is None
    assert {(each.table, each.after) for each in changes(runtime)} == {(table, None) for table in TABLES}
    assert not set(before.values()) & set(ids(runtime).values())
    planned_ids = [each.id for each in changes(runtime)]
    if not again:
        log()
    take_up(runtime)
    assert plan_tiles(runtime).steps == ()
    assert planned_ids == list(ids(runtime).values())


def test_a_log_that_outlives_its_ledger_is_begun_anew_once(runtime: Runtime) -> None:
    """Under ids of its own, for the tiles of before are there as well."""
    silver(runtime)
    stream = runtime.stream("tiles", runtime.project.view.name)
    last = CommitProperties(app_transactions=[Transaction(stream, 7)])
    write_deltalake(log_of(runtime), pa.table({runtime.project.view.entity: ["ann"]}), commit_properties=last)
    work, before = planned(runtime), ids(runtime)
    begun = runtime.ledger.begin(work.stream, to_payload(work.step), table_version=7)
    facts = {"tiles_version": 1, "taken_back": [], "rows": 1, "table": table_id(log_of(runtime))}
    runtime.ledger.commit(begun, facts)
    assert begun.n == 8
    assert ids(runtime) == before
    assert plan_tiles(runtime).steps == ()


def test_a_backfill_says_what_it_takes_up_first(runtime: Runtime) -> None:
    silver(runtime, (*TABLES, "customers"))
    _, tiles, stage = plan_backfill(runtime, DAY, DAY, 100)
    (line,) = describe(tiles)[1:]
    assert line.endswith("take up what changed in transactions, user_behavior, support_tickets")
    (planned,) = stage.steps
    assert isinstance(planned.step, StageDates)
    begun = runtime.ledger.begin(planned.stream, to_payload(planned.step))
    runtime.ledger.commit(begun, {"staged_version": 0, "rows": 1})
    say_published(runtime)
    assert [plan.steps for plan in plan_backfill(runtime, DAY, DAY, 100)] == [(), ()]


def test_a_backfill_takes_the_newest_slice_and_then_each_after_the_one_before(runtime: Runtime) -> None:
    silver(runtime, (*TABLES, "customers"))
    first, order = DAY - timedelta(days=9), []
    for _ in range(4):
        *_, stage = plan_backfill(runtime, first, DAY, 1)
        (planned,) = stage.steps
        assert isinstance(planned.step, StageDates)
        order.append(planned.step.dates)
        runtime.ledger.commit(runtime.ledger.begin(planned.stream, to_payload(planned.step)), {"staged_version": 0})
        say_published(runtime)
    (*_, newest), *others = order
    rest = [day for part in others for day in part]
    assert newest == DAY
    assert rest == [first + timedelta(days=each) for each in range(len(rest))]
