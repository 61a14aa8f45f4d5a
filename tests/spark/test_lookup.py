"""The point-in-time lookup against the naive one, on random labels and histories; and what its plan moves."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession
from tests.oracles.training import Publication, known
from tests.plans import moved

from headwater.features.lookup import Images, Rule, look_up, published_images, repaired_images
from headwater.tables.delta import Batch, append_once, ensure_table, record_count
from headwater.tables.publish import history_spec

FIRST = date(2023, 12, 20)
DAYS = 90
PEOPLE = [f"p{number:02}" for number in range(25)]
# The last microsecond of a day belongs to it, and midnight to the next one.
TIMES = [time(0), time(23, 59, 59, 999999), time(12, 30), time(0, 0, 0, 1)]
LABELS = "who string, at timestamp, y int"
ROWS = "who string, feature_date date, value int"
CHANGES = f"{ROWS}, _change_type string, _commit_version bigint, _commit_timestamp timestamp"


def drawn_labels(rng: Random, commits: Sequence[Publication] = ()) -> list[tuple[str, datetime, int]]:
    """Labels before, within and after the history, on its edges and at its commits, of people it has and has not."""
    days = [date(2024, 2, 29), date(2024, 3, 1), date(2024, 2, 28), date(2023, 12, 31), date(2024, 1, 1)]
    days += [FIRST + timedelta(days=rng.randrange(-5, DAYS + 20)) for _ in range(300)]
    instants = [datetime.combine(day, rng.choice(TIMES), UTC) for day in days]
    instants += [commit.at - timedelta(microseconds=back) for commit in commits for back in (0, 1)]
    keys = {(rng.choice([*PEOPLE, "nobody"]), instant) for instant in instants}
    return [(who, at, rng.randrange(2)) for who, at in sorted(keys)]


def drawn_history(rng: Random) -> list[Publication]:
    """Commits that publish dates and publish some of them again, with missing dates, months and people."""
    dates = [FIRST + timedelta(days=each) for each in range(DAYS) if rng.random() < 0.8 and not 45 <= each < 75]
    commits, at = [], datetime.combine(FIRST, time(6), UTC)
    while dates or len(commits) < 25:
        fresh, dates = dates[:5], dates[5:]
        known_dates = sorted({day for commit in commits for day in commit.dates})
        again = rng.sample(known_dates, min(len(known_dates), rng.choice([0, 2, 9])))
        touched = frozenset(fresh) | frozenset(again)
        absent = {who for who in PEOPLE if rng.random() < 0.15}
        rows = {(who, day): rng.randrange(10**6) for who in PEOPLE for day in touched if who not in absent and rng.random() < 0.8}  # fmt: skip
        commits.append(Publication(at, touched, rows))
        at += timedelta(days=rng.choice([0, 1, 4, 9]), microseconds=rng.randrange(10**9))
    return commits


def feed(commits: Sequence[Publication]) -> Iterator[tuple[object, ...]]:
    """What Delta's change data feed would say: version 0 made the table, and a replaced date leaves row by row."""
    state: dict[tuple[str, date], object] = {}
    for version, commit in enumerate(commits, start=1):
        for who, day in [*state]:
            if day in commit.dates:
                yield who, day, state.pop((who, day)), "delete", version, commit.at
        for (who, day), value in commit.rows.items():
            state[who, day] = value
            yield who, day, value, "insert", version, commit.at


@pytest.fixture(scope="module")
def history() -> list[Publication]:
    return drawn_history(Random(7))


@pytest.fixture(scope="module")
def labels(history: list[Publication]) -> list[tuple[str, datetime, int]]:
    return drawn_labels(Random(8), history)


def images(spark: SparkSession, commits: Sequence[Publication], *, published: bool, **more: object) -> Images:
    changes = list(feed(commits))
    if published:
        instants = (commits[0].at - timedelta(seconds=1), *(commit.at for commit in commits))
        rows = published_images(spark.createDataFrame(changes, CHANGES))
        return Images(rows, "who", ("value",), commits=instants, **more)
    now: dict[object, tuple[object, ...]] = {}
    for who, day, value, kind, *_ in changes:
        now.pop((who, day), None) if kind == "delete" else now.update({(who, day): (who, day, value)})
    return Images(repaired_images(spark.createDataFrame(list(now.values()), ROWS)), "who", ("value",), **more)


@pytest.mark.parametrize(
    ("strict", "max_age", "published"),
    [(True, None, False), (False, 1, False), (True, 3, True), (False, None, True)],
    ids=["repaired before day", "repaired through day, fresh", "published before day, fresh", "published through day"],
)
def test_equals_the_naive_join(
    spark: SparkSession, history: list[Publication], labels: list[tuple[str, datetime, int]],
    strict: bool, max_age: int | None, published: bool,
) -> None:  # fmt: skip
    rule = Rule("who", "at", "before_day" if strict else "through_day", max_age)
    view = images(spark, history, published=published, few=strict)
    rows = look_up(spark.createDataFrame(labels, LABELS), [view], rule).collect()
    found = {(row["who"], row["at"].astimezone(UTC)): row for row in rows}
    assert len(rows) == len(found) == len(labels)
    matched = 0
    for who, at, y in labels:
        day, since, value = known(history, (who, at), strict=strict, max_age_days=max_age, published=published)
        row = found[who, at]
        assert (row["y"], row["feature_date"], row["value"]) == (y, day, value), (who, at)
        if published:
            assert (row["published_at"] and row["published_at"].astimezone(UTC)) == since, (who, at)
        matched += day is not None
    assert 0.1 * len(labels) < matched < 0.97 * len(labels)


def test_two_views_meet_in_one_row(spark: SparkSession, history: list[Publication]) -> None:
    labels = drawn_labels(Random(9))[:60]
    rule = Rule("who", "at", "through_day")
    views = [
        images(spark, history, published=False, prefix="a_"),
        images(spark, history[:9], published=False, prefix="b_"),
    ]
    found = look_up(spark.createDataFrame(labels, LABELS), views, rule)
    assert found.columns == ["who", "at", "y", "a_feature_date", "a_value", "b_feature_date", "b_value"]
    asked = {"strict": False, "max_age_days": None, "published": False}
    for row in found.collect():
        label = (row["who"], row["at"].astimezone(UTC))
        pairs = [known(commits, label, **asked) for commits in (history, history[:9])]
        expected = [each for day, _, value in pairs for each in (day, value)]
        assert [row[name] for name in found.columns[3:]] == expected, label


@pytest.fixture
def large(spark: SparkSession) -> Iterator[None]:
    """Let Spark plan as for tables that no worker can hold."""
    setting = "spark.sql.autoBroadcastJoinThreshold"
    before = spark.conf.get(setting)
    spark.conf.set(setting, "-1")
    yield
    spark.conf.set(setting, before)


@pytest.mark.usefixtures("large")
def test_what_the_plan_moves(spark: SparkSession, tmp_path: Path) -> None:
    """No shuffle comes near what was read, although each label could meet each date of the year."""
    days, people, asked = 365, 200, 1000
    rows = spark.sql(f"""
        SELECT concat('p', id % {people}) AS who, date_add(DATE'2024-01-01', CAST(id DIV {people} AS int)) AS feature_date,
               {", ".join(f"rand({seed}) * 1000 AS f{seed}" for seed in range(5))} FROM range({people * days})""")
    place = str(tmp_path / "history")
    ensure_table(spark, history_spec(place, rows.schema))
    append_once(rows, place, Batch("p", 1))
    spark.sql(f"""
        SELECT concat('p', CAST(rand(1) * {people} AS int)) AS who, id % 2 AS y,
               timestampadd(SECOND, CAST(rand(2) * {days * 86_400} AS bigint), TIMESTAMP'2024-01-01 00:00:00') AS at
        FROM range({asked})""").write.format("delta").save(str(tmp_path / "labels"))
    labels, history = (spark.read.format("delta").load(str(tmp_path / name)) for name in ("labels", "history"))
    view = Images(repaired_images(history), "who", tuple(f"f{seed}" for seed in range(5)))
    found = moved(look_up(labels, [view], Rule("who", "at", "before_day")))
    inputs = sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    assert record_count(place) == people * days
    # Narrow rows by month, their arrays and the labels by entity (twice), both sides of the last join.
    assert len(found.shuffled) == 6
    assert sum(found.shuffled) < inputs / 5
    assert 0.9 * asked < found.broadcast[0] <= asked
    assert sorted(found.joins) == ["BroadcastHashJoin", "SortMergeJoin", "SortMergeJoin", "SortMergeJoin"]
    # A filter on what is picked is pushed below the picking, which it then does anew for each month of each label.
    assert [each for each in found.filters if "array_max" in each] == []
