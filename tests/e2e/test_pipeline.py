"""The main job on dirty live sources, held against the naive oracle and the generator's account of its dirt."""

import json
import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from tests.e2e.conftest import OF_EACH_REASON, ROOT, Published, run_job
from tests.oracles.churn import FEATURE_SCHEMA, ChurnOracle, differences

from headwater.state.holder import Holder
from headwater.state.ledger import Ledger
from headwater.tables.sample import all_rows

PIPELINE = "customer_churn_features"
SOURCES = ("transactions", "customers", "user_behavior", "support_tickets")
NO_MATCH = {
    "total_spend_30d": 0,
    "transaction_count_7d": 0,
    "transaction_count_30d": 0,
    "avg_transaction_value": 0.0,
    "last_login_date": None,
    "days_since_last_login": 365,
    "page_views_30d": 0,
    "feature_usage_count": 0,
    "ticket_count_90d": 0,
    "avg_resolution_time_days": None,
    "country": None,
    "segment": None,
}


def table(lake: Path, layer: str, name: str) -> pa.Table:
    return all_rows(str(lake / layer / name))


def facts(lake: Path, source: str, stage: str = "silver") -> list[dict[str, object]]:
    ledger = Ledger(str(lake / "ops"), clock=lambda: pytest.fail("no clock"), holder=Holder.current("test"))
    return [dict(commit.facts) for commit in ledger.stream(f"{PIPELINE}/{source}/{stage}").commits]


def versions(lake: Path) -> dict[str, int]:
    logs = [path.parent for path in lake.glob("*/*/_delta_log") if path.parent.parent.name != "ops"]
    return {str(path.relative_to(lake)): DeltaTable(str(path)).version() for path in logs}


@pytest.fixture(scope="module")
def oracle_before(published: Published) -> ChurnOracle:
    return ChurnOracle(published.dumps[:1])


@pytest.fixture(scope="module")
def oracle_after(published: Published) -> ChurnOracle:
    return ChurnOracle(published.dumps)


def dates_up_to(last: date, count: int) -> list[date]:
    return [last - timedelta(days=back) for back in reversed(range(count))]


def test_features_equal_the_oracle_before_the_change(published: Published, oracle_before: ChurnOracle) -> None:
    expected = oracle_before.features(dates_up_to(published.site.days[0], 40))
    actual = table(published.before, "gold", PIPELINE).select(FEATURE_SCHEMA.names)
    assert differences(expected, actual, ["user_id", "feature_date"]) == []


def test_features_equal_the_oracle_after_the_change(published: Published, oracle_after: ChurnOracle) -> None:
    expected = oracle_after.features(dates_up_to(published.site.days[1], 41))
    actual = table(published.after, "gold", PIPELINE).select(FEATURE_SCHEMA.names)
    assert differences(expected, actual, ["user_id", "feature_date"]) == []


@pytest.mark.parametrize("name", SOURCES)
def test_silver_equals_the_oracle(published: Published, oracle_after: ChurnOracle, name: str) -> None:
    expected = oracle_after.silver(name)
    keys = {"transactions": ["transaction_id"], "customers": ["user_id", "updated_at"], "user_behavior": ["_id"]}
    actual = table(published.after, "silver", name).select(expected.column_names)
    assert differences(expected, actual, keys.get(name, ["ticket_id"])) == []


@pytest.mark.parametrize("feature", NO_MATCH)
def test_no_feature_is_equal_by_emptiness(published: Published, feature: str) -> None:
    column = table(published.after, "gold", PIPELINE)[feature]
    default = NO_MATCH[feature]
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    is_default = pc.is_null(column) if default is None else pc.equal(column, default)
    assert pc.sum(pc.invert(is_default)).as_py() >= 0.05 * len(column)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("phase", "batch"), [("initial", 0), ("change", 1)])
def test_rows_add_up_to_the_generators_account(published: Published, source: str, phase: str, batch: int) -> None:
    expected = published.site.world.expected(phase, source)
    terms = facts(published.after, source)[batch]
    assert {name: terms[name] for name in ("extracted", "replayed", "updated", "superseded", "batch_duplicates")} == {
        "extracted": expected.extracted,
        "replayed": expected.replayed,
        "updated": expected.updated,
        "superseded": expected.superseded,
        "batch_duplicates": expected.batch_duplicates,
    }
    assert terms["quarantined"] == sum(expected.quarantined.values())
    assert terms["inserted"] == expected.inserted
    assert terms["unchanged"] == 0
    per_reason: Counter[str] = Counter()
    for reasons, count in expected.quarantined.items():
        per_reason.update(dict.fromkeys(reasons, count))
    assert terms["reasons"] == dict(per_reason)


@pytest.mark.parametrize("source", SOURCES)
def test_extracted_is_what_the_source_counts(published: Published, source: str) -> None:
    assert facts(published.after, source, "bronze")[0]["records"] == published.counts[source]


@pytest.mark.parametrize("source", SOURCES)
def test_every_reason_is_met_and_every_record_kept_once(published: Published, source: str) -> None:
    rows = table(published.after, "quarantine", source)
    expected = [published.site.world.expected(phase, source).quarantined for phase in ("initial", "change")]
    assert {tuple(reasons) for reasons in rows["reasons"].to_pylist()} == {key for counts in expected for key in counts}
    assert len(set(rows["id"].to_pylist())) == len(rows)


def test_every_reason_has_rows_enough_to_mean_something(published: Published) -> None:
    rows = [table(published.after, "quarantine", source)["reasons"].to_pylist() for source in SOURCES]
    found = Counter(reason for reasons in rows for each in reasons for reason in each)
    assert {reason: count for reason, count in found.items() if count < OF_EACH_REASON} == {}


def test_replayed_records_are_marked(published: Published) -> None:
    for source in ("transactions", "user_behavior", "support_tickets"):
        status = Counter(table(published.after, "quarantine", source)["status"].to_pylist())
        assert status["replayed"] == facts(published.after, source)[1]["replayed"] > 0


def test_rerun_of_a_finished_date_writes_nothing(published: Published, capfd: pytest.CaptureFixture[str]) -> None:
    here = published.site
    before = versions(published.after)
    variables = here.environment(published.after, here.world.second_extraction)
    assert run_job("run_pipeline", ["--date", str(here.days[1])], variables) == 0
    assert '"status": "nothing_to_do"' in capfd.readouterr().out
    assert versions(published.after) == before
    assert {path.split("/")[0] for path in before} == {"bronze", "silver", "quarantine", "staged", "gold"}


def test_a_table_cannot_be_merged_by_another_layout(
    published: Published, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = published.site
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    contract = conf / "tables" / "customers.yaml"
    assert "buckets: 2" in contract.read_text()
    contract.write_text(contract.read_text().replace("buckets: 2", "buckets: 8"))
    variables = here.environment(published.after, here.world.second_extraction)
    assert run_job("build_silver", ["--date", str(here.days[1])], variables, conf) == 2
    assert "'history, key user_id, order updated_at, 2 buckets'" in capfd.readouterr().err


def test_finished_date_needs_no_session(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    here = published.site
    variables = here.environment(published.after, here.world.second_extraction)
    monkeypatch.setattr("headwater.boundary.open_session", lambda *_args: pytest.fail("a session was asked for"))
    assert run_job("run_pipeline", ["--date", str(here.days[1])], variables) == 0


def test_latest_holds_the_newest_row_of_every_entity(published: Published) -> None:
    newest: dict[str, dict[str, object]] = {}
    for row in table(published.after, "gold", PIPELINE).drop_columns("feature_month").to_pylist():
        if row["user_id"] not in newest or newest[row["user_id"]]["feature_date"] < row["feature_date"]:
            newest[row["user_id"]] = row
    latest = table(published.after, "gold", f"{PIPELINE}_latest").to_pylist()
    assert {row["user_id"]: row for row in latest} == newest
    assert len(latest) == len(newest)


def test_history_is_by_month_and_each_month_in_order_of_customer(published: Published) -> None:
    """The second run computed all dates for everybody, so each month came in one publication and is not compacted."""
    history = DeltaTable(str(published.after / "gold" / PIPELINE))
    assert history.metadata().partition_columns == ["feature_month"]
    assert [each["operation"] for each in history.history()].count("OPTIMIZE") == 0
    files = pa.table(history.get_add_actions(flatten=True)).to_pylist()
    march = [each for each in files if each["partition.feature_month"] == date(2025, 3, 1)]
    of_one = [each for each in march if each["min.user_id"] <= "U000100" <= each["max.user_id"]]
    assert len(of_one) == 1
    assert len(march) == 1


def test_silver_has_a_change_feed_from_its_first_commit(published: Published) -> None:
    for name in SOURCES:
        created = DeltaTable(str(published.after / "silver" / name), version=0)
        assert created.metadata().configuration["delta.enableChangeDataFeed"] == "true"


def test_the_report_says_which_published_dates_changed_and_why(published: Published) -> None:
    """So many of the world's customers have late rows that their dates were computed again for everybody."""
    repairs = json.loads((published.after / "ops" / "reports" / "two.json").read_text())["repairs"]
    late = {each["source"]: each["reach"] for each in repairs["late"]}
    assert late.keys() >= {"transactions", "user_behavior", "support_tickets"}
    dates = [str(day) for day in dates_up_to(published.site.days[0], 40)]
    assert repairs["whole"] == [day for day in dates if day >= min(first for first, _ in late.values())]
    assert repairs["rows"] == {}
    assert all(set(reach) <= set(dates) for reach in late.values())
