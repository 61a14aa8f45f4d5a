"""Who is in the stream, who is in the checkpoint, and who is in both: everybody that matters is in one block."""

import pyarrow as pa
import pytest

from headwater.features.blocks import Bucket, blocks
from headwater.features.slices import _of_bucket

TYPES = [pa.string(), pa.int64(), pa.int32(), pa.date32(), pa.decimal128(20, 0), pa.bool_()]
STREAM = pa.schema([("who", pa.string()), ("_kind", pa.int32())])
KNOWN = "acdf"


def named(names: str, kind: pa.DataType) -> pa.Array:
    """Entities of a type, in the order of their letters."""
    numbers = pa.array(["abcdefg".index(each) for each in names], pa.int32())
    return pa.array([*names], kind) if pa.types.is_string(kind) else numbers.cast(kind)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("of_the_stream", ["", "a", "c", "bd", "g", "abcdefg"])
@pytest.mark.parametrize("gathered", [1, 2, 100])
def test_everybody_is_in_one_block(of_the_stream: str, gathered: int, kind: pa.DataType) -> None:
    known = KNOWN
    if pa.types.is_boolean(kind):
        # There are two of them.
        of_the_stream, known = "".join(each for each in of_the_stream if each in "ab"), "b"
    schema = pa.schema([("who", kind), ("_kind", pa.int32())])
    kinds = pa.array([0] * len(of_the_stream), pa.int32())
    stream = pa.table([named(of_the_stream, kind), kinds], schema=schema)
    checkpoint = pa.table({"who": named(known, kind)})
    every = named("".join(sorted({*of_the_stream, *known})), kind).to_pylist()
    for tiles, columns, expected in (
        (None, schema, every),
        (schema.empty_table(), schema, every),
        # The stream names all that matter.
        (None, None, stream["who"].to_pylist()),
    ):
        batches = stream.to_batches(max_chunksize=1)
        found = list(blocks(batches, "who", 2, Bucket(checkpoint, tiles, columns), gathered))
        assert [who for block in found for who in block.names.to_pylist()] == expected
        for block in found:
            assert block.entities <= 2
            names = block.names.to_pylist()
            assert [names[at] for at in block.entity] == block.records["who"].to_pylist()
            assert block.checkpoint is not None
            rows = block.checkpoint.rows["who"].to_pylist()
            assert [names[at] for at in block.checkpoint.entity] == rows
            assert rows == [who for who in names if who in checkpoint["who"].to_pylist()]
            assert block.column("who").to_pylist() == [*block.records["who"].to_pylist(), *rows]


def test_a_checkpoint_that_is_not_in_order_is_refused() -> None:
    """Its rows would be taken for others'."""
    batch = pa.RecordBatch.from_pylist([{"who": "b", "_kind": 0}], STREAM)
    with pytest.raises(ValueError, match="not in order of who"):
        list(blocks([batch], "who", 2, Bucket(pa.table({"who": ["c", "a"]}), STREAM.empty_table(), STREAM)))


def test_a_partition_that_is_not_the_bucket_it_is_taken_for_is_refused() -> None:
    """The checkpoint beside it would be another's, without a sign."""
    batch = pa.RecordBatch.from_pylist([{"who": who, "_kind": 0} for who in "abcdefgh"], STREAM)
    assert list(_of_bucket([batch.slice(0, 0), batch], "who", 0, 1)) == [batch.slice(0, 0), batch]
    for bucket in (0, 1):
        with pytest.raises(ValueError, match=f"partition {bucket} of 2"):
            list(_of_bucket([batch.slice(0, 0), batch], "who", bucket, 2))
