"""Bitwise neural networks (KS): a network of ±1 trained in two rounds, and the codings of pictures that it reads.

Round 1 squeezes real weights and units through tanh, into the range between -1 and +1; round 2 starts from there,
rounds all of them in the forward pass, and lets the gradient at the rounded numbers move the real ones. Letters as in
the paper: a = x w + b is what arrives at the units, z is what they send on.
"""

import numpy as np

from .binarize import sign
from .checks import check_float, check_like, check_not_empty, check_number, check_shapes


def _positive(name, value):
    return check_number(name, value, "a number > 0", lambda value: value > 0)


# --- round 1: everything through tanh ------------------------------------------------------------------------------


def tanh_forward(a):
    """z = tanh(a), the units of round 1 [KS-5]. a: float array of any shape. Returns (z, cache), z as a."""
    check_float("a", a)
    z = np.tanh(a)
    return z, z


def tanh_backward(dz, cache):
    """da = dz (1 - tanh² a); **exact** [KS-6]. dz: as a. Returns da, as a."""
    z = cache
    check_like("dz", dz, "a", z)
    return dz * (1 - z * z)


def compressed_dense_forward(x, w, b):
    """a = x tanh(w) + tanh(b): weights of any size act as weights between -1 and +1 [KS-5].

    x: (N, D) inputs; w: (D, M) and b: (M,), the real parameters. Returns (a, cache), a: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("b", b, "M"))
    tanh_w, tanh_b = np.tanh(w), np.tanh(b)
    return x @ tanh_w + tanh_b, (x, tanh_w, tanh_b)


def compressed_dense_backward(da, cache):
    """dx = da tanh(w)ᵀ, dw = xᵀ da (1 - tanh² w), db = Σ da (1 - tanh² b), Σ over the batch; **exact** [KS-6].

    da: (N, M). Returns dx: (N, D), dw: (D, M), db: (M,).
    """
    x, tanh_w, tanh_b = cache
    check_shapes(("x", x, "N D"), ("w", tanh_w, "D M"), ("da", da, "N M"))
    return da @ tanh_w.T, x.T @ da * (1 - tanh_w * tanh_w), da.sum(axis=0) * (1 - tanh_b * tanh_b)


# --- round 2: weights and biases of -1, 0 and +1 -------------------------------------------------------------------


def boundary(w, sparsity):
    """β = the λ-quantile of |w|, the boundary of the dead zone [KS §3.2].

    w: the real weights (or biases) of one layer, any shape; sparsity: λ, the wanted fraction of zeros, 0 <= λ < 1.
    Returns β as a 0-d array of w's dtype. Of n weights the ⌊λ n⌋ smallest fall below it (fewer where several have
    the magnitude β: those stay); where that is none at all, β is 0 and there is no dead zone.
    Raises TypeError for anything but a float array, ValueError for λ out of range.
    """
    check_float("w", w)
    sparsity = check_number("sparsity", sparsity, "a fraction 0 <= λ < 1", lambda sparsity: 0 <= sparsity < 1)
    zeros = int(round(sparsity * w.size, 6))       # 0.29 · 100 is 28.999999999999996 in floats
    if zeros == 0:
        return np.zeros((), w.dtype)     # not min |w|: weights that move later must find no zone to fall into
    return np.array(np.partition(np.abs(w), zeros, axis=None)[zeros])


def bitwise_weights(w, beta):
    """w_b = +1 where w >= β, -1 where w <= -β, else 0: an inactive weight [KS §3.2].

    w: float array of any shape; beta: β, a 0-d array like w. Returns w_b, as w.
    The paper prints w > β and w < -β, which leaves open the weight *at* the quantile, and what β makes no zeros. Here
    β is the least magnitude that stays, and β = 0 makes w_b = sign(w), with sign(0) = +1.
    Raises TypeError or ValueError for arrays that do not fit.
    """
    check_float("w", w)
    check_shapes(("beta", beta, ""))
    return np.where(np.abs(w) >= beta, sign(w), 0)


def refresh_boundaries(w, b, sparsity):
    """β of a layer's weights and β of its biases, each the λ-quantile of its own magnitudes [KS §3.2].

    w: (D, M); b: (M,); sparsity: λ. Returns (beta_w, beta_b), 0-d arrays. Biases grow otherwise than weights: with
    the weights' boundary their fraction of zeros would be anything but λ. Raises as `boundary` does.
    """
    check_shapes(("w", w, "D M"), ("b", b, "M"))
    return boundary(w, sparsity), boundary(b, sparsity)


def sparsity_of(w_b):
    """The fraction of zeros in w_b: λ as it came out. w_b: float array of any shape, not empty. Returns a float.
    """
    check_float("w_b", w_b)
    check_not_empty("w_b", w_b)
    return float(np.mean(w_b == 0))


def bitwise_dense_forward(x, w, b, beta_w, beta_b):
    """a = x w_b + b_b, all of them -1, 0 or +1 [KS-1].

    x: (N, D); w: (D, M) and b: (M,), the real parameters; beta_w, beta_b: their boundaries, 0-d arrays.
    Returns (a, cache, beta_w, beta_b), a: (N, M). The boundaries are running arrays that one epoch does not move:
    `refresh_boundaries` takes them anew from the real parameters before the next.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("b", b, "M"), ("beta_w", beta_w, ""), ("beta_b", beta_b, ""))
    w_b, b_b = bitwise_weights(w, beta_w), bitwise_weights(b, beta_b)
    return x @ w_b + b_b, (x, w_b), beta_w, beta_b


def bitwise_dense_backward(da, cache):
    """dx = da w_bᵀ, dw = xᵀ da, db = Σ da over the batch: noisy backpropagation [KS-7].

    **ESTIMATOR of** `bitwise_dense_surrogate`: no mask, inactive weights learn like all others, and the factor
    1 - tanh² w of round 1 is gone. da: (N, M). Returns dx: (N, D), dw: (D, M), db: (M,).
    """
    x, w_b = cache
    check_shapes(("x", x, "N D"), ("w", w_b, "D M"), ("da", da, "N M"))
    return da @ w_b.T, x.T @ da, da.sum(axis=0)


def bitwise_dense_surrogate(x0, w0, b0, beta_w, beta_b):
    """a = x (w_b(w0) + w - w0) + b_b(b0) + b - b0: the rounded parameters at (w0, b0), slope 1 around them."""
    offset_w, offset_b = bitwise_weights(w0, beta_w) - w0, bitwise_weights(b0, beta_b) - b0
    return lambda x, w, b, beta_w, beta_b: (x @ (offset_w + w) + offset_b + b, None)


# --- the units of round 2 ------------------------------------------------------------------------------------------


def identity_sign_forward(a):
    """z = sign(a), with sign(0) = +1 [KS-2]. a: float array of any shape. Returns (z, cache), z as a."""
    check_float("a", a)
    return sign(a), a


def identity_sign_backward(dz, cache):
    """da = dz: the gradient passes a unit as if it were not there, however far from 0 its a is [KS-7].

    **ESTIMATOR of** `identity_sign_surrogate`. dz: as a. Returns da, as a.
    """
    a = cache
    check_like("dz", dz, "a", a)
    return dz.copy()


def identity_sign_surrogate(a0):
    """z = sign(a0) + a - a0: the value of sign at a0, slope 1 around it."""
    offset = sign(a0) - a0
    return lambda a: (offset + a, None)


def masked_sign_forward(a, width):
    """z = sign(a), the gradient to be cancelled beyond ±width; a variant that is not in the paper.

    a: float array of any shape; width: a number > 0. √(fan-in) is its natural scale: a sum of n independent ±1 has
    that standard deviation. Returns (z, cache), z as a. Raises TypeError for other arrays, ValueError for the width.
    """
    check_float("a", a)
    return sign(a), (a, _positive("width", width))


def masked_sign_backward(dz, cache):
    """da = dz where |a| <= width (the boundary included), else 0: a unit far from 0 does not turn.

    **ESTIMATOR of** `masked_sign_surrogate`. dz: as a. Returns da, as a.
    """
    a, width = cache
    check_like("dz", dz, "a", a)
    return dz * (np.abs(a) <= width)


def masked_sign_surrogate(a0, width):
    """z = sign(a0) + clip(a, -width, width) - clip(a0, -width, width): slope 1 within the width, 0 beyond."""
    offset = sign(a0) - np.clip(a0, -width, width)
    return lambda a, width: (offset + np.clip(a, -width, width), None)


def scale_forward(x, factor):
    """out = factor · x: brings outputs that are sums of a thousand ±1 into the range where a softmax can learn.

    x: float array of any shape; factor: a number > 0. The paper has no such factor; it does not change which output is
    the largest. Returns (out, cache), out as x. Raises TypeError for other arrays, ValueError for the factor.
    """
    check_float("x", x)
    factor = _positive("factor", factor)
    return factor * x, (x, factor)


def scale_backward(dout, cache):
    """dx = factor · dout; **exact**. dout: as x. Returns dx, as x."""
    x, factor = cache
    check_like("dout", dout, "x", x)
    return factor * dout


# --- codings of the input ------------------------------------------------------------------------------------------
# Three in the paper; for the first, bipolar, round 1 reads x itself and round 2 sign(x). Here x = (2p - 255) / 256 for
# a pixel p from 0 to 255, as everywhere in this package: between -1 and 1, and never 0.


def unit_pixels_forward(x):
    """out = (x + 255/256) / 2 = p/256, pixels from 0 to 1: the coding "0 or 1" in round 1 [KS §4].

    x: pixels between -1 and 1, float array of any shape. Returns (out, cache), out as x.
    """
    check_float("x", x)
    return (x + 255 / 256) / 2, x


def unit_pixels_backward(dout, cache):
    """dx = dout / 2; **exact**. dout: as x. Returns dx, as x."""
    x = cache
    check_like("dout", dout, "x", x)
    return dout / 2


def rounded_pixels_forward(x):
    """out = 1 where p >= 128, else 0, an inactive input: the coding "0 or 1" in round 2 [KS §4].

    x: pixels between -1 and 1, float array of any shape. Returns (out, cache), out as x.
    """
    check_float("x", x)
    return (x >= 0).astype(x.dtype), x


def rounded_pixels_backward(dout, cache):
    """dx = 0; **exact** but at the step from 0 to 1. dout: as x. Returns dx, as x."""
    x = cache
    check_like("dout", dout, "x", x)
    return np.zeros_like(x)


def two_bit_pixels_forward(x):
    """The two leading bits of a pixel, each an input of its own, -1 for 0: "fixed-point 2 bits", both rounds [KS §4].

    x: pixels between -1 and 1, (N, C, H, W). Returns (out, cache), out: (N, 2C, H, W), the C high bits first.
    The high bit is the sign of x, the low bit the sign of what is left: x ≈ high/2 + low/4, in four equal parts.
    The paper does not say which two numbers a bit is; with ±1 every input is active, and its product with a weight is
    an XNOR. Raises TypeError or ValueError for arrays that do not fit.
    """
    check_shapes(("x", x, "N C H W"))
    high = sign(x)
    low = sign(x - high / 2)
    out = np.concatenate([high, low], axis=1)
    return out, out


def two_bit_pixels_backward(dout, cache):
    """dx = 0; **exact** but at the steps between the four parts. dout: (N, 2C, H, W). Returns dx: (N, C, H, W)."""
    out = cache
    check_like("dout", dout, "out", out)
    return np.zeros_like(out[:, ::2])
