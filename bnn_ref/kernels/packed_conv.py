"""What a network on bits does between two products: patches, thresholds, pooling; loops over words.

Maps lie channels last here, N × H × W × words, so that a row of a patch is one run of memory. Each function shares the
pictures, or rows, among threads.
"""

import math

import numpy as np

from ..ops.checks import check_dtype, check_integers, check_number, check_plain, check_whole, check_writable
from ..ops.conv import out_size
from .bits import BITS, WORD, words
from .compiled import jit, parallel_for
from .lanes import at_least64

PIECE = 1 << 18                       # entries worth a thread of their own


def _shared(kernel, count, entries, *arrays):
    """kernel(*arrays, start, stop) over `count` pictures or rows of so many entries."""
    parallel_for(lambda start, stop: kernel(*arrays, start, stop), count, -(-PIECE // max(1, entries)))


def im2col(x, length, pad, fill, out):
    """Patches at every position [CONV-1]: one copy for each row of a patch; `fill` where a patch is beyond the map.

    x: (N, H, W·length), words, pixels or floats, `length` of them a point; out: (N, OH, OW, KH, KW·length), like x.
    Raises TypeError or ValueError for arguments that do not fit.
    """
    check_plain("x", x)
    check_dtype("x", x, x.dtype, "N H W·length")
    check_dtype("out", out, x.dtype, "N OH OW KH KW·length")
    check_whole("length", length, f"a divisor of {x.shape[2]} and {out.shape[4]}, which rows are long",
                lambda length: length > 0 and not x.shape[2] % length and not out.shape[4] % length)
    check_whole("pad", pad, "a border of at least 0", lambda pad: pad >= 0)
    kernel = out.shape[3], out.shape[4] // length
    expected = len(x), *(size + 2 * pad - side + 1 for size, side in zip((x.shape[1], x.shape[2] // length), kernel))
    _check_shape("out", out, (*expected, *out.shape[3:]))
    check_writable("out", out)
    check_number("fill", fill, "a number that x can hold", lambda fill: x.dtype.kind == "f" or 0 <= fill < 256)
    _shared(_im2col, len(x), math.prod(out.shape[1:]), x, length, pad, x.dtype.type(fill), out)


def _ends(numbers):
    """The least and the largest; of one number, as behind a dense layer, without NumPy, which takes microseconds."""
    return (numbers.item(),) if numbers.size == 1 else (numbers.min(), numbers.max())


def _check_shape(name, x, shape):
    if x.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {x.shape}")


@jit
def _im2col(x, length, pad, fill, out, first, last):
    h, width = x.shape[1:]
    _, oh, ow, kh, run = out.shape
    for image in range(first, last):
        for y in range(oh):
            for z in range(ow):
                start = (z - pad) * length                         # of the patch, in a row of the map
                for i in range(kh):
                    row = y + i - pad
                    above = row < 0 or row >= h
                    left = run if above else min(max(0, -start), run)
                    right = run if above else max(left, min(run, width - start))
                    for at in range(left):
                        out[image, y, z, i, at] = fill
                    for at in range(left, right):
                        out[image, y, z, i, at] = x[image, row, start + at]
                    for at in range(right, run):
                        out[image, y, z, i, at] = fill


def threshold(s, thresholds, kinds, out):
    """Bit j of a row is 1 where s[row, j] >= thresholds[kind, j]; the bits past M are 0.

    s: int32 (rows, M); thresholds: int32 (kinds, M); kinds: integers (positions,), the kind of thresholds at a
    position, row r being at position r % positions. out: uint64 (rows, ⌈M/64⌉).
    Raises TypeError or ValueError for arguments that do not fit.
    """
    check_dtype("s", s, np.int32, "rows M")
    check_dtype("thresholds", thresholds, np.int32, "kinds M")
    check_integers("kinds", kinds, "positions")
    check_dtype("out", out, WORD, "rows words")
    _check_shape("thresholds", thresholds, (len(thresholds), s.shape[1]))
    if not len(kinds) or not 0 <= min(_ends(kinds)) <= max(_ends(kinds)) < len(thresholds):
        raise ValueError(f"kinds: expected rows of thresholds, 0 to {len(thresholds) - 1}, got others, or none")
    _check_shape("out", out, (len(s), words(s.shape[1])))
    check_writable("out", out)
    _shared(_threshold, len(s), s.shape[1], s.reshape(-1), thresholds.reshape(-1), kinds, s.shape[1], out)


@jit
def _threshold(s, thresholds, kinds, m, out, first, last):
    whole = m // BITS
    s_tail, t_tail = np.zeros(BITS, s.dtype), np.ones(BITS, thresholds.dtype)      # the bits past M: 0 >= 1
    for row in range(first, last):
        at, of = row * m, kinds[row % len(kinds)] * m
        for word in range(whole):
            out[row, word] = at_least64(s, at + word * BITS, thresholds, of + word * BITS)
        if whole * BITS < m:
            for bit in range(m - whole * BITS):
                s_tail[bit] = s[at + whole * BITS + bit]
                t_tail[bit] = thresholds[of + whole * BITS + bit]
            out[row, whole] = at_least64(s_tail, 0, t_tail, 0)


def or_pool(x, kernel, stride, out):
    """Max pooling of bits: the OR over each window [POOL-1]. x: uint64 (N, H, W, words), out: (N, OH, OW, words).

    Raises TypeError or ValueError for arguments that do not fit.
    """
    check_dtype("x", x, WORD, "N H W words")
    check_dtype("out", out, WORD, "N OH OW words")
    sides = (out_size(size, kernel, stride, 0) for size in x.shape[1:3])
    _check_shape("out", out, (len(x), *sides, x.shape[3]))
    check_writable("out", out)
    _shared(_or_pool, len(x), math.prod(x.shape[1:]), x, kernel, stride, out)


@jit
def _or_pool(x, kernel, stride, out, first, last):
    _, oh, ow, words = out.shape
    for image in range(first, last):
        for y in range(oh):
            for z in range(ow):
                for word in range(words):
                    any_of = np.uint64(0)
                    for i in range(kernel):
                        for j in range(kernel):
                            any_of |= x[image, y * stride + i, z * stride + j, word]
                    out[image, y, z, word] = any_of
