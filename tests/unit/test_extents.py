"""Extents survive the ledger without loss, and consecutive windows neither overlap nor leave a gap."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from headwater.sources.base import FileList, FileObject, Window, extent_from_json, extent_to_json, next_window, settled
from headwater.sources.mongo import address, bounded_uri, pipeline

T = datetime(2025, 4, 1, 2, 0, 0, 123457, tzinfo=UTC)
FILE = FileObject('tickets/dt=2025-03-31/a "b",é.csv', "abc-2", 17, T)


@pytest.mark.parametrize(
    "extent",
    [Window(None, T), Window(T - timedelta(microseconds=1), T), FileList((FILE,), T), FileList((), T)],
    ids=["first", "window", "files", "no-files"],
)
def test_json_and_back_is_the_same(extent: Window | FileList) -> None:
    assert extent_from_json(extent_to_json(extent)) == extent


def test_equal_instants_of_two_zones_give_equal_text() -> None:
    elsewhere = T.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert extent_to_json(Window(None, elsewhere)) == extent_to_json(Window(None, T))


def test_the_next_window_starts_where_the_latest_ended() -> None:
    done = [Window(T, T + timedelta(days=2)), Window(None, T)]
    assert next_window(done, T + timedelta(days=3), watermark="w") == Window(done[0].hi, T + timedelta(days=3))


def test_a_clock_that_went_back_gives_an_empty_window() -> None:
    assert next_window([Window(None, T)], T - timedelta(days=1), watermark="w") == Window(T, T)


def test_without_a_watermark_every_window_is_everything() -> None:
    assert next_window([Window(None, T)], T + timedelta(days=1), watermark=None) == Window(None, T + timedelta(days=1))


def test_settling_leaves_out_the_latest_writes() -> None:
    assert settled(T, 300) == T - timedelta(seconds=300)


def test_mongo_rounds_both_ends_down_to_its_milliseconds() -> None:
    match = pipeline("w", Window(T, T + timedelta(microseconds=600)))[0]["$match"]
    lo, hi = "1743472800123", "1743472800124"
    assert match["$or"][0] == {"w": {"$gt": {"$date": {"$numberLong": lo}}, "$lte": {"$date": {"$numberLong": hi}}}}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://h:1", "mongodb://h:1/?serverSelectionTimeoutMS=3000&connectTimeoutMS=3000"),
        (
            "mongodb://u:p%40@a:1,b/?tls=true",
            "mongodb://u:p%40@a:1,b/?tls=true&serverSelectionTimeoutMS=3000&connectTimeoutMS=3000",
        ),
        ("mongodb://h/?connecttimeoutms=9", "mongodb://h/?connecttimeoutms=9&serverSelectionTimeoutMS=3000"),
    ],
    ids=["bare", "credentials", "own-limit"],
)
def test_mongo_waits_for_seconds_unless_told_otherwise(uri: str, expected: str) -> None:
    assert bounded_uri(uri) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://u:secret@a:1,b/db", "a:1,b:27017"),
        ("mongodb+srv://u:secret@cluster.example.net/db", "cluster.example.net"),
    ],
)
def test_an_address_holds_no_credentials(uri: str, expected: str) -> None:
    assert address(uri) == expected
