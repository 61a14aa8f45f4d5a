"""The skeleton of every HTML page: one self-contained page, readable on a phone and on a desk, by day and by night.

Every text passes through `escape` in here, so no caller can forget it. Nothing is loaded from anywhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from headwater.pages.charts import Drawing
from headwater.pages.style import STYLE

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>{script}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers align to the right, a share of the width keeps sibling tables aligned."""

    label: str
    number: bool = False
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell whose word says good, warn or bad; the colour only repeats it."""

    word: str
    tone: str


@dataclass(frozen=True, slots=True)
class Folded:
    """A cell that opens: a line to see at first, and lines of code beneath."""

    summary: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A small picture of one thing.

    Attributes:
        headline: its most telling value; may be empty.
        axis: words under the drawing, at its left and at its right end.
        facts: labelled values, `columns` of them in a line.
        shares: lines of label, bar and value.
    """

    title: str
    headline: str = ""
    drawing: Drawing | None = None
    axis: tuple[str, str] | None = None
    facts: tuple[tuple[str, str], ...] = ()
    columns: int = 4
    shares: tuple[tuple[str, Drawing, str], ...] = ()


Cell = str | Mark | Folded | Drawing


def page(title: str, sections: Iterable[str], *, style: str = "", script: str = "") -> str:
    """The whole document around finished sections.

    Args:
        title: of the window.
        sections: finished HTML; empty ones are left out.
        style: rules of this page beside the shared ones.
        script: what the page may do beyond being read; all of it has to be readable without.
    """
    body = "\n".join(section for section in sections if section)
    run = f"\n<script>{script}</script>" if script else ""
    return _PAGE.format(title=escape(title), style=STYLE + style, body=body, script=run)


def heading(text: str, aside: str = "", *, level: int = 2) -> str:
    """A heading, with softer words behind it."""
    small = f" <small>{escape(aside)}</small>" if aside else ""
    return f"<h{level}>{escape(text)}{small}</h{level}>"


def section(anchor: str, parts: Iterable[str]) -> str:
    """Parts that `contents` can point to."""
    return "\n".join([f'<section id="{escape(anchor)}">', *parts, "</section>"])


def contents(entries: Iterable[tuple[str, str]]) -> str:
    """Links to the sections of the page: (anchor, label)."""
    links = "".join(f'<a href="#{escape(anchor)}">{escape(label)}</a>' for anchor, label in entries)
    return f'<nav aria-label="Contents">{links}</nav>' if links else ""


def paragraph(text: str) -> str:
    """A line of secondary text."""
    return f'<p class="soft">{escape(text)}</p>'


def banner(tone: str, headline: str, lines: Sequence[str]) -> str:
    """The verdict: one sentence, and what speaks against it."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    listing = f"<ul>{items}</ul>" if items else ""
    return f'<div class="verdict {escape(tone)}"><strong>{escape(headline)}</strong>{listing}</div>'


def note(headline: str, lines: Iterable[str], commands: Iterable[str] = ()) -> str:
    """Something that wants attention: what it is, what it means, and the commands that deal with it."""
    told = "".join(f"<p>{escape(line)}</p>" for line in lines)
    shown = "".join(f"<code>{escape(command)}</code>" for command in commands)
    return f'<div class="note"><strong>{escape(headline)}</strong>{told}{shown}</div>'


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Key figures side by side."""
    return f"<dl>{''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in pairs)}</dl>"


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> str:
    """A table; on a phone each row becomes a block of labelled lines."""
    head = "".join(_head(column) for column in columns)
    body = "".join(
        f"<tr>{''.join(_cell(column, cell) for column, cell in zip(columns, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="table stack"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def cards(several: Iterable[Card]) -> str:
    """Cards side by side, as many as fit."""
    return f'<div class="cards">{"".join(_card(each) for each in several)}</div>'


def _card(card: Card) -> str:
    parts = [f"<h3>{escape(card.title)}</h3>"]
    if card.headline:
        parts.append(f"<b>{escape(card.headline)}</b>")
    if card.drawing:
        parts.append(drawing(card.drawing))
    if card.axis:
        parts.append(f'<div class="axis">{"".join(f"<span>{escape(end)}</span>" for end in card.axis)}</div>')
    if card.shares:
        lines = "".join(
            f"<span>{escape(label)}</span>{drawing(bar)}<span>{escape(value)}</span>"
            for label, bar, value in card.shares
        )
        parts.append(f'<div class="shares">{lines}</div>')
    if card.facts:
        parts.append(f'<div class="facts of{card.columns}">{figures(card.facts)}</div>')
    return f'<div class="card">{"".join(parts)}</div>'


def drawing(shown: Drawing) -> str:
    """A drawing as inline SVG, as wide as where it stands."""
    paths = "".join(f'<path class="{escape(path.look)}" d="{escape(path.data)}"/>' for path in shown.paths)
    described = f"<desc>{escape(shown.detail)}</desc>" if shown.detail else ""
    frame = f'<svg class="{escape(shown.shape)}" viewBox="0 0 100 100" preserveAspectRatio="none" role="img">'
    return f"{frame}<title>{escape(shown.title)}</title>{described}{paths}</svg>"


def _head(column: Column) -> str:
    width = f' style="width:{column.percent}%"' if column.percent else ""
    return f"<th{' class=n' if column.number else ''}{width}>{escape(column.label)}</th>"


def _cell(column: Column, cell: Cell) -> str:
    label = f' data-label="{escape(column.label)}"'
    match cell:
        case Mark(word, tone):
            return f'<td class="mark {escape(tone)}"{label}>{escape(word)}</td>'
        case Folded(summary, lines):
            folded = "".join(f"<code>{escape(line)}</code>" for line in lines)
            return f"<td class=block><details><summary>{escape(summary)}</summary>{folded}</details></td>"
        case Drawing():
            return f"<td{label}>{drawing(cell)}</td>"
        case str():
            return f"<td{' class=n' if column.number else ''}{label}><span>{escape(cell)}</span></td>"
