"""Who is in the stream, who is in the checkpoint, and who is in both: everybody that matters is in one block."""

import pyarrow as pa
import pytest

from headwater.features.blocks import Bucket, blocks
from headwater.features.slices import _of_bucket

STREAM = pa.schema([("who", pa.string()), ("_kind", pa.int32())])
CHECKPOINT = pa.table({"who": ["a", "c", "d", "f"]})


@pytest.mark.parametrize("of_the_stream", ["", "a", "c", "bd", "g", "abcdefg"])
@pytest.mark.parametrize("gathered", [1, 2, 100])
def test_everybody_is_in_one_block(of_the_stream: str, gathered: int) -> None:
    rows = [{"who": who, "_kind": 0} for who in of_the_stream]
    batches = [pa.RecordBatch.from_pylist([row], STREAM) for row in rows]
    every = sorted({*of_the_stream, *CHECKPOINT["who"].to_pylist()})
    for tiles, stream, expected in (
        (None, STREAM, every),
        (STREAM.empty_table(), STREAM, every),
        # The stream names all that matter.
        (None, None, sorted(of_the_stream)),
    ):
        found = list(blocks(batches, "who", 2, Bucket(CHECKPOINT, tiles, stream), gathered))
        assert [who for block in found for who in block.names.to_pylist()] == expected
        for block in found:
            assert block.entities <= 2
            assert [block.names[at].as_py() for at in block.entity] == block.records["who"].to_pylist()
            known = block.checkpoint
            assert known is not None
            assert [block.names[at].as_py() for at in known.entity] == known.rows["who"].to_pylist()
            assert known.rows["who"].to_pylist() == [
                who for who in block.names.to_pylist() if who in CHECKPOINT["who"].to_pylist()
            ]


def test_a_partition_that_is_not_the_bucket_it_is_taken_for_is_refused() -> None:
    """The checkpoint beside it would be another's, without a sign."""
    batch = pa.RecordBatch.from_pylist([{"who": who, "_kind": 0} for who in "abcdefgh"], STREAM)
    assert list(_of_bucket([batch.slice(0, 0), batch], "who", 0, 1)) == [batch.slice(0, 0), batch]
    for bucket in (0, 1):
        with pytest.raises(ValueError, match=f"partition {bucket} of 2"):
            list(_of_bucket([batch.slice(0, 0), batch], "who", bucket, 2))
