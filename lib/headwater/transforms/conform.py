"""Bronze records to contract-typed rows, each with the reasons, if any, that keep it out of silver.

    bronze row ──read──> contract columns + parse reasons ──join──> known reference? ──rules──> all reasons

One record may have several reasons; a rule about a value only speaks when the value could be read. Every row comes out
again: nothing is filtered here, so that the row equation can be counted on the result.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.tables import Allowed, EventDay, NonNegative, NotBefore, Reference, Rule, TableContract
from headwater.contracts.schema import Form, document_shapes, read_column

REASONS = "_reasons"
NULLS = "_nulls"
PREVIEW = "_preview"
BATCH_ID = "_batch_id"
SOURCE_FILE = "_source_file"
EXTRACTED_AT = "_extracted_at"
ROW_ID = "_row_id"
CORRUPT = "_corrupt_record"
EARLIEST_EVENT_DAY = "2000-01-01"
BRONZE_COLUMNS = (BATCH_ID, "_source", EXTRACTED_AT, SOURCE_FILE, ROW_ID)

_KNOWN = "_known"
_TEXTS = "_texts"
_UNREADABLE = "_unreadable"
_PRESENT = "_has_{}"


def conform(
    records: DataFrame, contract: TableContract, form: Form, known: DataFrame | None, carry: Sequence[str]
) -> DataFrame:
    """Read every record by the contract and say what is wrong with it.

    Args:
        records: bronze rows: the source's columns and `BRONZE_COLUMNS`.
        contract: the table they are meant for.
        form: how the source wrote its values.
        known: the keys that the contract's reference rule accepts, under that column's name and distinct; None where
            the contract has no such rule.
        carry: further columns of `records` to keep.

    Returns:
        `carry`, the contract's columns in order, `_reasons` (sorted, empty for a good row), `_nulls` (the required
        columns that a record lacks, in order) and `_preview` (masked JSON, null for a good row and for a record that
        does not parse); one row per record.
    """
    shaped = _parsed(records, document_shapes(contract)) if form == "document" else records
    raw_types = dict(shaped.dtypes)
    readings = {c.name: read_column(c, form, raw_types.get(c.name, "string")) for c in contract.columns}
    kept = [name for name in (*carry, EXTRACTED_AT) if name in records.columns]
    # Readings first, reasons on them second: in one projection each mention of a reading would be evaluated again.
    typed = shaped.select(
        *(F.col(name) for name in dict.fromkeys(kept)),
        *(F.expr(reading.value).alias(name) for name, reading in readings.items()),
        _unparsable(form).alias(_UNREADABLE),
        *(F.expr(reading.present).alias(_PRESENT.format(name)) for name, reading in readings.items()),
        F.struct(*(F.expr(reading.text).alias(name) for name, reading in readings.items())).alias(_TEXTS),
    ).withColumns({REASONS: _parse_reasons(contract), NULLS: _nulls(contract)})
    if contract.reference and known is not None:
        typed = _with_known(typed, contract.reference, known)
    if broken := [_rule_reason(rule) for rule in contract.rules]:
        found = F.array_sort(F.concat(F.col(REASONS), F.array_compact(F.array(*broken))))
        typed = typed.withColumn(REASONS, found)
    preview = F.to_json(F.struct(*(masked(F.col(_TEXTS).getField(name)).alias(name) for name in contract.names)))
    shown = F.when((F.size(REASONS) > 0) & ~F.col(_UNREADABLE), preview)
    return typed.select(*dict.fromkeys(carry), *contract.names, REASONS, NULLS, shown.alias(PREVIEW))


def _parsed(records: DataFrame, shapes: Mapping[str, str]) -> DataFrame:
    """Parse each document once per shape.

    The shapes go through `inline` because the optimizer would otherwise copy a parse into each of the expressions that
    reads a field of it: dozens of parses a document instead of three.
    """
    named = ", ".join(f"'{name}', {sql}" for name, sql in shapes.items())
    return records.select("*", F.inline(F.array(F.expr(f"named_struct({named})"))))


def _unparsable(form: Form) -> Column:
    match form:
        case "typed":
            return F.lit(False)  # noqa: FBT003 -- a column literal, not an argument
        case "document":
            return F.col("_fields").isNull()
        case "text":
            return F.col(CORRUPT).isNotNull()
        case _:
            assert_never(form)


def _parse_reasons(contract: TableContract) -> Column:
    """What kept values from being read; a record that does not parse has no other reason."""
    reasons = []
    for column in contract.columns:
        name, there, value = column.name, F.col(_PRESENT.format(column.name)), F.col(f"`{column.name}`")
        if name in contract.key:
            reasons.append(F.when(~there | (value.cast("string") == ""), "null_key"))
        elif not column.nullable:
            reasons.append(F.when(~there, f"missing:{name}"))
        reasons.append(F.when(there & value.isNull(), f"type:{name}"))
    return F.when(F.col(_UNREADABLE), F.array(F.lit("unparsable"))).otherwise(F.array_compact(F.array(*reasons)))


def _nulls(contract: TableContract) -> Column:
    required = [column.name for column in contract.columns if not column.nullable]
    absent = [F.when(~F.col(_UNREADABLE) & ~F.col(_PRESENT.format(name)), name) for name in required]
    return F.array_compact(F.array(*absent)) if absent else F.array().cast("array<string>")


def _with_known(typed: DataFrame, rule: Reference, known: DataFrame) -> DataFrame:
    keys = known.select(F.col(rule.column), F.lit(1).alias(_KNOWN))
    return typed.join(F.broadcast(keys) if rule.join == "broadcast" else keys, on=rule.column, how="left")


def _rule_reason(rule: Rule) -> Column:
    value = F.col(f"`{rule.column}`")
    match rule:
        case NonNegative():
            return F.when(value < 0, f"negative:{rule.column}")
        case Allowed():
            return F.when(~value.isin(*rule.values), rule.reason)
        case NotBefore():
            return F.when(value < F.col(f"`{rule.other}`"), f"order:{rule.column}")
        case EventDay():
            day, last = F.to_date(value), F.to_date(F.col(EXTRACTED_AT))
            return F.when((day < F.lit(EARLIEST_EVENT_DAY).cast("date")) | (day > last), f"range:{rule.column}")
        case Reference():
            return F.when(value.isNotNull() & F.col(_KNOWN).isNull(), rule.reason)
        case _:
            assert_never(rule)


def masked(text: Column) -> Column:
    """Keep a value's shape, lose the value: letters become x, digits 9."""
    letters = F.regexp_replace(text, r"\p{L}", "x")
    return F.substring(F.regexp_replace(letters, r"\p{N}", "9"), 1, 40)
