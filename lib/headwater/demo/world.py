"""The facts of the demo world: source rows, the writes of its two phases and the generator's account of its own dirt.

A world is two moments of the same sources: what they hold at the first extraction, and what is written to them until
the second one. `Label`s say what a correct pipeline must do with every record that is not a plain new one; they come
from the hand that made the record, never from classifying it afterwards.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Generic, Literal, NamedTuple, TypeVar, assert_never

from headwater.errors import ConfigError

Phase = Literal["initial", "change"]
SourceName = Literal["transactions", "customers", "user_behavior", "support_tickets"]
Outcome = Literal["inserted", "inserted_version", "updated", "superseded", "batch_duplicate", "quarantined", "replayed"]
Document = Mapping[str, object]
Row = TypeVar("Row")

MIN_CUSTOMERS = 60
MIN_DAYS = 30


class TransactionRow(NamedTuple):
    """One row of `transactions`, in column order."""

    transaction_id: int | None
    user_id: str | None
    amount: Decimal | None
    currency: str | None
    transaction_date: datetime | None
    updated_at: datetime | None


class CustomerRow(NamedTuple):
    """One row of `customers`, in column order."""

    user_id: str | None
    email: str | None
    country: str | None
    segment: str | None
    signup_date: date | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large a world is, and which one of its size."""

    customers: int
    days: int
    seed: int
    last_day: date = date(2025, 3, 31)

    def __post_init__(self) -> None:
        """Refuse worlds in which the deliberate dirt would outweigh the good rows."""
        if self.customers < MIN_CUSTOMERS or self.days < MIN_DAYS:
            raise ConfigError(
                "demo_scale_too_small",
                f"A world of {self.customers} customers and {self.days} days is too small for its dirt.",
                remedy=f"Ask for at least {MIN_CUSTOMERS} customers and {MIN_DAYS} days.",
                facts={"customers": self.customers, "days": self.days},
            )

    @property
    def first_day(self) -> date:
        """First day of regular activity."""
        return self.last_day - timedelta(days=self.days - 1)

    @property
    def change_day(self) -> date:
        """The one new day that the change brings."""
        return self.last_day + timedelta(days=1)

    @property
    def first_extraction(self) -> datetime:
        """T1: the initial rows are older, by ten minutes at least."""
        return datetime.combine(self.last_day + timedelta(days=1), time(2), tzinfo=UTC)

    @property
    def second_extraction(self) -> datetime:
        """T2: what the change writes lies after T1 and, by ten minutes at least, before T2."""
        return self.first_extraction + timedelta(days=1)

    @property
    def repeats(self) -> int:
        """How many records of each kind of dirt the initial load holds."""
        return max(2, min(50, round(self.customers * self.days / 40_000)))

    @property
    def change_repeats(self) -> int:
        """How many records of each kind of dirt the change adds."""
        return max(1, self.repeats // 2)


@dataclass(frozen=True, slots=True)
class Label:
    """What must become of one record.

    Attributes:
        key: the record's key as text; empty if it has none; the raw line if the line does not parse.
        reasons: sorted; of a replayed record the reasons it was quarantined for.
    """

    phase: Phase
    source: SourceName
    key: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite(Generic[Row]):
    """A source record before and after a write that replaces it."""

    old: Row
    new: Row


@dataclass(frozen=True, slots=True)
class Writes(Generic[Row]):
    """What one phase writes to one table or collection.

    Attributes:
        reread: records written earlier that the extraction reads again, for they have no readable watermark.
    """

    inserts: tuple[Row, ...]
    rewrites: tuple[Rewrite[Row], ...] = ()
    reread: int = 0

    @property
    def extracted(self) -> int:
        """How many records the extraction after this phase must read."""
        return len(self.inserts) + len(self.rewrites) + self.reread


@dataclass(frozen=True, slots=True)
class Part:
    """Everything one phase writes to the sources.

    Attributes:
        support_tickets: whole objects by key; in the change the new ones and the replaced one.
        ticket_lines: records in those objects.
    """

    phase: Phase
    transactions: Writes[TransactionRow]
    customers: Writes[CustomerRow]
    user_behavior: Writes[Document]
    support_tickets: Mapping[str, bytes]
    ticket_lines: int

    def extracted(self, source: SourceName) -> int:
        """How many records of a source the extraction after this phase must read."""
        match source:
            case "transactions":
                return self.transactions.extracted
            case "customers":
                return self.customers.extracted
            case "user_behavior":
                return self.user_behavior.extracted
            case "support_tickets":
                return self.ticket_lines
        assert_never(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The terms of the row equation for one source in one phase."""

    extracted: int
    replayed: int
    updated: int
    superseded: int
    batch_duplicates: int
    quarantined: Mapping[tuple[str, ...], int]

    @property
    def inserted(self) -> int:
        """New keys (of customers: new versions); nothing the generator writes is left unchanged."""
        settled = self.updated + self.superseded + self.batch_duplicates + sum(self.quarantined.values())
        return self.extracted + self.replayed - settled


@dataclass(frozen=True, slots=True)
class World:
    """A seeded world: the initial load, the change after it and the account of both."""

    scale: Scale
    initial: Part
    change: Part
    labels: tuple[Label, ...]

    @property
    def last_day(self) -> date:
        """Last feature date of the first run."""
        return self.scale.last_day

    @property
    def first_extraction(self) -> datetime:
        """T1, the instant of the first extraction."""
        return self.scale.first_extraction

    @property
    def second_extraction(self) -> datetime:
        """T2, the instant of the second extraction."""
        return self.scale.second_extraction

    def labelled(self, phase: Phase, source: SourceName) -> tuple[Label, ...]:
        """The labels of one source in one phase."""
        return tuple(label for label in self.labels if label.phase == phase and label.source == source)

    def expected(self, phase: Phase, source: SourceName) -> Expected:
        """The row equation that the run after this phase must arrive at."""
        part = self.initial if phase == "initial" else self.change
        labels = self.labelled(phase, source)
        outcomes = Counter(label.outcome for label in labels)
        return Expected(
            extracted=part.extracted(source),
            replayed=outcomes["replayed"],
            updated=outcomes["updated"],
            superseded=outcomes["superseded"],
            batch_duplicates=outcomes["batch_duplicate"],
            quarantined=Counter(label.reasons for label in labels if label.outcome == "quarantined"),
        )
