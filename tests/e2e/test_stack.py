"""The embedded servers speak their protocols, keep strangers out, and never outlive whoever started them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import boto3
import psutil
import psycopg
import pymongo
import pytest

from headwater.demo import servers
from headwater.demo.stack import Stack, start_stack
from headwater.errors import ConfigError

LIB = Path(__file__).parents[2] / "lib"
CLEAN_UP_SECONDS = 20.0
HOLDER = """
import signal, sys
from pathlib import Path
from headwater.demo.stack import start_stack
with start_stack(Path(sys.argv[1])):
    print("up", flush=True)
    signal.pause()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


def test_postgres_answers_a_real_client(stack: Stack) -> None:
    with psycopg.connect(stack.postgres.dsn) as connection:
        answer = connection.execute("SELECT current_setting('server_version_num')::int / 10000, now()").fetchone()
        zone = connection.execute("SHOW timezone").fetchone()
    assert answer is not None
    assert answer[0] == 16
    assert zone == ("UTC",)


def test_postgres_refuses_a_wrong_password(stack: Stack) -> None:
    wrong = stack.postgres.dsn.replace(stack.postgres.password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_mongo_keeps_documents_and_their_types(stack: Stack) -> None:
    with pymongo.MongoClient(stack.mongo_uri) as client:
        client.app.kept.insert_one({"_id": "B1", "nested": {"list": [1, 2.5, None]}})
        found = list(client.app.kept.aggregate([{"$project": {"document": "$$ROOT"}}]))
    assert found == [{"_id": "B1", "document": {"_id": "B1", "nested": {"list": [1, 2.5, None]}}}]


def test_s3_has_its_bucket_and_keeps_objects(stack: Stack) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=stack.s3.endpoint,
        aws_access_key_id=stack.s3.access_key,
        aws_secret_access_key=stack.s3.secret_key,
        region_name=stack.s3.region,
    )
    bucket = stack.environment()["DESK_S3_BUCKET"]
    client.put_object(Bucket=bucket, Key="tickets/dt=2025-03-31/tickets.csv", Body=b"ticket_id\nT1\n")
    listed = client.list_objects_v2(Bucket=bucket, Prefix="tickets/")
    assert [each["Key"] for each in listed["Contents"]] == ["tickets/dt=2025-03-31/tickets.csv"]


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    ports = [stack.postgres.port, *(int(url.rsplit(":", 1)[1]) for url in (stack.mongo_uri, stack.s3.endpoint))]
    assert [_listens(ip, port) for port in ports for ip in ("127.0.0.1", "127.0.0.2")] == [True, False] * 3


def test_nothing_is_left_when_the_block_ends(tmp_path: Path) -> None:
    before = _family(psutil.Process())
    with contextlib.suppress(ZeroDivisionError), start_stack(tmp_path):
        started = _family(psutil.Process()) - before
        folders = _folders(started)
        _ = 1 / 0
    assert len(folders) == 3
    assert [each for each in started if _alive(each)] == []
    assert [folder for folder in folders if folder.exists()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mongo.log", "postgres.log", "s3.log"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_killed_parent(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(LIB)}
    with subprocess.Popen(command, stdout=PIPE, stderr=subprocess.DEVNULL, env=environment, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        started = _family(psutil.Process(holder.pid))
        folders = _folders(started)
        holder.send_signal(how)
    assert len(folders) == 3
    assert _soon(lambda: not any(_alive(each) for each in started))
    assert [folder for folder in folders if folder.exists()] == []


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DEMO_CLASSPATH", "/nowhere/no-such.jar")
    with pytest.raises(ConfigError) as failed, start_stack(tmp_path):
        pass
    assert failed.value.code == "stack_start_failed"
    assert failed.value.facts["server"] == "mongo"
    assert "Its last log lines:\nTraceback" in str(failed.value)


def test_a_taken_port_names_postgres_and_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(servers, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(ConfigError, match="Address already in use") as failed, start_stack(tmp_path):
            pass
    assert failed.value.facts["server"] == "postgres"


def _soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + CLEAN_UP_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _family(parent: psutil.Process) -> set[psutil.Process]:
    return set(parent.children(recursive=True))


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _folders(started: set[psutil.Process]) -> set[Path]:
    """Where the servers' files lie: each runs in its folder, PostgreSQL one level below."""
    places = {Path(each.cwd()) for each in started if "guard.py" not in " ".join(each.cmdline())}
    return {place.parent if place.name == "cluster" else place for place in places}


def _listens(ip: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((ip, port)) == 0
