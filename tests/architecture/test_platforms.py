"""The commands that docs/emr.md and docs/databricks.md show are those that spark-submit.sh prints."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACE = "/opt/headwater"


def shown(page: str) -> tuple[list[str], str]:
    """The commands of the page's console block, and what it says the last one printed."""
    block = re.search(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert block
    lines = block[1].splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return commands, "\n".join(lines[len(commands) :])


def exported(commands: list[str]) -> dict[str, str]:
    words = [word for command in commands for word in shlex.split(command) if command.startswith("export ")]
    return dict(word.split("=", 1) for word in words if "=" in word)


@pytest.mark.parametrize("page", ["docs/emr.md", "docs/databricks.md"])
def test_the_page_shows_what_is_printed(page: str) -> None:
    commands, output = shown(page)
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    printed = subprocess.run(
        shlex.split(commands[-1]), cwd=ROOT, env={**clean, **exported(commands)}, capture_output=True, text=True
    )
    assert printed.returncode == 0, printed.stderr
    assert output == printed.stdout.rstrip("\n").replace(str(ROOT), PLACE)
