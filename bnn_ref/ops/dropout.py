"""Dropout, inverted: the survivors are scaled up in training, so that nothing is left to do at test time."""

from .checks import check_float, check_like


def draw_keep(rng, x, p):
    """Draw which entries of x survive: 1 with probability 1 - p, else 0. Returns an array like x."""
    return (rng.random(x.shape, dtype=x.dtype) >= p).astype(x.dtype)


def dropout_forward(x, keep, p):
    """out = x · keep / (1 - p); its mean over masks is x [DROP-1].

    x: float array of any shape; keep: like x, 1 where the entry survives, else 0 (`draw_keep`); p: the probability
    of being dropped, 0 <= p < 1. Behind a sign, out holds -1/(1-p), 0 and 1/(1-p): that is how the BNN authors
    train. Returns (out, cache). Raises TypeError or ValueError for arrays that do not fit or p out of range.
    """
    check_float("x", x)
    check_like("keep", keep, "x", x)
    if not 0 <= p < 1:
        raise ValueError(f"p: expected a probability 0 <= p < 1, got {p}")
    scaled_keep = keep / (1 - p)
    return x * scaled_keep, scaled_keep


def dropout_backward(dout, cache):
    """dx = dout · keep / (1 - p); **exact** for the mask at hand. dout: as x. Returns dx, as x."""
    scaled_keep = cache
    check_like("dout", dout, "x", scaled_keep)
    return dout * scaled_keep
