"""The row equation: every record of a batch is accounted for, each term counted by its own expression.

extracted + replayed = inserted + updated + unchanged + superseded + batch_duplicates + quarantined
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.errors import Unproven
from headwater.quality.facts import RowEquation
from headwater.transforms.conform import BATCH_ID, NULLS, REASONS
from headwater.transforms.dedup import BUCKET, CURRENT, EFFECT, RECORDS
from headwater.transforms.quarantine import RECORD_ID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TERMS = (
    "extracted",
    "replayed",
    "inserted",
    "updated",
    "unchanged",
    "superseded",
    "batch_duplicates",
    "quarantined",
)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many records of a bronze batch have the same faults.

    Attributes:
        waited: they come out of quarantine.
        reasons: why they are rejected.
        nulls: required columns that they lack.
    """

    batch_id: str
    waited: bool
    reasons: tuple[str, ...]
    nulls: tuple[str, ...]
    records: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Counts of the judged records of a batch; `reasons` counts a record once per reason."""

    extracted: int
    replayed: int
    quarantined: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Effects:
    """Counts of what the batch does to silver, the buckets it writes, and row images by the event day they touch."""

    inserted: int
    updated: int
    unchanged: int
    superseded: int
    batch_duplicates: int
    buckets: tuple[int, ...]
    touched: Mapping[str, int]
    newest: str | None

    @property
    def changes(self) -> int:
        """Rows that the MERGE writes."""
        return self.inserted + self.updated


def require_sum(source: str, judged: Judged, effects: Effects, *, committed: int) -> RowEquation:
    """Put the terms together, and refuse a batch that does not add up or that lost records on the way from bronze.

    Args:
        source: whose records they are.
        judged: counts of the judged records.
        effects: counts of what they do.
        committed: records that bronze committed in the batches taken up.

    Raises:
        Unproven: the two sides differ, or not all of bronze's records were judged.
    """
    equation = RowEquation(
        source=source,
        extracted=judged.extracted,
        replayed=judged.replayed,
        inserted=effects.inserted,
        updated=effects.updated,
        unchanged=effects.unchanged,
        superseded=effects.superseded,
        batch_duplicates=effects.batch_duplicates,
        quarantined=judged.quarantined,
    )
    if equation.adds_up and equation.extracted == committed:
        return equation
    raise Unproven(
        "rows_do_not_add_up",
        f"{equation} does not add up (bronze committed {committed} records).",
        remedy="Nothing was written. The batch stays open; report this with the bronze batch.",
        facts={"committed": committed, **asdict(equation)},
    )


def terms(equation: RowEquation) -> dict[str, JsonValue]:
    """The equation's terms by name, as the ledger keeps them."""
    return {term: asdict(equation)[term] for term in TERMS}


def tally(judged: DataFrame) -> tuple[Tally, ...]:
    """Count judged records in one job: a line per bronze batch and combination of faults, of which there are few."""
    waited = F.col(RECORD_ID).isNotNull().alias("waited")
    lines = judged.groupBy(BATCH_ID, waited, REASONS, NULLS).count().collect()
    return tuple(Tally(line[0], line[1], tuple(line[2]), tuple(line[3]), line[4]) for line in lines)


def without(lines: Sequence[Tally], others: Sequence[Tally]) -> tuple[Tally, ...]:
    """The tally of the records that are not among others of the same batch."""
    counted = {replace(each, records=0): each.records for each in others}
    return tuple(replace(each, records=each.records - counted.get(replace(each, records=0), 0)) for each in lines)


def count_judged(lines: Sequence[Tally], *, held: Collection[str] = (), released: Collection[str] = ()) -> Judged:
    """Count by what the records are to the batch.

    Args:
        lines: the tally of its records.
        held: bronze batches that a gate keeps out; each of their records is quarantined, whatever else is wrong.
        released: bronze batches that were held before; their records are replayed.
    """
    reasons: Counter[str] = Counter()
    for line in lines:
        is_held = not line.waited and line.batch_id in held
        for reason in ("held",) if is_held else line.reasons:
            reasons[reason] += line.records
    replayed = sum(line.records for line in lines if line.waited or line.batch_id in released)
    rejected = (line for line in lines if line.reasons or (not line.waited and line.batch_id in held))
    return Judged(
        extracted=sum(line.records for line in lines) - replayed,
        replayed=replayed,
        quarantined=sum(line.records for line in rejected),
        reasons=dict(sorted(reasons.items())),
    )


def count_effects(effects: DataFrame, event_times: Sequence[str], fresh_by: str | None = None) -> Effects:
    """Count effects in one job, and what they touch in a second.

    Args:
        effects: classified winners of the batch.
        event_times: columns whose days decide which features change, in the new row and in the one it replaces.
        fresh_by: date or timestamp whose greatest value tells how far the source has come.
    """
    names = ("inserted", "updated", "unchanged", "superseded")
    counts = [_count(F.col(EFFECT) == name) for name in names]
    changed = F.col(EFFECT).isin("inserted", "updated")
    images = [column for name in event_times for column in _images(name, effects)]
    duplicates = F.coalesce(F.sum(F.col(RECORDS) - 1), F.lit(0))
    newest = F.max(F.when(changed, F.col(f"`{fresh_by}`"))) if fresh_by else F.lit(None)
    buckets_written = F.collect_set(F.when(changed, F.col(BUCKET)))
    micros = F.unix_micros(newest.cast("timestamp"))
    row = effects.agg(*counts, duplicates, buckets_written, micros).collect()[0]
    *terms, buckets, latest = row
    inserted, updated, unchanged, superseded, batch_duplicates = (int(term) for term in terms)
    return Effects(
        inserted=inserted,
        updated=updated,
        unchanged=unchanged,
        superseded=superseded,
        batch_duplicates=batch_duplicates,
        buckets=tuple(sorted(buckets)),
        touched=_touched(effects.where(changed), images) if inserted + updated else {},
        newest=None if latest is None else (_EPOCH + timedelta(microseconds=latest)).isoformat(),
    )


def _touched(changed: DataFrame, images: Sequence[Column]) -> dict[str, int]:
    """Row images by day; nothing where no column tells one."""
    if not images:
        return {}
    days = changed.select(F.explode(F.array(*(F.to_date(image) for image in images))).alias("day"))
    return images_by_day(days, "day")


def images_by_day(rows: DataFrame, day: str) -> dict[str, int]:
    """How many rows there are of each day that is one, in order."""
    counts = rows.where(F.col(day).isNotNull()).groupBy(day).count().collect()
    return {found.isoformat(): count for found, count in sorted(counts)}


def _images(name: str, effects: DataFrame) -> tuple[Column, ...]:
    """The new value and the one it replaces; a column of the key is the same in both."""
    new, compared = F.col(f"`{name}`"), effects.select(f"{CURRENT}.*").columns
    return (new, F.col(CURRENT).getField(name)) if name in compared else (new,)


def _count(condition: Column) -> Column:
    return F.count(F.when(condition, 1))
