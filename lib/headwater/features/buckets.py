"""In which partition Spark puts an entity: its Murmur3, 32 bits, seed 42, modulo the partitions.

A worker that reads records itself has to know which of them are of its own bucket. The function is part of what Spark
promises (`pmod(hash(x), n)`); whole numbers are hashed in words of 32 bits, of a text first its words, then every byte
that is left as a word of its own with its sign. (Appleby, MurmurHash3, 2011; the treatment of what is left is Spark's.)
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.features.kernel import Integers

_SEED = np.uint32(42)
Words = NDArray[np.uint32]


def can_be_placed(kind: pa.DataType) -> bool:
    """Whether the partition of values of a type is known here."""
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_date32(kind))


def bucket_of(values: pa.Array, buckets: int) -> Integers:
    """The partition of each value; none of them null.

    Args:
        values: texts, whole numbers or dates.
        buckets: how many there are.
    """
    hashed = _of_texts(values) if pa.types.is_string(values.type) else _of_numbers(values)
    found: Integers = np.mod(hashed.view(np.int32).astype(np.int64), buckets)
    return found


def _of_numbers(values: pa.Array) -> Words:
    numbers = values.cast(pa.int32()) if pa.types.is_date32(values.type) else values
    if numbers.type.bit_width <= 32:
        words = [numbers.cast(pa.int32()).to_numpy().view(np.uint32)]
    else:
        both = np.ascontiguousarray(numbers.cast(pa.int64()).to_numpy()).view(np.uint32).reshape(-1, 2)
        words = [both[:, 0], both[:, 1]]
    state = np.full(len(values), _SEED)
    for word in words:
        state = _mixed(state, word)
    return _finished(state, np.full(len(values), 4 * len(words), np.uint32))


def _of_texts(values: pa.Array) -> Words:
    found = np.empty(len(values), np.uint32)
    lengths = pc.binary_length(values).to_numpy()
    # Texts of one length are a matrix of bytes.
    for length in np.unique(lengths):
        at = np.flatnonzero(lengths == length)
        letters = values.take(pa.array(at)).buffers()[2] if length else b""
        found[at] = _of_bytes(np.frombuffer(letters, np.uint8, len(at) * length).reshape(len(at), length))
    return found


def _of_bytes(rows: NDArray[np.uint8]) -> Words:
    count, length = rows.shape
    whole = length // 4
    state = np.full(count, _SEED)
    for word in np.ascontiguousarray(rows[:, : 4 * whole]).view("<u4").reshape(count, whole).T:
        state = _mixed(state, word.astype(np.uint32))
    for left in rows[:, 4 * whole :].T:
        state = _mixed(state, left.view(np.int8).astype(np.int32).view(np.uint32))
    return _finished(state, np.full(count, length, np.uint32))


def _mixed(state: Words, word: Words) -> Words:
    mixed = _turned(word * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
    return _turned(state ^ mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _finished(state: Words, length: Words) -> Words:
    state = state ^ length
    state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return state ^ (state >> np.uint32(16))


def _turned(words: Words, by: int) -> Words:
    return (words << np.uint32(by)) | (words >> np.uint32(32 - by))
