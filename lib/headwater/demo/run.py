"""The demo: three live servers, the main job on two days and once more, and a look at what came out."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from time import monotonic

import boto3

from headwater.demo.load import load_change, load_initial
from headwater.demo.seed import generate
from headwater.demo.show import show_results
from headwater.demo.stack import Stack, start_stack
from headwater.demo.world import Scale
from headwater.errors import HeadwaterError

BUCKET = "support"
# A demo's queries are many and small: to interpret them takes less time than to compile them.
_INTERPRETED = "-Dspark.sql.codegen.wholeStage=false -Dspark.sql.codegen.factoryMode=NO_CODEGEN"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a person may choose.

    Attributes:
        root: the project's folder, where spark-submit.sh is.
        folder: where servers, lake and logs of the demo live; emptied first.
        keep: leave the servers up until Ctrl-C.
    """

    root: Path
    folder: Path
    scale: Scale
    keep: bool


def run_demo(options: DemoOptions, wait: Callable[[], object]) -> None:
    """Seed, run D, change the sources, run D+1 twice, show the results.

    Args:
        options: what was asked for.
        wait: returns when the servers may be stopped; called only with `keep`.

    Raises:
        HeadwaterError: a server does not start, or a job fails.
    """
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    scale = options.scale
    say = _Narrator()
    say(f"Starting PostgreSQL, a MongoDB wire server and an S3 endpoint below {options.folder}")
    with start_stack(options.folder / "servers") as stack:
        say(f"Seeding {scale.customers:,} customers x {scale.days} days of dirty data (seed {scale.seed})")
        world = generate(scale)
        servers = {"dsn": stack.postgres.dsn, "mongo_uri": stack.mongo_uri}
        store = object_store(stack)
        load_initial(world, **servers, s3=store, bucket=BUCKET)
        days = (world.last_day, world.scale.change_day)
        say(f"Run 1: publish the 40 dates up to {days[0]}")
        _submit(options, stack, days[0], world.first_extraction, "run-1")
        say("Changing the sources: a new day, late events, corrections, bad rows, an arriving customer")
        load_change(world, **servers, s3=store, bucket=BUCKET)
        say(f"Run 2: {days[1]}, and every published date that the changes touch")
        _submit(options, stack, days[1], world.second_extraction, "run-2")
        say(f"Run 3: {days[1]} again, which must find nothing to do")
        _submit(options, stack, days[1], world.second_extraction, "run-3")
        show_results(options.folder / "lake", days)
        if options.keep:
            _show_addresses(stack)
            wait()


def object_store(stack: Stack):  # type: ignore[no-untyped-def] # noqa: ANN201 -- boto3 makes its clients at run time
    """A client of the demo's S3 endpoint."""
    s3 = stack.s3
    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name=s3.region,
    )


class _Narrator:
    def __init__(self) -> None:
        self._begun = monotonic()

    def __call__(self, line: str) -> None:
        print(f"[{monotonic() - self._begun:6.1f} s] {line}", flush=True)  # noqa: T201 -- a demo talks


def _submit(options: DemoOptions, stack: Stack, day: date, instant: datetime, name: str) -> None:
    """Run the main job as a user would, by spark-submit; its events go to a file of their own."""
    logs = options.folder / "logs"
    logs.mkdir(exist_ok=True)
    settings = {
        "HEADWATER_LAKE": str(options.folder / "lake"),
        "HEADWATER_CLOCK": instant.isoformat(),
        "HEADWATER_LOG": str(logs / f"{name}.jsonl"),
        "SPARK_SUBMIT_OPTS": _INTERPRETED,
    }
    command = ["./spark-submit.sh", "jobs/run_pipeline.py", "--date", day.isoformat(), "--run-id", name]
    variables = {**os.environ, **stack.environment(), **settings}
    done = subprocess.run(command, cwd=options.root, env=variables, check=False)  # noqa: S603 -- our own script
    if done.returncode != 0:
        raise HeadwaterError(
            "demo_failed",
            f"{' '.join(command)} ended with exit code {done.returncode}.",
            remedy=f"Its events are in {logs / name}.jsonl.",
            facts={"exit_code": done.returncode},
        )


def _show_addresses(stack: Stack) -> None:
    lines = [f"export {name}={value}" for name, value in stack.environment().items()]
    print("\nThe servers stay up until Ctrl-C. To use them from another shell:\n  " + "\n  ".join(lines))  # noqa: T201
