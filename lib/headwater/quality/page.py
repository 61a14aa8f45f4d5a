"""The skeleton of the HTML report: one self-contained page, readable on a phone and on a desk, by day and by night.

Every text passes through `escape` in here, so no caller can forget it. Nothing is loaded from anywhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from headwater.quality.charts import Drawing

_STYLE = """
:root{color-scheme:light dark;--paper:#f7f8f9;--card:#fff;--ink:#1b2430;--soft:#5a6675;--line:#dfe4ea;
--accent:#3b6ea5;--good:#1a7044;--good-bg:#e4f4ea;--warn:#855600;--warn-bg:#fcf1d6;--bad:#ab2330;--bad-bg:#fbe6e8}
@media (prefers-color-scheme:dark){:root{--paper:#12161b;--card:#1a2027;--ink:#e5eaf0;--soft:#9aa7b5;--line:#2d3640;
--accent:#7fb0e0;--good:#6fd49c;--good-bg:#173426;--warn:#edbe62;--warn-bg:#382c12;--bad:#ff929a;--bad-bg:#40191e}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:66rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.125rem;margin:2.5rem 0 .75rem}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
h2 small,h3 small{font-weight:400;color:var(--soft);margin-left:.5rem}
p{margin:.25rem 0}
p+.table,p+.cards{margin-top:.6rem}
.soft{color:var(--soft);overflow-wrap:anywhere}
.verdict{border-radius:10px;padding:1.1rem 1.25rem;margin:1.25rem 0}
.verdict strong{font-size:1.25rem;line-height:1.3;display:block}
.verdict ul{margin:.6rem 0 0;padding-left:1.2rem}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.verdict.good{background:var(--good-bg)}.verdict.warn{background:var(--warn-bg)}.verdict.bad{background:var(--bad-bg)}
.verdict li,.verdict p{color:var(--ink)}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.7rem .9rem}
dt{color:var(--soft);font-size:.875rem}
dd{margin:0;font-size:1.25rem;font-variant-numeric:tabular-nums}
.table{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{text-align:left;padding:.5rem .75rem;vertical-align:top}
th{font-weight:500;color:var(--soft);font-size:.8125rem;white-space:nowrap}
tr+tr td,thead+tbody tr:first-child td{border-top:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.mark{font-weight:600;white-space:nowrap}
a{color:var(--accent)}
nav{margin:1.25rem 0 0;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;font-size:.9375rem}
code{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.note{background:var(--card);border:1px solid var(--line);border-left:3px solid var(--warn);border-radius:10px;
padding:.8rem 1rem;margin:.75rem 0}
.note strong{display:block;font-weight:600}
.note code{display:block;background:var(--paper);border-radius:6px;padding:.4rem .6rem;margin-top:.4rem}
main>dl{margin-top:1.25rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.75rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem .9rem;min-width:0}
.card h3{margin:0;font-size:.9375rem;font-weight:600;overflow-wrap:anywhere}
.card b{display:block;font-size:1.25rem;font-weight:400;font-variant-numeric:tabular-nums}
.card dl{gap:.4rem .5rem;margin-top:.6rem}
.of4 dl{grid-template-columns:repeat(4,1fr)}.of3 dl{grid-template-columns:repeat(3,1fr)}
.card dl div{background:none;border:0;border-radius:0;padding:0;min-width:0}
.card dt{font-size:.75rem}.card dd{font-size:.875rem;overflow-wrap:anywhere}
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.75rem;border-top:1px solid var(--line);
padding-top:.15rem;font-variant-numeric:tabular-nums}
svg{display:block;width:100%}
svg.chart{height:3.5rem;margin-top:.5rem}
svg.strip{height:.6rem;margin:.45rem 0;background:var(--paper);border-radius:3px}
path.bar{fill:var(--accent)}
path.line,path.good,path.bad{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round;stroke-linecap:round;
vector-effect:non-scaling-stroke}
path.good,path.bad{stroke-width:7}path.bad{stroke:var(--bad)}
.shares{display:grid;grid-template-columns:minmax(3rem,auto) 1fr auto;gap:0 .6rem;margin-top:.4rem;font-size:.875rem;
font-variant-numeric:tabular-nums}
.shares span{overflow-wrap:anywhere}.shares span:nth-child(3n){text-align:right}
summary{cursor:pointer;color:var(--soft);overflow-wrap:anywhere}
details code{display:block;margin:.3rem 0 .2rem;padding-left:.7rem;border-left:2px solid var(--line)}
@media (max-width:44rem){main{padding:1.25rem .9rem 3rem}
.stack thead{display:none}.stack tbody,.stack tr,.stack td{display:block}
.stack tr{padding:.6rem .9rem}.stack tr+tr{border-top:1px solid var(--line)}
.stack td,.stack td.n{border:0!important;padding:.12rem 0;display:flex;justify-content:space-between;gap:1rem;
text-align:right;white-space:normal;overflow-wrap:anywhere}
.stack td::before{content:attr(data-label);color:var(--soft);font-weight:400;text-align:left;flex:none}
.stack td:first-child{font-weight:600}
.stack td.block{display:block;text-align:left}
.stack td svg{max-width:60%}}
@media print{body{background:none}tr,.card,dl div{break-inside:avoid}
details::details-content{content-visibility:visible;display:block}}
"""

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
</main>
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


def page(title: str, sections: Iterable[str]) -> str:
    """The whole document around finished sections."""
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(section for section in sections if section))


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
        parts.append(_drawing(card.drawing))
    if card.axis:
        parts.append(f'<div class="axis">{"".join(f"<span>{escape(end)}</span>" for end in card.axis)}</div>')
    if card.shares:
        lines = "".join(
            f"<span>{escape(label)}</span>{_drawing(bar)}<span>{escape(value)}</span>"
            for label, bar, value in card.shares
        )
        parts.append(f'<div class="shares">{lines}</div>')
    if card.facts:
        parts.append(f'<div class="facts of{card.columns}">{figures(card.facts)}</div>')
    return f'<div class="card">{"".join(parts)}</div>'


def _drawing(drawing: Drawing) -> str:
    paths = "".join(f'<path class="{escape(path.look)}" d="{escape(path.data)}"/>' for path in drawing.paths)
    described = f"<desc>{escape(drawing.detail)}</desc>" if drawing.detail else ""
    frame = f'<svg class="{escape(drawing.shape)}" viewBox="0 0 100 100" preserveAspectRatio="none" role="img">'
    return f"{frame}<title>{escape(drawing.title)}</title>{described}{paths}</svg>"


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
            return f"<td{label}>{_drawing(cell)}</td>"
        case str():
            return f"<td{' class=n' if column.number else ''}{label}><span>{escape(cell)}</span></td>"
