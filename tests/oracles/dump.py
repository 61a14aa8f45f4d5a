"""Raw dumps of the three live sources, so that the oracle can judge the same records as the engine.

A dump is a folder that keeps what the servers hold without any cleaning: PostgreSQL rows as PostgreSQL's own
text, Mongo documents as canonical extended JSON, S3 objects byte for byte with their key and LastModified.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient

TextRow: TypeAlias = tuple[str | None, ...]

POSTGRES_COLUMNS = {
    "transactions": ("transaction_id", "user_id", "amount", "currency", "transaction_date", "updated_at"),
    "customers": ("user_id", "email", "country", "segment", "signup_date", "updated_at"),
}
MONGO_DATABASE = "app"
MONGO_COLLECTION = "user_behavior"
TICKET_PREFIX = "tickets/"
_INSTANTS = frozenset({"transaction_date", "updated_at"})


class S3Client(Protocol):
    """The two calls of a boto3 S3 client that a dump needs."""

    def get_paginator(self, operation_name: str, /) -> Any:
        """Return a paginator of a list operation."""

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803 - boto3 spells its parameters so
        """Return one object with its streaming body."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One S3 object as the bucket holds it."""

    key: str
    last_modified: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Dump:
    """Everything the sources held at one instant."""

    extracted_at: datetime
    transactions: Sequence[TextRow]
    customers: Sequence[TextRow]
    documents: Sequence[Mapping[str, Any]]
    objects: Sequence[StoredObject]


def dump_sources(
    folder: Path, *, dsn: str, mongo_uri: str, s3_client: S3Client, bucket: str, extracted_at: datetime
) -> None:
    """Write what the three servers hold now into a folder, as extracted at the given instant."""
    with psycopg.connect(dsn) as connection:
        # One snapshot for both tables, as one moment of the source.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET LOCAL datestyle TO 'ISO, YMD'")
        transactions = _postgres_rows(connection, "transactions")
        customers = _postgres_rows(connection, "customers")
    dump = Dump(
        extracted_at=extracted_at,
        transactions=transactions,
        customers=customers,
        documents=_mongo_documents(mongo_uri),
        objects=tuple(_stored_objects(s3_client, bucket)),
    )
    write_dump(folder, dump)


def write_dump(folder: Path, dump: Dump) -> None:
    """Write a dump in the layout that the oracle reads; a row of text per PostgreSQL row, in column order."""
    folder.mkdir(parents=True, exist_ok=False)
    instant = dump.extracted_at.astimezone(UTC).isoformat()
    (folder / "dump.json").write_text(json.dumps({"extracted_at": instant}), encoding="utf-8")
    for table, rows in (("transactions", dump.transactions), ("customers", dump.customers)):
        schema = pa.schema([(name, pa.string()) for name in POSTGRES_COLUMNS[table]])
        columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(schema))]
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / f"{table}.parquet")
    with (folder / "user_behavior.jsonl").open("w", encoding="utf-8") as lines:
        for document in dump.documents:
            lines.write(json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS) + "\n")
    _write_objects(folder, dump.objects)


def source_counts(*, dsn: str, mongo_uri: str, s3_client: S3Client, bucket: str) -> dict[str, int]:
    """Count the records that each source holds now, by the source's own plain means."""
    with psycopg.connect(dsn) as connection:
        transactions = connection.execute("SELECT COUNT(*) FROM transactions").fetchone()
        customers = connection.execute("SELECT COUNT(*) FROM customers").fetchone()
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        documents = client[MONGO_DATABASE][MONGO_COLLECTION].count_documents({})
    lines = sum(max(len(physical_lines(stored.body)) - 1, 0) for stored in _stored_objects(s3_client, bucket))
    return {
        "transactions": transactions[0] if transactions else 0,
        "customers": customers[0] if customers else 0,
        "user_behavior": documents,
        "support_tickets": lines,
    }


def physical_lines(body: bytes) -> list[tuple[int, str]]:
    """Split a CSV object into its non-blank physical lines with their numbers from 1; the first is the header."""
    # str.splitlines would also split at form feeds and U+2028, which are ordinary characters of a subject.
    lines = re.split(r"\r\n|\n|\r", body.decode("utf-8-sig", errors="replace"))
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip(" \t")]


def _postgres_rows(connection: psycopg.Connection[TextRow], table: str) -> list[TextRow]:
    columns = ", ".join(
        f"({name} AT TIME ZONE 'UTC')::text" if name in _INSTANTS else f"{name}::text"
        for name in POSTGRES_COLUMNS[table]
    )
    query = f"SELECT {columns} FROM {table}"  # noqa: S608 - only constants of this module
    return connection.execute(query.encode()).fetchall()


def _mongo_documents(mongo_uri: str) -> list[dict[str, Any]]:
    # DATETIME_MS keeps every BSON date, also those that no Python datetime can hold.
    lossless: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        collection = client[MONGO_DATABASE].get_collection(MONGO_COLLECTION, codec_options=lossless)
        return list(collection.find({}))


def _stored_objects(s3_client: S3Client, bucket: str) -> Iterable[StoredObject]:
    for page in s3_client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=TICKET_PREFIX):
        for entry in page.get("Contents", []):
            if entry["Key"].endswith(".csv"):
                body = s3_client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                yield StoredObject(key=entry["Key"], last_modified=entry["LastModified"], body=body)


def _write_objects(folder: Path, objects: Sequence[StoredObject]) -> None:
    bodies = folder / "support_tickets"
    bodies.mkdir()
    with (folder / "support_tickets.jsonl").open("w", encoding="utf-8") as manifest:
        for number, stored in enumerate(objects):
            name = f"{number:06d}.csv"
            (bodies / name).write_bytes(stored.body)
            modified = stored.last_modified.astimezone(UTC).isoformat()
            manifest.write(json.dumps({"key": stored.key, "last_modified": modified, "file": name}) + "\n")
