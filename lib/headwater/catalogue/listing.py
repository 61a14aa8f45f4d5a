"""The catalogue for a terminal: what fits a hundred columns; the rest is in `--json` and `--html`."""

import textwrap
from collections.abc import Sequence
from datetime import date

from headwater.catalogue.document import NOT_PUBLISHED
from headwater.catalogue.facts import Catalogue, Entry, Publication
from headwater.catalogue.wording import grain, usable
from headwater.config.aggregates import Derived
from headwater.pages.numbers import brief, share

WIDTH = 100
_GAP = "  "
_HEADS = ("feature", "type", "computed", "nulls", "min", "mean", "max")
_NUMBERS = 3
_LONGEST_NUMBER = 10


def listing(catalogue: Catalogue) -> list[str]:
    """The lines of the table, and what is said of the view above it."""
    view, published = catalogue.view, catalogue.publication
    facts = [view.pipeline_version, grain(view), f"owner {view.owner}" if view.owner else "no owner"]
    about = [f"{view.name}  {', '.join(facts)}", view.description]
    about.append(f"A row is usable {usable(view.ttl_days)}. {_published(published)}")
    wrapped = [line for text in about if text for line in textwrap.wrap(text, WIDTH)]
    return [*wrapped, "", *_table([_HEADS, *(_cells(entry) for entry in catalogue.entries)])]


def _published(published: Publication | None) -> str:
    if published is None:
        return f"It is {NOT_PUBLISHED}."
    told = f"{published.dates:,} dates are published, {published.first} to {published.last}."
    return f"{told} Statistics are of {published.judged}." if published.judged else f"{told} No report has statistics."


def _cells(entry: Entry) -> tuple[str, ...]:
    found = entry.statistics
    if found is None:
        return (entry.name, entry.type, _computed(entry), NOT_PUBLISHED, "", "", "")
    ends = (_short(found.min), _short(found.mean), _short(found.max))
    return (entry.name, entry.type, _computed(entry), share(found.nulls, found.rows), *ends)


def _computed(entry: Entry) -> str:
    if entry.aggregate is None:
        return "attribute"
    if isinstance(entry.aggregate, Derived):
        return f"{entry.aggregate.op} of two"
    days, events = entry.aggregate.window_days, entry.aggregate.events
    within = f"newest {events}" if events else "all" if days is None else f"{days} d"
    return f"{entry.aggregate.op}, {within}"


def _short(value: float | date | None) -> str:
    if value is None:
        return ""
    words = str(value) if isinstance(value, date) else brief(value)
    return words if isinstance(value, date) or len(words) <= _LONGEST_NUMBER else f"{value:.3g}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Names get the room that the other columns leave; one that needs more has a line to itself."""
    others = [_width(rows, place) for place in range(1, len(_HEADS))]
    room = max(WIDTH - sum(others) - len(others) * len(_GAP), len(_HEADS[0]))
    names = min(max(len(row[0]) for row in rows), room)
    lines = []
    for row in rows:
        if len(row[0]) > names:
            lines.append(row[0])
        first = row[0] if len(row[0]) <= names else ""
        lines.append(_line((first, *row[1:]), (names, *others)))
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    of_words = len(row) - _NUMBERS - 1
    cells = [
        cell.ljust(width) if place < of_words else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return _GAP.join(cells).rstrip()


def _width(rows: Sequence[tuple[str, ...]], place: int) -> int:
    return max((len(row[place]) for row in rows if row[place] != NOT_PUBLISHED), default=0)
