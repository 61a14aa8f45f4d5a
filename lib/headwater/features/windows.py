"""Feature rows for a set of dates in one pass: every event is read once, whatever the number of dates.

    population ──membership intervals──┐
    events of each tile set ──tiles────┼─union──> shuffled by entity, in order ──blocks (NumPy)──> rows
    log of tiles ──what matters────────┘                                    checkpoint of the bucket ──┘

One scan and one partial aggregation per tile set, one shuffle of what is left, and none of the rows, which are many
times more than the tiles: they leave in order of (entity, date).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import spark_type
from headwater.features.asof import FEATURE_DATE
from headwater.features.checkpoints import kept_schema
from headwater.features.computed import Computed, published_batches
from headwater.features.increment import Stored, stored_records, wanted_parts
from headwater.features.kernel import Span, day_number
from headwater.features.members import changed_members, members
from headwater.features.rows import entity_type, value_scale
from headwater.features.scope import cut_to, of_entities
from headwater.features.slices import Slice
from headwater.features.stored import kept_states
from headwater.features.tiles import tiles
from headwater.features.tilesets import KIND, MEMBER


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are to be computed.

    Attributes:
        dates: at least one feature date.
        carried: by table, dates at which its source is stale; its group is left at the no-match values there.
        scope: the entities, and the days of each (`scope.changed_entities`); None for all there are.
        kept_on: the dates at whose end a checkpoint is kept beside the rows; none beside a scope, for it is of all
            entities.
        stage: number of the batch, which checkpoints are found by.
    """

    dates: Sequence[date]
    carried: Mapping[str, Sequence[date]] = field(default_factory=dict)
    scope: DataFrame | None = None
    kept_on: Sequence[date] = ()
    stage: int = 0


def feature_rows(
    view: FeatureView,
    contracts: Mapping[str, TableContract],
    silver: Mapping[str, DataFrame],
    wanted: Wanted,
    stored: Stored | None = None,
) -> Computed:
    """Compute the rows that are wanted of a view.

    Args:
        view: what to compute.
        contracts: contracts of the view's tables.
        silver: their rows, by table name.
        wanted: dates, and whose.
        stored: the log of tiles, for the tile sets it has; they need no silver rows.

    Returns:
        The view's columns in published order; one row per (entity, feature_date). What is kept beside them is
        `kept_schema`.
    """
    checkpoint = stored.checkpoint if stored else None
    part = Slice(
        view=view,
        dates=tuple(sorted(wanted.dates)),
        scales={
            feature.name: value_scale(feature, contracts[group.table])
            for group in view.groups
            for feature in group.features
        },
        carried={table: tuple(days) for table, days in wanted.carried.items()},
        joins=contracts[view.population.table].kind == "fact",
        stored={kind: stored.numbers[tiles] for kind, tiles in stored.kinds.items()} if stored else {},
        resumed=checkpoint.resumed if checkpoint else None,
        kept=kept_states(view) if wanted.kept_on else {},
        kept_on=tuple(sorted(wanted.kept_on)),
        stage=wanted.stage,
    )
    stream = _stream(part, contracts, silver, wanted, stored)
    if stored and (checkpoint or wanted.kept_on):
        # The worker of a bucket has to find it again another day.
        together = stream.repartition(stored.buckets, view.entity)
    else:
        together = stream.repartition(view.entity)
    together = together.sortWithinPartitions(view.entity)
    part = replace(part, stream=to_arrow_schema(together.schema) if wanted.scope is None else None)
    make = partial(published_batches, part=part, stale=_stale_sources(part.carried, contracts))
    kept = checkpoint_schema(view, contracts) if wanted.kept_on else None
    in_order = view.entity if len(part.dates) == 1 else None
    return Computed(together, make, published_schema(view, contracts), kept, in_order)


def _stream(
    part: Slice,
    contracts: Mapping[str, TableContract],
    silver: Mapping[str, DataFrame],
    wanted: Wanted,
    stored: Stored | None,
) -> DataFrame:
    """Membership, and the records of every tile set."""
    view, dates = part.view, Span(day_number(part.dates[0]), day_number(part.dates[-1]))
    population = contracts[view.population.table]
    if (scope := wanted.scope) is not None:
        silver = {name: of_entities(rows, contracts[name].entity, scope) for name, rows in silver.items()}
        stored = replace(stored, log=stored.log and of_entities(stored.log, view.entity, scope)) if stored else None
    checkpoint = stored.checkpoint if stored else None
    if checkpoint is None or not checkpoint.resumed.members:
        stream = members(silver[population.name], population, view, part.span)
    elif checkpoint.changes is not None:
        stream = changed_members(checkpoint.changes, population, view, part.span)
    else:
        stream = members(silver[population.name].limit(0), population, view, part.span)
    stream = stream if scope is None else cut_to(stream, scope)
    for tile_set in part.tile_sets:
        contract = contracts[tile_set.group.table]
        if tile_set.kind in part.stored:
            continue
        tiled = tiles(silver[contract.name], tile_set, contract, dates)
        entity = F.col(f"`{contract.entity}`").cast(stream.schema[view.entity].dataType)
        named = tiled.withColumn(contract.entity, entity).withColumnRenamed(contract.entity, view.entity)
        stream = stream.unionByName(named.withColumn(KIND, F.lit(tile_set.kind)), allowMissingColumns=True)
    if stored and stored.log is not None:
        parts = wanted_parts(stored.kinds, part.tile_sets, checkpoint, dates)
        records = stored_records(stored, stored.log, parts, view.entity)
        stream = stream.unionByName(records, allowMissingColumns=True)
    known = stream.where(F.col(view.entity).isNotNull())
    if checkpoint is None:
        return known
    # Of a stream without a row Spark makes no partitions, and no worker would look at its bucket.
    nobody = stream.sparkSession.range(1).select(F.lit(MEMBER).alias(KIND))
    return known.unionByName(nobody, allowMissingColumns=True)


def _stale_sources(
    carried: Mapping[str, Sequence[date]], contracts: Mapping[str, TableContract]
) -> dict[date, list[str]]:
    """By date, the sources whose values are carried to it, sorted."""
    found: dict[date, set[str]] = {}
    for table, days in carried.items():
        for day in days:
            found.setdefault(day, set()).add(contracts[table].source)
    return {day: sorted(sources) for day, sources in found.items()}


def published_schema(view: FeatureView, contracts: Mapping[str, TableContract]) -> T.StructType:
    """The view's published columns as Spark types them."""
    types = _named_types(view, contracts) | {FEATURE_DATE: T.DateType()}
    types |= {feature.name: spark_type(feature.type) for feature in view.features}
    types |= {"stale_sources": T.ArrayType(T.StringType()), "pipeline_version": T.StringType()}
    return T.StructType([T.StructField(name, types[name]) for name in view.columns])


def checkpoint_schema(view: FeatureView, contracts: Mapping[str, TableContract]) -> T.StructType:
    """What is kept beside the rows."""
    return kept_schema(view, _named_types(view, contracts))


def _named_types(view: FeatureView, contracts: Mapping[str, TableContract]) -> dict[str, T.DataType]:
    """Types of the entity and the attributes."""
    declared = {column.name: spark_type(column.type) for column in contracts[view.population.table].columns}
    return {view.entity: entity_type(view, contracts)} | {name: declared[name] for name in view.attributes}
