"""What a quality report is made of; filled by the pipelines, read by the JSON and the HTML of `report`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

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
class QualityReport:
    """Everything that a report tells about one run.

    Attributes:
        dates: feature dates that the run covers.
        quarantine: per source, records by reason; a record with two reasons counts under both.
        stale_sources: sources whose features were carried forward.
        sample: a few feature rows, column by column.
    """

    pipeline: str
    run_id: str
    run_date: date
    dates: tuple[date, ...]
    verdict: Verdict
    rows: tuple[RowEquation, ...] = ()
    quarantine: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    steps: tuple[StepTiming, ...] = ()
    layout: tuple[TableLayout, ...] = ()
    stale_sources: tuple[str, ...] = ()
    sample: tuple[Mapping[str, object], ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no blocking check failed and every source's records add up."""
        return self.verdict.passed and not self.unbalanced

    @property
    def score(self) -> float:
        """The data_quality_score of the checked rows."""
        return self.verdict.score

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
