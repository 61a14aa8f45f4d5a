"""The catalogue as one page that needs nothing else: what there is, what it means, where it comes from, how to ask."""

import math
from collections.abc import Iterable
from datetime import date
from html import escape

from headwater.catalogue.document import NOT_PUBLISHED
from headwater.catalogue.facts import Catalogue, Entry, Lineage, Publication, Query, Statistics
from headwater.catalogue.picture import KINDS, lineage_map, rail
from headwater.catalogue.style import SCRIPT, STYLE
from headwater.catalogue.wording import allowance, hours, usable, when_late
from headwater.config.gates import FreshnessGate
from headwater.pages.charts import histogram, span
from headwater.pages.numbers import brief, share
from headwater.pages.page import Column, banner, contents, drawing, figures, heading, page, paragraph, section, table

_SECTIONS = (("features", "Features"), ("lineage", "Where it comes from"), ("sql", "How to query it"))


def catalogue_html(catalogue: Catalogue) -> str:
    """The whole page."""
    view = catalogue.view
    parts = (_features(catalogue), _sources(catalogue), _queries(catalogue))
    return page(
        f"{view.name}: feature catalogue",
        [
            heading(view.name, level=1),
            paragraph(view.description) if view.description else "",
            _tags(view.tags),
            _published(catalogue),
            figures(_key_facts(catalogue)),
            contents(_SECTIONS),
            *(section(anchor, found) for (anchor, _), found in zip(_SECTIONS, parts, strict=True)),
        ],
        style=STYLE,
        script=SCRIPT,
    )


def _key_facts(catalogue: Catalogue) -> list[tuple[str, str]]:
    view = catalogue.view
    limits = {entry.freshness.max_lag_hours if entry.freshness else math.inf for entry in catalogue.entries}
    ages = ["no limit" if math.isinf(each) else hours(each) for each in sorted(limits)]
    return [
        ("Entity", f"{view.entity}, {catalogue.entity_type}"),
        ("One row per", f"{view.entity} and date"),
        ("Owner", view.owner or "nobody named"),
        ("Version", view.pipeline_version),
        ("A row is usable", usable(view.ttl_days)),
        ("Freshness", " or ".join(", ".join(ages).rsplit(", ", 1))),
    ]


def _published(catalogue: Catalogue) -> str:
    published = catalogue.publication
    if published is None:
        return banner("warn", f"{NOT_PUBLISHED.capitalize()}.", ["These are definitions; there are no rows to read."])
    lines = [
        f"{published.dates:,} dates from {published.first}; run {published.run_id} published the newest on "
        f"{published.at:%Y-%m-%d at %H:%M} UTC.",
        *_doubts(catalogue, published),
    ]
    return banner("good" if len(lines) == 1 else "warn", f"Published up to {published.last}.", lines)


def _doubts(catalogue: Catalogue, published: Publication) -> list[str]:
    """What a reader has to know about the newest date."""
    doubts = []
    if published.pipeline_version != catalogue.view.pipeline_version:
        doubts.append(f"Its rows and the statistics are of other definitions, {published.pipeline_version}.")
    if published.carried:
        doubts.append(f"{', '.join(published.carried)} came late: on that date its features keep older values.")
    if published.judged is None:
        doubts.append("No report has statistics of it.")
    elif published.judged != published.last:
        doubts.append(f"Statistics are of {published.judged}; there are none of the newest date.")
    return doubts


def _features(catalogue: Catalogue) -> list[str]:
    published = catalogue.publication
    judged = published.judged if published else None
    # What all have in common tells none from another.
    tags = dict.fromkeys(tag for entry in catalogue.entries for tag in entry.tags if tag not in catalogue.view.tags)
    choices = "".join(
        f'<li><button type="button" class="tag" aria-pressed="false">{escape(tag)}</button></li>' for tag in tags
    )
    listed = f'<ul class="tags" aria-label="Only features with the tag">{choices}</ul>' if choices else ""
    cards = "".join(_card(catalogue, entry) for entry in catalogue.entries)
    return [
        heading("Features", f"statistics of {judged}" if judged else ""),
        '<form class="find" role="search" hidden><input id="find" type="search" aria-label="Search features" '
        'placeholder="Search by name, meaning or table  ( / )"><output id="found" for="find"></output>'
        f"{listed}</form>",
        f'<div class="cards features">{cards}</div>',
    ]


def _card(catalogue: Catalogue, entry: Entry) -> str:
    name, own = escape(entry.name), escape(" ".join(entry.tags))
    parts = [
        f'<h3><a href="#{name}">{name}</a> <code>{escape(entry.type)}</code></h3>',
        f"<p>{escape(entry.description)}</p>" if entry.description else "",
        paragraph(_sentence(entry.definition)),
        _late(entry),
        _tags(tag for tag in entry.tags if tag not in catalogue.view.tags),
        rail(entry.lineage, entry.name),
        _statistics(entry.name, entry.statistics),
    ]
    if entry.owner != catalogue.view.owner:
        parts.insert(2, paragraph(f"Owner: {entry.owner}"))
    return f'<article class="card feature" id="{name}" data-tags="{own}">{"".join(parts)}</article>'


def _late(entry: Entry) -> str:
    return '<p class="late">Its source came late: the newest date keeps older values.</p>' if entry.carried else ""


def _statistics(name: str, found: Statistics | None) -> str:
    if found is None:
        return paragraph(f"Statistics: {NOT_PUBLISHED}.")
    nulls = ("Nulls", share(found.nulls, found.rows))
    if found.values:
        lines = "".join(_share(value, count, found.rows) for value, count in found.values)
        return f'<div class="shares">{lines}</div><div class="facts of4">{figures([nulls])}</div>'
    facts = [nulls, ("Min", _words(found.min)), ("Mean", _words(found.mean)), ("Max", _words(found.max))]
    shown = [(label, words) for label, words in facts if words]
    return f'{_histogram(name, found)}<div class="facts of4">{figures(shown)}</div>'


def _histogram(name: str, found: Statistics) -> str:
    if not found.bars:
        return ""
    detail = f"{len(found.bars)} bars from {brief(found.low)} to {brief(found.high)}: {', '.join(map(str, found.bars))}"
    return drawing(histogram(f"Distribution of {name}", detail, found.bars))


def _share(value: str, count: int, rows: int) -> str:
    part = share(count, rows)
    return f"<span>{escape(value)}</span>{drawing(span(part, 0, count, rows))}<span>{part}</span>"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _words(value: float | date | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, date) else brief(value)


def _tags(tags: Iterable[str]) -> str:
    items = "".join(f'<li class="tag">{escape(tag)}</li>' for tag in tags)
    return f'<ul class="tags" aria-label="Tags">{items}</ul>' if items else ""


def _sources(catalogue: Catalogue) -> list[str]:
    """The way of each table, and how old its data may be."""
    lanes: dict[str, tuple[Lineage, FreshnessGate | None, int]] = {}
    population = catalogue.population
    for entry in catalogue.entries:
        _, _, count = lanes.get(entry.lineage.silver, (None, None, 0))
        lanes[entry.lineage.silver] = (entry.lineage, entry.freshness, count + 1)
    lanes.setdefault(population.silver, (population, None, 0))
    columns = [Column("Source"), Column("Read from"), Column("Newest data"), Column("If it is later")]
    rows = [
        (lineage.source, f"{KINDS[lineage.kind]} {lineage.reads}", allowance(gate), when_late(gate))
        for lineage, gate, _ in lanes.values()
    ]
    who = population.silver.rpartition("/")[2]
    return [
        heading("Where it comes from"),
        paragraph(f"{_sentence(catalogue.membership)} Ages are counted to the end of the date."),
        lineage_map([(lineage, count) for lineage, _, count in lanes.values()], who, catalogue.view.name),
        table(columns, rows),
    ]


def _queries(catalogue: Catalogue) -> list[str]:
    return [
        heading("How to query it", "Spark SQL"),
        paragraph(
            "Beside its features a row has stale_sources, naming sources that came too late for its date, and "
            "pipeline_version."
        ),
        *(_query(query) for query in catalogue.queries),
    ]


def _query(query: Query) -> str:
    shown = (
        f'<pre tabindex="0" role="group" aria-label="SQL: {escape(query.title)}"><code>{escape(query.sql)}</code></pre>'
    )
    return f'<div class="query">{heading(query.title, level=3)}{paragraph(query.about)}{shown}</div>'
