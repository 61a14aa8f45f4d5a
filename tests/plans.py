"""What an executed plan did, by its own metrics."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Moved:
    """Bytes that a query moved.

    Attributes:
        shuffled: written by each shuffle.
        broadcast: rows of each broadcast.
        scanned: size of the files that each scan opened.
        joins: names of the join operators.
        filters: conditions of the filters, as Spark writes them.
    """

    shuffled: list[int]
    broadcast: list[int]
    scanned: list[int]
    joins: list[str]
    filters: list[str]


def moved(frame: DataFrame) -> Moved:
    """Execute a frame to its last row, and read the metrics of its plan. Adaptive execution has to be off."""
    execution = frame._jdf.queryExecution()
    execution.toRdd().count()
    nodes = list(_nodes(execution.executedPlan()))
    return Moved(
        shuffled=[_metric(node, "shuffleBytesWritten") for node in nodes if node.nodeName() == "Exchange"],
        broadcast=[_metric(node, "numOutputRows") for node in nodes if node.nodeName() == "BroadcastExchange"],
        scanned=[_metric(node, "filesSize") for node in nodes if node.nodeName().startswith("Scan parquet")],
        joins=[node.nodeName() for node in nodes if node.nodeName().endswith("Join")],
        filters=[node.condition().toString() for node in nodes if node.nodeName() == "Filter"],
    )


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for index in range(plan.children().size()):
        yield from _nodes(plan.children().apply(index))


def _metric(node: Any, name: str) -> int:
    return node.metrics().apply(name).value()
