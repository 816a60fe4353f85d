"""Ternary weights, -1, 0 or +1: a product with one adds, subtracts or skips, and a weight can be absent.

They stand where the binary ones do: drawn or rounded anew in each forward pass from the real weights, which the
gradient at the ternary ones moves.
"""

from .checks import check_draw, check_numbers, check_shapes
from .conv import conv_backward, conv_forward
from .dense import dense_backward, dense_forward


def ternary(w):
    """w_t = +1 where w > 1/2, -1 where w <= -1/2, else 0: deterministic ternary connect [FM-2].

    w: float array of any shape. Returns the same shape and dtype. The two boundaries are not alike: 1/2 becomes 0 and
    -1/2 becomes -1.
    """
    check_numbers("w", w)
    return (w > 0.5).astype(w.dtype) - (w <= -0.5)


def stochastic_ternary(w, u):
    """w_t = +1 where u < w, -1 where u < -w, else 0: P(sgn w) = |w|, and the mean over u is clip(w, -1, 1) [FM-1].

    w: float array of any shape; u: uniform numbers from [0, 1), same shape and dtype. Returns the same shape and dtype.
    """
    check_numbers("w", w)
    check_draw("u", u, w)
    return (u < w).astype(w.dtype) - (u < -w)


# --- dense, deterministic ------------------------------------------------------------------------------------------


def ternary_dense_forward(x, w):
    """s = x w_t with w_t = ternary(w) [FM-2].

    x: (N, D); w: (D, M), the real weights. Returns (s, cache), s: (N, M).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"))
    return dense_forward(x, ternary(w))


def ternary_dense_backward(ds, cache):
    """dx = ds w_tᵀ, dw = xᵀ ds: the gradient at the ternary weights moves the real ones [FM-2].

    **ESTIMATOR of** `ternary_dense_surrogate`, no mask: clipping keeps |w| <= 1.
    ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense_backward(ds, cache)


def ternary_dense_surrogate(x0, w0):
    """s = x (ternary(w0) + w - w0): the ternary weights at w0, slope 1 around them."""
    offset = ternary(w0) - w0
    return lambda x, w: dense_forward(x, offset + w)


# --- dense, stochastic ---------------------------------------------------------------------------------------------


def stochastic_ternary_dense_forward(x, w, u):
    """s = x w_t with w_t the stochastic ternary of w; one draw u a minibatch [FM-1].

    x: (N, D); w: (D, M), the real weights; u: (D, M), uniform numbers from [0, 1).
    Returns (s, cache), s: (N, M); the cache keeps w_t, so the same draw serves the backward pass.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("u", u, "D M"))
    return dense_forward(x, stochastic_ternary(w, u))


def stochastic_ternary_dense_backward(ds, cache):
    """dx = ds w_tᵀ, dw = xᵀ ds with the w_t that forward drew [FM-1].

    **ESTIMATOR of** `stochastic_ternary_dense_surrogate`. ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense_backward(ds, cache)


def stochastic_ternary_dense_surrogate(x0, w0, u):
    """s = x (w_t(w0, u) + w - w0): the drawn weights at w0, slope 1 around them."""
    offset = stochastic_ternary(w0, u) - w0
    return lambda x, w, u: dense_forward(x, offset + w)


# --- convolution, deterministic ------------------------------------------------------------------------------------


def ternary_conv_forward(x, w, stride, pad, pad_value):
    """s = x ⋆ w_t with w_t = ternary(w) [FM-2].

    x: (N, C, H, W); w: (M, C, KH, KW), real. Returns (s, cache), s: (N, M, OH, OW), sizes as in `conv.im2col`.
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"))
    return conv_forward(x, ternary(w), stride, pad, pad_value)


def ternary_conv_backward(ds, cache):
    """As `conv.conv_backward` at the ternary weights; the gradient there moves the real ones [FM-2].

    **ESTIMATOR of** `ternary_conv_surrogate`. ds: (N, M, OH, OW). Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv_backward(ds, cache)


def ternary_conv_surrogate(x0, w0, stride, pad, pad_value):
    """s = x ⋆ (ternary(w0) + w - w0): the ternary weights at w0, slope 1 around them."""
    offset = ternary(w0) - w0
    return lambda x, w, *geometry: conv_forward(x, offset + w, *geometry)


# --- convolution, stochastic ---------------------------------------------------------------------------------------


def stochastic_ternary_conv_forward(x, w, u, stride, pad, pad_value):
    """s = x ⋆ w_t with w_t the stochastic ternary of w; one draw u a minibatch [FM-1].

    x: (N, C, H, W); w: (M, C, KH, KW), real; u: as w, uniform numbers from [0, 1). Returns (s, cache).
    Raises TypeError or ValueError where dtypes or shapes do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"), ("u", u, "M C KH KW"))
    return conv_forward(x, stochastic_ternary(w, u), stride, pad, pad_value)


def stochastic_ternary_conv_backward(ds, cache):
    """As `conv.conv_backward` with the w_t that forward drew [FM-1].

    **ESTIMATOR of** `stochastic_ternary_conv_surrogate`. Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv_backward(ds, cache)


def stochastic_ternary_conv_surrogate(x0, w0, u, stride, pad, pad_value):
    """s = x ⋆ (w_t(w0, u) + w - w0): the drawn weights at w0, slope 1 around them."""
    offset = stochastic_ternary(w0, u) - w0
    return lambda x, w, u, *geometry: conv_forward(x, offset + w, *geometry)
