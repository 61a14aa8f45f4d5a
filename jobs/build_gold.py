"""Compute feature rows into the staging table: dates not published yet, and published dates that changed."""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job
from headwater.pipelines.gold import plan_stage
from headwater.pipelines.pipeline import run_stage
from headwater.pipelines.publication import plan_unfinished_publication
from headwater.pipelines.tiles import plan_tiles

JOB = Job(
    name="build_gold",
    about=str(__doc__),
    plans=lambda runtime, _args: [plan_unfinished_publication(runtime), plan_tiles(runtime), plan_stage(runtime)],
    story=lambda runtime, _args: run_stage(runtime),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
