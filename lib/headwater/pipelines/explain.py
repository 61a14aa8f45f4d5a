"""A plan in words: what `--dry-run` prints of the same object that would run."""

from datetime import date
from typing import assert_never

from headwater.pipelines.steps import (
    AuditStage,
    BuildTrainingSet,
    ConformBatch,
    ExtractBatch,
    Plan,
    PlannedStep,
    PublishStage,
    StageDates,
    UpdateTiles,
)


def describe(plan: Plan) -> list[str]:
    """A plan in lines a person can read."""
    lines = [plan.title]
    for number, planned in enumerate(plan.steps, start=1):
        verb = "finish" if planned.unfinished else "begin"
        lines.append(f"  {number}. {verb} {planned.stream}: {_words(planned)}")
    if any(planned.unfinished for planned in plan.steps):
        lines.append("  and then what is due today, which is planned on what these leave")
    lines += [f"  cannot be planned: {error}" for error in plan.failed]
    lines += [f"  {note}" for note in plan.notes] or ([] if plan.steps else ["  nothing to do"])
    return lines


def _words(planned: PlannedStep) -> str:
    match planned.step:
        case ExtractBatch(source=source, extracted_at=instant, extent=extent):
            extracts = f"extract {source} as of {instant:%Y-%m-%d %H:%M:%S} UTC"
            words = extracts if extent else "nothing new at the source"
        case ConformBatch(table=table, batches=batches):
            records = sum(batch.records for batch in batches)
            words = f"conform {records:,} records of {len(batches)} batches into {table}"
        case UpdateTiles(changes=changes):
            words = f"take up what changed in {', '.join(change.table for change in changes)}"
        case StageDates(tiles=tiles, whole=whole, repair=repair):
            since = f", from where {tiles.checkpoint.day} ended" if tiles and tiles.checkpoint else ""
            parts = [f"compute {_range(whole)}{since}"] if whole else []
            parts += [f"repair {_range(repair.dates)} by entity"] if repair else []
            words = ", ".join(parts)
        case AuditStage(dates=dates):
            words = f"audit {_range(dates)}"
        case PublishStage(dates=dates, compact=months):
            words = f"publish {_range(dates)}; compact {len(months)} closed months"
        case BuildTrainingSet(id=key, run_date=day, checksum=checksum):
            words = f"{'build' if checksum is None else 'build again'} {key}, of labels that are mature by {day}"
        case _:
            assert_never(planned.step)
    return words


def _range(dates: tuple[date, ...]) -> str:
    return f"{len(dates)} dates {min(dates)} .. {max(dates)}"
