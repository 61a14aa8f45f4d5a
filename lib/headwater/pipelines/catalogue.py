"""What the feature catalogue tells of what was published: read from ledger and reports, without a session."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import assert_never

from headwater.catalogue.entries import catalogue_of
from headwater.catalogue.facts import Catalogue, Publication, Query, Statistics
from headwater.catalogue.wording import usable
from headwater.pipelines.published import published_dates
from headwater.pipelines.steps import PublishStage, Runtime, StageDates
from headwater.quality.facts import DateSpread, Distributions, NumberSpread, Spread, ValueSpread
from headwater.quality.report import distributions_in
from headwater.state.files import read_file
from headwater.state.streams import Commit
from headwater.tables.examples import Published, history_of, latest_row, point_in_time, table_reference

# A run that published several slices reports on the last one only: older publications are asked, but not for ever.
_REPORTS = 8


def feature_catalogue(runtime: Runtime) -> Catalogue:
    """The view as `conf/` declares it, with what readers find of it now."""
    project, view = runtime.project, runtime.project.view
    publication = _publication(runtime)
    history = table_reference(_place(project.path("gold", view.name)), view.catalog)
    latest = table_reference(_place(project.path("gold", f"{view.name}_latest")), view.catalog, suffix="_latest")
    members = project.tables[view.population.table]
    published = Published(
        history=history,
        latest=latest,
        entity=view.entity,
        entity_type=next(column.type for column in members.columns if column.name == members.entity),
        columns=[*(feature.name for feature in view.features), *view.attributes],
        ttl_days=view.ttl_days,
        newest=publication.last if publication else runtime.clock().date() - timedelta(days=1),
    )
    return catalogue_of(project, publication, tables=(history, latest), queries=_queries(published))


def _queries(table: Published) -> tuple[Query, ...]:
    entity = table.entity
    limit = "" if table.ttl_days is None else f" A row is usable {usable(table.ttl_days)}; an older one is not given."
    return (
        Query("Latest row", f"What is known of one {entity} now.{limit}", latest_row(table)),
        Query("History", f"One {entity} over a range of dates, both ends included.", history_of(table)),
        Query(
            "Point-in-time join",
            f"For training: every row of your table labels ({entity}, label_date, ...) with the newest feature row "
            f"of an earlier date, so that it knows nothing of its own day or later.{limit} Labels without any stay.",
            point_in_time(table),
        ),
    )


def _place(location: str) -> str:
    """SQL takes no relative path."""
    return location if "://" in location else str(Path(location).resolve())


def _publication(runtime: Runtime) -> Publication | None:
    commits = runtime.ledger.stream(runtime.stream("publish", runtime.project.view.name)).commits
    if not commits:
        return None
    steps = [(PublishStage.model_validate(commit.payload), commit) for commit in commits]
    dates = published_dates(step for step, _ in steps)
    newest_first = sorted(steps, key=lambda each: (max(each[0].dates), each[0].stage_n), reverse=True)
    step, commit = newest_first[0]
    found = _distributions(runtime, [each for each in newest_first if each[0].whole])
    return Publication(
        first=min(dates),
        last=max(dates),
        dates=len(dates),
        at=commit.committed_at,
        run_id=commit.run_id,
        pipeline_version=_version(runtime, step.stage_n),
        carried=tuple(sorted(table for table, days in step.carried.items() if max(dates) in days)),
        judged=found.date if found else None,
        statistics={spread.feature: _statistics(spread) for spread in found.spreads} if found else {},
    )


def _version(runtime: Runtime, stage_n: int) -> str:
    commits = runtime.ledger.stream(runtime.stream("stage", runtime.project.view.name), since=stage_n).commits
    return StageDates.model_validate(commits[0].payload).pipeline_version


def _distributions(runtime: Runtime, newest_first: list[tuple[PublishStage, Commit]]) -> Distributions | None:
    """Of the newest date that a report tells of."""
    audits = runtime.ledger.stream(runtime.stream("audit", runtime.project.view.name)).commits
    auditors = {int(str(commit.payload["stage_n"])): commit.run_id for commit in audits}
    for run_id, newest in _reports(newest_first, auditors):
        text = read_file(f"{runtime.project.path('ops', 'reports')}/{run_id}.json")
        found = distributions_in(text) if text else None
        if found and found.date == newest:
            return found
    return None


def _reports(newest_first: list[tuple[PublishStage, Commit]], auditors: dict[int, str]) -> Iterator[tuple[str, date]]:
    """Runs that may have reported on a publication, and its newest date: the run that published, that which audited."""
    for step, commit in newest_first[:_REPORTS]:
        for run_id in dict.fromkeys([commit.run_id, auditors.get(step.stage_n, commit.run_id)]):
            yield run_id, max(step.whole)


def _statistics(spread: Spread) -> Statistics:
    match spread:
        case NumberSpread():
            return _of_numbers(spread)
        case DateSpread():
            return Statistics(spread.rows, spread.nulls, min=spread.earliest, max=spread.latest)
        case ValueSpread():
            return Statistics(spread.rows, spread.nulls, values=spread.values)
        case _:
            assert_never(spread)


def _of_numbers(spread: NumberSpread) -> Statistics:
    found, bare = spread.numbers, Statistics(spread.rows, spread.nulls)
    if found is None:
        return bare
    return replace(bare, min=found.min, max=found.max, mean=found.mean, bars=found.bars, low=found.low, high=found.high)
