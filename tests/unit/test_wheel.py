"""The wheel as a platform takes it: its own requirements without Spark, the jobs inside, and a task that raises."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # setuptools leaves its work beside what it packs, and would pack it again.
    shutil.copytree(ROOT / "lib", folder / "lib")
    for name in ("pyproject.toml", "README.md", "requirements.in", "requirements-spark.in"):
        shutil.copy(ROOT / name, folder)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def task(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from headwater.task import main; main({list(arguments)!r})"
    return subprocess.run([sys.executable, "-P", "-c", code], cwd=site, capture_output=True, text=True)


def test_it_brings_no_second_spark(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    required = re.findall(r"^Requires-Dist: (.*)$", metadata.read_text(), re.MULTILINE)
    assert {each for each in required if "spark" in each} == {
        'pyspark==3.5.9; extra == "spark"',
        'delta-spark==3.3.3; extra == "spark"',
    }


def test_a_task_that_fails_raises(unpacked: Path) -> None:
    done = task(unpacked, "run_pipeline", "--conf", "/nowhere", "--date", "2025-03-31")
    assert done.returncode == 1
    assert "error [missing_file] /nowhere/project.yaml" in done.stderr
    assert "headwater.task.TaskFailed: run_pipeline ended with 2 (configuration)" in done.stderr
    assert f'File "{unpacked}' in done.stderr


@pytest.mark.parametrize("name", [(), ("run_pipelin",)], ids=["no job", "wrong job"])
def test_an_unknown_job_is_named(unpacked: Path, name: tuple[str, ...]) -> None:
    done = task(unpacked, *name)
    assert done.returncode == 1
    assert "ConfigError: Unknown job" in done.stderr  # unknown_job
    assert (
        "build_gold, build_silver, build_training_set, extract_bronze, publish_gold, run_pipeline, verify_gold"
        in done.stderr
    )
