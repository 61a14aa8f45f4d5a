"""The three sources of the demo and the tests as real servers on loopback: PostgreSQL, a Mongo wire server, S3.

They hold nothing of worth and never outlive the process that started them: each runs behind a guard (guard.py).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen
from typing import TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import psycopg
import pymongo
from pymongo.errors import PyMongoError

from headwater.demo import servers
from headwater.demo.guard import Guarded, dismiss, launch
from headwater.demo.ports import read_port
from headwater.errors import ConfigError

Address = TypeVar("Address")

_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where PostgreSQL listens and who may enter."""

    host: str
    port: int
    database: str
    user: str
    password: str

    @property
    def jdbc_url(self) -> str:
        """For Spark; user and password travel apart from it."""
        return f"jdbc:postgresql://{self.host}:{self.port}/{self.database}"

    @property
    def dsn(self) -> str:
        """For psycopg, password included."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where S3 listens; the server takes any key pair, these two are for clients that insist on one."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses of the running servers."""

    postgres: PostgresAddress
    mongo_uri: str
    s3: S3Address

    def environment(self) -> dict[str, str]:
        """Gives the variables that `conf/` refers to."""
        return {
            "CRM_JDBC_URL": self.postgres.jdbc_url,
            "CRM_USER": self.postgres.user,
            "CRM_PASSWORD": self.postgres.password,
            "APP_MONGO_URI": self.mongo_uri,
            "DESK_S3_ENDPOINT": self.s3.endpoint,
            "DESK_S3_BUCKET": servers.BUCKET,
            "DESK_S3_ACCESS_KEY": self.s3.access_key,
            "DESK_S3_SECRET_KEY": self.s3.secret_key,
        }


def _postgres_answers(server: servers.Postgres) -> PostgresAddress | None:
    """Gives the address once the server lets us in, and makes the database on that occasion."""
    address = PostgresAddress(
        host="127.0.0.1",
        port=server.port,
        database=servers.DATABASE,
        user=servers.DATABASE_USER,
        password=server.password,
    )
    with suppress(psycopg.OperationalError):
        first = replace(address, database="postgres").dsn
        with psycopg.connect(first, autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"CREATE DATABASE {servers.DATABASE}")
        return address
    return None


def _mongo_answers(folder: Path) -> str | None:
    """Gives the URI once the server answers a ping."""
    port = read_port(folder)
    if port is None:
        return None
    uri = f"mongodb://127.0.0.1:{port}"
    with suppress(PyMongoError), pymongo.MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=1000) as client:
        client.admin.command("ping")
        return uri
    return None


def _s3_answers(folder: Path) -> S3Address | None:
    """Gives the address once the server lists its buckets."""
    port = read_port(folder)
    if port is None:
        return None
    endpoint = f"http://127.0.0.1:{port}"
    with suppress(URLError), urlopen(endpoint, timeout=5):  # noqa: S310 -- loopback
        return S3Address(endpoint=endpoint, access_key="demo", secret_key="demo", region="us-east-1")  # noqa: S106 -- takes any
    return None


def _last_lines(log: str) -> str:
    written = Path(log)
    lines = written.read_text(encoding="utf-8", errors="replace").splitlines() if written.exists() else []
    return "\n".join(lines[-_LOG_LINES:])


def _await(guarded: Guarded, guard: Popen[bytes], answers: Callable[[], Address | None]) -> Address:
    """Asks until the server answers, has ended, or has had its time."""
    deadline = time.monotonic() + _START_SECONDS
    while guard.poll() is None and time.monotonic() < deadline:
        address = answers()
        if address is not None:
            return address
        time.sleep(_POLL_SECONDS)
    how = f"did not answer within {_START_SECONDS:.0f} s" if guard.poll() is None else "ended while it started"
    name = Path(guarded.log).stem
    raise ConfigError(
        "stack_start_failed",
        f"The embedded {name} server {how}. Its last log lines:\n{_last_lines(guarded.log)}\n",
        remedy=f"The whole log is in {guarded.log}; `make setup` puts missing or damaged parts right.",
        facts={"server": name, "log": guarded.log},
    )


@contextmanager
def start_stack(folder: Path) -> Iterator[Stack]:
    """Runs the three servers side by side for as long as the block lasts, and not a moment after the process.

    Args:
        folder: takes the logs and the servers' files; what is in it is removed at the end, logs excepted.

    Raises:
        ConfigError: `stack_start_failed`, with the last log lines of the server that did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    postgres, mongo, s3 = servers.postgres(folder), servers.mongo(folder), servers.s3(folder)
    guards: list[Popen[bytes]] = []
    try:
        guards.extend(launch(guarded) for guarded in (postgres.guarded, mongo, s3))
        yield Stack(
            postgres=_await(postgres.guarded, guards[0], lambda: _postgres_answers(postgres)),
            mongo_uri=_await(mongo, guards[1], lambda: _mongo_answers(Path(mongo.folder))),
            s3=_await(s3, guards[2], lambda: _s3_answers(Path(s3.folder))),
        )
    finally:
        dismiss(guards)
