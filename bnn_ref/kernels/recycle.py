"""Memory that one step or product used, for the next: a fresh large array can cost more than what is computed in it.

The system hands out large pieces page by page, each with a fault, and takes them back when the array dies. Here a
piece comes back when the last array that sees it has died, never before: to its user a recycled array is a new one.
"""

import math
import weakref

import numpy as np

LEAST = 1 << 16                       # bytes; smaller pieces never leave the process anyway
KEPT = 1 << 29                        # bytes that may wait, all sizes together

_waiting = {}                         # {bytes: [piece]}


def empty(shape, dtype):
    """As `np.empty`: a C-contiguous array whose entries are anything, from memory that waits if there is any."""
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size < LEAST:
        return np.empty(shape, dtype)
    try:
        piece = _waiting[size].pop()
    except (KeyError, IndexError):
        piece = np.empty(size, np.uint8)
    # Views of views refer to the first array whose own base is no array. That is this one, because of the memoryview,
    # so it outlives everything that can see the piece.
    lent = np.frombuffer(memoryview(piece), dtype, count)
    weakref.finalize(lent, _back, piece).atexit = False
    return lent.reshape(shape)


def _back(piece):
    if sum(size * len(pieces) for size, pieces in list(_waiting.items())) + piece.nbytes <= KEPT:
        _waiting.setdefault(piece.nbytes, []).append(piece)
