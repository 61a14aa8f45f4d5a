"""What the demo prints at the end, read from the lake as any consumer would, without Spark."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pa_dataset
from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

from headwater.pipelines.equation import TERMS
from headwater.state.runs import CheckRow, RunLog, StepRow

VIEW = "customer_churn_features"
SHOWN = (
    "total_spend_30d",
    "transaction_count_7d",
    "avg_transaction_value",
    "days_since_last_login",
    "page_views_30d",
    "ticket_count_90d",
    "segment",
)


def show_results(lake: Path, days: tuple[date, date]) -> None:
    """Print the row equations, the checks, three customers and what a lookup opens."""
    console = Console(highlight=False, soft_wrap=False)
    runs = RunLog(str(lake / "ops"))
    for number in (1, 2):
        console.print(equation_table(f"Run {number}: every record is accounted for", runs.steps(f"run-{number}")))
    console.print(check_table("Checks by dimension", [runs.checks(run_id=f"run-{number}") for number in (1, 2)]))
    history = DeltaTable(str(lake / "gold" / VIEW)).to_pyarrow_dataset()
    console.print(customer_table(history, days))
    console.print(skipping_table(history, days[0]))
    console.print(f"\nTables   {lake}/{{bronze,silver,quarantine,staged,gold,ops}}")
    for number in (1, 2):
        console.print(f"Report {number} {lake}/ops/reports/run-{number}.html (and .json)", soft_wrap=True)


def equation_table(title: str, steps: Sequence[StepRow]) -> Table:
    """The row equation per source: extracted + replayed on the left, what became of them on the right."""
    table = Table(title=title, title_justify="left")
    table.add_column("source")
    for term in TERMS:
        table.add_column(term.replace("batch_", "").replace("_", " "), justify="right")
    for step in steps:
        if step.step == "conform" and step.stream:
            table.add_row(step.stream.split("/")[1], *(f"{int(str(step.facts[term])):,}" for term in TERMS))
    return table


def check_table(title: str, runs: Sequence[Sequence[CheckRow]]) -> Table:
    """Checks passed and failed per dimension, a column per run."""
    table = Table(title=title, title_justify="left")
    table.add_column("dimension")
    for number in range(1, len(runs) + 1):
        table.add_column(f"run {number} passed", justify="right")
        table.add_column("failed", justify="right")
    for dimension in sorted({row.dimension for rows in runs for row in rows}):
        cells = []
        for rows in runs:
            passed = [row.passed for row in rows if row.dimension == dimension]
            cells += [str(passed.count(True)), str(passed.count(False))]
        table.add_row(dimension, *cells)
    return table


def customer_table(history: pa_dataset.Dataset, days: tuple[date, date]) -> Table:
    """Three busy customers on both dates."""
    table = Table(title="Three customers on both dates", title_justify="left")
    table.add_column("user_id")
    table.add_column("date")
    for name in SHOWN:
        table.add_column(name.replace("_", " "), justify="right")
    on_last_day = history.to_table(filter=_on(days[0]), columns=["user_id", "transaction_count_7d"])
    busiest = on_last_day.sort_by([("transaction_count_7d", "descending"), ("user_id", "ascending")])
    for user in busiest["user_id"].to_pylist()[:3]:
        for day in days:
            row = history.to_table(filter=_of(user) & _on(day)).to_pylist()[0]
            table.add_row(user, f"{day:%m-%d}", *(_short(row[name]) for name in SHOWN))
    return table


def skipping_table(history: pa_dataset.Dataset, day: date) -> Table:
    """How many files and bytes a reader opens for one customer and for one date."""
    some = history.to_table(filter=_on(day), columns=["user_id"])["user_id"].to_pylist()
    user = sorted(some)[len(some) // 2]
    table = Table(title="What a lookup opens", title_justify="left")
    for name in ("lookup", "files", "of", "kB", "of kB"):
        table.add_column(name, justify="left" if name == "lookup" else "right")
    files, size = _opened(history, None)
    for label, condition in ((f"one customer ({user}), all dates", _of(user)), (f"one date ({day})", _on(day))):
        opened, opened_size = _opened(history, condition)
        table.add_row(label, str(opened), str(files), f"{opened_size / 1e3:,.0f}", f"{size / 1e3:,.0f}")
    return table


def _opened(history: pa_dataset.Dataset, condition: pa_dataset.Expression | None) -> tuple[int, int]:
    fragments = list(history.get_fragments(filter=condition))
    return len(fragments), sum(fragment.filesystem.get_file_info(fragment.path).size for fragment in fragments)


def _of(user: str) -> pa_dataset.Expression:
    return pa_dataset.field("user_id") == user


def _on(day: date) -> pa_dataset.Expression:
    # Spark does not know that a date implies its month to other readers, so the partition is named as well.
    month = pa_dataset.field("feature_month") == pa.scalar(day.replace(day=1))
    return (pa_dataset.field("feature_date") == pa.scalar(day)) & month


def _short(value: Any) -> str:  # noqa: ANN401 -- any cell
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
