"""The features of a view as declared data: aggregates over the rows of a table, and what is derived from those."""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.base import Name, Spec
from headwater.config.rows import Condition, Value

Op = Literal[
    "sum",
    "count",
    "mean",
    "variance",
    "std",
    "min",
    "max",
    "first",
    "last",
    "distinct",
    "distinct_approx",
    "most_frequent",
    "first_day",
    "last_day",
    "days_since_first",
    "days_since_last",
]
# Ops that compute with the value of a row, which has to be a whole number of smallest units.
ARITHMETIC: frozenset[Op] = frozenset({"sum", "mean", "variance", "std", "min", "max"})
# Ops that give one of the values as it is.
CHOOSING: frozenset[Op] = frozenset({"first", "last", "most_frequent"})
# Ops that only tell values apart.
COUNTING: frozenset[Op] = frozenset({"distinct", "distinct_approx"})
# Ops over the newest events.
ROLLING: frozenset[Op] = frozenset({"sum", "mean", "variance", "std", "min", "max"})
# Ops whose result depends on what a value is; the others only ask whether there is one.
READING = ARITHMETIC | CHOOSING | COUNTING
_NUMERIC = re.compile(r"^(?:int|bigint|double|decimal\((?P<precision>\d+),(?P<scale>\d+)\))$")
_ANY = re.compile(rf"^(?:string|date)$|{_NUMERIC.pattern}")
_TYPES_OF_OP = {
    "first": _ANY,
    "last": _ANY,
    "most_frequent": _ANY,
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

Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Small letters, digits, - and _.")]


class Aggregate(Spec):
    """One feature: an operation over the rows of a window that ends with the feature date."""

    name: Name = Field(description="Name of the published column.")
    type: str = Field(
        description="int, bigint, double or decimal(p,s), of which digits that it gives up are rounded half away "
        "from zero; a date for `.._day`, a double for `mean`, `variance` and `std`; string too for `first`, `last` and "
        "`most_frequent`."
    )
    op: Op = Field(
        description="`count` counts rows, `first_day` and `last_day` are event days and `days_since_..` the days since."
    )
    value: Value | None = Field(
        default=None,
        description="What is read of a row; a row without a value does not count. Only `count` and the days of events "
        "can do without.",
    )
    where: tuple[Condition, ...] = Field(default=(), description="A row counts when all of these hold.")
    window_days: int | None = Field(
        default=None, ge=1, le=3660, description="Days that end with the date; none = all history up to it."
    )
    events: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Instead of a window: the newest rows that count, up to the date. For `sum`, `mean`, `variance`, "
        "`std`, `min` and `max`.",
    )
    min_events: int = Field(default=1, ge=1, description="How many of those there have to be at least.")
    available: Name | None = Field(default=None, description="Date since when the fact could be known.")
    default: int | float | str | None = Field(default=None, description="Value when no row matches.")
    cap: int | None = Field(default=None, description="Greatest value; above it, it stands in its place.")
    owner: str = Field(default="", description="Who answers for it, if not the view's owner; changes nothing.")
    tags: tuple[Tag, ...] = Field(default=(), description="Words to find it by in the catalogue; change nothing.")
    description: str = Field(default="", description="For people; changes nothing.")

    def reads(self, event_time: str) -> tuple[str, ...]:
        """Columns that decide it: what it reads, what it asks of a row, and when the row counts."""
        read = self.value.columns if self.value else ()
        asked = [condition.read for condition in self.where]
        known = [self.available] if self.available else []
        return tuple(dict.fromkeys((*read, *asked, event_time, *known)))

    @model_validator(mode="after")
    def _value_fits_op(self) -> "Aggregate":
        if self.op in READING and self.value is None:
            message = f"op {self.op} needs a value"
            raise ValueError(message)
        _check_cell(self)
        return self

    @model_validator(mode="after")
    def _events_stand_alone(self) -> "Aggregate":
        problem = ""
        if self.events is None and self.min_events > 1:
            problem = "min_events is for features over the newest `events`"
        if self.events is not None and self.op not in ROLLING:
            problem = f"there is no {self.op} of the newest events; one of {', '.join(sorted(ROLLING))}"
        if self.events is not None and (self.window_days is not None or self.available):
            problem = "`events` stands without `window_days` and `available`"
        if self.events is not None and self.min_events > self.events:
            problem = f"min_events is above events: there are never {self.min_events} of {self.events}"
        if problem:
            raise ValueError(problem)
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
    owner: str = Field(default="", description="Who answers for it, if not the view's owner; changes nothing.")
    tags: tuple[Tag, ...] = Field(default=(), description="Words to find it by in the catalogue; change nothing.")
    description: str = Field(default="", description="For people; changes nothing.")

    @model_validator(mode="after")
    def _cell_fits_op(self) -> "Derived":
        _check_cell(self)
        return self


def _check_cell(feature: Aggregate | Derived) -> None:
    if not _TYPES_OF_OP.get(feature.op, _NUMERIC).match(feature.type) or not _is_decimal_of_spark(feature.type):
        message = f"op {feature.op} cannot give a {feature.type}"
        raise ValueError(message)
    if feature.cap is not None and feature.type in ("date", "string"):
        message = f"a {feature.type} has no cap"
        raise ValueError(message)
    if feature.default is not None and not _fits(feature.default, feature.type):
        message = f"the default {feature.default!r} is no {feature.type}"
        raise ValueError(message)


def _is_decimal_of_spark(kind: str) -> bool:
    found = _NUMERIC.match(kind)
    return not found or not found["scale"] or int(found["scale"]) <= int(found["precision"]) <= _DIGITS


def _fits(default: float | str, kind: str) -> bool:
    """Whether a default is a value of its type, to the last digit."""
    if kind == "string":
        return isinstance(default, str)
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
