"""Reads a Dockerfile and a .dockerignore as Docker would, as far as ours go."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its lines joined."""

    line: int
    word: str
    text: str


def parse(text: str) -> tuple[Instruction, ...]:
    """Read a Dockerfile; comments are dropped, continued lines joined."""
    found, begun, parts = [], 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun = begun if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            word, _, rest = " ".join(parts).partition(" ")
            found.append(Instruction(begun, word.upper(), rest.strip()))
            parts = []
    return tuple(found)


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether .dockerignore keeps a path out of the context; the last pattern that fits decides."""
    out = False
    for pattern in patterns:
        body = pattern.removeprefix("!").strip("/")
        steps = re.escape(body).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.match(rf"{steps}(?:/.*)?$", path):
            out = not pattern.startswith("!")
    return out


def files_at(origin: Path) -> Iterator[Path]:
    """Every file and link at or below a path."""
    if origin.is_dir() and not origin.is_symlink():
        for each in sorted(origin.iterdir()):
            yield from files_at(each)
    elif origin.exists() or origin.is_symlink():
        yield origin
