"""The report says what was found, to machines and to people, and nothing in it can break the page."""

import json
import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from headwater.quality.facts import QualityReport, RowEquation, StepTiming, TableLayout
from headwater.quality.report import report_html, report_json
from headwater.quality.verdict import CheckResult, Verdict

_DAY = date(2025, 3, 31)
BALANCED = RowEquation("orders", 100, 5, 60, 10, 20, 5, 4, 6)
KEY = CheckResult("unique(id)", "uniqueness", 1, "deequ", True, True, "no two rows share id", "all 9 rows pass", 1.0)
RANGE = CheckResult("in_range(x)", "validity", 2, "deequ", True, False, "x is at least 0", "2 of 9 rows fail", 7 / 9)
WARNING = replace(RANGE, name="mean(x)", blocking=False, expected="mean of x is at most 1", observed="7", ratio=None)


def _report(*results: CheckResult, rows: tuple[RowEquation, ...] = (BALANCED,)) -> QualityReport:
    return QualityReport(
        pipeline="churn",
        run_id="run-1",
        run_date=_DAY,
        dates=tuple(_DAY - timedelta(days=days) for days in range(31)),
        verdict=Verdict(results),
        rows=rows,
        quarantine={"orders": {"currency": 2, "missing:amount": 4}},
        steps=(StepTiming("extract orders", "done", 0, 5), StepTiming("stage", "done", 1.25, 118.75)),
        layout=(TableLayout("gold/churn", 3, 1_234_567),),
        sample=({"id": "U1", "spend": Decimal("1.50"), "day": _DAY, "stale": [], "rate": float("nan"), "gone": None},),
    )


class _Reader(HTMLParser):
    """Collects text and tags, and insists that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_json_holds_the_four_parts_and_survives_a_strict_parser() -> None:
    report = _report(KEY, RANGE, WARNING)
    found = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert list(found)[:4] == ["passed", "checks", "anomalies", "metrics"]
    assert found["passed"] is False
    assert [check["name"] for check in found["checks"]] == ["unique(id)", "in_range(x)", "mean(x)"]
    assert [(anomaly["subject"], anomaly["blocking"]) for anomaly in found["anomalies"]] == [
        ("in_range(x)", True),
        ("mean(x)", False),
    ]
    assert found["metrics"]["data_quality_score"] == report.verdict.score
    assert (found["metrics"]["validation_failures"], found["metrics"]["records_received"]) == (2, 105)
    assert (found["metrics"]["duration_seconds"], found["metrics"]["bytes"]) == (120.0, 1_234_567)
    assert found["dimensions"] == {"uniqueness": {"passed": 1, "failed": 0}, "validity": {"passed": 0, "failed": 2}}
    assert found["rows"][0]["adds_up"] is True
    assert found["sample"] == [
        {"id": "U1", "spend": "1.50", "day": "2025-03-31", "stale": [], "rate": None, "gone": None}
    ]


def test_datetime_keeps_its_time_in_json() -> None:
    report = replace(_report(KEY), sample=({"at": datetime(2025, 3, 31, 2, 0, 5)},))  # noqa: DTZ001 - as Spark hands it
    assert report_json(report)["sample"] == [{"at": "2025-03-31T02:00:05"}]


@pytest.mark.parametrize("term", ["extracted", "replayed", "inserted", "updated", "unchanged", "superseded"])
def test_any_lost_record_fails_the_report(term: str) -> None:
    lost = replace(BALANCED, **{term: getattr(BALANCED, term) + 1})
    report = _report(KEY, rows=(BALANCED, lost))
    assert BALANCED.adds_up
    assert not lost.adds_up
    assert not report.passed
    found = report_json(report)
    assert found["passed"] is False
    assert "row_equation" in json.dumps(found["anomalies"])
    assert "Records are missing" in report_html(report)


@pytest.mark.parametrize(
    ("results", "headline"),
    [
        ((KEY,), "Passed. All checks hold."),
        ((KEY, WARNING), "Passed, with something to look at."),
        ((KEY, WARNING, RANGE), "Stopped. Readers keep what they had before this run."),
    ],
)
def test_verdict_comes_first(results: tuple[CheckResult, ...], headline: str) -> None:
    text = [part for part in _read(report_html(_report(*results))).text if part]
    assert headline in text[:10]
    assert text.index(headline) < text.index("Checks")


def test_page_shows_equation_checks_quarantine_and_times() -> None:
    text = _read(report_html(_report(KEY, RANGE))).text
    for wanted in (
        "105",
        "x is at least 0",
        "2 of 9 rows fail",
        "1 of 1 pass",
        "missing:amount",
        "2 min 0 s",
        "1.2 MB",
    ):
        assert wanted in text
    assert text.index("missing:amount") < text.index("currency")


def test_engines_that_agree_share_a_line() -> None:
    html = report_html(_report(KEY, replace(KEY, engine="great_expectations")))
    assert html.count("no two rows share id") == 1
    assert "Deequ, Great Expectations" in html
    assert "1 of 1 pass" in html


def test_engines_that_differ_have_a_line_each() -> None:
    html = report_html(
        _report(KEY, replace(KEY, engine="great_expectations", passed=False, observed="1 of 9 rows fail"))
    )
    assert "all 9 rows pass" in html
    assert "1 of 9 rows fail" in html


def test_nothing_from_the_rows_becomes_markup() -> None:
    evil = "<script>alert('x')</script>\"&"
    report = QualityReport(
        pipeline=evil,
        run_id=evil,
        run_date=_DAY,
        dates=(_DAY,),
        verdict=Verdict((replace(RANGE, name=evil, expected=evil, observed=evil),)),
        rows=(replace(BALANCED, source=evil),),
        quarantine={evil: {evil: 1}},
        steps=(StepTiming(evil, evil, 0, 1.0),),
        layout=(TableLayout(evil, 1, 1),),
        stale_sources=(evil,),
        sample=({evil: evil},),
    )
    page = _read(report_html(report))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "".join(page.text).count(evil) >= 12
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_page_needs_nothing_else_and_stays_small() -> None:
    many = tuple(replace(RANGE, name=f"c{index}", expected=f"x{index} is at least 0") for index in range(100))
    html = report_html(_report(*many))
    assert len(html.encode()) < 200_000
    tags = {tag for tag, _ in _read(html).tags}
    assert not tags & {"link", "script", "img", "iframe"}
    assert not re.search(r"https?:|url\(|@import", html)
    assert "prefers-color-scheme:dark" in html


def test_almost_perfect_score_never_reads_as_perfect() -> None:
    nearly = replace(KEY, passed=False, blocking=False, ratio=0.999999)
    assert "0.9999" in _read(report_html(_report(nearly))).text


def test_report_of_nothing_but_checks() -> None:
    bare = QualityReport("p", "r", _DAY, (), Verdict((KEY,)))
    text = _read(report_html(bare)).text
    assert not {"Quarantine", "Steps", "Storage", "Some rows"} & set(text)
    assert "Run r of 2025-03-31: no feature date" in text


def test_stale_sources_are_named() -> None:
    html = report_html(replace(_report(KEY), stale_sources=("tickets",)))
    assert "Passed, with something to look at." in html
    assert "Carried forward from the last published values: tickets." in html
