"""Feature views as declared data: who, from which tables, which aggregates over which windows."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.base import CatalogName, Name, Spec, nearest

Op = Literal[
    "sum",
    "count",
    "mean",
    "variance",
    "std",
    "min",
    "max",
    "first_day",
    "last_day",
    "days_since_first",
    "days_since_last",
]
# Ops that compute with the value of a row, which has to be a whole number of smallest units.
ARITHMETIC: frozenset[Op] = frozenset({"sum", "mean", "variance", "std", "min", "max"})
_NUMERIC = re.compile(r"^(?:int|bigint|double|decimal\((?P<precision>\d+),(?P<scale>\d+)\))$")
_TYPES_OF_OP = {
    "first_day": re.compile("^date$"),
    "last_day": re.compile("^date$"),
    # Six decimals are part of what these are; another type would round them once more.
    "mean": re.compile("^double$"),
    "variance": re.compile("^double$"),
    "std": re.compile("^double$"),
    "ratio": re.compile("^double$"),
}
_DIGITS = 38
_BITS = {"int": 31, "bigint": 63}


class ColumnValue(Spec):
    """The aggregate reads a column of the table."""

    kind: Literal["column"] = "column"
    column: Name = Field(description="Column of whole numbers or decimals; a double has no exact sum.")


class DaysBetween(Spec):
    """The aggregate reads whole days from one date column to another."""

    kind: Literal["days_between"] = "days_between"
    start: Name = Field(description="Date column that the days are counted from.")
    end: Name = Field(description="Date column that they are counted to.")


class Equals(Spec):
    """Only rows whose column has this value count."""

    column: Name = Field(description="Column of the table.")
    equals: str = Field(description="The value that counts.")


class Aggregate(Spec):
    """One feature: an operation over the rows of a window that ends with the feature date."""

    name: Name = Field(description="Name of the published column.")
    type: str = Field(
        description="int, bigint, double or decimal(p,s); a date for `.._day`, a double for `mean`. Digits that it "
        "gives up are rounded half away from zero."
    )
    op: Op = Field(
        description="`count` counts rows, `first_day` and `last_day` are event days and `days_since_..` the days since."
    )
    value: Annotated[ColumnValue | DaysBetween, Field(discriminator="kind")] | None = Field(
        default=None, description="What `sum`, `mean`, `min` and `max` read of a row; they cannot do without."
    )
    where: tuple[Equals, ...] = Field(default=(), description="A row counts when all of these hold.")
    window_days: int | None = Field(
        default=None, ge=1, le=3660, description="Days that end with the date; none = all history up to it."
    )
    available: Name | None = Field(default=None, description="Date since when the fact could be known.")
    default: int | float | str | None = Field(default=None, description="Value when no row matches.")
    cap: int | None = Field(default=None, description="Greatest value; above it, it stands in its place.")
    description: str = Field(default="", description="For people; changes nothing.")

    @model_validator(mode="after")
    def _value_fits_op(self) -> "Aggregate":
        if self.op in ARITHMETIC and self.value is None:
            message = f"op {self.op} needs a value"
            raise ValueError(message)
        _check_cell(self)
        return self


class Derived(Spec):
    """A feature computed from two others of the same row, before their caps and defaults."""

    name: Name = Field(description="Name of the published column.")
    type: str = Field(description="double for `ratio`; int, bigint, double or decimal(p,s) for `difference`.")
    op: Literal["ratio", "difference"] = Field(
        description="The first divided by the second, rounded half away from zero to six decimals; or the first minus "
        "the second, of two numbers or, in days, of two dates."
    )
    of: tuple[Name, ...] = Field(
        min_length=2, max_length=2, description="The two features, from any group, or derived themselves."
    )
    default: int | float | str | None = Field(
        default=None, description="Value where one of the two is unknown, or the second of a ratio is zero."
    )
    cap: int | None = Field(default=None, description="Greatest value; above it, it stands in its place.")
    description: str = Field(default="", description="For people; changes nothing.")

    @model_validator(mode="after")
    def _cell_fits_op(self) -> "Derived":
        _check_cell(self)
        return self


def _check_cell(feature: Aggregate | Derived) -> None:
    if not _TYPES_OF_OP.get(feature.op, _NUMERIC).match(feature.type) or not _is_decimal_of_spark(feature.type):
        message = f"op {feature.op} cannot give a {feature.type}"
        raise ValueError(message)
    if feature.cap is not None and feature.type == "date":
        message = "a date has no cap"
        raise ValueError(message)
    if feature.default is not None and not _fits(feature.default, feature.type):
        message = f"the default {feature.default!r} is no {feature.type}"
        raise ValueError(message)


def _is_decimal_of_spark(kind: str) -> bool:
    found = _NUMERIC.match(kind)
    return not found or not found["scale"] or int(found["scale"]) <= int(found["precision"]) <= _DIGITS


def _fits(default: float | str, kind: str) -> bool:
    """Whether a default is a value of its type, to the last digit."""
    try:
        if kind == "date":
            return bool(date.fromisoformat(str(default)))
        number = Decimal(str(default))
    except (ValueError, InvalidOperation):
        return False
    if kind == "double" or not number.is_finite():
        return number.is_finite()
    found = _NUMERIC.match(kind)
    units = number.scaleb(int(found["scale"] or 0)) if found else number
    limit = 2 ** _BITS[kind] if kind in _BITS else 10 ** int(found["precision"]) if found else 0
    return units == units.to_integral_value() and abs(units) < limit


class FeatureGroup(Spec):
    """The features computed from one silver table."""

    table: Name = Field(description="A silver table of kind `fact`.")
    event_time: Name = Field(description="Date or timestamp column that says when a row happened.")
    features: tuple[Aggregate, ...] = Field(min_length=1, description="What is computed, in published order.")

    @property
    def longest_window(self) -> int | None:
        """Days of the longest window; None when a feature looks at all history."""
        windows = [feature.window_days for feature in self.features]
        return None if None in windows else max(window for window in windows if window is not None)

    @property
    def available(self) -> str | None:
        """The group's second date, if a feature has one."""
        return next((feature.available for feature in self.features if feature.available), None)

    @model_validator(mode="after")
    def _one_second_date(self) -> "FeatureGroup":
        if len(seconds := {feature.available for feature in self.features} - {None}) > 1:
            message = f"features of one group share one available date, not {', '.join(sorted(map(str, seconds)))}"
            raise ValueError(message)
        return self


class Population(Spec):
    """Who has a row on a date: entities of a dimension whose start date has come, or that had an event by then."""

    table: Name = Field(description="A history: its versions decide. A fact table: its first event of an entity does.")
    since: Name = Field(description="Column whose day a member's rows begin with.")


class FeatureView(Spec):
    """A published table: key (entity, feature_date), attributes and aggregates."""

    name: Name = Field(description="Name of the published table.")
    version: str = Field(description="Published in `pipeline_version`, before a digest of the definitions.")
    entity: Name = Field(description="Key column of the published table, beside `feature_date`.")
    population: Population = Field(description="Who has a row.")
    groups: tuple[FeatureGroup, ...] = Field(description="The features, by the table they are computed from.")
    derived: tuple[Derived, ...] = Field(default=(), description="Features computed from those, published after them.")
    attributes: tuple[Name, ...] = Field(
        default=(), description="Columns of the population's dimension, as of the date."
    )
    catalog: CatalogName | None = Field(
        default=None, description="Name of history in the session's catalog; latest has it with `_latest` behind."
    )
    owner: str = Field(default="", description="For people; changes nothing.")
    description: str = Field(default="", description="For people; changes nothing.")

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """Every aggregate in declared order."""
        return tuple(feature for group in self.groups for feature in group.features)

    @property
    def features(self) -> tuple[Aggregate | Derived, ...]:
        """Every feature in published order."""
        return (*self.aggregates, *self.derived)

    @property
    def derived_in_turn(self) -> tuple[Derived, ...]:
        """Derived features, each after those that it is computed from."""
        by_name = {feature.name: feature for feature in self.derived}
        order = TopologicalSorter({name: by_name.keys() & feature.of for name, feature in by_name.items()})
        return tuple(by_name[name] for name in order.static_order())

    @property
    def tables_of(self) -> Mapping[str, frozenset[str]]:
        """By feature, the tables whose rows decide its value."""
        found = {feature.name: frozenset([group.table]) for group in self.groups for feature in group.features}
        for feature in self.derived_in_turn:
            found[feature.name] = frozenset[str]().union(*(found[name] for name in feature.of))
        return found

    @property
    def tables(self) -> tuple[str, ...]:
        """Silver tables the view reads, the population's dimension first."""
        return tuple(dict.fromkeys([self.population.table, *(group.table for group in self.groups)]))

    @property
    def pipeline_version(self) -> str:
        """Version of the definitions: the declared one and a digest that changes with every definition."""
        parts = {"entity", "population", "groups", "derived", "attributes"}
        meaning = self.model_dump_json(include=parts, exclude_defaults=True)
        return f"{self.version}-{hashlib.sha256(meaning.encode()).hexdigest()[:8]}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Published columns in order."""
        names = (feature.name for feature in self.features)
        return (self.entity, "feature_date", *names, *self.attributes, "stale_sources", "pipeline_version")

    @model_validator(mode="after")
    def _names_are_unique(self) -> "FeatureView":
        if len(set(self.columns)) != len(self.columns):
            message = f"a feature is named twice among {', '.join(self.columns)}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _operands_exist(self) -> "FeatureView":
        if mistakes := [*self._unknown_operands()]:
            raise ValueError("; ".join(mistakes))
        try:
            _ = self.derived_in_turn
        except CycleError as error:
            message = f"derived: features are computed from each other in a circle: {' -> '.join(error.args[1])}"
            raise ValueError(message) from None
        if mistakes := [*self._unfit_operands()]:
            raise ValueError("; ".join(mistakes))
        return self

    def _unknown_operands(self) -> Iterator[str]:
        names = [feature.name for feature in self.features]
        for place, feature in enumerate(self.derived):
            for name in feature.of:
                if name not in names:
                    yield f"derived[{place}].of: unknown feature {name!r}.{nearest(name, names)}"

    def _unfit_operands(self) -> Iterator[str]:
        types = {feature.name: feature.type for feature in self.features}
        for place, feature in enumerate(self.derived):
            kinds = {types[name] if types[name] in ("date", "string") else "number" for name in feature.of}
            if kinds != {"number"} and (feature.op, kinds) != ("difference", {"date"}):
                found = " and ".join(types[name] for name in feature.of)
                yield f"derived[{place}].of: there is no {feature.op} of {found}"
