"""One tree of errors. Each says what went wrong, what to do next, and which exit code the process ends with.

The exit code belongs to the type, retry is decided by type too: only `Transient` errors are ever retried.
"""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """What an orchestrator reads (semantics.md, section 7)."""

    DONE = 0
    BUG = 1
    CONFIGURATION = 2
    REJECTED = 3
    UNAVAILABLE = 4
    CONFLICT = 5


class HeadwaterError(Exception):
    """Root of every error a user can meet.

    Attributes:
        code: stable snake_case name that tests and alerts match on.
        message: what happened, in one sentence.
        remedy: what to do next.
        facts: names and values behind the message; never a secret.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, code: str, message: str, *, remedy: str = "", facts: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.facts: dict[str, object] = dict(facts or {})

    def __str__(self) -> str:
        """One message: cause first, remedy second."""
        return f"{self.message} {self.remedy}".strip()


class Transient:
    """Marks errors that may pass by themselves; everything else is terminal."""


class ConfigError(HeadwaterError):
    """A mistake in `conf/`, the command line or the environment."""

    exit_code = ExitCode.CONFIGURATION


class DataRejected(HeadwaterError):
    """A gate refused the data; nothing was published."""

    exit_code = ExitCode.REJECTED


class SourceUnavailable(HeadwaterError, Transient):
    """A source did not answer; the code is one of the retried ones of semantics.md, section 6."""

    exit_code = ExitCode.UNAVAILABLE


class SourceResting(HeadwaterError):
    """A source that has just failed several times is not asked for a while; another try in this process is useless."""

    exit_code = ExitCode.UNAVAILABLE


class StoreUnavailable(HeadwaterError):
    """The lake's storage took no write: it is full, read-only, or away. Not retried: what was begun stays open."""

    exit_code = ExitCode.UNAVAILABLE


class WriterConflict(HeadwaterError):
    """Another process holds the stream or won the race for it."""

    exit_code = ExitCode.CONFLICT


class Unproven(HeadwaterError):
    """A write left no commit that carries its batch, or numbers do not add up: a bug, never to be passed over."""

    exit_code = ExitCode.BUG
