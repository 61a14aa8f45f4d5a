"""The feature catalogue from `conf/`, ledger and reports, as JSON, table and page, and without a session."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.conftest import CONF, DAY

from headwater.boundary import open_runtime
from headwater.catalogue.document import NOT_PUBLISHED, document
from headwater.catalogue.facts import Catalogue
from headwater.catalogue.html import catalogue_html
from headwater.catalogue.listing import WIDTH, listing
from headwater.cli import main as headwater
from headwater.config.base import JsonValue
from headwater.config.project import load_project
from headwater.errors import ConfigError
from headwater.pipelines.catalogue import _place, feature_catalogue
from headwater.pipelines.steps import AuditStage, PublishStage, Runtime, StageDates, to_payload
from headwater.quality.facts import DateSpread, Distributions, Numbers, NumberSpread, QualityReport, ValueSpread
from headwater.quality.report import distributions_in, report_json
from headwater.quality.verdict import CheckResult, Verdict
from headwater.state.files import write_file
from headwater.state.streams import Commit

VIEW = "customer_churn_features"
SPEND = NumberSpread(
    "total_spend_30d", 200, 20, Numbers(0.0, 0.5, 12.25, 90.0, 1.5e13, 18.0, (150, 25, 0, 5), 0.0, 99.0)
)
VOID = NumberSpread("ticket_count_90d", 200, 200, None)
LOGIN = DateSpread("last_login_date", 200, 50, date(2024, 1, 5), date(2025, 3, 30))
SEGMENT = ValueSpread("segment", 200, 10, (("<b>basic</b>", 100), ("pro", 50)), other=40)
FAILED = CheckResult("unique(id)", "uniqueness", 1, "deequ", True, False, "no two rows share id", "some do", 0.5)


def reopened(runtime: Runtime, run_id: str) -> Runtime:
    return open_runtime(runtime.project, run_id, DAY, session=lambda: pytest.fail("asked for a session"))


def commit(runtime: Runtime, stage: str, step: object, facts: Mapping[str, JsonValue]) -> Commit:
    intent = runtime.ledger.begin(runtime.stream(stage, VIEW), to_payload(step))
    return runtime.ledger.commit(intent, facts)


def publish(
    runtime: Runtime,
    *dates: date,
    version: str = "",
    carried: Mapping[str, Sequence[date]] | None = None,
    auditor: Runtime | None = None,
) -> None:
    """Stage, audit and publish some dates, as far as the ledger is concerned."""
    of = {"view": VIEW, "run_date": DAY, "dates": dates}
    definitions = version or runtime.project.view.pipeline_version
    step = StageDates(**of, pipeline_version=definitions, versions={}, silver_batches={})
    n = commit(runtime, "stage", step, {}).n
    audit = AuditStage(**of, stage_n=n, staged_version=0, versions={}, judged_at=runtime.clock(), row_counts={})
    commit(auditor or runtime, "audit", audit, {})
    done = PublishStage(**of, stage_n=n, staged_version=0, silver_batches={}, compact=(), carried=carried or {})
    commit(runtime, "publish", done, {})


def report(runtime: Runtime, day: date = DAY, *failed: CheckResult) -> None:
    found = QualityReport(
        pipeline=VIEW,
        run_id=runtime.run_id,
        run_date=DAY,
        verdict=Verdict(failed),
        distributions=Distributions(day, complete=True, spreads=(SPEND, VOID, LOGIN, SEGMENT)),
    )
    write_file(f"{runtime.project.path('ops', 'reports')}/{runtime.run_id}.json", json.dumps(report_json(found)))


def published(runtime: Runtime) -> Catalogue:
    publish(runtime, DAY - timedelta(days=1), DAY)
    report(runtime)
    return feature_catalogue(runtime)


class Page(HTMLParser):
    """Collects text, anchors and links, and insists that tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def values(self, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for _, attrs in self.tags if attribute in attrs]


def of(found: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue]:
    return next(each for each in found["features"] if each["name"] == name)


def test_json_of_a_lake_without_runs(runtime: Runtime) -> None:
    found = json.loads(json.dumps(document(feature_catalogue(runtime)), allow_nan=False))
    assert list(found)[:3] == ["features", "entity_keys", "ttl_seconds"]
    assert (found["entity_keys"], found["ttl_seconds"], found["entity_type"]) == (["user_id"], 7 * 86_400, "string")
    assert (found["status"], found["published"]) == (NOT_PUBLISHED, None)
    view = runtime.project.view
    names = [*(feature.name for feature in view.aggregates), *view.attributes]
    assert [each["name"] for each in found["features"]] == names
    assert {(each["statistics"], each["last_published"]) for each in found["features"]} == {(None, None)}


def test_json_of_a_feature_is_as_declared(runtime: Runtime) -> None:
    found = document(feature_catalogue(runtime))
    login = of(found, "days_since_last_login")
    assert (login["type"], login["op"], login["window_days"]) == ("int", "days_since_last", None)
    assert (login["cap"], login["default"]) == (365, 365)
    assert login["where"] == [{"column": "event_type", "equals": "login"}]
    assert login["lineage"] == {
        "source": {"kind": "mongo", "name": "user_behavior", "reads": "app.user_behavior"},
        "bronze": "bronze/user_behavior",
        "silver": {"table": "silver/user_behavior", "columns": ["event_type", "event_date"]},
        "feature": f"gold/{VIEW}.days_since_last_login",
    }
    assert (login["owner"], login["tags"]) == ("growth-analytics", ["activity", "churn", "customer"])
    assert login["freshness"]["max_lag_hours"] == 36
    assert of(found, "ticket_count_90d")["freshness"]["max_lag_hours"] == 60
    assert of(found, "ticket_count_90d")["lineage"]["source"]["reads"] == "tickets/"
    country = of(found, "country")
    assert (country["kind"], country["type"], "op" in country) == ("attribute", "string", False)
    assert country["lineage"]["silver"] == {"table": "silver/customers", "columns": ["country"]}
    assert country["freshness"]["max_lag_hours"] is None


def test_a_feature_may_have_an_owner_of_its_own(variables: dict[str, str], runtime: Runtime) -> None:
    view = runtime.project.view
    group = view.groups[0]
    own = group.features[0].model_copy(update={"owner": "finance", "tags": ("churn", "money")})
    features = (own, *group.features[1:])
    groups = (group.model_copy(update={"features": features}), *view.groups[1:])
    project = replace(runtime.project, view=view.model_copy(update={"groups": groups}))
    catalogue = feature_catalogue(replace(runtime, project=project))
    first, second = catalogue.entries[:2]
    assert (first.owner, first.tags) == ("finance", ("churn", "money", "customer"))
    assert second.owner == "growth-analytics"
    assert "Owner: finance" in Page(catalogue_html(catalogue)).text


def test_statistics_are_those_of_the_report(runtime: Runtime) -> None:
    found = document(published(runtime))
    assert found["status"] == "published"
    assert found["published"] == {
        "first_date": "2025-03-30",
        "last_date": "2025-03-31",
        "dates": 2,
        "at": found["published"]["at"],
        "run_id": "run-1",
        "pipeline_version": runtime.project.view.pipeline_version,
        "statistics_of": "2025-03-31",
    }
    spend = of(found, "total_spend_30d")
    assert spend["last_published"] == "2025-03-31"
    assert spend["statistics"] == {
        "date": "2025-03-31",
        "rows": 200,
        "null_ratio": 0.1,
        "min": 0.0,
        "max": 1.5e13,
        "mean": 18.0,
        "values": {},
    }
    assert of(found, "last_login_date")["statistics"]["min"] == "2024-01-05"
    assert of(found, "segment")["statistics"]["values"] == {"<b>basic</b>": 100, "pro": 50}
    assert of(found, "ticket_count_90d")["statistics"]["null_ratio"] == 1.0
    assert (of(found, "country")["statistics"], of(found, "country")["last_published"]) == (None, None)


def test_a_report_is_read_back_as_it_was(runtime: Runtime) -> None:
    report(runtime)
    text = Path(f"{runtime.project.path('ops', 'reports')}/run-1.json").read_text()
    assert distributions_in(text) == Distributions(DAY, complete=True, spreads=(SPEND, VOID, LOGIN, SEGMENT))
    assert distributions_in('{"passed": true}') is None


def test_the_run_that_audited_may_have_the_report(runtime: Runtime) -> None:
    auditor = reopened(runtime, "run-0")
    publish(runtime, DAY, auditor=auditor)
    report(auditor)
    assert feature_catalogue(runtime).publication.judged == DAY


def test_a_report_of_another_date_or_a_failed_one_gives_none(runtime: Runtime) -> None:
    publish(runtime, DAY)
    assert feature_catalogue(runtime).publication.judged is None
    report(runtime, DAY, FAILED)
    assert feature_catalogue(runtime).publication.judged is None
    report(runtime, DAY + timedelta(days=1))
    catalogue = feature_catalogue(runtime)
    assert (catalogue.publication.judged, catalogue.publication.last) == (None, DAY)
    assert document(catalogue)["features"][0]["last_published"] == "2025-03-31"
    assert "No report has statistics of it." in catalogue_html(catalogue)


def test_a_backfill_of_old_dates_does_not_hide_the_newest(runtime: Runtime) -> None:
    publish(runtime, DAY)
    report(runtime)
    old = reopened(runtime, "run-2")
    publish(old, date(2024, 5, 1), version="1-older")
    report(old, date(2024, 5, 1))
    found = feature_catalogue(runtime).publication
    assert (found.first, found.last, found.dates, found.judged, found.run_id) == (
        date(2024, 5, 1),
        DAY,
        2,
        DAY,
        "run-1",
    )
    assert found.pipeline_version == runtime.project.view.pipeline_version


def test_older_statistics_are_better_than_none_and_say_so(runtime: Runtime) -> None:
    publish(runtime, DAY - timedelta(days=1))
    report(runtime, DAY - timedelta(days=1))
    yesterday = {"support_tickets": [DAY - timedelta(days=1)]}
    publish(reopened(runtime, "run-2"), DAY - timedelta(days=1), DAY, version="1-next", carried=yesterday)
    catalogue = feature_catalogue(runtime)
    assert (catalogue.publication.pipeline_version, catalogue.publication.carried) == ("1-next", ())
    assert (catalogue.publication.last, catalogue.publication.judged) == (DAY, date(2025, 3, 30))
    assert "Statistics are of 2025-03-30; there are none of the newest date." in Page(catalogue_html(catalogue)).text


def test_old_definitions_and_late_sources_are_told(runtime: Runtime) -> None:
    publish(runtime, DAY, version="1-older", carried={"support_tickets": [DAY]})
    report(runtime)
    catalogue = feature_catalogue(runtime)
    text = Page(catalogue_html(catalogue)).text
    assert "Its rows and the statistics are of other definitions, 1-older." in text
    assert "support_tickets came late: on that date its features keep older values." in text
    late = [each["name"] for each in document(catalogue)["features"] if each["freshness"]["carried_forward"]]
    assert late == ["ticket_count_90d", "avg_resolution_time_days"]
    assert text.count("Its source came late") == 2


@pytest.mark.parametrize("longest", ["a_feature", "a_feature_" * 12])
def test_the_table_fits(runtime: Runtime, longest: str) -> None:
    catalogue = published(runtime)
    first = replace(catalogue.entries[0], name=longest)
    lines = listing(replace(catalogue, entries=(first, *catalogue.entries[1:])))
    assert [line for line in lines if len(line) > WIDTH and line != longest] == []
    table = "\n".join(lines)
    for words in (longest, "decimal(18,2)", "sum, 30 d", "10%", "1.5e+13", "2024-01-05", "last_day, all", "attribute"):
        assert words in table
    assert "2 dates are published, 2025-03-30 to 2025-03-31." in " ".join(lines)
    assert [line.split()[0] for line in lines if NOT_PUBLISHED in line][:2] == [
        "transaction_count_7d",
        "transaction_count_30d",
    ]


def test_the_table_of_a_lake_without_runs(runtime: Runtime) -> None:
    lines = listing(feature_catalogue(runtime))
    assert f"It is {NOT_PUBLISHED}." in " ".join(lines)
    assert sum(NOT_PUBLISHED in line for line in lines) == 1 + len(runtime.project.view.aggregates) + 2


def test_the_page_needs_nothing_else_and_links_to_every_feature(runtime: Runtime) -> None:
    catalogue = published(runtime)
    html = catalogue_html(catalogue)
    page = Page(html)
    assert not re.search(r"https?:|@import|url\(|<link|<img", html)
    assert page.values("src") == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {entry.name for entry in catalogue.entries} <= set(ids)
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)
    for words in (
        "0.00 when no row matches",
        "PostgreSQL public.transactions",
        "7 days after its date",
        "36 h, 60 h or no limit",
    ):
        assert words in page.text
    assert [attrs.get("aria-pressed") for tag, attrs in page.tags if tag == "button"] == ["false"] * 3
    assert page.values("class").count("end") == len(catalogue.entries)
    # Without a script there is nothing to search with.
    assert next(attrs for tag, attrs in page.tags if tag == "form").keys() >= {"hidden"}
    for query in catalogue.queries:
        assert query.sql in page.text


def test_nothing_said_in_conf_or_found_in_data_becomes_markup(runtime: Runtime) -> None:
    catalogue = published(runtime)
    evil = "</p><script>alert(1)</script>"
    view = catalogue.view.model_copy(update={"description": evil, "owner": evil})
    entries = [replace(each, lineage=replace(each.lineage, reads=evil)) for each in catalogue.entries]
    first = replace(entries[0], description=evil, owner="<i>")
    html = catalogue_html(replace(catalogue, view=view, entries=(first, *entries[1:])))
    page = Page(html)
    assert [tag for tag, _ in page.tags if tag in ("script", "i", "b")] == ["script"]
    assert "<b>basic</b>" in page.text


def test_names_in_the_catalog_are_names_in_sql(runtime: Runtime) -> None:
    view = runtime.project.view.model_copy(update={"catalog": "shop.churn", "ttl_days": None})
    project = replace(runtime.project, view=view)
    catalogue = feature_catalogue(replace(runtime, project=project))
    assert (catalogue.history, catalogue.latest) == ("`shop`.`churn`", "`shop`.`churn_latest`")
    assert document(catalogue)["ttl_seconds"] is None
    assert not any("date_sub" in query.sql for query in catalogue.queries)
    assert "A row is usable without end." in " ".join(listing(catalogue))


def test_sql_names_a_place_that_does_not_depend_on_where_one_stands(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = load_project(CONF, "local", {**variables, "HEADWATER_LAKE": "lake"})
    catalogue = feature_catalogue(open_runtime(project, "run-1", DAY, session=lambda: pytest.fail("a session")))
    assert catalogue.history == f"delta.`{tmp_path}/lake/gold/{VIEW}`"
    assert _place("s3a://lake/gold/v") == "s3a://lake/gold/v"


@pytest.fixture
def arguments(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return ["features", "--conf", str(CONF)]


def test_the_command(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert headwater(arguments) == 0
    assert capsys.readouterr().out.startswith(f"{VIEW}  1-")
    page = tmp_path / "new" / "catalogue.html"
    assert headwater([*arguments, "--json", "--html", str(page)]) == 0
    assert json.loads(capsys.readouterr().out)["entity_keys"] == ["user_id"]
    assert page.read_text().startswith("<!doctype html>")
    assert headwater([*arguments, "--html", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"


def test_a_page_that_cannot_be_written(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert headwater([*arguments, "--html", str(tmp_path / "file" / "page.html")]) == 2
    assert "error [page_not_written]" in capsys.readouterr().err


def test_a_tag_is_one_small_word(variables: dict[str, str], tmp_path: Path) -> None:
    text = (CONF / f"features/{VIEW}.yaml").read_text()
    conf = tmp_path / "conf"
    for path in CONF.rglob("*.yaml"):
        (conf / path.relative_to(CONF)).parent.mkdir(parents=True, exist_ok=True)
        (conf / path.relative_to(CONF)).write_text(path.read_text())
    (conf / f"features/{VIEW}.yaml").write_text(text.replace("tags: [churn, customer]", "tags: [two words]"))
    with pytest.raises(ConfigError) as raised:
        load_project(conf, "local", variables)
    assert (raised.value.code, raised.value.facts["paths"]) == ("invalid_config", ["tags[0]"])
