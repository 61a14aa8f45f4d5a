"""Run the whole pipeline for a date in one session: extract, conform, stage, audit, publish, report."""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job
from headwater.pipelines.pipeline import plan_pipeline, reported, run_pipeline

JOB = Job(
    name="run_pipeline",
    about=str(__doc__),
    plans=lambda runtime, _args: plan_pipeline(runtime),
    story=lambda runtime, _args: reported(run_pipeline, runtime),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
