"""Powers of two, nearest and drawn, and the products whose weight gradient is made of shifts."""

from fractions import Fraction

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.ops import few_mult, powers
from tests.ops import naive
from tests.ops import naive_few_mult as naive_fm
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled, uniform
from tests.ops.naive_few_mult import thirds, wide

SHAPES = ((), (1,), (13,), (5, 3), (2, 3, 5, 1))
LIMITS = ((), (-4, 3), (-2, None), (None, 0), (1, 1))
SIZES = ((1, 1, 1), (5, 3, 2), (3, 13, 1), (2, 4, 6))                  # N D M
GEOMETRIES = (                            # N C H W, M KH KW, stride, pad, pad value
    ((2, 3, 5, 4), (2, 3, 2), 1, 0, 0.0),
    ((1, 2, 4, 6), (3, 2, 3), 2, 1, -1.0),
    ((2, 1, 7, 5), (1, 3, 3), 3, 2, 0.75),
)
DENSE = {
    "binary": (few_mult.binary_few_mult_dense_forward, few_mult.binary_few_mult_dense_backward,
               few_mult.binary_few_mult_dense_surrogate, naive.stochastic_sign),
    "ternary": (few_mult.ternary_few_mult_dense_forward, few_mult.ternary_few_mult_dense_backward,
                few_mult.ternary_few_mult_dense_surrogate, naive_fm.stochastic_ternary),
}
CONV = {
    "binary": (few_mult.binary_few_mult_conv_forward, few_mult.binary_few_mult_conv_backward,
               few_mult.binary_few_mult_conv_surrogate, naive.stochastic_sign),
    "ternary": (few_mult.ternary_few_mult_conv_forward, few_mult.ternary_few_mult_conv_backward,
                few_mult.ternary_few_mult_conv_surrogate, naive_fm.stochastic_ternary),
}


# the nearest power of two


@pytest.mark.parametrize("dtype", DTYPES)
def test_ap2_by_hand(dtype):
    x = read_only(np.array([3, 5, 6, -0.3, 0, -0.0, 1, -1, 2, -0.5, 1.4, 1.42, -2.8, -2.9, 0.7, 0.71], dtype))
    comp_out = powers.ap2(x)
    assert comp_out.dtype == dtype
    np.testing.assert_array_equal(comp_out, [4, 4, 8, -0.25, 0, 0, 1, -1, 2, -0.5, 1, 2, -2, -4, 0.5, 1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (0,), (3, 0)], ids=str)
def test_ap2_agrees_with_the_loop(shape, dtype, layout):
    rng = np.random.default_rng(0)
    for x in (wide(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)):
        comp_out = powers.ap2(x)
        assert comp_out.dtype == dtype and comp_out.shape == shape
        np.testing.assert_array_equal(comp_out, naive_fm.ap2(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ap2_turns_between_the_two_floats_around_every_half_point(dtype):
    """√½ 2^k lies strictly between two neighbours; exact fractions say which, and the lower one goes down."""
    near = dtype(np.sqrt(0.5))
    lower = near if Fraction(float(near)) ** 2 < Fraction(1, 2) else np.nextafter(near, dtype(0))
    upper = np.nextafter(lower, dtype(1))
    assert Fraction(float(lower)) ** 2 < Fraction(1, 2) < Fraction(float(upper)) ** 2
    k = np.arange(np.finfo(dtype).minexp + 2, np.finfo(dtype).maxexp)
    for sign in (dtype(1), dtype(-1)):
        np.testing.assert_array_equal(powers.ap2(np.ldexp(sign * lower, k)), np.ldexp(sign, k - 1))
        np.testing.assert_array_equal(powers.ap2(np.ldexp(sign * upper, k)), np.ldexp(sign, k))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ap2_at_the_ends_of_the_dtype(dtype):
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    x = np.array([tiny, -tiny, 3 * tiny, 5 * tiny, -6 * tiny, info.tiny, np.inf, -np.inf, np.nan], dtype)
    ref = np.array([tiny, -tiny, 4 * tiny, 4 * tiny, -8 * tiny, info.tiny, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(powers.ap2(x), ref)
    largest = np.ldexp(dtype(1), info.maxexp - 1)
    np.testing.assert_array_equal(powers.ap2(np.array([1.25, -1.25], dtype) * largest), [largest, -largest])
    with pytest.warns(RuntimeWarning, match="overflow"):
        np.testing.assert_array_equal(powers.ap2(np.array([info.max, -info.max], dtype)), [np.inf, -np.inf])


# one of the two neighbours, drawn


@pytest.mark.parametrize("dtype", DTYPES)
def test_drawn_powers_by_hand(dtype):
    below = np.nextafter(dtype(0.5), dtype(0))
    last = np.nextafter(dtype(1), dtype(0))
    for x, r, ref in ((3, 0.5, 2), (3, below, 4), (-3, 0.5, -2), (-3, below, -4),       # halfway: p = 1/2
                      (5, 0.24, 8), (5, 0.25, 4), (-0.375, 0.25, -0.5), (-0.375, 0.75, -0.25),
                      (1, 0, 1), (-2, 0, -2), (0.25, 0, 0.25),                          # a power of two stays
                      (0, 0, 0), (0, 0.9, 0), (last, 0, 1), (last, last, 0.5)):
        comp_out = powers.stochastic_power_of_two(np.array([x], dtype), np.array([r], dtype))
        assert comp_out.dtype == dtype
        assert comp_out.item() == ref, (x, r)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("shape", [*SHAPES, (0,)], ids=str)
def test_drawn_powers_agree_with_the_loop(shape, limits, dtype, layout):
    rng = np.random.default_rng(1)
    r = uniform(rng, shape, dtype, layout)
    for x in (wide(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)):
        comp_out = powers.stochastic_power_of_two(x, r, *limits)
        assert comp_out.dtype == dtype and comp_out.shape == shape
        np.testing.assert_array_equal(comp_out, naive_fm.stochastic_power_of_two(x, r, *limits))
        np.testing.assert_array_equal(powers.stochastic_power_of_two(np.asarray(-x), r, *limits), -comp_out)


def grid(x, dtype):
    """Each x at every r of a grid of 64: exact for p in 64ths."""
    r = (np.arange(64) / 64).astype(dtype)[:, None]
    return np.broadcast_to(x.astype(dtype), (64, len(x))), np.broadcast_to(r, (64, len(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_of_drawn_powers_is_the_number_itself(dtype):
    """Exactly, over every r of a grid of 64, for |x| = (1 + j/64) 2^i and 0."""
    size = np.ldexp(1 + np.arange(64) / 64, np.arange(-8, 8)[:, None]).reshape(-1)
    x = np.concatenate([size, -size, [0]])
    np.testing.assert_array_equal(powers.stochastic_power_of_two(*grid(x, dtype)).mean(axis=0), x)
    inside = (np.abs(x) >= 2.0**-4) & (np.abs(x) < 2.0**4)                      # and with limits, within them
    comp_mean = powers.stochastic_power_of_two(*grid(x[inside], dtype), -4, 3).mean(axis=0)
    np.testing.assert_array_equal(comp_mean, x[inside])


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_of_drawn_powers_over_random_draws(dtype):
    """A million draws of many sizes at once; a right program fails once in 1,000,000 runs over all seeds."""
    rng = np.random.default_rng(2)
    x = np.ldexp(rng.standard_normal(1_000_000), rng.integers(-3, 4, 1_000_000)).astype(dtype)
    error = powers.stochastic_power_of_two(x, rng.random(x.shape, dtype=dtype)).astype(float) - x
    low = np.exp2(np.floor(np.log2(np.abs(x.astype(float)))))                   # variance p (1 - p) 4^i
    variance = (np.abs(x) - low) * (2 * low - np.abs(x))
    for kept in (x > 0, x < 0):
        assert abs(error[kept].sum()) < 5.03 * np.sqrt(variance[kept].sum())    # two-sided, 5e-7 each
    # rounding that is no draw at all would pass the sum if its errors cancelled: the spread must be right too
    np.testing.assert_allclose(np.square(error).sum(), variance.sum(), rtol=0.04)


@pytest.mark.parametrize("dtype", DTYPES)
def test_limits_pull_everything_outside_to_the_ends(dtype):
    """Below the lower one everything becomes 2^low, above the upper one 2^(high+1), whatever the draw: biased."""
    x = np.array([1e-6, 0.03, 0.0624, 0.0625, 0, -0.0, 16, 17, 31, 1e6, -1e-6, -0.03, -17, -1e6])
    ref = np.array([0.0625, 0.0625, 0.0625, 0.0625, 0, 0, 16, 16, 16, 16, -0.0625, -0.0625, -16, -16])
    comp_out = powers.stochastic_power_of_two(*grid(x, dtype), -4, 3)
    np.testing.assert_array_equal(comp_out, np.broadcast_to(ref, comp_out.shape))
    inside = np.array([15.75, 8, 0.125, -12])
    comp_out = powers.stochastic_power_of_two(*grid(inside, dtype), -4, 3)
    assert {tuple(np.unique(column)) for column in comp_out.T} == {(8, 16), (8,), (0.125,), (-16, -8)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_drawn_powers_at_the_ends_of_the_dtype(dtype):
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    x = np.array([tiny, 3 * tiny, 3 * tiny, -7 * tiny, info.tiny, np.inf, -np.inf, np.nan], dtype)
    r = np.array([0, 0.49, 0.5, 0.74, 0, 0.5, 0.5, 0.5], dtype)
    ref = np.array([tiny, 4 * tiny, 2 * tiny, -8 * tiny, info.tiny, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(powers.stochastic_power_of_two(x, r), ref)
    np.testing.assert_array_equal(powers.stochastic_power_of_two(x[-3:], r[-3:], -4, 3), ref[-3:])
    last = np.nextafter(dtype(1), dtype(0))
    comp_out = powers.stochastic_power_of_two(np.array([info.max], dtype), np.array([last]))
    assert comp_out.item() == np.ldexp(dtype(1), info.maxexp - 1)
    with pytest.warns(RuntimeWarning, match="overflow"):
        comp_out = powers.stochastic_power_of_two(np.array([-info.max], dtype), np.array([0], dtype))
    assert comp_out.item() == -np.inf


# the histogram


@pytest.mark.parametrize("dtype", DTYPES)
def test_histogram_by_hand(dtype):
    below = np.nextafter(dtype(1), dtype(0))
    x = read_only(np.array([[1, 1.5, -1.99, below, 0.5], [0, -0.0, 8, -15, 0.26]], dtype))
    exponents, counts, zeros = powers.exponent_histogram(x)
    assert exponents.tolist() == [-2, -1, 0, 1, 2, 3]
    assert counts.tolist() == [1, 2, 3, 0, 0, 2]
    assert zeros == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_histogram_agrees_with_the_loop(dtype):
    rng = np.random.default_rng(3)
    x = wide(rng, (3, 5, 7), dtype)
    exponents, counts, zeros = powers.exponent_histogram(x)
    found = [naive_fm.floor_log2(float(number)) for number in x.flat if number != 0]
    assert exponents.tolist() == list(range(min(found), max(found) + 1))
    assert counts.tolist() == [found.count(exponent) for exponent in exponents]
    assert counts.sum() + zeros == x.size and zeros == 1


def test_histogram_of_nothing_but_zeros():
    for size in (0, 4):
        exponents, counts, zeros = powers.exponent_histogram(np.zeros(size))
        assert exponents.dtype.kind == counts.dtype.kind == "i"
        assert (exponents.tolist(), counts.tolist(), zeros) == ([], [], size)


# products


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limits", [(), (-4, 3), (0, 0)], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", DENSE)
def test_dense_products_agree_with_the_loops(kind, sizes, limits, dtype, layout):
    n, d, m = sizes
    rng = np.random.default_rng(4)
    forward, backward, _, ref_weights = DENSE[kind]
    x, r = sample(rng, (n, d), dtype, layout), uniform(rng, (n, d), dtype, layout)
    w, u = thirds(rng, (d, m), dtype, layout), uniform(rng, (d, m), dtype, layout)
    ds = sample(rng, (n, m), dtype, layout)
    ref_w_q = ref_weights(w, u)
    comp_s, cache = forward(x, w, u, r, *limits)
    assert_agree(comp_s, naive.dense(x, ref_w_q), dtype)
    refs = naive_fm.few_mult_dense_backward(ds, x, ref_w_q, r, *limits)
    for _ in range(2):                                       # a cache serves more than once
        for comp, ref in zip(backward(ds, cache), refs, strict=True):
            assert_agree(comp, ref, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limits", [(), (-4, 3)], ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("kind", CONV)
def test_convolutions_agree_with_the_loops(kind, geometry, limits, dtype, layout):
    shape, (m, *kernel), *settings = geometry
    rng = np.random.default_rng(5)
    forward, backward, _, ref_weights = CONV[kind]
    x, w = sample(rng, shape, dtype, layout), thirds(rng, (m, shape[1], *kernel), dtype, layout)
    r, u = uniform(rng, x.shape, dtype, layout), uniform(rng, w.shape, dtype, layout)
    ref_w_q = ref_weights(w, u)
    comp_s, cache = forward(x, w, u, r, *settings, *limits)
    assert_agree(comp_s, naive.conv(x, ref_w_q, *settings), dtype)
    ds = sample(rng, comp_s.shape, dtype, layout)
    refs = naive_fm.few_mult_conv_backward(ds, x, ref_w_q, r, *settings, *limits)
    for comp, ref in zip(backward(ds, cache), refs, strict=True):
        assert_agree(comp, ref, dtype)


@pytest.mark.parametrize("kind", DENSE)
def test_mean_of_the_weight_gradient_is_the_unrounded_one(kind):
    """Exactly, over a grid of 16 values of r: the inputs are k/16 times a power of two, the errors integers."""
    rng = np.random.default_rng(6)
    x = np.ldexp(1 + rng.integers(0, 16, (4, 5)) / 16, rng.integers(-4, 4, (4, 5))) * rng.choice([-1.0, 1.0], (4, 5))
    w, u = thirds(rng, (5, 3)), uniform(rng, (5, 3))
    ds = rng.integers(-8, 9, (4, 3)) * 1.0
    forward, backward, *_ = DENSE[kind]
    comp_dw = [backward(ds, forward(x, w, u, np.full(x.shape, k / 16))[1])[1] for k in range(16)]
    np.testing.assert_array_equal(np.mean(comp_dw, axis=0), naive.dense_backward(ds, x, w)[1])
    assert any(not np.array_equal(dw, naive.dense_backward(ds, x, w)[1]) for dw in comp_dw)


@pytest.mark.parametrize("kind", DENSE)
def test_a_unit_at_rest_adds_nothing_to_the_weight_gradient(kind):
    """With limits too: a rounding that sends 0 to -1/16 would move every weight behind a rectified unit."""
    x = np.array([[0.0, 3.0]])
    forward, backward, *_ = DENSE[kind]
    _, cache = forward(x, np.ones((2, 1)), np.zeros((2, 1)), np.full((1, 2), 0.75), -4, 3)
    dx, dw = backward(np.array([[5.0]]), cache)
    np.testing.assert_array_equal(dw, [[0], [10]])
    np.testing.assert_array_equal(dx, [[5, 5]])


@pytest.mark.parametrize("limits", [(), (-2, -1)], ids=str)
@pytest.mark.parametrize("kind", DENSE)
def test_backwards_are_the_derivatives_of_the_surrogates(kind, limits):
    rng = np.random.default_rng(7)
    forward, backward, surrogate, _ = DENSE[kind]
    args = sample(rng, (4, 5)), thirds(rng, (5, 3)), uniform(rng, (5, 3)), uniform(rng, (4, 5))
    assert check_op(forward, backward, *args, *limits, surrogate=surrogate).checked == 20 + 15
    forward, backward, surrogate, _ = CONV[kind]
    x, w = sample(rng, (2, 2, 5, 4)), thirds(rng, (3, 2, 3, 2))
    args = x, w, uniform(rng, w.shape), uniform(rng, x.shape)
    assert check_op(forward, backward, *args, 2, 1, 1.0, *limits, surrogate=surrogate).checked == x.size + w.size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limits", [(), (-2, -1)], ids=str)
@pytest.mark.parametrize("kind", DENSE)
def test_surrogates_keep_the_draws_of_their_point(kind, limits, dtype):
    """Away from the point: the drawn weights times x, and the rounded x0 times the way that w has gone."""
    rng = np.random.default_rng(8)
    x0, x, r = sample(rng, (4, 5), dtype), sample(rng, (4, 5), dtype), uniform(rng, (4, 5), dtype)
    w0, w, u = thirds(rng, (5, 3), dtype), sample(rng, (5, 3), dtype), uniform(rng, (5, 3), dtype)
    _, _, surrogate, ref_weights = DENSE[kind]
    comp_s, _ = surrogate(x0, w0, u, r, *limits)(x, w, u, r, *limits)
    ref_x_q = naive_fm.stochastic_power_of_two(x0, r, *limits)
    assert_agree(comp_s, naive.dense(x, ref_weights(w0, u)) + naive.dense(ref_x_q, w.astype(float) - w0), dtype)

    settings = 2, 1, 1.0
    x0, x = sample(rng, (2, 2, 5, 4), dtype), sample(rng, (2, 2, 5, 4), dtype)
    w0, w = thirds(rng, (3, 2, 3, 2), dtype), sample(rng, (3, 2, 3, 2), dtype)
    u, r = uniform(rng, w0.shape, dtype), uniform(rng, x0.shape, dtype)
    _, _, surrogate, ref_weights = CONV[kind]
    comp_s, _ = surrogate(x0, w0, u, r, *settings, *limits)(x, w, u, r, *settings, *limits)
    ref_x_q = naive_fm.stochastic_power_of_two(x0, r, *limits)
    assert_agree(comp_s, naive.conv(x, ref_weights(w0, u), *settings)
                 + naive.conv(ref_x_q, w.astype(float) - w0, *settings), dtype)


# doors


def test_power_doors():
    rng = np.random.default_rng(9)
    x, r = sample(rng, (4, 3)), uniform(rng, (4, 3))
    for error, bad in spoiled(x, alone=True):
        for call in (powers.ap2, powers.exponent_histogram, lambda bad: powers.stochastic_power_of_two(bad, r)):
            with pytest.raises(error, match=expected("x")):
                call(bad)
    for error, bad in spoiled(r, axes=(0, 1)):
        with pytest.raises(error, match=expected("r", "shape .* like x")):
            powers.stochastic_power_of_two(x, bad)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"^x: expected finite numbers, got nan or inf$"):
            powers.exponent_histogram(np.array([1.0, bad]))


def test_limit_doors():
    x, w, maps, kernel = np.ones((2, 3)), np.ones((3, 1)), np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    for call in (lambda *limits: powers.stochastic_power_of_two(x, x, *limits),
                 lambda *limits: few_mult.binary_few_mult_dense_forward(x, w, w, x, *limits),
                 lambda *limits: few_mult.ternary_few_mult_conv_forward(maps, kernel, kernel, maps, 1, 0, 0., *limits)):
        with pytest.raises(ValueError, match=r"^low, high: expected low <= high, got 3 and 2$"):
            call(3, 2)
        with pytest.raises(TypeError, match=r"^low: expected an integer or None, got float$"):
            call(-4.0, 3)
        with pytest.raises(TypeError, match=r"^high: expected an integer or None, got str$"):
            call(-4, "3")
        call(np.int64(-4), np.int8(-4))


@pytest.mark.parametrize("kind", DENSE)
def test_dense_doors(kind):
    rng = np.random.default_rng(10)
    forward, backward, *_ = DENSE[kind]
    good = {"x": sample(rng, (4, 3)), "w": thirds(rng, (3, 5)), "u": uniform(rng, (3, 5)), "r": uniform(rng, (4, 3))}
    for name, axes, shape in (("x", (), "N, D"), ("w", (0,), "D=3, M"), ("u", (0, 1), "D=3, M=5"),
                              ("r", (0, 1), "N=4, D=3")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes):
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values())
    _, cache = forward(*good.values())
    for error, bad in spoiled(sample(rng, (4, 5)), axes=(0, 1)):
        with pytest.raises(error, match=expected("ds", r"shape \(N=4, M=5\)")):
            backward(bad, cache)


@pytest.mark.parametrize("kind", CONV)
def test_convolution_doors(kind):
    rng = np.random.default_rng(11)
    forward, backward, *_ = CONV[kind]
    good = {"x": sample(rng, (2, 3, 5, 4)), "w": thirds(rng, (4, 3, 3, 2)), "u": uniform(rng, (4, 3, 3, 2)),
            "r": uniform(rng, (2, 3, 5, 4))}
    for name, axes, shape in (("x", (), "N, C, H, W"), ("w", (1,), "M, C=3, KH, KW"),
                              ("u", range(4), "M=4, C=3, KH=3, KW=2"), ("r", range(4), "N=2, C=3, H=5, W=4")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes):
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values(), 1, 0, 0.0)
    _, cache = forward(*good.values(), 1, 0, 0.0)
    for error, bad in spoiled(sample(rng, (2, 4, 3, 3)), axes=range(4)):
        with pytest.raises(error, match=expected("ds", r"shape \((N=2, M, OH, OW|2, 4, 3, 3)\)")):
            backward(bad, cache)
