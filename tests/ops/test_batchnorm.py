"""Batch normalization of units and of channels, in training and at test time."""

import numpy as np
import pytest

from bnn_ref.ops.batchnorm import batchnorm_backward, batchnorm_forward, batchnorm_predict
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, sample, spoiled, uniform

pytestmark = pytest.mark.task_batchnorm

SHAPES = ((2, 1), (5, 3), (3, 7), (1, 2, 3, 2), (3, 2, 1, 4), (2, 3, 4, 5))


def arguments(rng, shape, dtype=np.float64, layout="contiguous"):
    """x, gamma, beta, running mean, running variance."""
    x = sample(rng, shape, dtype, layout)
    gamma, beta, mean = (sample(rng, shape[1:2], dtype, layout) for _ in range(3))
    return x, gamma, beta, mean, uniform(rng, shape[1:2], dtype, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_loops(shape, dtype, layout):
    rng = np.random.default_rng(0)
    args = x, gamma, *_ = arguments(rng, shape, dtype, layout)
    da = sample(rng, shape, dtype, layout)
    alpha, eps = 0.3, 0.05
    comp_a, cache, *comp_running = batchnorm_forward(*args, eps, alpha=alpha)
    ref_a, *ref_running = naive.batchnorm(*args, alpha, eps)
    assert_agree(comp_a, ref_a, dtype)
    for comp, ref in zip(comp_running, ref_running, strict=True):
        assert_agree(comp, ref, dtype)
    for comp, ref in zip(batchnorm_backward(da, cache), naive.batchnorm_backward(da, x, gamma, eps), strict=True):
        assert_agree(comp, ref, dtype)
    assert_agree(batchnorm_predict(*args, eps), naive.batchnorm_predict(*args, eps), dtype)


def test_eps_may_be_a_number_for_each_unit():
    args = arguments(np.random.default_rng(1), (4, 3))
    eps = [0.1, 1e-3, 2.0]
    for function in (lambda *of: batchnorm_forward(*of)[0], batchnorm_predict):
        comp = function(*args, np.array(eps))
        for unit, one in enumerate(eps):
            assert_agree(comp[:, unit], function(*args, one)[:, unit], np.float64)


@pytest.mark.parametrize("eps", [-1e-5, np.nan, np.inf, np.array([1, 1, -1])], ids=str)
def test_eps_below_zero(eps):
    args = arguments(np.random.default_rng(1), (4, 3))
    for function in (batchnorm_forward, batchnorm_predict):
        with pytest.raises(ValueError, match=r"^eps: expected a number of at least 0, got "):
            function(*args, eps)


def test_defaults_are_those_of_the_bnn_authors():
    args = arguments(np.random.default_rng(1), (4, 3))
    comp_a, _, *comp_running = batchnorm_forward(*args)
    ref_a, *ref_running = naive.batchnorm(*args, 0.1, 1e-4)
    assert_agree(comp_a, ref_a, np.float64)
    assert_agree(np.array(comp_running), np.array(ref_running), np.float64)
    assert_agree(batchnorm_predict(*args), naive.batchnorm_predict(*args, 1e-4), np.float64)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)], ids=str)
def test_one_number_per_unit_gives_beta_and_no_gradient(shape):
    rng = np.random.default_rng(2)
    x, _, beta, mean, var = arguments(rng, shape)
    gamma, da = rng.standard_normal(3), rng.standard_normal(shape)
    comp_a, cache, comp_mean, comp_var = batchnorm_forward(x, gamma, beta, mean, var, alpha=0.25)
    np.testing.assert_array_equal(comp_a.ravel(), beta)
    assert_agree(comp_mean, 0.75 * mean + 0.25 * x.ravel(), np.float64)
    assert_agree(comp_var, 0.75 * var, np.float64)
    comp_dx, comp_dgamma, comp_dbeta = batchnorm_backward(da, cache)
    np.testing.assert_array_equal(comp_dx, np.zeros(shape))
    np.testing.assert_array_equal(comp_dgamma, np.zeros(3))
    np.testing.assert_array_equal(comp_dbeta, da.ravel())


def test_channels_are_units_over_batch_and_positions():
    args = x, *_ = arguments(np.random.default_rng(3), (2, 3, 4, 5))
    rows = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    comp_a, _, *comp_running = batchnorm_forward(*args)
    comp_rows, _, *rows_running = batchnorm_forward(rows, *args[1:])
    assert_agree(comp_a.transpose(0, 2, 3, 1).reshape(-1, 3), comp_rows, np.float64)
    assert_agree(np.array(comp_running), np.array(rows_running), np.float64)


def test_a_large_mean_does_not_cost_the_variance():
    x = np.array([[1e8 - 1], [1e8 + 1]])
    one, zero = np.ones(1), np.zeros(1)
    comp_a, _, comp_mean, comp_var = batchnorm_forward(x, one, zero, zero, one, alpha=1.0, eps=1e-4)
    assert (comp_mean.item(), comp_var.item()) == (1e8, 1)
    np.testing.assert_allclose(comp_a.ravel(), np.array([-1, 1]) / np.sqrt(1 + 1e-4), rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5, 2)], ids=str)
@pytest.mark.parametrize("function", [batchnorm_forward, batchnorm_predict])
def test_doors(function, shape):
    names = "x", "gamma", "beta", "running_mean", "running_var"
    good = arguments(np.random.default_rng(4), shape)
    for position, name in enumerate(names):
        for error, bad in spoiled(good[position], alone=position == 0, axes=(0,) if position else ()):
            with pytest.raises(error, match=expected(name, r"shape \(C=3\)" if position else r"shape \(N, C\b.*\)")):
                function(*good[:position], bad, *good[position + 1:])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5, 2)], ids=str)
def test_backward_door(shape):
    rng = np.random.default_rng(5)
    _, cache, *_ = batchnorm_forward(*arguments(rng, shape))
    for error, bad in spoiled(sample(rng, shape), axes=range(len(shape))):
        with pytest.raises(error, match=expected("da", "shape .* like x")):
            batchnorm_backward(bad, cache)
