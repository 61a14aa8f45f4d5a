"""An S3 bucket as seen by the driver: listing, first lines, and the same access for Spark's workers.

The SDK's own retries are off: how often a call is repeated is decided in one place, `headwater.retry`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from headwater.config.sources import S3Connection
from headwater.errors import HeadwaterError
from headwater.sources.base import CONNECT_SECONDS, FileObject, Secrets
from headwater.sources.failures import refused, throttled, timed_out, unavailable, unknown

_READ_SECONDS = 20
_HEADER_BYTES = 65_536
_PARALLEL_CALLS = 8
_REFUSALS = (
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "403",
    "401",
)
_THROTTLED = ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException")
_CHANGED = ("NoSuchKey", "PreconditionFailed", "404", "412")
_SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and who asks for it."""

    source: str
    connection: str
    spec: S3Connection
    secrets: Secrets

    @property
    def where(self) -> str:
        """`host:port` of the endpoint, for messages."""
        if self.spec.endpoint is None:
            return f"s3.{self.spec.region}.amazonaws.com:443"
        parts = urlsplit(self.spec.endpoint)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    def list_objects(self, prefix: str) -> tuple[tuple[FileObject, ...], datetime]:
        """Every object under a prefix, and the server's time when the listing began.

        Raises:
            SourceUnavailable: the server is away or asks to slow down.
            ConfigError: it refuses the credentials or has no such bucket.
        """
        found: list[FileObject] = []
        began: datetime | None = None
        with self._calls():
            for page in (
                self._client().get_paginator("list_objects_v2").paginate(Bucket=self.spec.bucket, Prefix=prefix)
            ):
                began = began or parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
                found += (_listed(entry) for entry in page.get("Contents", ()))
        if began is None:
            message = "a listing without a page"
            raise LookupError(message)
        return tuple(sorted(found, key=lambda each: each.key)), began.astimezone(UTC)

    def first_lines(self, objects: Sequence[FileObject]) -> tuple[str | None, ...]:
        """The first line of each object, without its line end; None for one that is no longer what was listed."""
        with self._calls() as client, ThreadPoolExecutor(_PARALLEL_CALLS) as pool:
            return tuple(pool.map(lambda each: _first_line(client, self.spec.bucket, each), objects))

    def _client(self) -> Any:  # noqa: ANN401 - the SDK makes its clients' classes at run time
        keys: dict[str, str] = {}
        if self.spec.access_key and self.spec.secret_key:
            path = f"connections.{self.connection}"
            access = self.secrets(self.spec.access_key, f"{path}.access_key")
            secret = self.secrets(self.spec.secret_key, f"{path}.secret_key")
            keys = {
                "aws_access_key_id": access.get_secret_value(),
                "aws_secret_access_key": secret.get_secret_value(),
            }
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=_PARALLEL_CALLS,
            s3={"addressing_style": "path" if self.spec.endpoint else "auto"},
        )
        session = boto3.session.Session(region_name=self.spec.region, **keys)
        return session.client("s3", endpoint_url=self.spec.endpoint, config=config)

    @contextmanager
    def _calls(self) -> Iterator[Any]:
        try:
            with closing(self._client()) as client:
                yield client
        except ClientError as error:
            raise self._explain(error) or error from None
        except (ConnectTimeoutError, ReadTimeoutError) as error:
            raise timed_out(self.source, self.where, type(error).__name__) from None
        except (NoConnectionError, HTTPClientError) as error:
            raise unavailable(self.source, self.where, f"no answer ({type(error).__name__})") from None
        except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError):
            raise refused(self.source, self.connection, self.where) from None

    def _explain(self, error: ClientError) -> HeadwaterError | None:
        code = _code(error)
        if code == "NoSuchBucket":
            remedy = "Correct the name, the region or the endpoint."
            return unknown("bucket", self.spec.bucket, f"connections.{self.connection}.bucket", remedy=remedy)
        if code in _REFUSALS:
            return refused(self.source, self.connection, self.where)
        if code in _THROTTLED:
            return throttled(self.source, self.where)
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= _SERVER_FAULT:
            return unavailable(self.source, self.where, f"it answered {code}")
        return None


def hadoop_settings(connection: S3Connection, *, name: str, secrets: Secrets) -> dict[str, str]:
    """What S3A needs to open the bucket, keyed by bucket so that others keep their own access.

    Meant as options of a reader: they travel to the workers with the read, and appear in no plan.

    Args:
        connection: the bucket.
        name: the connection's name in `conf/`.
        secrets: resolves references.
    """
    seconds = 1000
    settings = {
        "endpoint.region": connection.region,
        "connection.establish.timeout": str(CONNECT_SECONDS * seconds),
        "connection.timeout": str(_READ_SECONDS * seconds),
        "attempts.maximum": "2",
        "retry.limit": "3",
        "retry.interval": "500ms",
    }
    if connection.endpoint:
        settings["endpoint"] = connection.endpoint
        settings["path.style.access"] = "true"
        settings["connection.ssl.enabled"] = str(connection.endpoint.startswith("https:")).lower()
    if connection.access_key and connection.secret_key:
        path = f"connections.{name}"
        settings["aws.credentials.provider"] = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
        settings["access.key"] = secrets(connection.access_key, f"{path}.access_key").get_secret_value()
        settings["secret.key"] = secrets(connection.secret_key, f"{path}.secret_key").get_secret_value()
    return {f"fs.s3a.bucket.{connection.bucket}.{key}": value for key, value in settings.items()}


def _listed(entry: dict[str, Any]) -> FileObject:
    return FileObject(entry["Key"], entry["ETag"].strip('"'), entry["Size"], entry["LastModified"].astimezone(UTC))


def _first_line(client: Any, bucket: str, listed: FileObject) -> str | None:  # noqa: ANN401 - as above
    if listed.size == 0:
        return ""
    span = f"bytes=0-{_HEADER_BYTES - 1}"
    try:
        answer = client.get_object(Bucket=bucket, Key=listed.key, Range=span, IfMatch=f'"{listed.etag}"')
    except ClientError as error:
        if _code(error) in _CHANGED:
            return None
        raise
    body: bytes = answer["Body"].read()
    return body.split(b"\n", maxsplit=1)[0].decode("utf-8", errors="replace").rstrip("\r")


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))
