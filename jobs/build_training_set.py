"""Join labels with what was known at their time into a training set, under an id of all that decides its rows.

With --id an earlier set is built again from the versions that it recorded, and held against what it was then.
"""

import sys
from collections.abc import Sequence

from headwater.boundary import run_job
from headwater.job import Job, Option
from headwater.pipelines.training import plan_training_set, run_training_set

JOB = Job(
    name="build_training_set",
    about=str(__doc__),
    plans=lambda runtime, args: [plan_training_set(runtime, args.name, args.id)],
    story=lambda runtime, args: run_training_set(runtime, args.name, args.id, args.export),
    options={
        "--name": Option("name", "training set: conf/training/NAME.yaml"),
        "--id": Option("id", "build this set again; with --export, only where its table is gone", "ID", optional=True),
        "--export": Option("export", "leave it as Parquet in DIR/NAME-ID", metavar="DIR", optional=True),
    },
    date_about="labels that are mature by this date are taken",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns its exit code."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
