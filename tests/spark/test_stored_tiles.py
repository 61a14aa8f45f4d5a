"""The law of the engine through Spark and Delta: run after run over changing silver, every cell as by its definition.

Each run finds new, corrected, moved and deleted rows and members who joined earlier or later than was said, takes them
up into the log of tiles, stages what is due and publishes it; after each, every published date must be what a plain
loop over the rows that are there gives, and latest the newest of each member. Half of the histories are repaired by
entity, as if their four members were many. On its way a run dies between a table's commit and the ledger's, or between
the commits of a publication, and is done again.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from tests.lakes import project_at, runtime_of, say_audited, say_conformed

from headwater.pipelines.pipeline import run_publish, run_stage
from headwater.pipelines.steps import Runtime, StageDates
from headwater.tables.delta import Batch, TableSpec, ensure_table
from headwater.tables.merge import Upsert, merge_once

HISTORIES = 50 if os.environ.get("HEADWATER_SOAK") else 1
# Leap day, month's end, and the nights on which clocks are changed elsewhere lie within.
FIRST = date(2024, 2, 27)
KEYS = {"transactions": "transaction_id", "user_behavior": "_id", "support_tickets": "ticket_id"}
SCHEMAS = {
    "customers": "user_id string, country string, segment string, signup_date date, valid_from timestamp, valid_to timestamp",
    "transactions": "transaction_id string, user_id string, amount decimal(12,2), transaction_date timestamp",
    "user_behavior": "_id string, user_id string, event_type string, event_date timestamp, page_views int",
    "support_tickets": "ticket_id string, user_id string, created_date date, resolved_date date",
}
HISTORY = (0, 0, 0, 1, 2, 6, 7, 29, 30, 60, 89, 90, 120)
USERS = ["ann", "bob", "cid", "dan"]
PUBLISHING = ("whole", "history", "latest", "written")
SIGNED_UP = {"ann": date(2023, 1, 1), "bob": FIRST, "cid": FIRST + timedelta(days=1), "dan": date(2024, 2, 1)}
LONG_GONE = (date(2020, 1, 1), None, datetime(2021, 1, 1, tzinfo=UTC))
_BEGINNING = date(1, 1, 1)


@dataclass
class Silver:
    """The rows that are there, by table and key."""

    rng: Random
    late: tuple[int, ...] = (0,)
    rows: dict[str, dict[str, tuple[object, ...]]] = field(default_factory=lambda: {table: {} for table in KEYS})
    signed_up: dict[str, date] = field(default_factory=lambda: dict(SIGNED_UP))

    def event(self, table: str, key: str, upto: date) -> tuple[object, ...]:
        rng, who = self.rng, self.rng.choice(USERS)
        day = upto - timedelta(days=rng.choice(self.late))
        hour = rng.choice([time(0), time(12, 30), time(23, 59, 59, 999999)])
        at = datetime.combine(day, hour, tzinfo=UTC)
        if table == "transactions":
            return (key, who, Decimal(rng.choice([0, 1, 33, 9999, 1_000_000])) / 100, at)
        if table == "user_behavior":
            return (key, who, rng.choice(["login", "page_view", "feature_usage", "other"]), at, rng.randint(0, 9))
        return (key, who, day, rng.choice([None, day, day + timedelta(days=rng.randint(0, 9))]))

    def change(self, table: str, upto: date) -> tuple[list[tuple[object, ...]], list[str], set[date]]:
        """New images, deleted keys, and the days of every old and new image."""
        kept, rng = self.rows[table], self.rng
        fresh = [f"{table}-{upto}-{number}" for number in range(rng.randint(0, 9))]
        known = sorted(key for key, row in kept.items() if (upto - day_of(table, row)).days <= max(self.late))
        corrected = rng.sample(known, min(len(known), rng.choice([0, 0, 1, 3])))
        deleted = [key for key in rng.sample(known, min(len(known), rng.choice([0, 0, 1]))) if key not in corrected]
        images = {key: self.event(table, key, upto) for key in (*fresh, *corrected)}
        olds = [kept[key] for key in (*corrected, *deleted)]
        days = {day_of(table, row) for row in (*olds, *images.values())}
        kept.update(images)
        for key in deleted:
            del kept[key]
        return list(images.values()), deleted, days


def day_of(table: str, row: tuple[object, ...]) -> date:
    at = row[2] if table == "support_tickets" else row[3]
    return at.date() if isinstance(at, datetime) else at


def mean(total: int | Decimal, n: int) -> float:
    micros = Fraction(total) * 1_000_000 / n
    return int((micros + Fraction(1, 2)).__floor__()) / 1_000_000


def naive(silver: Silver, day: date) -> dict[str, tuple[object, ...]]:
    """Every feature of one date by its definition in semantics.md, section 2."""
    found = {}
    for who in USERS:
        if silver.signed_up[who] > day:
            continue
        mine = {
            table: [row for row in rows.values() if row[1] == who and day_of(table, row) <= day]
            for table, rows in silver.rows.items()
        }
        age = lambda table, row: (day - day_of(table, row)).days  # noqa: E731
        spent = [row[2] for row in mine["transactions"] if age("transactions", row) < 30]
        logins = [day_of("user_behavior", row) for row in mine["user_behavior"] if row[2] == "login"]
        tickets = [row for row in mine["support_tickets"] if age("support_tickets", row) < 90]
        waits = [(row[3] - row[2]).days for row in tickets if row[3] is not None and row[3] <= day]
        found[who] = (
            sum(spent, Decimal(0)).quantize(Decimal("0.01"), ROUND_HALF_UP),
            sum(age("transactions", row) < 7 for row in mine["transactions"]),
            len(spent),
            mean(sum(spent), len(spent)) if spent else 0.0,
            max(logins, default=None),
            min(365, (day - max(logins)).days) if logins else 365,
            sum(row[4] for row in mine["user_behavior"] if row[2] == "page_view" and age("user_behavior", row) < 30),
            sum(row[2] == "feature_usage" for row in mine["user_behavior"]),
            len(tickets),
            mean(sum(waits), len(waits)) if waits else None,
        )
    return found  # fmt: skip


class Lake:
    """Silver tables, a ledger, and a runtime for each run date."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.project = spark, project_at(folder, initial_dates=4)
        for table, ddl in SCHEMAS.items():
            schema = spark.createDataFrame([], ddl).schema
            properties = {"delta.enableChangeDataFeed": "true"}
            ensure_table(spark, TableSpec(self.project.path("silver", table), schema, properties=properties))
        self._merge("customers", [person(who, since) for who, since in SIGNED_UP.items()], "user_id", 1)

    def runtime(self, day: date) -> Runtime:
        return runtime_of(self.project, day, self.spark)

    def _merge(self, table: str, rows: list[tuple[object, ...]], key: str, n: int) -> None:
        frame = self.spark.createDataFrame(rows, SCHEMAS[table])
        merge_once(frame, self.project.path("silver", table), Upsert([key]), Batch(f"silver-{table}", n))

    def take(self, silver: Silver, day: date, runtime: Runtime) -> None:
        """Change silver as a batch would, and say so in the ledger."""
        for table, key in KEYS.items():
            images, deleted, days = silver.change(table, day)
            stream = runtime.stream("silver", table)
            if images:
                self._merge(table, images, key, runtime.ledger.stream(stream).last_n + 1)
            if deleted:
                DeltaTable.forPath(self.spark, self.project.path("silver", table)).delete(
                    f"{key} in ({str(deleted)[1:-1]})"
                )
            say_conformed(runtime, table, days)
        is_adaptive = self.spark.conf.get("spark.sql.adaptive.enabled") == "true"
        if is_adaptive and day == FIRST + timedelta(days=2):
            # Of members nothing changes, which such a plan finds out while it runs: who is new was one long ago.
            self._merge("customers", [("eve", "XX", "s", *LONG_GONE)], "user_id", 2)
            say_conformed(runtime, "customers", [_BEGINNING])
        elif silver.rng.random() < 0.5:
            who = silver.rng.choice(USERS)
            silver.signed_up[who] += timedelta(days=silver.rng.choice([-2, 1, 2]))
            n = runtime.ledger.stream(runtime.stream("silver", "customers")).last_n + 2
            self._merge("customers", [person(who, silver.signed_up[who])], "user_id", n)
            say_conformed(runtime, "customers", [_BEGINNING])

    def published(self, suffix: str = "") -> Mapping[date, dict[str, tuple[object, ...]]]:
        return self._rows(self.project.path("gold", f"{self.project.view.name}{suffix}"))

    def staged(self) -> Mapping[date, dict[str, tuple[object, ...]]]:
        return self._rows(self.project.path("staged", self.project.view.name))

    def _rows(self, location: str) -> Mapping[date, dict[str, tuple[object, ...]]]:
        frame = self.spark.read.format("delta").load(location).where("feature_date is not null")
        features = [each.name for each in self.project.view.aggregates]
        found: dict[date, dict[str, tuple[object, ...]]] = {}
        for row in frame.select("user_id", "feature_date", *features).collect():
            assert row[0] not in found.setdefault(row[1], {})
            found[row[1]][row[0]] = tuple(row[2:])
        return found


def session(spark: SparkSession, *, adaptive: bool) -> SparkSession:
    """As deployments have it, or as tests do."""
    other = spark.newSession()
    other.conf.set("spark.sql.adaptive.enabled", str(adaptive).lower())
    return other


def person(who: str, since: date) -> tuple[object, ...]:
    return (who, "XX", "s", since, None, None)


def runs(rng: Random) -> Iterator[tuple[date, tuple[int, ...]]]:
    """Dates, and how many days late rows may be: history first, then a quiet day and late rows; in soak gaps as well."""
    day = FIRST
    further = [((0, 0, 1), 1), ((0,), rng.choice([1, 2, 30])), (rng.choice([(0, 2), HISTORY]), 1)]
    for late, gap in ((HISTORY, 1), ((0,), 1), *(further if HISTORIES > 1 else further[-1:])):
        yield day, late
        day += timedelta(days=gap)


def dying(work: Callable[[Runtime], object], runtime: Runtime, at: str, rng: Random) -> None:
    """Most often the work dies at a point on its way, and is done again."""

    def dies(name: str) -> None:
        if name == at and rng.random() < 0.8:
            raise Died(name)

    try:
        work(replace(runtime, failpoint=dies))
    except* Died:
        work(runtime)


class Died(Exception):
    """Where a process would be killed."""


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_every_run_leaves_what_the_definitions_say(
    spark: SparkSession, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, by_entity = Random(seed), seed % 2 == 0
    for module in ("repair", "checkpoints"):
        monkeypatch.setattr(f"headwater.pipelines.{module}._AT_MOST", 0 if by_entity else 10)
    lake, silver = Lake(session(spark, adaptive=by_entity), tmp_path / "lake"), Silver(rng)
    for day, silver.late in runs(rng):
        runtime = lake.runtime(day)
        lake.take(silver, day, runtime)
        dying(run_stage, runtime, f"stage:{lake.project.view.name}:written", rng)
        say_audited(runtime)
        dying(run_publish, runtime, f"publish:{lake.project.view.name}:{rng.choice(PUBLISHING)}", rng)
        newest = {}
        for at, rows in sorted(lake.published().items()):
            assert rows == naive(silver, at), f"{at}, run of {day}"
            newest |= {who: (at, row) for who, row in rows.items()}
        latest = {who: (at, row) for at, rows in lake.published("_latest").items() for who, row in rows.items()}
        assert latest == newest, f"latest, run of {day}"
    assert run_stage(runtime) == ()
    commits = runtime.ledger.stream(runtime.stream("stage", lake.project.view.name)).commits
    tiles = [StageDates.model_validate(commit.payload).tiles for commit in commits]
    went_on = [seen.checkpoint for seen in tiles if seen and seen.checkpoint]
    # Of four members a change of one is many: all dates are computed for everybody, and none was before them.
    assert any(each.members for each in went_on) or not by_entity, "no run took members from a checkpoint"
    assert any(StageDates.model_validate(commit.payload).repair for commit in commits) == by_entity
