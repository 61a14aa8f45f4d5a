"""What an exception means for whoever started a job: one of our errors, an event, an exit code."""

import traceback
from collections.abc import Sequence

from delta import exceptions as delta_errors
from deltalake.exceptions import CommitFailedError

from headwater.errors import ExitCode, HeadwaterError, StoreUnavailable, WriterConflict
from headwater.state.storage import classify_store_error
from headwater.telemetry.logs import EventName

# When steps fail in different ways, what another attempt helps least decides.
_GRAVEST_FIRST = (
    ExitCode.BUG,
    ExitCode.CONFIGURATION,
    ExitCode.REJECTED,
    ExitCode.CONFLICT,
    ExitCode.UNAVAILABLE,
)

_CONFLICTS = (
    CommitFailedError,
    delta_errors.ConcurrentAppendException,
    delta_errors.ConcurrentDeleteDeleteException,
    delta_errors.ConcurrentDeleteReadException,
    delta_errors.ConcurrentTransactionException,
    delta_errors.ConcurrentWriteException,
    delta_errors.MetadataChangedException,
    delta_errors.ProtocolChangedException,
)


def gravest(errors: Sequence[HeadwaterError]) -> ExitCode:
    """The exit code of several errors."""
    return next(code for code in _GRAVEST_FIRST if any(error.exit_code is code for error in errors))


def leaves(error: Exception) -> tuple[Exception, ...]:
    """The errors of steps that ran side by side, or the one error there is."""
    if isinstance(error, ExceptionGroup):
        return tuple(leaf for each in error.exceptions for leaf in leaves(each))
    return (error,)


def as_headwater_error(error: Exception) -> HeadwaterError:
    """What an exception means for a user; one of unknown meaning is a bug, and its traceback is shown."""
    if isinstance(error, HeadwaterError):
        return error
    if store := classify_store_error(error):
        return store
    if isinstance(error, _CONFLICTS):
        return WriterConflict(
            "table_conflict",
            f"Another writer changed the table meanwhile: {str(error).splitlines()[0]}",
            remedy="Only headwater may write its tables, one job each. Run the job again.",
        )
    traceback.print_exception(error)
    return HeadwaterError(
        "bug",
        f"Unexpected {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        remedy="This is a bug in headwater; the traceback above says where. Nothing half-done was published.",
    )


def event_of(error: HeadwaterError) -> EventName:
    """The event that tells of an error."""
    if isinstance(error, StoreUnavailable):
        return "store_write_failed"
    return "source_unavailable" if error.exit_code is ExitCode.UNAVAILABLE else "run_failed"
