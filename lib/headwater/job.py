"""A job as data: its name, what it would do, what it does, and the command line that all jobs share."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from headwater.pipelines.steps import Plan, Runtime
from headwater.state.streams import Commit


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a job beyond those that all jobs have.

    Attributes:
        name: attribute of the parsed arguments.
        about: help text.
        metavar: what a value looks like.
        read: makes the value from text.
        default: what it is when it is left out.
        optional: whether it may be left out without a default, and is None then.
    """

    name: str
    about: str
    metavar: str = "NAME"
    read: Callable[[str], object] = str
    default: object = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the boundary sees it.

    Attributes:
        name: the job's file name without its ending.
        about: help text.
        plans: what the job would do; for `--dry-run`.
        story: does it, and returns the commits it made, none when there was nothing to do.
        options: further options, by flag.
        date_flags: how the run's date is called.
        date_about: help text of that.
    """

    name: str
    about: str
    plans: Callable[[Runtime, argparse.Namespace], Sequence[Plan]]
    story: Callable[[Runtime, argparse.Namespace], Sequence[Commit]]
    options: Mapping[str, Option] = field(default_factory=dict)
    date_flags: tuple[str, ...] = ("--date",)
    date_about: str = "feature date of the run"


def positive(text: str) -> int:
    """A whole number above 0, of an option."""
    if (number := int(text)) < 1:
        message = f"{number} is less than 1"
        raise ValueError(message)
    return number


def parser(job: Job) -> argparse.ArgumentParser:
    """The job's command line."""
    made = argparse.ArgumentParser(prog=f"{job.name}.py", description=job.about)
    made.add_argument("--conf", default="conf", metavar="DIR", help="configuration folder (default: conf)")
    made.add_argument("--env", default="local", metavar="NAME", help="environment: conf/env/NAME.yaml (default: local)")
    made.add_argument(
        *job.date_flags,
        dest="date",
        required=True,
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help=job.date_about,
    )
    made.add_argument("--run-id", metavar="ID", help="name of this execution of this job (default: made up)")
    made.add_argument(
        "--strict",
        action="store_true",
        help="exit 3 where a run would otherwise be degraded: values carried, batches held",
    )
    made.add_argument("--dry-run", action="store_true", help="print what the job would do, and do nothing")
    for flag, option in job.options.items():
        shown = option.about if option.default is None else f"{option.about} (default: {option.default:,})"
        made.add_argument(
            flag,
            dest=option.name,
            required=option.default is None and not option.optional,
            default=option.default,
            type=option.read,
            metavar=option.metavar,
            help=shown,
        )
    return made
