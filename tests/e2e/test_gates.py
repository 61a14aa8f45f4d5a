"""Bad days: sources that lag, batches full of nulls, renamed columns, rows out of range; and how they come right.

Each story begins with a copy of a small lake on a good day. Every cell that is not marked stale must equal the naive oracle's, and cells
that are marked must be those published before.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from tests.e2e.conftest import ROOT, Site, environment, run_job, site
from tests.oracles.churn import FEATURE_SCHEMA, ChurnOracle, differences

from headwater.cli import main as headwater
from headwater.tables.sample import all_rows

PIPELINE = "customer_churn_features"
KEY = ["user_id", "feature_date"]
GROUPS = {
    "transactions": ("total_spend_30d", "transaction_count_7d", "transaction_count_30d", "avg_transaction_value"),
    "user_behavior": ("last_login_date", "days_since_last_login", "page_views_30d", "feature_usage_count"),
    "support_tickets": ("ticket_count_90d", "avg_resolution_time_days"),
}


@dataclass(frozen=True)
class Lake:
    """A lake of a small site, by a configuration of its own."""

    here: Site
    lake: Path
    conf: Path

    def run(self, day: date, at: datetime, *options: str, job: str = "run_pipeline") -> int:
        return run_job(job, ["--date", str(day), *options], self.here.environment(self.lake, at), self.conf)

    def decide(self, action: str, source: str, batch: str) -> int:
        with environment(self.here.environment(self.lake, self.here.world.first_extraction)):
            return headwater(
                ["quarantine", action, "--conf", str(self.conf), "--source", source, "--batch", batch]
            )  # fmt: skip

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.conf / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def features(self, *days: date) -> pa.Table:
        rows = all_rows(str(self.lake / "gold" / PIPELINE))
        return rows.filter(pc.is_in(rows["feature_date"], pa.array(days)))

    def stale(self, day: date) -> set[tuple[str, ...]]:
        return {tuple(sources) for sources in self.features(day)["stale_sources"].to_pylist()}

    def quarantine(self, name: str) -> list[dict[str, object]]:
        return DeltaTable(str(self.lake / "quarantine" / name)).to_pyarrow_table().to_pylist()


@pytest.fixture(scope="module")
def first_day(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, Path]]:
    """Three dates published on a good day, and the dump of the sources on it."""
    with site(tmp_path_factory.mktemp("gates"), customers=60, days=45) as here:
        conf = Path(shutil.copytree(ROOT / "conf", here.folder / "conf"))
        lake = Lake(here, here.folder / "lake", conf)
        lake.edit("project.yaml", "initial_dates: 40", "initial_dates: 3")
        lake.edit("sources/transactions.yaml", "max_lag_hours: 36", "max_lag_hours: 20")
        lake.edit("sources/user_behavior.yaml", "max_lag_hours: 36", "max_lag_hours: 20")
        lake.edit("sources/support_tickets.yaml", "max_lag_hours: 60", "max_lag_hours: 30")
        here.load_initial()
        dump = here.dump("dump-before", here.world.first_extraction)
        assert lake.run(here.days[0], here.world.first_extraction) == 0
        yield lake, dump


def copy_of(lake: Lake, to: Path) -> Lake:
    return Lake(lake.here, Path(shutil.copytree(lake.lake, to / "lake")), Path(shutil.copytree(lake.conf, to / "conf")))


def rows_by_user(rows: pa.Table, names: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    return {row["user_id"]: tuple(row[name] for name in names) for row in rows.to_pylist()}


def assert_equals_oracle(lake: Lake, dumps: list[Path], *days: date) -> None:
    expected = ChurnOracle(dumps).features(list(days))
    assert differences(expected, lake.features(*days).select(FEATURE_SCHEMA.names), KEY) == []


def insert_transactions_without_user(here: Site, at: datetime, count: int) -> None:
    with psycopg.connect(here.stack.postgres.dsn) as connection:
        for number in range(count):
            connection.execute(
                "INSERT INTO transactions VALUES (%s, NULL, 1.00, 'USD', %s, %s)", (900_000_000 + number, at, at)
            )


def test_a_lagging_source_keeps_its_values_until_it_catches_up(
    first_day: tuple[Lake, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake, dump_before = copy_of(first_day[0], tmp_path), first_day[1]
    here = lake.here
    day, next_day = here.days
    first, second = here.world.first_extraction, here.world.second_extraction
    published = lake.features(day)

    # D+1 is asked for, but nothing new has reached the sources.
    assert lake.run(next_day, first + timedelta(minutes=1), "--strict") == 3
    assert "stale_source" in capfd.readouterr().err
    # One customer's spend is called impossible: that alone stops the day, or is withheld where that much may be.
    spent, spender = max((row["total_spend_30d"], row["user_id"]) for row in published.to_pylist())
    lake.edit(f"checks/{PIPELINE}.yaml", "max: 1000000,", f"max: {spent - 1},")
    assert lake.run(next_day, first + timedelta(minutes=1)) == 3
    assert "in_range(total_spend_30d)" in capfd.readouterr().err
    assert len(lake.features(next_day)) == 0
    lake.edit(f"checks/{PIPELINE}.yaml", f"view: {PIPELINE}", f"view: {PIPELINE}\nmax_withheld: 0.05")
    assert lake.run(next_day, first + timedelta(minutes=1)) == 0
    assert '"status": "degraded"' in capfd.readouterr().out
    assert spender not in lake.features(next_day)["user_id"].to_pylist()
    assert [(row["row_id"], row["reasons"], row["status"]) for row in lake.quarantine(f"gold_{PIPELINE}")] == [
        (f"{spender}|{next_day}", ["range:total_spend_30d"], "open")
    ]
    assert lake.stale(day) == {()}
    assert lake.stale(next_day) == {("support_tickets", "transactions", "user_behavior")}
    for names in GROUPS.values():
        kept, before = rows_by_user(lake.features(next_day), names), rows_by_user(published, names)
        assert {user: kept[user] for user in before if user != spender} == {
            user: values for user, values in before.items() if user != spender
        }

    # The sources move on; but many of the new transactions lack their customer.
    lake.edit(f"checks/{PIPELINE}.yaml", f"max: {spent - 1},", "max: 1000000,")
    here.load_change()
    insert_transactions_without_user(here, second - timedelta(hours=4), 40)
    dump_after = here.dump("dump-after", second)
    third_day = next_day + timedelta(days=1)
    assert lake.run(third_day, second) == 0
    assert '"status": "degraded"' in capfd.readouterr().out
    assert lake.stale(day) == {()}
    assert lake.stale(next_day) == {("transactions",)}
    assert lake.stale(third_day) == {("support_tickets", "transactions", "user_behavior")}
    kept = rows_by_user(lake.features(next_day), GROUPS["transactions"])
    before = rows_by_user(published, GROUPS["transactions"])
    assert {user: kept[user] for user in before} == before
    expected = ChurnOracle([dump_before, dump_after]).features([next_day])
    assert [row["status"] for row in lake.quarantine(f"gold_{PIPELINE}")] == ["replayed"]
    own = [name for name in FEATURE_SCHEMA.names if name not in GROUPS["transactions"]]
    assert differences(expected.select(own), lake.features(next_day).select(own), KEY) == []

    # Somebody looks at the held batch and lets it in: its rows still have to pass the row rules.
    batch = f"{PIPELINE}/transactions/bronze#3"
    assert headwater_list(lake, capfd)[0].startswith(f"held  {batch}")
    assert lake.decide("release", "transactions", "nonsense") == 2
    assert batch in capfd.readouterr().err
    assert lake.decide("release", "transactions", batch) == 0
    assert lake.run(third_day, second) == 0
    assert_equals_oracle(lake, [dump_before, dump_after], day - timedelta(days=1), day, next_day)
    assert lake.stale(next_day) == {()}
    assert sum("missing:user_id" in row["reasons"] for row in lake.quarantine("transactions")) >= 40
    assert not any(line.startswith("held") for line in headwater_list(lake, capfd))


def headwater_list(lake: Lake, capfd: pytest.CaptureFixture[str]) -> list[str]:
    capfd.readouterr()
    with environment(lake.here.environment(lake.lake, lake.here.world.first_extraction)):
        assert headwater(["quarantine", "list", "--conf", str(lake.conf)]) == 0
    return capfd.readouterr().out.splitlines()


def test_a_renamed_column_halts_its_source_alone(
    first_day: tuple[Lake, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake = copy_of(first_day[0], tmp_path)
    here, later = lake.here, first_day[0].here.world.second_extraction + timedelta(days=3)
    day = here.days[1] + timedelta(days=3)
    before = {name: DeltaTable(str(lake.lake / "silver" / name)).version() for name in GROUPS}
    with psycopg.connect(here.stack.postgres.dsn) as connection:
        connection.execute("ALTER TABLE transactions RENAME amount TO amount_usd")
    try:
        assert lake.run(day, later) == 3
    finally:
        with psycopg.connect(here.stack.postgres.dsn) as connection:
            connection.execute("ALTER TABLE transactions RENAME amount_usd TO amount")
    shown = capfd.readouterr()
    assert "- amount decimal(12,2), + amount_usd decimal(12,2)" in shown.err
    assert "Traceback" not in shown.err
    assert '"event": "schema_drift"' in shown.err
    assert {name: DeltaTable(str(lake.lake / "silver" / name)).version() for name in GROUPS} == before
    assert lake.run(day, later, "--source", "transactions", job="extract_bronze") == 0


def test_a_batch_of_implausible_size_halts_until_somebody_decides(
    first_day: tuple[Lake, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake, here = copy_of(first_day[0], tmp_path), first_day[0].here
    with (lake.conf / "sources" / "customers.yaml").open("a") as source:
        source.write("  gates:\n    volume: {min: 1000}\n")
    day, at = here.days[1], here.world.first_extraction + timedelta(minutes=1)
    assert lake.run(day, at) == 3
    assert "records, at least 1,000 expected" in capfd.readouterr().err
    assert lake.decide("discard", "customers", f"{PIPELINE}/customers/bronze#2") == 0
    assert lake.run(day, at) == 0
    assert len(lake.features(day)) > 0
