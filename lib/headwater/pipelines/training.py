"""Training sets: which one to build, once for everything that decides it, and where to leave it as Parquet.

A set's id is a digest of its definition, the versions of labels and histories, and the run date. The ledger keeps all
of them, so an old set can be built again when labels, features and `conf/` have long moved on.
"""

import hashlib
import json
from datetime import date

from headwater.config.base import nearest
from headwater.config.training import TrainingSet
from headwater.errors import ConfigError
from headwater.pipelines.run import run_planned
from headwater.pipelines.steps import REJECTED, BuildTrainingSet, LabelVersion, Plan, PlannedStep, Runtime, unfinished
from headwater.pipelines.training_build import manifest, set_location
from headwater.pipelines.training_export import export_set, is_exported
from headwater.pipelines.training_inputs import pin_inputs
from headwater.state.streams import Commit
from headwater.tables.delta import read_at, version


def plan_training_set(runtime: Runtime, name: str, again: str | None = None) -> Plan:
    """Plan the set that a definition gives today, unless it is there.

    Args:
        runtime: where to look.
        name: of the definition.
        again: id of a set that is to be built again from the versions it was built from.

    Raises:
        ConfigError: there is no such definition or id, or labels and views do not fit it.
        DataRejected: a view has no published history.
    """
    stream = runtime.stream("training", name)
    state = runtime.ledger.stream(stream)
    title = f"training set {name}"
    if state.open is not None:
        return Plan(title, (unfinished(stream, state.open),))
    if again is not None:
        before, built = _built(runtime, name, again)
        step = before.model_copy(update={"checksum": str(built.facts["checksum"])})
        return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))
    step = _today(runtime, name)
    if step.id in _ids(runtime, name):
        return Plan(title, (), (f"{step.id} is built, from the same labels and features",))
    return Plan(title, (PlannedStep(stream, step, decided_on=state.last_n),))


def run_training_set(runtime: Runtime, name: str, again: str | None, folder: str | None) -> tuple[Commit, ...]:
    """Build the set of today, or one again; export it where that is asked for.

    An old set that is only to be exported is not built again while its table is there.

    Raises:
        ConfigError: as planning does.
        DataRejected: as planning and building do.
    """
    commits: tuple[Commit, ...] = ()
    if (
        again is None
        or folder is None
        or version(set_location(runtime.project, _built(runtime, name, again)[0])) is None
    ):
        commits = run_planned(lambda: plan_training_set(runtime, name, again), runtime)
    if folder is not None:
        built = commits[-1].payload["id"] if commits else None
        _export(runtime, name, str(again or built or _today(runtime, name).id), folder)
    return commits


def training_set_id(definition: TrainingSet, run_date: date, labels: LabelVersion, versions: tuple[int, ...]) -> str:
    """Twelve hexadecimal digits that change with anything that decides the rows."""
    decided = [definition.decisive, str(run_date), labels.model_dump(mode="json"), list(versions)]
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:12]


def _today(runtime: Runtime, name: str) -> BuildTrainingSet:
    known = runtime.project.training
    if name not in known:
        raise ConfigError(
            "unknown_training_set",
            f"There is no training set {name!r}.{nearest(name, list(known))}",
            remedy=f"Declared in conf/training: {', '.join(known) or 'none'}.",
            facts={"value": name, "known": list(known)},
        )
    definition = known[name]
    labels, versions = pin_inputs(definition, runtime.project)
    return BuildTrainingSet(
        id=training_set_id(definition, runtime.run_date, labels, versions),
        definition=definition,
        run_date=runtime.run_date,
        labels=labels,
        versions=versions,
    )


def _ids(runtime: Runtime, name: str) -> dict[str, Commit]:
    """Every set of a name that was built, by id; the last time it was."""
    commits = runtime.ledger.stream(runtime.stream("training", name)).commits
    return {str(commit.payload["id"]): commit for commit in commits if REJECTED not in commit.facts}


def _built(runtime: Runtime, name: str, key: str) -> tuple[BuildTrainingSet, Commit]:
    known = _ids(runtime, name)
    if key not in known:
        raise ConfigError(
            "unknown_training_set_id",
            f"No training set {name!r} was built under the id {key!r}.{nearest(key, list(known))}",
            remedy=f"Built: {', '.join(known) or 'none'}.",
            facts={"training_set": name, "value": key, "known": list(known)},
        )
    return BuildTrainingSet.model_validate(known[key].payload), known[key]


def _export(runtime: Runtime, name: str, key: str, folder: str) -> None:
    step, commit = _built(runtime, name, key)
    target = f"{folder.rstrip('/')}/{name}-{key}"
    if is_exported(target):
        runtime.progress(f"  {target} is there already")
        return
    location = set_location(runtime.project, step)
    rows = read_at(runtime.session(), location, int(str(commit.facts["table_version"])))
    export_set(rows, manifest(step, commit.facts), target)
    runtime.progress(f"  exported to {target}")
