"""The image check on Dockerfiles of a few lines, and the locks that an image is made from."""

import importlib
import os
import re
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
TINY = """\
# a comment
ARG BASE=python:3.11
FROM ${BASE} AS build
WORKDIR /opt/app
COPY entry.sh kept/ ./
RUN useradd nobody-here && \\
    mkdir /data && \\
    echo made > /data/sign

FROM ${BASE}
ENV DATA=/data
WORKDIR /opt/app
COPY --from=build /opt/app .
COPY --from=build /data /data
ENTRYPOINT ["./entry.sh"]
"""


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("check_dockerfile")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "kept").mkdir(parents=True)
    (folder / "kept" / "one.txt").write_text("1")
    (folder / "kept" / "two.pyc").write_text("2")
    (folder / "entry.sh").write_text('#!/bin/sh\necho "$PWD" "$DATA" "$(cat "$DATA/sign")" "$@"\n')
    (folder / "entry.sh").chmod(0o755)
    (folder / ".dockerignore").write_text("*\n!entry.sh\n!kept\n**/*.pyc\n")
    (folder / "Dockerfile").write_text(TINY)
    return folder


def image(check: ModuleType, context: Path):  # a class of a module that is no package
    scratch = context.parent / "scratch"
    scratch.mkdir()
    return check.Image(context, scratch)


def test_stages_are_built_and_the_entry_point_answers(
    check: ModuleType, context: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    played = image(check, context)
    played.build()
    root = context.parent / "scratch" / "root"
    assert played.probe(["--flag"]) == f"{root}/opt/app {root}/data made --flag\n"
    assert sorted(path.name for path in (root / "opt/app").iterdir()) == ["entry.sh", "one.txt"]
    assert "not run, parsed only: useradd nobody-here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("COPY entry.sh kept/", "COPY entry.sh missing", r"line 5: COPY: there is no missing"),
        ("COPY entry.sh kept/", "COPY entry.sh kept/two.pyc", r"line 5: COPY: .* \.dockerignore leaves it out"),
        ("mkdir /data", "mkdir /data/of/nobody", r"line 6: .* ended with 1"),
        ("useradd nobody-here &&", "useradd 'nobody &&", r"line 6: .* ended with 2"),
        ("ENV DATA", "SHELL DATA", r"line 11: SHELL is not known"),
        ("--from=build /data", "--from=build /elsewhere", r"line 14: COPY: there is no /elsewhere"),
    ],
    ids=[
        "no source",
        "ignored source",
        "failing command",
        "no shell syntax",
        "unknown instruction",
        "no such in stage",
    ],
)
def test_what_docker_would_refuse_is_refused(check: ModuleType, context: Path, old: str, new: str, told: str) -> None:
    assert old in TINY
    (context / "Dockerfile").write_text(TINY.replace(old, new, 1))
    with pytest.raises(check.CheckError, match=told):
        image(check, context).build()


def test_an_entry_point_that_needs_the_checkout_is_refused(check: ModuleType, context: Path) -> None:
    (context / "entry.sh").write_text(f"#!/bin/sh\necho {context}/kept\n")
    played = image(check, context)
    played.build()
    with pytest.raises(check.CheckError, match="names the checkout"):
        played.probe([])


def test_user_takes_effect_where_it_can(check: ModuleType, context: Path) -> None:
    (context / "Dockerfile").write_text(TINY.replace("ENTRYPOINT", "USER 10001\nENTRYPOINT"))
    (context / "entry.sh").write_text("#!/bin/sh\nid -u\n")
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        played = check.Image(context, Path(scratch))
        played.build()
        # Only root can become another user; anybody else stays who they are.
        assert played.probe([]) == ("10001\n" if os.geteuid() == 0 else f"{os.geteuid()}\n")


def test_dockerignore_takes_the_last_pattern_that_fits(check: ModuleType) -> None:
    patterns = ["*", "!lib", "lib/demo", "**/*.pyc"]
    kept = [
        path for path in ("lib/a.py", "lib/demo/b.py", "lib/x/c.pyc", "tests/t.py") if not check.ignored(path, patterns)
    ]
    assert kept == ["lib/a.py"]


def test_our_dockerfile_copies_what_exists_and_leaves_the_demo_out(check: ModuleType) -> None:
    dockerfile = importlib.import_module("dockerfile")
    patterns = (ROOT / ".dockerignore").read_text().splitlines()[1:]
    copies = [
        each.text.split()
        for each in dockerfile.parse((ROOT / "Dockerfile").read_text())
        if each.word == "COPY" and not each.text.startswith("--from")
    ]
    found = (
        path.relative_to(ROOT)
        for *sources, _ in copies
        for source in sources
        for path in dockerfile.files_at(ROOT / source)
    )
    sent = [path for path in found if not dockerfile.ignored(str(path), patterns)]
    assert Path("lib/headwater/boundary.py") in sent
    assert not [path for path in sent if "demo" in path.parts or "tests" in path.parts]
    assert all((ROOT / source).exists() for *sources, _ in copies for source in sources)


def test_the_runtime_lock_is_the_part_of_the_lock_that_a_deployment_needs(check: ModuleType) -> None:
    runtime_lock = importlib.import_module("runtime_lock")
    lock = (ROOT / "requirements.lock").read_text()
    written = (ROOT / "requirements-runtime.lock").read_text()
    assert written == runtime_lock.runtime_part(lock), "run `make lock-python`"
    packages = set(runtime_lock.blocks_of(written))
    wanted = {
        re.split(r"[\[=<>]", line)[0]
        for name in ("requirements.in", "requirements-runtime.in")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert wanted <= packages
    assert not packages & {"moto", "pgserver", "pytest", "duckdb", "ruff", "rich", "flask"}
