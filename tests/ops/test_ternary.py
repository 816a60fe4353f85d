"""Ternary weights, drawn and rounded, and the products with them."""

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.ops import ternary
from tests.ops import naive
from tests.ops import naive_few_mult as naive_fm
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, sample, spoiled, uniform
from tests.ops.naive_few_mult import thirds

SHAPES = ((), (1,), (13,), (5, 3), (2, 3, 5, 1))
SIZES = ((1, 1, 1), (5, 3, 2), (3, 13, 1), (2, 4, 6))                  # N D M
GEOMETRIES = (                            # N C H W, M KH KW, stride, pad, pad value
    ((2, 3, 5, 4), (2, 3, 2), 1, 0, 0.0),
    ((1, 2, 4, 6), (3, 2, 3), 2, 1, -1.0),
    ((2, 1, 7, 5), (1, 3, 3), 3, 2, 1.0),
)
DENSE = {"ternary": (ternary.ternary_dense_forward, ternary.ternary_dense_backward, ternary.ternary_dense_surrogate),
         "stochastic": (ternary.stochastic_ternary_dense_forward, ternary.stochastic_ternary_dense_backward,
                        ternary.stochastic_ternary_dense_surrogate)}
CONV = {"ternary": (ternary.ternary_conv_forward, ternary.ternary_conv_backward, ternary.ternary_conv_surrogate),
        "stochastic": (ternary.stochastic_ternary_conv_forward, ternary.stochastic_ternary_conv_backward,
                       ternary.stochastic_ternary_conv_surrogate)}


def noise_and_weights(kind, w, u):
    """The arguments after the weights, and the ternary weights that the loops find."""
    return ((), naive_fm.ternary(w)) if kind == "ternary" else ((u,), naive_fm.stochastic_ternary(w, u))


# the weights


@pytest.mark.parametrize("dtype", DTYPES)
def test_boundaries_of_the_deterministic_weights(dtype):
    half, one = dtype(0.5), dtype(1)
    w = np.array([half, np.nextafter(half, one), -half, np.nextafter(-half, one), np.nextafter(-half, -one),
                  0, -0.0, 1, -1, 7, -7], dtype)
    comp_w_t = ternary.ternary(w)
    assert comp_w_t.dtype == dtype
    np.testing.assert_array_equal(comp_w_t, [0, 1, -1, 0, -1, 0, 0, 1, -1, 1, -1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_thresholds_of_the_drawn_weights(dtype):
    below = np.nextafter(dtype(0.25), dtype(0))
    last = np.nextafter(dtype(1), dtype(0))
    w = np.array([0.25, 0.25, -0.25, -0.25, 0, 1, -1, 1.5, -1.5, 0.25, -0.25], dtype)
    u = np.array([0.25, below, 0.25, below, 0, last, last, last, last, 0.9, 0.9], dtype)
    comp_w_t = ternary.stochastic_ternary(w, u)
    assert comp_w_t.dtype == dtype
    np.testing.assert_array_equal(comp_w_t, [0, 1, 0, -1, 0, 1, -1, 1, -1, 0, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weights_agree_with_the_loops(shape, dtype, layout):
    rng = np.random.default_rng(0)
    w, u = thirds(rng, shape, dtype, layout), uniform(rng, shape, dtype, layout)
    assert_agree(ternary.ternary(w), naive_fm.ternary(w), dtype)
    assert_agree(ternary.stochastic_ternary(w, u), naive_fm.stochastic_ternary(w, u), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_of_the_drawn_weights_is_the_real_weight(dtype):
    """Over every u of a grid of 64, for weights on the grid: the mean is exact, and clipped to ±1."""
    w = (np.arange(-80, 81) / 64).astype(dtype)
    u = np.broadcast_to((np.arange(64) / 64).astype(dtype)[:, None], (64, 161))
    comp_w_t = ternary.stochastic_ternary(np.broadcast_to(w, u.shape), u)
    np.testing.assert_array_equal(comp_w_t.mean(axis=0), np.clip(w, -1, 1))
    assert not ((comp_w_t > 0) & (w <= 0)).any() and not ((comp_w_t < 0) & (w >= 0)).any()


def test_drawn_weights_have_the_stated_probabilities():
    """Frequencies of +1, 0 and -1 in 100,000 draws; a right program fails once in 1,000,000 runs over all seeds."""
    rng = np.random.default_rng(1)
    draws = 100_000
    for w, chances in ((0.3, (0.3, 0.7, 0)), (-0.85, (0, 0.15, 0.85)), (0.0, (0, 1, 0)), (1.0, (1, 0, 0))):
        comp_w_t = ternary.stochastic_ternary(np.full(draws, w), rng.random(draws))
        for value, chance in zip((1, 0, -1), chances):
            bound = 5.2 * np.sqrt(draws * chance * (1 - chance))       # 4 frequencies are random: 4 · 2e-7 in all
            assert abs(np.sum(comp_w_t == value) - draws * chance) <= bound


# products


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", DENSE)
def test_dense_products_agree_with_the_loops(kind, sizes, dtype, layout):
    n, d, m = sizes
    rng = np.random.default_rng(2)
    forward, backward, _ = DENSE[kind]
    x, ds = sample(rng, (n, d), dtype, layout), sample(rng, (n, m), dtype, layout)
    w, u = thirds(rng, (d, m), dtype, layout), uniform(rng, (d, m), dtype, layout)
    noise, ref_w_t = noise_and_weights(kind, w, u)
    comp_s, cache = forward(x, w, *noise)
    assert_agree(comp_s, naive.dense(x, ref_w_t), dtype)
    for comp, ref in zip(backward(ds, cache), naive.dense_backward(ds, x, ref_w_t), strict=True):
        assert_agree(comp, ref, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("kind", CONV)
def test_convolutions_agree_with_the_loops(kind, geometry, dtype, layout):
    shape, (m, *kernel), *settings = geometry
    rng = np.random.default_rng(3)
    forward, backward, _ = CONV[kind]
    x, w = sample(rng, shape, dtype, layout), thirds(rng, (m, shape[1], *kernel), dtype, layout)
    noise, ref_w_t = noise_and_weights(kind, w, uniform(rng, w.shape, dtype, layout))
    comp_s, cache = forward(x, w, *noise, *settings)
    assert_agree(comp_s, naive.conv(x, ref_w_t, *settings), dtype)
    ds = sample(rng, comp_s.shape, dtype, layout)
    for comp, ref in zip(backward(ds, cache), naive.conv_backward(ds, x, ref_w_t, *settings), strict=True):
        assert_agree(comp, ref, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", DENSE)
def test_surrogates_have_slope_one_around_the_ternary_weights(kind, dtype):
    rng = np.random.default_rng(4)
    x0, x = sample(rng, (4, 5), dtype), sample(rng, (4, 5), dtype)
    w0, w, u = thirds(rng, (5, 3), dtype), sample(rng, (5, 3), dtype), uniform(rng, (5, 3), dtype)
    noise, ref_w_t = noise_and_weights(kind, w0, u)
    comp_s, _ = DENSE[kind][2](x0, w0, *noise)(x, w, *noise)
    assert_agree(comp_s, naive.dense(x, ref_w_t + (w.astype(float) - w0)), dtype)

    settings = 2, 1, -1.0
    x0, x = sample(rng, (2, 2, 5, 4), dtype), sample(rng, (2, 2, 5, 4), dtype)
    w0, w = thirds(rng, (3, 2, 3, 2), dtype), sample(rng, (3, 2, 3, 2), dtype)
    noise, ref_w_t = noise_and_weights(kind, w0, uniform(rng, w0.shape, dtype))
    comp_s, _ = CONV[kind][2](x0, w0, *noise, *settings)(x, w, *noise, *settings)
    assert_agree(comp_s, naive.conv(x, ref_w_t + (w.astype(float) - w0), *settings), dtype)


@pytest.mark.parametrize("kind", DENSE)
def test_backwards_are_the_derivatives_of_the_surrogates(kind):
    rng = np.random.default_rng(5)
    w, u = thirds(rng, (5, 3)), uniform(rng, (5, 3))
    noise, _ = noise_and_weights(kind, w, u)
    forward, backward, surrogate = DENSE[kind]
    assert check_op(forward, backward, sample(rng, (4, 5)), w, *noise, surrogate=surrogate).checked == 20 + 15
    w = thirds(rng, (3, 2, 3, 2))
    noise, _ = noise_and_weights(kind, w, uniform(rng, w.shape))
    forward, backward, surrogate = CONV[kind]
    check_op(forward, backward, sample(rng, (2, 2, 5, 4)), w, *noise, 2, 1, 1.0, surrogate=surrogate)


# doors


@pytest.mark.parametrize("kind", DENSE)
def test_dense_doors(kind):
    rng = np.random.default_rng(6)
    forward, backward, _ = DENSE[kind]
    good = {"x": sample(rng, (4, 3)), "w": thirds(rng, (3, 5))}
    good |= {"u": uniform(rng, (3, 5))} if kind == "stochastic" else {}
    for name, axes, shape in (("x", (), "N, D"), ("w", (0,), "D=3, M"), ("u", (0, 1), "D=3, M=5")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes) if name in good else ():
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values())
    _, cache = forward(*good.values())
    for error, bad in spoiled(sample(rng, (4, 5)), axes=(0, 1)):
        with pytest.raises(error, match=expected("ds", r"shape \(N=4, M=5\)")):
            backward(bad, cache)


@pytest.mark.parametrize("kind", CONV)
def test_convolution_doors(kind):
    rng = np.random.default_rng(7)
    forward, backward, _ = CONV[kind]
    good = {"x": sample(rng, (2, 3, 5, 4)), "w": thirds(rng, (4, 3, 3, 2))}
    good |= {"u": uniform(rng, (4, 3, 3, 2))} if kind == "stochastic" else {}
    for name, axes, shape in (("x", (), "N, C, H, W"), ("w", (1,), "M, C=3, KH, KW"),
                              ("u", range(4), "M=4, C=3, KH=3, KW=2")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes) if name in good else ():
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values(), 1, 0, 0.0)
    _, cache = forward(*good.values(), 1, 0, 0.0)
    for error, bad in spoiled(sample(rng, (2, 4, 3, 3)), axes=range(4)):
        with pytest.raises(error, match=expected("ds", r"shape \((N=2, M, OH, OW|2, 4, 3, 3)\)")):
            backward(bad, cache)
