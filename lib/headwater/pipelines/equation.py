"""The row equation: every record of a batch is accounted for, each term counted by its own expression.

extracted + replayed = inserted + updated + unchanged + superseded + batch_duplicates + quarantined
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.errors import Unproven
from headwater.quality.facts import RowEquation
from headwater.transforms.conform import REASONS
from headwater.transforms.dedup import BUCKET, CURRENT, EFFECT, RECORDS
from headwater.transforms.quarantine import RECORD_ID

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
class Judged:
    """Counts of the judged records of a batch; `reasons` counts a record once per reason."""

    extracted: int
    replayed: int
    quarantined: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Effects:
    """Counts of what the batch does to silver, the buckets it writes and the event days it touches."""

    inserted: int
    updated: int
    unchanged: int
    superseded: int
    batch_duplicates: int
    buckets: tuple[int, ...]
    touched: tuple[str, ...]

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


def count_judged(judged: DataFrame) -> Judged:
    """Count judged records in one job: a line per combination of reasons, of which there are few."""
    again = F.col(RECORD_ID).isNotNull()
    lines = judged.groupBy(again.alias("again"), F.col(REASONS).alias("reasons")).count().collect()
    reasons: Counter[str] = Counter()
    for line in lines:
        reasons.update(dict.fromkeys(line["reasons"], line[2]))
    return Judged(
        extracted=sum(line[2] for line in lines if not line["again"]),
        replayed=sum(line[2] for line in lines if line["again"]),
        quarantined=sum(line[2] for line in lines if line["reasons"]),
        reasons=dict(sorted(reasons.items())),
    )


def count_effects(effects: DataFrame, event_times: Sequence[str]) -> Effects:
    """Count effects in one job.

    Args:
        effects: classified winners of the batch.
        event_times: columns whose days decide which features change, in the new row and in the one it replaces.
    """
    names = ("inserted", "updated", "unchanged", "superseded")
    counts = [_count(F.col(EFFECT) == name) for name in names]
    changed = F.col(EFFECT).isin("inserted", "updated")
    images = [column for name in event_times for column in _images(name, effects)]
    days = [F.collect_set(F.when(changed, F.to_date(column))) for column in images]
    touched = reduce(F.array_union, days, F.array().cast("array<date>"))
    duplicates = F.coalesce(F.sum(F.col(RECORDS) - 1), F.lit(0))
    row = effects.agg(*counts, duplicates, F.collect_set(F.when(changed, F.col(BUCKET))), touched).collect()[0]
    *terms, buckets, touched_days = row
    inserted, updated, unchanged, superseded, batch_duplicates = (int(term) for term in terms)
    return Effects(
        inserted=inserted,
        updated=updated,
        unchanged=unchanged,
        superseded=superseded,
        batch_duplicates=batch_duplicates,
        buckets=tuple(sorted(buckets)),
        touched=tuple(sorted(day.isoformat() for day in touched_days)),
    )


def _images(name: str, effects: DataFrame) -> tuple[Column, ...]:
    """The new value and the one it replaces; a column of the key is the same in both."""
    new, compared = F.col(f"`{name}`"), effects.select(f"{CURRENT}.*").columns
    return (new, F.col(CURRENT).getField(name)) if name in compared else (new,)


def _count(condition: Column) -> Column:
    return F.count(F.when(condition, 1))
