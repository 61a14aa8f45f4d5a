"""What the demo prints at the end, read from the lake as any consumer would, without Spark."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from rich import box
from rich.console import Console
from rich.table import Table

from headwater.pipelines.equation import TERMS
from headwater.state.runs import CheckRow, RunLog, StepRow
from headwater.tables.sample import all_rows

VIEW = "customer_churn_features"
SHOWN = (
    "total_spend_30d",
    "transaction_count_7d",
    "avg_transaction_value",
    "days_since_last_login",
    "page_views_30d",
    "feature_usage_count",
    "ticket_count_90d",
    "avg_resolution_time_days",
    "country",
    "segment",
)


def show_results(lake: Path, days: tuple[date, date]) -> None:
    """Print the row equations, the checks, three customers and what a lookup opens."""
    console = Console(highlight=False, soft_wrap=False)
    runs = RunLog(str(lake / "ops"))
    for number in (1, 2):
        title = f"Run {number}: every record is accounted for"
        console.print("", equation_table(title, runs.steps(f"run-{number}")), sep="\n")
    checks = [runs.checks(run_id=f"run-{number}") for number in (1, 2)]
    console.print("", check_table("Checks by dimension", checks), sep="\n")
    warned = {row.name for rows in checks for row in rows if not row.passed and not row.blocking}
    console.print(f"Failed, but only to warn, for the world is dirty on purpose: {', '.join(sorted(warned))}\n")
    history = str(lake / "gold" / VIEW)
    console.print(customer_table(history, days), "")
    console.print(skipping_table(history, days[0]))
    console.print(f"\nTables   {lake}/{{bronze,silver,quarantine,staged,gold,ops}}", soft_wrap=True)
    for number in (1, 2):
        console.print(f"Report {number} {lake}/ops/reports/run-{number}.html (and .json)", soft_wrap=True)


def equation_table(title: str, steps: Sequence[StepRow]) -> Table:
    """The row equation, a column per source: what came in on the first two lines, what became of it below."""
    conformed = sorted((step for step in steps if step.step == "conform"), key=lambda step: str(step.stream))
    table = _table(title, "records", *(str(step.stream).split("/")[1] for step in conformed))
    for term in TERMS:
        table.add_row(term.replace("_", " "), *(f"{int(str(step.facts[term])):,}" for step in conformed))
        if term == "replayed":
            table.add_section()
    return table


def check_table(title: str, runs: Sequence[Sequence[CheckRow]]) -> Table:
    """Checks passed and failed per dimension, a column per run."""
    headers = [text for number in range(1, len(runs) + 1) for text in (f"run {number} passed", "failed")]
    table = _table(title, "dimension", *headers)
    for dimension in sorted({row.dimension for rows in runs for row in rows}):
        cells = []
        for rows in runs:
            passed = [row.passed for row in rows if row.dimension == dimension]
            cells += [str(passed.count(True)), str(passed.count(False))]
        table.add_row(dimension, *cells)
    return table


def customer_table(history: str, days: tuple[date, date]) -> Table:
    """Three busy customers on both dates."""
    on_last_day = all_rows(history, _on(days[0]))
    busiest = on_last_day.sort_by([("transaction_count_7d", "descending"), ("user_id", "ascending")])
    shown = [(user, day) for user in busiest["user_id"].to_pylist()[:3] for day in days]
    rows = [all_rows(history, f"user_id = '{user}' and {_on(day)}").to_pylist()[0] for user, day in shown]
    table = _table("Three busy customers on both dates", "feature", *(f"{user}\n{day:%m-%d}" for user, day in shown))
    for name in SHOWN:
        table.add_row(name, *(_short(row[name]) for row in rows))
    return table


def skipping_table(history: str, day: date) -> Table:
    """How many files and bytes a reader opens for one customer and for one date, by the statistics in the log."""
    some = all_rows(history, _on(day))["user_id"].to_pylist()
    user = sorted(some)[len(some) // 2]
    table = _table("What a lookup opens", "lookup", "files", "of", "kB", "of kB")
    files = pa.table(DeltaTable(history).get_add_actions(flatten=True))
    lookups = ((f"one customer ({user}), all dates", "user_id", user), (f"one date ({day})", "feature_date", day))
    for label, column, value in lookups:
        least, greatest = pc.field(f"min.{column}"), pc.field(f"max.{column}")
        opened = files.filter((least <= pa.scalar(value)) & (greatest >= pa.scalar(value)))
        sizes = [f"{sum(each['size_bytes'].to_pylist()) / 1e3:,.0f}" for each in (opened, files)]
        table.add_row(label, str(opened.num_rows), str(files.num_rows), *sizes)
    return table


def _table(title: str, first: str, *others: str) -> Table:
    """A table that fits eighty columns: words to the left, numbers to the right."""
    form = box.SIMPLE_HEAD
    table = Table(title=title, title_justify="left", title_style="bold", box=form, show_edge=False, padding=0)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _on(day: date) -> str:
    # Nobody but Spark knows that a date implies its month, so the partition is named as well.
    return f"feature_date = date '{day}' and feature_month = date '{day.replace(day=1)}'"


def _short(value: Any) -> str:  # noqa: ANN401 -- any cell
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
