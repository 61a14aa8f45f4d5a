"""What the feature catalogue is made of; filled from `conf/` and, for what was published, by the pipelines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from headwater.config.aggregates import Aggregate, Derived
from headwater.config.features import FeatureView
from headwater.config.gates import FreshnessGate


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a feature comes from.

    Attributes:
        kind: kind of the source: jdbc, mongo or files.
        reads: what is read of it: a table, a collection or a prefix.
        bronze: table of raw records, as `layer/table`.
        silver: table of typed rows, as `layer/table`.
        columns: columns of that table which decide the feature; what it reads comes first.
    """

    kind: str
    source: str
    reads: str
    bronze: str
    silver: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statistics:
    """One feature on one date, as it was audited.

    Attributes:
        min: least number or earliest date; None where there is none.
        max: greatest number or latest date.
        mean: of numbers only.
        bars: values per bar of a histogram between `low` and `high`.
        values: most frequent values of an attribute, and how many entities have each.
    """

    rows: int
    nulls: int
    min: float | date | None = None
    max: float | date | None = None
    mean: float | None = None
    bars: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 0.0
    values: tuple[tuple[str, int], ...] = ()

    @property
    def null_ratio(self) -> float:
        """Share of the rows without a value."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Publication:
    """What readers find now.

    Attributes:
        first: the oldest published date.
        last: the newest one.
        dates: how many there are.
        at: when the newest date was published last.
        run_id: the run that did it.
        pipeline_version: the definitions that it was computed by.
        carried: silver tables whose features keep older values on the newest date.
        judged: the date that the statistics are of; None when no report has any.
        statistics: by feature.
    """

    first: date
    last: date
    dates: int
    at: datetime
    run_id: str
    pipeline_version: str
    carried: tuple[str, ...] = ()
    judged: date | None = None
    statistics: Mapping[str, Statistics] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One column that people ask for.

    Attributes:
        type: as the table has it.
        definition: what a value means, in words.
        aggregate: how it is declared; None for an attribute.
        event_time: the column that says when a row happened; None for what is computed from no rows.
        freshness: what its source allows; None: it is never too old.
        carried: whether the newest date keeps older values, because the source was late.
        statistics: None while there are none.
    """

    name: str
    type: str
    definition: str
    aggregate: Aggregate | Derived | None
    event_time: str | None
    lineage: Lineage
    freshness: FreshnessGate | None
    owner: str
    tags: tuple[str, ...]
    description: str
    carried: bool
    statistics: Statistics | None


@dataclass(frozen=True, slots=True)
class Query:
    """SQL to begin with: what it answers, and what to change in it."""

    title: str
    about: str
    sql: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A view with everything people ask about it.

    Attributes:
        entity_type: of the key column.
        population: where the rows themselves come from.
        membership: who has a row, in words.
        history: where all published rows are.
        latest: where the newest row of each entity is.
        publication: None before the first one.
    """

    view: FeatureView
    entity_type: str
    population: Lineage
    membership: str
    entries: tuple[Entry, ...]
    history: str
    latest: str
    queries: tuple[Query, ...]
    publication: Publication | None
