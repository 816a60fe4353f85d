"""From real numbers to ±1: the binarizers of the papers, and what stands in for their derivative.

The derivative of sign is zero wherever it exists, so no network could learn through it. Each backward here that is
not a derivative says so, **ESTIMATOR of ...**, and stands beside the surrogate whose exact derivative it is.
"""

import numpy as np

from .checks import check_draw, check_float, check_like, check_numbers


def sign(x):
    """x_b = +1 where x >= 0, else -1; never 0, and sign(0) = +1 [BC-1] [BNN-1].

    x: float array of any shape. Returns the same shape and dtype.
    """
    check_numbers("x", x)
    return 2 * (x >= 0).astype(x.dtype) - 1


def hard_sigmoid(x):
    """σ(x) = clip((x + 1) / 2, 0, 1): the probability of +1 in the stochastic sign [BC-3] [BNN-3]."""
    check_numbers("x", x)
    return np.clip((x + 1) / 2, 0, 1)


def stochastic_sign(x, u):
    """x_b = +1 where u < σ(x), else -1; its mean over u is Htanh(x) [BC-2] [BNN-2].

    x: float array; u: numbers drawn uniformly from [0, 1), same shape. One draw serves forward and backward,
    so it is an argument: draw it with `rng.random(x.shape, dtype=x.dtype)`.
    """
    p = hard_sigmoid(x)
    check_draw("u", u, x)
    return 2 * (u < p).astype(x.dtype) - 1


# --- sign with the straight-through estimator ----------------------------------------------------------------------


def sign_forward(x):
    """a_b = sign(a), the binary activation of a BNN [BNN-1].

    x: float array of any shape. Returns (x_b, cache). Raises TypeError for anything but float32 or float64.
    """
    check_float("x", x)
    return sign(x), x


def sign_backward(dout, cache):
    """dx = dout where |x| <= 1 (the boundary included), else 0: straight-through with saturation [BNN-4].

    **ESTIMATOR of** `sign_surrogate`: the derivative of sign itself is 0.
    dout: as x. Returns dx, as x.
    """
    x = cache
    check_like("dout", dout, "x", x)
    return dout * (np.abs(x) <= 1)


def sign_surrogate(x0):
    """q(x) = sign(x0) + Htanh(x) - Htanh(x0): the value of sign at x0, the slope of hard tanh around it [BNN-4]."""
    offset = sign(x0) - np.clip(x0, -1, 1)
    return lambda x: (offset + np.clip(x, -1, 1), None)


# --- stochastic sign -----------------------------------------------------------------------------------------------


def stochastic_sign_forward(x, u):
    """x_b = stochastic sign of x with the draw u [BC-2].

    x: float array of any shape; u: uniform numbers from [0, 1), as x. Returns (x_b, cache).
    Raises TypeError or ValueError where u is not like x.
    """
    check_float("x", x)
    check_like("u", u, "x", x)
    return stochastic_sign(x, u), x


def stochastic_sign_backward(dout, cache):
    """dx = dout where |x| <= 1, else 0: the derivative of E[x_b] = Htanh(x) [BNN-4].

    **ESTIMATOR of** `stochastic_sign_surrogate`. dout: as x. Returns dx, as x.
    """
    return sign_backward(dout, cache)


def stochastic_sign_surrogate(x0, u):
    """q(x) = x_b(x0, u) + Htanh(x) - Htanh(x0): the drawn value at x0, the slope of the mean around it."""
    offset = stochastic_sign(x0, u) - np.clip(x0, -1, 1)
    return lambda x, u: (offset + np.clip(x, -1, 1), None)


# --- hard tanh and hard sigmoid ------------------------------------------------------------------------------------


def hard_tanh_forward(x):
    """Htanh(x) = clip(x, -1, 1) = 2σ(x) - 1: the mean of the stochastic sign [BNN-5].

    x: float array of any shape. Returns (out, cache).
    """
    check_float("x", x)
    return np.clip(x, -1, 1), x


def hard_tanh_backward(dout, cache):
    """dx = dout where |x| <= 1, else 0; **exact**. At the kinks ±1 it is dout, as in the estimator [BNN-4]."""
    x = cache
    check_like("dout", dout, "x", x)
    return dout * (np.abs(x) <= 1)


def hard_sigmoid_forward(x):
    """σ(x) = clip((x + 1) / 2, 0, 1) [BC-3]. x: float array of any shape. Returns (out, cache)."""
    check_float("x", x)
    return hard_sigmoid(x), x


def hard_sigmoid_backward(dout, cache):
    """dx = dout / 2 where |x| <= 1, else 0; **exact**. At the kinks ±1 it is dout / 2."""
    x = cache
    check_like("dout", dout, "x", x)
    return dout / 2 * (np.abs(x) <= 1)
