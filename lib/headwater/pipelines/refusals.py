"""Errors of Spark that say something about the data, raised as what they are.

A worker's error, and Spark's own, arrive as text.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from headwater.errors import DataRejected

# Of our cells and sums, and of Spark's sums over a day.
_OVERFLOW = re.compile(r"(?:OverflowError: |\[(?:ARITHMETIC|CAST)_OVERFLOW\] )(?P<what>.+)")
# Of a version whose commits were cleaned away, by Spark and by delta-rs, or that VACUUM took the files of. A text may
# have a stack of Java's beside it, so no name of its methods must look like a sign.
_GONE = re.compile(
    r"(?P<commit>DELTA_VERSION|[Tt]ime travel|CANNOT_RECREATE"
    r"|No files in log segment|LogSegment end version|No table metadata|Local path .* does not exist)"
    r"|(?:FILE|PATH)_NOT_(?:FOUND|EXIST)|FileNotFound(?:Exception|Error)"
)


@contextmanager
def fitting(view: str) -> Iterator[None]:
    """Raise a value that its type cannot hold as what it is."""

    def refusal(found: re.Match[str]) -> DataRejected:
        return DataRejected(
            "value_out_of_range",
            f"View {view}: {found['what'].strip().rstrip('.')}.",
            remedy="Declare a wider type, or keep such values out of silver by a row rule. Nothing was written.",
            facts={"view": view},
        )

    with _raised_as(_OVERFLOW, refusal):
        yield


@contextmanager
def versions_kept(refusal: Callable[[re.Match[str]], DataRejected | None]) -> Iterator[None]:
    """Raise that a pinned version can no longer be read as what it is.

    Args:
        refusal: of the sign of it, in the text (`string`) it was found in; None where it is of something else. A
            file that is gone is named, a commit may not be (`is_of_a_commit`).
    """
    with _raised_as(_GONE, refusal):
        yield


def is_of_a_commit(found: re.Match[str]) -> bool:
    """Whether it is a commit that is gone, not a file."""
    return found["commit"] is not None or "_delta_log" in found.string


@contextmanager
def _raised_as(sign: re.Pattern[str], refusal: Callable[[re.Match[str]], DataRejected | None]) -> Iterator[None]:
    try:
        yield
    except (DeltaError, Py4JError, PySparkException) as error:
        found = sign.search(str(error))
        refused = refusal(found) if found else None
        if refused is None:
            raise
        raise refused from error
