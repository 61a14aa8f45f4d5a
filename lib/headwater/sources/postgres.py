"""PostgreSQL over its own protocol: the clock, the snapshot that all slices share, and what is in it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from headwater.config.sources import JdbcConnection
from headwater.errors import HeadwaterError
from headwater.sources.base import CONNECT_SECONDS
from headwater.sources.failures import refused, timed_out, unavailable, unknown

Session: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_SNAPSHOT = re.compile(r"^[0-9A-Fa-f-]+$")
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_DENIED = ("password authentication failed", "no password supplied", "no pg_hba.conf entry", 'role "')


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the server describes it; precision and scale only for a constrained numeric."""

    name: str
    type_oid: int
    precision: int | None
    scale: int | None


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is, and who asks: enough for every connection and every error message."""

    source: str
    connection: str
    spec: JdbcConnection

    @property
    def where(self) -> str:
        """`host:port`, for messages."""
        parts = urlsplit(self.spec.url.removeprefix("jdbc:"))
        return f"{parts.hostname or 'localhost'}:{parts.port or 5432}"

    @property
    def database(self) -> str:
        """The database's name."""
        return urlsplit(self.spec.url.removeprefix("jdbc:")).path.lstrip("/") or self.spec.user

    @contextmanager
    def connect(self, password: SecretStr) -> Iterator[Session]:
        """Open a read-only transaction that sees one snapshot, and end it with the context.

        Raises:
            SourceUnavailable: the server is away.
            ConfigError: it refuses the user or has no such database.
        """
        parts = urlsplit(self.spec.url.removeprefix("jdbc:"))
        tls = {name: values[-1] for name, values in parse_qs(parts.query).items() if name in _TLS}
        target = make_conninfo(
            host=parts.hostname or "localhost",
            port=parts.port or 5432,
            dbname=self.database,
            user=self.spec.user,
            connect_timeout=CONNECT_SECONDS,
            application_name="headwater",
            **tls,
        )
        try:
            connection = psycopg.connect(target, password=password.get_secret_value())
        except psycopg.OperationalError as error:
            raise self.explain(error) from None
        try:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
        finally:
            connection.close()

    def explain(self, error: psycopg.Error) -> HeadwaterError:
        """Turn a failure of the driver into ours; a refused connection carries no code, only words."""
        text = str(error)
        if any(words in text for words in _DENIED) or isinstance(error, psycopg.errors.InsufficientPrivilege):
            return refused(self.source, self.connection, self.where)
        if "database" in text and "does not exist" in text:
            remedy = "Correct the database at the end of the URL."
            return unknown("database", self.database, f"connections.{self.connection}.url", remedy=remedy)
        if isinstance(error, psycopg.errors.ConnectionTimeout):
            return timed_out(self.source, self.where, f"nothing within {CONNECT_SECONDS} s")
        return unavailable(self.source, self.where, text.strip().splitlines()[-1].strip().rstrip("?."))


def export_snapshot(connection: Session) -> str:
    """Give the transaction's snapshot a name under which other connections can take it.

    A server that ends idle transactions must not end this one: it is idle for as long as Spark reads.
    """
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    name = str(one_row(connection, "SELECT pg_export_snapshot()")[0])
    if not _SNAPSHOT.match(name):
        message = f"unexpected snapshot name {name!r}"
        raise ValueError(message)
    return name


def server_time(connection: Session) -> datetime:
    """The server's clock."""
    now: datetime = one_row(connection, "SELECT now()")[0]
    return now.astimezone(UTC)


def describe(connection: Session, table: str) -> tuple[Column, ...]:
    """The table's columns in order; also takes the lock that keeps them so until the transaction ends."""
    query = sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(*table.split(".")))
    described = connection.execute(query).description or []
    return tuple(Column(each.name, each.type_code, each.precision, each.scale) for each in described)


def quote(*parts: str) -> str:
    """Quote an identifier or, given its parts, a qualified one; the only function that does."""
    return sql.Identifier(*parts).as_string()


def one_row(connection: Session, query: str) -> tuple[Any, ...]:
    """Run a query made of quoted identifiers and rendered instants; gives its only row."""
    row = connection.execute(query).fetchone()
    if row is None:
        message = "a query that always gives a row gave none"
        raise LookupError(message)
    return row
