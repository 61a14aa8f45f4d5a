"""What must hold of labels before they are joined, and of a training set before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.training import ProjectView, TrainingSet
from headwater.errors import DataRejected
from headwater.features.leakage import beyond_cutoff, suspicion_measures, suspicions
from headwater.features.lookup import Images, Rule
from headwater.pipelines.steps import BuildTrainingSet
from headwater.pipelines.training_inputs import PIPELINE_VERSION, SPLIT

_NO_SPLIT = "none"


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Labels in numbers.

    Attributes:
        labels: all of them.
        mature: those that the set is made of.
        oldest: the first feature date that one of them may take; None for any.
        last: UTC day of the last of them.
    """

    labels: int
    mature: int
    oldest: date | None
    last: date


def checked_labels(labels: DataFrame, definition: TrainingSet, run_date: date) -> tuple[DataFrame, LabelCounts]:
    """The mature labels with their split; every label is held against what labels have to be.

    Args:
        labels: entity, time, label.
        definition: names them, and says when they are mature and how they are split.
        run_date: a label is mature when its UTC day and `maturity_days` lie on or before it.

    Returns:
        Entity, time, label, `split`; one row per (entity, time). And the counts.

    Raises:
        DataRejected: a label lacks its entity or time, comes twice, or is mature and empty; or none is mature.
    """
    spec, day = definition.labels, F.to_date(definition.labels.time)
    mature = F.coalesce(F.date_add(day, definition.maturity_days) <= F.lit(run_date), F.lit(False))
    keys = labels.groupBy(spec.entity, spec.time).agg(
        F.count("*").alias("rows"), F.count_if(F.col(spec.label).isNull() & mature).alias("empty")
    )
    keyless = F.col(spec.entity).isNull() | F.col(spec.time).isNull()
    found = keys.agg(
        F.sum("rows").alias("labels"),
        F.sum(F.when(keyless, F.col("rows"))).alias("keyless"),
        F.count_if(~keyless & (F.col("rows") > 1)).alias("twice"),
        F.sum("empty").alias("empty"),
        F.sum(F.when(mature, F.col("rows"))).alias("mature"),
        F.min(F.when(mature, day)).alias("first"),
        F.max(F.when(mature, day)).alias("last"),
    ).collect()[0]
    _require_sound(definition, found.asDict())
    oldest = None if definition.max_age_days is None else found["first"] - timedelta(days=definition.max_age_days)
    counts = LabelCounts(found["labels"], found["mature"], oldest, found["last"])
    return labels.where(mature).select("*", _split(definition, day).alias(SPLIT)), counts


def _require_sound(definition: TrainingSet, found: Mapping[str, Any]) -> None:
    said = {
        "keyless": "without entity or time",
        "twice": "pairs of entity and time that come more than once",
        "empty": "mature ones without a value",
    }
    if wrong := {name: found[name] for name in said if found[name]}:
        listed = "; ".join(f"{count:,} {said[name]}" for name, count in wrong.items())
        raise DataRejected(
            "labels_rejected",
            f"Training set {definition.name}: of {found['labels']:,} labels at {definition.labels.path}: {listed}.",
            remedy="Correct the labels: one row per entity and time, with a value once it is mature.",
            facts={"training_set": definition.name, **wrong},
        )
    if not found["mature"]:
        raise DataRejected(
            "no_mature_labels",
            f"Training set {definition.name}: none of {found['labels'] or 0:,} labels is mature.",
            remedy="Ask for a later --date, or lower `maturity_days`.",
            facts={"training_set": definition.name, "labels": found["labels"] or 0},
        )


def _split(definition: TrainingSet, day: Column) -> Column:
    names = F.lit(None).cast("string")
    for split in reversed(definition.splits):
        names = F.when(day <= F.lit(split.until), split.name).otherwise(names)
    return names


def examined(
    rows: DataFrame, views: Sequence[Images], rule: Rule, step: BuildTrainingSet, counts: LabelCounts
) -> dict[str, Any]:
    """Everything that is to be known of a training set, by one aggregation over it.

    Args:
        rows: the set.
        views: what was joined.
        rule: what a label may know.
        step: definition, and of a set that is built again the checksum.
        counts: of its labels.

    Returns:
        JSON values: `rows`, `label_count`, `immature`, `splits`, `views` (`name`, `version`, `matched`,
        `pipeline_versions`), `warnings` (`about`, `feature`, `sign`), `columns` (types by name), `checksum`.

    Raises:
        DataRejected: a row holds what its label may not know, a label has two rows, or the checksum is another.
    """
    names = [name for view in views for name in view.columns if name != view.date and name not in _provenance(view)]
    measures = suspicion_measures(rows.schema, names, step.definition.labels.label)
    found = rows.agg(*_counters(rows, views, rule, step), *measures).collect()[0].asDict()
    _require_true(step, found, counts)
    suspected = [{"about": str(each), "feature": each.feature, "sign": each.sign} for each in suspicions(found)]
    return {
        "rows": found["rows"],
        "label_count": counts.labels,
        "immature": counts.labels - counts.mature,
        "splits": {name: found[f"split_{name}"] for name in _split_names(step)},
        "views": [
            {
                "name": view.view if isinstance(view, ProjectView) else view.path,
                "version": step.versions[at],
                "matched": found[f"matched_{at}"],
                "pipeline_versions": sorted(found.get(f"versions_{at}") or []),
            }
            for at, view in enumerate(step.definition.views)
        ],
        "warnings": suspected,
        "columns": dict(rows.dtypes),
        "checksum": str(found["checksum"]),
    }


def _provenance(view: Images) -> set[str]:
    return {view.date, view.published_at, f"{view.prefix}{PIPELINE_VERSION}", f"{view.prefix}stale_sources"}


def _split_names(step: BuildTrainingSet) -> list[str]:
    return [*(split.name for split in step.definition.splits), _NO_SPLIT]


def _counters(rows: DataFrame, views: Sequence[Images], rule: Rule, step: BuildTrainingSet) -> list[Column]:
    # A sum of hashes does not depend on the order of the rows; of whole numbers with 20 digits it does not overflow.
    content = F.xxhash64(*(F.col(f"`{name}`") for name in rows.columns)).cast("decimal(20,0)")
    split = F.coalesce(F.col(SPLIT), F.lit(_NO_SPLIT))
    counters = [
        F.count("*").alias("rows"),
        F.sum(content).alias("checksum"),
        beyond_cutoff(views, rule).alias("beyond"),
        *(F.count_if(split == name).alias(f"split_{name}") for name in _split_names(step)),
    ]
    for at, view in enumerate(views):
        counters.append(F.count(view.date).alias(f"matched_{at}"))
        if PIPELINE_VERSION in view.features:
            counters.append(F.collect_set(f"{view.prefix}{PIPELINE_VERSION}").alias(f"versions_{at}"))
    return counters


def _require_true(step: BuildTrainingSet, found: Mapping[str, Any], counts: LabelCounts) -> None:
    name = f"Training set {step.definition.name} {step.id}"
    facts: dict[str, object] = {"training_set": step.definition.name, "id": step.id}
    if found["beyond"]:
        raise DataRejected(
            "beyond_cutoff",
            f"{name}: {found['beyond']:,} of {found['rows']:,} rows hold features that their label may not know.",
            remedy="Nothing was written. This is a bug in the lookup: report it with the manifest of the definition.",
            facts={**facts, "rows": found["beyond"]},
        )
    if found["rows"] != counts.mature:
        raise DataRejected(
            "history_not_unique",
            f"{name}: {counts.mature:,} labels became {found['rows']:,} rows.",
            remedy="A history that it takes features from has several rows for one entity and feature_date.",
            facts={**facts, "labels": counts.mature, "rows": found["rows"]},
        )
    if step.checksum not in (None, str(found["checksum"])):
        raise DataRejected(
            "not_reproduced",
            f"{name}: built again from the same versions, the rows are not what they were.",
            remedy="The set in the lake is unchanged. Was a table replaced under its version numbers?",
            facts={**facts, "checksum": str(found["checksum"]), "expected": step.checksum},
        )
