"""Gates of a source: what must hold for its batches, and what is done when it does not (semantics.md, section 5)."""

from typing import Literal

from pydantic import Field, model_validator

from headwater.config.base import Name, Spec


class NullRatioGate(Spec):
    """Of an extracted batch at most this share lacks a required column."""

    max: float = Field(default=0.05, ge=0, le=1)
    action: Literal["quarantine_data", "halt_pipeline", "report"] = "quarantine_data"


class FreshnessGate(Spec):
    """The newest event lies at most so many hours before the end of the feature date."""

    column: Name = Field(description="Date or timestamp of the contract that says how far the source has come.")
    max_lag_hours: float = Field(gt=0)
    action: Literal["use_cached_features", "halt_pipeline", "report"] = "use_cached_features"


class VolumeHistory(Spec):
    """A batch holds between 1/factor and factor times the median of the batches before it."""

    factor: float = Field(gt=1)
    batches: int = Field(default=14, ge=1, description="How many earlier batches count; the first one never does.")
    at_least: int = Field(default=5, ge=1, description="With fewer of them nothing is judged.")


class VolumeGate(Spec):
    """A batch holds a plausible number of records."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)
    history: VolumeHistory | None = None
    action: Literal["halt_pipeline", "quarantine_data", "report"] = "halt_pipeline"

    @model_validator(mode="after")
    def _has_a_bound(self) -> "VolumeGate":
        if self.min is None and self.max is None and self.history is None:
            message = "volume needs min, max, history or several of them"
            raise ValueError(message)
        return self


class Gates(Spec):
    """The gates of one source that can be set; its schema always has to fit the contract."""

    null_ratio: NullRatioGate = NullRatioGate()
    freshness: FreshnessGate | None = None
    volume: VolumeGate | None = None
