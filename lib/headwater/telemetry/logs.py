"""The structured log: one JSON object per line, always with pipeline, run, source and record count."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TextIO

from headwater.config.base import JsonValue

EventName = Literal[
    "feature_computed",
    "materialization_done",
    "freshness_lag",
    "schema_drift",
    "source_unavailable",
    "validation_failed",
    "store_write_failed",
    "step_done",
    "run_failed",
]


@dataclass(frozen=True, slots=True)
class EventLog:
    """Writes the events of one run to a stream."""

    pipeline_id: str
    run_id: str
    clock: Callable[[], datetime]
    out: TextIO

    def write(self, event: EventName, *, data_source: str, record_count: int = 0, **facts: JsonValue) -> None:
        """Write one event; `facts` are further JSON values and never secrets."""
        line = {
            "at": self.clock().isoformat(),
            "event": event,
            "pipeline_id": self.pipeline_id,
            "run_id": self.run_id,
            "data_source": data_source,
            "record_count": record_count,
            **facts,
        }
        self.out.write(json.dumps(line, default=str) + "\n")
        self.out.flush()
