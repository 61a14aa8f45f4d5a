"""Which sources have not come far enough for a date, so that their features keep the values published last.

A source is stale at a date when its newest event lies further before the date's end than its freshness gate allows, or,
for a date that has no published values of its own yet, when a batch of it is held. The dates it was carried over are
provisional: they are computed again once the source has caught up.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from headwater.config.base import JsonValue
from headwater.config.gates import FreshnessGate
from headwater.errors import DataRejected
from headwater.pipelines.gates import waiting_holds
from headwater.pipelines.steps import PublishStage, Runtime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a table's source has come.

    Attributes:
        table: silver table.
        source: what feeds it.
        gate: the source's freshness gate, if it has one.
        newest: its newest event; None when nothing is known.
        held: batches that wait for a decision.
    """

    table: str
    source: str
    gate: FreshnessGate | None
    newest: datetime | None
    held: tuple[str, ...]

    def lag(self, day: date) -> timedelta | None:
        """From the newest event to the end of a date; negative when it has come further."""
        end = datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
        return None if self.newest is None else end - self.newest

    def is_late(self, day: date) -> bool:
        """Whether the gate finds the source too far behind at a date."""
        lag = self.lag(day)
        return self.gate is not None and lag is not None and lag > timedelta(hours=self.gate.max_lag_hours)

    def words(self, day: date) -> str:
        """What is wrong at a date."""
        if self.held:
            return f"{self.source}: held batches wait for a decision: {', '.join(self.held)}"
        return f"{self.source}: newest event {self.newest:%Y-%m-%d %H:%M} UTC, too old for {day}"


def progress_of(runtime: Runtime, table: str) -> Progress:
    """How far the source of a table has come, by the ledger."""
    contract = runtime.project.tables[table]
    gate = runtime.project.sources[contract.source].gates.freshness
    commits = runtime.ledger.stream(runtime.stream("silver", table)).commits
    newest = [_instant(commit.facts.get("newest"), gate.column) for commit in commits] if gate else []
    return Progress(
        table=table,
        source=contract.source,
        gate=gate,
        newest=max((each for each in newest if each is not None), default=None),
        held=tuple(hold.batch.id for hold in waiting_holds(runtime, contract)),
    )


def provisional_dates(published: Mapping[date, PublishStage]) -> dict[str, set[date]]:
    """By table, published dates whose values of it were carried there."""
    carried: dict[str, set[date]] = {}
    for day, publication in published.items():
        for table, dates in publication.carried.items():
            if day in dates:
                carried.setdefault(table, set()).add(day)
    return carried


def carried_dates(
    runtime: Runtime, dates: Collection[date], published: Mapping[date, PublishStage]
) -> dict[str, tuple[date, ...]]:
    """By table of the view, the dates that have to keep its values published last.

    Raises:
        DataRejected: the population's source is stale, a stale source has to halt the pipeline, or the run is strict.
    """
    provisional = provisional_dates(published)
    carried = {}
    for table in runtime.project.view.tables:
        progress = progress_of(runtime, table)
        own = set(published) - provisional.get(table, set())
        stale = sorted(day for day in dates if is_stale(progress, day, own))
        if not stale:
            continue
        _report(progress, stale, runtime)
        if _carries(progress):
            carried[table] = tuple(stale)
        if runtime.strict or table == runtime.project.view.population.table or _halts(progress):
            raise _stale(progress, stale, runtime)
    return carried


def is_stale(progress: Progress, day: date, own: Collection[date]) -> bool:
    """Whether a source is stale at a date; `own` are the published dates that have its own values."""
    return progress.is_late(day) or (bool(progress.held) and day not in own)


def caught_up(runtime: Runtime, published: Mapping[date, PublishStage]) -> set[date]:
    """Provisional dates for which a source that was stale is stale no more."""
    return {
        day
        for table, days in provisional_dates(published).items()
        if table in runtime.project.view.tables
        for progress in (progress_of(runtime, table),)
        for day in days
        if not is_stale(progress, day, ())
    }


def _stale(progress: Progress, stale: list[date], runtime: Runtime) -> DataRejected:
    remedies = ["Nothing was staged."]
    remedies += ["`headwater quarantine release` or `discard` them."] if progress.held else []
    remedies += [] if progress.held else ["Run again when the source has caught up."]
    if runtime.strict and _carries(progress):
        remedies.append("Without --strict its last values are carried forward.")
    return DataRejected(
        "stale_source",
        f"{progress.words(stale[-1])}.",
        remedy=" ".join(remedies),
        facts={"source": progress.source, "dates": [day.isoformat() for day in stale]},
    )


def _report(progress: Progress, stale: list[date], runtime: Runtime) -> None:
    lag = progress.lag(stale[-1])
    runtime.log.write(
        "freshness_lag",
        data_source=progress.source,
        dates=[day.isoformat() for day in stale],
        lag_seconds=None if lag is None else lag.total_seconds(),
        held=list(progress.held),
    )


def _carries(progress: Progress) -> bool:
    return bool(progress.held) or (progress.gate is not None and progress.gate.action == "use_cached_features")


def _halts(progress: Progress) -> bool:
    return progress.gate is not None and progress.gate.action == "halt_pipeline"


def _instant(newest: JsonValue, column: str) -> datetime | None:
    value = newest.get(column) if isinstance(newest, Mapping) else None
    return datetime.fromisoformat(value) if isinstance(value, str) else None
