"""The first two rungs, in NumPy: the definition on ±1, and the identity on bits that all others speed up.

Signature of every rung: a: uint64 (m, words), b: uint64 (n, words), k entries in a row; returns int32 (m, n), the
products of rows of ±1. The arguments have been checked by the ladder.
"""

import numpy as np

from . import bits


def definition(a, b, k):
    """out[i, j] = Σ_d a[i, d] b[j, d] over ±1 [XNOR-1, left].

    Per output: k multiplications and k additions on numbers that hold one bit each, in a float that can count them:
    float32 is exact below 2²⁴, float64 beyond.
    """
    dtype = np.float32 if k < 1 << 24 else np.float64
    return (bits.unpack(a, k, dtype) @ bits.unpack(b, k, dtype).T).astype(np.int32)


def identity(a, b, k):
    """out[i, j] = k - 2 popcount(a[i] XOR b[j]) [XNOR-1, right].

    Against the definition: 64 entries are one word, and a word takes one XOR and one popcount. Per output: 2·words
    read, words XORs, words popcounts. Slower than the definition all the same, whose product runs in a tuned BLAS: here
    every one of the three operations is a pass over memory, column by column, so that arrays in between stay small.
    """
    out = np.empty((len(a), len(b)), np.int32)
    for j, row in enumerate(b):
        out[:, j] = k - 2 * np.bitwise_count(a ^ row).sum(axis=1, dtype=np.int32)
    return out
