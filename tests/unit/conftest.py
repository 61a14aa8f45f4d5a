"""A runtime over a lake in a folder, by the built-in project and without a session."""

from datetime import date
from pathlib import Path

import pytest
from tests.lakes import CONF, SECRETS

from headwater.boundary import open_runtime
from headwater.config.project import load_project
from headwater.pipelines.steps import Runtime

DAY = date(2025, 3, 31)


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """What the built-in project reads from the environment."""
    return {
        **dict.fromkeys(["CRM_USER", "DESK_S3_BUCKET", "DESK_S3_ENDPOINT", *SECRETS], "x"),
        "CRM_JDBC_URL": "jdbc:postgresql://127.0.0.1:1/x",
        "HEADWATER_LAKE": str(tmp_path / "lake"),
    }


@pytest.fixture
def runtime(variables: dict[str, str]) -> Runtime:
    """Run `run-1` of the last day of March."""
    project = load_project(CONF, "local", variables)
    return open_runtime(project, "run-1", DAY, session=lambda: pytest.fail("asked for a session"))
