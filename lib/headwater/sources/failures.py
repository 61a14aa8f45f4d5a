"""One wording for the ways in which a source fails, and the reading of Spark's errors in those terms.

Spark reports what happened on an executor as text, so its errors are recognised by the names of the drivers' classes
and by the few sentences those drivers print. What is not recognised stays what it was: a bug, and terminal.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from headwater.errors import ConfigError, HeadwaterError, SourceUnavailable

_REFUSED = re.compile(
    r"password authentication failed|MongoSecurityException|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|(?:org\.apache\.hadoop\.fs\.s3a|java\.nio\.file)\.\S*AccessDenied|NoAuthWithAWSException"
)
_TIMED_OUT = re.compile(
    r"(?i)\b(?:connect|read|socket)\w* timed out|SocketTimeoutException|MongoSocketReadTimeoutException"
)
_AWAY = re.compile(
    r"The connection attempt failed|Connection to \S+ refused|An I/O error occurred while sending to the backend"
    r"|This connection has been closed|terminating connection due to|the database system is (?:starting|shutting)"
    r"|remaining connection slots|too many clients already|invalid snapshot identifier"
    r"|could not import the requested snapshot"
    r"|MongoTimeoutException|MongoSocket\w*Exception|MongoNodeIsRecovering|MongoNotPrimary|MongoConnectionPoolCleared"
    r"|Unable to execute HTTP request|RemoteFileChangedException|AWSServiceThrottledException|AWSServiceIOException"
)


def unavailable(source: str, where: str, reason: str) -> SourceUnavailable:
    """The server did not answer, or went away."""
    return SourceUnavailable(
        "data_source_unavailable",
        f"Source {source}: {where} is not available: {reason}.",
        remedy="See that the server is up and that this machine reaches it, then run again.",
        facts={"source": source, "where": where},
    )


def timed_out(source: str, where: str, reason: str) -> SourceUnavailable:
    """The server took the call, or nobody refused it, and then nothing came for as long as we wait."""
    return SourceUnavailable(
        "connection_timeout",
        f"Source {source}: {where} did not answer in time: {reason}.",
        remedy="See whether the server is overloaded, or a firewall drops what this machine sends, then run again.",
        facts={"source": source, "where": where},
    )


def throttled(source: str, where: str) -> SourceUnavailable:
    """The server asked for fewer calls."""
    return SourceUnavailable(
        "rate_limit_exceeded",
        f"Source {source}: {where} asks us to slow down.",
        remedy="Run again later, or raise the limit of the account.",
        facts={"source": source, "where": where},
    )


def refused(source: str, connection: str, where: str) -> ConfigError:
    """The server answered, but does not accept the credentials."""
    path = f"connections.{connection}"
    return ConfigError(
        "authentication_failed",
        f"Source {source}: {where} does not accept the credentials of {path}.",
        remedy=f"Correct the user or the secret that {path} refers to, or what it may read.",
        facts={"source": source, "where": where, "path": path},
    )


def unknown(what: str, value: str, path: str, *, remedy: str) -> ConfigError:
    """The server has no such table, column, database, collection or bucket; the code is `unknown_<what>`."""
    return ConfigError(
        f"unknown_{what}",
        f"{path}: there is no {what} {value!r}.",
        remedy=remedy,
        facts={"path": path, "value": value},
    )


def classify_spark_error(error: BaseException, source_name: str) -> HeadwaterError | None:
    """Say what an error of Spark's means for a source.

    Call it only around work that reads the source: a lake on S3 fails with the same words.

    Returns:
        An error to raise instead, or None when the source is not to blame.
    """
    if isinstance(error, HeadwaterError):
        return error
    if not isinstance(error, Py4JError | PySparkException):
        return None
    text = str(error)
    if _REFUSED.search(text):
        return ConfigError(
            "authentication_failed",
            f"Source {source_name}: the server does not accept the credentials of the source's connection.",
            remedy="Correct the user or the secret of the connection.",
            facts={"source": source_name, "path": f"sources.{source_name}.connection"},
        )
    if found := _TIMED_OUT.search(text):
        return timed_out(source_name, "its server", found[0])
    if found := _AWAY.search(text):
        return unavailable(source_name, "its server", f"it went away during the read ({found[0]})")
    return None


@contextmanager
def reading(source_name: str) -> Iterator[None]:
    """Raise what Spark reports within as an error of the source, where it is one."""
    try:
        yield
    except (Py4JError, PySparkException) as error:
        found = classify_spark_error(error, source_name)
        if found is None:
            raise
        raise found from error
