"""Dropout, inverted: the survivors are scaled up in training, so that nothing is left to do at test time."""

import numpy as np

from .checks import check_float, check_generator, check_like, check_number


def _probability(p):
    return check_number("p", p, "a probability 0 <= p < 1", lambda p: 0 <= p < 1)


def draw_keep(rng, x, p):
    """Draw which entries of x survive: 1 with probability 1 - p, else 0. Returns an array like x.

    Raises TypeError or ValueError for what is no generator, no float array or no probability.
    """
    check_generator("rng", rng)
    check_float("x", x)
    p = _probability(p)
    return np.asarray(rng.random(x.shape, dtype=x.dtype) >= p, x.dtype)


def dropout_forward(x, keep, p):
    """out = x · keep / (1 - p); its mean over masks is x [DROP-1].

    x: float array of any shape; keep: like x, 1 where the entry survives, else 0 (`draw_keep`); p: the probability
    of being dropped, 0 <= p < 1. Behind a sign, out holds -1/(1-p), 0 and 1/(1-p): that is how the BNN authors
    train. Returns (out, cache). Raises TypeError or ValueError for arrays that do not fit or p out of range.
    """
    check_float("x", x)
    check_like("keep", keep, "x", x)
    scaled_keep = keep / (1 - _probability(p))
    return x * scaled_keep, scaled_keep


def dropout_backward(dout, cache):
    """dx = dout · keep / (1 - p); **exact** for the mask at hand. dout: as x. Returns dx, as x."""
    scaled_keep = cache
    check_like("dout", dout, "x", scaled_keep)
    return dout * scaled_keep
