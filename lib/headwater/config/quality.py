"""Check suites: what must hold for staged feature rows before anybody may read them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.base import Name, Spec

Dimension = Literal["completeness", "accuracy", "consistency", "timeliness", "uniqueness", "validity"]


class _Check(Spec):
    dimension: Dimension = Field(description="The aspect of quality that the report files the check under.")
    layer: int = Field(default=2, ge=1, le=4, description="1 schema, 2 statistical, 3 business, 4 ML.")
    blocking: bool = Field(default=True, description="Whether a failure keeps the rows from being published.")


class NotNull(_Check):
    """No row lacks the column."""

    kind: Literal["not_null"]
    column: Name = Field(description="Published column.")


class Unique(_Check):
    """No two rows share the columns."""

    kind: Literal["unique"]
    columns: tuple[Name, ...] = Field(min_length=1, description="Published columns.")


class InRange(_Check):
    """Every value lies in [min, max]; a null passes."""

    kind: Literal["in_range"]
    column: Name = Field(description="Published column.")
    min: float | None = Field(default=None, description="Least value; this or `max` is given.")
    max: float | None = Field(default=None, description="Greatest value.")

    @model_validator(mode="after")
    def _has_a_bound(self) -> "InRange":
        if self.min is None and self.max is None:
            message = "in_range needs min, max or both"
            raise ValueError(message)
        return self


class NotGreater(_Check):
    """In every row one column is at most another."""

    kind: Literal["not_greater"]
    column: Name = Field(description="Published column.")
    than: Name = Field(description="Published column that is at least as great.")


class Metric(_Check):
    """A statistic of a column lies in [min, max]."""

    kind: Literal["metric"]
    metric: Literal["mean", "standard_deviation", "completeness", "minimum", "maximum", "approx_distinct"] = Field(
        description="The statistic; `completeness` is the share of rows that have a value."
    )
    column: Name = Field(description="Published column.")
    min: float | None = Field(default=None, description="Least value of the statistic.")
    max: float | None = Field(default=None, description="Greatest value of the statistic.")


class PopulationExact(_Check):
    """Each date has exactly one row per entity of the population."""

    kind: Literal["population_exact"]


class PopulationChange(_Check):
    """The population of a date is within a share of the day before's."""

    kind: Literal["population_change"]
    max_share: float = Field(gt=0, description="Greatest change, as a share of the day before.")


class PopulationRange(_Check):
    """The population of a date lies in a range."""

    kind: Literal["population_range"]
    min: int = Field(ge=0, description="Fewest entities.")
    max: int = Field(ge=0, description="Most entities.")


class RowPassRate(_Check):
    """Of a source's records since the last published run, at least this share was not quarantined."""

    kind: Literal["row_pass_rate"]
    min: float = Field(gt=0, le=1, description="Least share of records that pass.")


FrameCheck = NotNull | Unique | InRange | NotGreater | Metric
Check = Annotated[
    NotNull
    | Unique
    | InRange
    | NotGreater
    | Metric
    | PopulationExact
    | PopulationChange
    | PopulationRange
    | RowPassRate,
    Field(discriminator="kind"),
]


class CheckSuite(Spec):
    """The checks of one feature view; `environments` adds checks that only some environments have."""

    view: Name = Field(description="The feature view that is checked; which suite is read goes by the file's name.")
    checks: tuple[Check, ...] = Field(min_length=1, description="Checks of every environment.")
    max_withheld: float = Field(
        default=0.005, ge=0, le=1, description="Share of staged rows that may break a range and are only held back."
    )
    environments: dict[str, tuple[Check, ...]] = Field(
        default_factory=dict, description="Further checks, by the name of the environment that has them."
    )

    def for_environment(self, env: str) -> tuple[Check, ...]:
        """The checks that decide in `env`."""
        return (*self.checks, *self.environments.get(env, ()))
