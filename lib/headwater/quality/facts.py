"""What a quality report is made of; filled by the pipelines, read by the JSON and the HTML of `report`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

from headwater.quality.verdict import CheckResult, Verdict


@dataclass(frozen=True, slots=True)
class RowEquation:
    """Where the records of one source went (semantics.md, section 4)."""

    source: str
    extracted: int
    replayed: int
    inserted: int
    updated: int
    unchanged: int
    superseded: int
    batch_duplicates: int
    quarantined: int

    @property
    def received(self) -> int:
        """Records that had to be accounted for."""
        return self.extracted + self.replayed

    @property
    def accounted(self) -> int:
        """Records whose fate is known."""
        landed = self.inserted + self.updated + self.unchanged
        return landed + self.superseded + self.batch_duplicates + self.quarantined

    @property
    def adds_up(self) -> bool:
        """Whether nothing got lost and nothing appeared."""
        return self.received == self.accounted


@dataclass(frozen=True, slots=True)
class StepTiming:
    """When a step began, in seconds after the run's first one, how long it took and how it ended."""

    step: str
    status: str
    begun: float
    seconds: float


@dataclass(frozen=True, slots=True)
class TableLayout:
    """How a published table lies on storage."""

    table: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """A bronze batch that a gate keeps out of silver until somebody decides about it."""

    source: str
    batch: str
    records: int
    gate: str
    found: str

    @property
    def release(self) -> str:
        """The command that lets it in."""
        return f"headwater quarantine release --source {self.source} --batch {self.batch}"

    @property
    def discard(self) -> str:
        """The command that keeps it out for good."""
        return f"headwater quarantine discard --source {self.source} --batch {self.batch}"


@dataclass(frozen=True, slots=True)
class WithheldRows:
    """Feature rows that are not published because a value of theirs lies outside its range.

    Attributes:
        rows: how many.
        of: how many were audited.
        columns: whose ranges they break.
    """

    rows: int
    of: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LateRecords:
    """Rows of a source that came, or were corrected, after dates they count on had been published.

    Attributes:
        rows: how many, as they were and as they are.
        days: the first and the last day they are of.
        reach: the first and the last published date that they can change; None within no horizon.
        beyond: published dates that lie beyond the repair horizon and stay as they are.
    """

    source: str
    rows: int
    days: tuple[date, date]
    reach: tuple[date, date] | None
    beyond: int


@dataclass(frozen=True, slots=True)
class Repairs:
    """What a run changed of dates that were published before.

    Attributes:
        late: why.
        whole: dates that were computed again for everybody.
        rows: by date that was computed again for the entities with late rows, how many rows changed; none before it
            is published.
    """

    late: tuple[LateRecords, ...]
    whole: tuple[date, ...]
    rows: Mapping[date, int]


@dataclass(frozen=True, slots=True)
class Example:
    """A quarantined record as its masked preview shows it; `id` finds it in the quarantine table.

    Attributes:
        fields: masked text by column, without the columns that the record lacks; None for one that does not parse.
    """

    id: str
    seen: date
    fields: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class AuditPoint:
    """One audit of the view among others.

    Attributes:
        score: its data_quality_score, in 0..1.
        rows: feature rows that it judged.
        received: records that came in the silver batches behind those rows.
        quarantined: how many of them were rejected.
    """

    run_date: date
    passed: bool
    score: float
    rows: int
    received: int
    quarantined: int

    @property
    def quarantined_share(self) -> float | None:
        """Share of the records that were rejected; None when no record came."""
        return self.quarantined / self.received if self.received else None


@dataclass(frozen=True, slots=True)
class Numbers:
    """How finite numbers spread.

    Attributes:
        bars: values per bar of a histogram; the bars are equally wide between `low` and `high`.
        low: where the first bar begins, the minimum.
        high: where the last bar ends; it also counts everything above when the maximum lies far out.
    """

    min: float
    p05: float
    p50: float
    p95: float
    max: float
    mean: float
    bars: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NumberSpread:
    """A numeric feature; a value that is no finite number counts among the nulls. None: there is none at all."""

    feature: str
    rows: int
    nulls: int
    numbers: Numbers | None


@dataclass(frozen=True, slots=True)
class DateSpread:
    """A feature that is a date or a time; None where every value is null."""

    feature: str
    rows: int
    nulls: int
    earliest: date | None
    latest: date | None


@dataclass(frozen=True, slots=True)
class ValueSpread:
    """An attribute by its most frequent values; `other` counts the rows of all further ones, which stay unnamed."""

    feature: str
    rows: int
    nulls: int
    values: tuple[tuple[str, int], ...]
    other: int


Spread: TypeAlias = NumberSpread | DateSpread | ValueSpread


@dataclass(frozen=True, slots=True)
class Distributions:
    """The features of one date.

    Attributes:
        date: the newest one that was staged.
        complete: whether every row of it was looked at; else as many as the spreads say, in the order of the files.
    """

    date: date
    complete: bool
    spreads: tuple[Spread, ...]


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Everything that a report tells about one run.

    Attributes:
        stopped: what a gate said that ended the run before it could stage anything.
        dates: feature dates that the run covers.
        quarantine: per source, or per view for rows withheld, records by reason; a record with two
            reasons counts under both.
        examples: per source or view, a few masked records by reason.
        held: batches that wait for a decision.
        carried: per source, dates whose features keep the values published last.
        trend: audits of the view up to this one, oldest first.
    """

    pipeline: str
    run_id: str
    run_date: date
    dates: tuple[date, ...] = ()
    verdict: Verdict = Verdict(())
    stopped: tuple[str, ...] = ()
    rows: tuple[RowEquation, ...] = ()
    quarantine: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    steps: tuple[StepTiming, ...] = ()
    layout: tuple[TableLayout, ...] = ()
    held: tuple[HeldBatch, ...] = ()
    carried: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    withheld: WithheldRows | None = None
    examples: Mapping[str, Mapping[str, tuple[Example, ...]]] = field(default_factory=dict)
    trend: tuple[AuditPoint, ...] = ()
    distributions: Distributions | None = None
    repairs: Repairs | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing stopped the run, no blocking check failed and every source's records add up."""
        return not self.stopped and self.verdict.passed and not self.unbalanced

    @property
    def score(self) -> float:
        """The data_quality_score of the checked rows."""
        return self.verdict.score

    @property
    def stale_sources(self) -> tuple[str, ...]:
        """Sources whose features were carried forward."""
        return tuple(sorted(self.carried))

    @property
    def seconds(self) -> float:
        """From the beginning of the first step to the end of the last; steps overlap."""
        return max((step.begun + step.seconds for step in self.steps), default=0.0)

    @property
    def unbalanced(self) -> tuple[RowEquation, ...]:
        """Sources whose records do not add up."""
        return tuple(row for row in self.rows if not row.adds_up)

    @property
    def problems(self) -> tuple[CheckResult, ...]:
        """Failed checks, blocking ones first."""
        return (*self.verdict.blockers, *self.verdict.warnings)
