"""What every source promises, whatever it reads."""

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tests.e2e.sources.conftest import DAY, NOWHERE, T1, WRONG, FilesWorld

from headwater.errors import ConfigError, ExitCode, SourceResting, SourceUnavailable
from headwater.sources.base import FileList, Window, extent_from_json, extent_to_json

TEN_MINUTES = timedelta(minutes=10)


def read_ids(world: Any, spark: SparkSession, clock: datetime, done: list[Any]) -> list[str]:
    """Read the next batch and note its extent in `done`."""
    source = world.source(clock)
    extent = source.extent(done)
    if extent is None:
        return []
    with source.read(spark, extent) as extraction:
        done.append(extraction.extent)
        return world.ids(extraction.frame)


def test_batches_hold_every_record_once(world: Any, spark: SparkSession) -> None:
    done: list[Any] = []
    world.write([1, 2, 3], T1 - TEN_MINUTES)
    assert read_ids(world, spark, T1, done) == ["1", "2", "3"]
    world.write([4], T1 + DAY - TEN_MINUTES)
    assert read_ids(world, spark, T1 + DAY, done) == ["4"]
    assert read_ids(world, spark, T1 + 2 * DAY, done) == []


def test_an_extent_read_again_gives_the_same_rows(world: Any, spark: SparkSession) -> None:
    world.write([1, 2], T1 - TEN_MINUTES)
    extent = world.source().extent([])
    world.write([3], T1 + TEN_MINUTES)
    again = extent_from_json(extent_to_json(extent))
    for each in (extent, again):
        with world.source().read(spark, each) as extraction:
            assert world.ids(extraction.frame) == ["1", "2"]
            assert extraction.extent == extent
            assert extraction.counted in (2, None)


def test_looking_changes_nothing(world: Any) -> None:
    world.write([1], T1 - TEN_MINUTES)
    source = world.source()
    assert source.extent([]) == source.extent([])


def test_a_source_without_a_clock_asks_the_server(world: Any) -> None:
    world.write([1], T1)
    extent = world.source(clock=None).extent([])
    told = extent.instant if isinstance(extent, FileList) else extent.hi
    assert told.tzinfo is not None
    assert abs(told - datetime.now(UTC)) < timedelta(seconds=30)


def test_an_empty_source_is_no_error(world: Any, spark: SparkSession) -> None:
    assert read_ids(world, spark, T1, []) == []


def test_an_unreachable_server_is_tried_three_times(world: Any) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        world.at(NOWHERE).extent([])
    error = caught.value
    assert (error.code, error.exit_code) == ("data_source_unavailable", ExitCode.UNAVAILABLE)
    assert error.facts["where"] == NOWHERE
    assert error.facts["attempts"] == 3
    assert world.pauses == [1.0, 2.0]
    assert error.facts["source"] in error.message
    assert NOWHERE in error.message
    assert "\n" not in error.message


def test_a_server_that_never_answers_is_given_up(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.sources.bucket._READ_SECONDS", 1)
    world.attempts = 1
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnavailable) as caught:
            world.at(where).extent([])
    assert (caught.value.code, caught.value.facts["where"]) == ("connection_timeout", where)


def test_an_unreachable_server_is_named_when_reading_too_and_then_left_alone(world: Any, spark: SparkSession) -> None:
    source, extent = world.at(NOWHERE), FileList((), T1) if isinstance(world, FilesWorld) else Window(None, T1)
    with pytest.raises(SourceUnavailable) as caught, source.read(spark, extent):
        pytest.fail("opened")
    assert caught.value.facts["attempts"] == 3
    with pytest.raises(SourceResting) as refused:
        source.extent([])
    assert refused.value.facts["where"] == NOWHERE
    assert world.pauses == [1.0, 2.0]


def test_wrong_credentials_are_a_mistake_in_conf(world: Any) -> None:
    if isinstance(world, FilesWorld):
        world.demand_credentials(wanted=True)
    try:
        with pytest.raises(ConfigError) as caught:
            world.refused().extent([])
    finally:
        if isinstance(world, FilesWorld):
            world.demand_credentials(wanted=False)
    error = caught.value
    assert (error.code, error.exit_code) == ("authentication_failed", ExitCode.CONFIGURATION)
    assert error.facts["path"] == f"connections.{world.connection_name}"
    assert world.pauses == []
    assert WRONG not in f"{error} {error.facts} {error.__cause__}"


def test_a_missing_place_is_a_mistake_in_conf(world: Any) -> None:
    source, code, path = world.missing()
    with pytest.raises(ConfigError) as caught:
        source.extent([])
    assert caught.value.code == code
    assert caught.value.facts["path"] == path
    assert world.pauses == []


def test_a_plan_shows_no_secret(world: Any, spark: SparkSession) -> None:
    world.write([1], T1)
    source = world.source(T1)
    with source.read(spark, source.extent([])) as extraction:
        plan = extraction.frame._jdf.queryExecution().toString()
    assert world.stack.postgres.password not in plan
    assert "secret.key" not in plan
    assert "mongodb://" not in plan


def test_the_other_kind_of_extent_is_refused(world: Any, spark: SparkSession) -> None:
    extent = Window(None, T1) if isinstance(world, FilesWorld) else FileList((), T1)
    with pytest.raises(TypeError), world.source().read(spark, extent):
        pytest.fail("opened")
