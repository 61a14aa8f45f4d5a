"""The DAG of docs/airflow.md is Python, and names jobs, sources and exit codes that exist."""

import ast
import re
from pathlib import Path

from headwater.errors import ExitCode

ROOT = Path(__file__).parents[2]


def test_the_dag_names_what_there_is() -> None:
    page = (ROOT / "docs/airflow.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    tree = ast.parse(code[1])
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert set(constants["SOURCES"]) == {path.stem for path in (ROOT / "conf/sources").glob("*.yaml")}
    assert set(constants["WORTH_A_RETRY"]) == {ExitCode.UNAVAILABLE, ExitCode.CONFLICT}
    jobs = re.findall(r'\)\("(\w+)"', code[1])
    assert len(jobs) == 5
    assert all((ROOT / "jobs" / f"{job}.py").exists() for job in jobs)
