"""Which published dates a changed row can change, and which months are closed: literal cases, no lake."""

from datetime import date, timedelta

import pytest

from headwater.config.features import FeatureView
from headwater.pipelines.repair import affected_dates
from headwater.tables.publish import closed_months

FIRST = date(2024, 1, 1)
PUBLISHED = [FIRST + timedelta(days=offset) for offset in range(60)]


def view(*windows: int | None) -> FeatureView:
    features = [
        {"name": f"f{index}", "type": "bigint", "op": "count", "window_days": window, "default": 0}
        for index, window in enumerate(windows)
    ]
    return FeatureView.model_validate(
        {
            "name": "v",
            "version": "1",
            "entity": "who",
            "population": {"table": "people", "since": "joined"},
            "groups": [{"table": "events", "event_time": "at", "features": features}],
        }
    )


@pytest.mark.parametrize(
    ("windows", "day", "first", "last"),
    [
        ((1,), date(2024, 1, 5), date(2024, 1, 5), date(2024, 1, 5)),
        ((7,), date(2024, 1, 5), date(2024, 1, 5), date(2024, 1, 11)),
        ((7, 30), date(2024, 1, 5), date(2024, 1, 5), date(2024, 2, 3)),
        ((30,), date(2023, 12, 20), date(2024, 1, 1), date(2024, 1, 18)),
        ((7, None), date(2024, 1, 5), date(2024, 1, 5), date(2024, 2, 29)),
        ((30,), date(2024, 2, 29), date(2024, 2, 29), date(2024, 2, 29)),
    ],
)
def test_an_event_reaches_its_window(windows: tuple[int | None, ...], day: date, first: date, last: date) -> None:
    affected = affected_dates(view(*windows), {"events": [day], "people": []}, PUBLISHED)
    assert (min(affected), max(affected)) == (first, last)
    assert len(affected) == (last - first).days + 1


def test_an_event_out_of_reach_affects_nothing() -> None:
    assert affected_dates(view(30), {"events": [date(2023, 12, 2)]}, PUBLISHED) == set()
    assert affected_dates(view(30), {"events": [date(2024, 3, 1)]}, PUBLISHED) == set()


def test_the_longest_of_several_groups_of_one_table_counts() -> None:
    long, short = view(30), view(7)
    both = long.model_copy(update={"groups": (*long.groups, *short.groups)})
    assert len(affected_dates(both, {"events": [date(2024, 1, 5)]}, PUBLISHED)) == 30


def test_a_version_of_a_dimension_lasts() -> None:
    assert affected_dates(view(7), {"people": [date(2024, 2, 28)]}, PUBLISHED) == {date(2024, 2, 28), date(2024, 2, 29)}
    assert affected_dates(view(7), {"people": [date(1, 1, 1)]}, PUBLISHED) == set(PUBLISHED)


def test_a_month_is_closed_by_a_later_one() -> None:
    days = [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 29)]
    assert closed_months(days, date(2024, 2, 29)) == (date(2024, 1, 1),)
    assert closed_months(days, date(2024, 3, 1)) == (date(2024, 1, 1), date(2024, 2, 1))


def test_definitions_have_a_version_of_their_own() -> None:
    assert view(7).pipeline_version == view(7).pipeline_version
    assert view(7).pipeline_version != view(8).pipeline_version
    assert view(7).model_copy(update={"owner": "x", "description": "y"}).pipeline_version == view(7).pipeline_version


@pytest.mark.parametrize("words", [{"owner": "x"}, {"description": "y"}, {"tags": ["z"]}])
def test_what_is_said_of_a_view_or_a_feature_is_no_definition(words: dict[str, object]) -> None:
    told = view(7).model_dump(mode="json")
    told["groups"][0]["features"][0] |= words
    told |= {**words, "ttl_days": 3}
    changed = FeatureView.model_validate(told)
    assert changed != view(7)
    assert changed.pipeline_version == view(7).pipeline_version


@pytest.mark.parametrize(
    "change",
    [{"name": "z"}, {"op": "max"}, {"type": "int"}, {"default": 1}, {"cap": 9}, {"where": [{"column": "a", "equals": "b"}]}, {"available": "known"}],
    ids=str,
)  # fmt: skip
def test_what_decides_a_value_is_a_definition(change: dict[str, object]) -> None:
    told = view(7).model_dump(mode="json")
    told["groups"][0]["features"][0] |= {"value": {"kind": "column", "column": "a"}}
    before = FeatureView.model_validate(told)
    told["groups"][0]["features"][0] |= change
    assert FeatureView.model_validate(told).pipeline_version != before.pipeline_version
