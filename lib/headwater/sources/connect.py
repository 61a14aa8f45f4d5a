"""From a declared source to one that can be read; the only place that knows all kinds."""

from typing import assert_never

from headwater.config.sources import (
    FilesSource,
    JdbcConnection,
    JdbcSource,
    MongoConnection,
    MongoSource,
    S3Connection,
)
from headwater.errors import ConfigError
from headwater.retry import RetryPolicy
from headwater.sources.base import Clock, Secrets, Source
from headwater.sources.jdbc import JdbcTable
from headwater.sources.mongo import MongoCollection
from headwater.sources.s3 import S3Files


def open_source(
    spec: JdbcSource | MongoSource | FilesSource,
    connection: JdbcConnection | MongoConnection | S3Connection,
    *,
    secrets: Secrets,
    clock: Clock | None,
    policy: RetryPolicy | None = None,
) -> Source:
    """Make a source; nothing is contacted and no secret is resolved before it is used.

    Args:
        spec: what to read.
        connection: where it is.
        secrets: resolves (reference, YAML path of its user).
        clock: None asks each server for its time.
        policy: how calls are retried; None is the usual one.

    Raises:
        ConfigError: the connection is of another kind than the source.
    """
    retries = policy or RetryPolicy()
    match spec:
        case JdbcSource() if isinstance(connection, JdbcConnection):
            return JdbcTable(spec, connection, secrets, clock, retries)
        case MongoSource() if isinstance(connection, MongoConnection):
            return MongoCollection(spec, connection, secrets, clock, retries)
        case FilesSource() if isinstance(connection, S3Connection):
            return S3Files(spec, connection, secrets, clock, retries)
        case JdbcSource() | MongoSource() | FilesSource():
            path = f"sources.{spec.name}.connection"
            message = (
                f"{path}: {spec.connection!r} is a {connection.kind} connection; the source is of kind {spec.kind}."
            )
            remedy = "Name a connection of the source's kind."
            raise ConfigError(
                "wrong_connection", message, remedy=remedy, facts={"path": path, "value": spec.connection}
            )
        case _:
            assert_never(spec)
