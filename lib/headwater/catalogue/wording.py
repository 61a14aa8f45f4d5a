"""What a feature means, in words: semantics.md said once more for the person who looks a feature up.

sum of amount over the 30 days that end with the date, UTC, both included; 0.00 when no row matches
subject       window                                                       no match
"""

from collections.abc import Mapping
from typing import Literal, assert_never

from headwater.config.aggregates import Aggregate, Derived, Op
from headwater.config.features import FeatureView
from headwater.config.gates import FreshnessGate
from headwater.config.rows import CalendarPart, ColumnValue, Condition, DaysBetween, Part, Scalar

# An operation is a line here: what it gives, of the `{value}` that it reads or of rows of the `{table}`.
SUBJECTS: Mapping[Op, str] = {
    "sum": "sum of {value}",
    "count": "number of rows of {table}",
    "mean": "mean of {value}",
    "min": "least {value}",
    "max": "greatest {value}",
    "variance": "sample variance of {value}",
    "std": "sample standard deviation of {value}",
    "first": "first {value} by event time",
    "last": "last {value} by event time",
    "distinct": "number of different values of {value}",
    "distinct_approx": "about the number of different values of {value} (within 1.6% in most cases)",
    "most_frequent": "most frequent {value}, of several the smallest",
    "first_day": "day of the first row of {table}",
    "last_day": "day of the last row of {table}",
    "days_since_first": "days since the first row of {table}",
    "days_since_last": "days since the last row of {table}",
}
_ROUNDED = dict.fromkeys(("mean", "variance", "std"), ", rounded to six decimals")
_PARTS: Mapping[Part, str] = {
    "hour": "hour",
    "day_of_week": "day of the week (Monday is 1)",
    "month": "month",
    "quarter": "quarter",
    "weekend": "weekend",
}
_FOR_ALL = "over all history up to the date, UTC, itself included"


def definition(feature: Aggregate, table: str) -> str:
    """What a value of the feature means.

    Args:
        feature: as declared.
        table: the silver table that it is computed from.
    """
    subject = SUBJECTS[feature.op].format(value=_value(feature), table=table)
    within = window(feature.window_days) if feature.events is None else newest(feature.events, feature.min_events)
    parts = [subject, *_conditions(feature), within]
    words = " ".join(parts)
    if feature.available:
        words += f", only rows whose {feature.available} is on or before the date"
    words += _ROUNDED.get(feature.op, "")
    if feature.cap is not None:
        words += f", at most {feature.cap}"
    return f"{words}; {no_match(feature)} when no row matches"


def window(days: int | None) -> str:
    """Which days count."""
    if days is None:
        return _FOR_ALL
    return (
        "on the date itself, UTC" if days == 1 else f"over the {days:,} days that end with the date, UTC, both included"
    )


def derivation(feature: Derived) -> str:
    """What a value computed from two other features means."""
    above, below = feature.of
    unknown = f"{no_match(feature)} where one of them is unknown"
    most = "" if feature.cap is None else f", at most {feature.cap}"
    if feature.op == "ratio":
        return f"{above} divided by {below}, rounded to six decimals{most}; {unknown} or {below} is zero"
    return f"{above} minus {below}{most}; {unknown}"


def newest(events: int, least: int) -> str:
    """Which events count."""
    some = f", where there are at least {least:,}" if least > 1 else ""
    return f"over the newest {events:,} events up to the date, UTC, itself included{some}"


def no_match(feature: Aggregate | Derived) -> str:
    """The value without a matching row, with the digits that its type has."""
    if feature.default is None:
        return "null"
    if feature.type == "double":
        return repr(float(feature.default))
    if feature.type.startswith("decimal"):
        places = int(feature.type.rstrip(")").rpartition(",")[2])
        return f"{feature.default:.{places}f}" if not isinstance(feature.default, str) else feature.default
    return str(feature.default)


def attribute(name: str, table: str) -> str:
    """What an attribute means."""
    return f"{name} of {table} as of the end of the date, UTC; before its first known version, as of that version"


def grain(view: FeatureView) -> str:
    """What a row is."""
    return f"one row per {view.entity} and date"


def membership(view: FeatureView, kind: Literal["fact", "history"]) -> str:
    """Who has a row on a date.

    Args:
        view: names the population.
        kind: of its table.
    """
    first = "" if kind == "history" else "first "
    return f"every {view.entity} of {view.population.table} has a row from its {first}{view.population.since} on"


def usable(ttl_days: int | None) -> str:
    """How long a row may be used."""
    return "without end" if ttl_days is None else f"{_days(ttl_days)} after its date"


def allowance(gate: FreshnessGate | None) -> str:
    """How old the newest data may be."""
    return "of any age" if gate is None else f"at most {hours(gate.max_lag_hours)} old"


def when_late(gate: FreshnessGate | None) -> str:
    """What becomes of features whose source is later than it may be."""
    if gate is None:
        return "nothing is checked"
    match gate.action:
        case "use_cached_features":
            return "the values published last are kept"
        case "halt_pipeline":
            return "nothing is published"
        case "report":
            return "it is reported"
        case _:
            assert_never(gate.action)


def hours(count: float) -> str:
    """Hours as people say them: whole days from two on."""
    return _days(int(count / 24)) if count >= 48 and count % 24 == 0 else f"{count:g} h"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"


def _value(feature: Aggregate) -> str:
    match feature.value:
        case None:
            return "rows"
        case ColumnValue(column=column):
            return column
        case DaysBetween(start=start, end=end):
            return f"the days from {start} to {end}"
        case CalendarPart(part=part, of=of):
            return f"the {_PARTS[part]} of {of} (UTC)"
        case _:
            assert_never(feature.value)


def _conditions(feature: Aggregate) -> list[str]:
    """What must hold for a row to count; operations on rows count those only that have their value."""
    met = [_condition(each) for each in feature.where]
    if "{value}" not in SUBJECTS[feature.op] and feature.value is not None:
        met += [f"{column} is known" for column in feature.value.columns]
    return [f"where {' and '.join(met)}"] if met else []


def _condition(condition: Condition) -> str:
    read = f"the {_PARTS[condition.part]} of {condition.of} (UTC)" if condition.part else condition.read
    if condition.is_null is not None:
        return f"{read} is {'missing' if condition.is_null else 'known'}"
    if condition.equals is not None:
        return f"{read} is {_said(condition.equals)}"
    if condition.among is not None:
        return f"{read} is one of {', '.join(map(_said, condition.among))}"
    limits = (("at least", condition.at_least), ("at most", condition.at_most))
    return f"{read} is {' and '.join(f'{words} {_said(limit)}' for words, limit in limits if limit is not None)}"


def _said(value: Scalar) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value).lower()
