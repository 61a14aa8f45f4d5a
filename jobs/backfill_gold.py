"""Publish the dates of a range that are missing or were published by other definitions, in slices that fit memory.

Each slice is staged, audited and published before the next one begins; run again, a backfill goes on where it stopped.
"""

import sys
from collections.abc import Sequence
from datetime import date

from headwater.boundary import run_job
from headwater.job import Job, Option, positive
from headwater.pipelines.backfill import plan_backfill, run_backfill
from headwater.pipelines.pipeline import reported

JOB = Job(
    name="backfill_gold",
    about=str(__doc__),
    plans=lambda runtime, args: plan_backfill(runtime, args.first, args.date, args.slice_rows),
    story=lambda runtime, args: reported(
        lambda each: run_backfill(each, args.first, args.date, args.slice_rows), runtime
    ),
    options={
        "--from": Option("first", "first date", metavar="YYYY-MM-DD", read=date.fromisoformat),
        "--slice-rows": Option("slice_rows", "rows of a slice at most", metavar="N", read=positive, default=20_000_000),
    },
    date_flags=("--to", "--date"),
    date_about="last date",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
