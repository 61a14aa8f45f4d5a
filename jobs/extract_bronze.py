"""Extract one source into bronze: the records of the next window or the new files, appended exactly once.

Run one such job per source, in parallel if you like; a rerun for the same date reads nothing.
"""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job, Option
from headwater.pipelines.bronze import plan_extract
from headwater.pipelines.run import run_planned

JOB = Job(
    name="extract_bronze",
    about=str(__doc__),
    plans=lambda runtime, args: [plan_extract(runtime, [args.source])],
    story=lambda runtime, args: run_planned(lambda: plan_extract(runtime, [args.source]), runtime),
    options={"--source": Option("source", "a source of conf/sources")},
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
