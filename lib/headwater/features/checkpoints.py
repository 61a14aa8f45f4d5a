"""Checkpoints: what is known of every entity at the end of a day, so that the days after it can go on from there.

    kernel, at the end of a day ──> entity, since when it is a member, attributes, merged states ──> a file a bucket
    the next run's worker of that bucket <── the same rows, in order of entity

A bucket is a partition of Spark's by hash of the entity. What changed since is shuffled to it; the rest, all that is
known of all entities, is read where it is needed and never moved. Buckets are powers of two, so that a later run may
make few of many or many of few: one of 8 holds the entities of those of 64 whose number leaves it as the remainder by
8, and each of these finds its own in there by their hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from headwater.config.features import FeatureView
from headwater.features.stored import kept_states

MEMBER_FROM, DAY, STAGE, BUCKET = "_member_from", "_day", "_stage", "_bucket"
PLACE = (DAY, STAGE, BUCKET)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a worker goes on from.

    Attributes:
        day: at whose end it is what is known, since 1970.
        batch: the last batch of the log that its states count.
        kinds: the tile sets that go on from them.
        read: from the number of a bucket to its rows, in order of entity.
        buckets: how many there are, each a worker's.
        members: whether it says who is a member, and the stream only what has changed of that; else the stream says
            all.
        tiles: from the number of a bucket to stored tiles that matter, in any order; None: they are in the stream.
    """

    day: int
    batch: int
    kinds: frozenset[int]
    read: Callable[[int], pa.Table]
    buckets: int
    members: bool = False
    tiles: Callable[[int], pa.Table] | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a computation goes on from.

    Attributes:
        resumed: the workers' part of it.
        changes: rows of the population's table that came, went or were changed since; None for none.
    """

    resumed: Resumed
    changes: DataFrame | None = None


def kept_schema(view: FeatureView, types: Mapping[str, T.DataType]) -> T.StructType:
    """Columns of checkpoints, and what their files are found by.

    A row per day and entity that is a member or has states. `_member_from` is a day since 1970: of a population of
    facts the one from which it is a member, which may lie ahead; of a dimension's the checkpoint's own, where it is
    one; else null.

    Args:
        view: the definitions.
        types: of the entity and the attributes.
    """
    named = [T.StructField(name, types[name]) for name in (view.entity, *view.attributes)]
    states = [T.StructField(name, T.LongType()) for name in kept_states(view)]
    placed = [T.StructField(DAY, T.DateType()), *(T.StructField(name, T.IntegerType()) for name in (STAGE, BUCKET))]
    return T.StructType([*named, T.StructField(MEMBER_FROM, T.LongType()), *states, *placed])
