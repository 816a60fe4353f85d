"""The dense product s = x w, with real weights and with binary ones.

There is no bias in it: in these networks batch normalization follows every product, cancels a bias in front of it
and brings one of its own (beta). `bias_forward` is there for networks without batch normalization.
"""

from .binarize import sign, stochastic_sign
from .checks import check_float, check_like, check_shapes


def dense_forward(x, w):
    """s = x w [DENSE-1].

    x: (N, D) inputs; w: (D, M) weights; float32 or float64. Returns (s, cache), s: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    return x @ w, (x, w)


def dense_backward(ds, cache):
    """dx = ds wᵀ, dw = xᵀ ds; **exact** [DENSE-2]. ds: (N, M). Returns dx: (N, D), dw: (D, M)."""
    x, w = cache
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("ds", ds, "N M"))
    return ds @ w.T, x.T @ ds


# --- deterministic binary weights ----------------------------------------------------------------------------------


def binary_dense_forward(x, w):
    """s = x w_b with w_b = sign(w) [BC-A1] [BNN-A1].

    x: (N, D), real (BinaryConnect) or ±1 (BNN); w: (D, M), the real weights. Returns (s, cache), s: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    return dense_forward(x, sign(w))


def binary_dense_backward(ds, cache):
    """dx = ds w_bᵀ, dw = xᵀ ds: the gradient at the binary weights moves the real ones [BC-A1] [BNN-A1].

    **ESTIMATOR of** `binary_dense_surrogate`, no mask: clipping keeps |w| <= 1, which does the same.
    ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense_backward(ds, cache)


def binary_dense_surrogate(x0, w0):
    """s = x (sign(w0) + w - w0): the binary weights at w0, slope 1 around them."""
    offset = sign(w0) - w0
    return lambda x, w: dense_forward(x, offset + w)


# --- stochastic binary weights -------------------------------------------------------------------------------------


def stochastic_binary_dense_forward(x, w, u):
    """s = x w_b with w_b the stochastic sign of w; one draw u a minibatch [BC-A1] [BC-2].

    x: (N, D); w: (D, M), the real weights; u: (D, M), uniform numbers from [0, 1).
    Returns (s, cache), s: (N, M); the cache keeps w_b, so the same draw serves the backward pass.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("u", u, "D M"))
    return dense_forward(x, stochastic_sign(w, u))


def stochastic_binary_dense_backward(ds, cache):
    """dx = ds w_bᵀ, dw = xᵀ ds with the w_b that forward drew [BC-A1].

    **ESTIMATOR of** `stochastic_binary_dense_surrogate`. ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense_backward(ds, cache)


def stochastic_binary_dense_surrogate(x0, w0, u):
    """s = x (w_b(w0, u) + w - w0): the drawn weights at w0, slope 1 around them."""
    offset = stochastic_sign(w0, u) - w0
    return lambda x, w, u: dense_forward(x, offset + w)


# --- bias ----------------------------------------------------------------------------------------------------------


def bias_forward(s, b):
    """out = s + b, one number per unit of (N, M) or per channel of (N, C, H, W) [DENSE-3].

    s: (N, M) or (N, C, H, W); b: (M,) or (C,). Returns (out, cache), out as s.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_float("s", s)
    check_shapes(("s", s, "N M" if s.ndim == 2 else "N M H W"), ("b", b, "M"))
    return s + b.reshape(-1, *(1,) * (s.ndim - 2)), s


def bias_backward(dout, cache):
    """ds = dout, db = the sum of dout over everything but the unit; **exact**. Returns ds: as s, db: (M,)."""
    s = cache
    check_like("dout", dout, "s", s)
    return dout.copy(), dout.sum(axis=tuple(axis for axis in range(s.ndim) if axis != 1))
