"""PostgreSQL tables: parallel slices of one snapshot.

Slices of a live table tear: a row that moves while they run is read twice or never. So one connection exports its
snapshot and stays open until the batch is written, and every slice takes that snapshot before it reads. Values that
Spark cannot hold (NaN, infinity, more digits than a decimal has) would kill the whole read; they are read as null, and
counted in the facts.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from pydantic import SecretStr
from pyspark.sql import DataFrame, SparkSession

from headwater.config.base import nearest
from headwater.config.sources import JdbcConnection, JdbcSource
from headwater.errors import ConfigError
from headwater.retry import RetryPolicy
from headwater.sources.base import (
    CONNECT_SECONDS,
    Clock,
    Extent,
    Extraction,
    Secrets,
    Window,
    expect_window,
    instant_text,
    next_window,
    settled,
)
from headwater.sources.failures import reading, unknown
from headwater.sources.postgres import (
    Column,
    Server,
    Session,
    describe,
    export_snapshot,
    one_row,
    quote,
    server_time,
)

_DATE, _TIMESTAMP, _TIMESTAMPTZ, _NUMERIC = 1082, 1114, 1184, 1700
_INTEGERS = (20, 21, 23)
_UNCONSTRAINED_DIGITS = 20
_MAX_PRECISION = 38


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A snapshot that is held open, and what the window is in it."""

    name: str
    query: str
    counted: int
    unreadable: int
    bounds: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class JdbcTable:
    """A table read by watermark windows, or wholly when it has no watermark."""

    spec: JdbcSource
    connection: JdbcConnection
    secrets: Secrets
    clock: Clock | None
    policy: RetryPolicy

    @property
    def name(self) -> str:
        """Name of the source in `conf/`."""
        return self.spec.name

    def extent(self, previous: Sequence[Extent]) -> Window:
        """The window after the committed ones, up to the server's time less the settle delay."""

        def ask() -> datetime:
            with self._server().connect(self._password()) as session:
                _require_columns(self.spec, self._columns(session))
                return self.clock() if self.clock else server_time(session)

        hi = settled(self.policy.call(ask), self.spec.settle_seconds)
        return next_window(previous, hi, watermark=self.spec.watermark)

    @contextmanager
    def read(self, spark: SparkSession, extent: Extent) -> Iterator[Extraction]:
        """Hold a snapshot open and read the window from it, slice by slice."""
        window = expect_window(extent)
        with ExitStack() as held:
            snapshot = self.policy.call(lambda: self._take(held, window))
            frame = self.policy.call(lambda: self._load(spark, snapshot))
            yield Extraction(frame, snapshot.counted, window, {"unreadable_values": snapshot.unreadable})

    def _take(self, held: ExitStack, window: Window) -> _Snapshot:
        with ExitStack() as attempt:
            session = attempt.enter_context(self._server().connect(self._password()))
            try:
                columns = self._columns(session)
                _require_columns(self.spec, columns)
                snapshot = _describe_window(session, self.spec, columns, window)
            except psycopg.OperationalError as error:
                raise self._server().explain(error) from None
            held.push(attempt.pop_all())
            return snapshot

    def _load(self, spark: SparkSession, snapshot: _Snapshot) -> DataFrame:
        reader = spark.read.format("jdbc").options(
            url=self.connection.url,
            driver="org.postgresql.Driver",
            user=self.connection.user,
            password=self._password().get_secret_value(),
            dbtable=f"({snapshot.query}) AS headwater_window",
            # Without a fetch size the driver commits after each statement and the snapshot would be ignored.
            fetchsize=self.spec.fetch_size,
            sessionInitStatement="SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            f"SET TRANSACTION SNAPSHOT '{snapshot.name}'",
            connectTimeout=CONNECT_SECONDS,
            tcpKeepAlive="true",
        )
        if self.spec.slice_by and snapshot.bounds:
            low, high = snapshot.bounds
            reader = reader.options(
                partitionColumn=self.spec.slice_by, lowerBound=low, upperBound=high, numPartitions=self.spec.slices
            )
        with reading(self.name):
            return reader.load()

    def _columns(self, session: Session) -> tuple[Column, ...]:
        try:
            return describe(session, self.spec.table)
        except psycopg.errors.UndefinedTable:
            remedy = f"Correct the table's name, or grant {self.connection.user} the use of its schema."
            raise unknown("table", self.spec.table, f"sources.{self.name}.table", remedy=remedy) from None
        except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
            raise self._server().explain(error) from None

    def _server(self) -> Server:
        return Server(self.name, self.spec.connection, self.connection)

    def _password(self) -> SecretStr:
        return self.secrets(self.connection.password, f"connections.{self.spec.connection}.password")


def _require_columns(spec: JdbcSource, columns: Sequence[Column]) -> None:
    """Refuse a watermark or slicing column that is missing or of a type that cannot serve."""
    oids = {column.name: column.type_oid for column in columns}
    for setting, name, fitting, kind in (
        ("watermark", spec.watermark, (_TIMESTAMP, _TIMESTAMPTZ), "a timestamp"),
        ("slice_by", spec.slice_by, _INTEGERS, "an integer"),
    ):
        path = f"sources.{spec.name}.{setting}"
        if name is None:
            continue
        if name not in oids:
            remedy = f"Columns of {spec.table}: {', '.join(oids)}.{nearest(name, list(oids))}"
            raise unknown("column", name, path, remedy=remedy)
        if oids[name] not in fitting:
            message = f"{path}: column {name!r} of {spec.table} is not {kind}."
            raise ConfigError("wrong_column", message, facts={"path": path, "value": name})


def _describe_window(session: Session, spec: JdbcSource, columns: Sequence[Column], window: Window) -> _Snapshot:
    name = export_snapshot(session)
    table = quote(*spec.table.split("."))
    source = f"FROM {table} WHERE {_condition(spec, columns, window)}"
    broken = " OR ".join(f"NOT ({fits})" for column in columns if (fits := _fits(column))) or "FALSE"
    edges = f"min({quote(spec.slice_by)}), max({quote(spec.slice_by)})" if spec.slice_by else "NULL, NULL"
    count = f"SELECT count(*), count(*) FILTER (WHERE {broken}), {edges} {source}"
    counted, unreadable, low, high = one_row(session, count)
    query = f"SELECT {', '.join(_selected(column) for column in columns)} {source}"
    return _Snapshot(name, query, counted, unreadable, None if low is None else (low, high))


def _condition(spec: JdbcSource, columns: Sequence[Column], window: Window) -> str:
    if spec.watermark is None:
        return "TRUE"
    oid = next(column.type_oid for column in columns if column.name == spec.watermark)
    name = quote(spec.watermark)
    inside = f"{name} <= {_literal(window.hi, oid)}"
    if window.lo is not None:
        inside = f"{name} > {_literal(window.lo, oid)} AND {inside}"
    return f"(({inside}) OR {name} IS NULL OR NOT isfinite({name}))"


def _literal(instant: datetime, oid: int) -> str:
    """Render an instant in the column's own type, so that an index on the column serves."""
    text = instant_text(instant)
    return f"TIMESTAMPTZ '{text}'" if oid == _TIMESTAMPTZ else f"TIMESTAMP '{text.removesuffix('+00:00')}'"


def _fits(column: Column) -> str | None:
    """A condition that holds for the values Spark can take; None when that is every value."""
    name = quote(column.name)
    if column.type_oid in (_DATE, _TIMESTAMP, _TIMESTAMPTZ):
        return f"isfinite({name})"
    if column.type_oid == _NUMERIC:
        digits = _UNCONSTRAINED_DIGITS
        if column.precision is not None:
            digits = min(column.precision, _MAX_PRECISION) - (column.scale or 0)
        # NaN is greater than every number, so the upper bound excludes it too.
        return f"{name} > -1e{digits} AND {name} < 1e{digits}"
    return None


def _selected(column: Column) -> str:
    fits = _fits(column)
    name = quote(column.name)
    if fits is None:
        return name
    value = name
    if column.type_oid == _TIMESTAMP:
        # Naming the zone here keeps the JVM's own zone from shifting it.
        value = f"{name} AT TIME ZONE 'UTC'"
    value = f"CASE WHEN {fits} THEN {value} END"
    if column.type_oid == _NUMERIC and column.precision is not None:
        value = f"CAST({value} AS numeric({column.precision}, {column.scale or 0}))"
    return f"{value} AS {name}"
