"""The result file of a run: where exit codes do not survive, it alone says how the run ended (semantics.md, 7)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from headwater.config.base import JsonValue
from headwater.errors import HeadwaterError
from headwater.state.files import write_file
from headwater.state.runs import RunStatus
from headwater.state.streams import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """How a run ended; duration in seconds."""

    pipeline_id: str
    run_id: str
    status: RunStatus
    rows_processed: int
    duration: float
    errors: tuple[Payload, ...] = ()

    def as_json(self) -> dict[str, JsonValue]:
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
    # Run ids come from orchestrators; only a slash would change the folder.
    name = f"{result.run_id.replace('/', '%2F')}.json"
    body = json.dumps(result.as_json(), indent=2, allow_nan=False) + "\n"
    return write_file(f"{location.rstrip('/')}/results/{name}", body, storage_options=storage_options)


def error_entry(error: HeadwaterError) -> dict[str, JsonValue]:
    """Describe an error in a result or a run row; facts that are no JSON values appear as text."""
    facts: dict[str, JsonValue] = json.loads(json.dumps(error.facts, default=str))
    return {"code": error.code, "message": error.message, "remedy": error.remedy, "facts": facts}
