"""How the features of one date are distributed, from Arrow columns; no session and no Spark job.

The numbers are taken from the staged version after the audit, by reading its files directly: a Spark job would need the
session that a report written later does not have, and would give the same numbers for more. Numbers become doubles
here; exact decimals are what the checks and the rows have.

An aggregate may show its extremes. An attribute comes from a person's record, so only values that several entities
share are named, whatever their type.
"""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from headwater.quality.facts import DateSpread, Numbers, NumberSpread, Spread, ValueSpread

_BARS = 20
_TOP = 5
# Fewer entities than this could be known by the value they share.
_SHARED_BY = 5
_QUANTILES = (0.05, 0.5, 0.95, 0.99)
# A maximum this many times farther from the minimum than the 99th percentile would leave one bar and nineteen gaps.
_FAR_OUT = 2
_LONGEST = 40


def spreads(rows: pa.Table, *, attributes: Collection[str]) -> tuple[Spread, ...]:
    """The distribution of each column, in the table's order.

    Args:
        rows: features of one date, a row per entity.
        attributes: columns whose values are shown only when entities share them.
    """
    return tuple(_spread(name, rows[name].combine_chunks(), attributes) for name in rows.column_names)


def _spread(name: str, values: pa.Array, attributes: Collection[str]) -> Spread:
    kind = values.type
    if name in attributes:
        return _of_values(name, values)
    if pa.types.is_temporal(kind):
        return _of_dates(name, values)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _of_numbers(name, values)
    return _of_values(name, values)


def _of_numbers(name: str, values: pa.Array) -> NumberSpread:
    finite = values.drop_null().cast(pa.float64(), safe=False)
    finite = finite.filter(pc.is_finite(finite))
    counted = len(values), len(values) - len(finite)
    if not len(finite):
        return NumberSpread(name, *counted, numbers=None)
    p05, p50, p95, p99 = pc.quantile(finite, q=list(_QUANTILES)).to_pylist()
    low, top = (pc.min_max(finite)[end].as_py() for end in ("min", "max"))
    high = p99 if p99 > low and top - low > _FAR_OUT * (p99 - low) else top
    bars, high = _histogram(finite, low, high, whole=pa.types.is_integer(values.type))
    mean = pc.mean(finite).as_py()
    return NumberSpread(name, *counted, Numbers(low, p05, p50, p95, top, mean, bars, low, high))


def _histogram(finite: pa.Array, low: float, high: float, *, whole: bool) -> tuple[tuple[int, ...], float]:
    """Values per bar, and where the last bar ends; whole numbers get bars of whole numbers, each as many."""
    if whole:
        numbers = int(high - low) + 1
        width = float(-(-numbers // _BARS))
        count = int(-(-numbers // width))
        high = low + count * width
    else:
        count, width = (_BARS, (high - low) / _BARS) if high > low else (1, 1.0)
    places = pc.min_element_wise(pc.floor(pc.divide(pc.subtract(finite, low), width)), float(count - 1))
    found = {int(each["values"]): each["counts"] for each in pc.value_counts(places).to_pylist()}
    return tuple(found.get(place, 0) for place in range(count)), high


def _of_dates(name: str, values: pa.Array) -> DateSpread:
    ends = pc.min_max(values)
    return DateSpread(name, len(values), values.null_count, earliest=ends["min"].as_py(), latest=ends["max"].as_py())


def _of_values(name: str, values: pa.Array) -> ValueSpread:
    present = len(values) - values.null_count
    if pa.types.is_nested(values.type):
        return ValueSpread(name, len(values), values.null_count, values=(), other=present)
    counts = pc.value_counts(values.drop_null().cast(pa.string()))
    common = counts.filter(pc.greater_equal(counts.field("counts"), _SHARED_BY))
    table = pa.table({"value": common.field("values"), "entities": common.field("counts")})
    order = [("entities", "descending"), ("value", "ascending")]
    top = [(each["value"], each["entities"]) for each in table.sort_by(order).slice(0, _TOP).to_pylist()]
    shown = tuple((_cut(value), entities) for value, entities in top)
    return ValueSpread(name, len(values), values.null_count, shown, present - sum(entities for _, entities in top))


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
