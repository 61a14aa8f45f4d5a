"""Versions of a dimension: which days each one is valid for (SCD2).

A version is valid from its order instant until the next one's. The first known version has `valid_from` null: it also
answers for the time before it. Both columns are derived from the order columns alone, so a version that arrives late
only shifts its neighbours.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO


def versions(silver: DataFrame, changes: DataFrame, contract: TableContract) -> DataFrame:
    """Every version, with its validity, of the keys that a batch touches.

    Args:
        silver: the dimension as it stood when the batch began.
        changes: new or corrected versions of the batch (contract columns and `_bucket`).
        contract: the dimension's contract; its first order column is the instant a version starts.

    Returns:
        Contract columns, `_bucket`, `valid_from`, `valid_to`; one row per (key, order).
    """
    columns = [*contract.names, "_bucket"]
    touched = silver.join(changes.select(*contract.key).distinct(), on=list(contract.key), how="left_semi")
    kept = touched.join(changes.select(*contract.row_key), on=list(contract.row_key), how="left_anti")
    line = Window.partitionBy(*contract.key).orderBy(*contract.order)
    starts = F.col(contract.order[0])
    every = kept.select(*columns).unionByName(changes.select(*columns))
    return every.select(
        *columns,
        F.when(F.row_number().over(line) > 1, starts).alias(VALID_FROM),
        F.lead(starts).over(line).alias(VALID_TO),
    )
