"""From `conf/` to the entries of the catalogue: what is declared, where it comes from, and what was published of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from headwater.catalogue.facts import Catalogue, Entry, Lineage, Publication, Query
from headwater.catalogue.wording import attribute, definition, derivation, membership
from headwater.config.aggregates import Aggregate, Derived
from headwater.config.features import FeatureGroup
from headwater.config.project import Project
from headwater.config.sources import FilesSource, JdbcSource, MongoSource
from headwater.config.tables import TableContract


def catalogue_of(
    project: Project, publication: Publication | None, *, tables: tuple[str, str], queries: Sequence[Query]
) -> Catalogue:
    """The catalogue of a project's view.

    Args:
        project: what is declared.
        publication: what readers find now.
        tables: how SQL names history and latest.
        queries: SQL to begin with.
    """
    view, members = project.view, project.tables[project.view.population.table]
    aggregates = [_aggregate(project, group, each, publication) for group in view.groups for each in group.features]
    derived = _derived(project, {each.name: each for each in aggregates}, publication)
    attributes = [_attribute(project, members, name, publication) for name in view.attributes]
    history, latest = tables
    return Catalogue(
        view=view,
        entity_type=_types(members)[members.entity],
        population=_lineage(project, members, (members.entity, view.population.since)),
        membership=membership(view, members.kind),
        entries=(*aggregates, *derived, *attributes),
        history=history,
        latest=latest,
        queries=tuple(queries),
        publication=publication,
    )


def _aggregate(project: Project, group: FeatureGroup, feature: Aggregate, published: Publication | None) -> Entry:
    contract = project.tables[group.table]
    return Entry(
        name=feature.name,
        type=feature.type,
        definition=definition(feature, group.table),
        aggregate=feature,
        event_time=group.event_time,
        lineage=_lineage(project, contract, feature.reads(group.event_time)),
        freshness=project.sources[contract.source].gates.freshness,
        owner=feature.owner or project.view.owner,
        tags=tuple(dict.fromkeys((*feature.tags, *project.view.tags))),
        description=feature.description,
        carried=published is not None and group.table in published.carried,
        statistics=published.statistics.get(feature.name) if published else None,
    )


def _derived(project: Project, found: dict[str, Entry], published: Publication | None) -> list[Entry]:
    """Features of features, in declared order; each is shown where the first of its two comes from."""
    for feature in project.view.derived_in_turn:
        operands = [found[name] for name in feature.of]
        found[feature.name] = _derived_entry(project, feature, operands, published)
    return [found[feature.name] for feature in project.view.derived]


def _derived_entry(
    project: Project, feature: Derived, operands: Sequence[Entry], published: Publication | None
) -> Entry:
    first, second = operands
    shared = second.lineage.columns if second.lineage.silver == first.lineage.silver else ()
    return replace(
        first,
        name=feature.name,
        type=feature.type,
        definition=derivation(feature),
        aggregate=feature,
        event_time=None,
        lineage=replace(first.lineage, columns=tuple(dict.fromkeys((*first.lineage.columns, *shared)))),
        owner=feature.owner or project.view.owner,
        tags=tuple(dict.fromkeys((*feature.tags, *project.view.tags))),
        description=feature.description,
        carried=any(each.carried for each in operands),
        statistics=published.statistics.get(feature.name) if published else None,
    )


def _attribute(project: Project, members: TableContract, name: str, published: Publication | None) -> Entry:
    return Entry(
        name=name,
        type=_types(members)[name],
        definition=attribute(name, members.name),
        aggregate=None,
        event_time=None,
        lineage=_lineage(project, members, (name,)),
        freshness=project.sources[members.source].gates.freshness,
        owner=project.view.owner,
        tags=project.view.tags,
        description="",
        carried=False,
        statistics=published.statistics.get(name) if published else None,
    )


def _lineage(project: Project, contract: TableContract, columns: tuple[str, ...]) -> Lineage:
    source = project.sources[contract.source]
    return Lineage(
        kind=source.kind,
        source=source.name,
        reads=_reads(source),
        bronze=f"bronze/{source.name}",
        silver=f"silver/{contract.name}",
        columns=columns,
    )


def _reads(source: JdbcSource | MongoSource | FilesSource) -> str:
    match source:
        case JdbcSource():
            return source.table
        case MongoSource():
            return f"{source.database}.{source.collection}"
        case FilesSource():
            return source.prefix or source.pattern
        case _:
            assert_never(source)


def _types(contract: TableContract) -> dict[str, str]:
    return {column.name: column.type for column in contract.columns}
