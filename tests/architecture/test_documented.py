"""Public names are documented; the commands and files that documents name exist; nothing names a machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [path for path in sorted((ROOT / "lib").rglob("*.py")) if path.read_text()]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    public = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_commands_and_files_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for block in re.findall(r"```(?:bash|console)?\n(.*?)```", text, flags=re.DOTALL) + re.findall(
        r"`([^`\n]+)`", text
    ):
        for target in re.findall(r"\bmake ([a-z-]+)", block):
            assert target in targets, target
        for job in re.findall(r"\bjobs/(\w+\.py)", block):
            assert (ROOT / "jobs" / job).exists(), job
        for command in re.findall(r"^(?:\$ )?headwater (\w+)", block, flags=re.MULTILINE):
            assert f'"{command}"' in (ROOT / "lib/headwater/cli.py").read_text(), command
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (document.parent / link).exists(), link


def test_nothing_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    # The patterns are put together here, so that this file is not one of those they find.
    registry = re.compile(
        "|".join([r"https?://[^ \"'<>]+/(simple|maven2|npm)\b", "index[-_]" + "url", "find" + "-links"])
    )
    machine = re.compile(r"(^|[^A-Za-z0-9_.$}])/(root|home/[a-z]+|Users)/")
    texts = {name: (ROOT / name).read_text(errors="ignore") for name in listed if (ROOT / name).is_file()}
    guilty = [
        name
        for name, text in texts.items()
        if any(registry.search(line) or machine.search(line) for line in text.splitlines())
    ]
    assert guilty == []
