"""Binarizers and the rectifier, with exact kinks in every array."""

import numpy as np
import pytest

from bnn_ref.ops import binarize, relu
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, sample, spoiled, uniform

pytestmark = pytest.mark.task_straight_through

UNARY = {
    "sign": (binarize.sign_forward, binarize.sign_backward, naive.sign, naive.straight_through),
    "hard_tanh": (binarize.hard_tanh_forward, binarize.hard_tanh_backward, naive.hard_tanh, naive.straight_through),
    "hard_sigmoid": (binarize.hard_sigmoid_forward, binarize.hard_sigmoid_backward, naive.hard_sigmoid,
                     naive.hard_sigmoid_backward),
    "relu": (relu.relu_forward, relu.relu_backward, naive.relu, naive.relu_backward),
}
SHAPES = ((), (1,), (13,), (1, 7), (5, 3), (2, 3, 5, 1))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_unary_operations_agree_with_the_loop(name, shape, dtype, layout):
    rng = np.random.default_rng(0)
    forward, backward, ref_forward, ref_backward = UNARY[name]
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    comp_out, cache = forward(x)
    assert_agree(comp_out, ref_forward(x), dtype)
    assert_agree(backward(dout, cache), ref_backward(dout, x), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kinks(dtype):
    x = naive.kinks(dtype)        # 0, -0, 1, -1, beyond 1, beyond -1, within 1, within -1, 2.5, -2.5
    dout = np.full_like(x, 3)
    np.testing.assert_array_equal(binarize.sign(x), [1, 1, 1, -1, 1, -1, 1, -1, 1, -1])
    for forward, backward, slope in ((binarize.sign_forward, binarize.sign_backward, 3),
                                     (binarize.hard_tanh_forward, binarize.hard_tanh_backward, 3),
                                     (binarize.hard_sigmoid_forward, binarize.hard_sigmoid_backward, 1.5)):
        inside = np.array([1, 1, 1, 1, 0, 0, 1, 1, 0, 0])
        np.testing.assert_array_equal(backward(dout, forward(x)[1]), slope * inside)
    np.testing.assert_array_equal(relu.relu_backward(dout, relu.relu_forward(x)[1]), [0, 0, 3, 0, 3, 0, 3, 0, 3, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stochastic_sign_agrees_with_the_loop(shape, dtype, layout):
    rng = np.random.default_rng(1)
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    u = uniform(rng, shape, dtype, layout)
    comp_out, cache = binarize.stochastic_sign_forward(x, u)
    assert_agree(comp_out, naive.stochastic_sign(x, u), dtype)
    assert_agree(binarize.stochastic_sign_backward(dout, cache), naive.straight_through(dout, x), dtype)


def test_stochastic_sign_at_the_threshold_and_beyond_the_corners():
    x = np.array([0.5, 0.5, -1.0, -1.5, 1.0, 1.5, 0.0, 0.0])
    u = np.array([0.75, np.nextafter(0.75, 0), 0.0, 0.0, np.nextafter(1, 0), 0.99, 0.5, 0.49])
    np.testing.assert_array_equal(binarize.stochastic_sign(x, u), [-1, 1, -1, -1, 1, 1, -1, 1])


def test_mean_of_stochastic_sign_is_hard_tanh():
    x = np.linspace(-1.5, 1.5, 13)
    u = (np.arange(4096) + 0.5)[:, None] / 4096
    comp_mean = binarize.stochastic_sign(x, u).mean(axis=0)
    np.testing.assert_allclose(comp_mean, naive.hard_tanh(x), atol=1 / 2048)


@pytest.mark.parametrize("dtype", DTYPES)
def test_surrogates_have_the_value_at_the_point_and_the_slope_of_hard_tanh_around_it(dtype):
    rng = np.random.default_rng(2)
    x0, x, u = sample(rng, (5, 7), dtype), sample(rng, (5, 7), dtype), uniform(rng, (5, 7), dtype)
    slope = naive.hard_tanh(x) - naive.hard_tanh(x0)
    assert_agree(binarize.sign_surrogate(x0)(x)[0], naive.sign(x0) + slope, dtype)
    assert_agree(binarize.stochastic_sign_surrogate(x0, u)(x, u)[0], naive.stochastic_sign(x0, u) + slope, dtype)
    np.testing.assert_allclose(binarize.sign_surrogate(x0)(x0)[0], naive.sign(x0), rtol=1e-6)


@pytest.mark.parametrize("name", [*UNARY, "stochastic_sign"])
def test_doors(name):
    rng = np.random.default_rng(3)
    x, u, dout = sample(rng, (4, 3)), uniform(rng, (4, 3)), sample(rng, (4, 3))
    if name == "stochastic_sign":
        forward, backward, noise = binarize.stochastic_sign_forward, binarize.stochastic_sign_backward, (u,)
    else:
        (forward, backward, *_), noise = UNARY[name], ()
    _, cache = forward(x, *noise)
    upstream = "da" if name == "relu" else "dout"
    for error, bad in spoiled(x, alone=True):
        with pytest.raises(error, match=expected("x")):
            forward(bad, *noise)
    for error, bad in spoiled(u, axes=(0, 1)) if noise else ():
        with pytest.raises(error, match=expected("u", "shape .* like x")):
            forward(x, bad)
    for error, bad in spoiled(dout, axes=(0, 1)):
        with pytest.raises(error, match=expected(upstream, "shape .* like x")):
            backward(bad, cache)
