"""The ledger between processes: races, kill -9 and zombies; `HEADWATER_SOAK=1` runs the same with larger numbers."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from headwater import errors
from headwater.state.holder import Holder
from headwater.state.ledger import Ledger
from headwater.state.streams import STREAMS
from headwater.state.table import StateTable

SOAK = os.environ.get("HEADWATER_SOAK") == "1"
WORKERS = 8 if SOAK else 3
ROUNDS = 60 if SOAK else 4
START = datetime(2025, 4, 1, 2, tzinfo=UTC)


class Worker:
    """A process of its own that obeys ledger_worker's commands."""

    def __init__(self, ops: Path, run_id: str) -> None:
        self.run_id = run_id
        script = Path(__file__).with_name("ledger_worker.py")
        env = os.environ | {"PYTHONPATH": str(Path(errors.__file__).parents[1])}
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, str(script), str(ops), run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def send(self, do: str, stream: str, at: datetime = START) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "stream": stream, "at": at.isoformat()}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    def ask(self, do: str, stream: str, at: datetime = START) -> dict[str, Any]:
        self.send(do, stream, at)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def ops(tmp_path: Path) -> Path:
    return tmp_path / "ops"


@pytest.fixture
def workers(ops: Path) -> Iterator[list[Worker]]:
    crew = [Worker(ops, f"w{k}") for k in range(WORKERS)]
    yield crew
    for worker in crew:
        worker.kill()


def all_at_once(workers: list[Worker], do: str, streams: list[str]) -> list[dict[str, Any]]:
    for worker, stream in zip(workers, streams, strict=True):
        worker.send(do, stream)
    return [worker.answer() for worker in workers]


def reader(ops: Path) -> Ledger:
    return Ledger(str(ops), clock=lambda: START, holder=Holder.current("reader"))


def test_exactly_one_of_many_begins_a_batch(workers: list[Worker], ops: Path) -> None:
    for number in range(ROUNDS):
        stream = f"s{number}"
        answers = all_at_once(workers, "begin", [stream] * WORKERS)

        winners = [answer for answer in answers if "n" in answer]
        losers = [answer for answer in answers if "refused" in answer]
        assert [winner["n"] for winner in winners] == [1]
        assert {loser["refused"] for loser in losers} == {"stream_held"}
        assert {loser["facts"]["run_id"] for loser in losers} == {winners[0]["run_id"]}
        assert len(StateTable(f"{ops}/streams", STREAMS).rows(f"stream = '{stream}'")) == 1


def test_the_table_is_created_once(workers: list[Worker], ops: Path) -> None:
    """delta-rs would by default commit a late creation on top, and refuse what was appended in between."""
    assert [answer.get("n") for answer in all_at_once(workers, "begin", [w.run_id for w in workers])] == [1] * WORKERS

    commits = [entry["operation"] for entry in DeltaTable(f"{ops}/streams").history()]
    assert commits.count("CREATE TABLE") == 1


def test_different_streams_never_refuse_each_other(workers: list[Worker], ops: Path) -> None:
    own = [worker.run_id for worker in workers]
    for number in range(1, ROUNDS + 1):
        assert [answer.get("n") for answer in all_at_once(workers, "work", own)] == [number] * WORKERS
        assert [answer.get("n") for answer in all_at_once(workers, "commit", own)] == [number] * WORKERS

    expected = list(range(1, ROUNDS + 1))
    assert [[done.n for done in reader(ops).stream(name).commits] for name in own] == [expected] * WORKERS


def test_a_killed_holder_is_succeeded_at_once(workers: list[Worker], ops: Path) -> None:
    first, second, *_ = workers
    first.ask("work", "s")
    refused = second.ask("work", "s")
    first.kill()
    taken = second.ask("work", "s")
    second.ask("commit", "s")

    assert refused["refused"] == "stream_held"
    assert refused["facts"]["pid"] == first.process.pid
    assert taken == {"n": 1, "run_id": "w0", "resumed": True}
    assert [(done.n, done.payload, done.run_id) for done in reader(ops).stream("s").commits] == [
        (1, {"after": 0}, "w1")
    ]


def test_a_zombie_that_wakes_after_its_successor_finished_is_refused(workers: list[Worker], ops: Path) -> None:
    zombie, successor, *_ = workers
    later = START + timedelta(seconds=60)
    zombie.ask("work", "s")
    successor.ask("work", "s", later)
    before = zombie.ask("commit", "s", later)
    successor.ask("commit", "s", later)
    after = zombie.ask("commit", "s", later)

    assert (before["refused"], before["facts"]["run_id"]) == ("stream_held", "w1")
    assert (after["refused"], after["facts"]["run_id"]) == ("batch_closed", "w1")
    assert [done.run_id for done in reader(ops).stream("s").commits] == ["w1"]


def test_a_crowd_with_random_deaths_finishes_every_batch_once_and_in_order(workers: list[Worker], ops: Path) -> None:
    """Each round all want the stream; the winner commits, or dies before or after its commit."""
    chance = random.Random(20250401)  # noqa: S311
    finished = 0
    for number in range(ROUNDS):
        answers = all_at_once(workers, "work", ["s"] * WORKERS)
        winners = [k for k, answer in enumerate(answers) if "n" in answer]
        assert len(winners) == 1
        assert answers[winners[0]]["n"] == finished + 1
        fate = chance.choice(["commit", "die", "commit and die"])
        if fate != "die":
            workers[winners[0]].ask("commit", "s")
            finished += 1
        if fate != "commit":
            workers[winners[0]].kill()
            workers[winners[0]] = Worker(ops, f"w{winners[0]}.{number}")

    state = reader(ops).stream("s")
    assert [(done.n, done.payload) for done in state.commits] == [(n + 1, {"after": n}) for n in range(finished)]
    assert state.last_n == finished + (state.open is not None)
