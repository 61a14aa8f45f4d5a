"""Whether tables that exist can hold what `conf/` declares by now.

Asked before a batch is planned: one that fails for it while it runs would stay open.
"""

from collections.abc import Iterable, Sequence

from pyspark.sql import types as T

from headwater.config.base import JsonValue
from headwater.config.tables import TableContract
from headwater.contracts.schema import struct_type
from headwater.errors import ConfigError
from headwater.features.rows import entity_type
from headwater.features.windows import published_schema
from headwater.pipelines.steps import ConformBatch, Runtime
from headwater.state.streams import StreamState
from headwater.tables.delta import exists, schema_of


def require_silver(runtime: Runtime, contract: TableContract, state: StreamState) -> None:
    """Refuse a contract by which its table cannot be written: another key or buckets would double rows.

    Args:
        runtime: where the table is.
        contract: what is declared.
        state: the table's stream; its last batch says how rows are found.

    Raises:
        ConfigError: rows are found by something else, a column is of another type, or the table has none of its name.
    """
    _require_layout(contract, state)
    if exists(location := runtime.project.path("silver", contract.name)):
        there, declared = schema_of(location), struct_type(contract)
        _require_types(f"silver.{contract.name}", there, declared)
        _require_all(contract.name, location, [each for each in declared if each.name not in there.fieldNames()])


def require_tiles(runtime: Runtime) -> None:
    """Refuse another type of the entity than the log of tiles has.

    Raises:
        ConfigError: it has.
    """
    view, location = runtime.project.view, runtime.project.path("tiles", runtime.project.view.name)
    if exists(location):
        entity = T.StructField(view.entity, entity_type(view, runtime.project.tables))
        _require_types(f"The log of tiles of {view.name}", schema_of(location), [entity])


def require_gold(runtime: Runtime) -> None:
    """Refuse other types of published columns than the history has; new ones are added, and none is dropped.

    Raises:
        ConfigError: a column is of another type.
    """
    view, location = runtime.project.view, runtime.project.path("gold", runtime.project.view.name)
    if exists(location):
        _require_types(f"gold.{view.name}", schema_of(location), published_schema(view, runtime.project.tables))


def _require_layout(contract: TableContract, state: StreamState) -> None:
    if not state.commits:
        return
    built = ConformBatch.model_validate(state.commits[-1].payload).layout
    if built != contract.layout:
        raise ConfigError(
            "layout_changed",
            f"silver.{contract.name} was built as {built!r}, but its contract now says {contract.layout!r}.",
            remedy="Set key, order, kind and buckets back, or build the changed table under a new name.",
            facts={"table": contract.name, "built": built, "declared": contract.layout},
        )


def _require_all(table: str, location: str, missing: Sequence[T.StructField]) -> None:
    if not missing:
        return
    names = [each.name for each in missing]
    columns = ", ".join(f"`{each.name}` {each.dataType.simpleString()}" for each in missing)
    raise ConfigError(
        "column_missing",
        f"silver.{table} has no column {', '.join(names)}, which its contract declares.",
        remedy=f"Run this in Spark SQL: ALTER TABLE delta.`{location}` ADD COLUMNS ({columns}). Rows that are there "
        "are null in it until their source writes them again. Or declare a new table and source.",
        facts={"table": table, "columns": list[JsonValue](names)},
    )


def _require_types(table: str, there: T.StructType, declared: Iterable[T.StructField]) -> None:
    types = {each.name: each.dataType for each in there}
    for each in declared:
        if (found := types.get(each.name, each.dataType)) != each.dataType:
            raise ConfigError(
                "type_changed",
                f"{table} has {each.name} as {found.simpleString()}, and it is declared as "
                f"{each.dataType.simpleString()} now.",
                remedy="Declare the type as it was, or give the column, or the table or view, a new name.",
                facts={"column": each.name, "there": found.simpleString(), "declared": each.dataType.simpleString()},
            )
