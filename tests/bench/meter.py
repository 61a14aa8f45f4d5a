"""What a piece of work costs: seconds, Spark jobs, bytes of files and shuffles, and the memory of all processes together.

Bytes of files are those that the JVM's file systems count, which leaves cached blocks out, and those of Python workers: they
write what they say they have written, and read the checkpoints and row groups that they are given.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from unittest.mock import patch

import pyarrow.parquet as pq
from pyspark.sql import Row, SparkSession

from headwater.features.checkpoints import Resumed
from headwater.features.computed import Computed
from headwater.tables import staging
from headwater.tables.readers import TileFiles
from headwater.tables.workers import Target

_MB = 1 << 20


@dataclass
class Cost:
    """Of one piece of work."""

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
    shuffles, jobs, files = _shuffles(spark), _jobs(spark), _files(spark)
    sampler = Thread(target=_sample, args=(cost, over), daemon=True)
    sampler.start()
    began = perf_counter()
    try:
        with patch.object(staging, "_write", _counted(staging._write, cost)):
            yield cost
    finally:
        cost.seconds = perf_counter() - began
        over.set()
        sampler.join()
        cost.jobs = _jobs(spark) - jobs
        for stage, shuffled in _shuffles(spark).items():
            if stage not in shuffles:
                cost.shuffled += shuffled
                cost.shuffles += shuffled > 0
        read, written = _files(spark)
        cost.read, cost.written = cost.read + read - files[0], cost.written + written - files[1]


def timed(work: Callable[[], object]) -> float:
    """Seconds of a piece of work."""
    began = perf_counter()
    work()
    return perf_counter() - began


def _jobs(spark: SparkSession) -> int:
    return int(spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs())


def _shuffles(spark: SparkSession) -> dict[int, int]:
    """Bytes that each stage wrote for others."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    found = context.statusStore().stageList(
        None, False, False, spark._sc._gateway.new_array(spark._jvm.double, 0), None
    )
    stages = (found.apply(index) for index in range(found.size()))
    return {each.stageId(): each.shuffleWriteBytes() for each in stages}


def _files(spark: SparkSession) -> tuple[int, int]:
    """Bytes that the JVM has read from files and written to them."""
    systems = spark._jvm.org.apache.hadoop.fs.FileSystem.getAllStatistics()
    every = [systems.get(index) for index in range(systems.size())]
    return sum(each.getBytesRead() for each in every), sum(each.getBytesWritten() for each in every)


Write = Callable[[Computed, Mapping[str, Target]], list[Row]]


def _counted(write: Write, cost: Cost) -> Write:
    """Let workers' bytes be counted."""

    def counting(part: Computed, targets: Mapping[str, Target]) -> list[Row]:
        resumed = part.make.keywords["part"].resumed if "part" in getattr(part.make, "keywords", {}) else None
        cost.read += _given(resumed) if resumed else 0
        files = write(part, targets)
        cost.written += sum(each["size"] for each in files)
        return files

    return counting


def _given(resumed: Resumed) -> int:
    """Bytes of the files that workers go on from; of stored tiles those of the row groups that may matter, of each worker."""
    paths = [f"{resumed.read.location}/{path}" for bucket in resumed.read.paths for path in bucket]
    read = sum(Path(path).stat().st_size for path in paths)
    tiles = resumed.tiles
    return read + (tiles.buckets * _row_groups(tiles) if isinstance(tiles, TileFiles) else 0)


def _row_groups(tiles: TileFiles) -> int:
    found = 0
    for number, paths in tiles.paths.items():
        for path in paths:
            file = pq.read_metadata(f"{tiles.location}/{path}")
            found += file.serialized_size
            for group in tiles.groups(file, number):
                columns = file.row_group(group)
                found += sum(columns.column(at).total_compressed_size for at in range(columns.num_columns))
    return found


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
