"""A table, or a part of it, that fits into memory, read without a session."""

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable as TableLog
from deltalake import QueryBuilder


def rows_of_date(
    location: str, at: int, on: tuple[str, date], columns: Sequence[str], *, at_most: int
) -> tuple[pa.Table, bool]:
    """The rows of one date, or the first ones in the order of the files' names.

    Only files whose statistics admit the date are opened, only these columns and the date are decoded, and reading
    stops after the row that shows that there are too many. So memory is bounded by `at_most` rows of these columns.

    Args:
        location: the table.
        at: its version.
        on: the date column, and the date wanted of it.
        columns: what to read.
        at_most: how many rows to return.

    Returns:
        The rows, and whether they are all there are.
    """
    column, day = on
    whole = TableLog(location, version=at).to_pyarrow_dataset()
    wanted = ds.field(column) == pa.scalar(day)
    # The log lists files in no order that anybody promises.
    files = sorted(whole.get_fragments(filter=wanted), key=lambda each: str(each.path))
    ordered = ds.FileSystemDataset(files, whole.schema, whole.format, whole.filesystem)
    rows = ordered.head(at_most + 1, columns=list(columns), filter=wanted)
    return rows.slice(0, at_most), rows.num_rows <= at_most


def all_rows(location: str, where: str = "true", *, options: Mapping[str, str] | None = None) -> pa.Table:
    """The rows of a table that meet a SQL condition; unlike a file reader it knows which rows of a file are deleted.

    Args:
        location: the table.
        where: in DataFusion's SQL.
        options: of the store, where the environment does not say them.
    """
    log = TableLog(location, storage_options=dict(options) if options else None)
    query = QueryBuilder().register("rows", log).execute(f"select * from rows where {where}")  # noqa: S608 -- the caller writes it
    found = pa.table(query.read_all())
    return found.cast(pa.schema([field.with_type(_plain(field.type)) for field in found.schema]))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Texts as everybody else has them."""
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.list_(_plain(kind.value_type)) if pa.types.is_list(kind) else kind
