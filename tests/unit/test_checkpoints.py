"""Which checkpoint a stage batch goes on from: by the ledger alone."""

from dataclasses import replace
from datetime import date, timedelta

from headwater.features.stored import resumable
from headwater.pipelines.steps import Runtime, StageDates, TileChanges, TilesSeen, UpdateTiles, to_payload
from headwater.pipelines.tiles import stored_sets, tiles_for

DAY = date(2024, 1, 1)


def ids(runtime: Runtime) -> dict[int, str]:
    return {each.tiles.kind: each.id for each in stored_sets(runtime)}


def taken_up(runtime: Runtime) -> None:
    """A batch of the log that builds the tiles of the present definitions."""
    changes = tuple(
        TileChanges(id=each.id, table=each.table, origin=each.origin, after=None, upto=1)
        for each in stored_sets(runtime)
    )
    step = UpdateTiles(view=runtime.project.view.name, run_date=DAY, changes=changes, silver_batches={})
    begun = runtime.ledger.begin(runtime.stream("tiles", step.view), to_payload(step))
    runtime.ledger.commit(begun, {"tiles_version": begun.n, "taken_back": []})


def staged(runtime: Runtime) -> None:
    """A stage batch of the day that keeps the states of every set."""
    view = runtime.project.view
    seen = TilesSeen(version=1, batch=1, kinds=ids(runtime), silver={}, silver_batches={}, keeps=True)
    step = StageDates(
        view=view.name, pipeline_version=view.pipeline_version, run_date=DAY, dates=(DAY,), versions={},
        silver_batches={}, tiles=seen,
    )  # fmt: skip
    begun = runtime.ledger.begin(runtime.stream("stage", view.name), to_payload(step))
    runtime.ledger.commit(begun, {"staged_version": 7})


def goes_on(runtime: Runtime) -> tuple[int, ...]:
    seen = tiles_for(runtime, [DAY + timedelta(days=1)], keeps=True)
    assert seen is not None
    return seen.checkpoint.kinds if seen.checkpoint else ()


def test_tiles_that_are_built_anew_are_counted_from_their_beginning(runtime: Runtime) -> None:
    """With them comes all of history as new, which the checkpoint of the old ones holds as well."""
    taken_up(runtime)
    staged(runtime)
    sets = resumable(runtime.project.view)
    assert goes_on(runtime) == tuple(each.kind for each in sets)
    table = "transactions"
    contract = runtime.project.tables[table]
    columns = [
        column.model_copy(update={"type": "decimal(18,4)"}) if column.name == "amount" else column
        for column in contract.columns
    ]
    wider = contract.model_copy(update={"columns": tuple(columns)})
    tables = {**runtime.project.tables, table: wider}
    runtime = replace(runtime, project=replace(runtime.project, tables=tables))
    taken_up(runtime)
    assert goes_on(runtime) == tuple(each.kind for each in sets if each.group.table != table)
