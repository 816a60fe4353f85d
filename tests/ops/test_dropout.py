"""Dropout: the mask is an argument, so everything here is exact."""

import numpy as np
import pytest

from bnn_ref.ops.dropout import draw_keep, dropout_backward, dropout_forward
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(), (1, 1), (1, 7), (5, 3), (2, 3, 4, 1)], ids=str)
def test_agrees_with_the_loop(shape, p, dtype, layout):
    rng = np.random.default_rng(0)
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    keep = read_only(np.asarray(rng.random(shape) >= p).astype(dtype))
    comp_out, cache = dropout_forward(x, keep, p)
    assert_agree(comp_out, naive.dropout(x, keep, p), dtype)
    assert_agree(dropout_backward(dout, cache), naive.dropout(dout, keep, p), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_draw_keep_draws_like_x_with_probability_one_minus_p(dtype):
    x = np.zeros((100, 400), dtype)
    comp_keep = draw_keep(np.random.default_rng(1), x, 0.2)
    assert comp_keep.shape == x.shape and comp_keep.dtype == dtype
    assert set(np.unique(comp_keep)) == {0, 1}
    assert abs(comp_keep.mean() - 0.8) < 0.01                   # five standard deviations of 40,000 draws
    np.testing.assert_array_equal(comp_keep, np.random.default_rng(1).random(x.shape, dtype) >= 0.2)
    assert (comp_keep != draw_keep(np.random.default_rng(2), x, 0.2)).any()


def test_draw_keep_drops_below_p_alone():
    class Generator(np.random.Generator):
        def random(self, shape, dtype):
            return np.array([0, np.nextafter(0.5, 0), 0.5, 0.75], dtype)

    rng = Generator(np.random.PCG64())
    assert draw_keep(rng, np.zeros(4), 0.5).tolist() == [0, 0, 1, 1]
    assert draw_keep(rng, np.zeros(4), 0).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
def test_p_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=rf"^p: expected a probability 0 <= p < 1, got {p}$"):
        dropout_forward(np.zeros(3), np.ones(3), p)


def test_doors():
    rng = np.random.default_rng(3)
    x, keep = sample(rng, (4, 3)), np.ones((4, 3))
    for error, bad in spoiled(x, alone=True):
        with pytest.raises(error, match=expected("x")):
            dropout_forward(bad, keep, 0.5)
    for error, bad in spoiled(keep, axes=(0, 1)):
        with pytest.raises(error, match=expected("keep", "shape .* like x")):
            dropout_forward(x, bad, 0.5)
    _, cache = dropout_forward(x, keep, 0.5)
    for error, bad in spoiled(x, axes=(0, 1)):
        with pytest.raises(error, match=expected("dout", "shape .* like x")):
            dropout_backward(bad, cache)
