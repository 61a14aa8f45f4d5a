"""Writes a demo world into live servers, as fast as each of them takes it.

PostgreSQL gets each phase in one transaction, rows by COPY. A rewrite finds its row by the whole old image: the tables
have no keys, because rows that share one are part of the demo.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString, Protocol

import psycopg
import pymongo
from psycopg import sql

from headwater.demo.world import CustomerRow, Document, Part, Rewrite, TransactionRow, World, Writes
from headwater.errors import DataRejected

TABLES: tuple[tuple[LiteralString, LiteralString], ...] = (
    (
        "transactions",
        "transaction_id bigint, user_id text, amount numeric(12,2), currency text, "
        "transaction_date timestamptz, updated_at timestamptz",
    ),
    (
        "customers",
        "user_id text, email text, country text, segment text, signup_date date, updated_at timestamptz",
    ),
)
DATABASE = "app"
COLLECTION = "user_behavior"
DOCUMENTS_A_BATCH = 5_000
PUT_THREADS = 8


class ObjectStore(Protocol):
    """The calls of a boto3 S3 client that loading needs."""

    def create_bucket(self, *, Bucket: str) -> object:  # noqa: N803 - boto3 names it so
        """Make a bucket."""
        ...

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object:  # noqa: N803 - boto3 names them so
        """Write a whole object."""
        ...


def load_initial(world: World, *, dsn: str, mongo_uri: str, s3: ObjectStore, bucket: str) -> None:
    """Create tables, indexes, collection and bucket, and fill them with what the first extraction finds.

    Existing tables are never replaced: the load fails instead, before anything is written.
    """
    with psycopg.connect(dsn) as connection:
        _create_tables(connection)
        _write_tables(connection, world.initial)
    with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
        client[DATABASE][COLLECTION].create_index("updated_at")
        _write_documents(client, world.initial.user_behavior)
    s3.create_bucket(Bucket=bucket)
    _put(s3, bucket, world.initial.support_tickets)


def load_change(world: World, *, dsn: str, mongo_uri: str, s3: ObjectStore, bucket: str) -> None:
    """Write everything that happens at the sources between the two extractions."""
    with psycopg.connect(dsn) as connection:
        _write_tables(connection, world.change)
    with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
        _write_documents(client, world.change.user_behavior)
    _put(s3, bucket, world.change.support_tickets)


def _create_tables(connection: psycopg.Connection[Any]) -> None:
    """Empty tables, with an index on what extraction windows filter by."""
    for table, columns in TABLES:
        name = sql.Identifier(table)
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(columns)))
        connection.execute(sql.SQL("CREATE INDEX ON {} (updated_at)").format(name))


def _write_tables(connection: psycopg.Connection[Any], part: Part) -> None:
    """Both tables of one phase."""
    _write_table(connection, "transactions", part.transactions)
    _write_table(connection, "customers", part.customers)


def _write_table(
    connection: psycopg.Connection[Any], table: str, writes: Writes[TransactionRow] | Writes[CustomerRow]
) -> None:
    """Rewrites, then inserts."""
    for rewrite in writes.rewrites:
        _rewrite_row(connection, table, rewrite)
    copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(copy) as stream:
        for row in writes.inserts:
            stream.write_row(row)


def _rewrite_row(
    connection: psycopg.Connection[Any], table: str, rewrite: Rewrite[TransactionRow] | Rewrite[CustomerRow]
) -> None:
    """Replace the one row that equals the old image.

    Raises:
        DataRejected: another number of rows equals it, so this is not the database the world was loaded into.
    """
    old, new = rewrite.old._asdict(), rewrite.new._asdict()
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in new)
    # Not `IS NOT DISTINCT FROM`, which is shorter but uses no index.
    matches = sql.SQL(" AND ").join(
        sql.SQL("{} IS NULL" if value is None else "{} = %s").format(sql.Identifier(column))
        for column, value in old.items()
    )
    statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(sql.Identifier(table), assignments, matches)
    values = [*new.values(), *(value for value in old.values() if value is not None)]
    found = connection.execute(statement, values).rowcount
    if found != 1:
        raise DataRejected(
            "demo_row_not_found",
            f"The change of the demo expects one such row in {table}, the table has {found}.",
            remedy="Load the initial part of the same world first, into an empty database.",
            facts={"table": table, "found": found},
        )


def _write_documents(client: pymongo.MongoClient[dict[str, object]], writes: Writes[Document]) -> None:
    """Inserts and whole-document replacements, in batches."""
    collection = client[DATABASE][COLLECTION]
    for batch in _batches(writes.inserts):
        collection.insert_many([dict(document) for document in batch], ordered=False)
    replacements = [
        pymongo.ReplaceOne[dict[str, object]]({"_id": rewrite.old["_id"]}, dict(rewrite.new))
        for rewrite in writes.rewrites
    ]
    if replacements:
        collection.bulk_write(replacements, ordered=False)


def _batches(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Slices of a size that one message may hold."""
    for start in range(0, len(documents), DOCUMENTS_A_BATCH):
        yield documents[start : start + DOCUMENTS_A_BATCH]


def _put(s3: ObjectStore, bucket: str, objects: Mapping[str, bytes]) -> None:
    """Put all objects, several at a time, and fail if one of them fails."""
    with ThreadPoolExecutor(PUT_THREADS) as pool:
        puts = [pool.submit(s3.put_object, Bucket=bucket, Key=key, Body=body) for key, body in objects.items()]
    for put in puts:
        put.result()
