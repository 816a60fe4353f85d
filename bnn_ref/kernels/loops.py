"""Two rungs of plain Numba loops: no array but the operands and the result."""

import numpy as np

from .compiled import jit, popcount


def loops(a, b, k):
    """As `identity`, but compiled loops: XOR, popcount and sum happen in registers, nothing in between is stored.

    Per output: 2·words read, words XORs, words popcounts. LLVM vectorizes the inner loop as it sees fit.
    """
    out = np.empty((len(a), len(b)), np.int32)
    _loops(a, b, k, out)
    return out


@jit
def _loops(a, b, k, out):
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            differ = 0
            for word in range(a.shape[1]):
                differ += popcount(a[i, word] ^ b[j, word])
            out[i, j] = k - 2 * differ


def tiles(a, b, k):
    """As `loops`, but 2 × 4 outputs at a time: a word that was read serves two or four of them from its register.

    Per output: 3/4·words read instead of 2 (2 + 4 for eight outputs), words XORs, words popcounts. No gain where words
    lie in the nearest cache, which delivers them beside the popcounts, and a loss where LLVM makes vectors of both
    loops, as on x86: with eight sums it takes one or two vectors a turn, in `loops` four. A tile pays once the vectors
    are explicit, in `lanes`.
    """
    out = np.empty((len(a), len(b)), np.int32)
    _tiles(a, b, k, out)
    return out


@jit
def _tiles(a, b, k, out):
    m, n, words = a.shape[0], b.shape[0], a.shape[1]
    for i in range(0, m, 2):
        i1 = min(i + 1, m - 1)                                     # past the edge: the last row once more
        for j in range(0, n, 4):
            j1, j2, j3 = min(j + 1, n - 1), min(j + 2, n - 1), min(j + 3, n - 1)
            c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = 0
            for word in range(words):
                x0, x1 = a[i, word], a[i1, word]
                w0, w1, w2, w3 = b[j, word], b[j1, word], b[j2, word], b[j3, word]
                c00 += popcount(x0 ^ w0)
                c01 += popcount(x0 ^ w1)
                c02 += popcount(x0 ^ w2)
                c03 += popcount(x0 ^ w3)
                c10 += popcount(x1 ^ w0)
                c11 += popcount(x1 ^ w1)
                c12 += popcount(x1 ^ w2)
                c13 += popcount(x1 ^ w3)
            out[i, j], out[i, j1], out[i, j2], out[i, j3] = k - 2 * c00, k - 2 * c01, k - 2 * c02, k - 2 * c03
            out[i1, j], out[i1, j1], out[i1, j2], out[i1, j3] = k - 2 * c10, k - 2 * c11, k - 2 * c12, k - 2 * c13
