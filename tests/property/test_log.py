"""The changes of tiles that a worker adds up, against sums in a dictionary, however the rows are cut into batches."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

import pyarrow as pa
import pytest

from headwater.features.log import _DAYS, _EPOCH, _merged

IDS = ("sales-1", "views-2")
DAY = date(1969, 12, 31)
SCHEMA = pa.schema(
    [("_order", pa.int64()), ("who", pa.string()), ("_until", pa.int64()), ("_s0", pa.int64()), ("_s2", pa.int64())]
)
Row = tuple[int, int, str, int | None, int | None, int | None]


def drawn(rng: Random) -> list[Row]:
    """Tile set, day, entity, available day and two sums; few of each, so that tiles are of many rows or none."""
    return [
        (rng.randrange(2), rng.randrange(-3, 40), rng.choice(["ann", "bob", "ünï"]), rng.choice([None, 3, 9]),
         rng.choice([None, 0, 1, -1, 7]), rng.choice([None, 0, 2, -2, 10**15]))
        for _ in range(rng.choice([0, 1, 5, 80]))
    ]  # fmt: skip


def batches(rows: list[Row], rng: Random) -> Iterator[pa.RecordBatch]:
    """In the order that Spark gives them in."""
    coded = [(number * _DAYS + day + _EPOCH, *rest) for number, day, *rest in rows]
    coded.sort(key=lambda row: (row[0], row[1].encode(), row[2] is not None, row[2] or 0))
    while coded:
        size = rng.randint(1, len(coded))
        columns = zip(*coded[:size], strict=True)
        yield pa.RecordBatch.from_arrays(
            [pa.array(each, kind.type) for each, kind in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        )
        coded = coded[size:]


@pytest.mark.parametrize("gathered", [1, 3, 1 << 17])
def test_what_belongs_to_a_tile_is_added_up_once(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.features.log._GATHERED", gathered)
    for seed in range(300):
        rng = Random(seed)
        rows = drawn(rng)
        expected: Counter[tuple[object, ...]] = Counter()
        for number, day, who, until, first, second in rows:
            for place, value in (("_s0", first), ("_s2", second)):
                expected[IDS[number], day, who, until, place] += value or 0
        found: Counter[tuple[object, ...]] = Counter()
        order = []
        for of, batch in _merged(batches(rows, rng), 0, "who", IDS, ("_s0", "_s1", "_s2"), 7):
            assert of == "rows"
            for row in batch.to_pylist():
                month = (date(1970, 1, 1) + timedelta(days=row["_from"])).replace(day=1)
                assert (row["_month"], row["_batch"], row["_s1"]) == (month, 7, 0)
                assert row["_s0"] or row["_s2"]
                key = (row["_tiles"], row["_from"], row["who"], row["_until"])
                assert (*key, "_s0") not in found, "a tile has two rows"
                found.update({(*key, place): row[place] for place in ("_s0", "_s2")})
                order.append((row["_tiles"], row["_from"], row["who"].encode()))
        assert {key: value for key, value in found.items() if value} == {
            key: value for key, value in expected.items() if value
        }
        assert order == sorted(order)


def test_a_sum_that_64_bits_may_not_hold_is_refused() -> None:
    rows: list[Row] = [(0, 0, "ann", None, 2**61, 0), (0, 0, "ann", None, 2**61, 0)]
    with pytest.raises(OverflowError):
        list(_merged(batches(rows, Random(0)), 0, "who", IDS, ("_s0", "_s2"), 1))
    apart: list[Row] = [(0, 0, "ann", None, 2**61, 0), (0, 1, "ann", None, 2**61, 0)]
    assert len(list(_merged(batches(apart, Random(0)), 0, "who", IDS, ("_s0", "_s2"), 1))) == 1
