"""What the log of a Delta table says about its change data feed; needs no session and reads no data."""

from collections.abc import Mapping
from typing import Any

from deltalake import DeltaTable as TableLog
from deltalake.exceptions import TableNotFoundError

_MERGED = ("numTargetRowsUpdated", "numTargetRowsDeleted")
_NO_ROWS = {"OPTIMIZE", "SET TBLPROPERTIES", "VACUUM START", "VACUUM END"}


def table_id(location: str) -> str | None:
    """What a table is known by for as long as it lives; None when there is none. A table made anew has another."""
    try:
        return str(TableLog(location).metadata().id)
    except TableNotFoundError:
        return None


def only_adds(location: str, upto: int, *, after: int) -> bool:
    """Whether the versions after one, up to another, took no row back, by what their writers noted; False in doubt."""
    log = TableLog(location)
    newest = log.version()
    commits = log.history(newest - after)
    # The history begins with the newest commit there is, and is numbered down from the version that was opened.
    if len(commits) < newest - after or TableLog(location).version() != newest:
        return False
    return all(_only_adds(commit) for commit in commits[newest - upto :])


def _only_adds(commit: Mapping[str, Any]) -> bool:
    match commit.get("operation"):
        case "WRITE":
            return bool(commit.get("operationParameters", {}).get("mode") == "Append")
        case "MERGE":
            metrics = commit.get("operationMetrics", {})
            return all(str(metrics.get(name)) == "0" for name in _MERGED)
        case other:
            return other in _NO_ROWS
