"""A contract as Spark sees it, and how a value of each source form becomes a value of a contract column.

A reading never fails: what cannot be converted without loss is null, and `present` tells that apart from a value that
was not there. Reasons are made of the two in `transforms.conform`. Readings are SQL expressions, because `try_cast`
has no Python function in Spark 3.5; they are built from contract names and types only, both checked by the config.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from pyspark.sql import types as T

from headwater.config.tables import ColumnSpec, TableContract

# Columns that a table of kind history has beyond its contract: the instants between which a version is valid.
VALID_FROM = "valid_from"
VALID_TO = "valid_to"

# The column of a document source that holds the whole record as JSON text.
DOCUMENT = "document"

Form = Literal["typed", "document", "text"]

_DECIMAL = re.compile(r"^decimal\((\d+),(\d+)\)$")
_TYPES: Mapping[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "bigint": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
}
_TEXT_FORMS: Mapping[str, str] = {
    "date": r"^\d{4}-\d{2}-\d{2}$",
    "timestamp": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?$",
    "boolean": r"^(true|false)$",
    "int": r"^[+-]?\d+$",
    "bigint": r"^[+-]?\d+$",
    "double": r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$",
}
_DECIMAL_FORM = r"^[+-]?\d+(\.\d+)?$"


@dataclass(frozen=True, slots=True)
class Reading:
    """How one contract column is read from a record, as SQL expressions.

    Attributes:
        value: typed as the contract says; null when absent or not convertible without loss.
        present: whether the record held anything at all.
        text: what the record held, as text, for a masked preview.
    """

    value: str
    present: str
    text: str


def spark_type(name: str) -> T.DataType:
    """The Spark type of a contract type."""
    if found := _DECIMAL.match(name):
        return T.DecimalType(int(found[1]), int(found[2]))
    return _TYPES[name]


def struct_type(contract: TableContract) -> T.StructType:
    """Contract columns in contract order; all nullable, since row rules are checked before silver is written."""
    return T.StructType([T.StructField(column.name, spark_type(column.type)) for column in contract.columns])


def read_column(column: ColumnSpec, form: Form, raw_type: str) -> Reading:
    """How to read one column from a record of the given form.

    Args:
        column: the contract's column.
        form: `typed` (a column of the source's own type), `document` (canonical extended JSON under the columns of
            `document_shapes`), or `text`.
        raw_type: the source's type of the column; only `typed` looks at it.
    """
    raw = f"`{column.name}`"
    match form:
        case "typed":
            return Reading(_typed(raw, column.type, raw_type), f"{raw} is not null", f"cast({raw} as string)")
        case "text":
            return Reading(_from_text(raw, column.type), f"{raw} is not null", raw)
        case "document":
            text = f"_text.{raw}"
            return Reading(_from_document(raw, column.type), f"{text} is not null", text)
        case _:
            assert_never(form)


def document_shapes(contract: TableContract) -> Mapping[str, str]:
    """Columns that `document` readings need, each one parse of the JSON text.

    `_text` has every field as text, whatever its token. Spark's parser turns any token into a string, but never reads a
    string as an object; so `_object` tells a tagged value ({"$date": ...}) from a string that looks like one. Strings
    are left out of it: a field that does not parse costs the parser an exception. `_fields` is null for no object.
    """
    every = ", ".join(f"`{each.name}` string" for each in contract.columns)
    tagged = ", ".join(f"`{each.name}` map<string,string>" for each in contract.columns if each.type != "string")
    parse = f"from_json({DOCUMENT}, '{{}}')".format
    return {"_text": parse(every), "_object": parse(tagged or "`_` int"), "_fields": parse("map<string,string>")}


def _typed(raw: str, type_name: str, raw_type: str) -> str:
    if raw_type == type_name:
        return raw
    cast = f"try_cast({raw} as {type_name})"
    return f"if(try_cast({cast} as {raw_type}) <=> {raw}, {cast}, null)"


def _from_text(raw: str, type_name: str) -> str:
    if type_name == "string":
        return raw
    form = _TEXT_FORMS.get(type_name, _DECIMAL_FORM)
    cast = f"try_cast({raw} as {type_name})"
    fits = f"{raw} rlike r'{form}'"
    if _DECIMAL.match(type_name):
        fits += f" and try_cast({raw} as decimal(38,18)) <=> {cast}"
    return f"if({fits}, {cast}, null)"


def _from_document(raw: str, type_name: str) -> str:
    tagged = f"_object.{raw}"
    match type_name:
        case "string":
            return _string(raw)
        case "boolean":
            return f"{_parsed_as('boolean', raw)}"
        case "timestamp":
            return _instant(tagged)
        case "date":
            instant = _instant(tagged)
            return f"if(date_trunc('DAY', {instant}) = {instant}, cast({instant} as date), null)"
        case _:
            return _number(tagged, type_name)


def _string(raw: str) -> str:
    """A JSON string, or the hex text of an ObjectId; only a text that could be another token is parsed again."""
    text, tagged = f"_text.{raw}", _parsed_as("map<string,string>", raw)
    others = [_parsed_as(shape, raw) for shape in ("boolean", "array<string>")]
    is_string = " and ".join(f"{parsed} is null" for parsed in (tagged, *others))
    suspect = f"{text} rlike r'^([\\[{{]|(true|false)$)'"
    return f"case when not {suspect} then {text} when {is_string} then {text} else {tagged}['$oid'] end"


def _parsed_as(shape: str, raw: str) -> str:
    return f"from_json({DOCUMENT}, '{raw} {shape}').{raw}"


def _instant(tagged: str) -> str:
    """A BSON date: milliseconds since 1970 in an object under `$date` (canonical form), within years 1 to 9999."""
    millis = f"try_cast(get_json_object({tagged}['$date'], '$.$numberLong') as bigint)"
    return f"if({millis} between -62135596800000 and 253402300799999, timestamp_millis({millis}), null)"


def _number(tagged: str, type_name: str) -> str:
    """A BSON number that the contract's type holds without loss; a Decimal128 is no integer, whatever its value."""
    keys = ["$numberInt", "$numberLong"] + ["$numberDecimal"] * (type_name not in ("int", "bigint"))
    exact = "try_cast(coalesce({}) as decimal(38,18))".format(", ".join(f"{tagged}['{key}']" for key in keys))
    floating = f"try_cast({tagged}['$numberDouble'] as double)"
    if type_name == "double":
        return f"coalesce({floating}, cast({exact} as double))"
    from_exact = f"if(try_cast({exact} as {type_name}) = {exact}, try_cast({exact} as {type_name}), null)"
    narrowed = f"try_cast({floating} as {type_name})"
    return f"coalesce({from_exact}, if(cast({narrowed} as double) = {floating}, {narrowed}, null))"
