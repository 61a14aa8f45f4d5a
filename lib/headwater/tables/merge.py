"""MERGE: rows by key into a table, exactly once like every other write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from delta.tables import DeltaMergeBuilder, DeltaTable
from pyspark.sql import Column, DataFrame

from headwater.tables.delta import Batch, Written, prove

_TXN_APP = "spark.databricks.delta.write.txnAppId"
_TXN_VERSION = "spark.databricks.delta.write.txnVersion"
_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@dataclass(frozen=True, slots=True)
class Upsert:
    """A keyed MERGE.

    Attributes:
        key: columns that identify a row.
        within: by column, the values that the changes have, as SQL literals: of a partition column, so that two merges
            into different partitions do not conflict and only those files are read.
        columns: columns to set on a match; None sets all. What does not match is inserted.
        only_there: nothing is inserted, for every key is there.
        gone: column that says of a row that there is to be none of its key; it is no column of the table.
    """

    key: Sequence[str]
    within: Mapping[str, Sequence[str]] = field(default_factory=dict)
    columns: Sequence[str] | None = None
    only_there: bool = False
    gone: str | None = None


def merge_once(changes: DataFrame, location: str, upsert: Upsert, batch: Batch) -> Written:
    """MERGE changes into a table; returns the commit that holds them."""
    spark = changes.sparkSession
    terms = [f"t.`{name}` = s.`{name}`" for name in (*upsert.key, *upsert.within)]
    terms += [f"t.`{name}` in ({', '.join(values)})" for name, values in upsert.within.items()]
    merge = DeltaTable.forPath(spark, location).alias("t").merge(changes.alias("s"), " and ".join(terms))
    merge = _clauses(merge, upsert, changes.columns)
    # MERGE is the one write that takes its transaction and metadata from session settings only.
    settings = {_TXN_APP: batch.stream, _TXN_VERSION: str(batch.n), _METADATA: batch.metadata}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        merge.execute()
    finally:
        for key in settings:
            spark.conf.unset(key)
    return prove(location, batch)


def _clauses(merge: DeltaMergeBuilder, upsert: Upsert, columns: Sequence[str]) -> DeltaMergeBuilder:
    """What becomes of a match, and of what has none.

    No clause looks at a value: MERGE would read all columns of the table once more each time it looks for its rows.
    """
    values: dict[str, str | Column] = {name: f"s.`{name}`" for name in upsert.columns or columns if name != upsert.gone}
    if upsert.gone is not None:
        merge = merge.whenMatchedDelete(f"s.`{upsert.gone}`").whenMatchedUpdate(set=values)
        return merge.whenNotMatchedInsert(f"not s.`{upsert.gone}`", values=values)
    matched = merge.whenMatchedUpdate(set=values)
    if upsert.only_there:
        return matched
    # What the table has beyond these columns, one of an earlier contract, is null.
    return matched.whenNotMatchedInsert(values={name: f"s.`{name}`" for name in columns})
