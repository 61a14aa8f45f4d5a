"""The whole of `conf/` as one frozen value, with every cross-reference checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from pydantic import Field

from headwater.config.base import Name, Spec, read_spec
from headwater.config.features import FeatureView
from headwater.config.quality import CheckSuite
from headwater.config.sources import Connection, FilesSource, JdbcSource, MongoSource, SourceFile
from headwater.config.tables import TableContract
from headwater.config.training import ProjectView, TrainingSet
from headwater.config.views import check_view, require
from headwater.errors import ConfigError


class SparkSettings(Spec):
    """Settings of the session beyond the ones that headwater itself needs."""

    master: str | None = Field(default=None, description="None leaves the choice to spark-submit.")
    settings: dict[str, str] = Field(
        default_factory=dict, description="Spark properties; those that decide values cannot be overridden here."
    )


class EnvironmentSpec(Spec):
    """`conf/env/<name>.yaml`: what differs between machines."""

    lake: str = Field(description="Folder or URL that all tables lie below, as `<lake>/<layer>/<table>`.")
    clock: datetime | Literal["source"] = Field(
        default="source", description="`source` asks each server for its time; an instant serves demos and replays."
    )
    lease_seconds: int = Field(
        default=60, ge=2, description="How long a silent process on another machine is believed to be alive."
    )
    parallel_steps: int = Field(default=4, ge=1, le=64, description="Independent steps that a job runs at once.")
    tiles_from_mb: int = Field(
        default=256,
        ge=0,
        description="Size of silver from which on its tiles are stored, and days computed from the day before; below, "
        "computing from silver costs less.",
    )
    connections: dict[Name, Connection] = Field(description="Servers, by the name that sources use.")
    spark: SparkSettings = Field(default=SparkSettings(), description="The session of this environment.")


class ProjectSpec(Spec):
    """`conf/project.yaml`: what is built."""

    pipeline: Name = Field(description="Names the streams of the ledger and every run.")
    view: Name = Field(description="The feature view: `conf/features/NAME.yaml`, checked by `conf/checks/NAME.yaml`.")
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
    training: Mapping[str, TrainingSet]

    def path(self, layer: str, table: str) -> str:
        """Location of a table: `<lake>/<layer>/<table>`."""
        return f"{self.environment.lake.rstrip('/')}/{layer}/{table}"

    @property
    def dimensions_first(self) -> tuple[tuple[str, ...], ...]:
        """Tables in groups: those of a group refer only to tables of the groups before it."""
        graph = {name: [table.reference.table] if table.reference else [] for name, table in self.tables.items()}
        order = TopologicalSorter(graph)
        try:
            order.prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            path = self.conf / "tables" / f"{circle[0]}.yaml"
            raise ConfigError(
                "reference_cycle",
                f"{path}: rules: references go round in a circle: {' -> '.join(circle)}.",
                remedy="Remove the reference rule of one of these tables.",
                facts={"file": str(path), "path": "rules"},
            ) from error
        groups = []
        while ready := order.get_ready():
            groups.append(tuple(sorted(ready)))
            order.done(*ready)
        return tuple(groups)


def load_project(conf: Path, env: str, variables: Mapping[str, str]) -> Project:
    """Read `conf/` for one environment.

    Raises:
        ConfigError: anything in there is wrong; the message names file, YAML path, value and remedy.
    """
    spec = read_spec(conf / "project.yaml", ProjectSpec, variables)
    environment = read_spec(conf / "env" / f"{env}.yaml", EnvironmentSpec, variables)
    files = {path: read_spec(path, SourceFile, variables) for path in sorted((conf / "sources").glob("*.yaml"))}
    contracts = {path: read_spec(path, TableContract, variables) for path in sorted((conf / "tables").glob("*.yaml"))}
    sets = {path: read_spec(path, TrainingSet, variables) for path in sorted((conf / "training").glob("*.yaml"))}
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
        training={each.name: each for each in sets.values()},
    )
    _named_by_file({path: file.source.name for path, file in files.items()})
    _named_by_file({path: contract.name for path, contract in contracts.items()})
    _named_by_file({path: each.name for path, each in sets.items()})
    for path, file in files.items():
        _check_connection(environment, path, file)
    for path, contract in contracts.items():
        _check_contract(project, path, contract)
    _ = project.dimensions_first
    check_view(project.view, project.tables, view_path)
    _check_suite(project, checks_path)
    for path, each in sets.items():
        _check_training(project, path, each)
    return project


def _check_connection(environment: EnvironmentSpec, path: Path, file: SourceFile) -> None:
    name = file.source.connection
    require(name, environment.connections, path, "source.connection", "connection")
    expected = {"jdbc": "jdbc", "mongo": "mongo", "files": "s3"}[file.source.kind]
    found = environment.connections[name].kind
    if found != expected:
        message = f"{path}: source.connection: {name!r} is a {found} connection, not {expected}."
        fitting = sorted(each for each, spec in environment.connections.items() if spec.kind == expected)
        remedy = f"Connections of kind {expected}: {', '.join(fitting) or 'none'}."
        raise ConfigError(
            "wrong_connection", message, remedy=remedy, facts={"file": str(path), "path": "source.connection"}
        )


def _check_contract(project: Project, path: Path, contract: TableContract) -> None:
    require(contract.source, project.sources, path, "source", "source")
    if freshness := project.sources[contract.source].gates.freshness:
        source_path = project.conf / "sources" / f"{contract.source}.yaml"
        require(freshness.column, contract.names, source_path, "source.gates.freshness.column", "column")
    others = (other.name for other in project.tables.values() if other.source == contract.source)
    if other := next((name for name in others if name < contract.name), None):
        message = f"{path}: source: {contract.source!r} feeds the table {other!r} already; a source feeds one table."
        remedy = "Declare a second source that reads the same place, under a name of its own."
        raise ConfigError("source_taken", message, remedy=remedy, facts={"file": str(path), "path": "source"})
    if contract.reference is None:
        return
    require(contract.reference.table, project.tables, path, "rules", "table")
    if len(project.tables[contract.reference.table].key) > 1:
        message = f"{path}: rules: {contract.reference.table!r} has a key of several columns; a reference holds one."
        remedy = "Refer to a table whose key is one column."
        raise ConfigError("wrong_reference", message, remedy=remedy, facts={"file": str(path), "path": "rules"})


def _named_by_file(names: Mapping[Path, str]) -> None:
    """A file's name is the name of what it holds, so nothing can be declared twice and everything can be found."""
    for path, name in names.items():
        if path.stem != name:
            raise ConfigError(
                "wrong_file_name",
                f"{path}: name: {name!r} does not match the file's name.",
                remedy=f"Rename the file to {name}.yaml, or the name to {path.stem!r}.",
                facts={"file": str(path), "path": "name", "value": name},
            )


def _check_suite(project: Project, path: Path) -> None:
    for index, check in enumerate(project.checks.for_environment(project.env)):
        fields = check.model_dump(include={"column", "than", "columns"})
        named = [fields.get("column"), fields.get("than"), *fields.get("columns", ())]
        for name in filter(None, named):
            require(name, project.view.columns, path, f"checks[{index}]", "column")


def _check_training(project: Project, path: Path, definition: TrainingSet) -> None:
    for index, view in enumerate(definition.views):
        if isinstance(view, ProjectView):
            require(view.view, (project.view.name,), path, f"views[{index}].view", "view")
            for name in view.features:
                require(name, project.view.columns, path, f"views[{index}].features", "column")
