"""Few Multiplications and BNN's AP2, one number at a time: loops and fractions written from the papers' sentences.

Exponents are found by doubling and halving exact fractions, not by reading them off the number. Nothing is shared
with the package; the products are the loops of naive.py.
"""

import math
from fractions import Fraction

import numpy as np

from tests.ops import naive


def _entries(function, *arrays):
    """function(number, ...) for each entry of arrays of one shape."""
    out = np.zeros(arrays[0].shape)
    for index in np.ndindex(out.shape):
        out[index] = function(*(float(array[index]) for array in arrays))
    return out


# --- powers of two -------------------------------------------------------------------------------------------------


def floor_log2(x):
    """The i with 2^i <= |x| < 2^(i+1), for one number other than 0."""
    rest, i = abs(Fraction(x)), 0
    while rest >= 2:
        rest, i = rest / 2, i + 1
    while rest < 1:
        rest, i = rest * 2, i - 1
    return i


def _signed(x, power):
    """The fraction `power` as a float with the sign of x; infinite where there is none so large."""
    try:
        return math.copysign(float(power), x)
    except OverflowError:
        return math.copysign(math.inf, x)


def ap2(x):
    """sgn(x) 2^round(log2|x|) (BNN Algorithm 3): up from the floor i where log2|x| > i + 1/2, or x² > 2^(2i+1)."""

    def one(x):
        if x == 0 or not math.isfinite(x):
            return x
        i = floor_log2(x)
        return _signed(x, Fraction(2) ** (i + (Fraction(x) ** 2 > Fraction(2) ** (2 * i + 1))))

    return _entries(one, x)


def stochastic_power_of_two(x, r, low=None, high=None):
    """sgn(x) 2^(i+1) with probability |x|/2^i - 1, else sgn(x) 2^i, with i within its limits (FM, quantized BP)."""

    def one(x, r):
        if x == 0 or not math.isfinite(x):
            return x
        i = floor_log2(x)
        if low is not None and i < low:
            i = low
        if high is not None and i > high:
            i = high
        p = abs(Fraction(x)) / Fraction(2) ** i - 1
        return _signed(x, Fraction(2) ** (i + 1 if r < p else i))

    return _entries(one, x, r)


# --- ternary weights -----------------------------------------------------------------------------------------------


def ternary(w):
    """+1 if w > 0.5, 0 if -0.5 < w <= 0.5, -1 if w <= -0.5 (FM, deterministic ternary connect)."""
    return _entries(lambda w: 1.0 if w > 0.5 else 0.0 if -0.5 < w <= 0.5 else -1.0, w)


def stochastic_ternary(w, u):
    """If w > 0: 1 with probability w, else 0. If not: -1 with probability -w, else 0 (FM, ternary connect)."""

    def one(w, u):
        if w > 0:
            return 1.0 if u < w else 0.0
        return -1.0 if u < -w else 0.0

    return _entries(one, w, u)


# --- products ------------------------------------------------------------------------------------------------------


def few_mult_dense_backward(ds, x, w_q, r, low=None, high=None):
    """The error goes down through the drawn weights; the weight gradient has the rounded inputs (FM, quantized BP)."""
    dx, _ = naive.dense_backward(ds, x, w_q)
    _, dw = naive.dense_backward(ds, stochastic_power_of_two(x, r, low, high), w_q)
    return dx, dw


def few_mult_conv_backward(ds, x, w_q, r, stride, pad, pad_value, low=None, high=None):
    """The same for convolutions: a pixel is rounded once, whatever the number of patches that it is in."""
    dx, _ = naive.conv_backward(ds, x, w_q, stride, pad, pad_value)
    _, dw = naive.conv_backward(ds, stochastic_power_of_two(x, r, low, high), w_q, stride, pad, pad_value)
    return dx, dw


# --- arrays to compare on ------------------------------------------------------------------------------------------


def wide(rng, shape, dtype=np.float64, layout="contiguous"):
    """Numbers of many sizes, 2^-30 to 2^30, exact powers of two and 0 among them, read-only."""
    x = np.asarray(np.ldexp(rng.standard_normal(shape), rng.integers(-30, 31, shape)), dtype)
    x.reshape(-1)[:6] = [0, 1, -2, 0.0625, 8, -16][:x.size]
    return naive.read_only(naive.LAYOUTS[layout](x))


def thirds(rng, shape, dtype=np.float64, layout="contiguous"):
    """Weights in [-1.25, 1.25] with exact 0, ±1/2 and ±1 among them, where ternary weights change, read-only."""
    w = np.asarray(rng.uniform(-1.25, 1.25, shape), dtype)
    w.reshape(-1)[:5] = [0.5, -0.5, 0, -1, 1][:w.size]
    return naive.read_only(naive.LAYOUTS[layout](w))
