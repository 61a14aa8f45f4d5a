"""What a training set is made from: checked by schema, and pinned, before any session is there."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from headwater.config.base import nearest
from headwater.config.project import Project
from headwater.config.training import LabelTable, ProjectView, PublishedTable, TrainingSet
from headwater.errors import ConfigError, DataRejected
from headwater.features.asof import FEATURE_DATE
from headwater.features.lookup import PUBLISHED_AT
from headwater.pipelines.steps import LabelVersion
from headwater.tables.delta import columns_at, commit_times, version
from headwater.tables.parquet import list_parquet, parquet_schema
from headwater.tables.publish import FEATURE_MONTH

SPLIT = "split"
PIPELINE_VERSION = "pipeline_version"
_CHANGE_FEED = "delta.enableChangeDataFeed"


def history_of(view: ProjectView | PublishedTable, project: Project) -> tuple[str, str]:
    """Location and entity column of a view's published history."""
    match view:
        case ProjectView():
            return project.path("gold", view.view), project.view.entity
        case PublishedTable():
            return view.path, view.entity


def taken(view: ProjectView | PublishedTable, entity: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of a history that a training set takes; by which definitions a row was made is always among them.

    Args:
        view: names them, or none for all.
        entity: the history's entity column.
        columns: all that the history has.
    """
    given = [name for name in columns if name not in (entity, FEATURE_DATE, FEATURE_MONTH)]
    if not view.features:
        return tuple(given)
    return tuple(dict.fromkeys([*view.features, *(name for name in given if name == PIPELINE_VERSION)]))


def pin_inputs(definition: TrainingSet, project: Project) -> tuple[LabelVersion, tuple[int, ...]]:
    """The versions that there are now, of the labels and of each view's history, in order.

    Raises:
        ConfigError: the labels, or a column, are not there or cannot be used.
        DataRejected: nothing of a view is published.
    """
    pinned, labels = _pin_labels(definition.labels)
    versions, columns = [], [*_label_columns(definition), SPLIT]
    for view in definition.views:
        location, entity = history_of(view, project)
        at = version(location)
        if at is None:
            raise DataRejected(
                "not_published",
                f"Training set {definition.name}: there is no published history at {location}.",
                remedy="Publish the view first, or correct the path.",
                facts={"training_set": definition.name, "location": location},
            )
        history = columns_at(location, at)
        for name in (entity, FEATURE_DATE, *view.features):
            _require_column(name, history.names, location)
        _require_one_type(labels.field(definition.labels.entity), history.field(entity), location)
        if definition.as_of == "published":
            _require_change_feed(location, at)
        columns += [f"{view.prefix}{name}" for name in (FEATURE_DATE, *taken(view, entity, history.names))]
        columns += [f"{view.prefix}{PUBLISHED_AT}"] if definition.as_of == "published" else []
        versions.append(at)
    _require_distinct(definition, columns)
    return pinned, tuple(versions)


def _label_columns(definition: TrainingSet) -> tuple[str, str, str]:
    labels = definition.labels
    return labels.entity, labels.time, labels.label


def _pin_labels(labels: LabelTable) -> tuple[LabelVersion, pa.Schema]:
    if labels.format == "delta":
        at = version(labels.path)
        if at is None:
            raise _labels_not_found(labels, "Delta table")
        pinned, schema = LabelVersion(version=at), columns_at(labels.path, at)
    else:
        files = list_parquet(labels.path)
        if not files:
            raise _labels_not_found(labels, "Parquet file")
        pinned, schema = LabelVersion(files=files), parquet_schema(labels.path, files[0])
    for name in (labels.entity, labels.time, labels.label):
        _require_column(name, schema.names, labels.path)
    kind = schema.field(labels.time).type
    if not (pa.types.is_timestamp(kind) and kind.unit != "ns") and not pa.types.is_date(kind):
        raise ConfigError(
            "wrong_label_time",
            f"{labels.path}: {labels.time!r} is a {kind}, and no timestamp of microseconds and no date.",
            remedy="Write it as such; pandas does by `to_parquet(..., coerce_timestamps='us')`.",
            facts={"location": labels.path, "column": labels.time, "type": str(kind)},
        )
    return pinned, schema


def _labels_not_found(labels: LabelTable, what: str) -> ConfigError:
    return ConfigError(
        "labels_not_found",
        f"labels: there is no {what} at {labels.path}.",
        remedy="Correct `labels.path` or `labels.format`.",
        facts={"location": labels.path, "format": labels.format},
    )


def _require_column(name: str, known: Iterable[str], location: str) -> None:
    choices = sorted(known)
    if name not in choices:
        raise ConfigError(
            "unknown_column",
            f"{location}: there is no column {name!r}.{nearest(name, choices)}",
            remedy=f"Columns: {', '.join(choices)}.",
            facts={"location": location, "value": name},
        )


def _require_one_type(labels: pa.Field, history: pa.Field, location: str) -> None:
    """Entities are matched by value, and a text is no number."""
    if _family(labels.type) != _family(history.type):
        raise ConfigError(
            "entity_types_differ",
            f"{location}: the entity {history.name!r} is a {history.type}, that of the labels a {labels.type}.",
            remedy="Write the labels' entity with the type that the features have.",
            facts={"location": location, "types": [str(labels.type), str(history.type)]},
        )


def _family(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "integer"
    return "string" if "string" in str(kind) else str(kind)


def _require_change_feed(location: str, at: int) -> None:
    try:
        first = DeltaTable(location, version=0).metadata().configuration
    except TableNotFoundError:
        first = {}
    if first.get(_CHANGE_FEED) != "true" or len(commit_times(location, at)) <= at:
        raise ConfigError(
            "no_change_feed",
            f"{location} has no change data feed that goes back to its first commit, so what was published when is "
            "not known.",
            remedy="Use `as_of: repaired`, or publish into a new table: it keeps a feed from the start.",
            facts={"location": location, "version": at},
        )


def _require_distinct(definition: TrainingSet, columns: Sequence[str]) -> None:
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ConfigError(
            "column_twice",
            f"Training set {definition.name} would have the columns {', '.join(twice)} twice.",
            remedy="Give one of its views a `prefix`, or name the `features` to take.",
            facts={"training_set": definition.name, "columns": twice},
        )
