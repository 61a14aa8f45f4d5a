"""Small text files beside the ledger: results and reports, on a local disk or an object store."""

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow.fs as pa_fs


def write_file(location: str, text: str, *, storage_options: Mapping[str, str] | None = None) -> str:
    """Write a text file; readers see the whole file or none.

    Args:
        location: a local path or a URL.
        text: what to write.
        storage_options: credentials and endpoint, as delta-rs names them.

    Returns:
        The location.
    """
    if "://" in location:
        store, path = _filesystem(location, storage_options or {})
        with store.open_output_stream(path) as stream:
            stream.write(text.encode())
    else:
        _replace(Path(location), text.encode())
    return location


def _filesystem(url: str, options: Mapping[str, str]) -> tuple[pa_fs.FileSystem, str]:
    """Find the file system of a URL and the path in it; delta-rs has one too, but it cannot be written through."""
    scheme, _, path = url.partition("://")
    if scheme not in {"s3", "s3a"}:
        filesystem, path = pa_fs.FileSystem.from_uri(url)
        return filesystem, path
    named = {
        "access_key": options.get("AWS_ACCESS_KEY_ID"),
        "secret_key": options.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": options.get("AWS_SESSION_TOKEN"),
        "region": options.get("AWS_REGION"),
        "endpoint_override": options.get("AWS_ENDPOINT_URL"),
    }
    return pa_fs.S3FileSystem(**{key: value for key, value in named.items() if value}), path


def _replace(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
