"""Where runs of equal values begin."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.features.kernel import Flags


def begins(columns: Sequence[pa.ChunkedArray | pa.Array]) -> Flags:
    """Whether each row differs from the one before it in any of some columns, in none of which is a null."""
    rows = len(columns[0])
    found = np.zeros(rows, np.bool_)
    found[:1] = True
    for each in columns:
        column = each.combine_chunks() if isinstance(each, pa.ChunkedArray) else each
        found[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return found
