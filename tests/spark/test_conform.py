"""Records of every source form, read by a contract: values, reasons, masked previews."""

from datetime import UTC, datetime
from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.tables import TableContract
from headwater.transforms.conform import conform
from headwater.transforms.quarantine import quarantine_rows

EXTRACTED_AT = datetime(2025, 4, 1, 2, tzinfo=UTC)


def contract(**changes: object) -> TableContract:
    spec = {
        "name": "events",
        "source": "events",
        "key": ["id"],
        "order": ["at"],
        "entity": "who",
        "columns": [
            {"name": "id", "type": "string"},
            {"name": "who", "type": "string"},
            {"name": "n", "type": "int", "nullable": True},
            {"name": "at", "type": "timestamp"},
        ],
        "rules": [
            {"kind": "non_negative", "column": "n"},
            {"kind": "event_day", "column": "at"},
            {"kind": "reference", "column": "who", "table": "people", "reason": "unknown_user"},
        ],
    }
    return TableContract.model_validate(spec | changes)


def bronze(spark: SparkSession, rows: list[tuple[object, ...]], ddl: str) -> DataFrame:
    return spark.createDataFrame([(*row, EXTRACTED_AT) for row in rows], f"{ddl}, _extracted_at timestamp")


def judged(frame: DataFrame, spec: TableContract, form: str, spark: SparkSession) -> dict[str, list[str]]:
    known = spark.createDataFrame([("ann",), ("bob",)], "who string")
    rows = conform(frame, spec, form, known, ["label"]).collect()  # type: ignore[arg-type]
    return {row["label"]: row["_reasons"] for row in rows}


MILLIS = '{"$date":{"$numberLong":"1743379200000"}}'


DOCUMENTS: list[tuple[str, str | None, list[str]]] = [
    ("good", f'{{"id":"1","who":"ann","n":{{"$numberInt":"3"}},"at":{MILLIS}}}', []),
    ("int64", f'{{"id":"1","who":"ann","n":{{"$numberLong":"3"}},"at":{MILLIS}}}', []),
    ("whole double", f'{{"id":"1","who":"ann","n":{{"$numberDouble":"3.0"}},"at":{MILLIS}}}', []),
    ("Decimal128", f'{{"id":"1","who":"ann","n":{{"$numberDecimal":"3"}},"at":{MILLIS}}}', ["type:n"]),
    ("fraction", f'{{"id":"1","who":"ann","n":{{"$numberDouble":"3.5"}},"at":{MILLIS}}}', ["type:n"]),
    ("not a number", f'{{"id":"1","who":"ann","n":{{"$numberDouble":"NaN"}},"at":{MILLIS}}}', ["type:n"]),
    ("beyond int", f'{{"id":"1","who":"ann","n":{{"$numberLong":"3000000000"}},"at":{MILLIS}}}', ["type:n"]),
    ("text number", f'{{"id":"1","who":"ann","n":"3","at":{MILLIS}}}', ["type:n"]),
    (
        "text that looks tagged",
        f'{{"id":"1","who":"ann","n":"{{\\"$numberInt\\":\\"3\\"}}","at":{MILLIS}}}',
        ["type:n"],
    ),
    ("negative", f'{{"id":"1","who":"ann","n":{{"$numberInt":"-3"}},"at":{MILLIS}}}', ["negative:n"]),
    ("text date", '{"id":"1","who":"ann","at":"2025-03-31"}', ["type:at"]),
    ("no date", '{"id":"1","who":"ann"}', ["missing:at"]),
    ("null date", '{"id":"1","who":"ann","at":null}', ["missing:at"]),
    ("future", '{"id":"1","who":"ann","at":{"$date":{"$numberLong":"1743552000000"}}}', ["range:at"]),
    ("last instant of the extraction day", '{"id":"1","who":"ann","at":{"$date":{"$numberLong":"1743551999999"}}}', []),
    ("before 2000", '{"id":"1","who":"ann","at":{"$date":{"$numberLong":"946684799999"}}}', ["range:at"]),
    ("first of 2000", '{"id":"1","who":"ann","at":{"$date":{"$numberLong":"946684800000"}}}', []),
    ("who is a number", f'{{"id":"1","who":{{"$numberInt":"7"}},"at":{MILLIS}}}', ["type:who"]),
    ("who is a flag", f'{{"id":"1","who":true,"at":{MILLIS}}}', ["type:who"]),
    ("who is a list", f'{{"id":"1","who":["ann"],"at":{MILLIS}}}', ["type:who"]),
    ("who is the text true", f'{{"id":"1","who":"true","at":{MILLIS}}}', ["unknown_user"]),
    ("nobody", f'{{"id":"1","at":{MILLIS}}}', ["missing:who"]),
    ("unknown", f'{{"id":"1","who":"cat","at":{MILLIS}}}', ["unknown_user"]),
    ("object id", f'{{"id":{{"$oid":"507f1f77bcf86cd799439011"}},"who":"ann","at":{MILLIS}}}', []),
    ("no key", f'{{"who":"ann","at":{MILLIS}}}', ["null_key"]),
    ("empty key", f'{{"id":"","who":"ann","at":{MILLIS}}}', ["null_key"]),
    ("several", '{"id":"1","who":"cat","n":"3","at":"x"}', ["type:at", "type:n", "unknown_user"]),
    ("no object", '"$$ROOT"', ["unparsable"]),
    ("no JSON", "$$ROOT", ["unparsable"]),
    ("nothing", None, ["unparsable"]),
]


def test_documents(spark: SparkSession) -> None:
    rows = [(label, document) for label, document, _ in DOCUMENTS]
    found = judged(bronze(spark, rows, "label string, document string"), contract(), "document", spark)
    assert found == {label: reasons for label, _, reasons in DOCUMENTS}


def test_text(spark: SparkSession) -> None:
    columns = [
        {"name": "id", "type": "string"},
        {"name": "who", "type": "string"},
        {"name": "made", "type": "date"},
        {"name": "done", "type": "date", "nullable": True},
        {"name": "price", "type": "decimal(6,2)", "nullable": True},
        {"name": "at", "type": "timestamp"},
    ]
    rules = [{"kind": "not_before", "column": "done", "other": "made"}]
    at = "2025-03-31T10:00:00.123456+00:00"
    rows = [
        ("good", "1", "ann", "2025-03-01", "2025-03-02", "1.50", at, None),
        ("open", "1", "ann", "2025-03-01", None, None, at, None),
        ("american", "1", "ann", "03/01/2025", None, None, at, None),
        ("short", "1", "ann", "2025-3-1", None, None, at, None),
        ("no such day", "1", "ann", "2025-02-30", None, None, at, None),
        ("backwards", "1", "ann", "2025-03-02", "2025-03-01", None, at, None),
        ("too fine", "1", "ann", "2025-03-01", None, "1.505", at, None),
        ("too large", "1", "ann", "2025-03-01", None, "10000.00", at, None),
        ("broken", None, None, None, None, None, at, '1,"ann'),
    ]
    ddl = (
        "label string, id string, who string, made string, done string, price string, at string, _corrupt_record string"
    )
    found = judged(bronze(spark, rows, ddl), contract(columns=columns, rules=rules), "text", spark)
    assert found == {
        "good": [],
        "open": [],
        "american": ["type:made"],
        "short": ["type:made"],
        "no such day": ["type:made"],
        "backwards": ["order:done"],
        "too fine": ["type:price"],
        "too large": ["type:price"],
        "broken": ["unparsable"],
    }


def test_typed_values_must_fit_without_loss(spark: SparkSession) -> None:
    columns = [
        {"name": "id", "type": "bigint"},
        {"name": "who", "type": "string"},
        {"name": "price", "type": "decimal(4,2)"},
        {"name": "at", "type": "timestamp"},
    ]
    rules = [{"kind": "allowed", "column": "who", "values": ["ann"], "reason": "stranger"}]
    rows = [
        ("good", 1, "ann", Decimal("1.25"), EXTRACTED_AT),
        ("too fine", 1, "ann", Decimal("1.255"), EXTRACTED_AT),
        ("too large", 1, "ann", Decimal("100.00"), EXTRACTED_AT),
        ("no key", None, "ann", Decimal(1), EXTRACTED_AT),
        ("no price", 1, "ann", None, EXTRACTED_AT),
        ("other", 1, "bob", Decimal(1), EXTRACTED_AT),
    ]
    frame = bronze(spark, rows, "label string, id bigint, who string, price decimal(38,18), at timestamp")
    assert judged(frame, contract(columns=columns, rules=rules), "typed", spark) == {
        "good": [],
        "too fine": ["type:price"],
        "too large": ["type:price"],
        "no key": ["null_key"],
        "no price": ["missing:price"],
        "other": ["stranger"],
    }


def test_preview_shows_shapes_and_no_values(spark: SparkSession) -> None:
    document = f'{{"id":"Zoë-42","who":"cat","n":{{"$numberInt":"-3"}},"at":{MILLIS}}}'
    frame = bronze(spark, [("x", document)], "label string, document string")
    preview = conform(frame, contract(rules=contract().model_dump()["rules"][:1]), "document", None, ["label"]).first()[
        "_preview"
    ]  # type: ignore[index]
    assert "xxx-99" in preview
    assert "-9" in preview
    assert "Zo" not in preview
    assert "cat" not in preview


JUDGED = "_record_id string, _reasons array<string>, _content string, _batch_id string, _row_id string"


def judged_again(spark: SparkSession, rows: list[tuple[object, ...]]) -> DataFrame:
    frame = spark.createDataFrame(rows, JUDGED)
    return frame.withColumn("_preview", F.lit("p")).withColumn("_extracted_at", F.current_timestamp())


def test_what_became_of_records_taken_up_again(spark: SparkSession) -> None:
    judged = judged_again(spark, [("a", [], "c", "b1", "r1"), ("b", ["negative:n"], "d", "b1", "r2")])
    again = quarantine_rows(judged, "t", "silver", waited_for="stranger").collect()
    assert {(row.id, row.status, *row.reasons) for row in again} == {
        ("a", "replayed", "stranger"),
        ("b", "open", "negative:n"),
    }


def test_a_bad_record_of_two_batches_is_one_row_and_two_equal_ones_of_a_batch_are_two(spark: SparkSession) -> None:
    bad = [(None, ["x"], "c", batch, row) for batch, row in (("b1", "r1"), ("b1", "r2"), ("b2", "r1"))]
    rows = quarantine_rows(judged_again(spark, bad), "t", "silver").collect()
    assert {(row.batch_id, row.row_id) for row in rows} == {("b1", "r1"), ("b1", "r2")}
    alone = quarantine_rows(judged_again(spark, bad[2:]), "t", "silver").collect()
    assert alone[0].id in {row.id for row in rows}


def test_reference_is_a_broadcast_join(spark: SparkSession) -> None:
    frame = bronze(spark, [("x", f'{{"id":"1","who":"ann","at":{MILLIS}}}')], "label string, document string")
    known = spark.createDataFrame([("ann",)], "who string")
    result = conform(frame, contract(), "document", known, ["label"])
    result.collect()
    plan = result._jdf.queryExecution().executedPlan().toString()
    assert "BroadcastHashJoin" in plan
    assert "SortMergeJoin" not in plan
