"""`headwater`: what a person does by hand. Scheduled work goes through the jobs instead."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from uuid import uuid4

from pyspark.sql import SparkSession

from headwater.boundary import open_runtime
from headwater.catalogue.document import document
from headwater.catalogue.html import catalogue_html
from headwater.catalogue.listing import listing
from headwater.config.project import load_project
from headwater.errors import ConfigError, HeadwaterError
from headwater.pipelines.catalogue import feature_catalogue
from headwater.pipelines.gates import decide
from headwater.pipelines.quarantine import quarantine_lines
from headwater.pipelines.steps import Runtime
from headwater.state.files import write_file


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        match args.command:
            case "demo":
                return _demo(args)
            case "quarantine":
                return _quarantine(args)
            case "features":
                return _features(args)
            case _:
                return _runs(args)
    except HeadwaterError as error:
        print(f"error [{error.code}] {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("stopped")
        return 130


def _demo(args: argparse.Namespace) -> int:
    try:
        # Deployments leave the demo and its packages out; no other command needs them.
        from headwater.demo.run import DemoOptions, run_demo  # noqa: PLC0415
        from headwater.demo.world import Scale  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        message = f"The demo is not part of this installation: there is no {missing.name}."
        raise ConfigError("demo_left_out", message, remedy="Run `make demo` in a checkout.") from None
    scale = Scale(customers=args.customers, days=args.days, seed=args.seed)
    root = Path.cwd()
    run_demo(DemoOptions(root, root / ".headwater" / "demo", scale, args.keep), signal.pause)
    return 0


def _quarantine(args: argparse.Namespace) -> int:
    runtime = _runtime(args)
    if args.action != "list":
        decide(runtime, args.source, args.action, args.batch)
        print(f"{args.action}: {', '.join(args.batch)}; the next build_silver acts on it")
        return 0
    for line in quarantine_lines(runtime):
        print(line)
    return 0


def _features(args: argparse.Namespace) -> int:
    catalogue = feature_catalogue(_runtime(args))
    if args.html:
        _write_page(args.html, catalogue_html(catalogue))
    if args.json:
        print(json.dumps(document(catalogue), indent=2))
    else:
        print("\n".join([args.html] if args.html else listing(catalogue)))
    return 0


def _write_page(location: str, text: str) -> None:
    try:
        write_file(location, text)
    except OSError as error:
        raise ConfigError(
            "page_not_written",
            f"{location}: the page could not be written: {error.strerror or error}.",
            remedy="Name a file in a folder that you may write to.",
            facts={"file": location},
        ) from error


def _runs(args: argparse.Namespace) -> int:
    runs = _runtime(args).run_log.runs(args.limit)
    for run in runs:
        seconds = (run.ended_at - run.started_at).total_seconds()
        print(
            f"{run.ended_at:%Y-%m-%d %H:%M:%S}  {run.job:<16} {run.run_date}  {run.status:<14} exit {run.exit_code}  "
            f"{run.rows_processed:>12,} rows  {seconds:7.1f} s  {run.run_id}"
        )
    if not runs:
        print("no run yet")
    return 0


def _runtime(args: argparse.Namespace) -> Runtime:
    project = load_project(Path(args.conf), args.env, os.environ)
    return open_runtime(project, f"by-hand-{uuid4().hex[:12]}", date.min, session=_no_session)


def _no_session() -> SparkSession:
    message = "this command works without a session"
    raise RuntimeError(message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headwater", description="Feature tables that people can trust.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run the built-in project against three live servers on this machine")
    demo.add_argument("--customers", type=int, default=600, help="how many customers (default: 600)")
    demo.add_argument("--days", type=int, default=100, help="days of history before the first run (default: 100)")
    demo.add_argument("--seed", type=int, default=7, help="which world of that size (default: 7)")
    demo.add_argument("--keep", action="store_true", help="leave the servers up until Ctrl-C and print their addresses")
    of_lake = argparse.ArgumentParser(add_help=False)
    of_lake.add_argument("--conf", default="conf", metavar="DIR", help="configuration folder (default: conf)")
    of_lake.add_argument(
        "--env", default="local", metavar="NAME", help="environment: conf/env/NAME.yaml (default: local)"
    )
    runs = commands.add_parser("runs", parents=[of_lake], help="list the latest runs of a lake; starts no JVM")
    runs.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    features = commands.add_parser("features", parents=[of_lake], help="the feature catalogue; starts no JVM")
    features.add_argument("--json", action="store_true", help="everything it knows, as JSON")
    features.add_argument("--html", metavar="FILE", help="write it as one page that needs nothing else")
    quarantine = commands.add_parser("quarantine", help="what was kept out, and what becomes of held batches; no JVM")
    actions = quarantine.add_subparsers(dest="action", required=True)
    actions.add_parser("list", parents=[of_lake], help="held batches, and open records by source and reason")
    for action, text in (
        ("release", "let held batches into silver: their rows still have to pass the row rules"),
        ("discard", "keep held batches out for good; bronze keeps them"),
    ):
        decision = actions.add_parser(action, parents=[of_lake], help=text)
        decision.add_argument("--source", required=True, metavar="NAME", help="a source of conf/sources")
        decision.add_argument("--batch", required=True, nargs="+", metavar="ID", help="batches as `list` names them")
    return parser
