"""What a training set gives away: rows from after a label's cut-off, and features that are the label by another name.

The first must not happen and is proved on the rows themselves. The second is a suspicion in numbers: how far a feature,
or merely its being null, goes along with the label. Everything is measured in one aggregation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.features.lookup import Images, Rule

SUSPICIOUS = 0.99
# Of fewer rows chance alone makes a straight line.
LEAST_ROWS = 30
_ORDERED = (T.NumericType, T.BooleanType, T.DateType)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A feature that tells the label on its own.

    Attributes:
        feature: column of the training set.
        sign: `correlated`, `separates` (the two labels' values do not overlap), or `null_tells` (it is null where the
            label has one value).
        strength: Pearson's r with the label; of `separates` 1.
        rows: how many rows it was seen on.
    """

    feature: str
    sign: str
    strength: float
    rows: int

    def __str__(self) -> str:
        """One line for a person."""
        words = {
            "correlated": f"is almost the label itself (r = {self.strength:.4f})",
            "separates": "parts the labels without an overlap",
            "null_tells": f"is null where the label says so (r = {self.strength:.4f})",
        }
        return f"{self.feature} {words[self.sign]} on {self.rows:,} rows"


def is_measured(kind: T.DataType) -> bool:
    """Whether values of a type can be held against a label: numbers, booleans and dates."""
    return isinstance(kind, _ORDERED)


def beyond_cutoff(views: Sequence[Images], rule: Rule) -> Column:
    """How many rows hold a feature row that their label may not know; computed from the result, not as it was joined.

    Args:
        views: what was joined.
        rule: what a label may know.
    """
    time, day = F.col(rule.time).cast("timestamp"), F.to_date(rule.time)
    wrong = F.lit(False)
    for view in views:
        age = F.datediff(day, view.date)
        wrong |= age < (1 if rule.cutoff == "before_day" else 0)
        if rule.max_age_days is not None:
            wrong |= age > rule.max_age_days
        if view.commits is not None:
            wrong |= F.col(view.published_at) > time
    return F.count_if(F.coalesce(wrong, F.lit(False)))


def suspicion_measures(schema: T.StructType, features: Sequence[str], label: str) -> list[Column]:
    """Aggregates from which `suspicions` are told; none where the label is no number, boolean or date.

    Args:
        schema: of the training set.
        features: columns to hold against the label; those of other types are passed over.
        label: its column; never null.
    """
    if not is_measured(schema[label].dataType):
        return []
    y = _number(label, schema)
    measured = [name for name in features if is_measured(schema[name].dataType)]
    return [
        F.struct(F.count_if(~y.isin(0.0, 1.0)).alias("neither"), F.stddev_pop(y).alias("spread")).alias("_label"),
        *(_of_feature(_number(name, schema), y).alias(f"_of_{name}") for name in measured),
        *(_of_null(F.col(f"`{name}`").isNull().cast("double"), y).alias(f"_null_{name}") for name in features),
    ]


def suspicions(measured: Mapping[str, Any]) -> Iterator[Suspicion]:
    """What the aggregates say, in the order of the features.

    Args:
        measured: the one row of `suspicion_measures`, by column.
    """
    if "_label" not in measured:
        return
    label = measured["_label"]
    for column, found in measured.items():
        if column.startswith("_null_"):
            yield from _told_by_null(column.removeprefix("_null_"), found, label["spread"])
        elif column.startswith("_of_"):
            yield from _told_by_value(column.removeprefix("_of_"), found, two_labels=label["neither"] == 0)


def _of_feature(x: Column, y: Column) -> Column:
    # Not `corr`: with ANSI on, a column of one value divides by zero.
    both = F.when(x.isNotNull(), y)
    return F.struct(
        F.count(x).alias("rows"),
        F.covar_pop(x, y).alias("together"),
        F.stddev_pop(x).alias("x"),
        F.stddev_pop(both).alias("y"),
        *(
            aggregate(F.when(y == value, x)).alias(f"{name}_{value}")
            for name, aggregate in (("least", F.min), ("most", F.max))
            for value in (0, 1)
        ),
    )


def _of_null(x: Column, y: Column) -> Column:
    together, spread = F.covar_pop(x, y).alias("together"), F.stddev_pop(x).alias("x")
    return F.struct(F.count(x).alias("rows"), together, spread)


def _told_by_value(feature: str, found: Mapping[str, Any], *, two_labels: bool) -> Iterator[Suspicion]:
    if found["rows"] < LEAST_ROWS:
        return
    r = _pearson(found["together"], found["x"], found["y"])
    if abs(r) >= SUSPICIOUS:
        yield Suspicion(feature, "correlated", r, found["rows"])
    elif two_labels and _apart(found):
        yield Suspicion(feature, "separates", 1.0, found["rows"])


def _told_by_null(feature: str, found: Mapping[str, Any], label_spread: float | None) -> Iterator[Suspicion]:
    r = _pearson(found["together"], found["x"], label_spread)
    if found["rows"] >= LEAST_ROWS and abs(r) >= SUSPICIOUS:
        yield Suspicion(feature, "null_tells", r, found["rows"])


def _apart(found: Mapping[str, Any]) -> bool:
    if found["least_0"] is None or found["least_1"] is None:
        return False
    return bool(found["most_0"] < found["least_1"] or found["most_1"] < found["least_0"])


def _pearson(together: float | None, x: float | None, y: float | None) -> float:
    """Pearson's r; 0 where one of the two does not vary, or is not finite."""
    r = together / (x * y) if together is not None and x and y else 0.0
    return 0.0 if r != r else max(-1.0, min(1.0, r))  # noqa: PLR0124 -- not a number is not itself


def _number(name: str, schema: T.StructType) -> Column:
    column = F.col(f"`{name}`")
    if isinstance(schema[name].dataType, T.DateType):
        column = F.unix_date(column)
    number = column.cast("double")
    return F.when(~F.isnan(number), number)
