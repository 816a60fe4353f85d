"""Shift-based batch normalization: against the paper's lines one number at a time, and against its surrogate."""

import numpy as np
import pytest

from bnn_ref.gradcheck import check_network, check_op, numeric_gradient
from bnn_ref.nets import network, steps
from bnn_ref.ops import losses
from bnn_ref.ops.batchnorm import batchnorm_backward, batchnorm_forward
from bnn_ref.ops.powers import ap2
from bnn_ref.ops.shift_batchnorm import (
    shift_batchnorm_backward,
    shift_batchnorm_forward,
    shift_batchnorm_predict,
    shift_batchnorm_surrogate,
)
from tests.ops import naive, naive_shift
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled
from tests.ops.test_batchnorm import SHAPES, arguments


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_loops(shape, dtype, layout):
    rng = np.random.default_rng(0)
    args = x, gamma, *_ = arguments(rng, shape, dtype, layout)
    da = sample(rng, shape, dtype, layout)
    alpha, eps = 0.3, 0.05
    comp_a, cache, *comp_running = shift_batchnorm_forward(*args, eps, alpha=alpha)
    ref_a, *ref_running = naive_shift.shift_batchnorm(*args, alpha, eps)
    assert_agree(comp_a, ref_a, dtype)
    for comp, ref in zip(comp_running, ref_running, strict=True):
        assert_agree(comp, ref, dtype)
    ref_gradients = naive_shift.shift_batchnorm_backward(da, x, gamma, eps)
    for comp, ref in zip(shift_batchnorm_backward(da, cache), ref_gradients, strict=True):
        assert_agree(comp, ref, dtype)
    assert_agree(shift_batchnorm_predict(*args), naive_shift.shift_batchnorm_predict(*args), dtype)


def test_defaults_are_those_of_the_bnn_authors():
    x, *others = arguments(np.random.default_rng(1), (4, 3))
    small = x / 256                                        # so that ε counts: v is about as large
    comp_a, _, *comp_running = shift_batchnorm_forward(small, *others)
    ref_a, *ref_running = naive_shift.shift_batchnorm(small, *others, 0.125, 1e-5)
    assert_agree(comp_a, ref_a, np.float64)
    assert_agree(np.array(comp_running), np.array(ref_running), np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_four_numbers_by_hand(dtype):
    x, da = np.array([[-3], [-1], [1], [3]], dtype), np.array([[1], [0], [0], [2]], dtype)
    gamma, beta, mean, rstd = (np.array([number], dtype) for number in (3, 1, 8, 1))
    a, cache, new_mean, new_rstd = shift_batchnorm_forward(x, gamma, beta, mean, rstd)
    # d = x; AP2(d) = -4, -1, 1, 4; v = 26/4; 1/√6.5 = 0.39 is rounded to 1/2, γ = 3 to 4
    np.testing.assert_array_equal(a, np.array([[-5], [-1], [3], [7]], dtype), strict=True)
    np.testing.assert_array_equal(new_mean, np.array([7], dtype), strict=True)
    assert_agree(new_rstd, np.array([0.875 + 0.125 / 6.50001**0.5]), dtype)
    dx, dgamma, dbeta = shift_batchnorm_backward(da, cache)
    # p = -2, -1/2, 1/2, 2; mean(da) = 3/4, mean(p da) = 1/2; dx = 4 · 1/2 · (da - 3/4 - p/2)
    np.testing.assert_array_equal(dx, np.array([[2.5], [-1], [-2], [0.5]], dtype), strict=True)
    np.testing.assert_array_equal(dgamma, np.array([2], dtype), strict=True)
    np.testing.assert_array_equal(dbeta, np.array([3], dtype), strict=True)
    # at test time 3 is rounded to 4 and 0.3 to 1/4
    comp = shift_batchnorm_predict(x, gamma, beta, mean, np.array([0.3], dtype))
    np.testing.assert_array_equal(comp, np.array([[-10], [-8], [-6], [-4]], dtype), strict=True)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)], ids=str)
def test_one_number_per_unit_gives_beta_and_no_gradient(shape):
    rng = np.random.default_rng(2)
    x, _, beta, mean, rstd = arguments(rng, shape)
    gamma, da = rng.standard_normal(3), rng.standard_normal(shape)
    comp_a, cache, comp_mean, comp_rstd = shift_batchnorm_forward(x, gamma, beta, mean, rstd, alpha=0.25)
    np.testing.assert_array_equal(comp_a.ravel(), beta)
    assert_agree(comp_mean, 0.75 * mean + 0.25 * x.ravel(), np.float64)
    assert_agree(comp_rstd, 0.75 * rstd + 0.25 / np.sqrt(1e-5), np.float64)
    comp_dx, comp_dgamma, comp_dbeta = shift_batchnorm_backward(da, cache)
    np.testing.assert_array_equal(comp_dx, np.zeros(shape))
    np.testing.assert_array_equal(comp_dgamma, np.zeros(3))
    np.testing.assert_array_equal(comp_dbeta, da.ravel())


def test_a_unit_whose_gamma_is_zero_passes_no_gradient_down_but_can_recover():
    x = np.array([[-3.0], [1.0], [2.0]])
    zero, da = np.zeros(1), np.array([[1.0], [2.0], [-1.0]])
    a, cache, *_ = shift_batchnorm_forward(x, zero, np.array([0.7]), zero, zero)
    np.testing.assert_array_equal(a, np.full((3, 1), 0.7))
    dx, dgamma, _ = shift_batchnorm_backward(da, cache)
    np.testing.assert_array_equal(dx, np.zeros((3, 1)))
    # v = (3 · 4 + 1 · 1 + 2 · 2) / 3 = 17/3, 1/√v = 0.42 is rounded to 1/2; dγ = (-4 · 1 + 1 · 2 - 2 · 1) / 2
    np.testing.assert_array_equal(dgamma, [-2])


def test_channels_are_units_over_batch_and_positions():
    args = x, *_ = arguments(np.random.default_rng(3), (2, 3, 4, 5))
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    comp_a, _, *comp_running = shift_batchnorm_forward(*args)
    comp_rows, _, *rows_running = shift_batchnorm_forward(rows, *args[1:])
    assert_agree(comp_a.transpose(0, 2, 3, 1).reshape(-1, 3), comp_rows, np.float64)
    assert_agree(np.array(comp_running), np.array(rows_running), np.float64)


def test_of_powers_of_two_it_is_batch_normalization():
    """Nothing is rounded where d, γ and 1/√v are powers of two already."""
    rng = np.random.default_rng(4)
    d = rng.permuted(np.repeat([[-1.0], [1.0]], 4, axis=0) * [[0.5, 2, 8]], axis=0)
    x = d + np.array([3, -1, 0])
    gamma, beta, da = np.array([-2, 0.25, 1]), rng.standard_normal(3), rng.standard_normal((8, 3))
    ref_a, ref_cache, *_ = batchnorm_forward(x, gamma, beta, beta, beta, 0.0)
    comp_a, comp_cache, *_ = shift_batchnorm_forward(x, gamma, beta, beta, beta, 0.0)
    np.testing.assert_array_equal(comp_a, ref_a)
    for comp, ref in zip(shift_batchnorm_backward(da, comp_cache), batchnorm_backward(da, ref_cache), strict=True):
        np.testing.assert_array_equal(comp, ref)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_factor_is_a_power_of_two(dtype):
    rng = np.random.default_rng(5)
    x, (gamma, mean, rstd) = sample(rng, (50, 8), dtype), rng.uniform(0.1, 3, (3, 8)).astype(dtype)
    beta = np.zeros(8, dtype)
    a, cache, *_ = shift_batchnorm_forward(x, gamma, beta, mean, rstd)
    d = x - x.mean(axis=0)
    for factor in (a / d, shift_batchnorm_predict(x, gamma, beta, mean, rstd) / (x - mean), *cache):
        np.testing.assert_array_equal(np.frexp(np.abs(factor))[0], np.full(factor.shape, 0.5, dtype))
        assert factor.dtype == dtype
    np.testing.assert_array_equal(cache[0], ap2(a / ap2(gamma)))        # AP2(x̂)


@pytest.mark.parametrize("scale", np.geomspace(1, 4, 9))
def test_the_standard_deviation_stays_between_the_stated_bounds(scale):
    rng = np.random.default_rng(6)
    one, zero = np.ones(40), np.zeros(40)
    batches = [rng.standard_normal((100, 40)), rng.choice([-1.4, 1.4], (100, 40)), rng.choice([-1.42, 1.42], (100, 40))]
    spreads = [shift_batchnorm_forward(scale * x, one, zero, zero, one)[0].std(axis=0) for x in batches]
    assert 2**-0.75 < np.min(spreads) and np.max(spreads) < 2**0.75
    assert np.ptp(spreads) > 0.1                           # it does depend on the scale and the shape of the batch


# derivatives


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_backward_is_the_derivative_of_the_surrogate(shape):
    rng = np.random.default_rng(7)
    args = rng.standard_normal(shape), *rng.standard_normal((3, shape[1])), rng.random(shape[1])
    report = check_op(shift_batchnorm_forward, shift_batchnorm_backward, *args, surrogate=shift_batchnorm_surrogate)
    assert report.checked == args[0].size + 2 * shape[1]


def test_the_surrogate_is_linear_and_depends_on_what_backward_says_it_does():
    rng = np.random.default_rng(8)
    x0, gamma0, beta0 = rng.standard_normal((6, 3)), *rng.standard_normal((2, 3))
    surrogate = shift_batchnorm_surrogate(x0, gamma0, beta0, beta0, beta0)      # as `network.freeze` calls it
    here = surrogate(x0, gamma0, beta0)[0]
    dx, dgamma, dbeta = rng.standard_normal((6, 3)), *rng.standard_normal((2, 3))
    for move in ((dx, 0, 0), (0, dgamma, 0), (0, 0, dbeta)):
        once, thrice = (surrogate(*(point + k * step for point, step in zip((x0, gamma0, beta0), move)))[0] - here
                        for k in (1, 3))
        assert np.abs(once).max() > 0.1
        np.testing.assert_allclose(thrice, 3 * once, atol=1e-12)


def test_the_derivative_almost_everywhere_lacks_what_the_estimator_adds():
    """Between its steps forward is AP2(γ) r d + β, for which neither γ nor v moves."""
    rng = np.random.default_rng(9)
    x, gamma, beta, da = rng.standard_normal((6, 3)), *rng.standard_normal((2, 3)), rng.standard_normal((6, 3))
    _, cache, *_ = shift_batchnorm_forward(x, gamma, beta, beta, beta)

    def derivative(position, arg):
        args = [x, gamma, beta, beta, beta]
        return numeric_gradient(
            lambda moved: shift_batchnorm_forward(*args[:position], moved, *args[position + 1:])[0], arg, da)

    p, gamma_p, r = cache
    comp_dx, comp_dgamma, _ = shift_batchnorm_backward(da, cache)
    through_v = gamma_p * r * p * (p * da).mean(axis=0)
    np.testing.assert_allclose(derivative(0, x), comp_dx + through_v, atol=1e-9)
    np.testing.assert_array_equal(derivative(1, gamma), np.zeros(3))
    assert np.abs(through_v).max() > 0.1 and np.abs(comp_dgamma).max() > 0.1


# in a network


def test_in_a_network():
    rng = np.random.default_rng(10)
    net = (steps.binary_conv_step("conv1", 2, 4, 3, 1, -1.0), steps.shift_batchnorm_step("bn1", 4),
           steps.sign_step("act1"), steps.flatten_step("flat"), steps.binary_dense_step("fc2", 80, 5),
           steps.shift_batchnorm_step("bn2", 5))
    params, running = network.init(net, rng, np.float64)
    params = {name: w if name.endswith(".w") else w + 0.3 * rng.standard_normal(w.shape) for name, w in params.items()}
    batches = [rng.standard_normal((12, 2, 4, 5)) for _ in range(2)]
    report = check_network(net, params, running, batches[0], rng.integers(0, 5, 12), losses.SQUARED_HINGE.forward,
                           losses.SQUARED_HINGE.backward)
    assert report.checked == 3 * 7
    comp = network.recompute_statistics(net, params, running, batches)
    maps = [naive.conv(x, naive.sign(params["conv1.w"]), 1, 1, -1.0) for x in batches]
    zero = np.zeros(4)
    ref = [naive_shift.shift_batchnorm(s, zero, zero, zero, zero, 1.0, 1e-5)[1:] for s in maps]
    assert_agree(comp["bn1.mean"], np.mean([mean for mean, _ in ref], axis=0), np.float64)
    assert_agree(comp["bn1.rstd"], np.mean([rstd for _, rstd in ref], axis=0), np.float64)
    ref_a = naive_shift.shift_batchnorm_predict(maps[0], params["bn1.gamma"], params["bn1.beta"], comp["bn1.mean"],
                                                comp["bn1.rstd"])
    assert_agree(network.predict(net[:2], params, comp, batches[0]), ref_a, np.float64)


# doors


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5, 2)], ids=str)
@pytest.mark.parametrize("function", [shift_batchnorm_forward, shift_batchnorm_predict])
def test_doors(function, shape):
    names = "x", "gamma", "beta", "running_mean", "running_rstd"
    good = arguments(np.random.default_rng(11), shape)
    for position, name in enumerate(names):
        for error, bad in spoiled(good[position], alone=position == 0, axes=(0,) if position else ()):
            with pytest.raises(error, match=expected(name, r"shape \(C=3\)" if position else r"shape \(N, C\b.*\)")):
                function(*good[:position], bad, *good[position + 1:])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5, 2)], ids=str)
def test_backward_door_and_purity(shape):
    rng = np.random.default_rng(12)
    _, cache, *_ = shift_batchnorm_forward(*arguments(rng, shape))
    da = sample(rng, shape)
    first = shift_batchnorm_backward(da, tuple(map(read_only, cache)))
    for once, again in zip(first, shift_batchnorm_backward(da, cache), strict=True):
        np.testing.assert_array_equal(once, again)
    for error, bad in spoiled(da, axes=range(len(shape))):
        with pytest.raises(error, match=expected("da", "shape .* like x")):
            shift_batchnorm_backward(bad, cache)
