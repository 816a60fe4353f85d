"""The normal distribution, for expectation backpropagation: its network of probabilities is made of these functions.

Written here because NumPy has none of them, and in logarithms because a confident wrong answer, forty standard
deviations out, has a probability of which no float knows: it must still produce the right gradient.
"""

import math

import numpy as np
from numpy.polynomial import chebyshev

from .checks import check_float

CENTRE = 3.0                          # the x >= 0 that `_to_t` maps to 0; 2 or 4 would do as well
DEGREE = 24                           # coefficients of a higher degree are below the resolution of float64


def phi(z):
    """φ(z) = exp(-z²/2) / √(2π), the standard normal density. z: float array. Returns its shape and dtype."""
    check_float("z", z)
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def cdf(z):
    """Φ(z), the probability that a standard normal number is below z. z: float array. Returns its shape and dtype.

    Relative error below 1e-12 in the lower tail too, as far down as float64 reaches: Φ(-37) is 5.7e-300.
    """
    check_float("z", z)
    tail = phi(z) * mills_ratio(np.abs(z))                # Φ(-|z|)
    return np.where(z < 0, tail, 1 - tail)


def log_cdf(z):
    """ln Φ(z): ln Φ(-40) is -804.6 although Φ(-40) is 0 in floats. z: float array. Returns its shape and dtype.

    Below 0 it is ln φ + ln R, with R the Mills ratio, from which the exponential is already divided out; above 0 it
    is ln(1 - Φ(-z)), by log1p, since Φ is so close to 1 that rounding would leave nothing.
    """
    check_float("z", z)
    ratio = mills_ratio(np.abs(z))
    below = np.log(ratio) - z * z / 2 - math.log(2 * math.pi) / 2
    return np.where(z < 0, below, np.log1p(-phi(z) * ratio))


def phi_over_cdf(z):
    """φ(z) / Φ(z), the derivative of ln Φ(z); it tends to -z far below 0.

    z: float array. Returns its shape and dtype.
    """
    check_float("z", z)
    ratio, density = mills_ratio(np.abs(z)), phi(z)
    return np.where(z < 0, 1 / ratio, density / (1 - density * ratio))


def mills_ratio(x):
    """R(x) = Φ(-x) / φ(x) for x >= 0: √(π/2) at 0, from there down slowly, like 1/x in the end.

    x: float array. Returns its shape and dtype. A polynomial, since (x + 1) R(x) hardly varies.
    """
    check_float("x", np.asarray(x) if isinstance(x, np.generic) else x)      # |z| of no dimensions is a scalar
    return chebyshev.chebval(_to_t(x), COEFFICIENTS[x.dtype]) / (x + 1)


def _to_t(x):
    """0 .. ∞ to -1 .. 1, where polynomials are at home."""
    return 1 - 2 * CENTRE / (x + CENTRE)


def _slow_mills_ratio(x):
    """R of one number: by erfc where the exponential does not magnify its rounding, else by a continued fraction."""
    if x < 1:
        return math.sqrt(math.pi / 2) * math.exp(x * x / 2) * math.erfc(x / math.sqrt(2))
    fraction = x
    for k in range(500, 0, -1):
        fraction = x + k / fraction                       # Laplace: R = 1 / (x + 1 / (x + 2 / (x + 3 / ...)))
    return 1 / fraction


def _coefficients():
    """Of the Chebyshev polynomial through (x + 1) R(x), as a function of t."""
    def scaled(ts):
        xs = CENTRE * (1 + ts) / (1 - ts)                 # `_to_t` turned round
        return np.array([(x + 1) * _slow_mills_ratio(x) for x in xs.tolist()])

    return chebyshev.chebinterpolate(scaled, DEGREE)


# To each dtype the coefficients that it resolves, so that float32 does not pay for digits that it drops.
COEFFICIENTS = {np.dtype(dtype): chebyshev.chebtrim(_coefficients(), np.finfo(dtype).eps / 16).astype(dtype)
                for dtype in (np.float32, np.float64)}
