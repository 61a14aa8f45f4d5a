"""What the report reads from ledger and tables, on real Delta tables and without a session."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from headwater.config.base import JsonValue
from headwater.errors import DataRejected
from headwater.pipelines import audit as audits
from headwater.pipelines.equation import TERMS
from headwater.pipelines.evidence import (
    carried_dates_by_source,
    distributions_of,
    examples_of,
    held_batches,
    trend_to,
    withheld_reasons,
    withheld_rows,
)
from headwater.pipelines.gates import Decision, decide
from headwater.pipelines.pipeline import reported
from headwater.pipelines.report import write_report
from headwater.pipelines.steps import AuditStage, BronzeBatch, ConformBatch, Runtime, StageDates, to_payload
from headwater.quality.facts import DateSpread, HeldBatch, NumberSpread, ValueSpread, WithheldRows
from headwater.state.runs import StepRow
from headwater.state.streams import Commit
from headwater.tables.quarantine import masked_examples, open_reasons
from headwater.tables.sample import rows_of_date

VIEW = "customer_churn_features"
DAY = date(2025, 3, 31)
AT = datetime(2025, 4, 1, 2, tzinfo=UTC)
LATER = datetime(2025, 4, 2, 2, tzinfo=UTC)


def commit(runtime: Runtime, stage: str, name: str, step: object, facts: Mapping[str, JsonValue]) -> Commit:
    intent = runtime.ledger.begin(runtime.stream(stage, name), to_payload(step))
    return runtime.ledger.commit(intent, facts)


def step_row(step: str, stream: str, n: int) -> StepRow:
    return StepRow(run_id="run-1", step=step, stream=stream, n=n, started_at=AT, seconds=1.0, facts={})


def audit(runtime: Runtime, day: int, **facts: JsonValue) -> Commit:
    step = AuditStage(
        view=VIEW,
        run_date=date(2025, 3, day),
        stage_n=1,
        staged_version=0,
        dates=(DAY,),
        versions={},
        judged_at=AT,
        row_counts={"customers": (100, 1), "transactions": (300, 3)} if day % 2 else {},
    )
    found = {"score": 0.5, "rows": day * 10, "passed": True, "withheld": 0, "ranges": {}, **facts}
    return commit(runtime, "audit", VIEW, step, found)


def staged(
    runtime: Runtime, carried: Mapping[str, tuple[date, ...]] | None = None, silver: Mapping[str, int] | None = None
) -> Commit:
    step = StageDates(
        view=VIEW,
        pipeline_version="1",
        run_date=DAY,
        dates=(date(2025, 3, 30), DAY),
        versions={},
        silver_batches=dict(silver or {}),
        carried=dict(carried or {}),
    )
    return commit(runtime, "stage", VIEW, step, {"staged_version": 0})


def record(
    name: str, *reasons: str, batch: str = "b#1", at: datetime = AT, status: str = "open", preview: str | None = None
):
    return {
        "id": name,
        "batch_id": batch,
        "reasons": list(reasons),
        "preview": preview,
        "status": status,
        "quarantined_at": at,
    }


def quarantine(location: str, records: Sequence[Mapping[str, object]]) -> str:
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("batch_id", pa.string()),
            ("reasons", pa.list_(pa.string())),
            ("preview", pa.string()),
            ("status", pa.string()),
            ("quarantined_at", pa.timestamp("us", tz="UTC")),
        ]
    )
    # Two commits: the choice must not depend on the file in which a record lies.
    for part in (records[::2], records[1::2]):
        write_deltalake(location, pa.Table.from_pylist(list(part), schema=schema), mode="append")
    return location


def test_two_examples_per_reason_by_smallest_id(tmp_path: Path) -> None:
    records = [
        record("c", "r"),
        record("a", "r", "s", preview='{"id":"x9"}'),
        record("d", "r"),
        record("b", "r"),
        record("0", "r", status="replayed"),
    ]
    found = masked_examples(quarantine(str(tmp_path / "q"), records), ["b#1"], at_most=2)
    assert {reason: [each.id for each in examples] for reason, examples in found.items()} == {
        "r": ["a", "b"],
        "s": ["a"],
    }
    assert (found["r"][0].fields, found["r"][1].fields) == ({"id": "x9"}, None)


def test_records_of_the_run_come_first_and_then_the_newest(tmp_path: Path) -> None:
    records = [
        record("a", "r", batch="b#1", at=AT),
        record("b", "r", batch="b#2", at=LATER),
        record("c", "r", batch="b#3", at=LATER),
        record("d", "r", batch="b#2", at=LATER),
    ]
    location = quarantine(str(tmp_path / "q"), records)
    assert [each.id for each in masked_examples(location, ["b#1"], at_most=2)["r"]] == ["a", "b"]
    assert [each.id for each in masked_examples(location, [], at_most=3)["r"]] == ["b", "c", "d"]


def test_there_may_be_no_quarantine(tmp_path: Path) -> None:
    assert masked_examples(str(tmp_path / "none"), ["b"], at_most=2) == {}


def test_examples_of_a_source_and_of_the_view(runtime: Runtime) -> None:
    stage = staged(runtime)
    quarantine(runtime.project.path("quarantine", "transactions"), [record("t", "currency"), record("u", "currency")])
    withheld = [
        record("g", "range:total_spend_30d", batch=stage.batch_id),
        record("h", "range:total_spend_30d", batch="another#1"),
    ]
    quarantine(runtime.project.path("quarantine", f"gold_{VIEW}"), withheld)
    (first, second) = examples_of(runtime, "transactions", ["b#1"])["currency"]
    assert (first.id, first.seen, second.id) == ("t", date(2025, 4, 1), "u")
    assert examples_of(runtime, VIEW, [stage.batch_id])["range:total_spend_30d"][0].id == "g"
    assert withheld_reasons(runtime, stage) == {"range:total_spend_30d": 1}
    assert open_reasons(runtime.project.path("quarantine", f"gold_{VIEW}")) == {"range:total_spend_30d": 2}


def test_held_batches_and_carried_sources(runtime: Runtime) -> None:
    step = ConformBatch(
        table="transactions",
        run_date=DAY,
        batches=(BronzeBatch(id="b#1", records=7), BronzeBatch(id="b#2", records=9)),
        contract="",
        layout="",
        versions={},
    )
    findings: dict[str, JsonValue] = {
        "b#1": {"gate": "volume", "found": "too few", "holds": True},
        "b#2": {"gate": "volume", "found": "a little few", "holds": False},
    }
    assert held_batches(runtime) == ()
    commit(runtime, "silver", "transactions", step, {"findings": findings})
    assert held_batches(runtime) == (HeldBatch("transactions", "b#1", 7, "volume", "too few"),)
    stage = StageDates.model_validate(staged(runtime, {"support_tickets": (DAY,)}).payload)
    assert carried_dates_by_source(runtime, stage) == {"support_tickets": (DAY,)}


def test_a_decision_that_was_killed_half_way_is_finished_by_the_next(runtime: Runtime) -> None:
    batches = tuple(BronzeBatch(id=f"b#{n}", records=7) for n in (1, 2))
    step = ConformBatch(
        table="transactions", run_date=date(2025, 3, 31), batches=batches, contract="", layout="", versions={}
    )
    finding = {"gate": "volume", "found": "too few", "holds": True}
    commit(runtime, "silver", "transactions", step, {"findings": {"b#1": finding, "b#2": finding}})
    killed = Decision(source="transactions", outcome="discard", batches=("b#1",))
    runtime.ledger.begin(runtime.stream("decisions", "transactions"), to_payload(killed), table_version=0)
    decide(runtime, "transactions", "release", ["b#2"])
    assert held_batches(runtime) == ()
    commits = runtime.ledger.stream(runtime.stream("decisions", "transactions")).commits
    assert [(each.payload["outcome"], each.payload["batches"]) for each in commits] == [
        ("discard", ["b#1"]),
        ("release", ["b#2"]),
    ]


def test_withheld_rows_of_an_audit(runtime: Runtime) -> None:
    assert withheld_rows(audit(runtime, 30)) is None
    held_back = audit(runtime, 31, withheld=2, ranges={"b": "b > 0", "a": "a > 0"})
    assert withheld_rows(held_back) == WithheldRows(2, of=310, columns=("a", "b"))


def test_trend_is_of_the_last_audits_up_to_this_one(runtime: Runtime) -> None:
    commits = [audit(runtime, 1 + n, score=n / 10, passed=n != 2) for n in range(6)]
    points = trend_to(runtime, commits[4], at_most=4)
    assert [point.score for point in points] == [0.1, 0.2, 0.3, 0.4]
    assert [point.passed for point in points] == [True, False, True, True]
    first = points[0]
    assert (first.run_date, first.rows, first.received, first.quarantined) == (date(2025, 3, 2), 20, 0, 0)
    assert first.quarantined_share is None
    assert (points[1].received, points[1].quarantined, points[1].quarantined_share) == (400, 4, 0.01)
    assert len(trend_to(runtime, commits[0])) == 1


def stage_table(runtime: Runtime, rows: int) -> None:
    """Two dates of which the newest has `rows` rows, and every feature of the view."""
    view = runtime.project.view
    days = [date(2025, 3, 30)] * 3 + [DAY] * rows
    numbers = {feature.name: pa.array([9_999] * 3 + list(range(rows)), pa.int64()) for feature in view.aggregates}
    numbers["last_login_date"] = pa.array(days, pa.date32())
    texts = {name: pa.array(["old"] * 3 + ["DE"] * rows) for name in view.attributes}
    write_deltalake(runtime.project.path("staged", view.name), pa.table({"feature_date": days, **numbers, **texts}))


def test_distributions_are_of_the_newest_staged_date(runtime: Runtime) -> None:
    stage_table(runtime, rows=11)
    found = distributions_of(runtime, staged(runtime))
    view = runtime.project.view
    assert (found.date, found.complete) == (DAY, True)
    assert [each.feature for each in found.spreads] == [*(each.name for each in view.aggregates), *view.attributes]
    spreads = {each.feature: each for each in found.spreads}
    spend = spreads["total_spend_30d"]
    assert isinstance(spend, NumberSpread)
    assert spend.numbers is not None
    assert (spend.rows, spend.numbers.p50, spend.numbers.max) == (11, 5, 10)
    assert spreads["last_login_date"] == DateSpread("last_login_date", 11, 0, DAY, DAY)
    assert spreads["country"] == ValueSpread("country", 11, 0, (("DE", 11),), other=0)


def test_distributions_are_of_the_audited_version(runtime: Runtime) -> None:
    stage_table(runtime, rows=11)
    location = runtime.project.path("staged", VIEW)
    write_deltalake(location, pa.table({"feature_date": [DAY] * 4}), mode="append", schema_mode="merge")
    assert distributions_of(runtime, staged(runtime)).spreads[0].rows == 11


def test_a_date_with_too_many_rows_is_read_in_part(tmp_path: Path) -> None:
    location = str(tmp_path / "t")
    for first in range(0, 30, 10):
        numbers = list(range(first, first + 10))
        table = pa.table({"d": [DAY] * 10, "n": numbers, "m": numbers, "unread": ["u"] * 10})
        write_deltalake(location, table, mode="append")
    rows, complete = rows_of_date(location, 2, ("d", DAY), ["n"], at_most=25)
    assert (rows.column_names, rows.num_rows, complete) == (["n"], 25, False)
    again, _ = rows_of_date(location, 2, ("d", DAY), ["m"], at_most=25)
    assert again["m"].to_pylist() == rows["n"].to_pylist()
    rows, complete = rows_of_date(location, 2, ("d", DAY), ["n"], at_most=30)
    assert (sorted(rows["n"].to_pylist()), complete) == (list(range(30)), True)
    rows, complete = rows_of_date(location, 0, ("d", DAY), ["n"], at_most=25)
    assert (rows.num_rows, complete) == (10, True)


def test_a_date_without_rows(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "t"), pa.table({"d": [DAY], "n": [1]}))
    rows, complete = rows_of_date(str(tmp_path / "t"), 0, ("d", date(2030, 1, 1)), ["n"], at_most=5)
    assert (rows.num_rows, rows.column_names, complete) == (0, ["n"], True)


def test_the_written_report_has_all_of_it(runtime: Runtime, tmp_path: Path) -> None:
    project = runtime.project
    stage_table(runtime, rows=11)
    step = ConformBatch(
        table="transactions",
        run_date=DAY,
        batches=(BronzeBatch(id="b#1", records=7), BronzeBatch(id="b#2", records=9)),
        contract="",
        layout="",
        versions={},
    )
    terms = {"extracted": 16, "replayed": 0, "inserted": 6, "updated": 0, "unchanged": 0, "superseded": 0}
    findings = {"b#2": {"gate": "volume", "found": "too many", "holds": True}}
    facts = {**terms, "batch_duplicates": 0, "quarantined": 10, "reasons": {"currency": 1, "held": 9}}
    commit(runtime, "silver", "transactions", step, {**facts, "findings": findings})
    records = [record("new", "currency", batch="b#0", at=LATER), record("own", "currency", batch="b#1")]
    quarantine(project.path("quarantine", "transactions"), [*records, record("older", "currency", batch="b#0")])
    stage = staged(runtime, {"support_tickets": (DAY,)}, {"transactions": 1})
    gold = [record("g", "range:total_spend_30d", batch=stage.batch_id)]
    quarantine(project.path("quarantine", f"gold_{VIEW}"), gold)
    audit(runtime, 30, suite="another")
    suite = audits._suite_digest(runtime)
    audit(runtime, 31, suite=suite, withheld=1, ranges={"total_spend_30d": "total_spend_30d >= 0"})
    write_report(runtime)
    assert not (tmp_path / "lake/ops/reports").exists(), "another run staged this"
    runtime.run_log.append_step(step_row("audit", runtime.stream("audit", VIEW), 2))
    write_report(runtime)
    found = json.loads((tmp_path / "lake/ops/reports/run-1.json").read_text())
    assert [(hold["batch"], hold["records"], hold["found"]) for hold in found["held"]] == [("b#2", 9, "too many")]
    assert (found["stale_sources"], found["withheld"]["rows"], found["withheld"]["of"]) == (["support_tickets"], 1, 310)
    assert [point["run_date"] for point in found["trend"]] == ["2025-03-30", "2025-03-31"]
    assert found["quarantine"] == {"transactions": {"currency": 1, "held": 9}, VIEW: {"range:total_spend_30d": 1}}
    assert [each["id"] for each in found["examples"]["transactions"]["currency"]] == ["own", "new"]
    assert [each["id"] for each in found["examples"][VIEW]["range:total_spend_30d"]] == ["g"]
    assert found["distributions"]["date"] == "2025-03-31"
    assert found["rows"][0]["adds_up"] is True
    page = (tmp_path / "lake/ops/reports/run-1.html").read_text()
    assert "headwater quarantine release --source transactions --batch b#2" in page


def test_nothing_audited_writes_no_report(runtime: Runtime, tmp_path: Path) -> None:
    write_report(runtime)
    stage = staged(runtime)
    runtime.run_log.append_step(step_row("stage", stage.stream, stage.n))
    write_report(runtime)
    assert not (tmp_path / "lake/ops/reports").exists()


def test_a_run_that_a_gate_stopped_reports_what_it_did_and_not_what_was_staged_before(
    runtime: Runtime, tmp_path: Path
) -> None:
    staged(runtime)
    audit(runtime, 30, suite=audits._suite_digest(runtime))
    step = ConformBatch(table="transactions", run_date=DAY, batches=(), contract="", layout="", versions={})
    facts = {**dict.fromkeys(TERMS, 0), "extracted": 3, "quarantined": 3, "reasons": {"currency": 3}}
    for n in (1, 2):
        done = commit(runtime, "silver", "transactions", step, {**facts, "extracted": n, "quarantined": n})
    runtime.run_log.append_step(step_row("conform", done.stream, done.n))

    def stops(_: Runtime) -> tuple[Commit, ...]:
        raise DataRejected("volume", "a batch is held")

    with pytest.raises(DataRejected):
        reported(stops, runtime)
    found = json.loads((tmp_path / "lake/ops/reports/run-1.json").read_text())
    assert (found["passed"], found["checks"], found["dates"]) == (False, [], [])
    assert [row["extracted"] for row in found["rows"]] == [2]
    assert found["quarantine"] == {"transactions": {"currency": 3}}
    assert [each["observed"] for each in found["anomalies"]] == ["a batch is held"]


def test_of_steps_that_failed_the_report_tells_what_gates_said(runtime: Runtime, tmp_path: Path) -> None:
    def fails(_: Runtime) -> tuple[Commit, ...]:
        raise ExceptionGroup("2 failed", [DataRejected("schema", "a column is gone"), OSError("away")])

    with pytest.raises(ExceptionGroup):
        reported(fails, runtime)
    found = json.loads((tmp_path / "lake/ops/reports/run-1.json").read_text())
    assert [each["observed"] for each in found["anomalies"]] == ["a column is gone"]
