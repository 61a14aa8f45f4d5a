"""Lineage as inline SVG: a rail of four stops for one feature, and a map from all sources to the view.

Unlike the drawings of `pages.charts` these hold text. A rail is therefore not scaled but clipped, and the map scrolls.
"""

import textwrap
from collections.abc import Iterable, Sequence
from html import escape

from headwater.catalogue.facts import Lineage

KINDS = {"jdbc": "PostgreSQL", "mongo": "MongoDB", "files": "S3 files"}
_LINE = 20
_FITS = 34
_BOX = 46
_LANE = 66
_TOP = 24
_WIDTH = 860
_STOPS = (("source", 1, 190), ("bronze", 223, 150), ("silver", 405, 200), ("published", 657, 200))


def rail(lineage: Lineage, published: str) -> str:
    """One feature from its source down to its column.

    Args:
        lineage: where it comes from.
        published: table and column that readers see.
    """
    table = lineage.silver.rpartition("/")[2]
    stops = [
        ("source", [f"{KINDS[lineage.kind]} {lineage.reads}"]),
        ("bronze", [lineage.bronze.rpartition("/")[2]]),
        ("silver", textwrap.wrap(f"{table}: {', '.join(lineage.columns)}", _FITS)),
        ("feature", [published]),
    ]
    told = "; ".join(f"{label}: {' '.join(lines)}" for label, lines in stops)
    parts, y = [], _LINE // 2
    last = sum(len(lines) for _, lines in stops[:-1]) * _LINE + y
    for label, lines in stops:
        look = "end" if y == last else "stop"
        parts.append(f'<circle class="{look}" cx="7" cy="{y}" r="4.5"/>')
        parts.append(f'<text class="stage" x="22" y="{y + 4}">{label}</text>')
        for line in lines:
            parts.append(f'<text x="76" y="{y + 4}">{escape(_cut(line, _FITS))}</text>')
            y += _LINE
    line = f'<path class="line" d="M7 {_LINE // 2}V{last}"/>'
    title = f"<title>Lineage of {escape(published)}</title><desc>{escape(told)}</desc>"
    return f'<svg class="rail" height="{y}" role="img">{title}{line}{"".join(parts)}</svg>'


def lineage_map(lanes: Sequence[tuple[Lineage, int]], population: str, view: str) -> str:
    """Every source on its way to the view.

    Args:
        lanes: lineage of each silver table, and how many features come from it.
        population: the silver table that decides who has a row.
        view: name of the published table.
    """
    goal = _TOP + (len(lanes) - 1) * _LANE // 2
    height = _TOP + (len(lanes) - 1) * _LANE + _BOX + 1
    heads = [f'<text class="stage" x="{x}" y="12">{name}</text>' for name, x, _ in _STOPS]
    parts = [*heads]
    for place, (lineage, features) in enumerate(lanes):
        y, silver = _TOP + place * _LANE, lineage.silver.rpartition("/")[2]
        told = _features(features, decides=silver == population)
        parts += [
            *_arrows(y, goal),
            _box(0, y, KINDS[lineage.kind], lineage.reads),
            _box(1, y, lineage.bronze.rpartition("/")[2], "as it came"),
            _box(2, y, silver, told),
        ]
    parts.append(_box(3, goal, view, "history and latest", look="goal"))
    words = "; ".join(f"{each.reads} by {each.bronze} and {each.silver}" for each, _ in lanes)
    title = f"<title>From the sources to {escape(view)}</title><desc>{escape(words)}</desc>"
    return (
        '<div class="map" tabindex="0" role="group" aria-label="Lineage of the view">'
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{title}{"".join(parts)}</svg></div>'
    )


def _features(count: int, *, decides: bool) -> str:
    told = [f"{count} feature{'s' if count != 1 else ''}"] if count else []
    return ", ".join([*told, *(["who has a row"] if decides else [])])


def _arrows(y: int, goal: int) -> Iterable[str]:
    middle = y + _BOX // 2
    for (_, x, width), (_, after, _) in zip(_STOPS[:2], _STOPS[1:3], strict=True):
        yield f'<path class="line" d="M{x + width} {middle}H{after}"/>'
    _, x, width = _STOPS[2]
    begin, end, to = x + width, _STOPS[3][1], goal + _BOX // 2
    bend = (begin + end) // 2
    yield f'<path class="line" d="M{begin} {middle}C{bend} {middle} {bend} {to} {end} {to}"/>'


def _box(stop: int, y: int, name: str, below: str, *, look: str = "") -> str:
    _, x, width = _STOPS[stop]
    fits = (width - 20) // 7
    return (
        f'<g class="{look}"><rect x="{x}" y="{y}" width="{width}" height="{_BOX}" rx="8"/>'
        f'<text x="{x + 10}" y="{y + 20}">{escape(_cut(name, fits))}</text>'
        f'<text class="stage" x="{x + 10}" y="{y + 36}">{escape(_cut(below, fits))}</text></g>'
    )


def _cut(text: str, fits: int) -> str:
    return text if len(text) <= fits else f"{text[: fits - 1]}…"
