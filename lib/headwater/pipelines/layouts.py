"""Whether tables that exist can hold what `conf/` declares by now.

Asked before a batch is planned: one that fails for it while it runs would stay open.
"""

from collections.abc import Iterable

from pyspark.sql import types as T

from headwater.config.base import JsonValue
from headwater.config.tables import TableContract
from headwater.contracts.schema import struct_type
from headwater.errors import ConfigError
from headwater.features.rows import entity_type
from headwater.features.windows import published_schema
from headwater.pipelines.steps import Runtime
from headwater.tables.delta import exists, schema_of


def require_silver(runtime: Runtime, contract: TableContract) -> None:
    """Refuse a contract that declares a column of another type than its table has, or one that it has not.

    Raises:
        ConfigError: it does.
    """
    name, location = contract.name, runtime.project.path("silver", contract.name)
    if not exists(location):
        return
    there, declared = schema_of(location), struct_type(contract)
    _require_types(f"silver.{name}", there, declared)
    if missing := [each for each in declared if each.name not in there.fieldNames()]:
        names = [each.name for each in missing]
        columns = ", ".join(f"`{each.name}` {each.dataType.simpleString()}" for each in missing)
        raise ConfigError(
            "column_missing",
            f"silver.{name} has no column {', '.join(names)}, which its contract declares.",
            remedy=f"Run this in Spark SQL: ALTER TABLE delta.`{location}` ADD COLUMNS ({columns}). Rows that are "
            "there are null in it until their source writes them again. Or declare a new table and source.",
            facts={"table": name, "columns": list[JsonValue](names)},
        )


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
