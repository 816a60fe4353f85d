"""Packing as compiled kernels: it is part of every real inference, so it must not cost more than reading its input.

64 comparisons at a time become one word; `bits.py` states the convention and has the same in NumPy.
"""

import math

import numpy as np

from .compiled import jit, parallel_for
from .lanes import plane64, signs64

BITS = 64                             # entries of a row in a word
PIECE = 1 << 18                       # entries worth a thread of their own


@jit
def _pack_float(x, out, k, start, stop):
    width, tail = out.shape[1], np.zeros(BITS, x.dtype)
    for row in range(start, stop):
        for word in range(k // BITS):
            out[row, word] = signs64(x, row * k + word * BITS)
        if k % BITS:
            tail[:] = -1                                       # the padding bits
            tail[:k % BITS] = x[(row + 1) * k - k % BITS:(row + 1) * k]
            out[row, width - 1] = signs64(tail, 0)


def pack_float(x, words):
    """As `bits.pack` for float32 (..., k); words: of a row of k entries."""
    *rows, k = x.shape
    out = np.empty((math.prod(rows), words), np.uint64)
    flat = np.ascontiguousarray(x).reshape(-1)
    parallel_for(lambda start, stop: _pack_float(flat, out, k, start, stop), len(out), -(-PIECE // k))
    return out.reshape(*rows, words)


@jit
def _pack_pixels(x, out, k, start, stop):
    width, tail = out.shape[2], np.zeros(BITS, x.dtype)
    for row in range(start, stop):
        for word in range(k // BITS):
            for plane in range(8):
                out[row, plane, word] = plane64(x, row * k + word * BITS, plane)
        if k % BITS:
            tail[:k % BITS] = x[(row + 1) * k - k % BITS:(row + 1) * k]
            for plane in range(8):
                out[row, plane, width - 1] = plane64(tail, 0, plane)


def pack_pixels(x, words):
    """As `bits.pack_planes` for uint8 (..., k); words: of a row of k entries."""
    *rows, k = x.shape
    out = np.empty((math.prod(rows), 8, words), np.uint64)
    flat = np.ascontiguousarray(x).reshape(-1)
    parallel_for(lambda start, stop: _pack_pixels(flat, out, k, start, stop), len(out), -(-PIECE // k))
    return out.reshape(*rows, 8, words)
