"""Is a hand-written derivative right? Compare it with differences of the function itself, coordinate by coordinate.

In the tests of your own layer one line does it: `check_op(my_forward, my_backward, x, w)`. For a binarizer, whose
differences are all zero, pass the surrogate that the backward pass claims to be the derivative of.
"""

from dataclasses import dataclass

import numpy as np

from .nets import network

STEP = 1e-4           # distance of the sample points; the formula errs by STEP⁴/30 · f⁽⁵⁾, far below the tolerance
NETWORK_STEP = 1e-6   # shorter: among thousands of units one is always close to a kink
FLOOR = 1e-3          # derivatives smaller than this are compared as if they were this large
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Report:
    """What a passed check covered: coordinates (or directions) compared, and the worst relative error among them."""

    checked: int
    worst: float


def central_difference(f, h=STEP):
    """f'(0) of a function of one number, by the fourth-order central difference [DIFF-1].

    (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h: four points instead of two buy four more digits, so that a wrong
    seventh digit shows. f may return an array. Keep kinks farther than 2h away.
    """
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def relative_error(analytic, numeric):
    """|analytic - numeric| / max(|analytic|, |numeric|, FLOOR); inf where either is not finite."""
    error = np.abs(analytic - numeric) / np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), FLOOR)
    return np.where(np.isfinite(error), error, np.inf)


def numeric_gradient(f, arg, dout):
    """Derivative of <f(arg), dout> with respect to each entry of arg.

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


def check_op(forward, backward, *args, surrogate=None, seed=0, tolerance=TOLERANCE):
    """Check a backward pass against differences of its forward, every coordinate, with a random upstream gradient.

    forward(*args) -> (out, cache), more results after the cache are ignored; backward(dout, cache) -> the gradients
    of the first arguments, in order (one bare array for one; None for an argument without derivative). Arguments
    with a gradient must be float64 arrays; those after them (noise, strides) are passed on as they are.
    surrogate(*args) -> a function like forward: for an estimator, the function whose exact derivative it claims to
    be at args; that it has forward's value there is checked too.

    Returns a Report. Raises AssertionError that names the argument, the index, the analytic and the numeric value
    of the worst coordinate, or what else is wrong: a gradient of the wrong shape, an argument that was changed.
    Raises TypeError for arguments that are not float64.
    """
    rng = np.random.default_rng([seed, 1])               # not the stream that the caller's arguments came from
    before = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]
    out, cache = forward(*args)[:2]
    dout = rng.standard_normal(np.shape(out))
    upstream = dout.copy() if dout.ndim else float(dout)
    gradients = network.as_tuple(backward(upstream, cache))
    _assert_unchanged([*before, dout], [*args, upstream])

    f = forward
    if surrogate is not None:
        f = surrogate(*args)
        np.testing.assert_allclose(f(*args)[0], out, rtol=1e-9, atol=1e-9,
                                   err_msg="the surrogate does not have the value of forward at this point")
    if len(gradients) > len(args):
        raise AssertionError(f"backward returned {len(gradients)} gradients for {len(args)} arguments")

    checked, worst = 0, 0.0
    for position, gradient in enumerate(gradients):
        if gradient is None:
            continue
        arg = args[position]
        if not isinstance(arg, np.ndarray) or arg.dtype != np.float64:
            raise TypeError(f"argument {position}: expected a float64 array, got "
                            f"{getattr(arg, 'dtype', type(arg).__name__)}; float32 is too coarse to check a derivative")
        if np.shape(gradient) != arg.shape:
            raise AssertionError(f"argument {position}: expected a gradient of shape {arg.shape}, "
                                 f"got {np.shape(gradient)}")

        def only(moved, position=position):
            return f(*args[:position], moved, *args[position + 1:])[0]

        numeric = numeric_gradient(only, arg, dout)
        error = relative_error(gradient, numeric)
        checked += error.size
        if error.size:
            worst = max(worst, float(error.max()))
            index = np.unravel_index(error.argmax(), error.shape)
            if error[index] > tolerance:
                raise AssertionError(
                    f"argument {position}, index {tuple(map(int, index))}: analytic {gradient[index]:.12g}, "
                    f"numeric {numeric[index]:.12g}, relative error {error[index]:.2g} > {tolerance:g} "
                    f"({np.sum(error > tolerance)} of {error.size} coordinates differ)")
    if not checked:
        raise AssertionError("nothing was checked: backward returned no gradient")
    return Report(checked, worst)


def _assert_unchanged(before, after):
    for position, (old, new) in enumerate(zip(before, after)):
        if isinstance(old, np.ndarray) and not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
            what = "dout" if position == len(before) - 1 else f"argument {position}"
            raise AssertionError(f"{what} was changed in place by forward or backward")


def check_network(steps, params, running, x, labels, loss_forward, loss_backward, seed=0, directions=3,
                  tolerance=1e-6):
    """Check the gradients of a whole network: the input's and every parameter's, along random directions.

    The loss is differentiated numerically through the *frozen* network (`network.freeze`), in which each binarizer
    is its surrogate at this point. All arrays float64; noise (dropout masks, sampled weights) is drawn anew from
    `seed` in every pass, so it is the same in all of them. A direction for each array by itself, so that a wrong
    gradient is named and cannot hide behind a large one.

    Returns a Report. Raises AssertionError naming the parameter, TypeError for arrays that are not float64.
    """
    for name, array in [("x", x), *params.items(), *running.items()]:
        if array.dtype != np.float64:
            raise TypeError(f"{name}: expected a float64 array, got {array.dtype}")

    def loss(some_steps, some_params, some_x):
        y, caches, _ = network.forward(some_steps, some_params, running, some_x, np.random.default_rng(seed))
        value, cache = loss_forward(y, labels)
        return value, cache, caches

    value, cache, caches = loss(steps, params, x)
    dx, grads = network.backward(steps, caches, loss_backward(1.0, cache))
    frozen = network.freeze(steps, params, running, x, np.random.default_rng(seed))
    if abs(loss(frozen, params, x)[0] - value) > 1e-9 * max(1, abs(value)):
        raise AssertionError("the frozen network does not have the network's loss at this point")

    if grads.keys() != params.keys():
        raise AssertionError(f"expected a gradient for each of {sorted(params)}, got {sorted(grads)}")
    rng = np.random.default_rng([seed, 1])
    size = max(1, abs(value))                            # of a loss that is a sum: its rounding errors are as large
    checked, worst = 0, 0.0
    for name, gradient in [*grads.items(), ("x", dx)]:   # from the loss down: the first wrong one is next to the bug
        array = x if name == "x" else params[name]
        if gradient.shape != array.shape:
            raise AssertionError(f"{name}: expected a gradient of shape {array.shape}, got {gradient.shape}")
        for _ in range(directions):
            direction = rng.standard_normal(array.shape)

            def along(h, name=name, array=array, direction=direction):
                moved = array + h * direction
                return loss(frozen, params, moved)[0] if name == "x" else \
                    loss(frozen, {**params, name: moved}, x)[0]

            numeric = central_difference(along, NETWORK_STEP)
            analytic = np.sum(gradient * direction)
            error = float(relative_error(analytic / size, numeric / size))
            checked, worst = checked + 1, max(worst, error)
            if error > tolerance:
                raise AssertionError(f"{name}: derivative along a random direction: analytic {analytic:.12g}, "
                                     f"numeric {numeric:.12g}, relative error {error:.2g} > {tolerance:g}")
    return Report(checked, worst)
