"""Servers that die in the middle of a read, processes that wake too late, a disk that is full, a crowd on one source.

Each test does several of them at once, since a process of its own costs the start of a JVM; `make soak` does many more.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic
from urllib.parse import urlsplit

import pytest
from tests.e2e.conftest import ROOT, Published, run_job
from tests.e2e.proxy import Proxy, proxy
from tests.e2e.test_crash import PIPELINE, SHORT_LIVED, SOURCES, contents, copied, ledger_of, run, start

BRONZE = tuple(f"bronze/{source}" for source in SOURCES)
TIRELESS = 240


@pytest.fixture
def hasty(tmp_path: Path) -> Path:
    """A configuration whose leases run out in two seconds."""
    conf = Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))
    with (conf / "env" / "local.yaml").open("a") as environment:
        environment.write("lease_seconds: 2\n")
    return conf


def until(condition, what: str) -> None:
    deadline = monotonic() + TIRELESS
    while not condition():
        assert monotonic() < deadline, what
        Event().wait(0.05)


def stands_still(process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def between(published: Published) -> Iterator[dict[str, tuple[Proxy, dict[str, str]]]]:
    """A proxy before each server, and the variables that lead through it."""
    stack = published.site.stack
    mongo, s3 = urlsplit(stack.mongo_uri), urlsplit(stack.s3.endpoint)
    with (
        proxy(stack.postgres.host, stack.postgres.port) as sql,
        proxy(mongo.hostname, mongo.port) as documents,
        proxy(s3.hostname, s3.port) as files,
    ):
        address = stack.postgres.jdbc_url.replace(f":{stack.postgres.port}/", f":{sql.port}/")
        yield {
            "transactions": (sql, {"CRM_JDBC_URL": address}),
            "user_behavior": (documents, {"APP_MONGO_URI": f"mongodb://127.0.0.1:{documents.port}"}),
            "support_tickets": (files, {"DESK_S3_ENDPOINT": f"http://127.0.0.1:{files.port}"}),
        }


def test_a_server_that_dies_in_the_middle_of_a_read_is_read_again(
    published: Published,
    between: dict[str, tuple[Proxy, dict[str, str]]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here, lake = published.site, copied(published.before, tmp_path)
    for source, (link, variables) in between.items():
        arguments = ["--date", str(here.days[1]), "--source", source]
        environment = {**here.environment(lake, here.world.second_extraction), **variables}
        link.cut_after(30_000)
        assert run_job("extract_bronze", arguments, environment) == 4
        assert link.is_cut
        shown = capfd.readouterr()
        assert "data_source_unavailable" in shown.err
        assert "Traceback" not in shown.err
        link.heal()
        assert run_job("extract_bronze", arguments, environment) == 0
    names = tuple(f"bronze/{source}" for source in between)
    assert contents(lake, names) == contents(published.after, names)


def test_processes_that_wake_after_their_successors_are_refused(
    published: Published, jars: str, hasty: Path, tmp_path: Path
) -> None:
    lake = copied(published.before, tmp_path)
    points = {"transactions": "opened", "customers": "begun", "user_behavior": "written"}
    sleepers = {
        source: start(
            published, lake, jars, "extract_bronze", "--source", source, "--conf", str(hasty),
            dies_at=f"extract:{source}:{point}=stop",
        )
        for source, point in points.items()
    }  # fmt: skip
    try:
        for source, process in sleepers.items():
            until(lambda: stands_still(process), f"{source} never came to its point")  # noqa: B023 - called at once
            # Refused as long as the sleeper's lease lasts, then its batch is taken over.
            until(lambda: run(published, lake, "extract_bronze", "--source", source, conf=hasty) == 0, source)  # noqa: B023
    finally:
        for process in sleepers.values():
            process.send_signal(signal.SIGCONT)
    assert {source: process.wait() for source, process in sleepers.items()} == dict.fromkeys(points, 5)
    names = tuple(f"bronze/{source}" for source in points)
    assert contents(lake, names) == contents(published.after, names)
    for source in points:
        assert [commit.n for commit in ledger_of(lake).stream(f"{PIPELINE}/{source}/bronze").commits] == [1, 2]


def filled(published: Published, lake: Path, jars: str, room: int, tmp_path: Path, *job: str) -> int:
    """Run a job for D+1 where the lake's disk has little room; where a user may not mount one, files may not grow beyond it."""
    here = published.site
    variables = {
        **os.environ,
        **here.environment(tmp_path / "disk", here.world.second_extraction),
        "HEADWATER_JARS": jars,
        "PYTHONPATH": str(ROOT / "lib"),
        "JDK_JAVA_OPTIONS": SHORT_LIVED,
        # Of files only: folders take no room on a tmpfs.
        "USED": str(sum(each.stat().st_blocks * 512 for each in lake.rglob("*") if each.is_file())),
        "ROOM": str(room),
        "LAKE": str(lake),
        "DISK": str(tmp_path / "disk"),
    }
    command = [sys.executable, f"jobs/{job[0]}.py", "--date", str(here.days[1]), *job[1:]]
    mounted = """
        mount -t tmpfs -o size=$((USED + ROOM)) none "$DISK" && cp -r "$LAKE/." "$DISK" || exit 99
        "$@"; code=$?; rm -rf "$LAKE" && cp -r "$DISK" "$LAKE" || exit 98; exit $code"""
    limited = """rm -rf "$DISK" && mv "$LAKE" "$DISK" && ulimit -f $((ROOM / 1024 + 1))
        "$@"; code=$?; mv "$DISK" "$LAKE" || exit 98; exit $code"""
    (tmp_path / "disk").mkdir(exist_ok=True)
    may_mount = subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode == 0
    shell = ["unshare", "-rm", "bash", "-c", mounted] if may_mount else ["bash", "-c", limited]
    done = subprocess.run(
        [*shell, "bash", *command], cwd=ROOT, env=variables, check=False, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        assert "store_write_failed" in done.stderr, done.stdout + done.stderr
    return done.returncode


def test_a_full_disk_stops_a_job_and_room_lets_it_go_on(published: Published, jars: str, tmp_path: Path) -> None:
    lake = copied(published.before, tmp_path)
    jobs = [("extract_bronze", "--source", name) for name in SOURCES]
    for job in (jobs[0], ("build_silver",), ("build_gold",)):
        if job == ("build_silver",):
            assert [run(published, lake, *each) for each in jobs[1:]] == [0, 0, 0]
        assert filled(published, lake, jars, 40_000, tmp_path, *job) == 4, job
        assert run(published, lake, *job) == 0
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == contents(published.after)


def test_of_a_crowd_on_one_source_one_wins(published: Published, jars: str, tmp_path: Path) -> None:
    lake, rng = copied(published.before, tmp_path), Random(7)
    crowd = []
    for _ in range(3):
        crowd.append(start(published, lake, jars, "extract_bronze", "--source", "customers"))
        Event().wait(rng.random() * 2)
    codes = sorted(process.wait() for process in crowd)
    assert codes[0] == 0
    assert set(codes) <= {0, 5}
    assert contents(lake, ("bronze/customers",)) == contents(published.after, ("bronze/customers",))
    assert [commit.n for commit in ledger_of(lake).stream(f"{PIPELINE}/customers/bronze").commits] == [1, 2]
