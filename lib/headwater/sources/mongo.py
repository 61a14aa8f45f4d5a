"""MongoDB collections: whole documents as canonical extended JSON.

A schema inferred from a sample cuts values that do not fit it, without a word; so nothing is inferred here, and every
document arrives as text. One partition: the connector's paginating partitioner compares `_id` bounds of one BSON type
and loses the documents whose `_id` has another, and the default one needs commands that not every server has.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri
from pyspark.sql import DataFrame, SparkSession

from headwater.config.base import nearest
from headwater.config.sources import MongoConnection, MongoSource
from headwater.errors import ConfigError, HeadwaterError
from headwater.retry import RetryPolicy
from headwater.sources.base import (
    CONNECT_SECONDS,
    Clock,
    Extent,
    Extraction,
    Secrets,
    Window,
    expect_window,
    next_window,
    settled,
)
from headwater.sources.failures import reading, refused, timed_out, unavailable, unknown

Client: TypeAlias = pymongo.MongoClient[dict[str, Any]]

_PARTITIONER = "com.mongodb.spark.sql.connector.read.partitioner.SinglePartitionPartitioner"
_NO_SUCH_COMMAND = 59
_REFUSALS = (13, 18)
_TIMEOUTS = {"serverSelectionTimeoutMS": CONNECT_SECONDS * 1000, "connectTimeoutMS": CONNECT_SECONDS * 1000}
_RAW = CodecOptions(document_class=RawBSONDocument)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MongoCollection:
    """A collection read by watermark windows, or wholly when it has no watermark."""

    spec: MongoSource
    connection: MongoConnection
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
            with self._open() as client:
                self._require_collection(client)
                return self.clock() if self.clock else _server_time(client)

        hi = settled(self.policy.call(ask), self.spec.settle_seconds)
        return next_window(previous, hi, watermark=self.spec.watermark)

    @contextmanager
    def read(self, spark: SparkSession, extent: Extent) -> Iterator[Extraction]:
        """Read the window; the server has no snapshot that outlives a query, so nothing is counted here."""
        window = expect_window(extent)
        self.policy.call(self._probe)
        yield Extraction(self._load(spark, window), None, window)

    def _load(self, spark: SparkSession, window: Window) -> DataFrame:
        texts = ["_id", *([self.spec.watermark] if self.spec.watermark else []), "document"]
        with reading(self.name):
            return (
                spark.read.format("mongodb")
                .option("connection.uri", bounded_uri(self._uri()))
                .option("database", self.spec.database)
                .option("collection", self.spec.collection)
                .option("partitioner", _PARTITIONER)
                .option("aggregation.pipeline", json.dumps(pipeline(self.spec.watermark, window)))
                .option("outputExtendedJson", "true")
                .schema(", ".join(f"`{text}` string" for text in texts))
                .load()
            )

    def _probe(self) -> None:
        """Refuse a server that does not know $$ROOT and would return its name in place of every document."""
        with self._open() as client:
            self._require_collection(client)
            # Undecoded: a value that Python cannot hold, such as a date in year 10000, is none of the probe's business.
            raw = client[self.spec.database].get_collection(self.spec.collection, codec_options=_RAW)
            for found in raw.aggregate([{"$limit": 1}, {"$project": {"_id": 0, "document": "$$ROOT"}}]):
                if not isinstance(found.get("document"), RawBSONDocument):
                    path = f"connections.{self.spec.connection}"
                    message = f"Source {self.name}: the server of {path} does not return documents for $$ROOT."
                    remedy = "Read from a server that does: MongoDB 4.2 or later."
                    raise ConfigError("incompatible_server", message, remedy=remedy, facts={"path": path})

    def _require_collection(self, client: Client) -> None:
        database, collection = self.spec.database, self.spec.collection
        known = client[database].list_collection_names()
        if collection not in known:
            remedy = f"Collections of {database}: {', '.join(sorted(known)) or 'none'}.{nearest(collection, known)}"
            raise unknown("collection", f"{database}.{collection}", f"sources.{self.name}.collection", remedy=remedy)

    @contextmanager
    def _open(self) -> Iterator[Client]:
        uri = self._uri()
        try:
            with pymongo.MongoClient[dict[str, Any]](bounded_uri(uri), tz_aware=True) as client:
                yield client
        except PyMongoError as error:
            raise self._explain(error, uri) from None

    def _explain(self, error: PyMongoError, uri: str) -> HeadwaterError | PyMongoError:
        path = f"connections.{self.spec.connection}"
        if isinstance(error, ConfigurationError):
            message = f"Source {self.name}: the URI of {path} is not valid, or its name cannot be resolved."
            remedy = "Percent-encode user and password, and check the host names."
            return ConfigError("invalid_uri", message, remedy=remedy, facts={"path": f"{path}.uri"})
        if isinstance(error, OperationFailure):
            # A server without authentication does not know the SASL commands; to the user it is the same mistake.
            is_refusal = error.code in _REFUSALS or "sasl" in str(error).lower()
            return refused(self.name, self.spec.connection, address(uri)) if is_refusal else error
        if isinstance(error, ConnectionFailure):
            reason = str(error).split(" (configured", maxsplit=1)[0].split(", Timeout", maxsplit=1)[0]
            describe = timed_out if "timed out" in reason else unavailable
            return describe(self.name, address(uri), reason)
        return error

    def _uri(self) -> str:
        return self.secrets(self.connection.uri, f"connections.{self.spec.connection}.uri").get_secret_value()


def pipeline(watermark: str | None, window: Window) -> list[dict[str, object]]:
    """The aggregation that selects a window, as extended JSON; it may hold no group, sort or limit."""
    if watermark is None:
        return [{"$project": {"_id": 1, "document": "$$ROOT"}}]
    inside = {"$lte": _date(window.hi)}
    if window.lo is not None:
        inside["$gt"] = _date(window.lo)
    no_time = [{watermark: {"$not": {"$type": "date"}}}, {watermark: {"$type": "array"}}]
    match = {"$or": [{watermark: inside}, *no_time]}
    return [{"$match": match}, {"$project": {"_id": 1, watermark: 1, "document": "$$ROOT"}}]


def bounded_uri(uri: str) -> str:
    """Add our time limits to a URI that does not set its own."""
    parts = urlsplit(uri)
    present = {name.lower() for name in parse_qs(parts.query, keep_blank_values=True)}
    added = urlencode({name: value for name, value in _TIMEOUTS.items() if name.lower() not in present})
    query = "&".join(filter(None, (parts.query, added)))
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def address(uri: str) -> str:
    """Hosts and ports of a valid URI, for messages; never the credentials."""
    if uri.startswith("mongodb+srv://"):
        return urlsplit(uri).hostname or "the server"
    return ",".join(f"{host}:{port}" for host, port in parse_uri(uri)["nodelist"])


def _date(instant: datetime) -> dict[str, dict[str, str]]:
    """BSON dates have milliseconds; rounding both ends of a window down keeps windows gapless and disjoint."""
    return {"$date": {"$numberLong": str((instant - _EPOCH) // timedelta(milliseconds=1))}}


def _server_time(client: Client) -> datetime:
    """The server's clock, also of servers that only know the older greeting."""
    try:
        greeting = client.admin.command("hello")
    except OperationFailure as error:
        if error.code != _NO_SUCH_COMMAND:
            raise
        greeting = client.admin.command("isMaster")
    now: datetime = greeting["localTime"]
    return now
