"""Errors of Spark that say something about the data, raised as what they are.

A worker's error, and Spark's own, arrive as text.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from headwater.errors import DataRejected
from headwater.pipelines.late import TableChanges

# Of our cells and sums, and of Spark's sums over a day.
_OVERFLOW = re.compile(r"(?:OverflowError: |\[(?:ARITHMETIC|CAST)_OVERFLOW\] )(.+)")
# Of a version that VACUUM took the files of, or whose commits were cleaned away.
GONE = re.compile(r"FILE_NOT_(?:FOUND|EXIST)|FileNotFoundException|DELTA_VERSION|[Tt]ime travel|CANNOT_RECREATE")

# Of a batch that was closed for it, so that the next one begins anew.
FEED_GONE = "change_feed_gone"


@contextmanager
def fitting(view: str) -> Iterator[None]:
    """Raise a value that its type cannot hold as what it is."""
    try:
        yield
    except (Py4JError, PySparkException) as error:
        found = _OVERFLOW.search(str(error))
        if found is None:
            raise
        raise DataRejected(
            "value_out_of_range",
            f"View {view}: {found[1].strip().rstrip('.')}.",
            remedy="Declare a wider type, or keep such values out of silver by a row rule. Nothing was written.",
            facts={"view": view},
        ) from error


@contextmanager
def feeds_kept(changes: Sequence[TableChanges]) -> Iterator[None]:
    """Raise a change feed whose files or commits are gone as what it is."""
    try:
        yield
    except (Py4JError, PySparkException) as error:
        found = GONE.search(str(error))
        if found is None:
            raise
        named = [change for change in changes if f"/{change.table}/" in str(error)]
        raise feed_gone(named or changes, f"a file or commit of it is not there ({found[0]})") from error


def feed_gone(changes: Sequence[TableChanges], why: str) -> DataRejected:
    """The refusal of changes that cannot be read any more."""
    ranges = {change.table: f"{change.table} {(change.after or 0) + 1} .. {change.upto}" for change in changes}
    return DataRejected(
        "change_feed_gone",
        f"The changes of {', '.join(ranges.values())} cannot be read: {why}.",
        remedy="Run the job again: what rests on them is computed anew, from what silver holds. Nothing was written. "
        "Let VACUUM keep what is younger than the last run.",
        facts={"tables": list(ranges), "versions": [change.upto for change in changes]},
    )
