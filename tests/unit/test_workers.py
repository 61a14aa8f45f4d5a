"""What workers write: every row once, whatever the row groups and the types of what the rows are in order of."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile
from zipimport import zipimporter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import types as T

from headwater.features.computed import Batches
from headwater.features.slices import Of
from headwater.tables.workers import Target, write_rows

GROUP = 4
ENTITIES: list[tuple[T.DataType, pa.DataType, list[object]]] = [
    (T.StringType(), pa.string(), ["ann", "bob", "cid"]),
    (T.IntegerType(), pa.int32(), [-1, 0, 7]),
    (T.DateType(), pa.date32(), [date(1969, 1, 1), date(2024, 2, 29), date(2024, 3, 1)]),
    (T.DecimalType(18, 0), pa.decimal128(18, 0), [Decimal(1), Decimal(2), Decimal(10**17)]),
    (T.DecimalType(38, 0), pa.decimal128(38, 0), [Decimal(1), Decimal(2), Decimal(10**37)]),
    (T.BooleanType(), pa.bool_(), [False, True]),
    (T.DoubleType(), pa.float64(), [-1.5, 0.0, 2.5]),
]


def as_rows(batches: Batches, _bucket: int) -> Iterator[tuple[Of, pa.RecordBatch]]:
    for each in batches:
        yield "rows", each


def written(target: Target, batches: list[pa.RecordBatch]) -> list[pa.Table]:
    found = [each for batch in write_rows(iter(batches), as_rows, {"rows": target}) for each in batch.to_pylist()]
    tables = [pq.read_table(Path(target.location) / each["path"]) for each in found]
    assert [each["rows"] for each in found] == [len(table) for table in tables]
    return tables


def test_what_workers_import_brings_no_log_and_no_session() -> None:
    """Each of them would hold it in memory."""
    modules = "headwater.features.computed, headwater.tables.readers, headwater.tables.workers"
    names = "{'deltalake', 'delta', 'boto3', 'pydeequ', 'great_expectations'}"
    code = f"import sys, {modules}; print(sorted({names} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_next_task_lists_no_archive_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark asks for all of them before each task, its own jar among them; what is in them can be imported still."""
    with ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("first_of_archive.py", "")
        archive.writestr("second_of_archive.py", "")
    monkeypatch.syspath_prepend(str(tmp_path / "archive.zip"))
    importlib.import_module("first_of_archive")
    assert any(isinstance(each, zipimporter) for each in sys.path_importer_cache.values())
    written(Target(str(tmp_path), T.StructType([T.StructField("n", T.LongType())]), ()), [])
    assert not any(isinstance(each, zipimporter) for each in sys.path_importer_cache.values())
    importlib.import_module("second_of_archive")


@pytest.mark.parametrize("rows", range(3 * GROUP + 2))
@pytest.mark.parametrize("of_a_batch", [1, 3, GROUP, 3 * GROUP])
def test_no_number_of_rows_is_special(rows: int, of_a_batch: int, tmp_path: Path) -> None:
    numbers = pa.table({"n": pa.array(range(rows), pa.int64())})
    target = Target(str(tmp_path), T.StructType([T.StructField("n", T.LongType())]), ("n",), group=GROUP)
    tables = written(target, numbers.to_batches(max_chunksize=of_a_batch))
    assert [each for table in tables for each in table["n"].to_pylist()] == list(range(rows))


@pytest.mark.parametrize(("kind", "arrow", "values"), ENTITIES, ids=[each[0].simpleString() for each in ENTITIES])
def test_rows_are_in_order_of_whatever_names_an_entity(
    kind: T.DataType, arrow: pa.DataType, values: list[object], tmp_path: Path
) -> None:
    schema = T.StructType([T.StructField("who", kind), T.StructField("n", T.LongType())])
    rows = pa.table({"who": pa.array(values, arrow), "n": pa.array(range(len(values)), pa.int64())})
    (table,) = written(Target(str(tmp_path), schema, (), in_order="who", by_byte=("n",)), rows.to_batches())
    assert table["who"].to_pylist() == values
