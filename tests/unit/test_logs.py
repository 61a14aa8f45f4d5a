"""A plan sees every table as it was when it first asked; others, and whoever asks later, see it as it is."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError

from headwater.tables.delta import Batch, commit_times, find, version
from headwater.tables.logs import log_of, logs_at_one_moment


def append(location: Path) -> None:
    write_deltalake(location, pa.table({"n": [1]}), mode="append")


def test_at_one_moment_a_table_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path)
    append(tmp_path)
    opened: list[object] = []
    monkeypatch.setattr(
        "headwater.tables.logs.TableLog", lambda *args, **more: opened.append(args) or DeltaTable(*args, **more)
    )
    with logs_at_one_moment():
        assert version(str(tmp_path)) == 1
        append(tmp_path)
        with logs_at_one_moment(), ThreadPoolExecutor(1) as pool:
            assert [version(str(tmp_path)), log_of(str(tmp_path), 1).version()] == [1, 1]
            assert pool.submit(version, str(tmp_path)).result() == 2
        assert len(opened) == 2
        # Another version is another log, and does not become the one of the moment.
        assert [log_of(str(tmp_path), 0).version(), version(str(tmp_path))] == [0, 1]
    assert version(str(tmp_path)) == 2


def test_a_commit_is_found_at_its_version_whatever_comes_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """delta-rs counts commits down from the version that it knows, and lists those that have come since as well."""
    batch = Batch("stream", 1)
    properties = CommitProperties(
        app_transactions=[Transaction(batch.stream, batch.n)], custom_metadata={"userMetadata": batch.metadata}
    )
    append(tmp_path)
    write_deltalake(tmp_path, pa.table({"n": [1]}), mode="append", commit_properties=properties)
    rivals = iter(range(3))

    class Overtaken(DeltaTable):
        def history(self, limit: int | None = None) -> list[dict[str, Any]]:
            if next(rivals, None) is not None:
                append(tmp_path)
            return super().history(limit)

    monkeypatch.setattr("headwater.tables.delta.TableLog", Overtaken)
    found = find(str(tmp_path), batch)
    assert found is not None
    assert found.version == 1
    rivals = iter(range(2))
    assert len(commit_times(str(tmp_path), 6)) == 7


def test_a_table_that_comes_at_that_moment_is_seen(tmp_path: Path) -> None:
    with logs_at_one_moment():
        assert version(str(tmp_path)) is None
        with pytest.raises(TableNotFoundError):
            log_of(str(tmp_path), 0)
        append(tmp_path)
        assert [log_of(str(tmp_path), 0).version(), version(str(tmp_path))] == [0, 0]
