"""Small text files beside the ledger: results and reports, on a local disk or an object store."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pyarrow.fs as pa_fs
from botocore.client import BaseClient
from botocore.exceptions import ClientError

_NO_SUCH = ("NoSuchKey", "NoSuchBucket", "404")


def write_file(location: str, text: str, *, storage_options: Mapping[str, str] | None = None) -> str:
    """Write a text file; readers see the whole file or none.

    Args:
        location: a local path or a URL.
        text: what to write.
        storage_options: credentials and endpoint of an S3 store, as delta-rs names them; absent ones come from the
            environment, where delta-rs finds them too.

    Returns:
        The location.
    """
    url = urlsplit(location)
    if url.scheme in ("s3", "s3a"):
        _s3(storage_options or {}).put_object(Bucket=url.netloc, Key=url.path.lstrip("/"), Body=text.encode())
    elif url.scheme:
        store, path = pa_fs.FileSystem.from_uri(location)
        with store.open_output_stream(path) as stream:
            stream.write(text.encode())
    else:
        _replace(Path(location), text.encode())
    return location


def read_file(location: str, *, storage_options: Mapping[str, str] | None = None) -> str | None:
    """Read what `write_file` wrote; None where there is no such file.

    Args:
        location: a local path or a URL.
        storage_options: as for `write_file`.
    """
    url = urlsplit(location)
    try:
        if url.scheme in ("s3", "s3a"):
            found = _s3(storage_options or {}).get_object(Bucket=url.netloc, Key=url.path.lstrip("/"))
            return str(found["Body"].read().decode())
        if url.scheme:
            store, path = pa_fs.FileSystem.from_uri(location)
            with store.open_input_stream(path) as stream:
                return str(stream.read().decode())
        return Path(location).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _NO_SUCH:
            return None
        raise


def _s3(options: Mapping[str, str]) -> BaseClient:
    named = {
        "aws_access_key_id": options.get("AWS_ACCESS_KEY_ID"),
        "aws_secret_access_key": options.get("AWS_SECRET_ACCESS_KEY"),
        "aws_session_token": options.get("AWS_SESSION_TOKEN"),
        "region_name": options.get("AWS_REGION"),
        "endpoint_url": options.get("AWS_ENDPOINT_URL"),
    }
    return boto3.client("s3", **{name: value for name, value in named.items() if value})


def _replace(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
