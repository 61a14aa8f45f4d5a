"""SQL to begin with, for who reads the published tables: shown by the feature catalogue, run by a test."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from headwater.features.asof import FEATURE_DATE

_WIDTH = 80
# Words that Spark SQL does not take as a column's name.
_KEYWORDS = {
    *("anti", "cross", "except", "full", "inner", "intersect", "join", "lateral", "left", "minus", "natural", "on"),
    *("right", "semi", "union", "using", "from", "select", "where", "true", "false", "null", "default"),
    *("current_date", "current_time", "current_timestamp", "current_user", "user"),
}


@dataclass(frozen=True, slots=True)
class Published:
    """What the queries are about.

    Attributes:
        history: all rows, as SQL names the table.
        latest: the newest row of each entity.
        entity: key column.
        entity_type: its type, which decides how the value to be replaced is written.
        columns: features, in published order.
        ttl_days: days after its date that a row may be used; None: without end.
        newest: the last published date, or one to begin with.
    """

    history: str
    latest: str
    entity: str
    entity_type: str
    columns: Sequence[str]
    ttl_days: int | None
    newest: date


def table_reference(location: str, catalog: str | None, *, suffix: Literal["", "_latest"] = "") -> str:
    """A published table as Spark SQL names it: by its name in the session's catalog, else by its place."""
    if catalog:
        return ".".join(quoted(part) for part in f"{catalog}{suffix}".split("."))
    return f"delta.{quoted(location)}"


def quoted(identifier: str) -> str:
    """An identifier that SQL takes as it is."""
    return f"`{identifier.replace('`', '``')}`"


def named(column: str) -> str:
    """A column in SQL, in quotes where it would mean something else without them."""
    return quoted(column) if column.lower() in _KEYWORDS else column


def latest_row(table: Published) -> str:
    """The row of one entity that may be used today."""
    lines = [
        "select *",
        f"from {table.latest}",
        f"where {named(table.entity)} = {_some_entity(table)}",
    ]
    if table.ttl_days is not None:
        lines.append(f"  and {FEATURE_DATE} >= date_sub(current_date(), {table.ttl_days})")
    return "\n".join(lines)


def history_of(table: Published) -> str:
    """One entity's rows over a week."""
    first = table.newest - timedelta(days=6)
    return "\n".join(
        [
            "select *",
            f"from {table.history}",
            f"where {named(table.entity)} = {_some_entity(table)}",
            f"  and {FEATURE_DATE} between date'{first}' and date'{table.newest}'",
            f"order by {FEATURE_DATE}",
        ]
    )


def point_in_time(table: Published) -> str:
    """Labels with what was known before their day.

    A row of a date holds that whole day, so a label gets a row of an earlier date. Every label keeps its line: two of
    one entity on one day get the same row, and one without a row that may be used gets nulls.
    """
    entity = named(table.entity)
    usable = f" and f.{FEATURE_DATE} >= date_sub(l.label_date, {table.ttl_days})" if table.ttl_days is not None else ""
    return "\n".join(
        [
            f"select l.*, {_listed([FEATURE_DATE, *table.columns])}",
            "from labels as l",
            "left join (",
            f"  select l.{entity}, l.label_date, max(f.{FEATURE_DATE}) as {FEATURE_DATE}",
            "  from labels as l",
            f"  join {table.history} as f",
            f"    on f.{entity} = l.{entity}",
            f"   and f.{FEATURE_DATE} < l.label_date{usable}",
            f"  group by l.{entity}, l.label_date",
            f") as newest on newest.{entity} = l.{entity} and newest.label_date = l.label_date",
            f"left join {table.history} as f",
            f"  on f.{entity} = newest.{entity} and f.{FEATURE_DATE} = newest.{FEATURE_DATE}",
        ]
    )


def _some_entity(table: Published) -> str:
    """A value to be replaced, of the column's type."""
    match table.entity_type:
        case "string":
            return f"'<{table.entity}>'"
        case "date" | "timestamp":
            return f"{table.entity_type}'{table.newest}'"
        case "boolean":
            return "true"
        case _:
            return "0"


def _listed(columns: Sequence[str]) -> str:
    """Columns of the features, in lines that a page can show."""
    lines = [""]
    for column in columns:
        word = f"f.{named(column)}"
        if len(lines[-1]) + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{word}"
    return ",\n       ".join(lines)
