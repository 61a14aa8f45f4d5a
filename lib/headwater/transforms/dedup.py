"""One winner per key in a batch, and what the winner does to silver.

Which record wins never depends on arrival: a record's rank is the struct of its order columns followed by its other
columns in contract order. Spark compares structs field by field with nulls lowest and strings bytewise, which is the
rule of semantics.md, section 4, so the same comparison decides within a batch and against silver.
"""

from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.tables import TableContract

Effect = Literal["inserted", "updated", "unchanged", "superseded"]
EFFECT = "_effect"
RECORDS = "_records"
BUCKET = "_bucket"
CURRENT = "_current"


def rank(contract: TableContract) -> Column:
    """What records of one key are compared by."""
    others = [name for name in contract.names if name not in contract.order and name not in contract.row_key]
    return F.struct(*(F.col(f"`{name}`") for name in (*contract.order, *others)))


def winners(accepted: DataFrame, contract: TableContract) -> DataFrame:
    """The greatest record of each key.

    Returns:
        The contract's columns and `_records`, how many records of the batch share the key; one row per key.
    """
    best = accepted.groupBy(*contract.row_key).agg(F.max(rank(contract)).alias("_best"), F.count("*").alias(RECORDS))
    columns = [F.col(n) if n in contract.row_key else F.col(f"_best.`{n}`").alias(n) for n in contract.names]
    return best.select(*columns, RECORDS)


def classify(won: DataFrame, silver: DataFrame, contract: TableContract) -> DataFrame:
    """Say what each winner does to silver as it stood when the batch began.

    Returns:
        `won` with `_effect` (inserted, updated, unchanged or superseded), `_current` (rank of silver's row, null where
        there is none) and `_bucket`, the partition of its key.
    """
    current = silver.select(*contract.row_key, rank(contract).alias(CURRENT))
    effect = (
        F.when(F.col(CURRENT).isNull(), "inserted")
        .when(rank(contract) > F.col(CURRENT), "updated")
        .when(rank(contract) < F.col(CURRENT), "superseded")
        .otherwise("unchanged")
    )
    joined = won.join(current, on=list(contract.row_key), how="left")
    return joined.select(*contract.names, RECORDS, CURRENT, effect.alias(EFFECT), bucket(contract).alias(BUCKET))


def bucket(contract: TableContract) -> Column:
    """The hash bucket of a key; versions of one entity share it."""
    return F.pmod(F.xxhash64(*contract.key), F.lit(contract.buckets)).cast("int")
