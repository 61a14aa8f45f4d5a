"""What the ledger says about the batches of silver."""

from collections import Counter
from collections.abc import Iterable
from datetime import date

from headwater.config.base import JsonValue
from headwater.pipelines.steps import Runtime
from headwater.state.streams import Commit


def last_batches(runtime: Runtime, tables: Iterable[str]) -> dict[str, int]:
    """The last committed batch of each table; 0 where there is none."""
    streams = {table: runtime.ledger.stream(runtime.stream("silver", table)) for table in tables}
    return {table: state.commits[-1].n if state.commits else 0 for table, state in streams.items()}


def touched(commits: Iterable[Commit]) -> Counter[date]:
    """How many row images, old and new, silver batches touched of each day."""
    found: Counter[date] = Counter()
    for commit in commits:
        rows = commit.facts["touched"]
        if isinstance(rows, dict):
            found.update({date.fromisoformat(day): int(str(count)) for day, count in rows.items()})
    return found


def texts(value: JsonValue) -> list[str]:
    """A fact that is a list of texts."""
    return [str(item) for item in value] if isinstance(value, list) else []
