"""What is published, by the ledger alone."""

from collections.abc import Collection, Iterable
from datetime import date

from headwater.pipelines.steps import PublishStage, Runtime, StageDates
from headwater.tables.delta import exists, record_count


def publications_of(runtime: Runtime) -> list[PublishStage]:
    """Every publication of the view, oldest first."""
    commits = runtime.ledger.stream(runtime.stream("publish", runtime.project.view.name)).commits
    return [PublishStage.model_validate(commit.payload) for commit in commits]


def stages_of(runtime: Runtime) -> dict[int, StageDates]:
    """Every stage batch of the view, by its number."""
    commits = runtime.ledger.stream(runtime.stream("stage", runtime.project.view.name)).commits
    return {commit.n: StageDates.model_validate(commit.payload) for commit in commits}


def published_dates(publications: Iterable[PublishStage]) -> set[date]:
    """Every date that was ever published."""
    return {day for publication in publications for day in publication.dates}


def by_date(publications: Iterable[PublishStage]) -> dict[date, PublishStage]:
    """The last publication of each published date."""
    return {day: publication for publication in publications for day in publication.dates}


def of_present_definitions(runtime: Runtime, publications: Collection[PublishStage]) -> set[date]:
    """The published dates whose rows were computed by the view's present definitions."""
    stages, version = stages_of(runtime), runtime.project.view.pipeline_version
    return {day for day, each in by_date(publications).items() if stages[each.stage_n].pipeline_version == version}


def entities(runtime: Runtime) -> int:
    """About how many rows a date has: as latest has, before there is one as the population's table has."""
    latest = runtime.project.path("gold", f"{runtime.project.view.name}_latest")
    silver = runtime.project.path("silver", runtime.project.view.population.table)
    return record_count(latest if exists(latest) else silver)
