"""Mistakes in a feature view: each is refused, and the message says where and why."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from headwater.config.aggregates import Aggregate, Derived
from headwater.config.base import parse_spec
from headwater.config.features import FeatureView
from headwater.errors import ConfigError
from headwater.features.tilesets import tile_sets

FILE = Path("conf/features/v.yaml")
AMOUNT = {"kind": "column", "column": "amount"}
SPENT = {"name": "spent", "type": "decimal(18,2)", "op": "sum", "value": AMOUNT}
SEEN = {"name": "seen", "type": "date", "op": "last_day"}
FIRST = {"name": "first", "type": "date", "op": "first_day"}


def document(*features: dict[str, object], derived: tuple[dict[str, object], ...] = ()) -> dict[str, object]:
    return {
        "name": "v",
        "version": "1",
        "entity": "who",
        "population": {"table": "people", "since": "joined"},
        "groups": [{"table": "sales", "event_time": "at", "features": list(features)}],
        "derived": list(derived),
    }


def refusal(given: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_spec(given, FeatureView, FILE, {})
    assert caught.value.code == "invalid_config"
    assert str(FILE) in caught.value.message
    return caught.value.message


def ratio(*of: str, name: str = "share", **more: object) -> dict[str, object]:
    return {"name": name, "type": "double", "op": "ratio", "of": list(of), **more}


@pytest.mark.parametrize(
    ("derived", "parts"),
    [
        ([ratio("spent", "spend")], ["derived[0].of", "unknown feature 'spend'", "Did you mean 'spent'?"]),
        ([ratio("spent", "b", name="a"), ratio("a", "spent", name="b")], ["in a circle", " -> "]),
        ([ratio("spent", "share")], ["in a circle", "share -> share"]),
        ([ratio("seen", "spent")], ["derived[0].of", "no ratio of date and decimal(18,2)"]),
        ([ratio("seen", "spent", op="difference", type="int")], ["no difference of date and decimal(18,2)"]),
        ([ratio("seen", "first")], ["no ratio of date and date"]),
        ([ratio("spent", "spent", type="bigint")], ["derived[0]", "op ratio cannot give a bigint"]),
        ([ratio("spent", "spent", op="difference", type="date")], ["op difference cannot give a date"]),
        ([ratio("spent", "spent", default="none")], ["the default 'none' is no double"]),
        ([ratio("spent")], ["derived[0].of", "at least 2 items"]),
        ([ratio("spent", "spent", name="seen")], ["named twice"]),
    ],
)  # fmt: skip
def test_derived_features(derived: list[dict[str, object]], parts: list[str]) -> None:
    message = refusal(document(SPENT, SEEN, FIRST, derived=tuple(derived)))
    for part in parts:
        assert part in message


MEAN = {"name": "f", "type": "double", "op": "mean", "value": AMOUNT}


@pytest.mark.parametrize(
    ("feature", "part"),
    [
        ({**MEAN, "events": 0}, "greater than or equal to 1"),
        ({**MEAN, "events": 1001}, "less than or equal to 1000"),
        ({**MEAN, "events": 3, "window_days": 7}, "`events` stands without `window_days` and `available`"),
        ({**MEAN, "events": 3, "available": "settled"}, "`events` stands without"),
        ({**MEAN, "events": 3, "min_events": 4}, "there are never 4 of 3"),
        ({**MEAN, "min_events": 2}, "min_events is for features over the newest `events`"),
        ({**MEAN, "op": "last", "events": 3}, "there is no last of the newest events"),
        ({**MEAN, "op": "count", "events": 3, "value": None, "type": "int"}, "there is no count of the newest events"),
        ({**MEAN, "op": "std", "type": "decimal(18,2)"}, "op std cannot give a decimal(18,2)"),
        ({**MEAN, "op": "distinct", "type": "string"}, "op distinct cannot give a string"),
        ({**MEAN, "op": "distinct", "value": None}, "op distinct needs a value"),
        ({**MEAN, "op": "first", "type": "string", "cap": 3}, "a string has no cap"),
        ({**MEAN, "op": "last", "type": "string", "default": 3}, "the default 3 is no string"),
        ({**MEAN, "op": "median"}, "median"),
    ],
)  # fmt: skip
def test_aggregates(feature: dict[str, object], part: str) -> None:
    message = refusal(document(SPENT, feature))
    assert "groups[0].features[1]" in message
    assert part in message


def test_features_that_read_the_same_share_tiles() -> None:
    channel, web = {"kind": "column", "column": "channel"}, [{"column": "channel", "equals": "web"}]
    given = document(
        SPENT,
        {"name": "a", "type": "int", "op": "distinct", "value": channel, "window_days": 7},
        {"name": "b", "type": "string", "op": "most_frequent", "value": channel, "where": web},
        {"name": "c", "type": "int", "op": "distinct", "value": AMOUNT},
        {"name": "d", "type": "int", "op": "distinct_approx", "value": AMOUNT},
        {**MEAN, "name": "e", "events": 3},
        {**MEAN, "name": "f", "op": "max", "events": 9},
        {**MEAN, "name": "g", "events": 3, "where": web},
        SEEN,
        {**SEEN, "name": "seen_7d", "window_days": 7},
        {**MEAN, "name": "least", "op": "min", "window_days": 7},
    )
    found = {
        each.kind: (each.grain, [f.name for f in each.features])
        for each in tile_sets(FeatureView.model_validate(given))
    }
    assert found == {
        1: ("day", ["spent", "seen"]),
        2: ("value", ["a", "b"]),
        3: ("value", ["c"]),
        4: ("register", ["d"]),
        5: ("event", ["e", "f"]),
        6: ("event", ["g"]),
        # Neither keeps what only adds up from being stored, and gone on from.
        7: ("day", ["seen_7d"]),
        8: ("day", ["least"]),
    }


def test_derived_features_come_in_turn() -> None:
    chain = (ratio("b", "spent", name="a"), ratio("c", "c", name="b"), ratio("spent", "spent", name="c"))
    view = FeatureView.model_validate(document(SPENT, derived=chain))
    assert [each.name for each in view.derived_in_turn] == ["c", "b", "a"]
    assert view.columns == ("who", "feature_date", "spent", "a", "b", "c", "stale_sources", "pipeline_version")
    assert view.tables_of["a"] == {"sales"}


def test_definitions_that_say_nothing_new_keep_their_version() -> None:
    """A digest that changed would have every published date computed again."""
    given = document({**SPENT, "where": [{"column": "channel", "equals": "web"}], "window_days": 30}, SEEN)
    assert FeatureView.model_validate(given).pipeline_version == "1-50007bf3"
    assert FeatureView.model_validate({**given, "derived": [ratio("spent", "spent")]}).pipeline_version != "1-50007bf3"


def test_the_page_shows_a_view() -> None:
    page = (Path(__file__).parents[2] / "docs/features.md").read_text()
    shown = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    view = FeatureView.model_validate({**document(SPENT), **shown})
    ops = {row for line in re.findall(r"^\| (`.*?) \| ", page, re.MULTILINE) for row in re.findall(r"`(\w+)`", line)}
    assert {*get_args(Aggregate.model_fields["op"].annotation), *get_args(Derived.model_fields["op"].annotation)} <= ops
    assert view.derived
