"""What a piece of work costs: seconds, Spark jobs, bytes read and shuffled, and the memory of all processes together."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from pyspark.sql import SparkSession

_MB = 1 << 20


@dataclass
class Cost:
    """Of one piece of work; bytes and jobs are those of Spark."""

    seconds: float = 0.0
    jobs: int = 0
    shuffles: int = 0
    read: int = 0
    shuffled: int = 0
    written: int = 0
    peak: int = field(default=0, metadata={"unit": "bytes of PSS"})

    def line(self, name: str) -> str:
        """For a person."""
        return (
            f"  {name:<34} {self.seconds:9.1f} s {self.jobs:5} jobs {self.shuffles:4} shuffles  read {self.read / _MB:8.1f} MB  "
            f"shuffled {self.shuffled / _MB:8.1f} MB  wrote {self.written / _MB:8.1f} MB  peak {self.peak / _MB:7.0f} MB"
        )


@contextmanager
def metered(spark: SparkSession) -> Iterator[Cost]:
    """Measure what happens inside."""
    cost, over = Cost(), Event()
    before = _stages(spark)
    jobs = _jobs(spark)
    sampler = Thread(target=_sample, args=(cost, over), daemon=True)
    sampler.start()
    began = perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = perf_counter() - began
        over.set()
        sampler.join()
        cost.jobs = _jobs(spark) - jobs
        for stage, (read, shuffled, written) in _stages(spark).items():
            if stage not in before:
                cost.read, cost.written = cost.read + read, cost.written + written
                cost.shuffled += shuffled
                cost.shuffles += shuffled > 0


def timed(work: Callable[[], object]) -> float:
    """Seconds of a piece of work."""
    began = perf_counter()
    work()
    return perf_counter() - began


def _jobs(spark: SparkSession) -> int:
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def _stages(spark: SparkSession) -> dict[int, tuple[int, int, int]]:
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    found = context.statusStore().stageList(
        None, False, False, spark._sc._gateway.new_array(spark._jvm.double, 0), None
    )
    stages = (found.apply(index) for index in range(found.size()))
    return {each.stageId(): (each.inputBytes(), each.shuffleWriteBytes(), each.outputBytes()) for each in stages}


def _sample(cost: Cost, over: Event) -> None:
    while not over.wait(0.5):
        cost.peak = max(cost.peak, sum(map(_pss, _tree(os.getpid()))))


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name may hold blanks and brackets; what follows the last bracket does not.
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _pss(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
