"""The naive definition of customer_churn_features: what the engine must publish, by queries a reader can check.

`ChurnOracle` loads one or more dumps taken at different instants. "All events received so far" is their union: a
record seen again is the same record, a row seen good once stays good, a version overwritten at the source is kept.
The rules and features are the files in `sql/`; here they are only loaded and run.
"""

import csv
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from tests.oracles.dump import physical_lines

SilverTable: TypeAlias = Literal["transactions", "customers", "user_behavior", "support_tickets"]

_SQL = Path(__file__).parent / "sql"
_UTC = pa.timestamp("us", tz="UTC")
_TICKET_HEADER = ("ticket_id", "user_id", "created_date", "resolved_date", "status", "priority", "subject")
_DUMP_DATE = re.compile(r"(?:^|/)dt=(\d{4}-\d{2}-\d{2})/")
_LIMIT = 20

# Customers first: the other tables are judged against them.
SILVER_SCHEMAS: Mapping[SilverTable, pa.Schema] = {
    "customers": pa.schema(
        [
            ("user_id", pa.string()),
            ("email", pa.string()),
            ("country", pa.string()),
            ("segment", pa.string()),
            ("signup_date", pa.date32()),
            ("updated_at", _UTC),
        ]
    ),
    "transactions": pa.schema(
        [
            ("transaction_id", pa.int64()),
            ("user_id", pa.string()),
            ("amount", pa.decimal128(12, 2)),
            ("currency", pa.string()),
            ("transaction_date", _UTC),
            ("updated_at", _UTC),
        ]
    ),
    "user_behavior": pa.schema(
        [
            ("_id", pa.string()),
            ("user_id", pa.string()),
            ("event_type", pa.string()),
            ("event_date", _UTC),
            ("page_views", pa.int32()),
            ("feature", pa.string()),
            ("updated_at", _UTC),
        ]
    ),
    "support_tickets": pa.schema(
        [
            ("ticket_id", pa.string()),
            ("user_id", pa.string()),
            ("created_date", pa.date32()),
            ("resolved_date", pa.date32()),
            ("status", pa.string()),
            ("priority", pa.string()),
            ("subject", pa.string()),
            ("dump_date", pa.date32()),
            ("last_modified", _UTC),
        ]
    ),
}

FEATURE_SCHEMA: pa.Schema = pa.schema(
    [
        ("user_id", pa.string()),
        ("feature_date", pa.date32()),
        ("total_spend_30d", pa.decimal128(18, 2)),
        ("transaction_count_7d", pa.int64()),
        ("transaction_count_30d", pa.int64()),
        ("avg_transaction_value", pa.float64()),
        ("last_login_date", pa.date32()),
        ("days_since_last_login", pa.int32()),
        ("page_views_30d", pa.int64()),
        ("feature_usage_count", pa.int64()),
        ("ticket_count_90d", pa.int64()),
        ("avg_resolution_time_days", pa.float64()),
        ("country", pa.string()),
        ("segment", pa.string()),
    ]
)


class ChurnOracle:
    """The expected silver, quarantine and feature rows after all given dumps have been received."""

    def __init__(self, dumps: Sequence[Path]) -> None:
        """Load the dumps and build the clean tables."""
        self._connection = duckdb.connect(":memory:")
        self._run("raw")
        for number, folder in enumerate(dumps):
            self._load(number, folder)
        for table in SILVER_SCHEMAS:
            self._connection.execute(_seen(table))
            self._run(table)

    def features(self, dates: Sequence[date]) -> pa.Table:
        """Return the feature rows of the given dates, one per customer of the population, by date and user."""
        self._connection.execute(
            "CREATE OR REPLACE TABLE dates AS SELECT DISTINCT unnest($dates::DATE[]) AS feature_date",
            {"dates": list(dates)},
        )
        for group in ("population", "spend", "behavior", "tickets"):
            self._run(group)
        return self._arrow(_script("churn_features")).cast(FEATURE_SCHEMA)

    def silver(self, table: SilverTable) -> pa.Table:
        """Return the winning rows in contract columns; for customers every version, for tickets with their order."""
        query = f"SELECT * FROM {table} ORDER BY ALL"  # noqa: S608 - a name of the closed vocabulary
        return self._arrow(query).cast(SILVER_SCHEMAS[table])

    def quarantined(self) -> pa.Table:
        """Return the distinct rejected records: source, key, identity (the whole record), reasons, copies.

        A record that several dumps show is one row; `copies` says how often one dump held the very same record.
        """
        query = " UNION ALL ".join(
            f"SELECT '{table}' AS source, record_key AS key, identity, reasons, copies "  # noqa: S608 - as above
            f"FROM judged_{table} WHERE len(reasons) > 0"
            for table in SILVER_SCHEMAS
        )
        return self._arrow(f"{query} ORDER BY ALL")

    def _run(self, name: str) -> None:
        self._connection.execute(_script(name))

    def _arrow(self, query: str) -> pa.Table:
        return self._connection.sql(query).to_arrow_table()

    def _load(self, number: int, folder: Path) -> None:
        extracted_at = _utc(json.loads((folder / "dump.json").read_text(encoding="utf-8"))["extracted_at"])
        documents = (folder / "user_behavior.jsonl").read_text(encoding="utf-8").split("\n")
        loaded = {
            "transactions": pq.read_table(folder / "transactions.parquet"),
            "customers": pq.read_table(folder / "customers.parquet"),
            "user_behavior": pa.table({"identity": pa.array([line for line in documents if line], pa.string())}),
            "support_tickets": _tickets(folder),
        }
        for table, rows in loaded.items():
            identity = "to_json(r)::VARCHAR, " if "identity" not in rows.column_names else ""
            self._connection.register("loaded", rows)
            self._connection.execute(
                f"INSERT INTO raw_{table} SELECT $dump, $at, {identity}r.* FROM loaded AS r",  # noqa: S608 - as above
                {"dump": number, "at": extracted_at},
            )
            self._connection.unregister("loaded")


def differences(expected: pa.Table, actual: pa.Table, key: Sequence[str]) -> list[str]:
    """Compare two tables cell for cell and return the first 20 differences as readable lines.

    Values must be equal with nothing forgiven: null only to null, doubles in every bit, columns in type. Order of rows
    and columns, and the physical flavour of a string column, do not count.
    """
    lines = _schema_differences(expected.schema, actual.schema)
    if lines:
        return lines[:_LIMIT]
    names = expected.column_names
    wanted, wanted_twice = _by_key(expected, names, key)
    found, found_twice = _by_key(actual, names, key)
    lines += [f"{_show(k)}: more than one expected row" for k in wanted_twice]
    lines += [f"{_show(k)}: more than one actual row" for k in found_twice]
    lines += [f"{_show(k)}: missing row" for k in _sorted(wanted.keys() - found.keys())]
    lines += [f"{_show(k)}: extra row" for k in _sorted(found.keys() - wanted.keys())]
    unequal = [k for k, row in wanted.items() if k in found and not all(map(_same, row, found[k]))]
    for k in _sorted(unequal):
        pairs = zip(names, wanted[k], found[k], strict=True)
        lines += [f"{_show(k)} {name}: expected {a!r}, actual {b!r}" for name, a, b in pairs if not _same(a, b)]
    return lines[:_LIMIT]


def _script(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


def _seen(table: SilverTable) -> str:
    """Return the statement that makes one row of each distinct raw record, with the instant it was first seen."""
    return f"""
        CREATE TABLE seen_{table} AS
        WITH per_dump AS (SELECT *, count(*) AS copies FROM raw_{table} GROUP BY ALL)
        SELECT * EXCLUDE (dump, extracted_at, copies), min(extracted_at) AS first_seen, max(copies) AS copies
        FROM per_dump GROUP BY ALL"""  # noqa: S608 - a name of the closed vocabulary


def _tickets(folder: Path) -> pa.Table:
    rows: list[tuple[Any, ...]] = []
    for line in (folder / "support_tickets.jsonl").read_text(encoding="utf-8").split("\n"):
        if line:
            entry = json.loads(line)
            rows += _ticket_rows(entry, (folder / "support_tickets" / entry["file"]).read_bytes())
    texts = [(name, pa.string()) for name in _TICKET_HEADER]
    schema = pa.schema(
        [("identity", pa.string()), ("dump_date", pa.date32()), ("last_modified", pa.timestamp("us")),
         ("parsed", pa.bool_()), *texts]
    )  # fmt: skip
    columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(schema)]
    return pa.Table.from_arrays(columns, schema=schema)


def _ticket_rows(entry: Mapping[str, str], body: bytes) -> Iterable[tuple[Any, ...]]:
    found = _DUMP_DATE.search(entry["key"])
    if found is None:
        raise ValueError(f"no dump date in the object key {entry['key']}")
    lines = physical_lines(body)
    header = next(csv.reader([lines[0][1]])) if lines else []
    if lines and sorted(header) != sorted(_TICKET_HEADER):
        raise ValueError(f"unexpected header in {entry['key']}: {header}")
    for number, line in lines[1:]:
        fields = next(csv.reader([line]))
        parsed = len(fields) == len(header) and line.count('"') % 2 == 0
        named = dict(zip(header, fields, strict=True)) if parsed else {}
        identity = f"{entry['key']} {entry['last_modified']} {number}: {line}"
        modified = _utc(entry["last_modified"])
        yield (identity, date.fromisoformat(found[1]), modified, parsed, *map(named.get, _TICKET_HEADER))


def _utc(text: str) -> datetime:
    # DuckDB's TIMESTAMP has no zone; everything here is UTC.
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _schema_differences(expected: pa.Schema, actual: pa.Schema) -> list[str]:
    wanted = {field.name: _plain(field.type) for field in expected}
    found = {field.name: _plain(field.type) for field in actual}
    lines = [f"missing column {name}" for name in wanted if name not in found]
    lines += [f"extra column {name}" for name in found if name not in wanted]
    both = [name for name in wanted if name in found and wanted[name] != found[name]]
    return lines + [f"column {name}: expected type {wanted[name]}, actual type {found[name]}" for name in both]


def _plain(kind: pa.DataType) -> pa.DataType:
    # Readers differ in how they hold strings (large, view, dictionary); the values are the same.
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _by_key(
    table: pa.Table, names: Sequence[str], key: Sequence[str]
) -> tuple[dict[tuple[Any, ...], tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the rows by key, and the keys that occur more than once."""
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    twice: set[tuple[Any, ...]] = set()
    places = [names.index(name) for name in key]
    for row in zip(*(table.column(name).to_pylist() for name in names), strict=True):
        row_key = tuple(row[place] for place in places)
        if row_key in rows:
            twice.add(row_key)
        rows[row_key] = row
    return rows, _sorted(twice)


def _same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return type(a) is type(b) and a == b


def _sorted(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(keys, key=lambda row_key: tuple(map(str, row_key)))


def _show(row_key: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, row_key)) + ")"
