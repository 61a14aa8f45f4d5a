"""A training set from the published world: each label gets what the naive oracle computes for the day before it."""

import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake
from tests.e2e.conftest import ROOT, Published, run_job
from tests.e2e.test_crash import PIPELINE, copied
from tests.oracles.churn import FEATURE_SCHEMA, ChurnOracle, differences

DAYS = 6


def test_labels_get_what_the_oracle_says(
    published: Published, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here, lake = published.site, copied(published.after, tmp_path)
    last = here.days[1]
    dates = [last - timedelta(days=back) for back in range(DAYS)]
    expected = ChurnOracle(published.dumps).features(dates)
    users = sorted(set(expected["user_id"].to_pylist()))
    asked = {user: dates[at % DAYS] + timedelta(days=1) for at, user in enumerate(users)}
    labels = pa.table({
        "user_id": users,
        "asked_at": pa.array([datetime.combine(asked[user], time(23, 59, 59, 999999), UTC) for user in users]),
        "churned": [at % 2 for at, _ in enumerate(users)],
    })  # fmt: skip
    write_deltalake(str(tmp_path / "labels"), labels)
    conf = Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))
    (conf / "training").mkdir(exist_ok=True)
    declared = {
        "name": "churn", "views": [{"kind": "view", "view": PIPELINE}], "max_age_days": 1,
        "labels": {"path": str(tmp_path / "labels"), "entity": "user_id", "time": "asked_at", "label": "churned"},
    }  # fmt: skip
    (conf / "training/churn.yaml").write_text(yaml.safe_dump(declared))
    variables = here.environment(lake, here.world.second_extraction)
    assert run_job("build_training_set", ["--date", "2030-01-01", "--name", "churn"], variables, conf) == 0

    (table,) = [each for each in (lake / "training/churn").iterdir() if each.is_dir()]
    rows = DeltaTable(str(table)).to_pyarrow_table()
    assert rows.num_rows == len(users)
    found = rows.filter(pc.is_valid(rows["feature_date"])).select(FEATURE_SCHEMA.names)
    wanted = pa.Table.from_pylist(
        [row for row in expected.to_pylist() if row["feature_date"] + timedelta(days=1) == asked[row["user_id"]]],
        FEATURE_SCHEMA,
    )
    assert found.num_rows > 0.9 * len(users)
    assert differences(wanted, found, ["user_id", "feature_date"]) == []

    capfd.readouterr()
    assert run_job("build_training_set", ["--date", "2030-01-01", "--name", "churn"], variables, conf) == 0
    assert '"status": "nothing_to_do"' in capfd.readouterr().out
