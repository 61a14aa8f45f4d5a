"""Gates of a source: what must hold for its batches, and what is done when it does not (semantics.md, section 5)."""

from typing import Literal

from pydantic import Field, model_validator

from headwater.config.base import Name, Spec


class NullRatioGate(Spec):
    """Of an extracted batch at most this share lacks a required column."""

    max: float = Field(
        default=0.05, ge=0, le=1, description="Greatest share of its records that may lack one required column."
    )
    action: Literal["quarantine_data", "halt_pipeline", "report"] = Field(
        default="quarantine_data",
        description="The first two hold the batch, and `halt_pipeline` ends the job with 3; `report` only tells.",
    )


class FreshnessGate(Spec):
    """The newest event lies at most so many hours before the end of the feature date."""

    column: Name = Field(description="Date or timestamp of the contract that says how far the source has come.")
    max_lag_hours: float = Field(gt=0, description="Hours from the newest event to the end of the feature date.")
    action: Literal["use_cached_features", "halt_pipeline", "report"] = Field(
        default="use_cached_features",
        description="Keep the values published last, end the job with 3, or only tell of it. The population's source, "
        "and any with `--strict`, ends it with 3.",
    )


class VolumeHistory(Spec):
    """A batch holds between 1/factor and factor times the median of the batches before it."""

    factor: float = Field(gt=1, description="How far from the median a batch may be.")
    batches: int = Field(default=14, ge=1, description="How many earlier batches count; the first one never does.")
    at_least: int = Field(default=5, ge=1, description="With fewer of them nothing is judged.")


class VolumeGate(Spec):
    """A batch holds a plausible number of records."""

    min: int | None = Field(default=None, ge=0, description="Fewest records of a batch.")
    max: int | None = Field(default=None, ge=0, description="Most records of a batch.")
    history: VolumeHistory | None = Field(default=None, description="Compare with the batches before it.")
    action: Literal["halt_pipeline", "quarantine_data", "report"] = Field(
        default="halt_pipeline",
        description="The first two hold the batch, and `halt_pipeline` ends the job with 3; `report` only tells.",
    )

    @model_validator(mode="after")
    def _has_a_bound(self) -> "VolumeGate":
        if self.min is None and self.max is None and self.history is None:
            message = "volume needs min, max, history or several of them"
            raise ValueError(message)
        return self


class Gates(Spec):
    """The gates of one source that can be set; its schema always has to fit the contract."""

    null_ratio: NullRatioGate = Field(default=NullRatioGate(), description="On unless set otherwise.")
    freshness: FreshnessGate | None = Field(default=None, description="None: a source is never too old.")
    volume: VolumeGate | None = Field(default=None, description="None: any number of records will do.")
