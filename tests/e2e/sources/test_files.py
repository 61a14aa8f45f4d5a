"""CSV objects: every line is parsed or kept, and an object is read once for each content it has had."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pyspark.sql import Row, SparkSession
from tests.e2e.sources.conftest import T1, FilesWorld

from headwater.errors import ConfigError, DataRejected, ExitCode
from headwater.sources.base import FileList, Source

DAY_ONE = "tickets/dt=2025-03-30/tickets.csv"
DAY_TWO = "tickets/dt=2025-03-31/tickets.csv"
HEADER = "ticket_id,subject\n"


def read(source: Source, spark: SparkSession, done: list[FileList] | None = None) -> list[Row]:
    """Read the next batch and note its extent in `done`."""
    done = [] if done is None else done
    extent = source.extent(done)
    if extent is None:
        return []
    with source.read(spark, extent) as extraction:
        done.append(extraction.extent)
        return sorted(extraction.frame.collect(), key=lambda row: (row["_source_file"], row.ticket_id or ""))


def at_opening(number: int, act: Callable[[], None]) -> Callable[[str], None]:
    """Act when the bucket is opened for the given time: a read opens it to list, for headers, for Spark, to list."""
    opened = itertools.count(1)

    def asked(used_by: str) -> None:
        if used_by.endswith("access_key") and next(opened) == number:
            act()

    return asked


def test_columns_are_fields_key_groups_and_provenance(bucket: FilesWorld, spark: SparkSession) -> None:
    bucket.put(DAY_ONE, HEADER + '1,"a, ""b"""\n')
    before = datetime.now(UTC)
    source = bucket.source()
    with source.read(spark, source.extent([])) as extraction:
        assert set(extraction.frame.dtypes) == {(name, "string") for name in extraction.frame.columns}
        row = extraction.frame.collect()[0].asDict()
        (listed,) = extraction.extent.objects
    assert list(row) == ["ticket_id", "subject", "dump_date", "last_modified", "_corrupt_record", "_source_file"]
    modified = datetime.fromisoformat(row.pop("last_modified"))
    assert modified == listed.last_modified
    assert abs(modified - before) < timedelta(minutes=5)
    assert row == {
        "ticket_id": "1",
        "subject": 'a, "b"',
        "dump_date": "2025-03-30",
        "_corrupt_record": None,
        "_source_file": DAY_ONE,
    }


def test_line_ends_marks_and_blank_lines_leave_no_trace(bucket: FilesWorld, spark: SparkSession) -> None:
    lines = ["ticket_id,subject", "1,a", "", "2, b ", "   ", '3,"c"', "4,"]
    forms = list(itertools.product(["\n", "\r\n"], [True, False], ["", "\ufeff"]))
    for number, (line_end, ended, mark) in enumerate(forms):
        content = mark + line_end.join(lines) + (line_end if ended else "")
        bucket.put(f"tickets/dt=2025-03-30/{number}.csv", content)
    rows = read(bucket.source(), spark)
    expected = [("1", "a", None), ("2", " b ", None), ("3", "c", None), ("4", None, None)]
    assert [(row.ticket_id, row.subject, row["_corrupt_record"]) for row in rows] == expected * len(forms)


UNPARSABLE = [
    "1",
    "1,a,b",
    '1,"a',
    '1,a"',
    '"',
    ",,",
    "1," + "x," * 30_000,
    '1,"a","b"',
    "\uffff",
    "a,b\uffffc",
    "\uffffa,b",
]

PARSABLE = {
    "\x00a,b": ("\x00a", "b"),
    "\ufffea,b\ufffec": ("\ufffea", "b\ufffec"),
    "c,b\rc": ("c", "b\rc"),
    "#d,b": ("#d", "b"),
    "e\\,b": ("e\\", "b"),
    '"f\\","b"': ("f\\", "b"),
    "ticket_id,subject": ("ticket_id", "subject"),
    '"g",""': ("g", None),
    "NULL,nan": ("NULL", "nan"),
    '"h","a ""b"" c"': ("h", 'a "b" c'),
    " i , b ": (" i ", " b "),
    ",j": (None, "j"),
}


def test_every_line_is_parsed_or_kept_whole(bucket: FilesWorld, spark: SparkSession) -> None:
    lines = [line for pair in itertools.zip_longest(UNPARSABLE, PARSABLE) for line in pair if line is not None]
    bucket.put(DAY_ONE, HEADER + "".join(f"{line}\r\n" for line in lines))
    rows = read(bucket.source(), spark)
    assert {row["_corrupt_record"] for row in rows} - {None} == set(UNPARSABLE)
    assert {(row.ticket_id, row.subject) for row in rows if row["_corrupt_record"] is None} == set(PARSABLE.values())
    assert all((row.ticket_id, row.subject) == (None, None) for row in rows if row["_corrupt_record"] is not None)
    assert len(rows) == len(lines)


def test_a_replaced_object_is_read_again_and_an_equal_one_is_not(bucket: FilesWorld, spark: SparkSession) -> None:
    done: list[FileList] = []
    bucket.put(DAY_ONE, HEADER + "1,old\n")
    bucket.put(DAY_TWO, HEADER + "2,kept\n")
    assert [row.subject for row in read(bucket.source(), spark, done)] == ["old", "kept"]
    bucket.put(DAY_ONE, HEADER + "1,new\n")
    bucket.put(DAY_TWO, HEADER + "2,kept\n")
    assert [row.subject for row in read(bucket.source(), spark, done)] == ["new"]
    assert read(bucket.source(), spark, done) == []


def test_listings_of_many_pages_are_complete(bucket: FilesWorld) -> None:
    client = bucket.client()
    for number in range(1_001):
        client.put_object(Bucket=bucket.name, Key=f"tickets/dt=2025-03-30/{number:04}.csv", Body=b"any")
    assert len(bucket.source().extent([]).objects) == 1_001


@pytest.mark.parametrize("opening", [1, 2, 3, 4], ids=["before-list", "before-header", "before-spark", "after-spark"])
def test_an_object_that_changes_moves_to_the_next_batch(bucket: FilesWorld, spark: SparkSession, opening: int) -> None:
    bucket.put(DAY_ONE, HEADER + "1,a1\n")
    bucket.put(DAY_TWO, HEADER + "2,b1\n")
    source = bucket.source()
    extent = source.extent([])
    bucket.secrets_asked = at_opening(opening, lambda: bucket.put(DAY_ONE, HEADER + "1,a2\n3,a2\n"))
    with source.read(spark, extent) as extraction:
        assert [row.subject for row in extraction.frame.collect()] == ["b1"]
        assert [each.key for each in extraction.extent.objects] == [DAY_TWO]
        assert extraction.extent.instant == extent.instant
        assert extraction.facts["changed_objects"] == 1
        done = [extraction.extent]
    assert [row.subject for row in read(source, spark, done)] == ["a2", "a2"]


def test_an_object_that_shrinks_under_the_read_fails_nothing(bucket: FilesWorld, spark: SparkSession) -> None:
    bucket.put(DAY_ONE, HEADER + "1,long enough to be missed\n" * 1_000)
    source = bucket.source()
    extent = source.extent([])
    bucket.secrets_asked = at_opening(3, lambda: bucket.client().delete_object(Bucket=bucket.name, Key=DAY_ONE))
    with source.read(spark, extent) as extraction:
        assert extraction.frame.count() == 0
        assert extraction.extent.objects == ()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("ticket_id,title\n1,a\n", ["ticket_id", "title"]),
        ("subject,ticket_id\n", ["subject", "ticket_id"]),
        ("ticket_id,subject,extra\n", ["ticket_id", "subject", "extra"]),
        ("\nticket_id,subject\n", []),
        ("", []),
        ("1,a\n2,b\n", ["1", "a"]),
    ],
    ids=["renamed", "reordered", "added", "late", "empty", "none"],
)
def test_another_header_is_refused_with_the_difference(
    bucket: FilesWorld, spark: SparkSession, content: str, found: list[str]
) -> None:
    bucket.put(DAY_ONE, HEADER + "1,a\n")
    bucket.put(DAY_TWO, content)
    source = bucket.source()
    with pytest.raises(DataRejected) as caught, source.read(spark, source.extent([])):
        pytest.fail("opened")
    error = caught.value
    assert (error.code, error.exit_code, error.facts["key"]) == ("schema", ExitCode.REJECTED, DAY_TWO)
    assert (error.facts["declared"], error.facts["found"]) == (["ticket_id", "subject"], found)
    assert DAY_TWO in error.message


def test_a_quoted_header_is_the_same_header(bucket: FilesWorld, spark: SparkSession) -> None:
    bucket.put(DAY_ONE, '"ticket_id","subject"\r\n1,a\r\n')
    assert [row.ticket_id for row in read(bucket.source(), spark)] == ["1"]


def test_keys_of_other_patterns_are_counted_not_read(bucket: FilesWorld, spark: SparkSession) -> None:
    bucket.put(DAY_ONE, HEADER + "1,a\n")
    bucket.put("tickets/dt=2025-03-30/readme.txt", "hello")
    bucket.put("tickets/_SUCCESS", "")
    bucket.put("elsewhere/dt=2025-03-30/tickets.csv", "outside the prefix")
    source = bucket.source()
    with source.read(spark, source.extent([])) as extraction:
        assert extraction.frame.count() == 1
        assert extraction.facts == {"ignored_keys": 2, "changed_objects": 0, "read_objects": 1}


def test_keys_arrive_as_they_are(bucket: FilesWorld, spark: SparkSession) -> None:
    names = ["a b+c%20d", "[1]{a}*?#&", "é漢", "a:b=c", "a%2Bb%", "other1"]
    keys = {name: f"tickets/dt=2025-03-30/{name}.csv" for name in names}
    for name, key in keys.items():
        bucket.put(key, f"{HEADER}1,{name}\n")
    assert {row.subject: row["_source_file"] for row in read(bucket.source(), spark)} == keys


@pytest.mark.parametrize(
    "key", ["tickets/dt=2025-03-30/_t.csv", "tickets/dt=2025-03-30/.t.csv", "tickets//dt=2025-03-30/t.csv"]
)
def test_a_key_that_spark_would_pass_over_is_named(bucket: FilesWorld, key: str) -> None:
    bucket.put(key, HEADER + "1,a\n")
    with pytest.raises(ConfigError) as caught:
        bucket.source().extent([])
    assert (caught.value.code, caught.value.facts["key"]) == ("unreadable_key", key)


def test_the_rows_stay_as_read_while_the_context_is_open(bucket: FilesWorld, spark: SparkSession) -> None:
    bucket.put(DAY_ONE, HEADER + "1,read\n")
    source = bucket.source()
    with source.read(spark, source.extent([])) as extraction:
        bucket.put(DAY_ONE, HEADER + "1,late\n")
        assert [row.subject for row in extraction.frame.collect()] == ["read"]
        kept = extraction.frame
        assert kept.storageLevel.useDisk
    assert not kept.storageLevel.useDisk


def test_a_file_of_many_blocks_loses_no_line(bucket: FilesWorld, spark: SparkSession, tmp_path: Path) -> None:
    number = 60_000
    lines = "".join(f'{each},"subject, ""{each}"""\r\n' for each in range(number))
    bucket.put(DAY_ONE, HEADER.replace("\n", "\r\n") + lines)
    small = spark.newSession()
    small.conf.set("spark.sql.files.maxPartitionBytes", "100k")
    source = bucket.source()
    with source.read(small, source.extent([])) as extraction:
        assert extraction.frame.rdd.getNumPartitions() > 4
        row = extraction.frame.selectExpr(
            "count(*) c", "count(distinct ticket_id) d", "count(_corrupt_record) bad", "min(length(subject)) least"
        ).collect()[0]
    assert tuple(row) == (number, number, 0, 12)


def test_a_bucket_of_the_same_name_elsewhere_is_not_read_through_the_first(
    bucket: FilesWorld, spark: SparkSession
) -> None:
    bucket.put(DAY_ONE, HEADER + "1,here\n")
    assert [row.subject for row in read(bucket.source(), spark)] == ["here"]
    other = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    other.start()
    try:
        host, port = other.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        client.create_bucket(Bucket=bucket.name)
        there = bucket.open(T1, bucket.spec(), bucket.connection(endpoint=endpoint))
        client.put_object(Bucket=bucket.name, Key=DAY_ONE, Body=(HEADER + "1,there\n").encode())
        assert [row.subject for row in read(there, spark)] == ["there"]
    finally:
        other.stop()
    assert [row.subject for row in read(bucket.source(), spark)] == ["here"]
