"""Feature rows for a set of dates in one pass: every event is read once, whatever the number of dates.

    population ──membership intervals──┐
    events of each tile set ──tiles────┴─union──> shuffled by entity, sorted ──blocks (NumPy)──> rows

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

from headwater.config.features import FeatureView
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO, spark_type
from headwater.features.asof import FEATURE_DATE
from headwater.features.blocks import Slice
from headwater.features.computed import Computed, published_batches
from headwater.features.kernel import Span
from headwater.features.rows import day_of, entity_type, value_scale
from headwater.features.scope import cut_to, of_entities
from headwater.features.stored import Stored, kept_states, stored_records
from headwater.features.tiles import tiles
from headwater.features.tilesets import COUNTED, FROM, KIND, MEMBER, STATES, UNTIL


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are to be computed.

    Attributes:
        dates: at least one feature date.
        carried: by table, dates at which its source is stale; its group is left at the no-match values there.
        scope: the entities, and the days of each (`scope.changed_entities`); None for all there are. Beside it no
            checkpoint is stored, which is one of all entities.
    """

    dates: Sequence[date]
    carried: Mapping[str, Sequence[date]] = field(default_factory=dict)
    scope: DataFrame | None = None


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
        The view's columns in published order; one row per (entity, feature_date). Where stored tiles keep them, also
        `_states` of the last date: the next checkpoint, for which an entity without a row gets one without a date.
    """
    part = Slice(
        view=view,
        dates=tuple(sorted(wanted.dates)),
        scales={
            feature.name: value_scale(feature, contracts[group.table])
            for group in view.groups
            for feature in group.features
        },
        carried={table: tuple(days) for table, days in wanted.carried.items()},
        stored=frozenset(stored.kinds) if stored else frozenset(),
        resumed=stored.checkpoint.kinds if stored and stored.checkpoint else frozenset(),
        kept=kept_states(view) if stored and stored.keeps else {},
    )
    population = contracts[view.population.table]
    if (scope := wanted.scope) is not None:
        silver = {name: of_entities(rows, contracts[name].entity, scope) for name, rows in silver.items()}
        stored = replace(stored, log=of_entities(stored.log, view.entity, scope)) if stored else None
    members = _members(silver[population.name], population, view, part.span)
    stream = members if scope is None else cut_to(members, scope)
    for tile_set in part.tile_sets:
        contract = contracts[tile_set.group.table]
        if tile_set.kind in part.stored:
            continue
        tiled = tiles(silver[contract.name], tile_set, contract, part.span)
        entity = F.col(f"`{contract.entity}`").cast(stream.schema[view.entity].dataType)
        named = tiled.withColumn(contract.entity, entity).withColumnRenamed(contract.entity, view.entity)
        stream = stream.unionByName(named.withColumn(KIND, F.lit(tile_set.kind)), allowMissingColumns=True)
    if stored:
        sets = [tile_set for tile_set in part.tile_sets if tile_set.kind in stored.kinds]
        records = stored_records(stored, sets, view.entity, part.span)
        stream = stream.unionByName(records, allowMissingColumns=True)
    together = stream.repartition(view.entity).sortWithinPartitions(view.entity, KIND)
    schema = published_schema(view, contracts)
    if part.kept:
        states = [T.StructField(name, T.LongType()) for name in part.kept]
        schema = T.StructType([*schema.fields, T.StructField(STATES, T.StructType(states))])
    stale = _stale_sources(part.carried, contracts)
    return Computed(together, partial(published_batches, part=part, stale=stale), schema)


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
    members = contracts[view.population.table]
    declared = {column.name: spark_type(column.type) for column in members.columns}
    types: dict[str, T.DataType] = {view.entity: entity_type(view, contracts), FEATURE_DATE: T.DateType()}
    types |= {feature.name: spark_type(feature.type) for feature in view.features}
    types |= {name: declared[name] for name in view.attributes}
    types |= {"stale_sources": T.ArrayType(T.StringType()), "pipeline_version": T.StringType()}
    return T.StructType([T.StructField(name, types[name]) for name in view.columns])


def _members(rows: DataFrame, contract: TableContract, view: FeatureView, span: Span) -> DataFrame:
    """The days on which an entity has a row, by the version that is valid at their end; `_until` is the first without.

    From a dimension: where the version's start date has come. From a fact table: from the entity's first event on.
    """
    since = day_of(view.population.since)
    entity = F.col(f"`{contract.entity}`").alias(view.entity)
    kind, counted = F.lit(MEMBER).alias(KIND), F.lit(False).alias(COUNTED)  # noqa: FBT003
    if contract.kind == "fact":
        first = rows.groupBy(entity).agg(F.min(since).alias(FROM))
        return first.select(view.entity, kind, counted, FROM, F.lit(None).cast("bigint").alias(UNTIL)).where(
            F.col(FROM) <= span.last
        )
    # Of versions that follow each other within a day the last one stands at its end, and the others are empty.
    begin, until = F.greatest(since, day_of(VALID_FROM)), day_of(VALID_TO)
    members = rows.where(since.isNotNull()).select(
        entity, kind, counted, begin.alias(FROM), until.alias(UNTIL), *view.attributes
    )
    return members.where((F.col(FROM) <= span.last) & (F.col(UNTIL).isNull() | (F.col(UNTIL) > span.first)))
