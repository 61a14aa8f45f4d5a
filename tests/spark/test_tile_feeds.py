"""What happens to stored tiles when the definitions change, or what they would be kept up by is gone."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession
from tests.lakes import say_published, with_logins
from tests.spark.test_stored_tiles import FIRST, HISTORY, KEYS, Lake, Silver, naive

from headwater.errors import DataRejected
from headwater.pipelines.backfill import plan_backfill
from headwater.pipelines.pipeline import run_stage
from headwater.pipelines.run import run_plan
from headwater.pipelines.steps import UpdateTiles
from headwater.tables.delta import version
from headwater.tables.feed import only_adds


def first_day(lake: Lake, silver: Silver) -> None:
    runtime = lake.runtime(FIRST)
    silver.late = HISTORY
    lake.take(silver, FIRST, runtime)
    run_stage(runtime)
    say_published(runtime)


def test_a_feed_that_is_gone_is_refused_and_its_tiles_are_built_anew(spark: SparkSession, tmp_path: Path) -> None:
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
    gone = min(corrected)
    shutil.rmtree(Path(lake.project.path("silver", gone)) / "_change_data")
    with pytest.raises(ExceptionGroup) as caught:
        run_stage(runtime)
    (refused,) = caught.value.exceptions
    assert isinstance(refused, DataRejected)
    assert (refused.code, refused.facts["tables"]) == ("change_feed_gone", [gone])
    assert f"{gone} {before[gone] + 1} .. {version(lake.project.path('silver', gone))}" in refused.message
    run_stage(runtime)
    for at, rows in lake.staged(runtime).items():
        assert rows == naive(silver, at), at


def test_one_more_feature_changes_no_other(spark: SparkSession, tmp_path: Path) -> None:
    lake, silver = Lake(spark, tmp_path / "lake"), Silver(Random(3))
    first_day(lake, silver)
    before = lake.staged(lake.runtime(FIRST))
    features = [each.name for each in lake.project.view.aggregates]
    lake.project = with_logins(lake.project)
    runtime = replace(lake.runtime(FIRST), project=lake.project)
    _, tiles, stage = plan_backfill(runtime, min(before), max(before), 10**6)
    (planned,) = tiles.steps
    assert isinstance(planned.step, UpdateTiles)
    assert [change.table for change in planned.step.changes] == ["user_behavior"]
    run_plan(tiles, runtime)
    *_, stage = plan_backfill(runtime, min(before), max(before), 10**6)
    run_plan(stage, runtime)
    place = [each.name for each in lake.project.view.aggregates].index("login_count_7d")
    after = lake.staged(runtime)
    assert without(after, place) == before
    assert len(features) == len(lake.project.view.aggregates) - 1
    assert {row[place] for rows in after.values() for row in rows.values()} > {0}


def without(
    staged: Mapping[date, Mapping[str, tuple[object, ...]]], place: int
) -> dict[date, dict[str, tuple[object, ...]]]:
    """All features but one."""
    return {day: {who: row[:place] + row[place + 1 :] for who, row in rows.items()} for day, rows in staged.items()}
