"""What a feature means, in words, for every operation; each sentence is written by hand."""

from typing import get_args

import pytest

from headwater.catalogue.wording import (
    SUBJECTS,
    allowance,
    definition,
    derivation,
    membership,
    usable,
    when_late,
    window,
)
from headwater.config.aggregates import Aggregate, Derived, Op
from headwater.config.features import FeatureView
from headwater.config.gates import FreshnessGate

AMOUNT = {"kind": "column", "column": "amount"}
DAYS = {"kind": "days_between", "start": "opened", "end": "closed"}
LOGIN = {"where": [{"column": "event", "equals": "login"}]}
WEEK = "over the 7 days that end with the date, UTC, both included"
EVER = "over all history up to the date, UTC, itself included"
MEANT: dict[str, tuple[dict[str, object], str]] = {
    "sum": (
        {"type": "decimal(18,2)", "value": AMOUNT, "window_days": 30, "default": 0},
        "sum of amount over the 30 days that end with the date, UTC, both included; 0.00 when no row matches",
    ),
    "count": (
        {"type": "bigint", "window_days": 7, "default": 0, **LOGIN},
        f"number of rows of clicks where event is 'login' {WEEK}; 0 when no row matches",
    ),
    "mean": (
        {"type": "double", "value": DAYS, "window_days": 7, "available": "closed"},
        f"mean of the days from opened to closed {WEEK}, only rows whose closed is on or before the date, rounded to six "
        "decimals; null when no row matches",
    ),
    "min": ({"type": "int", "value": AMOUNT}, f"least amount {EVER}; null when no row matches"),
    "max": (
        {"type": "int", "value": AMOUNT, "window_days": 1, "cap": 0, "default": -1},
        "greatest amount on the date itself, UTC, at most 0; -1 when no row matches",
    ),
    "variance": (
        {"type": "double", "value": AMOUNT, "events": 5, "min_events": 3},
        "sample variance of amount over the newest 5 events up to the date, UTC, itself included, where there are at least "
        "3, rounded to six decimals; null when no row matches",
    ),
    "std": (
        {"type": "double", "value": AMOUNT},
        f"sample standard deviation of amount {EVER}, rounded to six decimals; null when no row matches",
    ),
    "first": (
        {
            "type": "string",
            "value": AMOUNT,
            "where": [{"part": "weekend", "of": "at", "equals": True}],
            "default": "none",
        },
        f"first amount by event time where the weekend of at (UTC) is true {EVER}; none when no row matches",
    ),
    "last": (
        {
            "type": "int",
            "value": AMOUNT,
            "where": [{"column": "n", "at_least": 1, "at_most": 5}, {"column": "x", "is_null": False}],
        },
        f"last amount by event time where n is at least 1 and at most 5 and x is known {EVER}; null when no row matches",
    ),
    "distinct": (
        {
            "type": "int",
            "value": {"kind": "part", "part": "hour", "of": "at"},
            "where": [{"column": "n", "in": ["a", "b"]}],
        },
        f"number of different values of the hour of at (UTC) where n is one of 'a', 'b' {EVER}; null when no row matches",
    ),
    "distinct_approx": (
        {"type": "int", "value": AMOUNT, "window_days": 7},
        f"about the number of different values of amount (within 1.6% in most cases) {WEEK}; null when no row matches",
    ),
    "most_frequent": (
        {"type": "string", "value": AMOUNT},
        f"most frequent amount, of several the smallest {EVER}; null when no row matches",
    ),
    "first_day": (
        {"type": "date", "default": "1970-01-01"},
        f"day of the first row of clicks {EVER}; 1970-01-01 when no row matches",
    ),
    "last_day": (
        {"type": "date", "value": AMOUNT, **LOGIN},
        f"day of the last row of clicks where event is 'login' and amount is known {EVER}; null when no row matches",
    ),
    "days_since_first": ({"type": "int"}, f"days since the first row of clicks {EVER}; null when no row matches"),
    "days_since_last": (
        {"type": "int", "cap": 1000, "default": 1000},
        f"days since the last row of clicks {EVER}, at most 1000; 1000 when no row matches",
    ),
}


def feature(op: str, **declared: object) -> Aggregate:
    return Aggregate.model_validate({"name": "f", "op": op, **declared})


def test_every_operation_has_words_and_a_sentence_here() -> None:
    assert set(SUBJECTS) == set(get_args(Op)) == set(MEANT)


@pytest.mark.parametrize("op", MEANT)
def test_definition(op: str) -> None:
    declared, meant = MEANT[op]
    assert definition(feature(op, **declared), "clicks") == meant


@pytest.mark.parametrize(
    ("op", "declared", "meant"),
    [
        ("ratio", {"type": "double", "cap": 3, "default": 0}, "a divided by b, rounded to six decimals, at most 3; 0.0 where one of them is unknown or b is zero"),
        ("difference", {"type": "int"}, "a minus b; null where one of them is unknown"),
    ],
)  # fmt: skip
def test_derivation(op: str, declared: dict[str, object], meant: str) -> None:
    assert derivation(Derived.model_validate({"name": "f", "op": op, "of": ["a", "b"], **declared})) == meant


@pytest.mark.parametrize(
    ("kind", "default", "said"),
    [("double", 0, "0.0"), ("double", 2.5, "2.5"), ("decimal(9,3)", 0.5, "0.500"), ("decimal(9,0)", 7, "7"), ("bigint", 0, "0")],
)  # fmt: skip
def test_the_value_without_a_match_has_the_digits_of_its_type(kind: str, default: float, said: str) -> None:
    op = "mean" if kind == "double" else "sum"
    words = definition(feature(op, type=kind, value=AMOUNT, default=default), "clicks")
    assert words.endswith(f"; {said} when no row matches")


def test_columns_that_decide_a_feature() -> None:
    found = feature("mean", type="double", value=DAYS, available="closed", where=[{"column": "event", "equals": "x"}])
    assert found.reads("at") == ("opened", "closed", "event", "at")
    assert feature("count", type="int").reads("at") == ("at",)


def test_who_has_a_row() -> None:
    view = FeatureView.model_validate(
        {
            "name": "v",
            "version": "1",
            "entity": "who",
            "population": {"table": "people", "since": "joined"},
            "groups": [],
        }
    )
    assert membership(view, "history") == "every who of people has a row from its joined on"
    assert membership(view, "fact") == "every who of people has a row from its first joined on"


def test_limits_in_words() -> None:
    gate = FreshnessGate(column="at", max_lag_hours=36)
    assert (allowance(gate), when_late(gate)) == ("at most 36 h old", "the values published last are kept")
    days = gate.model_copy(update={"max_lag_hours": 72.0, "action": "halt_pipeline"})
    assert (allowance(days), when_late(days)) == ("at most 3 days old", "nothing is published")
    assert allowance(gate.model_copy(update={"max_lag_hours": 1.5})) == "at most 1.5 h old"
    assert when_late(gate.model_copy(update={"action": "report"})) == "it is reported"
    assert (allowance(None), when_late(None)) == ("of any age", "nothing is checked")
    assert (usable(None), usable(1), usable(1000)) == (
        "without end",
        "1 day after its date",
        "1,000 days after its date",
    )
    assert window(3660) == "over the 3,660 days that end with the date, UTC, both included"
