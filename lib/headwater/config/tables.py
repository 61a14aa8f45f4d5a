"""Contracts of silver tables: columns, key, order, row rules."""

import hashlib
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from headwater.config.base import CatalogName, Name, Spec

_SCALARS = ("string", "int", "bigint", "double", "boolean", "date", "timestamp")
_DECIMAL = re.compile(r"^decimal\((\d{1,2}),(\d{1,2})\)$")


class ColumnSpec(Spec):
    """A typed column; `nullable: false` sends a record without a value to quarantine."""

    name: Name = Field(description="Name of the column, as the source has it.")
    type: str = Field(description="string, int, bigint, double, boolean, date, timestamp or decimal(p,s).")
    nullable: bool = Field(default=False, description="Whether a record may come without a value.")

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in _SCALARS and not _DECIMAL.match(value):
            message = f"unknown type; one of {', '.join(_SCALARS)}, decimal(p,s)"
            raise ValueError(message)
        return value


class NonNegative(Spec):
    """The column is not below zero; reason `negative:<column>`."""

    kind: Literal["non_negative"]
    column: Name = Field(description="Column of a number.")


class Allowed(Spec):
    """The column has one of the values; the reason is named by the rule."""

    kind: Literal["allowed"]
    column: Name = Field(description="Column of the contract.")
    values: tuple[str, ...] = Field(min_length=1, description="The values that are allowed.")
    reason: Name = Field(description="Reason that a quarantined record gets.")


class NotBefore(Spec):
    """The column is not before another; reason `order:<column>`."""

    kind: Literal["not_before"]
    column: Name = Field(description="Column of the contract.")
    other: Name = Field(description="Column that comes first.")


class EventDay(Spec):
    """The day lies between 2000-01-01 and the batch's extraction day; reason `range:<column>`."""

    kind: Literal["event_day"]
    column: Name = Field(description="Date or timestamp column.")


class Reference(Spec):
    """The value is a key of a dimension; such records wait in quarantine and are replayed when the key arrives."""

    kind: Literal["reference"]
    column: Name = Field(description="Column of the contract.")
    table: Name = Field(description="Silver table with a key of one column.")
    reason: Name = Field(description="Reason that a waiting record gets.")
    join: Literal["broadcast", "auto"] = Field(
        default="broadcast", description="How the keys reach the records; `auto` leaves it to Spark."
    )


Rule = Annotated[NonNegative | Allowed | NotBefore | EventDay | Reference, Field(discriminator="kind")]


class TableContract(Spec):
    """A silver table: one row per key (a dimension with history: one per key and order)."""

    name: Name = Field(description="Name of the table; the file has the same.")
    source: Name = Field(description="The source that feeds it, and no other table.")
    kind: Literal["fact", "history"] = Field(default="fact", description="`history` keeps every version (SCD2).")
    key: tuple[Name, ...] = Field(min_length=1, description="Columns that identify a record.")
    order: tuple[Name, ...] = Field(min_length=1, description="Columns that say which record of a key is newer.")
    entity: Name = Field(description="Column that features are computed for.")
    buckets: int = Field(default=4, ge=1, le=4096, description="Hash buckets of the key that partition the table.")
    catalog: CatalogName | None = Field(default=None, description="Name of the table in the session's catalog.")
    columns: tuple[ColumnSpec, ...] = Field(min_length=1, description="The columns, in the order of the table.")
    rules: tuple[Rule, ...] = Field(default=(), description="What a record must meet; others go to quarantine.")

    @model_validator(mode="after")
    def _names_exist(self) -> "TableContract":
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            message = f"columns are named twice: {sorted({name for name in names if names.count(name) > 1})}"
            raise ValueError(message)
        used = [*self.key, *self.order, self.entity, *(rule.column for rule in self.rules)]
        used += [rule.other for rule in self.rules if isinstance(rule, NotBefore)]
        if unknown := sorted(set(used) - set(names)):
            message = f"not among the columns: {', '.join(unknown)}"
            raise ValueError(message)
        if sum(isinstance(rule, Reference) for rule in self.rules) > 1:
            message = "there are several reference rules; a table can have one"
            raise ValueError(message)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in contract order."""
        return tuple(column.name for column in self.columns)

    @property
    def row_key(self) -> tuple[str, ...]:
        """What identifies a silver row: the key, and for a history also the order columns."""
        return self.key if self.kind == "fact" else (*self.key, *self.order)

    @property
    def layout(self) -> str:
        """What rows are found by; a table that exists cannot change it."""
        return f"{self.kind}, key {', '.join(self.key)}, order {', '.join(self.order)}, {self.buckets} buckets"

    @property
    def digest(self) -> str:
        """Changes with everything that decides what becomes of a record; not with how a join is executed."""
        meaning = self.model_dump_json(exclude={"catalog": True, "rules": {"__all__": {"join"}}}, exclude_defaults=True)
        return hashlib.sha256(meaning.encode()).hexdigest()[:16]

    @property
    def reference(self) -> Reference | None:
        """The contract's reference rule, if it has one."""
        return next((rule for rule in self.rules if isinstance(rule, Reference)), None)
