"""Whole networks: right gradients are accepted, planted mistakes are named, and so is a step that writes elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from bnn_ref.derivatives import CASES, NetworkCase
from bnn_ref.gradcheck import Report, check_network
from bnn_ref.nets import network, steps
from bnn_ref.ops import losses
from bnn_ref.ops.dense import binary_dense_surrogate, dense_backward

NETWORK_CASES = [case for case in CASES if isinstance(case, NetworkCase)]


@pytest.mark.task_bnn
@pytest.mark.parametrize("case", NETWORK_CASES, ids=lambda case: case.name)
def test_every_network_is_accepted(case):
    report = case.check()
    assert report.checked == 3 * (1 + len(network.param_specs(case.steps)))
    assert report.worst < 1e-6


NET = (steps.flatten_step("flat"), steps.binary_dense_step("fc1", 8, 6), steps.batchnorm_step("bn1", 6),
       steps.sign_step("act1"), steps.dropout_step("drop1", 0.3), steps.binary_dense_step("fc2", 6, 3),
       steps.batchnorm_step("bn2", 3))


def check(net, dtype=np.float64, params=None, running=None, x=None, **settings):
    rng = np.random.default_rng(3)
    started, averages = network.init(NET, rng, dtype)
    started = {name: w + dtype(0.3) * rng.standard_normal(w.shape).astype(dtype) for name, w in started.items()}
    pictures = rng.standard_normal((7, 2, 2, 2)).astype(dtype)
    return check_network(net, started | (params or {}), averages | (running or {}), pictures if x is None else x,
                         rng.integers(0, 3, 7), losses.squared_hinge_forward, losses.squared_hinge_backward, **settings)


def with_step(name, **changes):
    return tuple(replace(step, **changes) if step.name == name else step for step in NET)


def spoiling(name, gradient, factor):
    """NET with one gradient of one step multiplied by a factor."""
    right = next(step for step in NET if step.name == name).backward

    def backward(dout, cache):
        gradients = list(network.as_tuple(right(dout, cache)))
        gradients[gradient] = gradients[gradient] * factor
        return tuple(gradients)

    return with_step(name, backward=backward)


def test_a_network_is_checked_in_every_array_along_three_directions():
    report = check(NET)
    assert report.checked == 3 * 7 and 0 < report.worst < 1e-6
    assert check(NET, directions=1).checked == 7
    assert check(NET, seed=0) == report != check(NET, seed=1)
    assert isinstance(report, Report)


@pytest.mark.parametrize("step, gradient, named", [
    ("fc2", 1, "fc2.w"), ("bn2", 1, "bn2.gamma"), ("bn2", 2, "bn2.beta"), ("fc1", 1, "fc1.w"), ("bn1", 1, "bn1.gamma"),
    ("bn1", 2, "bn1.beta"), ("fc1", 0, "x"), ("flat", 0, "x")])
@pytest.mark.parametrize("factor", [-1, 0, 1 + 1e-4, np.nan])
def test_a_wrong_gradient_is_named(step, gradient, named, factor):
    message = rf"^{named}: derivative along a random direction: analytic \S+, numeric \S+, relative error \S+ > 1e-06$"
    with pytest.raises(AssertionError, match=message):
        check(spoiling(step, gradient, factor))


def test_one_wrong_step_does_not_blame_the_steps_above_it():
    with pytest.raises(AssertionError, match=r"^(x|fc1\.w|bn1\.\w+): derivative"):
        check(with_step("act1", backward=lambda dout, cache: dout.copy()))
    assert check(spoiling("fc2", 1, 1 + 1e-4), tolerance=2e-4).worst > 0.9e-4


def test_a_gradient_that_is_missing_or_of_the_wrong_shape_is_refused():
    only_dx = with_step("fc1", backward=lambda ds, cache: dense_backward(ds, cache)[0])
    with pytest.raises(AssertionError, match=r"^expected a gradient for each of \[.*'fc1.w', .*\], got \["):
        check(only_dx)
    transposed = with_step("fc1", backward=lambda ds, cache: (dense_backward(ds, cache)[0], cache[0].T[:, :1]))
    with pytest.raises(AssertionError, match=r"^fc1.w: expected a gradient of shape \(8, 6\), got \(8, 1\)$"):
        check(transposed)


def test_a_frozen_network_with_another_loss_is_refused():
    def off(x0, w0):
        surrogate = binary_dense_surrogate(x0, w0)
        return lambda x, w: (surrogate(x, w)[0] * (1 + 1e-6 * np.arange(len(x)))[:, None], None)

    with pytest.raises(AssertionError, match=r"^the frozen network does not have the network's loss at this point$"):
        check(with_step("fc2", surrogate=off))


@pytest.mark.parametrize("value, off, accepted", [(0, 0.9e-9, True), (0, -1.1e-9, False), (0.5, 1.1e-9, False),
                                                  (100, 0.9e-7, True), (-100, 0.9e-7, True), (100, 1.1e-7, False)])
def test_the_frozen_loss_may_differ_by_a_billionth_of_the_loss_or_of_one(value, off, accepted):
    net = (network.Step("shift", lambda x: (x, None), lambda dout, cache: dout.copy(), None,
                        surrogate=lambda x0: lambda x: (x + off, None)),)

    def run():
        return check_network(net, {}, {}, np.full((2, 3), float(value)), None, lambda y, labels: (y.mean(), y.size),
                             lambda dloss, size: np.full((2, 3), dloss / size), tolerance=1e-4)

    if accepted:
        assert run().checked == 3
    else:
        with pytest.raises(AssertionError, match="the frozen network does not have"):
            run()


def test_a_network_that_is_not_float64_is_refused_by_name():
    with pytest.raises(TypeError, match=r"^x: expected a float64 array, got float32$"):
        check(NET, np.float32)
    for name, changes in (("x", {"x": np.zeros((7, 2, 2, 2), np.float32)}),
                          ("bn1.beta", {"params": {"bn1.beta": np.zeros(6, np.float32)}}),
                          ("bn2.var", {"running": {"bn2.var": np.ones(3, np.float32)}})):
        with pytest.raises(TypeError, match=rf"^{name}: expected a float64 array, got float32$"):
            check(NET, **changes)


def test_a_large_loss_is_compared_at_its_size():
    """A thousand and a little: differences of it are off by 1e-7, a ten-thousandth of this derivative."""
    net = (steps.dense_step("fc1", 3, 2),)
    rng = np.random.default_rng(0)
    params, running = network.init(net, rng, np.float64)

    def forward(y, labels):
        return 1e3 + 1e-3 * y.sum(), y.shape

    x = rng.standard_normal((4, 3))
    check_network(net, params, running, x, None, forward, lambda dloss, shape: np.full(shape, 1e-3))
    with pytest.raises(AssertionError, match="random direction"):
        check_network(net, params, running, x, None, lambda y, labels: (1e3 * y.sum(), y.shape),
                      lambda dloss, shape: np.full(shape, 1.001e3))
