"""A feature view against the contracts of its tables: what it names is there, and of a type that it can be used as."""

import re
from collections.abc import Mapping
from pathlib import Path

from headwater.config.aggregates import ARITHMETIC, CHOOSING, COUNTING, Aggregate
from headwater.config.base import nearest
from headwater.config.features import FeatureView
from headwater.config.rows import CalendarPart, ColumnValue, Condition, DaysBetween, part_type, typed
from headwater.config.tables import TableContract
from headwater.errors import ConfigError

# Smallest units are counted in 64 bits, and a sum of many has to have room.
_EXACT = re.compile(r"^(int|bigint|decimal\(\d+,\d\))$")


def check_view(view: FeatureView, tables: Mapping[str, TableContract], path: Path) -> None:
    """Check every reference of a view.

    Raises:
        ConfigError: something is not there, or of a type that does not fit; the message names file and path.
    """
    for table in view.tables:
        require(table, tables, path, "groups", "table")
    members = tables[view.population.table]
    _check_population(view, members, path)
    for index, group in enumerate(view.groups):
        at, contract = f"groups[{index}]", tables[group.table]
        if contract.kind == "history":
            message = f"{path}: {at}.table: {group.table!r} keeps versions, not events."
            remedy = "Name its columns under `attributes`, or compute from a table of kind fact."
            facts = {"file": str(path), "path": f"{at}.table"}
            raise ConfigError("wrong_group", message, remedy=remedy, facts=facts)
        _check_entity(members, contract, f"{path}: {at}.table")
        require(group.event_time, contract.names, path, at, "column")
        types = {column.name: column.type for column in contract.columns}
        for place, feature in enumerate(group.features):
            _check_feature(feature, types, path, f"{at}.features[{place}]")


def _check_entity(members: TableContract, contract: TableContract, where: str) -> None:
    """Entities are matched by value, so both sides have to have one type."""
    types = [{c.name: c.type for c in each.columns}[each.entity] for each in (members, contract)]
    if types[0] != types[1] and set(types) != {"int", "bigint"}:
        raise ConfigError(
            "wrong_group",
            f"{where}: the entity of {contract.name!r} is a {types[1]}, that of {members.name!r} a {types[0]}.",
            remedy="Declare both columns with one type.",
            facts={"table": contract.name, "types": [*types]},
        )


def _check_population(view: FeatureView, members: TableContract, path: Path) -> None:
    facts = {"file": str(path), "path": "population"}
    if members.kind != "history" and view.attributes:
        message = f"{path}: attributes: {members.name!r} keeps no versions, so it has no attributes as of a date."
        remedy = f"Make {members.name!r} a table of kind history, or leave attributes out."
        raise ConfigError("wrong_population", message, remedy=remedy, facts=facts)
    if members.kind == "history" and members.key != (members.entity,):
        key = ", ".join(members.key)
        message = f"{path}: population: the key of {members.name!r} is {key}, not its entity {members.entity!r}."
        remedy = "Versions of an entity must follow each other: choose a table whose one key column is the entity."
        raise ConfigError("wrong_population", message, remedy=remedy, facts=facts)
    for name in (view.population.since, *view.attributes):
        require(name, members.names, path, "population", "column")


def _check_feature(feature: Aggregate, types: Mapping[str, str], path: Path, at: str) -> None:
    used = [feature.available] if feature.available else []
    match feature.value:
        case ColumnValue(column=name) | CalendarPart(of=name):
            used.append(name)
        case DaysBetween(start=start, end=end):
            used += [start, end]
    for name in (*used, *(condition.read for condition in feature.where)):
        require(name, tuple(types), path, at, "column")
    _check_value(feature, types, path, at)
    for place, condition in enumerate(feature.where):
        _check_condition(condition, types[condition.read], path, f"{at}.where[{place}]")


def _check_value(feature: Aggregate, types: Mapping[str, str], path: Path, at: str) -> None:
    if isinstance(feature.value, CalendarPart):
        _check_part(feature.value.part, types[feature.value.of], path, f"{at}.value")
    if isinstance(feature.value, ColumnValue):
        _check_exactness(feature, types[feature.value.column], path, at)
    if feature.op in CHOOSING:
        _check_choice(feature, types, path, at)
    if feature.op in COUNTING and isinstance(feature.value, ColumnValue):
        _check_distinct(feature.value.column, types[feature.value.column], path, at)


def _check_exactness(feature: Aggregate, kind: str, path: Path, at: str) -> None:
    """Refuse to compute from what is no whole number of smallest units: a sum would depend on the order of the rows."""
    if feature.op in ARITHMETIC and not _EXACT.match(kind):
        column = feature.value.column if isinstance(feature.value, ColumnValue) else ""
        raise ConfigError(
            "inexact_value",
            f"{path}: {at}: {feature.name!r} computes from {column!r}, a {kind}.",
            remedy=f"Declare {column} in the contract as int, bigint or decimal(p,s) with s up to 9.",
            facts={"feature": feature.name, "column": column},
        )


def _check_choice(feature: Aggregate, types: Mapping[str, str], path: Path, at: str) -> None:
    """What is given as it is has to be of the column's kind: a text, a date or a number."""
    kind = types[feature.value.column] if isinstance(feature.value, ColumnValue) else "int"
    found = "number" if _EXACT.match(kind) else kind
    wanted = "number" if feature.type not in ("string", "date") else feature.type
    if found != wanted:
        facts = {"file": str(path), "path": at, "type": kind}
        remedy = (
            "Declare string for a text, date for a date, a number for an int, bigint or decimal(p,s) with s up to 9."
        )
        raise ConfigError(
            "wrong_value", f"{path}: {at}: {feature.op} of a {kind} is no {feature.type}.", remedy=remedy, facts=facts
        )


def _check_distinct(column: str, kind: str, path: Path, at: str) -> None:
    if not (_EXACT.match(kind) or kind in ("string", "boolean", "date", "timestamp")):
        facts = {"file": str(path), "path": at, "type": kind}
        remedy = f"Declare {column} in the contract as anything but a double or a decimal with more than 9 places."
        raise ConfigError(
            "wrong_value", f"{path}: {at}: values of a {kind} cannot be told apart.", remedy=remedy, facts=facts
        )


def _check_part(part: str, kind: str, path: Path, at: str) -> None:
    if kind not in ("date", "timestamp") or (part, kind) == ("hour", "date"):
        message = f"{path}: {at}: a {kind} has no {part}."
        remedy = "Take parts of the calendar from a timestamp column, all but the hour from a date column too."
        raise ConfigError("wrong_part", message, remedy=remedy, facts={"file": str(path), "path": at, "type": kind})


def _check_condition(condition: Condition, kind: str, path: Path, at: str) -> None:
    """What a condition compares with has to be of the column's type, and of a kind that has an order where it asks."""
    if condition.part:
        _check_part(condition.part, kind, path, at)
    kind = part_type(condition.part) if condition.part else kind
    problem = ""
    if condition.is_ordered and kind in ("string", "boolean"):
        problem = f"a {kind} is compared with `equals` or `in`, not with more or less"
    if kind == "double" and not condition.is_ordered and condition.is_null is None:
        problem = (
            "a double is compared with `at_least` or `at_most`: whether two are equal depends on how they came about"
        )
    try:
        _ = [typed(value, kind) for value in condition.values]
    except ValueError as error:
        problem = str(error)
    if problem:
        facts = {"file": str(path), "path": at, "type": kind}
        remedy = f"{condition.read} is a {kind}: compare it with values of that type (docs/features.md)."
        raise ConfigError("wrong_condition", f"{path}: {at}: {problem}.", remedy=remedy, facts=facts)


def require(name: str, known: Mapping[str, object] | tuple[str, ...], path: Path, at: str, what: str) -> None:
    """Refuse a name that is not known, with the nearest one that is.

    Raises:
        ConfigError: `unknown_<what>`.
    """
    if name not in known:
        choices = sorted(known)
        raise ConfigError(
            f"unknown_{what}",
            f"{path}: {at}: unknown {what} {name!r}.{nearest(name, choices)}",
            remedy=f"Known: {', '.join(choices)}.",
            facts={"file": str(path), "path": at, "value": name},
        )
