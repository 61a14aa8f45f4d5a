"""Makes `.venv` from a lock: every file of every package by its hash, then the project itself.

Safe to kill: a marker lies in the environment as long as pip is at work, and one found at the start means "begin anew".
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from console import run, step

# All that demo, tests and tools need, or the part of it that a deployment needs.
CHECKOUT, RUNTIME = "requirements.lock", "requirements-runtime.lock"
_PIP_REMEDY = "If the network failed, run `make setup` again; what pip has in its cache is not downloaded again."


@dataclass(frozen=True, slots=True)
class Packages:
    """The Python environment of one checkout.

    Attributes:
        root: the checkout.
        lock: name of the lock it is made from.
    """

    root: Path
    lock: str = CHECKOUT

    @property
    def venv(self) -> Path:
        """The environment."""
        return self.root / ".venv"

    @property
    def _stamp(self) -> Path:
        return self.venv / "headwater-setup.json"

    @property
    def _marker(self) -> Path:
        return self.venv / "headwater-setup.unfinished"

    def ready(self) -> bool:
        """Tell whether the environment is what the lock asks for."""
        return not self._marker.exists() and self._stamped() == self._wanted()

    def install(self) -> None:
        """Bring the environment to what the lock asks for; from scratch if it cannot be trusted."""
        discarded = self.venv.with_name(".venv.discarded")
        shutil.rmtree(discarded, ignore_errors=True)
        if self.venv.exists() and not self._can_be_kept():
            # In one step: half an environment without its marker would pass for a whole one.
            self.venv.rename(discarded)
            shutil.rmtree(discarded)
        self.begin()
        logs = self.root / ".cache" / "logs"
        if not (self.venv / "bin" / "pip").exists():
            with step("making .venv"):
                run(
                    [sys.executable, "-m", "venv", self.venv],
                    log=logs / "venv.log",
                    remedy="Is python3-venv installed?",
                )
        lock = (self.root / self.lock).read_text(encoding="utf-8")
        # Source packages are built with this very setuptools: pip's own choice for a build would come without a hash.
        logs.mkdir(parents=True, exist_ok=True)
        builder = logs / "setuptools.lock"
        builder.write_text(block_of("setuptools", lock), encoding="utf-8")
        pip: list[str | Path] = [
            self.venv / "bin" / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--progress-bar=off",
        ]
        locked: list[str | Path] = [*pip, "--require-hashes", "--no-deps", "--no-build-isolation", "-r"]
        with step(f"installing {lock.count('==')} locked Python packages"):
            run([*locked, builder], log=logs / "pip-setuptools.log", remedy=_PIP_REMEDY)
            run([*locked, self.root / self.lock], log=logs / "pip.log", remedy=_PIP_REMEDY)
            own: list[str | Path] = [*pip, "--no-deps", "--no-build-isolation", "-e", self.root]
            run(own, log=logs / "pip-own.log", remedy="Is pyproject.toml valid?")
        self.finish()

    def begin(self) -> None:
        """Mark the environment as unfinished, before anything is put into it."""
        self.venv.mkdir(exist_ok=True)
        self._marker.touch()

    def finish(self) -> None:
        """Say what the environment was made from, and only then take the mark away."""
        self._stamp.write_text(json.dumps(self._wanted()), encoding="utf-8")
        self._marker.unlink(missing_ok=True)

    def _wanted(self) -> dict[str, str]:
        # An environment holds absolute paths, so one that was moved or copied is not this checkout's.
        digest = hashlib.sha256()
        for name in (self.lock, "pyproject.toml"):
            digest.update((self.root / name).read_bytes())
        return {"path": str(self.venv), "python": sys.version, "lock": digest.hexdigest()}

    def _stamped(self) -> dict[str, str]:
        return json.loads(self._stamp.read_text(encoding="utf-8")) if self._stamp.exists() else {}

    def _can_be_kept(self) -> bool:
        if self._marker.exists():
            return False
        stamped, wanted = self._stamped(), self._wanted()
        if stamped:
            return all(stamped[key] == wanted[key] for key in ("path", "python"))
        python = self.venv / "bin" / "python"
        ask = "import sys, pip; print(sys.prefix, sys.version)"
        told = (
            subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
            if python.exists()
            else None
        )
        return told is not None and told.stdout.strip() == f"{self.venv} {sys.version}"


def block_of(package: str, lock: str) -> str:
    """Give the lines of a lock that pin one package."""
    found = re.search(rf"^{re.escape(package)}==[^\n]*\\\n(?:    --hash=[^\n]*\n)+", lock, re.MULTILINE)
    if found is None:
        raise KeyError(package)
    return found.group(0)
