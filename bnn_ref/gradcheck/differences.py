"""Differences at one step, in the plain form of the textbook [DIFF-1], and how two derivatives are compared.

They show the idea, and are enough for smooth functions of numbers near 1. The checks themselves choose the step and
estimate what it costs: line.py.
"""

import numpy as np

STEP = 1e-4           # distance of the sample points; the formula errs by STEP⁴/30 · f⁽⁵⁾
FLOOR = 1e-3          # derivatives smaller than this are compared as if they were this large


def central_difference(f, h=STEP):
    """f'(0) of a function of one number, by the fourth-order central difference [DIFF-1].

    (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h: four points instead of two buy four more digits, so that a wrong
    seventh digit shows. f may return an array. Keep kinks farther than 2h away.
    """
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def relative_error(analytic, numeric, floor=FLOOR):
    """|analytic - numeric| / max(|analytic|, |numeric|, floor); inf where either is not finite."""
    error = np.abs(analytic - numeric) / np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    return np.where(np.isfinite(error), error, np.inf)


def numeric_gradient(f, arg, dout):
    """Derivative of <f(arg), dout> with respect to each entry of arg, by differences at the one step STEP.

    f: function of one array that returns an array like dout; arg: float64 array, not changed. Returns an array like
    arg. The differences are taken before the sum with dout, so outputs that do not depend on an entry cancel exactly.
    """
    gradient = np.empty_like(arg)
    for index in np.ndindex(arg.shape):

        def along(h, index=index):
            moved = arg.copy()
            moved[index] += h
            return f(moved)

        gradient[index] = np.sum(central_difference(along) * dout)
    return gradient
