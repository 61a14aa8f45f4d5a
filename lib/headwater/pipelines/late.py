"""Late rows as data: what came after dates it counts on had been published, and what is done about it."""

from datetime import date

from pydantic import Field

from headwater.config.base import Spec


class TableChanges(Spec):
    """Versions of a silver table after one, up to another."""

    table: str
    after: int | None = Field(description="None: everything, as it is at `upto`")
    upto: int


class LateRows(Spec):
    """Rows of a silver table that came, or were changed, after dates that they count on had been published."""

    table: str
    rows: int = Field(description="row images, old and new, within the repair horizon where some are")
    first: date = Field(description="their earliest day")
    last: date = Field(description="their latest day")
    dates_from: date | None = Field(description="the first published date that they change; None within no horizon")
    dates_to: date | None = Field(description="the last one")
    beyond: int = Field(default=0, description="published dates that the repair horizon leaves as they are")


class Repair(Spec):
    """Published dates of which only the entities with late rows are computed again."""

    dates: tuple[date, ...]
    changes: tuple[TableChanges, ...] = Field(description="where the late rows are found")


class OfDates(Spec):
    """Feature dates on their way from staging to publication."""

    dates: tuple[date, ...]
    repair: Repair | None = Field(default=None, description="those that are not computed for everybody")

    @property
    def whole(self) -> tuple[date, ...]:
        """The dates of which every row is computed."""
        return tuple(day for day in self.dates if self.repair is None or day not in self.repair.dates)
