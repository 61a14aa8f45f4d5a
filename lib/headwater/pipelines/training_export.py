"""A training set as a folder of Parquet files that any tool reads, with its manifest; whole, or not there.

On a local disk the folder is written under a name that begins with a dot and renamed when it is complete. An object
store has no rename: there `_SUCCESS` comes last, and a folder without it is unfinished.
"""

import shutil
from pathlib import Path

import pyarrow.fs as pa_fs
from pyspark.sql import DataFrame

from headwater.state.files import write_file

SUCCESS = "_SUCCESS"
# Readers of a folder of Parquet files pass over names that begin with an underscore.
MANIFEST = "_manifest.json"
_NO_MARK = {"mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"}


def is_exported(target: str) -> bool:
    """Whether a folder is a whole export."""
    if "://" not in target:
        return (Path(target) / SUCCESS).exists()
    store, path = pa_fs.FileSystem.from_uri(f"{target}/{SUCCESS}".replace("s3a://", "s3://", 1))
    return bool(store.get_file_info(path).type is pa_fs.FileType.File)


def export_set(rows: DataFrame, manifest: str, target: str) -> None:
    """Write rows, `_manifest.json` and `_SUCCESS` to a folder; what an export that died left there is replaced.

    Args:
        rows: the training set.
        manifest: its manifest, as JSON.
        target: the folder, a local path or a URL.
    """
    if "://" in target:
        _write(rows, manifest, target, target)
        return
    whole = Path(target).absolute()
    draft = whole.with_name(f".{whole.name}")
    _write(rows, manifest, str(draft), draft.as_uri())
    shutil.rmtree(whole, ignore_errors=True)
    draft.rename(whole)


def _write(rows: DataFrame, manifest: str, folder: str, url: str) -> None:
    rows.write.mode("overwrite").options(**_NO_MARK).parquet(url)
    write_file(f"{folder}/{MANIFEST}", manifest)
    write_file(f"{folder}/{SUCCESS}", "")
