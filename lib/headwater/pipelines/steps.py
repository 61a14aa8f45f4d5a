"""What a run will do, as data: the steps of a plan, and the runtime they are given.

A plan is made by reading only (configuration, ledger, table versions, the sources' clocks) and needs no session. The
same plan object is printed by `--dry-run` and executed by `pipelines.run`. A step's fields are everything that decides
its batch: they become the intent's payload, and a retry is built from that payload alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter
from pyspark.sql import SparkSession

from headwater.config.base import JsonValue, Spec
from headwater.config.gates import NullRatioGate
from headwater.config.project import Project
from headwater.config.training import TrainingSet
from headwater.errors import ConfigError, HeadwaterError
from headwater.pipelines.late import LateRows, OfDates, TableChanges
from headwater.sources.base import Source
from headwater.state.ledger import Ledger
from headwater.state.runs import RunLog
from headwater.state.streams import Intent
from headwater.tables.parquet import FileVersion
from headwater.telemetry.logs import EventLog


class ExtractBatch(Spec):
    """Read one extent of a source and append it to bronze."""

    kind: Literal["extract"] = "extract"
    source: str
    run_date: date
    extracted_at: datetime
    extent: str | None = Field(default=None, description="As sources write it; None: there is nothing new to read.")


class BronzeBatch(Spec):
    """A batch of bronze that silver has not taken up yet."""

    id: str
    records: int


class Finding(Spec):
    """What a gate found in a bronze batch."""

    gate: Literal["schema", "null_ratio", "volume"]
    found: str
    holds: bool = Field(description="whether the batch is kept out of silver until somebody decides about it")


class ConformBatch(Spec):
    """Conform bronze batches, and waiting quarantine, into silver; decided on pinned versions."""

    kind: Literal["conform"] = "conform"
    table: str
    run_date: date
    batches: tuple[BronzeBatch, ...]
    released: tuple[BronzeBatch, ...] = Field(default=(), description="held batches that are let through after all")
    implausible: dict[str, Finding] = Field(default_factory=dict, description="by bronze batch: found in its volume")
    null_ratio: NullRatioGate = NullRatioGate()
    replay: tuple[str, ...] = Field(default=(), description="bronze batches with waiting quarantine")
    contract: str = Field(description="digest of the table's contract")
    layout: str = Field(description="what the table's rows are found by")
    versions: dict[str, int | None] = Field(
        description="bronze, quarantine, silver and dimension, as the batch sees them"
    )


class CachedHistory(Spec):
    """Published rows from a date on, at one version."""

    version: int
    since: date


class TileChanges(TableChanges):
    """What the tiles of a set take up."""

    id: str = Field(description="table and digest of what its tiles hold")
    origin: str = Field(default="", description="what the tiles of the table were begun from")


class UpdateTiles(Spec):
    """Append to the log of tiles what changed in silver."""

    kind: Literal["tiles"] = "tiles"
    view: str
    run_date: date
    changes: tuple[TileChanges, ...]
    silver_batches: dict[str, int] = Field(description="last silver batch that each table holds by then")


class CheckpointSeen(Spec):
    """Where a stage batch goes on from."""

    day: date
    version: int = Field(description="of the table of checkpoints")
    batch: int = Field(description="last batch of the log that its states count")
    buckets: int = Field(description="its files' at the most")
    kinds: tuple[int, ...] = Field(description="the tile sets that go on")
    members: bool = Field(default=False, description="whether it says who is a member")
    changes: TableChanges | None = Field(default=None, description="where changes of members since are found")


class TilesSeen(Spec):
    """What a stage batch takes from the log of tiles."""

    log: str = Field(description="what the log is known by")
    version: int
    batch: int
    kinds: dict[int, str] = Field(description="the tile sets computed from it, and what each is found by")
    silver: dict[str, int] = Field(description="versions of the tables that they hold")
    silver_batches: dict[str, int]
    population: str = Field(description="what the population's table is known by")
    buckets: int = Field(description="partitions of the entities")
    checkpoint: CheckpointSeen | None = Field(default=None, description="for the dates computed for everybody")
    repaired_from: CheckpointSeen | None = Field(default=None, description="for those repaired by entity")
    kept_on: tuple[date, ...] = Field(default=(), description="dates at whose end a checkpoint is kept")


class StageDates(OfDates):
    """Compute feature rows of some dates into the staging table."""

    kind: Literal["stage"] = "stage"
    view: str
    pipeline_version: str
    run_date: date
    versions: dict[str, int] = Field(description="silver tables")
    silver_batches: dict[str, int] = Field(description="last silver batch that each table holds")
    carried: dict[str, tuple[date, ...]] = Field(
        default_factory=dict, description="by table: dates that keep the values published last"
    )
    cached: CachedHistory | None = Field(default=None, description="where such values are taken from")
    tiles: TilesSeen | None = Field(default=None, description="None: computed from silver alone")
    late: tuple[LateRows, ...] = Field(default=(), description="why published dates are among them")


class AuditStage(OfDates):
    """Check the staged rows of one stage batch, at one version."""

    kind: Literal["audit"] = "audit"
    view: str
    run_date: date
    stage_n: int
    staged_version: int
    versions: dict[str, int]
    judged_at: datetime
    row_counts: dict[str, tuple[int, int]] = Field(description="per source: records judged, records quarantined")


class PublishStage(OfDates):
    """Replace the history of audited dates, then the latest table, then compact closed months."""

    kind: Literal["publish"] = "publish"
    view: str
    run_date: date
    stage_n: int
    staged_version: int
    silver_batches: dict[str, int]
    compact: tuple[date, ...]
    rows: int = Field(default=0, description="about how many there are")
    carried: dict[str, tuple[date, ...]] = Field(default_factory=dict, description="as staged")
    ranges: dict[str, str] = Field(default_factory=dict, description="by column, what a row must meet to be published")


class LabelVersion(Spec):
    """Labels as they were: a version of a Delta table, or the files of a folder."""

    version: int | None = None
    files: tuple[FileVersion, ...] = ()


class BuildTrainingSet(Spec):
    """Join labels with what was known at their time, from pinned versions, into a table of its own."""

    kind: Literal["training"] = "training"
    id: str = Field(description="digest of everything below that decides rows")
    definition: TrainingSet
    run_date: date = Field(description="labels have to be mature by then")
    labels: LabelVersion
    versions: tuple[int, ...] = Field(description="of each view's history, in order")
    checksum: str | None = Field(default=None, description="what the rows were, when they are to be built again")


AnyStep: TypeAlias = (
    ExtractBatch | ConformBatch | UpdateTiles | StageDates | AuditStage | PublishStage | BuildTrainingSet
)
Step = Annotated[AnyStep, Field(discriminator="kind")]
_STEP: TypeAdapter[AnyStep] = TypeAdapter(Step)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and its place in a stream.

    Attributes:
        stream: whose next batch it is.
        step: what to do.
        decided_on: the last batch of the stream that the plan saw; a stream that moved since refuses the step.
        unfinished: the open batch this step finishes, None for a new one.
    """

    stream: str
    step: AnyStep
    decided_on: int
    unfinished: Intent | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps that do not depend on each other, and why there are no more: in words, or as errors that stop no other."""

    title: str
    steps: tuple[PlannedStep, ...]
    notes: tuple[str, ...] = ()
    failed: tuple[HeadwaterError, ...] = ()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything a run works with, made in one place and handed down.

    Attributes:
        session: gives the session, building it at the first call; nothing that only plans calls it.
        source: opens a source by name.
        run_date: the date the orchestrator asked for.
        strict: what would only degrade the result is refused.
        progress: shows a person a line.
        failpoint: told the name of each point at which a crash matters; does nothing outside crash tests.
    """

    project: Project
    run_id: str
    run_date: date
    ledger: Ledger
    run_log: RunLog
    log: EventLog
    clock: Callable[[], datetime]
    session: Callable[[], SparkSession]
    source: Callable[[str], Source]
    strict: bool
    progress: Callable[[str], None]
    failpoint: Callable[[str], None]

    def stream(self, stage: str, name: str) -> str:
        """Name of a stream: (pipeline, source or view, stage)."""
        return f"{self.project.pipeline}/{name}/{stage}"


# A fact of a batch that wrote nothing, for its data were refused. It is closed all the same: left open, it would pin
# the very definitions, or labels, that have to be changed.
REJECTED = "rejected"


def to_payload(step: Spec) -> dict[str, JsonValue]:
    """A step as JSON, without loss."""
    return dict(step.model_dump(mode="json"))


def from_payload(payload: Mapping[str, JsonValue]) -> AnyStep:
    """A step from an intent's payload."""
    return _STEP.validate_python(dict(payload))


def unfinished(stream: str, intent: Intent) -> PlannedStep:
    """The step that finishes an open batch."""
    return PlannedStep(stream, from_payload(intent.payload), decided_on=intent.n, unfinished=intent)


def require_same(what: str, decided: str, present: str, batch: str) -> None:
    """Refuse to finish a batch by other definitions than it was begun with.

    Raises:
        ConfigError: `conf/` changed between a crash and its retry.
    """
    if decided != present:
        raise ConfigError(
            "definitions_changed",
            f"Batch {batch} was begun with {what} {decided}, but conf/ now says {present}.",
            remedy="Finish the batch with the old conf/ (run the job once), then change it.",
            facts={"batch": batch, "decided": decided, "present": present},
        )
