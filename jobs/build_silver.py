"""Conform new bronze batches into silver: typed, checked row by row, one row per key, dimensions first.

What breaks a row rule goes to quarantine with its reasons; a batch whose rows do not add up is not written.
"""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job
from headwater.pipelines.pipeline import plan_tables, reported, run_tables

JOB = Job(
    name="build_silver",
    about=str(__doc__),
    plans=lambda runtime, _args: plan_tables(runtime),
    story=lambda runtime, _args: reported(run_tables, runtime),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
