"""Publish audited rows: history by month, the latest row per entity, closed months Z-ordered.

Rows without a passing verdict are refused with exit code 3, and readers keep what they have.
"""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job
from headwater.pipelines.pipeline import reported, run_publish
from headwater.pipelines.publication import plan_publish

JOB = Job(
    name="publish_gold",
    about=str(__doc__),
    plans=lambda runtime, _args: [plan_publish(runtime)],
    story=lambda runtime, _args: reported(run_publish, runtime),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
