"""Versions of a dimension: which days each one is valid for (SCD2).

A version is valid from its order instant until the next one's. The first known version has `valid_from` null: it also
answers for the time before it. Both columns are derived from the order columns alone, so a version that arrives late
only shifts its neighbours.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO
from headwater.transforms.dedup import BUCKET, EFFECT

OWN = "_own"
KNOWN = "_known"


def versions(silver: DataFrame, changes: DataFrame, contract: TableContract) -> DataFrame:
    """The rows that a batch writes: its own versions, and neighbours whose validity they move.

    Args:
        silver: the dimension as it stood when the batch began.
        changes: new or corrected versions of the batch (contract columns, `_bucket`, `_effect`).
        contract: the dimension's contract; its first order column is the instant a version starts.

    Returns:
        Contract columns, `_bucket`, `valid_from`, `valid_to`, `_own` (of the batch, not a neighbour) and `_known`
        (silver held a version of the key already); one row per (key, order).
    """
    columns = [*contract.names, BUCKET]
    touched = silver.join(changes.select(*contract.key).distinct(), on=list(contract.key), how="left_semi")
    kept = touched.join(changes.select(*contract.row_key), on=list(contract.row_key), how="left_anti")
    before = [F.col(name).alias(f"_{name}") for name in (VALID_FROM, VALID_TO)]
    theirs = kept.select(*columns, F.lit(False).alias(OWN), F.lit(True).alias(KNOWN), *before)
    ours = changes.select(*columns, F.lit(True).alias(OWN), (F.col(EFFECT) == "updated").alias(KNOWN))
    of_key = Window.partitionBy(*contract.key)
    line = of_key.orderBy(*contract.order)
    starts = F.col(contract.order[0])
    placed = theirs.unionByName(ours, allowMissingColumns=True).select(
        *columns,
        F.when(F.row_number().over(line) > 1, starts).alias(VALID_FROM),
        F.lead(starts).over(line).alias(VALID_TO),
        OWN,
        F.max(KNOWN).over(of_key).alias(KNOWN),
        *(f"_{name}" for name in (VALID_FROM, VALID_TO)),
    )
    stays = F.col(VALID_FROM).eqNullSafe(F.col(f"_{VALID_FROM}")) & F.col(VALID_TO).eqNullSafe(F.col(f"_{VALID_TO}"))
    return placed.where(F.col(OWN) | ~stays).select(*columns, VALID_FROM, VALID_TO, OWN, KNOWN)
