"""`headwater`: what a person does by hand. Scheduled work goes through the jobs instead."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from headwater.config.project import load_project
from headwater.demo.run import DemoOptions, run_demo
from headwater.demo.world import Scale
from headwater.errors import HeadwaterError
from headwater.state.runs import RunLog


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        match args.command:
            case "demo":
                return _demo(args)
            case _:
                return _runs(args)
    except HeadwaterError as error:
        print(f"error [{error.code}] {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("stopped")
        return 130


def _demo(args: argparse.Namespace) -> int:
    scale = Scale(customers=args.customers, days=args.days, seed=args.seed)
    root = Path.cwd()
    run_demo(DemoOptions(root, root / ".headwater" / "demo", scale, args.keep), signal.pause)
    return 0


def _runs(args: argparse.Namespace) -> int:
    project = load_project(Path(args.conf), args.env, os.environ)
    for run in RunLog(project.path("ops", "").rstrip("/")).runs(args.limit):
        seconds = (run.ended_at - run.started_at).total_seconds()
        print(
            f"{run.ended_at:%Y-%m-%d %H:%M:%S}  {run.job:<16} {run.run_date}  {run.status:<14} exit {run.exit_code}  "
            f"{run.rows_processed:>12,} rows  {seconds:7.1f} s  {run.run_id}"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headwater", description="Feature tables that people can trust.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run the built-in project against three live servers on this machine")
    demo.add_argument("--customers", type=int, default=600, help="how many customers (default: 600)")
    demo.add_argument("--days", type=int, default=100, help="days of history before the first run (default: 100)")
    demo.add_argument("--seed", type=int, default=7, help="which world of that size (default: 7)")
    demo.add_argument("--keep", action="store_true", help="leave the servers up until Ctrl-C and print their addresses")
    runs = commands.add_parser("runs", help="list the latest runs of a lake; starts no JVM")
    runs.add_argument("--conf", default="conf", metavar="DIR", help="configuration folder (default: conf)")
    runs.add_argument("--env", default="local", metavar="NAME", help="environment: conf/env/NAME.yaml (default: local)")
    runs.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    return parser
