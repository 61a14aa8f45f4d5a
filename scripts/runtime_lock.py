#!/usr/bin/env python3.11
"""Writes requirements-runtime.lock: the part of requirements.lock that a deployment needs, hashes and all.

A package belongs to it when its `# via` lines lead, over any number of packages, to requirements.in and
requirements-spark.in, which lib imports, or to requirements-runtime.in. Nothing is resolved anew, so the two locks
cannot disagree on a version.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_ROOTS = frozenset({"-r requirements.in", "-r requirements-spark.in", "-r requirements-runtime.in"})
_HEADER = "# What a deployment needs of requirements.lock. Written from it by `make lock-python`.\n"


def main() -> int:
    """Write the file; returns the exit code."""
    lock = (_ROOT / "requirements.lock").read_text(encoding="utf-8")
    (_ROOT / "requirements-runtime.lock").write_text(runtime_part(lock), encoding="utf-8")
    return 0


def runtime_part(lock: str) -> str:
    """Give the blocks of a lock that a deployment needs, in the lock's order."""
    blocks = blocks_of(lock)
    wanted_by = {name: _wanted_by(block) for name, block in blocks.items()}
    needed: set[str] = set()
    while added := {name for name, by in wanted_by.items() if by & (_ROOTS | needed)} - needed:
        needed |= added
    return _HEADER + "".join(block for name, block in blocks.items() if name in needed)


def blocks_of(lock: str) -> Mapping[str, str]:
    """Give the lines of each package: its pin, its hashes, and who wants it."""
    found = re.finditer(r"^(?P<name>[\w.-]+)(?:\[[^\]]*\])?==[^\n]*\n(?:[ ]+[^\n]*\n)+", lock, re.MULTILINE)
    return {each["name"]: each[0] for each in found}


def _wanted_by(block: str) -> set[str]:
    comments = re.findall(r"^ +# *(?:via)? *(.*)$", block, re.MULTILINE)
    return {comment for comment in comments if comment}


if __name__ == "__main__":
    sys.exit(main())
