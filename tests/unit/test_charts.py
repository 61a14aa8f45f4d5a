"""Drawings hold the numbers they are given: the expected paths are worked out by hand."""

import pytest

from headwater.pages.charts import curve, histogram, span


def test_histogram_bars_stand_on_the_ground_in_proportion() -> None:
    drawing = histogram("Spend", "2 bars", (10, 5))
    # Two bars of 50, of each of which 12% is gap: 3 on either side.
    assert [path.data for path in drawing.paths] == ["M3 100v-100h44V100zM53 100v-50h44V100z"]
    assert (drawing.title, drawing.detail) == ("Spend", "2 bars")


def test_empty_bars_are_not_drawn_and_small_ones_are_seen() -> None:
    data = histogram("x", "", (1000, 0, 1)).paths[0].data
    assert data.count("M") == 2
    assert "v-1.5" in data


def test_no_bars_at_all() -> None:
    assert histogram("x", "", ()).paths[0].data == ""


def test_curve_from_the_lowest_to_the_highest() -> None:
    drawing = curve("Score", "", (0.0, 1.0, 0.5), (True, True, True))
    line, dot = drawing.paths
    assert (line.look, line.data) == ("line", "M2 92L50 8L98 50")
    assert (dot.look, dot.data) == ("good", "M98 50h0")


def test_curve_breaks_where_there_is_no_value() -> None:
    line = curve("x", "", (1.0, 2.0, None, 2.0, 1.0), (True,) * 5).paths[0]
    assert line.data == "M2 92L26 8M74 8L98 92"


def test_every_audit_that_did_not_pass_has_its_dot() -> None:
    looks = [path.look for path in curve("x", "", (1.0, 2.0, 3.0), (False, True, False)).paths]
    assert looks == ["line", "bad", "bad"]


@pytest.mark.parametrize("values", [(0.7, 0.7), (0.7, None)])
def test_equal_values_lie_half_way_up(values: tuple[float | None, ...]) -> None:
    assert "50" in curve("x", "", values, (True, True)).paths[0].data.split("L")[0].split()[1]


def test_curve_of_nothing() -> None:
    assert curve("x", "", (None, None), (True, False)).paths[0].data == ""


@pytest.mark.parametrize(
    ("begin", "end", "whole", "data"),
    [
        (0, 30, 120, "M0 100v-100h25V100z"),
        (30, 120, 120, "M25 100v-100h75V100z"),
        (5, 5, 100, "M5 100v-100h1.5V100z"),
        (100, 100, 100, "M98.5 100v-100h1.5V100z"),
        (0, 0, 0, "M0 100v-100h1.5V100z"),
    ],
)
def test_span_lies_where_it_ran(begin: float, end: float, whole: float, data: str) -> None:
    assert span("x", begin, end, whole).paths[0].data == data
