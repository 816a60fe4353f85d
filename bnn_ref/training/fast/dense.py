"""Dense products and sign for training, each in as few passes over memory as it takes.

Every function equals the readable one of its name bit for bit: real products are those of the same BLAS, and a product
of ±1 is an integer in whatever way it is computed. Arrays that are not C-contiguous go to the readable function.
"""

import numpy as np

from ...kernels import bits, ladder
from ...kernels.compiled import jit, parallel_for
from ...kernels.recycle import empty
from ...ops import binarize
from ...ops.checks import check_float, check_like, check_shapes

PIECE = 1 << 18                       # entries worth a thread of their own
PANEL = 512                           # columns that are packed together


def contiguous(*arrays):
    """Whether the loops here may walk them, entry after entry."""
    return all(array.flags.c_contiguous for array in arrays)


def pieces(work, units, entries):
    """work(start, stop) over `units` of `entries` each, on several threads where that pays."""
    parallel_for(work, units, -(-PIECE // max(1, entries)))


# --- sign ----------------------------------------------------------------------------------------------------------


@jit
def _sign(x, out):
    one = x.dtype.type(1)
    for i in range(len(x)):
        out[i] = one if x[i] >= 0 else -one


def sign(x):
    """Equals `binarize.sign`. x: float32 or float64, any shape. Returns the same shape and dtype."""
    check_float("x", x)
    if not contiguous(x):
        return binarize.sign(x)
    out = empty(x.shape, x.dtype)
    flat, out_flat = x.reshape(-1), out.reshape(-1)
    pieces(lambda start, stop: _sign(flat[start:stop], out_flat[start:stop]), x.size, 1)
    return out


def sign_forward(x):
    """Equals `binarize.sign_forward`."""
    return sign(x), x


@jit
def _straight_through(dout, x, dx):
    one, zero = dout.dtype.type(1), dout.dtype.type(0)
    for i in range(len(dx)):
        # A product, so that an infinite or undefined dout does here what it does in the readable equation.
        dx[i] = dout[i] * (one if abs(x[i]) <= 1 else zero)


def sign_backward(dout, cache):
    """Equals `binarize.sign_backward`."""
    x = cache
    check_like("dout", dout, "x", x)
    if not contiguous(dout, x):
        return binarize.sign_backward(dout, x)
    dx = empty(x.shape, x.dtype)
    flat = dout.reshape(-1), x.reshape(-1), dx.reshape(-1)
    pieces(lambda start, stop: _straight_through(*(array[start:stop] for array in flat)), x.size, 1)
    return dx


# --- products ------------------------------------------------------------------------------------------------------


def matmul(a, b):
    """a @ b of NumPy's BLAS, into memory that an earlier step has used. a: (N, D); b: (D, M)."""
    return np.matmul(a, b, out=empty((len(a), b.shape[1]), a.dtype))


def dense_forward(x, w):
    """Equals `dense.dense_forward`."""
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    return matmul(x, w), (x, w)


def dense_backward(ds, cache):
    """Equals `dense.dense_backward`."""
    x, w = cache
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("ds", ds, "N M"))
    return matmul(ds, w.T), matmul(x.T, ds)


def dense_backward_weights(ds, cache):
    """Equals `dense.dense_backward`, but for dx, which is None: what is below has nothing to learn."""
    x, w = cache
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("ds", ds, "N M"))
    return None, matmul(x.T, ds)


def binary_dense_forward(x, w):
    """Equals `dense.binary_dense_forward`."""
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    return dense_forward(x, sign(w))


@jit
def _sign_and_pack(w, w_b, packed, start, stop):
    """Signs of columns start to stop of w (D, M), as floats and as the words of its rows transposed (M, words)."""
    one, zero = w.dtype.type(1), np.uint64(0)
    word = np.empty(stop - start, np.uint64)
    for first in range(0, w.shape[0], 64):
        word[:] = 0
        for d in range(first, min(first + 64, w.shape[0])):
            bit = np.uint64(1) << np.uint64(d - first)
            row, row_b = w[d, start:stop], w_b[d, start:stop]
            for j in range(len(row)):
                row_b[j] = one if row[j] >= 0 else -one
                word[j] |= bit if row[j] >= 0 else zero
        for j in range(stop - start):
            packed[start + j, first // 64] = word[j]


def sign_and_pack(w):
    """(sign(w), `bits.pack` of its transpose): the weights as backward and as forward want them, in one reading.

    w: (D, M), float32 or float64, C-contiguous. Returns (D, M) of w's dtype and uint64 (M, words of D).
    """
    w_b = empty(w.shape, w.dtype)
    packed = np.empty((w.shape[1], bits.words(len(w))), np.uint64)

    def panels(start, stop):
        for panel in range(start, stop):
            _sign_and_pack(w, w_b, packed, panel * PANEL, min((panel + 1) * PANEL, w.shape[1]))

    pieces(panels, -(-w.shape[1] // PANEL), len(w) * PANEL)
    return w_b, packed


@jit
def _to_float(s, out):
    for i in range(len(s)):
        out[i] = s[i]


def xnor_dense_forward(x, w):
    """Equals `dense.binary_dense_forward` where x holds nothing but ±1: the product runs on bits.

    Below 2²⁴ (float32) both are exact integers. x: (N, D), ±1, not looked at; w: (D, M).
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    if not contiguous(x, w):
        return binary_dense_forward(x, w)
    w_b, packed = sign_and_pack(w)
    integers = ladder.xnor_matmul(bits.pack(x), packed, len(w)).reshape(-1)
    s = empty((len(x), w.shape[1]), x.dtype)
    flat = s.reshape(-1)
    pieces(lambda start, stop: _to_float(integers[start:stop], flat[start:stop]), s.size, 1)
    return s, (x, w_b)
