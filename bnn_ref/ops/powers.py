"""Powers of two: a product with one is a shift of bits, so rounding to them takes multiplications out of training.

Exponents come from `frexp`, which reads them off the number, and not from a logarithm, whose rounding errors would
decide on which side of a power of two a number falls.
"""

import numpy as np

from .checks import check_float, check_like

SQRT_HALF = 0.7071067811865475   # the last float64 below √½; converted to float32, the last float32 below it


def _signed_power(x, exponent):
    """sgn(x) 2^exponent, exactly; 0, ±inf and nan stay what they are: a network that diverged is to show it."""
    return np.where(np.isfinite(x), np.ldexp(np.sign(x), exponent), x)


def ap2(x):
    """AP2(x) = sgn(x) 2^round(log2|x|), the power of two nearest to x on a logarithmic scale; AP2(0) = 0 [BNN-A3].

    x: float array of any shape. Returns the same shape and dtype. The rounding goes up where |x| > 2^(k + 1/2): an
    irrational number, so no float is a tie. The paper's footnote takes the most significant bit of x, which would
    be floor, not round: 3 would become 2. Its formula says round, and its authors' code rounds: 3 becomes 4.

    ±inf and nan stay what they are; subnormal numbers are rounded like all others. Above 2^127.5 in float32 or
    2^1023.5 in float64 the nearest power is beyond the dtype, and the result is ±inf with NumPy's overflow warning.
    Raises TypeError for anything but float32 or float64.
    """
    check_float("x", x)
    mantissa, exponent = np.frexp(np.abs(x))             # |x| = mantissa 2^exponent, mantissa in [1/2, 1)
    return _signed_power(x, exponent - (mantissa <= SQRT_HALF))


def stochastic_power_of_two(x, r, low=None, high=None):
    """x̃ = sgn(x) 2^(i+1) with probability p, else sgn(x) 2^i: i = floor(log2|x|), p = |x| / 2^i - 1 [FM-3].

    x: float array of any shape; r: uniform numbers from [0, 1), as x: up where r < p. Returns the same shape and dtype.
    Without limits the mean over r is x itself, and 0 becomes 0.

    low, high: integers or None, limits of i, so that a shift fits into a few bits; results then reach from 2^low to
    2^(high+1) in size. What is outside is biased: |x| >= 2^(high+1) becomes 2^(high+1), and 0 < |x| < 2^low becomes
    2^low. A 0 stays 0 with limits too; the authors' code makes it -2^low, so that every unit at rest adds an error to
    the gradient. ±inf and nan stay what they are; a power beyond the dtype is ±inf with NumPy's overflow warning.
    Raises TypeError or ValueError where r is not like x, TypeError for limits that are no integers, ValueError for
    low > high.
    """
    check_float("x", x)
    check_like("r", r, "x", x)
    _check_limits(low, high)
    size = np.abs(x)
    i = np.frexp(size)[1] - 1                            # floor(log2|x|)
    if low is not None:
        i = np.maximum(i, low)
    if high is not None:
        i = np.minimum(i, high)
    p = np.ldexp(size, -i) - 1                           # below 0 under the lower limit, 1 or more above the upper
    return _signed_power(x, i + (r < p))


def exponent_histogram(x):
    """How often each floor(log2|x|) occurs in x: how many different shifts a layer's inputs would need [FM-3].

    x: float array of any shape. Returns (exponents, counts, zeros): int arrays (K,), the exponents from the smallest
    to the largest without gaps, and the number of zeros, which have no exponent; counts.sum() + zeros == x.size.
    Raises TypeError for anything but float32 or float64, ValueError for nan or inf.
    """
    check_float("x", x)
    if not np.isfinite(x).all():
        raise ValueError("x: expected finite numbers, got nan or inf")
    found = np.frexp(x[x != 0])[1] - 1
    if not found.size:
        return np.arange(0), np.arange(0), x.size
    smallest = int(found.min())
    counts = np.bincount(found - smallest)
    return np.arange(smallest, smallest + len(counts)), counts, x.size - found.size


def _check_limits(low, high):
    for name, limit in (("low", low), ("high", high)):
        if limit is not None and not isinstance(limit, int | np.integer):
            raise TypeError(f"{name}: expected an integer or None, got {type(limit).__name__}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"low, high: expected low <= high, got {low} and {high}")
