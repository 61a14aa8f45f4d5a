"""What changed in silver between two versions: read from its change data feed, and refused where that is gone."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from pyspark.sql import DataFrame

from headwater.errors import DataRejected
from headwater.features.log import as_inserts
from headwater.pipelines.late import TableChanges
from headwater.pipelines.refusals import is_of_a_commit, versions_kept
from headwater.pipelines.steps import Runtime
from headwater.tables.delta import read_at
from headwater.tables.feed import changed_rows

# Of a batch that was closed for it, so that the next one begins anew.
FEED_GONE = "change_feed_gone"
# What a later batch has replaced, its change feed with it, may be vacuumed a week after.
SURELY_THERE = timedelta(days=6)


def read_feed(change: TableChanges, runtime: Runtime) -> DataFrame:
    """Row images with their `_change_type`; of a table that nothing was known of, every row as new."""
    spark, location = runtime.session(), runtime.project.path("silver", change.table)
    if change.after is None:
        return as_inserts(read_at(spark, location, change.upto))
    return changed_rows(spark, location, change.upto, after=change.after)


@contextmanager
def feeds_kept(changes: Sequence[TableChanges]) -> Iterator[None]:
    """Raise a change feed whose files or commits are gone as what it is."""

    def refusal(found: re.Match[str]) -> DataRejected | None:
        named = [change for change in changes if f"/{change.table}/" in found.string]
        if not named and not (changes and is_of_a_commit(found)):
            return None
        return feed_gone(named or changes, f"a file or commit of it is not there ({found[0]})")

    with versions_kept(refusal):
        yield


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
