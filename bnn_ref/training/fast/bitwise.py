"""The layers of bitwise networks for training, each equal to the readable function of its name, bit for bit.

What costs there beside the products is that weights are squeezed, or rounded, anew in every step: here in one pass,
into memory that the step before has used. Arrays that are not C-contiguous go to the readable function.
"""

import numpy as np

from ...kernels.compiled import jit
from ...kernels.recycle import empty
from ...ops import bitwise
from ...ops.checks import check_float, check_shapes
from .dense import contiguous, matmul, pieces


def compressed_dense_forward(x, w, b):
    """Equals `bitwise.compressed_dense_forward`."""
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("b", b, "M"))
    if not contiguous(x, w):
        return bitwise.compressed_dense_forward(x, w, b)
    tanh_w, tanh_b = np.tanh(w, out=empty(w.shape, w.dtype)), np.tanh(b)
    a = matmul(x, tanh_w)
    a += tanh_b
    return a, (x, tanh_w, tanh_b)


@jit
def _through_tanh(dw, tanh_w):
    one = dw.dtype.type(1)
    for i in range(len(dw)):
        dw[i] *= one - tanh_w[i] * tanh_w[i]


def compressed_dense_backward_weights(da, cache):
    """Equals `bitwise.compressed_dense_backward`, but for dx, which is None: what is below has nothing to learn."""
    x, tanh_w, tanh_b = cache
    check_shapes(("x", x, "N D"), ("w", tanh_w, "D M"), ("da", da, "N M"))
    dw = matmul(x.T, da)
    flat, tanh_flat = dw.reshape(-1), tanh_w.reshape(-1)
    pieces(lambda start, stop: _through_tanh(flat[start:stop], tanh_flat[start:stop]), dw.size, 1)
    return None, dw, da.sum(axis=0) * (1 - tanh_b * tanh_b)


def compressed_dense_backward(da, cache):
    """Equals `bitwise.compressed_dense_backward`."""
    _, dw, db = compressed_dense_backward_weights(da, cache)
    return matmul(da, cache[1].T), dw, db


@jit
def _round(w, beta, out):
    zero, one = w.dtype.type(0), w.dtype.type(1)
    for i in range(len(w)):
        out[i] = (one if w[i] >= zero else -one) if abs(w[i]) >= beta else zero


def bitwise_weights(w, beta):
    """Equals `bitwise.bitwise_weights`."""
    check_float("w", w)
    check_shapes(("beta", beta, ""))
    if not contiguous(w):
        return bitwise.bitwise_weights(w, beta)
    out = empty(w.shape, w.dtype)
    flat, out_flat, number = w.reshape(-1), out.reshape(-1), w.dtype.type(beta)
    pieces(lambda start, stop: _round(flat[start:stop], number, out_flat[start:stop]), w.size, 1)
    return out


def bitwise_dense_forward(x, w, b, beta_w, beta_b):
    """Equals `bitwise.bitwise_dense_forward`."""
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("b", b, "M"), ("beta_w", beta_w, ""), ("beta_b", beta_b, ""))
    w_b = bitwise_weights(w, beta_w)
    a = matmul(x, w_b)
    a += bitwise_weights(b, beta_b)
    return a, (x, w_b), beta_w, beta_b


def bitwise_dense_backward_weights(da, cache):
    """Equals `bitwise.bitwise_dense_backward`, but for dx, which is None."""
    x, w_b = cache
    check_shapes(("x", x, "N D"), ("w", w_b, "D M"), ("da", da, "N M"))
    return None, matmul(x.T, da), da.sum(axis=0)


def bitwise_dense_backward(da, cache):
    """Equals `bitwise.bitwise_dense_backward`."""
    _, dw, db = bitwise_dense_backward_weights(da, cache)
    return matmul(da, cache[1].T), dw, db
