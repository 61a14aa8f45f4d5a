"""A plan sees every table as it was when it first asked; others, and whoever asks later, see it as it is."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError

from headwater.tables.delta import version
from headwater.tables.logs import at_one_moment, log_of


def append(location: Path) -> None:
    write_deltalake(location, pa.table({"n": [1]}), mode="append")


def test_at_one_moment_a_table_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path)
    append(tmp_path)
    opened: list[object] = []
    monkeypatch.setattr(
        "headwater.tables.logs.TableLog", lambda *args, **more: opened.append(args) or DeltaTable(*args, **more)
    )
    with at_one_moment():
        assert version(str(tmp_path)) == 1
        append(tmp_path)
        with at_one_moment(), ThreadPoolExecutor(1) as pool:
            assert [version(str(tmp_path)), log_of(str(tmp_path), 1).version()] == [1, 1]
            assert pool.submit(version, str(tmp_path)).result() == 2
        assert len(opened) == 2
        # Another version is another log, and does not become the one of the moment.
        assert [log_of(str(tmp_path), 0).version(), version(str(tmp_path))] == [0, 1]
    assert version(str(tmp_path)) == 2


def test_a_table_that_comes_at_that_moment_is_seen(tmp_path: Path) -> None:
    with at_one_moment():
        assert version(str(tmp_path)) is None
        with pytest.raises(TableNotFoundError):
            log_of(str(tmp_path), 0)
        append(tmp_path)
        assert [log_of(str(tmp_path), 0).version(), version(str(tmp_path))] == [0, 0]
