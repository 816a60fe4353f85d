"""Expectation backpropagation of weights that are -1, 0 or +1, known by the log-odds of +1 and of -1, each against 0.

The layer is that of `ebp`, with two parameters in the place of one. The paper does not spell these weights out; they
follow from its update, which multiplies the probability of each value by a likelihood exp(g W) [EBP-4.5].
"""

import numpy as np

from .binarize import sign
from .checks import check_float, check_like, check_shapes
from .ebp import check_means, known_inputs, layer_forward, layer_frozen, layer_gradients, random_signs


def ternary_moments(hp, hm):
    """<W> = p₊ - p₋, Var W = p₊ + p₋ - <W>², with p₊ : p₀ : p₋ = exp(hp) : 1 : exp(hm) [EBP-W]. Returns both, as hp."""
    check_float("hp", hp)
    check_like("hm", hm, "hp", hp)
    top = np.maximum(0, np.maximum(hp, hm))               # the largest exponential is 1: none overflows
    plus, zero, minus = np.exp(hp - top), np.exp(-top), np.exp(hm - top)
    total = plus + zero + minus
    w_mean = (plus - minus) / total
    return w_mean, (plus + minus) / total - w_mean * w_mean


def ebp_ternary_first_dense_forward(x, hp, hm, b):
    """z = μ/σ, μ = Σ x <W> + b, σ² = Σ x² Var W + 1: the first layer, weights -1, 0, +1 [EBP-4.1].

    x: (N, D), any known numbers; hp, hm: (D, M), the log-odds of +1 and of -1, each against 0; b: (M,).
    Returns (z, cache), z: (N, M). Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("hp", hp, "D M"), ("hm", hm, "D M"), ("b", b, "M"))
    return layer_forward(known_inputs, x, ternary_moments(hp, hm), b)


def ebp_ternary_first_dense_backward(dz, cache):
    """dx = dμ <W>ᵀ, dhp = xᵀ dμ, dhm = -dhp, db = Σ dμ, with dμ = dz/σ [EBP-4.5].

    **ESTIMATOR of** `ebp_ternary_first_dense_surrogate`: a likelihood exp(g W) adds g to the log-odds of +1 and takes
    it from those of -1. dz: (N, M). Returns dx: (N, D), dhp, dhm: (D, M), db: (M,).
    """
    dx, dw, db = layer_gradients(dz, cache)
    return dx, dw, -dw, db


def ebp_ternary_first_dense_surrogate(x0, hp0, hm0, b0):
    """As `ebp_first_dense_surrogate`, with the mean weight of slope 1 in hp and -1 in hm."""
    frozen = layer_frozen(ebp_ternary_first_dense_forward(x0, hp0, hm0, b0)[1])
    return lambda x, hp, hm, b: frozen(x, (hp - hp0) - (hm - hm0), b)


def ebp_ternary_dense_forward(x, hp, hm, b):
    """z = μ/σ, μ = Σ x <W> + b, σ² = Σ (<W²> - x² <W>²) + 1: every later layer, weights -1, 0, +1 [EBP-4.1].

    x: (N, D), the means of the signs below; hp, hm: (D, M), the log-odds of +1 and of -1, each against 0; b: (M,).
    Returns (z, cache), z: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit, or where x is not within [-1, 1].
    """
    check_shapes(("x", x, "N D"), ("hp", hp, "D M"), ("hm", hm, "D M"), ("b", b, "M"))
    check_means(x)
    return layer_forward(random_signs, x, ternary_moments(hp, hm), b)


def ebp_ternary_dense_backward(dz, cache):
    """dx = dμ <W>ᵀ, dhp = xᵀ dμ, dhm = -dhp, db = Σ dμ, with dμ = dz/σ [EBP-4.5].

    **ESTIMATOR of** `ebp_ternary_dense_surrogate`. dz: (N, M). Returns dx: (N, D), dhp, dhm: (D, M), db: (M,).
    """
    dx, dw, db = layer_gradients(dz, cache)
    return dx, dw, -dw, db


def ebp_ternary_dense_surrogate(x0, hp0, hm0, b0):
    """As `ebp_dense_surrogate`, with the mean weight of slope 1 in hp and -1 in hm."""
    frozen = layer_frozen(ebp_ternary_dense_forward(x0, hp0, hm0, b0)[1])
    return lambda x, hp, hm, b: frozen(x, (hp - hp0) - (hm - hm0), b)


def most_probable(hp, hm):
    """The most probable of -1, 0, +1; where two are, +1 goes before -1 and -1 before 0 [EBP-D].

    hp, hm: log-odds of +1 and of -1, each against 0. Returns an array like hp.
    """
    check_float("hp", hp)
    check_like("hm", hm, "hp", hp)
    return np.where(np.maximum(hp, hm) >= 0, sign(hp - hm), 0).astype(hp.dtype)


def ebp_ternary_map_dense_forward(x, hp, hm, b):
    """s = x w + b, w = most_probable(hp, hm); test time only [EBP-D].

    x: (N, D); hp, hm: (D, M); b: (M,). Returns (s, None), s: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("hp", hp, "D M"), ("hm", hm, "D M"), ("b", b, "M"))
    return x @ most_probable(hp, hm) + b, None
