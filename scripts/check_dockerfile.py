#!/usr/bin/env python3.11
"""Exercises the Dockerfile without Docker: what it copies is copied, what it runs is run, the entry point answers.

Each stage gets a folder that stands for `/`. COPY honours .dockerignore; RUN works in WORKDIR with ENV and, when this
is root, as USER. Paths that the file itself names (WORKDIR, ENV, VOLUME, COPY) are moved below that folder. Commands
that change the system are not run; their line is only parsed by the shell, and the output says so. The base image is
played by this machine's Python 3.11, with any Java hidden: what a slim image lacks cannot be found here.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile import files_at, ignored, parse

_SYSTEM = ("apt-get", "useradd", "groupadd")
_ROOT_ONLY = ("chown",)
_OURS = re.compile(r"^(HEADWATER_|SPARK_|PYSPARK_|JAVA_HOME$|PYTHONPATH$|VIRTUAL_ENV$|CRM_|APP_|DESK_)")
_JOB = "jobs/run_pipeline.py"
_PROBES = (("--help",), ("--print", _JOB, "--date", "2025-03-31"), (_JOB, "--help"))


class CheckError(Exception):
    """The Dockerfile would not build, or its entry point does not answer."""


@dataclass(slots=True)
class Stage:
    """A stage while it is built; the next FROM starts another."""

    cwd: str = "/"
    user: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()


class Image:
    """Plays a Dockerfile in a scratch folder."""

    def __init__(self, context: Path, scratch: Path) -> None:
        """Read the Dockerfile and .dockerignore of the context; `scratch` is an empty folder that others can enter."""
        self._context, self._scratch, self._root = context, scratch, scratch / "root"
        self._instructions = parse((context / "Dockerfile").read_text(encoding="utf-8"))
        listed = context / ".dockerignore"
        lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
        self._patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        named = (each.text for each in self._instructions if each.word in ("WORKDIR", "VOLUME", "ENV", "COPY"))
        self._named = {path for text in named for path in re.findall(r"(?:^|[\s=\"])(/[\w./-]+)", text)}
        self._stage, self._name, self._args = Stage(), "", dict[str, str]()
        self._bin = scratch / "bin"
        self._bin.mkdir()
        (self._bin / "java").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (self._bin / "java").chmod(0o755)

    def build(self) -> None:
        """Play every instruction.

        Raises:
            CheckError: a source of COPY is missing, a command fails, or an instruction is not known.
        """
        for each in self._instructions:
            text = each.text if each.word == "RUN" else self._substitute(each.text)
            print(f"image: line {each.line}: {each.word} {text}", flush=True)
            try:
                self._play(each.word, text)
            except CheckError as error:
                raise CheckError(f"line {each.line}: {error}") from None

    def probe(self, arguments: Sequence[str]) -> str:
        """Run the entry point as the image would; returns what it printed."""
        print(f"image: ENTRYPOINT {' '.join(self._stage.entrypoint)} {' '.join(arguments)}", flush=True)
        printed = self._execute([*self._stage.entrypoint, *arguments])
        if re.search(rf"{re.escape(str(self._context))}(/|\b)", printed):
            raise CheckError(f"the answer names the checkout, which an image does not have:\n{printed}")
        return printed

    def _play(self, word: str, text: str) -> None:
        known: Mapping[str, Callable[[str], object]] = {
            "ARG": lambda text: self._args.setdefault(*text.partition("=")[::2]),
            "FROM": self._begin,
            "WORKDIR": self._workdir,
            "ENV": self._env,
            "COPY": lambda text: self._copy(text.split()),
            "RUN": lambda text: self._execute(["/bin/sh", "-c", self._runnable(text)]),
            "USER": lambda text: setattr(self._stage, "user", int(text)),
            "ENTRYPOINT": lambda text: setattr(self._stage, "entrypoint", tuple(json.loads(text))),
            "VOLUME": lambda text: self._place(text).mkdir(parents=True, exist_ok=True),
        }
        if word not in known:
            raise CheckError(f"{word} is not known to this check")
        known[word](text)

    def _workdir(self, text: str) -> None:
        self._stage.cwd = str(Path(self._stage.cwd) / text)
        self._place(".").mkdir(parents=True, exist_ok=True)

    def _env(self, text: str) -> None:
        name, _, value = text.partition("=")
        self._stage.env[name] = self._move(value.strip('"'))

    def _begin(self, text: str) -> None:
        """Put the last stage aside; every stage is built in the same place, for environments hold absolute paths."""
        if self._root.exists():
            self._root.rename(self._scratch / f"stage-{self._name}")
        self._root.mkdir()
        self._stage, self._name = Stage(), text.partition(" AS ")[2] or "last"

    def _copy(self, words: list[str]) -> None:
        stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        *sources, target = words
        base = self._context if stage is None else self._scratch / f"stage-{stage}"
        for source in sources:
            origin, into = base / source.lstrip("/"), self._place(target)
            whole = into / origin.name if origin.is_file() and (target.endswith("/") or into.is_dir()) else into
            files = [each for each in files_at(origin) if stage or self._is_sent(each)]
            if not files:
                raise CheckError(f"COPY: there is no {source}, or .dockerignore leaves it out")
            for each in files:
                to = whole / each.relative_to(origin) if origin.is_dir() else whole
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(each, to, follow_symlinks=False)

    def _is_sent(self, file: Path) -> bool:
        return not ignored(str(file.relative_to(self._context)), self._patterns)

    def _runnable(self, line: str) -> str:
        """The line with paths moved, and `true` for each command that would change the system."""
        left_out = _SYSTEM if os.geteuid() == 0 else (*_SYSTEM, *_ROOT_ONLY)
        commands = re.split(r"\s*&&\s*", line)
        for each in (each for each in commands if each.split()[0] in left_out):
            print(f"image:   not run, parsed only: {each}", flush=True)
        self._execute(["/bin/sh", "-n", "-c", line])
        return " && ".join("true" if each.split()[0] in left_out else self._move(each) for each in commands)

    def _execute(self, command: Sequence[str]) -> str:
        user = self._stage.user if os.geteuid() == 0 else None
        as_user = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        outside = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
        path = f"{self._bin}:/usr/local/bin:/usr/bin:/bin:{Path(sys.executable).parent}"
        environment = {**outside, "PATH": path, **self._args, **self._stage.env}
        done = subprocess.run(
            command, cwd=self._place("."), env=environment, stdout=subprocess.PIPE, text=True, check=False, **as_user
        )
        if done.returncode != 0:
            raise CheckError(f"`{' '.join(command)}` ended with {done.returncode}\n{done.stdout}")
        return done.stdout

    def _place(self, path: str) -> Path:
        """Where a path of the image lies on this machine."""
        return self._root / str(Path(self._stage.cwd) / path).lstrip("/")

    def _move(self, text: str) -> str:
        for path in self._named:
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w-])", f"{self._root}{path}", text)
        return text

    def _substitute(self, text: str) -> str:
        known: Mapping[str, str] = {**self._args, **self._stage.env}
        return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), text)


def main(argv: Sequence[str] | None = None) -> int:
    """Check the Dockerfile of this checkout; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/check_dockerfile.py", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the scratch folder and print where it is")
    args = parser.parse_args(argv)
    scratch = Path(tempfile.mkdtemp(prefix="headwater-image-"))
    scratch.chmod(0o755)
    if os.geteuid() != 0:
        print("image: this is not root, so USER has no effect here")
    try:
        image = Image(Path(__file__).resolve().parents[1], scratch)
        image.build()
        for arguments in _PROBES:
            print(image.probe(arguments))
    except CheckError as error:
        print(f"image: error: {error}", file=sys.stderr)
        return 1
    finally:
        if args.keep:
            print(f"image: kept in {scratch}")
        else:
            shutil.rmtree(scratch)
    print("image: every instruction was played, and the entry point answered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
