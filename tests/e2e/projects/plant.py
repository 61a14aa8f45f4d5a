"""The sensors: what is written to their two tables and their collection, and what their features are by definition."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import duckdb
import psycopg
import pyarrow as pa
import pymongo

from headwater.demo.stack import Stack

PROJECT = Path(__file__).parent / "sensors"
LAST = date(2024, 3, 1)
NEXT = LAST + timedelta(days=1)
SENSORS = ("north-1", "north-2", "Süd/7", "Süd/8", "o'hare", "x")
ZONE = "timestamptz NOT NULL"
TABLES = f"""
CREATE SCHEMA plant;
CREATE TABLE plant.readings (sensor text, channel text, read_at {ZONE}, celsius numeric(9,3), written_at {ZONE});
CREATE TABLE plant.faults (fault text, sensor_name text, raised date, cleared date, severity text, written_at {ZONE});
"""
MEAN = """
CREATE MACRO mean_6(total, n, unit) AS CASE WHEN n > 0 THEN CAST(sign(total) *
    ((2 * abs(CAST(total AS HUGEINT)) * 1000000 + n * unit) // (2 * CAST(n AS HUGEINT) * unit)) AS DOUBLE) / 1e6 END
"""


@dataclass(frozen=True)
class Records:
    """What is written to the sources in one phase."""

    readings: list[tuple[str, str, datetime, Decimal, datetime]]
    faults: list[tuple[str, str, date, date | None, str, datetime]]
    visits: list[tuple[str, str, datetime, int | None, datetime]]


def extraction(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(2), tzinfo=UTC)


def drawn(rng: Random, days: list[date], written: datetime | None = None) -> Records:
    """Events of some days; written soon after they happened, or late, at a given time.

    What happens on the new day before the first extraction is written after it: the source is a little behind.
    """
    readings, faults, visits = [], [], []
    behind = extraction(LAST) + timedelta(minutes=1) if days == [NEXT] else datetime.min.replace(tzinfo=UTC)
    for day in days:
        begin = datetime.combine(day, time(), tzinfo=UTC)
        for sensor in SENSORS:
            if sensor == "x" and day < LAST - timedelta(days=2):
                continue
            for hour in range(24):
                at = begin + timedelta(hours=hour, microseconds=rng.choice([0, 1, 3_599_999_999]))
                channel = rng.choice(["in", "in", "out", "test" if rng.random() < 0.02 else "out"])
                celsius = Decimal(rng.randrange(-40_000, 90_000)).scaleb(-3)
                readings.append((sensor, channel, at, celsius, written or max(behind, at + timedelta(minutes=5))))
            if rng.random() < 0.5:
                cleared = day + timedelta(days=rng.randrange(-1, 6)) if rng.random() < 0.8 else None
                severity = rng.choice(["severe", "minor"])
                at = written or begin + timedelta(hours=20)
                faults.append((f"F{rng.randrange(10**9)}", sensor, day, cleared, severity, at))
            if rng.random() < 0.3:
                at = begin + timedelta(seconds=rng.randrange(86_400))
                minutes = rng.choice([None, -5, *range(1, 90)])
                visits.append(
                    (f"V{rng.randrange(10**9)}", sensor, at, minutes, written or max(behind, at + timedelta(minutes=1)))
                )
    return Records(readings, faults, visits)


def corrections(rng: Random, before: Records, written: datetime) -> Records:
    """Some records again, with other values."""
    readings = [(s, c, at, value + 1, written) for s, c, at, value, _ in rng.sample(before.readings, 40)]
    faults = [(f, s, day, day + timedelta(days=2), k, written) for f, s, day, _, k, _ in rng.sample(before.faults, 5)]
    visits = [(v, s, at, 7, written) for v, s, at, _, _ in rng.sample(before.visits, 5)]
    return Records(readings, faults, visits)


def write(stack: Stack, records: Records) -> None:
    with psycopg.connect(stack.postgres.dsn) as connection, connection.cursor() as cursor:
        for sensor, channel, at, _, _ in records.readings:
            cursor.execute(
                "DELETE FROM plant.readings WHERE (sensor, channel, read_at) = (%s, %s, %s)", (sensor, channel, at)
            )
        cursor.executemany("INSERT INTO plant.readings VALUES (%s, %s, %s, %s, %s)", records.readings)
        cursor.executemany("DELETE FROM plant.faults WHERE fault = %s", [row[:1] for row in records.faults])
        cursor.executemany("INSERT INTO plant.faults VALUES (%s, %s, %s, %s, %s, %s)", records.faults)
    names = ("_id", "sensor", "visited_at", "minutes", "written_at")
    with pymongo.MongoClient(stack.mongo_uri) as client:
        for row in records.visits:
            document = dict(zip(names, row, strict=True))
            client["field"]["visits"].replace_one({"_id": row[0]}, document, upsert=True)


def naive(phases: list[Records], days: list[date]) -> pa.Table:
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(MEAN)
    columns = {
        "readings": "sensor VARCHAR, channel VARCHAR, read_at TIMESTAMP, celsius DECIMAL(9,3), written_at TIMESTAMP",
        "faults": "fault VARCHAR, sensor_name VARCHAR, raised DATE, cleared DATE, severity VARCHAR, written_at TIMESTAMP",
        "visits": "_id VARCHAR, sensor VARCHAR, visited_at TIMESTAMP, minutes INTEGER, written_at TIMESTAMP",
    }
    for name, ddl in columns.items():
        connection.execute(f"CREATE TABLE all_{name} ({ddl})")  # noqa: S608 - names of this file
        rows = [tuple(map(as_stored, row)) for phase in phases for row in getattr(phase, name)]
        marks = ", ".join("?" * (ddl.count(" TIMESTAMP") and len(rows[0])))
        connection.executemany(f"INSERT INTO all_{name} VALUES ({marks})", rows)  # noqa: S608 - as above
    return connection.sql((PROJECT / "naive.sql").read_text(), params={"dates": days}).to_arrow_table()


def as_stored(value: object) -> object:
    """BSON keeps milliseconds, and DuckDB's TIMESTAMP no zone; everything here is UTC."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
