"""Audit the staged rows with Deequ and Great Expectations; exit code 3 when a blocking check fails."""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job
from headwater.pipelines.audit import plan_audit
from headwater.pipelines.pipeline import reported, run_audit

JOB = Job(
    name="verify_gold",
    about=str(__doc__),
    plans=lambda runtime, _args: [plan_audit(runtime)],
    story=lambda runtime, _args: reported(run_audit, runtime),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
