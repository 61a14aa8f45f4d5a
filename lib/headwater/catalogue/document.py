"""The catalogue for machines: `headwater features --json` (semantics.md, section 7)."""

from datetime import date

from headwater.catalogue.facts import Catalogue, Entry, Lineage, Publication, Statistics
from headwater.catalogue.wording import allowance, grain, when_late
from headwater.config.aggregates import Aggregate, Derived
from headwater.config.base import JsonValue

NOT_PUBLISHED = "not published yet"
_SECONDS_OF_A_DAY = 86_400
_TOLD_ELSEWHERE = {"name", "type", "owner", "tags", "description"}


def document(catalogue: Catalogue) -> dict[str, JsonValue]:
    """Everything the catalogue knows, in JSON's own types."""
    view, published = catalogue.view, catalogue.publication
    return {
        "features": [_feature(catalogue, entry) for entry in catalogue.entries],
        "entity_keys": [view.entity],
        "ttl_seconds": None if view.ttl_days is None else view.ttl_days * _SECONDS_OF_A_DAY,
        "view": view.name,
        "pipeline_version": view.pipeline_version,
        "status": "published" if published else NOT_PUBLISHED,
        "published": _publication(published) if published else None,
        "grain": grain(view),
        "date_column": "feature_date",
        "entity_type": catalogue.entity_type,
        "owner": view.owner,
        "tags": list(view.tags),
        "description": view.description,
        "population": {**_lineage(catalogue.population), "since": view.population.since, "rows": catalogue.membership},
        "tables": {"history": catalogue.history, "latest": catalogue.latest},
        "sql": {query.title: query.sql for query in catalogue.queries},
    }


def _feature(catalogue: Catalogue, entry: Entry) -> dict[str, JsonValue]:
    declared = entry.aggregate.model_dump(mode="json", exclude=_TOLD_ELSEWHERE) if entry.aggregate else {}
    if isinstance(entry.aggregate, Aggregate):
        declared["where"] = [each.model_dump(mode="json", exclude_none=True) for each in entry.aggregate.where]
    return {
        "name": entry.name,
        "kind": _kind(entry),
        "type": entry.type,
        "definition": entry.definition,
        "description": entry.description,
        **declared,
        "event_time": entry.event_time,
        "lineage": {**_lineage(entry.lineage), "feature": f"gold/{catalogue.view.name}.{entry.name}"},
        "freshness": _freshness(entry),
        "owner": entry.owner,
        "tags": list(entry.tags),
        "last_published": _last_published(catalogue, entry),
        "statistics": _statistics(entry.statistics, catalogue.publication) if entry.statistics else None,
    }


def _kind(entry: Entry) -> str:
    if entry.aggregate is None:
        return "attribute"
    return "derived" if isinstance(entry.aggregate, Derived) else "aggregate"


def _lineage(lineage: Lineage) -> dict[str, JsonValue]:
    return {
        "source": {"kind": lineage.kind, "name": lineage.source, "reads": lineage.reads},
        "bronze": lineage.bronze,
        "silver": {"table": lineage.silver, "columns": list(lineage.columns)},
    }


def _freshness(entry: Entry) -> dict[str, JsonValue]:
    gate = entry.freshness
    return {
        "max_lag_hours": gate.max_lag_hours if gate else None,
        "allowed": allowance(gate),
        "when_late": when_late(gate),
        "carried_forward": entry.carried,
    }


def _last_published(catalogue: Catalogue, entry: Entry) -> str | None:
    """None also for a feature that the last publication did not have yet."""
    published = catalogue.publication
    if published is None or (published.statistics and entry.statistics is None):
        return None
    return published.last.isoformat()


def _publication(published: Publication) -> dict[str, JsonValue]:
    return {
        "first_date": published.first.isoformat(),
        "last_date": published.last.isoformat(),
        "dates": published.dates,
        "at": published.at.isoformat(),
        "run_id": published.run_id,
        "pipeline_version": published.pipeline_version,
        "statistics_of": published.judged.isoformat() if published.judged else None,
    }


def _statistics(found: Statistics, published: Publication | None) -> dict[str, JsonValue]:
    return {
        "date": published.judged.isoformat() if published and published.judged else None,
        "rows": found.rows,
        "null_ratio": found.null_ratio,
        "min": _plain(found.min),
        "max": _plain(found.max),
        "mean": found.mean,
        "values": dict(found.values),
    }


def _plain(value: float | date | None) -> JsonValue:
    return value.isoformat() if isinstance(value, date) else value
