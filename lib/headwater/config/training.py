"""Training sets as declared data: which labels, which views, and what a label may know."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.base import Name, Spec

Cutoff = Literal["before_day", "through_day"]
AsOf = Literal["repaired", "published"]
_Prefix = Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]


class LabelTable(Spec):
    """Where the labels are: one row per entity and time; other columns are left where they are."""

    path: str = Field(min_length=1, description="Delta table, Parquet file, or folder of Parquet files.")
    format: Literal["delta", "parquet"] = Field(default="delta", description="How they are stored.")
    entity: Name = Field(description="Column that names the entity.")
    time: Name = Field(
        description="When the label is asked for: a timestamp (UTC, if it has no zone) or a date (its first instant)."
    )
    label: Name = Field(description="Column with what came of it; empty only where it is not mature.")


class ProjectView(Spec):
    """The features that this project publishes."""

    kind: Literal["view"] = "view"
    view: Name = Field(description="Name of the project's feature view.")
    prefix: _Prefix = Field(default="", description="Put before the name of every column that is taken.")
    features: tuple[Name, ...] = Field(default=(), description="Columns to take; none named = all.")


class PublishedTable(Spec):
    """Features that another project publishes: a history with one row per entity and `feature_date`."""

    kind: Literal["table"] = "table"
    path: str = Field(min_length=1, description="The Delta table.")
    entity: Name = Field(description="Its entity column.")
    prefix: _Prefix = Field(default="", description="Put before the name of every column that is taken.")
    features: tuple[Name, ...] = Field(default=(), description="Columns to take; none named = all.")


View = Annotated[ProjectView | PublishedTable, Field(discriminator="kind")]


class Split(Spec):
    """Labels up to a day, from the end of the split before."""

    name: Name = Field(description="Value of the column `split`.")
    until: date = Field(description="Last UTC day of its labels.")


class TrainingSet(Spec):
    """Labels, each with what was known about its entity at the time."""

    name: Name = Field(description="Name of the training set, as its file is called.")
    labels: LabelTable = Field(description="What is to be learnt.")
    views: tuple[View, ...] = Field(min_length=1, description="Where the features come from.")
    cutoff: Cutoff = Field(
        default="before_day",
        description="`before_day`: the newest row of a date before the UTC day of the label's time, for a row knows "
        "all of its day. `through_day`: that day's row too.",
    )
    max_age_days: int | None = Field(
        default=None,
        ge=1,
        description="A row that is more days older than the label's day is no match; none = any age.",
    )
    as_of: AsOf = Field(
        default="repaired",
        description="`repaired`: rows as they are now, with every late and corrected record. `published`: rows as a "
        "reader saw them at the label's time.",
    )
    maturity_days: int = Field(
        default=0,
        ge=0,
        description="Days after its own until a label is final; younger ones are left out on a run date.",
    )
    splits: tuple[Split, ...] = Field(
        default=(), description="In order of time; a label after the last one has no `split`."
    )
    description: str = Field(default="", description="For people; changes nothing.")

    @model_validator(mode="after")
    def _splits_follow_each_other(self) -> "TrainingSet":
        ends = [split.until for split in self.splits]
        if any(later <= earlier for earlier, later in zip(ends, ends[1:], strict=False)):
            message = f"splits end in order of time, not {', '.join(map(str, ends))}"
            raise ValueError(message)
        if len({split.name for split in self.splits}) < len(self.splits):
            message = f"a split is named twice among {', '.join(split.name for split in self.splits)}"
            raise ValueError(message)
        return self

    @property
    def decisive(self) -> str:
        """Everything in here that decides rows, as JSON."""
        return self.model_dump_json(exclude={"description"})
