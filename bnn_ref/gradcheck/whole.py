"""The check of a whole network and its loss: a few random directions for each array, through frozen binarizers."""

from dataclasses import replace

import numpy as np

from ..nets import network
from ..ops.checks import check_instance, check_number, check_whole, is_plain
from . import contract
from .line import EPSILON, Line, error_of, exponent, typical
from .report import WORST, Report, Row, observed

FIRST_STEP = -20      # 2^-20, times the size of the entries: among thousands of units one is always close to a kink


@observed
def check_network(steps, params, running, x, labels, loss_forward, loss_backward, seed=0, directions=3,
                  tolerance=1e-6):
    """Check the gradients of a whole network: the input's and every parameter's, along random directions.

    The loss is differentiated numerically through the *frozen* network (`network.freeze`), in which each binarizer
    is its surrogate at this point. All arrays float64; noise (dropout masks, sampled weights) is drawn anew from
    `seed` in every pass, so it is the same in all of them. A direction for each array by itself, so that a wrong
    gradient is named and cannot hide behind a large one.

    Returns a Report. Raises AssertionError naming the parameter, or a step that writes into an array that is not its
    own; TypeError for arrays that are not float64; TypeError or ValueError for steps, labels or settings that are none.
    """
    network.check_steps("steps", steps)
    for name, arrays in (("params", params), ("running", running)):
        check_instance(name, arrays, dict, "a dict of arrays by full-path name")
    check_whole("seed", seed, "a whole number from 0 up", lambda seed: seed >= 0)
    check_whole("directions", directions, "a number from 1 up", lambda directions: directions >= 1)
    check_number("tolerance", tolerance, "a number of at least 0", lambda tolerance: tolerance >= 0)
    for name, array in [("x", x), *params.items(), *running.items()]:
        dtype = array.dtype if is_plain(array) else type(array).__name__
        if dtype != np.float64:
            raise TypeError(f"{name}: expected a float64 array, got {dtype}")
        if array is not x and not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")

    def loss(some_steps, some_params, some_x):
        y, caches, _ = network.forward(some_steps, some_params, running, some_x, np.random.default_rng(seed))
        value, cache = loss_forward(y, labels)
        return float(value), cache, caches

    value, grads = _gradients(steps, params, running, x, labels, loss, loss_backward)
    frozen = network.freeze(steps, params, running, x, np.random.default_rng(seed))
    start = loss(frozen, params, x)[0]
    if not abs(start - value) <= 1e-9 * max(1, abs(value)):
        raise AssertionError("the frozen network does not have the network's loss at this point")

    rng = np.random.default_rng([seed, 1])
    agree, coarse, kinks = [], [], []
    for name, gradient in grads.items():                 # from the loss down: the first wrong one is next to the bug
        array = x if name == "x" else params[name]
        for count in range(directions):
            direction = rng.standard_normal(array.shape)

            def along(h, name=name, array=array, direction=direction):
                moved = array + h * direction
                return np.array([loss(frozen, params, moved)[0] if name == "x" else
                                 loss(frozen, {**params, name: moved}, x)[0]])

            size = exponent(typical(array))
            line = Line(along, np.array([start]), np.ones(1), size + FIRST_STEP, size - 44, size + 4,
                        noise=EPSILON * float(np.sqrt(np.nansum((gradient * array)**2))))
            analytic, slope = float(np.sum(gradient * direction)), line.slope()
            if not slope.kink and error_of(analytic, slope, tolerance) > tolerance:
                slope = line.confirmed()
            error = error_of(analytic, slope, tolerance)
            row = Row(f"{name}, direction {count}", analytic, slope.value, slope.error, error)
            if error > tolerance:
                constant = slope.size == 0
                raise AssertionError(
                    f"{name}: derivative along a random direction: analytic {analytic:.12g}, numeric {slope.value:.12g}"
                    f", relative error {error:.2g} > {tolerance:g}" + (
                        ": the loss is constant here: is a step an estimator without surrogate (lesson 5)?"
                        if constant else ""))
            if slope.kink:
                kinks.append(row.where)
            else:
                (coarse if slope.error > tolerance * slope.size else agree).append(row)
    if not agree:
        raise AssertionError(f"nothing was checked: along {len(kinks)} directions there is a kink at this point, and "
                             f"along {len(coarse)} differences are too coarse: move the point, or raise tolerance=")
    agree.sort(key=lambda row: -row.error)
    good = max(row.estimated / abs(row.numeric) if row.numeric else 0.0 for row in agree)
    return Report(len(agree), agree[0].error, good, tuple(kinks), tuple(coarse), tuple(agree[:WORST]),
                  f"{directions} directions an array")


def _gradients(steps, params, running, x, labels, loss, loss_backward):
    """The loss, and {name: gradient} from the loss down to "x". Raises AssertionError for what breaks the contract."""
    watch = contract.Watch(x=x, **params, **running, labels=labels)
    made = []
    steps = tuple(_watched(step, made) for step in steps)
    value, cache, caches = loss(steps, params, x)
    for out in made:
        out.assert_unchanged("a later step")
    if not np.isfinite(value):
        raise AssertionError(f"the loss is {value} at this point: choose another one")
    dx, grads = network.backward(steps, caches, loss_backward(1.0, cache))
    for gradients in made:
        gradients.assert_unchanged("a later step")
    watch.assert_unchanged("the network or its loss")
    if grads.keys() != params.keys():
        raise AssertionError(f"expected a gradient for each of {sorted(params)}, got {sorted(grads)}")
    grads["x"] = dx
    for name, gradient in grads.items():
        shape = np.shape(x if name == "x" else params[name])
        if not isinstance(gradient, np.ndarray) or gradient.shape != shape:
            came = gradient.shape if isinstance(gradient, np.ndarray) else contract.kind(gradient)
            raise AssertionError(f"{name}: expected a gradient of shape {shape}, got {came}")
        if gradient.dtype != np.float64:
            raise AssertionError(f"{name}: expected a float64 gradient, got {gradient.dtype}")
    return value, grads


def _watched(step, made):
    """The step, watched: it must leave its arguments alone. Its output and gradients are added to what was made."""
    names = [f"the input of step {step.name}", *(f"{step.name}.{param.name}" for param in step.params),
             *(f"{step.name}.{name}" for name, _, _ in step.running)]

    def forward(*args):
        watch = contract.Watch(**dict(zip([*names, *(f"argument {i} of step {step.name}" for i in range(
            len(names), len(args)))], args)))
        results = step.forward(*args)
        watch.assert_unchanged(f"the forward of step {step.name}")
        if not isinstance(results, tuple) or len(results) < 2:
            raise AssertionError(f"the forward of step {step.name} returned {contract.kind(results)}; expected a tuple:"
                                 " out, cache")
        made.append(contract.Watch(**{f"the output of step {step.name}": results[0]}))
        return results

    def backward(dout, cache):
        results = step.backward(dout, cache)
        if isinstance(results, list | dict):
            raise AssertionError(f"the backward of step {step.name} returned {contract.kind(results)}; expected a tuple"
                                 " in the order of forward's arguments")
        made.append(contract.Watch(**{f"the gradient of {step.name}.{param.name}": gradient
                                      for param, gradient in zip(step.params, network.as_tuple(results)[1:])}))
        return results

    return replace(step, forward=forward, backward=backward)
