"""The report says what was found, to machines and to people, and nothing in it can break the page."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest

from headwater.pages.charts import Drawing, Path
from headwater.pages.numbers import brief, cut_score, share
from headwater.pages.page import (
    Card,
    Column,
    Folded,
    Mark,
    banner,
    cards,
    contents,
    heading,
    note,
    page,
    paragraph,
    section,
    table,
)
from headwater.quality.facts import (
    AuditPoint,
    DateSpread,
    Distributions,
    Example,
    HeldBatch,
    LateRecords,
    Numbers,
    NumberSpread,
    QualityReport,
    Repairs,
    RowEquation,
    StepTiming,
    TableLayout,
    ValueSpread,
    WithheldRows,
)
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
    )


HELD = HeldBatch("orders", "churn/orders/bronze#7", 1234, "volume", "1,234 records, at most 1,000 expected")
SPEND = NumberSpread("spend", 200, 20, Numbers(0.0, 0.5, 12.25, 90.0, 5000.0, 18.0, (150, 25, 0, 5), 0.0, 100.0))
SEGMENT = ValueSpread("segment", 200, 10, (("basic", 100), ("pro", 50)), other=40)
LOGIN = DateSpread("last_login", 200, 50, date(2024, 1, 5), date(2025, 3, 30))
SPREADS = Distributions(_DAY, complete=True, spreads=(SPEND, SEGMENT, LOGIN, NumberSpread("void", 200, 200, None)))
RECORD = Example("0123456789abcdef", date(2025, 3, 30), {"id": "x99", "amount": "-9.99"})


def _point(day: int, score: float, quarantined: int = 5, *, passed: bool = True) -> AuditPoint:
    return AuditPoint(date(2025, 3, day), passed, score, 1000 + day, received=100, quarantined=quarantined)


def _full(*results: CheckResult) -> QualityReport:
    """A report with something in every section."""
    return replace(
        _report(*results),
        held=(HELD,),
        carried={"tickets": (_DAY,)},
        withheld=WithheldRows(3, of=6000, columns=("spend",)),
        quarantine={"orders": {"negative:amount": 4, "missing:at": 2, "unparsable": 1, "unknown_user": 1, "held": 9}},
        examples={
            "orders": {
                "negative:amount": (RECORD,),
                "missing:at": (RECORD,),
                "unparsable": (replace(RECORD, fields=None),),
                "unknown_user": (RECORD,),
            }
        },
        trend=(_point(28, 0.99), _point(29, 0.8, passed=False), _point(31, 0.99996, quarantined=12)),
        distributions=SPREADS,
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


def test_a_run_that_a_gate_stopped_says_so_before_anything_else() -> None:
    report = replace(_report(), dates=(), stopped=("orders: column amount is gone",), held=(HELD,))
    found = report_json(report)
    assert not found["passed"]
    assert found["metrics"]["data_quality_score"] is None
    assert [(each["kind"], each["observed"]) for each in found["anomalies"]] == [("gate", report.stopped[0])]
    text = _read(report_html(report)).text
    assert text.index("Stopped. Readers keep what they had before this run.") < text.index(report.stopped[0])
    assert "not judged" in text
    assert "Run run-1 of 2025-03-31: no feature date" in text


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
        held=(HeldBatch(evil, evil, 1, evil, evil),),
        carried={evil: (_DAY,)},
        withheld=WithheldRows(1, of=9, columns=(evil,)),
        examples={evil: {evil: (Example(evil, _DAY, {evil: evil}),)}},
        trend=(_point(30, 1.0), _point(31, 1.0)),
        distributions=Distributions(
            _DAY,
            complete=True,
            spreads=(
                ValueSpread(evil, 9, 0, ((evil, 9),), other=0),
                replace(SPEND, feature=evil),
                DateSpread(evil, 1, 1, None, None),
            ),
        ),
        stopped=(evil,),
    )
    found = _read(report_html(report))
    assert "script" not in {tag for tag, _ in found.tags}
    assert "".join(found.text).count(evil) >= 24
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_no_part_of_the_page_lets_markup_through() -> None:
    evil = "<script>"
    drawing = Drawing(evil, evil, evil, (Path(evil, evil),))
    card = Card(evil, evil, drawing, (evil, evil), ((evil, evil),), shares=((evil, drawing, evil),))
    columns = [Column(evil)] * 4
    parts = [
        contents([(evil, evil)]),
        note(evil, [evil], [evil]),
        cards([card]),
        section(evil, [heading(evil, evil), paragraph(evil), banner(evil, evil, [evil])]),
        table(columns, [[evil, Mark(evil, evil), Folded(evil, (evil,)), drawing]]),
    ]
    whole = page(evil, parts)
    assert evil not in whole
    assert whole.count("&lt;script&gt;") >= 40


def test_page_needs_nothing_else_and_stays_small() -> None:
    many = tuple(replace(RANGE, name=f"c{index}", expected=f"x{index} is at least 0") for index in range(100))
    wide = replace(SPEND.numbers, bars=tuple(range(1_000_000, 1_000_020)))
    wordy = Example("f" * 64, _DAY, {f"column_{index}": "9" * 40 for index in range(20)})
    reasons = {f"range:column_{index}": 1000 for index in range(25)}
    report = replace(
        _full(*many),
        quarantine={f"source_{index}": reasons for index in range(6)},
        examples={f"source_{index}": dict.fromkeys(reasons, (wordy, wordy)) for index in range(6)},
        trend=tuple(_point(1 + index, 0.9 + index / 1000) for index in range(30)),
        distributions=replace(
            SPREADS, spreads=tuple(replace(SPEND, feature=f"feature_{index}", numbers=wide) for index in range(60))
        ),
    )
    html = report_html(report)
    assert html.count('<svg class="chart"') == 63
    assert len(html.encode()) <= 1_000_000
    found = _read(html)
    assert not {tag for tag, _ in found.tags} & {"link", "script", "img", "iframe", "object", "use"}
    assert not {"src", "srcset", "action"} & {name for _, attributes in found.tags for name in attributes}
    assert all(str(attributes["href"]).startswith("#") for _, attributes in found.tags if "href" in attributes)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "color-scheme:light dark" in html
    assert "prefers-color-scheme:dark" in html


def test_almost_perfect_score_never_reads_as_perfect() -> None:
    nearly = replace(KEY, passed=False, blocking=False, ratio=0.999999)
    assert "0.9999" in _read(report_html(_report(nearly))).text


def test_report_of_nothing_but_checks() -> None:
    bare = QualityReport("p", "r", _DAY, (), Verdict((KEY,)))
    text = _read(report_html(bare)).text
    assert not {"Quarantine", "Steps", "Storage", "Some rows"} & set(text)
    assert "Run r of 2025-03-31: no feature date" in text


def test_what_is_kept_out_stands_under_the_verdict() -> None:
    text = [part for part in _read(report_html(_full(KEY))).text if part]
    headline = text.index("Passed, with something to look at.")
    assert text[headline + 1] == "Not everything is in: 1 held batch; tickets carried forward; 3 rows withheld."
    wanted = [
        "orders: a batch of 1,234 records is held",
        "headwater quarantine release --source orders --batch churn/orders/bronze#7",
        "headwater quarantine discard --source orders --batch churn/orders/bronze#7",
        "tickets: values are carried forward",
        "3 of 6,000 feature rows are withheld",
        "Quality score",
    ]
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)
    assert places[0] == headline + 2
    assert "Gate volume: 1,234 records, at most 1,000 expected." in text
    assert any(part.startswith("On feature date 2025-03-31 its features keep") for part in text)
    assert any(part.startswith("0.05% of the rows lie outside the range of spend") for part in text)


def test_json_tells_what_is_kept_out_and_how_it_is_distributed() -> None:
    found = json.loads(json.dumps(report_json(_full(KEY)), allow_nan=False))
    assert found["held"][0]["release"].endswith("release --source orders --batch churn/orders/bronze#7")
    assert (found["stale_sources"], found["carried"]) == (["tickets"], {"tickets": ["2025-03-31"]})
    assert (found["metrics"]["records_held"], found["metrics"]["rows_withheld"]) == (1234, 3)
    assert found["withheld"] == {"rows": 3, "of": 6000, "columns": ["spend"]}
    assert found["examples"]["orders"]["negative:amount"] == [
        {"id": "0123456789abcdef", "seen": "2025-03-30", "fields": {"id": "x99", "amount": "-9.99"}}
    ]
    assert [(point["run_date"], point["quarantined_share"]) for point in found["trend"]] == [
        ("2025-03-28", 0.05),
        ("2025-03-29", 0.05),
        ("2025-03-31", 0.12),
    ]
    spend, segment, login, void = found["distributions"]["features"]
    assert (spend["kind"], spend["nulls"], spend["numbers"]["p95"]) == ("numbers", 20, 90.0)
    assert (segment["kind"], segment["values"][1], segment["other"]) == ("values", ["pro", 50], 40)
    assert (login["kind"], login["earliest"]) == ("dates", "2024-01-05")
    assert void["numbers"] is None
    assert report_json(_report(KEY))["distributions"] is None


def test_examples_show_what_the_reason_names() -> None:
    text = _read(report_html(_full(KEY))).text
    for wanted in (
        "amount=-9.99",
        "no at",
        "does not parse",
        "id=x99, amount=-9.99, …",
        "nothing of a held batch is written",
        "0123456789ab of 2025-03-30: id=x99, amount=-9.99",
        "0123456789ab of 2025-03-30: nothing that can be shown",
    ):
        assert wanted in text


def test_distributions_in_words() -> None:
    text = _read(report_html(_full(KEY))).text
    for wanted in ("12.25", "5,000", "10%", "100 and above", "basic", "50%", "25%", "20%", "2024-01-05", "no values"):
        assert wanted in text
    assert any("4 bars from 0 to 100: 150, 25, 0, 5" in part for part in text)
    assert any("As staged, from 200 rows." in part for part in text)
    partial = replace(_full(KEY), distributions=replace(SPREADS, complete=False))
    assert any(
        "the first 200 rows in the order of its files, of more" in part for part in _read(report_html(partial)).text
    )


def test_trends_have_words_beside_the_lines() -> None:
    html = report_html(_full(KEY))
    text = _read(html).text
    for wanted in ("the last 3 audits", "2025-03-28", "0.9999", "0.8000", "0.9900", "12%", "5%", "1,028", "1,031"):
        assert wanted in text
    assert "2025-03-28 0.9900; 2025-03-29 0.8000; 2025-03-31 0.9999" in text
    assert html.count('class="bad" d=') == 3
    assert "Quality score over 3 audits" in text


def test_first_audit_has_no_history() -> None:
    html = report_html(replace(_full(KEY), trend=(_point(31, 1.0),)))
    assert "there is no history yet" in html
    assert "Quality score over" not in html


def test_contents_lead_to_every_section_in_order() -> None:
    found = _read(report_html(_full(KEY)))
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a"]
    assert links == [
        "#rows",
        "#checks",
        "#distributions",
        "#quarantine",
        "#trends",
        "#storage",
        "#steps",
    ]
    assert [f"#{attributes['id']}" for tag, attributes in found.tags if tag == "section"] == links


def test_steps_show_when_they_ran() -> None:
    text = _read(report_html(_report(KEY))).text
    assert "from 1.2 s to 2 min 0 s" in text
    assert "2 min 0 s in all" in text


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 9, "0%"),
        (0, 0, "0%"),
        (1, 8, "12.5%"),
        (1, 3, "33.33%"),
        (1, 10_000, "0.01%"),
        (1, 10_001, "< 0.01%"),
        (99_999, 100_000, "> 99.99%"),
        (7, 7, "100%"),
    ],
)
def test_shares_never_round_away(part: int, whole: int, words: str) -> None:
    assert share(part, whole) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.5, "0.5"), (1 / 3, "0.3333"), (999.96, "1,000"), (1234567.8, "1,234,568"), (3.2e15, "3.2e+15")],
)
def test_brief_numbers(value: float, words: str) -> None:
    assert brief(value) == words


def test_scores_are_cut() -> None:
    assert (cut_score(0.99999), cut_score(1.0), cut_score(0.5)) == ("0.9999", "1.0000", "0.5000")


def test_repairs_say_why_and_what_by_month() -> None:
    late = (
        LateRecords("orders", 3, (_DAY, _DAY), (date(2025, 2, 27), _DAY), 0),
        LateRecords("clicks", 1_200, (date(2024, 1, 1), _DAY), None, 15),
    )
    rows = {date(2025, 2, 27): 2, date(2025, 2, 28): 1_000, date(2025, 3, 1): 4}
    report = replace(_report(KEY), repairs=Repairs(late, (date(2025, 3, 2), date(2025, 3, 3)), rows))
    words = re.sub(r"<[^>]+>|\s+", " ", section_of(report_html(report), "repairs"))
    cells = " ".join(words.split())
    assert "orders 3 2025-03-31 2025-02-27 to 2025-03-31 0" in cells
    assert "clicks 1,200 2024-01-01 to 2025-03-31 none 15" in cells
    assert "2025-02 0 2 1,002 2025-03 2 1 4" in cells
    assert report_json(report)["repairs"]["rows"] == {str(day): count for day, count in rows.items()}
    assert 'id="repairs"' not in report_html(_report(KEY))


def section_of(page_text: str, anchor: str) -> str:
    begin = page_text.index(f'<section id="{anchor}"')
    return page_text[begin : page_text.index("</section>", begin)]
