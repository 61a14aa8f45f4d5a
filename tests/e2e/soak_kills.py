"""Only in `make soak`: the second day's run, killed at every point in turn, and at some points with steps side by side."""

import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import ROOT, Published
from tests.e2e.test_crash import PIPELINE, SOURCES, contents, copied, killed, run

# In the order in which a run meets them.
POINTS = (
    *(f"extract:{source}:{at}" for source in sorted(SOURCES) for at in ("begun", "opened", "written", "committed")),
    *(f"conform:{source}:{at}" for source in sorted(SOURCES) for at in ("begun", "merged", "written", "committed")),
    *(f"{step}:{PIPELINE}:{at}" for step in ("stage", "audit") for at in ("begun", "written", "committed")),
    *(f"publish:{PIPELINE}:{at}" for at in ("begun", "history", "latest", "written", "committed")),
)
ALONE = (
    "extract:transactions:written",
    "conform:transactions:merged",
    f"stage:{PIPELINE}:written",
    f"publish:{PIPELINE}:written",
)


def test_the_points_are_many() -> None:
    assert len(POINTS) == len(set(POINTS)) >= 40


def test_a_run_that_dies_at_every_point_in_turn_can_be_run_again(
    published: Published, jars: str, tmp_path: Path
) -> None:
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with (conf / "env" / "local.yaml").open("a") as environment:
        environment.write("parallel_steps: 1\n")
    lake = copied(published.before, tmp_path)
    for point in POINTS:
        assert killed(published, lake, point, jars, "run_pipeline", "--conf", str(conf)) == -9, point
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == contents(published.after)


@pytest.mark.parametrize("point", ALONE)
def test_a_run_whose_steps_die_side_by_side_can_be_run_again(
    published: Published, jars: str, tmp_path: Path, point: str
) -> None:
    lake = copied(published.before, tmp_path)
    assert killed(published, lake, point, jars, "run_pipeline") == -9
    assert run(published, lake, "run_pipeline") == 0
    assert contents(lake) == contents(published.after)
