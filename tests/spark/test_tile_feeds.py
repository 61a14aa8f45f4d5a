"""What happens to stored tiles when the definitions change, or what they would be kept up by is gone."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from tests.lakes import say_published, with_long_visits
from tests.plans import moved
from tests.spark.test_stored_tiles import FIRST, HISTORY, KEYS, USERS, Died, Lake, Silver, naive

from headwater.errors import DataRejected
from headwater.features.increment import Stored, stored_records, wanted_parts
from headwater.features.kernel import Span, day_number
from headwater.pipelines.backfill import plan_backfill
from headwater.pipelines.pipeline import run_stage
from headwater.pipelines.run import run_plan
from headwater.pipelines.steps import Runtime, StageDates, UpdateTiles
from headwater.pipelines.tiles import tile_log
from headwater.tables.delta import version
from headwater.tables.feed import only_adds


def first_day(lake: Lake, silver: Silver) -> None:
    runtime = lake.runtime(FIRST)
    silver.late = HISTORY
    lake.take(silver, FIRST, runtime)
    run_stage(runtime)
    say_published(runtime)


def refused(runtime: Runtime) -> DataRejected:
    """What a run is refused for; its batch of the log is closed then."""
    with pytest.raises(ExceptionGroup) as caught:
        run_stage(runtime)
    (error,) = caught.value.exceptions
    assert isinstance(error, DataRejected)
    assert runtime.ledger.stream(runtime.stream("tiles", runtime.project.view.name)).open is None
    return error


def overflows(*_: object) -> None:
    message = "[ARITHMETIC_OVERFLOW] long overflow."
    raise PySparkException(message)


def test_what_cannot_be_taken_up_is_refused_and_a_feed_that_is_gone_begun_anew(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, silver = Lake(spark, tmp_path / "lake"), Silver(Random(2))
    first_day(lake, silver)
    before = {table: version(lake.project.path("silver", table)) for table in KEYS}
    day = FIRST + timedelta(days=1)
    runtime = lake.runtime(day)
    lake.take(silver, day, runtime)
    corrected = {table for table in KEYS if (Path(lake.project.path("silver", table)) / "_change_data").exists()}
    for table, after in before.items():
        location = lake.project.path("silver", table)
        assert only_adds(location, after, after=0)
        assert only_adds(location, version(location), after=after) == (table not in corrected)
    with monkeypatch.context() as patched:
        patched.setattr("headwater.pipelines.tiles.append_rows_once", overflows)
        assert refused(runtime).code == "value_out_of_range"
    gone = min(corrected)
    shutil.rmtree(Path(lake.project.path("silver", gone)) / "_change_data")
    error = refused(runtime)
    assert (error.code, error.facts["tables"]) == ("change_feed_gone", [gone])
    assert f"{gone} {before[gone] + 1} .. {version(lake.project.path('silver', gone))}" in error.message
    run_stage(runtime)
    for at, rows in lake.staged().items():
        assert rows == naive(silver, at), at


def test_what_a_batch_was_to_be_computed_from_may_be_gone_when_it_is_done(spark: SparkSession, tmp_path: Path) -> None:
    """A run died, and VACUUM came before the next one; then somebody deletes the log of tiles."""
    lake, silver = Lake(spark, tmp_path / "lake"), Silver(Random(4))
    first_day(lake, silver)
    runtime = lake.runtime(FIRST + timedelta(days=1))
    lake.take(silver, runtime.run_date, runtime)
    with pytest.raises(ExceptionGroup):
        run_stage(replace(runtime, failpoint=dies))
    customers = DeltaTable(lake.project.path("silver", "customers"))
    customers.optimize.compact()
    customers.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    refusal = refused(runtime)
    assert (refusal.code, refusal.message.count("silver.customers")) == ("version_gone", 1)
    run_stage(runtime)
    say_published(runtime)
    runtime = lake.runtime(FIRST + timedelta(days=2))
    lake.take(silver, runtime.run_date, runtime)
    with pytest.raises(ExceptionGroup):
        run_stage(replace(runtime, failpoint=dies))
    shutil.rmtree(lake.project.path("tiles", lake.project.view.name))
    assert refused(runtime).code == "version_gone"
    run_stage(runtime)
    for at, rows in lake.staged().items():
        assert rows == naive(silver, at), at
    for stage in ("tiles", "stage"):
        assert runtime.ledger.stream(runtime.stream(stage, lake.project.view.name)).open is None


def dies(name: str) -> None:
    if name.startswith("stage:") and name.endswith(":begun"):
        raise Died(name)


def test_one_more_feature_changes_no_other(spark: SparkSession, tmp_path: Path) -> None:
    lake, silver = Lake(spark, tmp_path / "lake"), Silver(Random(3))
    first_day(lake, silver)
    before = lake.staged()
    features = [each.name for each in lake.project.view.aggregates]
    lake.project = with_long_visits(lake.project)
    runtime = replace(lake.runtime(FIRST), project=lake.project)
    _, tiles, stage = plan_backfill(runtime, min(before), max(before), 10**6)
    (planned,) = tiles.steps
    assert isinstance(planned.step, UpdateTiles)
    assert [change.table for change in planned.step.changes] == ["user_behavior"]
    run_plan(tiles, runtime)
    *_, stage = plan_backfill(runtime, min(before), max(before), 10**6)
    run_plan(stage, runtime)
    place = [each.name for each in lake.project.view.aggregates].index("long_visit_count_7d")
    after = lake.staged()
    assert without(after, place) == before
    assert len(features) == len(lake.project.view.aggregates) - 1
    assert {row[place] for rows in after.values() for row in rows.values()} > {0}
    scanned_once(spark, runtime)
    say_published(runtime)
    goes_on_over_files_of_both(lake, silver, place)


def test_a_backfill_goes_on_from_month_to_month(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many workers what was kept by few, and the other way round."""
    lake, silver = Lake(spark, tmp_path / "lake"), Silver(Random(5))
    first_day(lake, silver)
    runtime, last = lake.runtime(FIRST), min(lake.staged()) - timedelta(days=1)
    first, went_on, workers = date(2023, 12, 30), [], []
    while (planned := plan_backfill(runtime, first, last, 31 * len(USERS))[-1]).steps:
        (step,) = (each.step for each in planned.steps)
        assert isinstance(step, StageDates)
        assert step.tiles is not None
        monkeypatch.setattr("headwater.pipelines.checkpoints._AT_LEAST", {2: 8, 8: 4}.get(step.tiles.buckets, 2))
        workers.append(step.tiles.buckets)
        went_on.append(step.tiles.checkpoint and step.tiles.checkpoint.day)
        run_plan(planned, runtime)
        say_published(runtime)
        staged = lake.staged()
        assert tuple(sorted(staged)) == step.dates
        for at, rows in staged.items():
            assert rows == naive(silver, at), at
    assert went_on == [None, date(2023, 12, 31), date(2024, 1, 31)]
    assert workers == [2, 8, 4]


def goes_on_over_files_of_both(lake: Lake, silver: Silver, place: int) -> None:
    """The day after: tiles of the other tables were written with fewer columns."""
    day, silver.late = FIRST + timedelta(days=1), (0,)
    runtime = lake.runtime(day)
    lake.take(silver, day, runtime)
    run_stage(runtime)
    stage = runtime.ledger.stream(runtime.stream("stage", lake.project.view.name)).commits[-1]
    step = StageDates.model_validate(stage.payload)
    assert step.tiles is not None
    assert step.tiles.checkpoint is not None
    for at, rows in without(lake.staged(), place).items():
        assert rows == naive(silver, at), at


def scanned_once(spark: SparkSession, runtime: Runtime) -> None:
    """The log is read by one scan, and of it the months of each set's windows."""
    sets, location = tile_log(runtime).sets, runtime.project.path("tiles", runtime.project.view.name)
    log = spark.read.format("delta").load(location)
    span = Span(day_number(FIRST), day_number(FIRST))
    stored = Stored(log, {each.tiles.kind: each.id for each in sets}, buckets=2)
    parts = wanted_parts(stored.kinds, [each.tiles for each in sets], None, span)
    (scanned,) = moved(stored_records(stored, log, parts, "user_id")).scanned
    files = pa.table(DeltaTable(location).get_add_actions(flatten=True)).to_pylist()
    within = {}
    for each in sets:
        window = each.tiles.longest_window
        within[each.id] = date.min if window is None else (FIRST - timedelta(days=window - 1)).replace(day=1)
    ours = [file for file in files if file["partition._tiles"] in within]
    needed = [file for file in ours if file["partition._month"] >= within[file["partition._tiles"]]]
    assert scanned <= sum(file["size_bytes"] for file in needed)
    assert len(needed) < len(ours) < len(files)


def without(
    staged: Mapping[date, Mapping[str, tuple[object, ...]]], place: int
) -> dict[date, dict[str, tuple[object, ...]]]:
    """All features but one."""
    return {day: {who: row[:place] + row[place + 1 :] for who, row in rows.items()} for day, rows in staged.items()}
