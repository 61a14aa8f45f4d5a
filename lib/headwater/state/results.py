"""The result file of a run: where exit codes do not survive, it alone says how the run ended (semantics.md, 7)."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pa_fs

from headwater.errors import HeadwaterError
from headwater.state.runs import RunStatus
from headwater.state.streams import JSON, Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """How a run ended; duration in seconds."""

    pipeline_id: str
    run_id: str
    status: RunStatus
    rows_processed: int
    duration: float
    errors: tuple[Payload, ...] = ()

    def as_json(self) -> dict[str, JSON]:
        """Lay the result out under the names that others rely on."""
        return {
            "pipeline_id": self.pipeline_id,
            "run_id": self.run_id,
            "status": self.status,
            "rows_processed": self.rows_processed,
            "duration": round(self.duration, 3),
            "errors": list(self.errors),
        }


def write_result(location: str, result: ExecutionResult, *, storage_options: Mapping[str, str] | None = None) -> str:
    """Write `results/<run_id>.json` below the ops folder; readers see the whole file or none.

    Args:
        location: the ops folder, a local path or a URL.
        result: what to write.
        storage_options: credentials and endpoint, as delta-rs names them.

    Returns:
        Where the file is.
    """
    root = f"{location.rstrip('/')}/results"
    # Run ids come from orchestrators; only a slash would change the folder.
    name = f"{result.run_id.replace('/', '%2F')}.json"
    body = json.dumps(result.as_json(), indent=2, allow_nan=False).encode() + b"\n"
    if "://" in root:
        store, folder = _filesystem(root, storage_options or {})
        with store.open_output_stream(f"{folder}/{name}") as stream:
            stream.write(body)
    else:
        _replace(Path(root) / name, body)
    return f"{root}/{name}"


def error_entry(error: HeadwaterError) -> dict[str, JSON]:
    """Describe an error in a result or a run row; facts that are no JSON values appear as text."""
    facts: dict[str, JSON] = json.loads(json.dumps(error.facts, default=str))
    return {"code": error.code, "message": error.message, "remedy": error.remedy, "facts": facts}


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
