"""The skeleton of the HTML report: one self-contained page, readable on a phone and on a desk, by day and by night.

Every text passes through `escape` in here, so no caller can forget it. Nothing is loaded from anywhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root{color-scheme:light dark;--paper:#f7f8f9;--card:#fff;--ink:#1b2430;--soft:#5a6675;--line:#dfe4ea;
--good:#1a7044;--good-bg:#e4f4ea;--warn:#855600;--warn-bg:#fcf1d6;--bad:#ab2330;--bad-bg:#fbe6e8}
@media (prefers-color-scheme:dark){:root{--paper:#12161b;--card:#1a2027;--ink:#e5eaf0;--soft:#9aa7b5;--line:#2d3640;
--good:#6fd49c;--good-bg:#173426;--warn:#edbe62;--warn-bg:#382c12;--bad:#ff929a;--bad-bg:#40191e}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:66rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.125rem;margin:2.5rem 0 .75rem}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
h3 small{font-weight:400;color:var(--soft);margin-left:.5rem}
p{margin:.25rem 0}
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
.wide td{white-space:nowrap}
@media (max-width:44rem){main{padding:1.25rem .9rem 3rem}
.stack thead{display:none}.stack tbody,.stack tr,.stack td{display:block}
.stack tr{padding:.6rem .9rem}.stack tr+tr{border-top:1px solid var(--line)}
.stack td,.stack td.n{border:0!important;padding:.12rem 0;display:flex;justify-content:space-between;gap:1rem;
text-align:right;white-space:normal;overflow-wrap:anywhere}
.stack td::before{content:attr(data-label);color:var(--soft);font-weight:400;text-align:left;flex:none}
.stack td:first-child{font-weight:600}}
@media print{body{background:none}.table,dl div{break-inside:avoid}}
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


Cell = str | Mark


def page(title: str, sections: Iterable[str]) -> str:
    """The whole document around finished sections."""
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(section for section in sections if section))


def heading(text: str, note: str = "", *, level: int = 2) -> str:
    """A heading, with a softer note behind it."""
    small = f" <small>{escape(note)}</small>" if note else ""
    return f"<h{level}>{escape(text)}{small}</h{level}>"


def paragraph(text: str) -> str:
    """A line of secondary text."""
    return f'<p class="soft">{escape(text)}</p>'


def banner(tone: str, headline: str, lines: Sequence[str]) -> str:
    """The verdict: one sentence, and what speaks against it."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    listing = f"<ul>{items}</ul>" if items else ""
    return f'<div class="verdict {escape(tone)}"><strong>{escape(headline)}</strong>{listing}</div>'


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Key figures side by side."""
    return f"<dl>{''.join(f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in pairs)}</dl>"


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, wide: bool = False) -> str:
    """A table; on a phone each row becomes a block of labelled lines, or a wide one scrolls sideways instead."""
    head = "".join(_head(column) for column in columns)
    body = "".join(
        f"<tr>{''.join(_cell(column, cell) for column, cell in zip(columns, row, strict=True))}</tr>" for row in rows
    )
    shape = "wide" if wide else "stack"
    return f'<div class="table {shape}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _head(column: Column) -> str:
    width = f' style="width:{column.percent}%"' if column.percent else ""
    return f"<th{' class=n' if column.number else ''}{width}>{escape(column.label)}</th>"


def _cell(column: Column, cell: Cell) -> str:
    label = f' data-label="{escape(column.label)}"'
    if isinstance(cell, Mark):
        return f'<td class="mark {escape(cell.tone)}"{label}>{escape(cell.word)}</td>'
    return f"<td{' class=n' if column.number else ''}{label}><span>{escape(cell)}</span></td>"
