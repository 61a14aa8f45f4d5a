"""The job that builds training sets, on a small published history: what it makes, remembers, refuses and exports."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession
from tests.e2e.conftest import ROOT, environment, run_job
from tests.oracles.training import Publication, known

from headwater.config.project import Project, load_project
from headwater.features.windows import published_schema
from headwater.tables.delta import Batch, ensure_table
from headwater.tables.publish import compact_months, history_spec, publish_history

VIEW = "customer_churn_features"
FIRST = date(2024, 2, 1)
DATES = [FIRST + timedelta(days=each) for each in range(40) if each not in (7, 8, 9)]
USERS = [f"u{number}" for number in range(8)]
LABELS = {"format": "delta", "entity": "user_id", "time": "asked_at", "label": "churned"}
SCHEMA = pa.schema([("user_id", pa.string()), ("asked_at", pa.timestamp("us", tz="UTC")), ("churned", pa.int32())])


@dataclass(frozen=True)
class Place:
    """A lake with labels and a published history, and the `conf/` that names them."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def project(self) -> Project:
        return load_project(self.folder / "conf", "local", self.variables)

    @property
    def history(self) -> str:
        return self.project.path("gold", VIEW)

    @property
    def labels(self) -> str:
        return str(self.folder / "labels")

    def declare(self, name: str, **keys: object) -> None:
        labels = {**LABELS, "path": self.labels, **keys.pop("labels", {})}
        view = {"kind": "view", "view": VIEW, "features": ["total_spend_30d"]}
        declared = {"name": name, "labels": labels, "views": [view], **keys}
        (self.folder / "conf/training").mkdir(exist_ok=True)
        (self.folder / f"conf/training/{name}.yaml").write_text(yaml.safe_dump(declared))

    def run(self, name: str, *more: str, day: str = "2024-12-31") -> int:
        return run_job(
            "build_training_set", ["--date", day, "--name", name, *more], self.variables, self.folder / "conf"
        )

    def sets(self, name: str) -> dict[str, dict[str, object]]:
        """Manifests by id, oldest first."""
        files = sorted(Path(self.project.path("training", name)).glob("*.json"), key=lambda each: each.stat().st_mtime)
        return {path.stem: json.loads(path.read_text()) for path in files}

    def rows(self, name: str, key: str) -> list[dict[str, object]]:
        table = DeltaTable(self.project.path("training", f"{name}/{key}")).to_pyarrow_table()
        return sorted(table.to_pylist(), key=lambda row: (row["user_id"], row["asked_at"]))


def publish(spark: SparkSession, place: Place, n: int, dates: Sequence[date], spend: Mapping[str, int]) -> Publication:
    """Publish dates with a spend per user; users that are not named have no row."""
    project = place.project
    schema = published_schema(project.view, project.tables)
    absent = dict.fromkeys(schema.names)
    rows = {(who, day): Decimal(spend[who] * 100 + day.toordinal() % 97) for who in spend for day in dates}
    values = [
        {**absent, "user_id": who, "feature_date": day, "total_spend_30d": value, "pipeline_version": f"v{n}"}
        for (who, day), value in rows.items()
    ]
    ensure_table(spark, history_spec(place.history, schema))
    frame = spark.createDataFrame([tuple(each[name] for name in schema.names) for each in values], schema)
    written = publish_history(frame, place.history, dates, len(rows), Batch("publish", n))
    noted = {commit["version"]: commit["timestamp"] for commit in DeltaTable(place.history).history()}
    return Publication(datetime.fromtimestamp(noted[written.version] / 1000, UTC), frozenset(dates), rows)


def write_labels(place: Place, rows: Sequence[tuple[str | None, datetime | None, int | None]], **more: object) -> None:
    columns = {name: list(values) for name, values in zip(SCHEMA.names, zip(*rows, strict=True), strict=True)}
    write_deltalake(place.labels, pa.table(columns, SCHEMA), mode="overwrite", **more)


def instant(day: int, month: int = 2, hour: int = 12) -> datetime:
    return datetime(2024, month, day, hour, tzinfo=UTC)


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Publication]]:
    """A published history, in a place that no test writes to."""
    folder = tmp_path_factory.mktemp("training")
    shutil.copytree(ROOT / "conf", folder / "conf")
    variables = {
        **dict.fromkeys(["CRM_USER", "DESK_S3_BUCKET", "CRM_PASSWORD"], "x"),
        "CRM_JDBC_URL": "jdbc:postgresql://127.0.0.1:1/x",
        "HEADWATER_LAKE": str(folder / "lake"),
    }
    place = Place(folder, variables)
    with environment(variables):
        yield place, publish(spark, place, 1, DATES, {who: at for at, who in enumerate(USERS[1:], start=1)})


@pytest.fixture
def place(first: tuple[Place, Publication], tmp_path: Path) -> Place:
    """The same, to be changed at will."""
    shutil.copytree(first[0].folder, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path, {**first[0].variables, "HEADWATER_LAKE": str(tmp_path / "lake")})


def asked(history: Sequence[Publication], row: Mapping[str, object], **rule: object) -> tuple[object, ...]:
    return known(history, (row["user_id"], row["asked_at"]), **rule)


def test_a_set_is_built_once_and_built_again_as_it_was(
    spark: SparkSession,
    place: Place,
    first: tuple[Place, Publication],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    times = [
        instant(1),
        instant(2),
        instant(9, hour=0),
        instant(11),
        instant(29),
        instant(1, 3),
        instant(25, 3),
        instant(30, 12),
    ]
    write_labels(place, [(who, at, index % 2) for who in USERS for index, at in enumerate(times)])
    splits = [{"name": "train", "until": "2024-02-28"}, {"name": "test", "until": "2024-03-20"}]
    place.declare("churn", max_age_days=5, maturity_days=30, splits=splits, description="as first said")
    assert place.run("churn", "--export", str(tmp_path / "out")) == 0
    ((key, manifest),) = place.sets("churn").items()
    rows = place.rows("churn", key)
    rule = {"strict": True, "max_age_days": 5, "published": False}
    found = [(row["feature_date"], row["total_spend_30d"]) for row in rows]
    assert found == [(asked([first[1]], row, **rule)[0], asked([first[1]], row, **rule)[2]) for row in rows]
    assert len(rows) == 7 * len(USERS)
    parts = {row["asked_at"].date(): row["split"] for row in rows}
    assert parts == {
        at.date(): "train" if at < instant(29) else "test" if at < instant(25, 3) else None for at in times[:7]
    }
    counted = {name: manifest[name] for name in ("label_count", "immature", "rows", "splits")}
    assert counted == {"label_count": 64, "immature": 8, "rows": 56, "splits": {"train": 32, "test": 16, "none": 8}}
    assert manifest["views"] == [{"name": VIEW, "version": 1, "matched": 7 * 5, "pipeline_versions": ["v1"]}]
    assert manifest["labels"] == {"version": 0, "files": []}
    assert manifest["definition"]["labels"]["path"] == place.labels

    place.declare("churn", max_age_days=5, maturity_days=30, splits=splits, description="said better")
    capfd.readouterr()
    assert place.run("churn") == 0
    assert '"status": "nothing_to_do"' in capfd.readouterr().out

    exported = tmp_path / "out" / f"churn-{key}"
    assert sorted(pq.read_table(exported).to_pylist(), key=lambda row: (row["user_id"], row["asked_at"])) == rows
    assert json.loads((exported / "_manifest.json").read_text()) == manifest

    # History is repaired, the labels are written anew, and the definition is gone.
    publish(spark, place, 2, DATES[:20], dict.fromkeys(USERS, 77))
    compact_months(spark, place.history, [FIRST], "user_id")
    assert place.run("churn") == 0
    newest = place.sets("churn").keys() - {key}
    assert place.rows("churn", *newest) != rows
    write_labels(place, [("u1", instant(2), 0)])
    (place.folder / "conf/training/churn.yaml").unlink()
    shutil.rmtree(place.project.path("training", f"churn/{key}"))
    (exported / "_SUCCESS").unlink()
    next(exported.glob("part-*")).unlink()
    assert place.run("churn", "--id", key, "--export", str(tmp_path / "out")) == 0
    assert place.rows("churn", key) == rows
    assert place.sets("churn")[key] == manifest
    assert pq.read_table(exported).num_rows == len(rows)
    assert (exported / "_SUCCESS").exists()


def test_as_published_is_what_a_reader_saw(spark: SparkSession, place: Place, first: tuple[Place, Publication]) -> None:
    history = [first[1], publish(spark, place, 2, DATES[30:], {"u1": 50, "u7": 51})]
    compact_months(spark, place.history, [FIRST], "user_id")
    history.append(publish(spark, place, 3, DATES[35:36], {"u7": 52}))
    moment = timedelta(milliseconds=1)
    times = [at for each in history for at in (each.at - moment, each.at, each.at + moment)]
    write_labels(place, [(who, at, 1) for who in USERS for at in sorted(set(times))])
    place.declare("seen", as_of="published", cutoff="through_day", views=[{"kind": "view", "view": VIEW, "prefix": "f_", "features": ["total_spend_30d"]}])  # fmt: skip
    assert place.run("seen", day="2100-01-01") == 0
    ((key, manifest),) = place.sets("seen").items()
    rows = place.rows("seen", key)
    rule = {"strict": False, "max_age_days": None, "published": True}
    found = [(row["f_feature_date"], row["f_published_at"], row["f_total_spend_30d"]) for row in rows]
    assert found == [asked(history, row, **rule) for row in rows]
    assert len({(who["f_published_at"], who["f_total_spend_30d"]) for who in rows}) > 6
    columns = ["user_id", "asked_at", "churned", "split", "f_feature_date", "f_published_at", "f_total_spend_30d"]
    assert set(manifest["columns"]) == {*columns, "f_pipeline_version"}
    assert DeltaTable(place.project.path("training", f"seen/{key}")).to_pyarrow_table().column_names[:-1] == columns


def test_suspected_when_strict_and_killed_after_the_table(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Nobody has features but those who left. The whole view is taken.
    write_labels(place, [(who, instant(day), int(who != "u0")) for who in USERS for day in range(2, 8)])
    place.declare("churn", views=[{"kind": "view", "view": VIEW}])
    assert place.run("churn", "--strict") == 3
    assert "error [suspected_leakage]" in capfd.readouterr().err

    def dies(*_: object) -> None:
        raise SystemError("killed")

    monkeypatch.setattr("headwater.pipelines.training_build.write_file", dies)
    assert place.run("churn") == 1
    assert "suspicious: total_spend_30d is null where the label says so" in capfd.readouterr().out
    assert place.sets("churn") == {}
    monkeypatch.undo()
    with environment(place.variables):
        assert place.run("churn") == 0
    ((key, manifest),) = place.sets("churn").items()
    assert DeltaTable(place.project.path("training", f"churn/{key}")).version() == 0
    assert len(place.rows("churn", key)) == 48
    assert {"feature": "total_spend_30d", "sign": "null_tells"}.items() <= manifest["warnings"][0].items()


GOOD = [("u1", instant(2), 0), ("u2", instant(3), 1)]


@pytest.mark.parametrize(
    ("code", "exit_code", "rows", "keys"),
    [
        ("unknown_column", 2, GOOD, {"labels": {"label": "churn"}}),
        ("unknown_column", 2, GOOD, {"views": [{"kind": "view", "view": VIEW, "features": ["total_spend"]}]}),
        ("wrong_label_time", 2, GOOD, {"labels": {"time": "user_id"}}),
        ("labels_not_found", 2, GOOD, {"labels": {"path": "/nowhere"}}),
        ("labels_not_found", 2, GOOD, {"labels": {"path": "/nowhere", "format": "parquet"}}),
        ("unknown_view", 2, GOOD, {"views": [{"kind": "view", "view": "customer_churn"}]}),
        ("column_twice", 2, GOOD, {"views": [{"kind": "view", "view": VIEW}] * 2}),
        ("invalid_config", 2, GOOD, {"splits": [{"name": "a", "until": "2024-03-01"}, {"name": "b", "until": "2024-03-01"}]}),
        ("not_published", 3, GOOD, {"views": [{"kind": "table", "path": "/nowhere", "entity": "user_id"}]}),
        ("labels_rejected", 3, [*GOOD, ("u1", instant(2), 1), (None, instant(1), 0), ("u1", None, 0), ("u3", instant(1), None)], {}),
        ("no_mature_labels", 3, GOOD, {"maturity_days": 500}),
    ],
)  # fmt: skip
def test_mistakes(
    place: Place, capfd: pytest.CaptureFixture[str], code: str, exit_code: int,
    rows: list[tuple[str | None, datetime | None, int | None]], keys: dict[str, object],
) -> None:  # fmt: skip
    write_labels(place, rows)
    place.declare("churn", **keys)
    assert place.run("churn") == exit_code
    shown = capfd.readouterr().err
    assert f"error [{code}]" in shown
    assert "Traceback" not in shown
    if code == "labels_rejected":
        assert "2 without entity or time; 1 pairs of entity and time that come more than once; 1 mature ones" in shown
        # A refused batch is closed: the next one begins with what has been corrected.
        write_labels(place, [(None, instant(1), 0)])
        assert place.run("churn") == 3
        assert "of 1 labels" in capfd.readouterr().err


def test_what_is_not_there_to_be_named(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.declare("churn")
    assert place.run("chum") == 2
    assert (
        "error [unknown_training_set] There is no training set 'chum'. Did you mean 'churn'?" in capfd.readouterr().err
    )
    assert place.run("churn", "--id", "0123") == 2
    assert "error [unknown_training_set_id]" in capfd.readouterr().err


def test_labels_in_parquet_have_to_stay_what_they_were(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    (place.folder / "labels/part").mkdir(parents=True)
    file = place.folder / "labels/part/1.parquet"
    columns = {"user_id": ["u1", "u2"], "asked_at": [instant(2), instant(3)], "churned": [0, 1]}
    pq.write_table(pa.table(columns, SCHEMA), file)
    place.declare("churn", labels={"format": "parquet"})
    assert place.run("churn") == 0
    ((key, manifest),) = place.sets("churn").items()
    assert [each["path"] for each in manifest["labels"]["files"]] == ["part/1.parquet"]
    assert [row["total_spend_30d"] is not None for row in place.rows("churn", key)] == [True, True]
    columns["churned"] = [1, 1]
    pq.write_table(pa.table(columns, SCHEMA), file)
    assert place.run("churn", "--id", key) == 3
    assert "error [labels_changed]" in capfd.readouterr().err
    nanos = SCHEMA.set(1, pa.field("asked_at", pa.timestamp("ns")))
    pq.write_table(pa.table({**columns, "asked_at": [1, 2]}, nanos), file)
    assert place.run("churn") == 2
    assert "error [wrong_label_time]" in capfd.readouterr().err


def test_versions_that_are_gone_or_were_replaced(
    spark: SparkSession, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    write_labels(place, GOOD)
    place.declare("churn")
    assert place.run("churn") == 0
    ((key, _),) = place.sets("churn").items()
    before = place.rows("churn", key)
    shutil.rmtree(place.labels)
    write_labels(place, [("u1", instant(2), 1), ("u2", instant(3), 1)])
    assert place.run("churn", "--id", key) == 3
    assert "error [not_reproduced]" in capfd.readouterr().err
    assert place.rows("churn", key) == before
    for file in Path(place.labels).glob("*.parquet"):
        file.unlink()
    assert place.run("churn", "--id", key) == 3
    assert "error [version_gone]" in capfd.readouterr().err


def test_a_history_of_another_project_has_to_be_one(
    spark: SparkSession, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    write_labels(place, GOOD)
    other = str(place.folder / "other")
    history = pa.table(
        {"id": ["u1", "u1", "u2"], "feature_date": [date(2024, 2, 1)] * 2 + [date(2024, 2, 2)], "x": [1, 2, 3]}
    )
    write_deltalake(other, history)
    ours = {"kind": "view", "view": VIEW, "features": ["total_spend_30d"]}
    views = [ours, {"kind": "table", "path": other, "entity": "id", "prefix": "other_"}]
    place.declare("both", views=views)
    assert place.run("both") == 3
    assert "error [history_not_unique]" in capfd.readouterr().err
    place.declare("both", views=views, as_of="published")
    assert place.run("both") == 2
    assert "error [no_change_feed]" in capfd.readouterr().err
    place.declare("both", views=views)
    write_deltalake(other, history.slice(1), mode="overwrite")
    assert place.run("both") == 0
    *_, key = place.sets("both")
    rows = place.rows("both", key)
    assert [(row["total_spend_30d"] is not None, row["other_x"], row["other_feature_date"].day) for row in rows] == [
        (True, 2, 1), (True, 3, 2),
    ]  # fmt: skip
    ids = pa.table({"id": [1], "feature_date": [date(2024, 2, 1)]})
    write_deltalake(other, ids, mode="overwrite", schema_mode="overwrite")
    assert place.run("both") == 2
    assert "error [entity_types_differ]" in capfd.readouterr().err
