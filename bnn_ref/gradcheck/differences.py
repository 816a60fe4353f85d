"""Differences at one step, in the plain form of the textbook [DIFF-1], and how two derivatives are compared.

They show the idea, and are enough for smooth functions of numbers near 1. The checks themselves choose the step and
estimate what it costs: line.py.
"""

import numpy as np

from ..ops.checks import check_dtype, check_number, check_numbers, is_plain

STEP = 1e-4           # distance of the sample points; the formula errs by STEP⁴/30 · f⁽⁵⁾
FLOOR = 1e-3          # derivatives smaller than this are compared as if they were this large


def central_difference(f, h=STEP):
    """f'(0) of a function of one number, by the fourth-order central difference [DIFF-1].

    (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h: four points instead of two buy four more digits, so that a wrong
    seventh digit shows. f may return an array. Keep kinks farther than 2h away. Raises TypeError or ValueError for an h
    that is no number above 0.
    """
    check_number("h", h, "a number above 0", lambda h: h > 0)      # of whatever dtype: float32 shows how coarse it is
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def relative_error(analytic, numeric, floor=FLOOR):
    """|analytic - numeric| / max(|analytic|, |numeric|, floor); inf where either is not finite.

    analytic, numeric: arrays of one shape, or numbers. Raises TypeError or ValueError for others.
    """
    for name, value in (("analytic", analytic), ("numeric", numeric)):
        if not isinstance(value, float | int | np.number):
            check_numbers(name, value)
    if np.ndim(analytic) and np.ndim(numeric) and np.shape(analytic) != np.shape(numeric):
        raise ValueError(f"numeric: expected shape {np.shape(analytic)} like analytic, got {np.shape(numeric)}")
    if is_plain(floor):
        check_numbers("floor", floor)
        if floor.ndim and floor.shape not in (np.shape(analytic), np.shape(numeric)):
            raise ValueError(f"floor: expected a number or shape {np.shape(analytic)}, got {floor.shape}")
    else:
        check_number("floor", floor, "a number of at least 0", lambda floor: floor >= 0)
    error = np.abs(analytic - numeric) / np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    return np.where(np.isfinite(error), error, np.inf)


def numeric_gradient(f, arg, dout):
    """Derivative of <f(arg), dout> with respect to each entry of arg, by differences at the one step STEP.

    f: function of one array that returns an array like dout; arg: float64 array, not changed. Returns an array like
    arg. The differences are taken before the sum with dout, so outputs that do not depend on an entry cancel exactly.
    Raises TypeError or ValueError for an arg or a dout that is no such array.
    """
    check_dtype("arg", arg, np.float64)
    check_dtype("dout", dout, np.float64)
    if np.shape(f(arg)) != dout.shape:
        raise ValueError(f"dout: expected shape {np.shape(f(arg))}, as f returns, got {dout.shape}")
    gradient = np.empty_like(arg)
    for index in np.ndindex(arg.shape):

        def along(h, index=index):
            moved = arg.copy()
            moved[index] += h
            return f(moved)

        gradient[index] = np.sum(central_difference(along) * dout)
    return gradient
