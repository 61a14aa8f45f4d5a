"""The whole of `conf/` as one frozen value, with every cross-reference checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from headwater.config.base import Name, Spec, nearest, read_spec
from headwater.config.features import FeatureView
from headwater.config.quality import CheckSuite
from headwater.config.sources import Connection, FilesSource, JdbcSource, MongoSource, SourceFile
from headwater.config.tables import TableContract
from headwater.errors import ConfigError


class SparkSettings(Spec):
    """Settings of the session beyond the ones that headwater itself needs."""

    master: str | None = Field(default=None, description="None leaves the choice to spark-submit.")
    settings: dict[str, str] = Field(default_factory=dict)


class EnvironmentSpec(Spec):
    """`conf/env/<name>.yaml`: what differs between machines."""

    lake: str
    clock: datetime | Literal["source"] = Field(
        default="source", description="`source` asks each server for its time; an instant serves demos and replays."
    )
    lease_seconds: int = Field(default=60, ge=2)
    connections: dict[Name, Connection]
    spark: SparkSettings = SparkSettings()


class ProjectSpec(Spec):
    """`conf/project.yaml`: what is built."""

    pipeline: Name
    view: Name
    initial_dates: int = Field(default=1, ge=1, description="Dates that the first run publishes, ending on its date.")


@dataclass(frozen=True, slots=True)
class Project:
    """Everything a run needs to know, resolved and cross-checked."""

    conf: Path
    env: str
    pipeline: str
    initial_dates: int
    environment: EnvironmentSpec
    sources: Mapping[str, JdbcSource | MongoSource | FilesSource]
    tables: Mapping[str, TableContract]
    view: FeatureView
    checks: CheckSuite

    def path(self, layer: str, table: str) -> str:
        """Location of a table: `<lake>/<layer>/<table>`."""
        return f"{self.environment.lake.rstrip('/')}/{layer}/{table}"

    @property
    def dimensions_first(self) -> tuple[TableContract, ...]:
        """Tables in an order in which referenced dimensions precede the tables that refer to them."""
        referenced = {contract.reference.table for contract in self.tables.values() if contract.reference}
        return tuple(sorted(self.tables.values(), key=lambda contract: contract.name not in referenced))


def load_project(conf: Path, env: str, variables: Mapping[str, str]) -> Project:
    """Read `conf/` for one environment.

    Raises:
        ConfigError: anything in there is wrong; the message names file, YAML path, value and remedy.
    """
    spec = read_spec(conf / "project.yaml", ProjectSpec, variables)
    environment = read_spec(conf / "env" / f"{env}.yaml", EnvironmentSpec, variables)
    files = {path: read_spec(path, SourceFile, variables) for path in sorted((conf / "sources").glob("*.yaml"))}
    contracts = {path: read_spec(path, TableContract, variables) for path in sorted((conf / "tables").glob("*.yaml"))}
    view_path = conf / "features" / f"{spec.view}.yaml"
    checks_path = conf / "checks" / f"{spec.view}.yaml"
    project = Project(
        conf=conf,
        env=env,
        pipeline=spec.pipeline,
        initial_dates=spec.initial_dates,
        environment=environment,
        sources={file.source.name: file.source for file in files.values()},
        tables={contract.name: contract for contract in contracts.values()},
        view=read_spec(view_path, FeatureView, variables),
        checks=read_spec(checks_path, CheckSuite, variables),
    )
    for path, file in files.items():
        _require(file.source.connection, environment.connections, path, "source.connection", "connection")
        expected = {"jdbc": "jdbc", "mongo": "mongo", "files": "s3"}[file.source.kind]
        found = environment.connections[file.source.connection].kind
        if found != expected:
            message = f"{path}: source.connection: {file.source.connection!r} is a {found} connection, not {expected}."
            raise ConfigError("wrong_connection", message, facts={"file": str(path), "path": "source.connection"})
    for path, contract in contracts.items():
        _require(contract.source, project.sources, path, "source", "source")
        if contract.reference:
            _require(contract.reference.table, project.tables, path, "rules", "table")
    _check_view(project, view_path)
    _check_suite(project, checks_path)
    return project


def _check_view(project: Project, path: Path) -> None:
    view = project.view
    for table in view.tables:
        _require(table, project.tables, path, "groups", "table")
    dimension = project.tables[view.population.table]
    if dimension.kind != "history":
        message = f"{path}: population.table: {dimension.name!r} must be a table of kind history."
        raise ConfigError("wrong_population", message, facts={"file": str(path), "path": "population.table"})
    for name in (view.population.since, *view.attributes):
        _require(name, dimension.names, path, "population", "column")
    for index, group in enumerate(view.groups):
        names = project.tables[group.table].names
        used = [group.event_time, *(feature.available for feature in group.features if feature.available)]
        for feature in group.features:
            used += [condition.column for condition in feature.where]
            used += [name for name in feature.value.model_dump(exclude={"kind"}).values()] if feature.value else []
        for name in used:
            _require(name, names, path, f"groups[{index}]", "column")


def _check_suite(project: Project, path: Path) -> None:
    for index, check in enumerate(project.checks.for_environment(project.env)):
        fields = check.model_dump(include={"column", "than", "columns"})
        named = [fields.get("column"), fields.get("than"), *fields.get("columns", ())]
        for name in filter(None, named):
            _require(name, project.view.columns, path, f"checks[{index}]", "column")


def _require(name: str, known: Mapping[str, object] | tuple[str, ...], path: Path, at: str, what: str) -> None:
    if name not in known:
        choices = sorted(known)
        raise ConfigError(
            f"unknown_{what}",
            f"{path}: {at}: unknown {what} {name!r}.{nearest(name, choices)}",
            remedy=f"Known: {', '.join(choices)}.",
            facts={"file": str(path), "path": at, "value": name},
        )
