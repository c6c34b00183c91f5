"""Arrays of blocks: which of them hold anything, and where they lie side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from mooring.model.extents import BLOCK_SIZE, Buffer

Array = np.ndarray[Any, Any]


def runs(mask: Array) -> Array:
    """Where neighbours that hold begin, and the place after their end: a row for each run."""
    return np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)


def nonzero_blocks(data: Buffer) -> Array:
    """For each block, whether it holds anything but zeros."""
    words = np.frombuffer(data, np.uint64).reshape(-1, BLOCK_SIZE // 8)
    # Most blocks that are not zero show it in one of these words, and few have to be read whole.
    mask: Array = (words[:, 0] | words[:, 200] | words[:, 511]) != 0
    doubtful = np.flatnonzero(~mask)
    if doubtful.size == len(mask):
        mask = np.asarray(words.any(axis=1))
    elif doubtful.size:
        mask[doubtful] = words[doubtful].any(axis=1)
    return mask
