"""What a feature reads of a silver row: a column, days between two, a part of the calendar; and which rows count."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from headwater.config.base import Name, Spec

Part = Literal["hour", "day_of_week", "month", "quarter", "weekend"]
Scalar: TypeAlias = StrictBool | StrictInt | StrictFloat | StrictStr
Typed: TypeAlias = bool | int | float | str | Decimal | date | datetime

# A decimal of Spark's has no more.
_DIGITS = 38


class ColumnValue(Spec):
    """The aggregate reads a column of the table."""

    kind: Literal["column"] = "column"
    column: Name = Field(
        description="Column of the table. What computes needs whole numbers or decimals; a double has no exact sum."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.column,)


class DaysBetween(Spec):
    """The aggregate reads whole days from one date column to another."""

    kind: Literal["days_between"] = "days_between"
    start: Name = Field(description="Date column that the days are counted from.")
    end: Name = Field(description="Date column that they are counted to.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.start, self.end)


class CalendarPart(Spec):
    """The aggregate reads where in the calendar an instant lies, in UTC."""

    kind: Literal["part"] = "part"
    part: Part = Field(
        description="`hour` 0 to 23, `day_of_week` 1 (Monday) to 7, `month`, `quarter`, or `weekend` (1 or 0)."
    )
    of: Name = Field(description="Date or timestamp column; a date has no hour.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.of,)


Value = Annotated[ColumnValue | DaysBetween | CalendarPart, Field(discriminator="kind")]


class Condition(Spec):
    """Which rows count: by the value of a column or of a calendar part. A row without a value counts for `is_null`."""

    model_config = ConfigDict(serialize_by_alias=True)

    column: Name | None = Field(default=None, description="Column of the table; or `part` and `of`.")
    part: Part | None = Field(default=None, description="Part of the calendar, as for a value; `weekend` is a boolean.")
    of: Name | None = Field(default=None, description="Date or timestamp column that the part is taken of, in UTC.")
    equals: Scalar | None = Field(default=None, description="The value that counts, of the column's type.")
    among: tuple[Scalar, ...] | None = Field(default=None, alias="in", min_length=1, description="Values that count.")
    at_least: Scalar | None = Field(default=None, description="Least value that counts; of numbers, dates, instants.")
    at_most: Scalar | None = Field(default=None, description="Greatest value that counts; may stand with `at_least`.")
    is_null: bool | None = Field(default=None, description="Whether the value has to be missing (true) or there.")

    @property
    def read(self) -> str:
        """The column that is looked at."""
        return str(self.column or self.of)

    @property
    def values(self) -> tuple[Scalar, ...]:
        """Every value that it compares with."""
        singles = (self.equals, self.at_least, self.at_most)
        return (*(each for each in singles if each is not None), *(self.among or ()))

    @property
    def is_ordered(self) -> bool:
        """Whether it asks for more or less."""
        return self.at_least is not None or self.at_most is not None

    @model_validator(mode="after")
    def _one_subject_and_one_question(self) -> "Condition":
        if (self.column is None) == (self.part is None) or (self.part is None) != (self.of is None):
            message = "a condition reads `column`, or `part` with `of`"
            raise ValueError(message)
        asked = [self.equals is not None, self.among is not None, self.is_ordered, self.is_null is not None]
        if sum(asked) != 1:
            message = "a condition says one of `equals`, `in`, `at_least` and `at_most`, `is_null`"
            raise ValueError(message)
        return self


def part_type(part: Part) -> str:
    """The type by which a condition compares a part of the calendar."""
    return "boolean" if part == "weekend" else "int"


def typed(value: Scalar, kind: str) -> Typed:
    """A value of the configuration as one of a column's type.

    Args:
        value: as YAML gives it; dates and instants are ISO text, an instant without a zone is UTC.
        kind: type of a contract's column.

    Raises:
        ValueError: it is no value of that type.
    """
    try:
        match kind, value:
            case ("string", str()) | ("boolean", bool()):
                return value
            case "date", str():
                return date.fromisoformat(value)
            case "timestamp", str():
                instant = datetime.fromisoformat(value)
                return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
            case _ if kind.startswith("decimal") and not isinstance(value, bool):
                return _decimal(str(value))
            case "int" | "bigint" | "double", int() | float() if not isinstance(value, bool):
                return _number(value, kind)
    except (ValueError, InvalidOperation):
        pass
    message = f"{value!r} is no {kind}"
    raise ValueError(message)


def _number(value: float, kind: str) -> float:
    if kind == "double":
        return float(value)
    if isinstance(value, float) or abs(value) >= 2**63:
        raise ValueError
    return value


def _decimal(text: str) -> Decimal:
    exact = Decimal(text)
    if not exact.is_finite() or exact.adjusted() >= _DIGITS:
        raise ValueError
    # Without an exponent, which Spark takes for a negative scale.
    return Decimal(f"{exact:f}")
