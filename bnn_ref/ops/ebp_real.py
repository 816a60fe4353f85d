"""Expectation backpropagation of real weights, each normal with a mean to learn and the variance 1.

The layer is that of `ebp`; the mean weight is the parameter itself.
"""

import numpy as np

from .checks import check_shapes
from .ebp import check_means, known_inputs, layer_forward, layer_frozen, layer_gradients, random_signs


def real_moments(h):
    """<W> = h, Var W = 1, for a normal W [EBP-W]. Returns h: (D, M) and the variance (D, 1), one for all M."""
    check_shapes(("h", h, "D M"))
    return h, np.ones((len(h), 1), h.dtype)


def ebp_real_first_dense_forward(x, h, b):
    """z = μ/σ, μ = Σ x h + b, σ² = Σ x² + 1: the first layer, normal weights of mean h and variance 1 [EBP-4.1].

    x: (N, D), any known numbers; h: (D, M); b: (M,). Returns (z, cache), z: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("h", h, "D M"), ("b", b, "M"))
    return layer_forward(known_inputs, x, real_moments(h), b)


def ebp_real_first_dense_backward(dz, cache):
    """dx = dμ hᵀ, dh = xᵀ dμ, db = Σ dμ, with dμ = dz/σ [EBP-4.4] [EBP-4.5].

    **ESTIMATOR of** `ebp_real_first_dense_surrogate`, of which only the constant σ is left: h is the mean weight.
    dz: (N, M). Returns dx: (N, D), dh: (D, M), db: (M,).
    """
    return layer_gradients(dz, cache)


def ebp_real_first_dense_surrogate(x0, h0, b0):
    """z = (Σ x h + b) / σ(x0): σ frozen."""
    frozen = layer_frozen(ebp_real_first_dense_forward(x0, h0, b0)[1])
    return lambda x, h, b: frozen(x, h - h0, b)


def ebp_real_dense_forward(x, h, b):
    """z = μ/σ, μ = Σ x h + b, σ² = K + Σ (1 - x²) h²: every later layer, normal weights [EBP-4.1].

    x: (N, D), the means of the signs below; h: (D, M); b: (M,). Returns (z, cache), z: (N, M). The authors' code has
    K + 1 in place of K, counting the variance of the bias twice. Raises TypeError or ValueError where dtypes or shapes
    do not fit, or where x is not within [-1, 1].
    """
    check_shapes(("x", x, "N D"), ("h", h, "D M"), ("b", b, "M"))
    check_means(x)
    return layer_forward(random_signs, x, real_moments(h), b)


def ebp_real_dense_backward(dz, cache):
    """dx = dμ hᵀ, dh = xᵀ dμ, db = Σ dμ, with dμ = dz/σ [EBP-4.4] [EBP-4.5].

    **ESTIMATOR of** `ebp_real_dense_surrogate`. dz: (N, M). Returns dx: (N, D), dh: (D, M), db: (M,).
    """
    return layer_gradients(dz, cache)


def ebp_real_dense_surrogate(x0, h0, b0):
    """z = (Σ x h + b) / σ(x0, h0): σ frozen."""
    frozen = layer_frozen(ebp_real_dense_forward(x0, h0, b0)[1])
    return lambda x, h, b: frozen(x, h - h0, b)


def ebp_real_map_dense_forward(x, h, b):
    """s = x h + b: a layer of the most probable weights, which are the means; test time only [EBP-D].

    x: (N, D); h: (D, M); b: (M,). Returns (s, None), s: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("h", h, "D M"), ("b", b, "M"))
    return x @ h + b, None
