"""Point-in-time lookup: for each label the newest feature row that it may know.

    history ──(entity, month, version): its days as bits──> by entity: one array ─┐
    labels ───────────────────────────────────────────────by entity──────────────┴─> the date and version to take
    history ──semi-join with what is taken, broadcast──> few rows ──(entity, date, version)──> labels with features

Labels never meet dates: a month of an entity is one number, 30 times smaller than its rows before anything is shuffled,
and the newest eligible date is its highest bit. Of the wide rows only those that are taken leave their files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.training import Cutoff
from headwater.features.asof import FEATURE_DATE

PUBLISHED_AT = "published_at"
VERSION = "_version"
REMOVED = "_removed"

_MONTH = "_month"
_WRITTEN = "_written"
_CHANGES = "_changes"
_WANTED = "_wanted_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a label may know.

    Attributes:
        entity: column of labels.
        time: column of labels, a timestamp or date.
        cutoff: whether the row of the label's own day is eligible.
        max_age_days: a row older than that on the label's day is no match; None takes any.
    """

    entity: str
    time: str
    cutoff: Cutoff
    max_age_days: int | None = None

    @property
    def day(self) -> Column:
        """The UTC day of a label."""
        return F.to_date(self.time)

    @property
    def until(self) -> Column:
        """The newest feature date that a label may know."""
        return F.date_sub(self.day, 1) if self.cutoff == "before_day" else self.day


@dataclass(frozen=True, slots=True)
class Images:
    """Row images of one published history.

    Attributes:
        rows: `entity`, `feature_date`, `_version` (of the commit), `_removed` (whether that commit took the row away
            instead of writing it), and the features; written at most once per (entity, feature_date, _version).
        entity: its entity column.
        features: columns to take.
        prefix: put before every column of the result.
        commits: instant of every version from 0 on, not decreasing; None when every image is known at any time.
        few: whether the labels fit into every worker's memory, so that rows nobody takes need not be shuffled.
    """

    rows: DataFrame
    entity: str
    features: tuple[str, ...]
    prefix: str = ""
    commits: tuple[datetime, ...] | None = None
    few: bool = True

    @property
    def date(self) -> str:
        """Column of the result: date of the row that was taken, null for none."""
        return f"{self.prefix}{FEATURE_DATE}"

    @property
    def published_at(self) -> str:
        """Column of the result, of images with commits: when the row that was taken was published."""
        return f"{self.prefix}{PUBLISHED_AT}"

    @property
    def columns(self) -> tuple[str, ...]:
        """What the result gets from here, in order."""
        provenance = (self.date,) if self.commits is None else (self.date, self.published_at)
        return (*provenance, *(f"{self.prefix}{name}" for name in self.features))

    @property
    def version(self) -> str:
        """Column of the version that is taken, while it is needed."""
        return f"{VERSION}_{self.prefix}"


def repaired_images(history: DataFrame) -> DataFrame:
    """A history as it is: every row known at any time.

    Args:
        history: one row per (entity, feature_date).

    Returns:
        The same rows with `_version` 0, and never removed.
    """
    return history.select("*", F.lit(0).cast("bigint").alias(VERSION), F.lit(False).alias(REMOVED))


def published_images(changes: DataFrame) -> DataFrame:
    """A history's change data feed as images: of an update the row before it is removed, the one after it written.

    Args:
        changes: the history's columns, `_change_type`, `_commit_version` and `_commit_timestamp`.
    """
    removed = F.col("_change_type").isin("delete", "update_preimage")
    named = changes.withColumnRenamed("_commit_version", VERSION).withColumn(REMOVED, removed)
    return named.drop("_change_type", "_commit_timestamp")


def look_up(labels: DataFrame, views: Sequence[Images], rule: Rule) -> DataFrame:
    """Give each label, from every view, the newest row that it may know.

    Args:
        labels: entity, time and any other columns; one row per (entity, time).
        views: where the features come from; no column name comes twice, among labels and results.
        rule: what a label may know.

    Returns:
        The labels' columns, then each view's `columns`: null where nothing is eligible. One row per label.
    """
    picked = reduce(lambda rows, view: _pick(rows, view, rule), views, labels)
    found = reduce(lambda rows, view: _attach(rows, picked, view, rule), views, picked)
    return found.select(*labels.columns, *(name for view in views for name in view.columns))


def _pick(labels: DataFrame, view: Images, rule: Rule) -> DataFrame:
    """Add the date to take, and where there are versions that of its image."""
    sighted = labels.join(_changes(view, rule.entity), on=rule.entity, how="left")
    seen = F.lit(0).cast("bigint") if view.commits is None else _last_before(view.commits, F.col(rule.time))
    known = F.filter(_CHANGES, lambda each: (each[_MONTH] <= rule.until) & (each[VERSION] <= seen))
    found = sighted.withColumn(_CHANGES, known).withColumn(view.date, _newest(F.col(_CHANGES), rule.until))
    if rule.max_age_days is not None:
        fresh = F.datediff(rule.day, view.date) <= rule.max_age_days
        found = found.withColumn(view.date, F.when(fresh, F.col(view.date)))
    if view.commits is None:
        return found.drop(_CHANGES)
    written = F.filter(_CHANGES, lambda each: _holds(each, F.col(view.date)))
    last = F.array_max(F.transform(written, lambda each: each[VERSION]))
    return found.withColumn(view.version, last).drop(_CHANGES)


def _changes(view: Images, entity: str) -> DataFrame:
    """Per entity, an array of months and versions: which days were removed and written then, as bits 1 to 31."""
    day = _bit(F.dayofmonth(FEATURE_DATE))
    removed = F.bit_or(F.when(F.col(REMOVED), day).otherwise(0)).alias(REMOVED)
    written = F.bit_or(F.when(F.col(REMOVED), 0).otherwise(day)).alias(_WRITTEN)
    rows = view.rows.select(F.col(view.entity).alias(entity), FEATURE_DATE, VERSION, REMOVED)
    commits = rows.groupBy(entity, F.trunc(FEATURE_DATE, "MM").alias(_MONTH), VERSION).agg(removed, written)
    # In the order of the struct's fields, so a month's changes follow each other by version.
    together = F.array_sort(F.collect_list(F.struct(_MONTH, VERSION, REMOVED, _WRITTEN)))
    return commits.groupBy(entity).agg(together.alias(_CHANGES))


def _newest(changes: Column, until: Column) -> Column:
    """The greatest date up to `until` that the changes leave written; null for none."""

    def of_month(month: Column) -> Column:
        its_changes = F.filter(changes, lambda each: each[_MONTH] == month)
        days = F.aggregate(
            its_changes,
            F.lit(0).cast("bigint"),
            lambda days, each: days.bitwiseAND(F.bitwise_not(each[REMOVED])).bitwiseOR(each[_WRITTEN]),
        )
        eligible = F.when(month == F.trunc(until, "MM"), _bit(F.dayofmonth(until) + 1) - 1).otherwise(-1)
        left = days.bitwiseAND(eligible)
        # Of a number written in binary, the highest of its bits is one less than the digits; bit 1 is the first day.
        return F.when(left > 0, F.date_add(month, F.length(F.bin(left)) - 2))

    months = F.array_distinct(F.transform(changes, lambda each: each[_MONTH]))
    return F.array_max(F.transform(months, of_month))


def _attach(labels: DataFrame, picked: DataFrame, view: Images, rule: Rule) -> DataFrame:
    """Join the rows that were picked, by (entity, date, version); a history as it is has no version."""
    keys = [rule.entity, view.date, *([] if view.commits is None else [view.version])]
    names = (F.col(f"`{name}`").alias(f"{view.prefix}{name}") for name in view.features)
    columns = (F.col(view.entity), F.col(FEATURE_DATE), F.col(VERSION))
    written = view.rows.where(~F.col(REMOVED))
    rows = written.select(*(each.alias(key) for each, key in zip(columns, keys, strict=False)), *names)
    if view.few:
        # Null-safe: for `=` Spark would filter nulls out before anything is picked, and so pick many times over.
        wanted = picked.select(*(F.col(key).alias(f"{_WANTED}{key}") for key in keys))
        is_wanted = reduce(Column.__and__, (F.col(key).eqNullSafe(F.col(f"{_WANTED}{key}")) for key in keys))
        rows = rows.join(F.broadcast(wanted), on=is_wanted, how="left_semi")
    found = labels.join(rows, on=keys, how="left")
    if view.commits is None:
        return found
    instants = _instants(view.commits)
    return found.withColumn(view.published_at, F.timestamp_micros(F.get(instants, F.col(view.version).cast("int"))))


def _last_before(commits: Sequence[datetime], time: Column) -> Column:
    """The version that a reader saw at a time; -1 before there was one."""
    at = F.unix_micros(time.cast("timestamp"))
    return F.size(F.filter(_instants(commits), lambda instant: instant <= at)).cast("bigint") - 1


def _instants(commits: Sequence[datetime]) -> Column:
    # One constant, however many there are: an array of literals would be built one by one.
    micros = ",".join(str((instant - _EPOCH) // timedelta(microseconds=1)) for instant in commits)
    return F.split(F.lit(micros), ",").cast("array<bigint>")


def _holds(change: Column, day: Column) -> Column:
    written = change[_WRITTEN].bitwiseAND(_bit(F.dayofmonth(day))) != 0
    return (change[_MONTH] == F.trunc(day, "MM")) & written


def _bit(number: Column) -> Column:
    return F.call_function("shiftleft", F.lit(1).cast("bigint"), number)
