"""Every mistake that needs no server to be made: its code, where it is, and what to do about it."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from tests.unit.conftest import CONF, DAY

from headwater.cli import main as headwater
from headwater.config.base import JsonValue
from headwater.config.project import load_project
from headwater.config.secrets import resolve_secret
from headwater.errors import ConfigError, DataRejected
from headwater.pipelines.audit import require_passed
from headwater.pipelines.bronze import plan_extract
from headwater.pipelines.gates import decide, require_nothing_held
from headwater.pipelines.gold import plan_stage, stage_dates
from headwater.pipelines.publication import plan_publish
from headwater.pipelines.silver import plan_conform
from headwater.pipelines.steps import BronzeBatch, ConformBatch, Runtime, StageDates, to_payload
from headwater.tables.delta import Batch

VIEW = "customer_churn_features"
FEATURES = f"features/{VIEW}.yaml"
SPEND = "value: {kind: column, column: amount}"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refusal(conf: Path, variables: Mapping[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_project(conf, "local", variables)
    error = caught.value
    assert error.remedy
    assert error.exit_code == 2
    return error


@pytest.mark.parametrize(
    ("code", "file", "old", "new", "parts"),
    [
        ("invalid_config", "sources/transactions.yaml", "watermark:", "watermrk:", ["source.watermrk", "'watermark'"]),
        ("invalid_config", "sources/transactions.yaml", "slices: 4", "slices: many", ["source.slices", "'many'"]),
        ("invalid_config", "tables/transactions.yaml", "type: bigint", "type: integer", ["columns[0].type", "'integer'", "bigint"]),
        ("invalid_config", "tables/transactions.yaml", "key: [transaction_id]", "key: [id]", ["id", "not among the columns"]),
        ("invalid_config", "env/local.yaml", "password: env:CRM_PASSWORD", "password: hunter2", ["connections.crm", "(hidden)"]),
        ("invalid_config", "project.yaml", "initial_dates: 40", "initial_dates: 0", ["initial_dates", "greater than or equal to 1"]),
        ("missing_variable", "env/local.yaml", "${CRM_JDBC_URL}", "${CRM_URL_TYPO}", ["connections.crm.url", "CRM_URL_TYPO", "Export"]),
        ("wrong_file_name", "tables/transactions.yaml", "name: transactions", "name: payments", ["'payments'", "payments.yaml"]),
        ("unknown_connection", "sources/transactions.yaml", "connection: crm", "connection: crn", ["source.connection", "'crn'", "Did you mean 'crm'?"]),
        ("wrong_connection", "sources/transactions.yaml", "connection: crm", "connection: app", ["'app' is a mongo connection", "jdbc: crm"]),
        ("unknown_source", "tables/transactions.yaml", "source: transactions", "source: transaction", ["'transaction'", "'transactions'"]),
        ("source_taken", "tables/transactions.yaml", "source: transactions", "source: customers", ["source:", "feeds the table 'customers'"]),
        ("unknown_table", "tables/transactions.yaml", "table: customers", "table: customer", ["rules:", "'customer'", "'customers'"]),
        ("reference_cycle", "tables/transactions.yaml", "table: customers", "table: transactions", ["rules:", "transactions -> transactions"]),
        ("unknown_column", FEATURES, SPEND, "value: {kind: column, column: amout}", ["groups[0]", "'amout'", "'amount'"]),
        ("unknown_column", f"checks/{VIEW}.yaml", "column: page_views_30d", "column: page_views_3d", ["checks[7]", "'page_views_30d'"]),
        ("unknown_column", "sources/transactions.yaml", "column: transaction_date", "column: date", ["freshness.column", "'date'"]),
        ("inexact_value", "tables/transactions.yaml", '"decimal(12,2)"', "double", [FEATURES, "'total_spend_30d'", "'amount'", "decimal(p,s) with s up to 9"]),
        ("wrong_population", "tables/customers.yaml", "kind: history", "kind: fact", [FEATURES, "attributes", "'customers'"]),
        ("wrong_population", "tables/customers.yaml", "entity: user_id", "entity: email", [FEATURES, "population", "'email'"]),
        ("wrong_group", "tables/support_tickets.yaml", "key: [ticket_id]", "kind: history\nkey: [ticket_id]", [FEATURES, "groups[2].table", "attributes"]),
        ("wrong_group", "tables/transactions.yaml", "name: user_id, type: string", "name: user_id, type: date", [FEATURES, "groups[0]", "a date", "a string"]),
        ("invalid_config", FEATURES, "type: decimal(18,2)", "type: decimal(40,2)", ["total_spend_30d", "cannot give a decimal(40,2)"]),
        ("invalid_config", FEATURES, "default: 365", "default: never", ["groups[1].features[1]", "'never' is no int"]),
        ("invalid_config", FEATURES, "default: 365", "default: 5000000000", ["5000000000 is no int"]),
        ("invalid_config", FEATURES, "type: double", "type: bigint", ["op mean cannot give a bigint"]),
        ("unknown_column", FEATURES, "event_type, equals: login", "event_typ, equals: login", ["groups[1].features[0]", "'event_typ'", "'event_type'"]),
        ("invalid_config", FEATURES, "event_type, equals: login", "event_type, equal: login", ["groups[1].features[0].where[0].equal", "'equals'"]),
        ("invalid_config", FEATURES, "event_type, equals: login", "event_type, equals: login, at_most: 3", ["where[0]", "one of `equals`"]),
        ("invalid_config", FEATURES, "column: event_type, equals: login", "part: hour, equals: 3", ["where[0]", "`part` with `of`"]),
        ("wrong_condition", FEATURES, "event_type, equals: login", "event_type, equals: 5", ["groups[1].features[0].where[0]", "5 is no string", "event_type"]),
        ("wrong_condition", FEATURES, "event_type, equals: login", "event_type, at_least: login", ["compared with `equals` or `in`"]),
        ("wrong_condition", FEATURES, "event_type, equals: login", "page_views, in: [1, two]", ["'two' is no int"]),
        ("wrong_condition", FEATURES, "event_type, equals: login", "page_views, equals: true", ["True is no int"]),
        ("wrong_condition", FEATURES, "event_type, equals: login", "event_date, at_least: soon", ["where[0]", "soon"]),
        ("wrong_condition", FEATURES, "column: event_type, equals: login", "part: weekend, of: event_date, equals: 1", ["1 is no boolean"]),
        ("wrong_value", FEATURES, "op: last_day", "op: last\n        value: {kind: column, column: event_type}", ["groups[1].features[0]", "last of a string is no date"]),
        ("wrong_value", FEATURES, "type: date\n        op: last_day", "type: int\n        op: first\n        value: {kind: column, column: event_date}", ["first of a timestamp is no int"]),
        ("invalid_config", FEATURES, "op: last_day", "op: last", ["groups[1].features[0]", "op last needs a value"]),
        ("wrong_part", FEATURES, "column: event_type, equals: login", "part: month, of: event_type, equals: 1", ["where[0]", "a string has no month"]),
        ("wrong_part", FEATURES, "value: {kind: days_between, start: created_date, end: resolved_date}", "value: {kind: part, part: hour, of: created_date}", ["groups[2].features[1].value", "a date has no hour"]),
        ("invalid_yaml", "project.yaml", "initial_dates: 40", "initial_dates: 40\npipeline: again", ["line 4", "'pipeline' stands twice"]),
    ],
)  # fmt: skip
def test_a_mistake_in_conf_is_named(
    conf: Path, variables: dict[str, str], code: str, file: str, old: str, new: str, parts: list[str]
) -> None:
    edit(conf / file, old, new)
    error = refusal(conf, variables)
    assert error.code == code, error
    assert "hunter2" not in str(error)
    reported = FEATURES if FEATURES in parts else file
    assert str(conf / reported) in str(error)
    for part in parts:
        assert part in str(error)


def test_a_view_without_a_file(conf: Path, variables: dict[str, str]) -> None:
    edit(conf / "project.yaml", f"view: {VIEW}", "view: churn")
    error = refusal(conf, variables)
    assert error.code == "missing_file"
    assert str(conf / "features/churn.yaml") in str(error)
    assert VIEW in error.remedy


def test_a_reference_to_a_composite_key(conf: Path, variables: dict[str, str]) -> None:
    edit(conf / "tables/customers.yaml", "key: [user_id]", "key: [user_id, email]")
    error = refusal(conf, variables)
    assert error.code == "wrong_reference"
    assert "'customers'" in str(error)


@pytest.mark.parametrize("reference", ["env:NOT_SET", "file:/nowhere/at/all"])
def test_a_secret_that_is_not_there(reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_secret(reference, {}, used_by="connections.crm.password")
    assert caught.value.code == "missing_secret"
    assert "connections.crm.password" in str(caught.value)
    assert reference.partition(":")[2] in str(caught.value)


def test_a_deployment_has_no_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "headwater.demo.run", None)
    assert headwater(["demo"]) == 2
    assert "error [demo_left_out]" in capsys.readouterr().err


def conformed(
    runtime: Runtime, table: str, findings: Mapping[str, str] | None = None, layout: str | None = None
) -> None:
    """A silver batch of one bronze batch per finding, each held."""
    found = findings or {}
    step = ConformBatch(
        table=table,
        run_date=DAY,
        batches=tuple(BronzeBatch(id=f"{table}#{gate}", records=9) for gate in found),
        contract="",
        layout=layout or runtime.project.tables[table].layout,
        versions={},
    )
    facts: dict[str, JsonValue] = {
        "findings": {f"{table}#{gate}": {"gate": gate, "found": words, "holds": True} for gate, words in found.items()}
    }
    runtime.ledger.commit(runtime.ledger.begin(runtime.stream("silver", table), to_payload(step)), facts)


@pytest.mark.parametrize(
    ("held", "code"),
    [
        ({"transactions": {"null_ratio": "5 of 9 records lack amount"}}, "null_ratio"),
        ({"transactions": {"volume": "too few"}, "customers": {"volume": "too few"}}, "volume"),
        ({"transactions": {"volume": "too few"}, "customers": {"schema": "- email string"}}, "batches_held"),
    ],
    ids=["one gate", "two batches", "two gates"],
)
def test_held_batches_stop_a_strict_run(runtime: Runtime, held: dict[str, dict[str, str]], code: str) -> None:
    for table, findings in held.items():
        conformed(runtime, table, findings)
    with pytest.raises(DataRejected) as caught:
        require_nothing_held(replace(runtime, strict=True), runtime.project.tables)
    assert caught.value.code == code
    for table, findings in held.items():
        for gate, words in findings.items():
            assert f"{table}#{gate} (9 records), {gate}: {words}" in str(caught.value)
    assert "headwater quarantine release" in caught.value.remedy


def test_a_decision_about_what_is_not_held(runtime: Runtime) -> None:
    conformed(runtime, "transactions", {"volume": "too few"})
    with pytest.raises(ConfigError) as caught:
        decide(runtime, "transactions", "release", ["transactions#8"])
    assert caught.value.code == "not_held"
    assert "transactions#8" in caught.value.message
    assert "Waiting: transactions#volume." in caught.value.remedy


def test_a_table_of_another_layout(runtime: Runtime) -> None:
    conformed(runtime, "transactions", layout="rows, key id, order at, 8 buckets")
    (error,) = plan_conform(runtime, ["transactions"]).failed
    assert (error.code, error.exit_code) == ("layout_changed", 2)
    assert "silver.transactions" in str(error)


def test_a_contract_with_a_column_that_its_table_has_not(runtime: Runtime) -> None:
    place = runtime.project.path("silver", "transactions")
    write_deltalake(place, pa.table({"transaction_id": [7], "user_id": ["ann"], "amount": [Decimal("1.50")]}))
    (error,) = plan_conform(runtime, ["transactions"]).failed
    assert (error.code, error.exit_code) == ("type_changed", 2)
    assert "silver.transactions has amount as decimal(3,2)" in str(error)
    shutil.rmtree(place)
    write_deltalake(place, pa.table({"transaction_id": [7], "user_id": ["ann"]}))
    (error,) = plan_conform(runtime, ["transactions"]).failed
    assert (error.code, error.exit_code) == ("column_missing", 2)
    assert error.remedy
    assert f"ALTER TABLE delta.`{place}` ADD COLUMNS (`amount` decimal(12,2), `currency` string, " in error.remedy


def test_a_feature_of_another_type_than_it_was_published_as(runtime: Runtime) -> None:
    for table in runtime.project.view.tables:
        write_deltalake(runtime.project.path("silver", table), pa.table({"x": [1]}))
    write_deltalake(runtime.project.path("gold", VIEW), pa.table({"user_id": ["ann"], "page_views_30d": ["many"]}))
    with pytest.raises(ConfigError) as caught:
        plan_stage(runtime)
    assert caught.value.code == "type_changed"
    assert f"gold.{VIEW} has page_views_30d as string" in caught.value.message


def test_gold_without_silver(runtime: Runtime) -> None:
    with pytest.raises(DataRejected) as caught:
        plan_stage(runtime)
    assert caught.value.code == "no_silver"
    assert "customers, support_tickets, transactions, user_behavior" in caught.value.message


def staged(runtime: Runtime) -> StageDates:
    step = StageDates(view=VIEW, pipeline_version="another", run_date=DAY, dates=(DAY,), versions={}, silver_batches={})
    stream = runtime.stream("stage", VIEW)
    runtime.ledger.commit(runtime.ledger.begin(stream, to_payload(step)), {"staged_version": 0})
    return step


def test_a_view_that_changed_between_a_crash_and_its_retry(runtime: Runtime) -> None:
    with pytest.raises(ConfigError) as caught:
        stage_dates(staged(runtime), Batch(runtime.stream("stage", VIEW), 1), runtime)
    assert caught.value.code == "definitions_changed"
    assert "another" in caught.value.message
    assert "old conf/" in caught.value.remedy


@pytest.mark.parametrize("ask", [plan_publish, require_passed], ids=["publish", "verify"])
def test_rows_that_nobody_verified(runtime: Runtime, ask: object) -> None:
    staged(runtime)
    with pytest.raises(DataRejected) as caught:
        ask(runtime)
    assert caught.value.code == "not_verified"


def test_a_wrong_source_on_the_command_line(runtime: Runtime) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_extract(runtime, ["transaction"])
    assert caught.value.code == "unknown_source"
    assert "Did you mean 'transactions'?" in str(caught.value)


def test_no_environment_of_that_name(conf: Path, variables: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(conf, "prod", variables)
    assert caught.value.code == "missing_file"
    assert "databricks, emr, local" in caught.value.remedy
