"""Real servers, and per kind of source a small world that writes to one and opens sources on it."""

import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import psycopg
import pymongo
import pytest
from pydantic import SecretStr
from pyspark.sql import DataFrame

from headwater.config.sources import (
    FilesSource,
    JdbcConnection,
    JdbcSource,
    MongoConnection,
    MongoSource,
    S3Connection,
)
from headwater.demo.stack import Stack, start_stack
from headwater.retry import RetryPolicy
from headwater.sources.base import Source
from headwater.sources.connect import open_source

DAY = timedelta(days=1)
T1 = datetime(2025, 4, 1, 2, tzinfo=UTC)
NOWHERE = "127.0.0.1:1"
WRONG = "wr0ng-s3cret"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL, a Mongo wire server and S3 on loopback."""
    with start_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@dataclass
class World:
    """What the conformance suite needs to know about one kind of source.

    `settle` is 0 throughout, so a clock of T means a window up to T.
    """

    stack: Stack
    name: str
    pauses: list[float] = field(default_factory=list)
    secrets_asked: Callable[[str], None] = lambda _: None
    attempts: int = 3
    id_column = "_id"

    def open(self, clock: datetime | None, spec: Any, connection: Any, **secrets: str) -> Source:
        known = {"env:PASSWORD": self.stack.postgres.password, "env:URI": self.stack.mongo_uri}
        known |= {"env:ACCESS": self.stack.s3.access_key, "env:SECRET": self.stack.s3.secret_key}
        known |= {f"env:{name}": value for name, value in secrets.items()}

        def resolve(reference: str, used_by: str) -> SecretStr:
            assert used_by.startswith("connections.")
            self.secrets_asked(used_by)
            return SecretStr(known[reference])

        policy = RetryPolicy(sleep=self.pauses.append, random=lambda: 1.0, attempts=self.attempts)
        return open_source(spec, connection, secrets=resolve, clock=(lambda: clock) if clock else None, policy=policy)

    def ids(self, frame: DataFrame) -> list[str]:
        return sorted(str(row[0]) for row in frame.select(self.id_column).collect())


class JdbcWorld(World):
    """A table of its own."""

    id_column = "id"
    connection_name = "crm"

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.stack.postgres.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def create(self) -> None:
        self.sql(f"CREATE TABLE {self.name} (id bigint, amount numeric(12,2), updated_at timestamptz)")

    def write(self, ids: Sequence[int], at: datetime) -> None:
        self.sql(*(f"INSERT INTO {self.name} VALUES ({each}, 1.50, '{at.isoformat()}')" for each in ids))

    def connection(self, **changes: str) -> JdbcConnection:
        address = self.stack.postgres
        return JdbcConnection(
            **{"kind": "jdbc", "url": address.jdbc_url, "user": address.user, "password": "env:PASSWORD"} | changes
        )

    def spec(self, **changes: Any) -> JdbcSource:
        settings = {"table": f"public.{self.name}", "watermark": "updated_at", "slice_by": "id", "settle_seconds": 0}
        return JdbcSource(**{"kind": "jdbc", "name": "transactions", "connection": "crm"} | settings | changes)

    def source(self, clock: datetime | None = T1, **changes: Any) -> Source:
        return self.open(clock, self.spec(**changes), self.connection())

    def at(self, where: str) -> Source:
        return self.open(T1, self.spec(), self.connection(url=f"jdbc:postgresql://{where}/crm"))

    def refused(self) -> Source:
        return self.open(T1, self.spec(), self.connection(), PASSWORD=WRONG)

    def missing(self) -> tuple[Source, str, str]:
        return self.source(table="public.nowhere"), "unknown_table", "sources.transactions.table"


class MongoWorld(World):
    """A collection of its own."""

    connection_name = "app"

    def insert(self, documents: Sequence[dict[str, Any]]) -> None:
        with pymongo.MongoClient(self.stack.mongo_uri) as client:
            client["app"][self.name].insert_many(documents)

    def create(self) -> None:
        with pymongo.MongoClient(self.stack.mongo_uri) as client:
            client["app"].create_collection(self.name)

    def write(self, ids: Sequence[int], at: datetime) -> None:
        self.insert([{"_id": str(each), "updated_at": at} for each in ids])

    def spec(self, **changes: Any) -> MongoSource:
        settings = {"database": "app", "collection": self.name, "watermark": "updated_at", "settle_seconds": 0}
        return MongoSource(**{"kind": "mongo", "name": "user_behavior", "connection": "app"} | settings | changes)

    def source(self, clock: datetime | None = T1, **changes: Any) -> Source:
        return self.open(clock, self.spec(**changes), MongoConnection(kind="mongo", uri="env:URI"))

    def at(self, where: str) -> Source:
        uri = f"mongodb://{where}/?serverSelectionTimeoutMS=500&connectTimeoutMS=200"
        return self.open(T1, self.spec(), MongoConnection(kind="mongo", uri="env:URI"), URI=uri)

    def refused(self) -> Source:
        uri = self.stack.mongo_uri.replace("mongodb://", f"mongodb://reader:{WRONG}@")
        return self.open(T1, self.spec(), MongoConnection(kind="mongo", uri="env:URI"), URI=uri)

    def missing(self) -> tuple[Source, str, str]:
        return self.source(collection="nowhere"), "unknown_collection", "sources.user_behavior.collection"


class FilesWorld(World):
    """A bucket of its own; every write is a new object of the day."""

    id_column = "ticket_id"
    connection_name = "desk"
    header = "ticket_id,subject"

    def client(self) -> Any:
        address = self.stack.s3
        keys = {"aws_access_key_id": address.access_key, "aws_secret_access_key": address.secret_key}
        return boto3.session.Session(region_name=address.region, **keys).client("s3", endpoint_url=address.endpoint)

    def create(self) -> None:
        self.client().create_bucket(Bucket=self.name)

    def put(self, key: str, content: str | bytes) -> None:
        body = content if isinstance(content, bytes) else content.encode()
        self.client().put_object(Bucket=self.name, Key=key, Body=body)

    def write(self, ids: Sequence[int], at: datetime) -> None:
        lines = "".join(f"{each},any\n" for each in ids)
        self.put(f"tickets/dt={at.date()}/{ids[0]}.csv", f"{self.header}\n{lines}")

    def connection(self, **changes: str) -> S3Connection:
        keys = {"access_key": "env:ACCESS", "secret_key": "env:SECRET"}
        place = {"kind": "s3", "bucket": self.name, "endpoint": self.stack.s3.endpoint}
        return S3Connection(**place | keys | changes)

    def spec(self, **changes: Any) -> FilesSource:
        pattern = r"dt=(?P<dump_date>\d{4}-\d{2}-\d{2})/[^/]+\.csv$"
        settings = {"prefix": "tickets/", "pattern": pattern, "columns": self.header.split(",")}
        return FilesSource(**{"kind": "files", "name": "support_tickets", "connection": "desk"} | settings | changes)

    def source(self, clock: datetime | None = T1, **changes: Any) -> Source:
        return self.open(clock, self.spec(**changes), self.connection())

    def at(self, where: str) -> Source:
        return self.open(T1, self.spec(), self.connection(endpoint=f"http://{where}"))

    def refused(self) -> Source:
        return self.open(T1, self.spec(), self.connection(), SECRET=WRONG, ACCESS="AKIA0000000000000000")

    def missing(self) -> tuple[Source, str, str]:
        return (
            self.open(T1, self.spec(), self.connection(bucket="nowhere")),
            "unknown_bucket",
            "connections.desk.bucket",
        )

    def demand_credentials(self, *, wanted: bool) -> None:
        """The S3 server takes any key pair unless told to look at them."""
        calls_without = b"0" if wanted else b"inf"
        url = f"{self.stack.s3.endpoint}/moto-api/reset-auth"
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, calls_without, plain, method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()


_NUMBER = iter(range(1_000_000))


def _made(kind: type[World], stack: Stack) -> Any:
    separator = "-" if kind is FilesWorld else "_"
    world = kind(stack, f"world{separator}{next(_NUMBER)}")
    world.create()
    return world


@pytest.fixture(params=[JdbcWorld, MongoWorld, FilesWorld], ids=["jdbc", "mongo", "files"])
def world(request: pytest.FixtureRequest, stack: Stack) -> Any:
    """Each kind in turn."""
    return _made(request.param, stack)


@pytest.fixture
def table(stack: Stack) -> JdbcWorld:
    """An empty table."""
    return _made(JdbcWorld, stack)


@pytest.fixture
def collection(stack: Stack) -> MongoWorld:
    """An empty collection."""
    return _made(MongoWorld, stack)


@pytest.fixture
def bucket(stack: Stack) -> FilesWorld:
    """An empty bucket."""
    return _made(FilesWorld, stack)
