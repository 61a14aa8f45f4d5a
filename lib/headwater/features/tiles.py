"""Tiles: per entity, event day and available day, the partial states of every feature of a group.

    silver rows (one per event) ──states of an event──merge──> entity, event day, available day, _s0, _s1, ..

A tile holds what its day contributes, so a window is a merge of tiles and a late event touches one tile.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.config.features import FeatureGroup
from headwater.config.tables import TableContract
from headwater.features.algebra import merge_column, operation
from headwater.features.blocks import FROM, UNTIL
from headwater.features.kernel import ALWAYS, Span
from headwater.features.rows import contribution, day_of


def tiles(events: DataFrame, group: FeatureGroup, contract: TableContract, span: Span) -> DataFrame:
    """Merge the events of a group that can count on the dates of a span, by day.

    Days that lie before every window are one tile per entity: they count for lifetime features only, and for those
    it does not matter when before the span they were.

    Args:
        events: silver rows of the group's table.
        group: declared features.
        contract: the table's contract, for the entity column and the scale of money.
        span: the dates.

    Returns:
        The contract's entity column, `_from` (event day since 1970), `_until` (the day since when the fact is known;
        null: not known yet) and the states as `_s0`, `_s1`, .. in declared order; one row per entity and both days.
    """
    day = day_of(group.event_time)
    finite = [feature.window_days for feature in group.features if feature.window_days is not None]
    earliest = span.first - max(finite, default=1) + 1
    within = events.where(day <= span.last)
    if group.longest_window is not None:
        within = within.where(day >= earliest)
    known_from = _cut(day_of(group.available), span.first) if group.available else F.lit(None).cast("bigint")
    happened = _cut(day, earliest)
    states = {
        f"_s{place}": (each.monoid, each.of_event(contribution(feature, contract), day))
        for place, (feature, each) in enumerate(
            (feature, each) for feature in group.features for each in operation(feature.op).states
        )
    }
    prepared = within.select(
        contract.entity,
        happened.alias(FROM),
        known_from.alias(UNTIL),
        *(expression.cast("bigint").alias(name) for name, (_, expression) in states.items()),
    )
    merged = [merge_column(monoid, name).alias(name) for name, (monoid, _) in states.items()]
    return prepared.groupBy(contract.entity, FROM, UNTIL).agg(*merged)


def _cut(day: Column, earliest: int) -> Column:
    """Days before all that matters are one."""
    return F.when(day < earliest, F.lit(ALWAYS)).otherwise(day)
