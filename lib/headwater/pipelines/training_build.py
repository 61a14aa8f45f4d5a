"""Building a training set: labels checked, joined with what they may know, examined, and only then written.

    labels ──checked, mature ones──> look_up <── pinned histories
                                        └─kept─> one aggregation: counts, cut-off, suspicions, checksum ──> table

Every set has a table of its own, `<lake>/training/<name>/<id>`: two sets of one name need not have the same columns.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.config.project import Project
from headwater.config.training import ProjectView, PublishedTable
from headwater.errors import DataRejected
from headwater.features.asof import FEATURE_DATE
from headwater.features.lookup import REMOVED, VERSION, Images, Rule, look_up, published_images, repaired_images
from headwater.pipelines.refusals import versions_kept
from headwater.pipelines.steps import BuildTrainingSet, Runtime
from headwater.pipelines.training_checks import LabelCounts, checked_labels, examined
from headwater.pipelines.training_inputs import history_of, taken
from headwater.state.files import write_file
from headwater.tables.delta import Batch, Written, commit_times, find, overwrite_once, read_at, read_changes
from headwater.tables.parquet import list_parquet, read_parquet

# About 100 bytes a label in the driver and in every executor; above that wide rows are shuffled instead.
_FEW = 2_000_000


def set_location(project: Project, step: BuildTrainingSet) -> str:
    """Where the table of a training set is."""
    return project.path("training", f"{step.definition.name}/{step.id}")


def build_training_set(step: BuildTrainingSet, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Write a training set from the pinned versions, and beside its table the manifest `<id>.json`.

    Raises:
        DataRejected: the labels cannot be used, a version is gone, a row knows too much, or a set that is built again
            is not what it was. Nothing is written then.
    """
    location = set_location(runtime.project, step)
    written = find(location, batch)
    if written is None:
        with _versions_kept(step):
            written = _write(step, location, batch, runtime)
    runtime.failpoint(f"training:{step.definition.name}:table")
    facts = {name: value for name, value in written.facts.items() if name != "batch"}
    write_file(f"{location}.json", manifest(step, facts))
    return {**facts, "table_version": written.version}


def manifest(step: BuildTrainingSet, facts: Mapping[str, JsonValue]) -> str:
    """What a training set was made from and what came out, as JSON; the same whenever it is built again."""
    made_from = step.model_dump(mode="json", exclude={"kind", "checksum"})
    found = {name: value for name, value in facts.items() if name != "table_version"}
    return json.dumps({**made_from, **found}, indent=2, sort_keys=True, allow_nan=False) + "\n"


@contextmanager
def _versions_kept(step: BuildTrainingSet) -> Iterator[None]:
    def refusal(found: re.Match[str]) -> DataRejected:
        return DataRejected(
            "version_gone",
            f"Training set {step.definition.name} {step.id}: a version that it is made from is gone ({found[0]}).",
            remedy="VACUUM deleted its files, or its log was cleaned. Build a new set from what there is now.",
            facts={"id": step.id, "labels": step.labels.version, "versions": list(step.versions)},
        )

    with versions_kept(refusal):
        yield


def _write(step: BuildTrainingSet, location: str, batch: Batch, runtime: Runtime) -> Written:
    definition = step.definition
    labels, counts = checked_labels(_labels(step, runtime), definition, step.run_date)
    rule = Rule(definition.labels.entity, definition.labels.time, definition.cutoff, definition.max_age_days)
    if counts.mature > _FEW:
        runtime.progress(
            f"  {counts.mature:,} labels are not broadcast: rows nobody takes are shuffled with the others"
        )
    views = [_images(view, at, step, counts, runtime) for view, at in zip(definition.views, step.versions, strict=True)]
    rows = look_up(labels, views, rule).persist()
    try:
        facts = examined(rows, views, rule, step, counts)
        _tell(facts["warnings"], step, runtime)
        return overwrite_once(rows, location, batch.with_facts(facts))
    finally:
        rows.unpersist()


def _tell(warnings: Sequence[Mapping[str, str]], step: BuildTrainingSet, runtime: Runtime) -> None:
    """Show suspicious features, or refuse them where the run is strict."""
    if warnings and runtime.strict:
        raise DataRejected(
            "suspected_leakage",
            f"Training set {step.definition.name} {step.id}: {'; '.join(each['about'] for each in warnings)}.",
            remedy="Leave such a feature out by `features`, or run without --strict if it may know that much.",
            facts={"id": step.id, "features": [each["feature"] for each in warnings]},
        )
    for each in warnings:
        runtime.progress(f"  suspicious: {each['about']}")


def _labels(step: BuildTrainingSet, runtime: Runtime) -> DataFrame:
    """Entity, time and label as pinned."""
    spark, labels = runtime.session(), step.definition.labels
    if step.labels.version is not None:
        read = read_at(spark, labels.path, step.labels.version)
    else:
        if missing := set(step.labels.files) - set(list_parquet(labels.path)):
            raise DataRejected(
                "labels_changed",
                f"Training set {step.definition.name} {step.id}: {len(missing)} label files are not what they were.",
                remedy="Put them back as they were, or build a new set. Labels in a Delta table keep their versions.",
                facts={"id": step.id, "files": sorted(file.path for file in missing)},
            )
        read = read_parquet(spark, labels.path, step.labels.files)
    return read.select(*(F.col(f"`{name}`") for name in (labels.entity, labels.time, labels.label)))


def _images(
    view: ProjectView | PublishedTable, at: int, step: BuildTrainingSet, counts: LabelCounts, runtime: Runtime
) -> Images:
    """The row images that labels of these days can meet."""
    spark, definition = runtime.session(), step.definition
    location, entity = history_of(view, runtime.project)
    published = definition.as_of == "published"
    rows = (
        published_images(read_changes(spark, location, at))
        if published
        else repaired_images(read_at(spark, location, at))
    )
    rows = rows.where(F.col(FEATURE_DATE) <= F.lit(counts.last))
    if counts.oldest is not None:
        rows = rows.where(F.col(FEATURE_DATE) >= F.lit(counts.oldest))
    return Images(
        rows,
        entity,
        taken(view, entity, [name for name in rows.columns if name not in (VERSION, REMOVED)]),
        prefix=view.prefix,
        commits=commit_times(location, at) if published else None,
        few=counts.mature <= _FEW,
    )
