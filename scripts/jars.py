"""Brings the locked jars into `.cache/jars`, by Spark's own Ivy, and lets none in whose hash is another.

`conf/jars.in` says what is wanted, `conf/jars.lock` what that came to: one line a jar, `set coordinate sha256`.
Safe to kill: the folder is filled beside its place and moved there in one step, its stamp already inside.
"""

import hashlib
import os
import re
import shutil
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from console import SetupError, run, say, step

# Spark adds its own libraries to what it resolves for; the other set must not meet them.
SPARK, DEMO = "spark", "demo"
SETS = (SPARK, DEMO)
_HEADER = "# Every jar by its hash: set, coordinate, sha256. Written from conf/jars.in by `make lock-jars`.\n"
_NETWORK_REMEDY = "If the network failed, run `make setup` again; what has been downloaded is kept."


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    set: str
    coordinate: str
    sha256: str

    @property
    def file(self) -> str:
        """The name Ivy gives the file."""
        group, artifact, version = self.coordinate.split(":")
        return f"{group}_{artifact}-{version}.jar"

    @property
    def place(self) -> str:
        """Where it lies below the cache."""
        return self.file if self.set == SPARK else f"{self.set}/{self.file}"


def parse_lock(text: str) -> tuple[Jar, ...]:
    """Read a lock."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Jar(set=kind, coordinate=coordinate, sha256=sha256) for kind, coordinate, sha256 in lines)


def coordinate_of(file: str) -> str:
    """Turn a file name of Ivy back into group:artifact:version."""
    group, rest = file.removesuffix(".jar").split("_", 1)
    artifact, version = re.split(r"-(?=\d)", rest, maxsplit=1)
    return f"{group}:{artifact}:{version}"


def sha256_of(path: Path) -> str:
    """Hash a file without holding it in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatches(jars: Iterable[Jar], ivy: Path) -> dict[Jar, str]:
    """Give every jar that is not what the lock says, with what was found instead."""
    found = {jar: ivy / jar.set / "jars" / jar.file for jar in jars}
    hashes = {jar: sha256_of(path) if path.exists() else "no file" for jar, path in found.items()}
    return {jar: sha256 for jar, sha256 in hashes.items() if sha256 != jar.sha256}


def refuse(wrong: dict[Jar, str]) -> None:
    """Stop if any jar is still wrong.

    Raises:
        SetupError: names each such jar with the hash expected and the hash found.
    """
    if not wrong:
        return
    lines = (f"  {jar.coordinate}\n    expected sha256 {jar.sha256}\n    found    {it}" for jar, it in wrong.items())
    raise SetupError(
        "These jars are not the ones of conf/jars.lock, also after a second download:\n" + "\n".join(lines) + "\n"
        "Something between here and the repository serves other files: check the mirror or proxy in use. "
        "If the change is meant (another version in conf/jars.in), run `make lock-jars` and review its diff."
    )


@dataclass(frozen=True, slots=True)
class JarCache:
    """The jars of one checkout."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where the verified jars lie."""
        return self.root / ".cache" / "jars"

    @property
    def _ivy(self) -> Path:
        return self.root / ".cache" / "ivy"

    @property
    def _lock(self) -> Path:
        return self.root / "conf" / "jars.lock"

    def locked(self) -> tuple[Jar, ...]:
        """What the lock asks for."""
        return parse_lock(self._lock.read_text(encoding="utf-8"))

    def paths(self, kind: str) -> list[Path]:
        """The files of one set, in the order of the lock."""
        return [self.folder / jar.place for jar in self.locked() if jar.set == kind]

    def ready(self, kinds: Collection[str] = SETS) -> bool:
        """Tell whether the folder was filled from this lock and still has the files of these sets."""
        stamp = self.folder / "stamp"
        return (
            stamp.exists()
            and stamp.read_text(encoding="utf-8") == sha256_of(self._lock)
            and all((self.folder / jar.place).exists() for jar in self.locked() if jar.set in kinds)
        )

    def install(self, java_home: Path, kinds: Collection[str] = SETS) -> None:
        """Resolve, verify, and put the folder in place; a wrong jar is downloaded a second time before it is refused.

        Args:
            java_home: the Java that resolves.
            kinds: the sets that are wanted; of the others nothing is kept.

        Raises:
            SetupError: a jar cannot be had, or stays wrong.
        """
        jars = tuple(jar for jar in self.locked() if jar.set in kinds)
        wrong = mismatches(jars, self._ivy)
        if wrong:
            self._resolve({jar.set for jar in wrong}, self._ivy, java_home)
            wrong = mismatches(jars, self._ivy)
        if wrong:
            say(f"not as locked, downloading once more: {', '.join(jar.coordinate for jar in wrong)}")
            self._forget(wrong)
            self._resolve({jar.set for jar in wrong}, self._ivy, java_home)
            refuse(mismatches(jars, self._ivy))
        self._put_in_place(jars)

    def relock(self, java_home: Path) -> None:
        """Write the lock anew from conf/jars.in, from an empty Ivy so that nothing old slips in."""
        fresh = self.root / ".cache" / "ivy-relock"
        shutil.rmtree(fresh, ignore_errors=True)
        self._resolve(set(SETS), fresh, java_home)
        jars = (
            Jar(set=kind, coordinate=coordinate_of(path.name), sha256=sha256_of(path))
            for kind in SETS
            for path in sorted((fresh / kind / "jars").glob("*.jar"))
        )
        self._lock.write_text(_HEADER + "".join(f"{j.set} {j.coordinate} {j.sha256}\n" for j in jars), encoding="utf-8")
        shutil.rmtree(self._ivy, ignore_errors=True)
        fresh.rename(self._ivy)

    def _resolve(self, kinds: set[str], ivy: Path, java_home: Path) -> None:
        """Let Spark's Ivy fetch the sets; a run of an empty job is all it takes."""
        wanted = tomllib.loads((self.root / "conf" / "jars.in").read_text(encoding="utf-8"))
        empty_job = self.root / ".cache" / "empty_job.py"
        empty_job.parent.mkdir(exist_ok=True)
        empty_job.write_text("", encoding="utf-8")
        python = self.root / ".venv" / "bin" / "python"
        environment = {**os.environ, "JAVA_HOME": str(java_home), "PYSPARK_PYTHON": str(python)}
        environment.pop("SPARK_HOME", None)
        for kind in sorted(kinds, reverse=True):
            command: list[str | Path] = [
                *(python.with_name("spark-submit"), "--master", "local[1]"),
                *("--conf", f"spark.jars.ivy={ivy / kind}", "--conf", "spark.ui.enabled=false"),
                *("--packages", ",".join(wanted[kind]["packages"])),
                *("--exclude-packages", ",".join(wanted[kind]["exclude"])),
                empty_job,
            ]
            with step(f"downloading the {kind} jars"):
                log = self.root / ".cache" / "logs" / f"ivy-{kind}.log"
                run(command, log=log, remedy=_NETWORK_REMEDY, env=environment)

    def _forget(self, wrong: Iterable[Jar]) -> None:
        """Make Ivy forget these jars, or it would hand out the same files again."""
        for jar in wrong:
            group, artifact, _ = jar.coordinate.split(":")
            (self._ivy / jar.set / "jars" / jar.file).unlink(missing_ok=True)
            shutil.rmtree(self._ivy / jar.set / "cache" / group / artifact, ignore_errors=True)

    def _put_in_place(self, jars: Iterable[Jar]) -> None:
        staging = self.folder.with_name("jars.unfinished")
        shutil.rmtree(staging, ignore_errors=True)
        for jar in jars:
            target = staging / jar.place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(self._ivy / jar.set / "jars" / jar.file)
        (staging / "stamp").write_text(sha256_of(self._lock), encoding="utf-8")
        shutil.rmtree(self.folder, ignore_errors=True)
        staging.rename(self.folder)
