"""Quantized back-propagation: products whose backward pass needs no multiplications either.

Binary or ternary weights leave one product of real numbers in a layer, the weight gradient xᵀ ds; here the x in it,
and only there, is rounded at random to a power of two, so that it shifts ds.
"""

from .binarize import stochastic_sign
from .checks import check_shapes
from .conv import conv_backward, conv_forward
from .dense import dense_backward, dense_forward
from .powers import stochastic_power_of_two
from .ternary import stochastic_ternary

# The authors' code rounds the input of every layer, of the first one too, the raw pictures; so does this. Its dense
# layers take the ds in dw from above batch normalization, whose derivative is then missing from dw, as a comment there
# admits; here dx and dw come from one ds, the one that batch normalization passes down.


# --- what both kinds of weights share ------------------------------------------------------------------------------


def _dense_forward(x, w_q, r, low, high):
    s, _ = dense_forward(x, w_q)
    return s, (stochastic_power_of_two(x, r, low, high), w_q)     # where `dense_backward` looks for x


def _dense_surrogate(x0, w0, w_q, r, low, high):
    x_q = stochastic_power_of_two(x0, r, low, high)
    return lambda x, w, *_: (dense_forward(x, w_q)[0] + dense_forward(x_q, w - w0)[0], None)


def _conv_forward(x, w_q, r, geometry, low, high):
    s, _ = conv_forward(x, w_q, *geometry)
    return s, (stochastic_power_of_two(x, r, low, high), w_q, *geometry)      # where `conv_backward` looks for x


def _conv_surrogate(x0, w0, w_q, r, geometry, low, high):
    x_q = stochastic_power_of_two(x0, r, low, high)
    return lambda x, w, *_: (conv_forward(x, w_q, *geometry)[0] + conv_forward(x_q, w - w0, *geometry)[0], None)


# --- dense, binary weights -----------------------------------------------------------------------------------------


def binary_few_mult_dense_forward(x, w, u, r, low=None, high=None):
    """s = x w_b with w_b the stochastic sign of w; x̃, x rounded to powers of two, is for backward [BC-2] [FM-4].

    x: (N, D), real; w: (D, M), the real weights; u: (D, M) and r: (N, D), uniform numbers from [0, 1), the draws of w_b
    and of x̃; low, high: limits of the exponents as in `powers.stochastic_power_of_two` (the authors' dense layers
    have none). Returns (s, cache), s: (N, M). Raises TypeError or ValueError where arguments do not fit.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("u", u, "D M"), ("r", r, "N D"))
    return _dense_forward(x, stochastic_sign(w, u), r, low, high)


def binary_few_mult_dense_backward(ds, cache):
    """dx = ds w_bᵀ, dw = x̃ᵀ ds: changes of sign in the one, shifts in the other [FM-4].

    **ESTIMATOR of** `binary_few_mult_dense_surrogate`; without limits the mean of dw over r is xᵀ ds.
    ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense_backward(ds, cache)


def binary_few_mult_dense_surrogate(x0, w0, u, r, low=None, high=None):
    """s = x w_b + x̃ (w - w0) with w_b and x̃ drawn at (x0, w0): forward's value there, and x̃ as its slope in w."""
    return _dense_surrogate(x0, w0, stochastic_sign(w0, u), r, low, high)


# --- dense, ternary weights ----------------------------------------------------------------------------------------


def ternary_few_mult_dense_forward(x, w, u, r, low=None, high=None):
    """s = x w_t with w_t the stochastic ternary of w; x̃, x rounded to powers of two, is for backward [FM-1] [FM-4].

    Arguments, result and errors as in `binary_few_mult_dense_forward`.
    """
    check_shapes(("x", x, "N D"), ("w", w, "D M"), ("u", u, "D M"), ("r", r, "N D"))
    return _dense_forward(x, stochastic_ternary(w, u), r, low, high)


def ternary_few_mult_dense_backward(ds, cache):
    """dx = ds w_tᵀ, dw = x̃ᵀ ds [FM-4].

    **ESTIMATOR of** `ternary_few_mult_dense_surrogate`; without limits the mean of dw over r is xᵀ ds.
    ds: (N, M). Returns dx: (N, D), dw: (D, M).
    """
    return dense_backward(ds, cache)


def ternary_few_mult_dense_surrogate(x0, w0, u, r, low=None, high=None):
    """s = x w_t + x̃ (w - w0) with w_t and x̃ drawn at (x0, w0): forward's value there, and x̃ as its slope in w."""
    return _dense_surrogate(x0, w0, stochastic_ternary(w0, u), r, low, high)


# --- convolution, binary weights -----------------------------------------------------------------------------------


def binary_few_mult_conv_forward(x, w, u, r, stride, pad, pad_value, low=None, high=None):
    """s = x ⋆ w_b with w_b the stochastic sign of w; x̃ is kept for backward [BC-2] [FM-4].

    x: (N, C, H, W), real; w: (M, C, KH, KW), real; u: as w and r: as x, uniform numbers from [0, 1), the draws of w_b
    and of x̃; low, high: limits of the exponents as in `powers.stochastic_power_of_two` (the authors' convolutions
    have -4 and 3). The border holds pad_value unrounded: 0 or a power of two, where no multiplication is to remain.
    Returns (s, cache), s: (N, M, OH, OW), sizes as in `conv.im2col`. Raises TypeError or ValueError where arguments
    do not fit.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"), ("u", u, "M C KH KW"), ("r", r, "N C H W"))
    return _conv_forward(x, stochastic_sign(w, u), r, (stride, pad, pad_value), low, high)


def binary_few_mult_conv_backward(ds, cache):
    """As `conv.conv_backward` at w_b, with x̃ in the weight gradient [FM-4].

    **ESTIMATOR of** `binary_few_mult_conv_surrogate`; without limits dw has the mean over r of the unrounded one.
    ds: (N, M, OH, OW). Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv_backward(ds, cache)


def binary_few_mult_conv_surrogate(x0, w0, u, r, stride, pad, pad_value, low=None, high=None):
    """s = x ⋆ w_b + x̃ ⋆ (w - w0) with w_b and x̃ drawn at (x0, w0)."""
    return _conv_surrogate(x0, w0, stochastic_sign(w0, u), r, (stride, pad, pad_value), low, high)


# --- convolution, ternary weights ----------------------------------------------------------------------------------


def ternary_few_mult_conv_forward(x, w, u, r, stride, pad, pad_value, low=None, high=None):
    """s = x ⋆ w_t with w_t the stochastic ternary of w; x̃ is kept for backward [FM-1] [FM-4].

    Arguments, result and errors as in `binary_few_mult_conv_forward`.
    """
    check_shapes(("x", x, "N C H W"), ("w", w, "M C KH KW"), ("u", u, "M C KH KW"), ("r", r, "N C H W"))
    return _conv_forward(x, stochastic_ternary(w, u), r, (stride, pad, pad_value), low, high)


def ternary_few_mult_conv_backward(ds, cache):
    """As `conv.conv_backward` at w_t, with x̃ in the weight gradient [FM-4].

    **ESTIMATOR of** `ternary_few_mult_conv_surrogate`; without limits dw has the mean over r of the unrounded one.
    ds: (N, M, OH, OW). Returns dx: (N, C, H, W), dw: (M, C, KH, KW).
    """
    return conv_backward(ds, cache)


def ternary_few_mult_conv_surrogate(x0, w0, u, r, stride, pad, pad_value, low=None, high=None):
    """s = x ⋆ w_t + x̃ ⋆ (w - w0) with w_t and x̃ drawn at (x0, w0)."""
    return _conv_surrogate(x0, w0, stochastic_ternary(w0, u), r, (stride, pad, pad_value), low, high)
