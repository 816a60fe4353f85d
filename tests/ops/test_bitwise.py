"""Bitwise networks: both rounds' products and units, the dead zone, and the codings of pictures."""

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.gradcheck import check_op
from bnn_ref.ops import bitwise, losses
from bnn_ref.ops.binarize import sign
from bnn_ref.training.loop import scale_pixels
from tests.ops import naive_bitwise as ref
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled

SIZES = ((1, 1, 1), (1, 7, 3), (5, 3, 2), (4, 4, 4), (3, 13, 1))       # N D M
SHAPES = ((), (1,), (13,), (1, 7), (5, 3), (2, 3, 5, 1))
ZERO = np.zeros(())


def layer(rng, sizes, dtype=np.float64, layout="contiguous"):
    """x, w, b and da of one layer."""
    n, d, m = sizes
    return [sample(rng, shape, dtype, layout) for shape in ((n, d), (d, m), (m,), (n, m))]


# round 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tanh_agrees_with_the_loop(shape, dtype, layout):
    rng = np.random.default_rng(0)
    a, dz = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    comp_z, cache = bitwise.tanh_forward(a)
    assert_agree(comp_z, ref.tanh(a), dtype)
    assert_agree(bitwise.tanh_backward(dz, cache), ref.tanh_slope(dz, a), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_compressed_dense_agrees_with_the_loops(sizes, dtype, layout):
    x, w, b, da = layer(np.random.default_rng(1), sizes, dtype, layout)
    comp_a, cache = bitwise.compressed_dense_forward(x, w, b)
    assert_agree(comp_a, ref.compressed(x, w, b), dtype)
    for comp, loop in zip(bitwise.compressed_dense_backward(da, cache), ref.compressed_backward(da, x, w, b),
                          strict=True):
        assert_agree(comp, loop, dtype)


def test_compression_by_hand():
    """tanh(ln 2) = 3/5 and tanh(ln 3) = 4/5, with slopes 16/25 and 9/25; tanh(0) = 0 has slope 1."""
    x, da = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[1.0], [10.0]])
    w, b = np.log([[2.0], [1 / 3]]), np.log([3.0])
    comp_a, cache = bitwise.compressed_dense_forward(x, w, b)
    np.testing.assert_allclose(comp_a, [[0.6 - 1.6 + 0.8], [1.8 + 0.8 + 0.8]], rtol=1e-14)
    comp_dx, comp_dw, comp_db = bitwise.compressed_dense_backward(da, cache)
    np.testing.assert_allclose(comp_dx, [[0.6, -0.8], [6, -8]], rtol=1e-14)
    np.testing.assert_allclose(comp_dw, [[31 * 0.64], [-8 * 0.36]], rtol=1e-14)
    np.testing.assert_allclose(comp_db, [11 * 0.36], rtol=1e-14)
    a = np.array([0.0, np.log(2), -np.log(3), 1000.0])
    comp_z, cache = bitwise.tanh_forward(a)
    np.testing.assert_allclose(comp_z, [0, 0.6, -0.8, 1], rtol=1e-14)
    np.testing.assert_allclose(bitwise.tanh_backward(np.full(4, 50.0), cache), [50, 32, 18, 0], rtol=1e-14)


# round 2: the dead zone


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparsity", [0, 0.1, 0.3, 0.5, 0.77, 0.999])
@pytest.mark.parametrize("shape", [(1,), (10,), (7, 3), (2, 3, 4)], ids=str)
def test_dead_zone_agrees_with_the_loops(shape, sparsity, dtype, layout):
    w = sample(np.random.default_rng(2), shape, dtype, layout)             # ±1, ±0 and ±2.5 make ties
    comp_beta = bitwise.boundary(w, sparsity)
    ref_beta = ref.boundary(w, sparsity)
    assert isinstance(comp_beta, np.ndarray)
    assert_agree(comp_beta, ref_beta, dtype)
    comp_w_b = bitwise.bitwise_weights(w, comp_beta)
    assert_agree(comp_w_b, ref.bitwise(w, ref_beta), dtype)
    assert bitwise.sparsity_of(comp_w_b) <= sparsity


@pytest.mark.parametrize("size", [1, 2, 3, 10, 100, 1001])
@pytest.mark.parametrize("sparsity", [0, 0.25, 0.5, 0.75])
def test_without_ties_the_smallest_weights_are_zero_and_as_many_as_wanted(size, sparsity):
    rng = np.random.default_rng(3)
    magnitudes = np.arange(1, size + 1)
    w = read_only(rng.permutation(magnitudes * rng.choice([-1.0, 1.0], size)))
    wanted = size * int(4 * sparsity) // 4                                 # the integer part of λ n
    comp_w_b = bitwise.bitwise_weights(w, bitwise.boundary(w, sparsity))
    np.testing.assert_array_equal(comp_w_b, np.where(np.abs(w) > wanted, np.sign(w), 0))
    assert bitwise.sparsity_of(comp_w_b) == wanted / size


@pytest.mark.parametrize("size", [3, 99, 100, 1000, 49_999])
def test_the_wanted_number_of_zeros_is_not_lost_to_rounding(size):
    """0.29 · 100 is below 29 in floats, and so are 908 of the products of hundredths with 1 to 20,000."""
    w = np.arange(size, 0, -1.0)
    for whole in (100, 3, 7):
        for part in range(whole):
            beta = bitwise.boundary(w, part / whole)
            assert (w < beta).sum() == part * size // whole, (part, whole)


def test_boundary_by_hand():
    w = np.array([[0.4, -0.1, 0.3], [-0.5, 0.2, -0.3]])                     # magnitudes .1 .2 .3 .3 .4 .5
    for sparsity, beta, zeros in ((0, 0, 0), (0.16, 0, 0), (0.17, 0.2, 1), (0.34, 0.3, 2), (0.5, 0.3, 2),
                                  (0.67, 0.4, 4), (0.99, 0.5, 5)):
        comp_beta = bitwise.boundary(w, sparsity)
        assert comp_beta == beta
        assert bitwise.sparsity_of(bitwise.bitwise_weights(w, comp_beta)) == zeros / 6


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_at_the_boundary_stays(dtype):
    beta = np.array(0.5, dtype)
    below = np.nextafter(beta, dtype(0))
    w = np.array([0.5, -0.5, below, -below, 0, -0.0, 0.75, -9], dtype)
    comp_w_b = bitwise.bitwise_weights(w, beta)
    assert comp_w_b.dtype == dtype
    np.testing.assert_array_equal(comp_w_b, [1, -1, 0, 0, 0, 0, 1, -1])
    assert not np.signbit(comp_w_b[2:6]).any()                             # no zero is written as -0


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_sparsity_every_weight_is_a_sign_wherever_it_moves(dtype):
    w = np.array([0.5, -0.5, 0, -0.0, 1e-30, -1e-30], dtype)
    beta = bitwise.boundary(read_only(np.array([0.5, -0.5], dtype)), 0)
    assert beta == 0
    np.testing.assert_array_equal(bitwise.bitwise_weights(w, beta), [1, -1, 1, 1, 1, -1])


def test_weights_and_biases_have_boundaries_of_their_own():
    w, b = np.array([[1.0, -2, 3], [-4, 5, 6]]), np.array([-70.0, 0.1, 80])
    beta_w, beta_b = bitwise.refresh_boundaries(w, b, 0.4)
    assert (beta_w, beta_b) == (3, 70)
    assert beta_w.shape == beta_b.shape == ()
    comp_a, *_ = bitwise.bitwise_dense_forward(np.ones((1, 2)), w, b, beta_w, beta_b)
    np.testing.assert_array_equal(comp_a, [[-1 - 1, 1 + 0, 1 + 1 + 1]])
    swapped, *_ = bitwise.bitwise_dense_forward(np.ones((1, 2)), w, b, beta_b, beta_w)
    np.testing.assert_array_equal(swapped, [[-1, 0, 1]])


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.5, float("nan")])
def test_sparsity_out_of_range_is_refused(sparsity):
    message = rf"^sparsity: expected a fraction 0 <= λ < 1, got {sparsity}$"
    with pytest.raises(ValueError, match=message):
        bitwise.boundary(np.ones(3), sparsity)
    with pytest.raises(ValueError, match=message):
        bitwise.refresh_boundaries(np.ones((3, 2)), np.ones(2), sparsity)


# round 2: product and units


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparsity", [0, 0.4])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_bitwise_dense_agrees_with_the_loops(sizes, sparsity, dtype, layout):
    x, w, b, da = layer(np.random.default_rng(4), sizes, dtype, layout)
    beta_w, beta_b = bitwise.refresh_boundaries(w, b, sparsity)
    comp_a, cache, *betas = bitwise.bitwise_dense_forward(x, w, b, read_only(beta_w), read_only(beta_b))
    assert betas == [beta_w, beta_b]
    ref_w_b, ref_b_b = ref.bitwise(w, ref.boundary(w, sparsity)), ref.bitwise(b, ref.boundary(b, sparsity))
    assert_agree(comp_a, ref.neurons(x, ref_w_b, ref_b_b), dtype)
    for comp, loop in zip(bitwise.bitwise_dense_backward(da, cache), ref.neurons_backward(da, x, ref_w_b), strict=True):
        assert_agree(comp, loop, dtype)


def test_a_bitwise_unit_counts_agreements_with_the_bias_as_one_more_input():
    """a = 2 · (agreements) - (inputs + 1): more than half of them make z = +1; half of them as well, sign(0) = +1."""
    rng = np.random.default_rng(5)
    x, w, b = (rng.choice([-1.0, 1.0], shape) for shape in ((50, 7), (7, 4), (4,)))
    comp_a, *_ = bitwise.bitwise_dense_forward(x, 0.1 * w, 0.1 * b, ZERO, ZERO)
    agreements = (x[:, :, None] == w).sum(axis=1) + (b == 1)
    np.testing.assert_array_equal(comp_a, 2 * agreements - 8)
    assert (comp_a == 0).any()
    np.testing.assert_array_equal(bitwise.identity_sign_forward(comp_a)[0] == 1, agreements >= 4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [0.5, 1, 2.5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_units_agree_with_the_loops(shape, width, dtype, layout):
    rng = np.random.default_rng(6)
    a, dz = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    comp_z, cache = bitwise.identity_sign_forward(a)
    assert_agree(comp_z, ref.sign(a), dtype)
    comp_da = bitwise.identity_sign_backward(dz, cache)
    assert_agree(comp_da, dz, dtype)
    assert not np.shares_memory(comp_da, dz)
    comp_z, cache = bitwise.masked_sign_forward(a, width)
    assert_agree(comp_z, ref.sign(a), dtype)
    assert_agree(bitwise.masked_sign_backward(dz, cache), ref.masked(dz, a, width), dtype)


def test_the_mask_includes_its_boundary():
    a = np.array([0.0, 28, -28, np.nextafter(28, 29), np.nextafter(-28, -29), 784, -784])
    comp_z, cache = bitwise.masked_sign_forward(a, 28)
    np.testing.assert_array_equal(comp_z, [1, 1, -1, 1, -1, 1, -1])
    np.testing.assert_array_equal(bitwise.masked_sign_backward(np.full(7, 3.0), cache), [3, 3, 3, 0, 0, 0, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [0.03, 4, np.float64(0.3)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scale_agrees_with_the_loop(shape, factor, dtype, layout):
    rng = np.random.default_rng(7)
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    comp_out, cache = bitwise.scale_forward(x, factor)
    assert_agree(comp_out, ref.entries(lambda x: x * float(factor), x), dtype)
    assert_agree(bitwise.scale_backward(dout, cache), ref.entries(lambda dout: dout * float(factor), dout), dtype)


@pytest.mark.parametrize("bad", [0, -0.5, float("nan")])
def test_width_and_factor_are_above_zero(bad):
    with pytest.raises(ValueError, match=rf"^width: expected a number > 0, got {bad}$"):
        bitwise.masked_sign_forward(np.ones(3), bad)
    with pytest.raises(ValueError, match=rf"^factor: expected a number > 0, got {bad}$"):
        bitwise.scale_forward(np.ones(3), bad)


def test_surrogates_have_the_value_at_the_point_and_the_promised_slope_around_it():
    rng = np.random.default_rng(8)
    (x0, w0, b0, _), (x, w, b, _) = layer(rng, (4, 5, 3)), layer(rng, (4, 5, 3))
    betas = bitwise.refresh_boundaries(w0, b0, 0.4)
    comp_a, _ = bitwise.bitwise_dense_surrogate(x0, w0, b0, *betas)(x, w, b, *betas)
    ref_w, ref_b = ref.bitwise(w0, betas[0]) + w - w0, ref.bitwise(b0, betas[1]) + b - b0
    assert_agree(comp_a, ref.neurons(x, ref_w, ref_b), np.float64)
    assert_agree(bitwise.identity_sign_surrogate(x0)(x)[0], ref.sign(x0) + x - x0, np.float64)
    slope = np.clip(x, -0.7, 0.7) - np.clip(x0, -0.7, 0.7)
    assert_agree(bitwise.masked_sign_surrogate(x0, 0.7)(x, 0.7)[0], ref.sign(x0) + slope, np.float64)


@pytest.mark.parametrize("sparsity", [0, 0.4])
def test_noisy_backpropagation_is_the_derivative_of_its_surrogate_in_every_coordinate(sparsity):
    x, w, b, _ = layer(np.random.default_rng(9), (4, 7, 5))                # kinks in w and b do not matter here
    args = x, w, b, *bitwise.refresh_boundaries(w, b, sparsity)
    report = check_op(bitwise.bitwise_dense_forward, bitwise.bitwise_dense_backward, *args,
                      surrogate=bitwise.bitwise_dense_surrogate)
    assert report.checked == 4 * 7 + 7 * 5 + 5


# codings


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_codings_of_every_pixel(dtype, layout):
    p = np.random.default_rng(10).permutation(256).astype(np.uint8).reshape(4, 2, 8, 4)
    x = read_only(LAYOUTS[layout](np.array([ref.pixel(value) for value in p.ravel()], dtype).reshape(p.shape)))
    np.testing.assert_array_equal(x, scale_pixels(p))
    dout = sample(np.random.default_rng(11), x.shape, dtype, layout)

    comp_out, cache = bitwise.unit_pixels_forward(x)
    assert comp_out.dtype == dtype
    np.testing.assert_array_equal(comp_out, p / 256)                       # exactly, in float32 too
    assert_agree(bitwise.unit_pixels_backward(dout, cache), ref.entries(lambda dout: dout / 2, dout), dtype)

    comp_out, cache = bitwise.rounded_pixels_forward(x)
    assert comp_out.dtype == dtype
    np.testing.assert_array_equal(comp_out, p >= 128)
    assert_agree(bitwise.rounded_pixels_backward(dout, cache), np.zeros(x.shape), dtype)

    comp_out, cache = bitwise.two_bit_pixels_forward(x)
    assert comp_out.dtype == dtype and comp_out.shape == (4, 4, 8, 4)
    for n, c, h, w in np.ndindex(p.shape):
        assert (comp_out[n, c, h, w], comp_out[n, 2 + c, h, w]) == ref.two_bits(p[n, c, h, w])
    dout = sample(np.random.default_rng(12), (4, 4, 8, 4), dtype, layout)
    assert_agree(bitwise.two_bit_pixels_backward(dout, cache), np.zeros(x.shape), dtype)


def test_codings_between_pixels():
    """Where a value lies exactly on a boundary it belongs to the part above, as sign(0) = +1."""
    x = np.array([-1, -0.5, np.nextafter(-0.5, -1), 0, -1e-300, 0.5, np.nextafter(0.5, 0), 1]).reshape(8, 1, 1, 1)
    np.testing.assert_array_equal(bitwise.rounded_pixels_forward(x)[0].ravel(), [0, 0, 0, 1, 0, 1, 1, 1])
    comp_out, _ = bitwise.two_bit_pixels_forward(x)
    np.testing.assert_array_equal(comp_out[:, 0].ravel(), [-1, -1, -1, 1, -1, 1, 1, 1])
    np.testing.assert_array_equal(comp_out[:, 1].ravel(), [-1, 1, -1, -1, 1, 1, -1, 1])


# doors


@pytest.mark.parametrize("name", ["compressed_dense", "bitwise_dense"])
def test_doors_of_products(name):
    forward, backward = getattr(bitwise, f"{name}_forward"), getattr(bitwise, f"{name}_backward")
    x, w, b, da = layer(np.random.default_rng(13), (4, 3, 5))
    good = {"x": x, "w": w, "b": b}
    if name == "bitwise_dense":
        good |= {"beta_w": np.array(0.5), "beta_b": np.array(0.5)}
    for name, axes, shape in (("x", (), "N, D"), ("w", (0,), "D=3, M"), ("b", (0,), "M=5")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes):
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values())
    for name in ("beta_w", "beta_b") if "beta_w" in good else ():
        for error, bad in [*((TypeError, bad) for bad in (0.5, np.array(1), np.array(0.5, np.float32))),
                           (ValueError, np.array([0.5]))]:
            with pytest.raises(error, match=expected(name, r"shape \(\)")):
                forward(*(good | {name: bad}).values())
    _, cache, *_ = forward(*good.values())
    for error, bad in spoiled(da, axes=(0, 1)):
        with pytest.raises(error, match=expected("da", r"shape \(N=4, M=5\)")):
            backward(bad, cache)


@pytest.mark.parametrize("name, argument, upstream, settings", [
    ("tanh", "a", "dz", ()), ("identity_sign", "a", "dz", ()), ("masked_sign", "a", "dz", (2.0,)),
    ("scale", "x", "dout", (2.0,)), ("unit_pixels", "x", "dout", ()), ("rounded_pixels", "x", "dout", ()),
    ("two_bit_pixels", "x", "dout", ())])
def test_doors_of_units_and_codings(name, argument, upstream, settings):
    forward, backward = getattr(bitwise, f"{name}_forward"), getattr(bitwise, f"{name}_backward")
    x = sample(np.random.default_rng(14), (4, 3, 2, 5))
    codes = name == "two_bit_pixels"
    for error, bad in spoiled(x, alone=True, axes=() if codes else None):
        with pytest.raises(error, match=expected(argument, r"shape \(N, C, H, W\)")):
            forward(bad, *settings)
    out, cache = forward(x, *settings)
    like = "out" if codes else argument
    for error, bad in spoiled(sample(np.random.default_rng(15), out.shape), axes=range(4)):
        with pytest.raises(error, match=expected(upstream, f"shape .* like {like}", like)):
            backward(bad, cache)


def test_doors_of_the_dead_zone():
    w, b = sample(np.random.default_rng(16), (3, 5)), sample(np.random.default_rng(17), (5,))
    for error, bad in spoiled(w, alone=True):
        for call in (lambda bad=bad: bitwise.boundary(bad, 0.5), lambda bad=bad: bitwise.bitwise_weights(bad, ZERO)):
            with pytest.raises(error, match=expected("w")):
                call()
        with pytest.raises(error, match=expected("w_b")):
            bitwise.sparsity_of(bad)
    for error, bad in [(TypeError, 0.5), (TypeError, np.array(1)), (ValueError, np.array([0.5]))]:
        with pytest.raises(error, match=expected("beta", r"shape \(\)")):
            bitwise.bitwise_weights(w, bad)
    for error, bad in spoiled(w, alone=True, axes=()):
        with pytest.raises(error, match=expected("w", r"shape \(D, M\)")):
            bitwise.refresh_boundaries(bad, b, 0.5)
    for error, bad in spoiled(b, axes=(0,)):
        with pytest.raises(error, match=expected("b", r"shape \(M=5\)", "w")):
            bitwise.refresh_boundaries(w, bad, 0.5)


# both rounds together


def test_round_2_repairs_what_rounding_breaks():
    """Digits, 64-128-10 by plain gradient descent: training error 1 %, rounded 19 %, after round 2 on signs 11 %."""
    digits = data.load("digits")
    x, labels = scale_pixels(digits.train_x).reshape(-1, 64), digits.train_y
    rng = np.random.default_rng(18)
    params = [rng.uniform(-0.2, 0.2, shape).astype(np.float32) for shape in ((64, 128), 128, (128, 10), 10)]

    def round_1(x, w1, b1, w2, b2):
        a1, cache1 = bitwise.compressed_dense_forward(x, w1, b1)
        z1, cache2 = bitwise.tanh_forward(a1)
        a2, cache3 = bitwise.compressed_dense_forward(z1, w2, b2)

        def backward(da2):
            dz1, dw2, db2 = bitwise.compressed_dense_backward(da2, cache3)
            _, dw1, db1 = bitwise.compressed_dense_backward(bitwise.tanh_backward(dz1, cache2), cache1)
            return dw1, db1, dw2, db2

        return a2, backward

    def round_2(x, w1, b1, w2, b2):
        a1, cache1, *_ = bitwise.bitwise_dense_forward(x, w1, b1, *bitwise.refresh_boundaries(w1, b1, 0))
        z1, cache2 = bitwise.identity_sign_forward(a1)
        a2, cache3, *_ = bitwise.bitwise_dense_forward(z1, w2, b2, *bitwise.refresh_boundaries(w2, b2, 0))
        out, cache4 = bitwise.scale_forward(a2, 0.03)

        def backward(dout):
            dz1, dw2, db2 = bitwise.bitwise_dense_backward(bitwise.scale_backward(dout, cache4), cache3)
            _, dw1, db1 = bitwise.bitwise_dense_backward(bitwise.identity_sign_backward(dz1, cache2), cache1)
            return dw1, db1, dw2, db2

        return out, backward

    def error(net, x, params):
        return np.mean(net(x, *params)[0].argmax(axis=1) != labels)

    def descend(net, x, params, epochs):
        for _ in range(epochs):
            for chosen in np.split(rng.permutation(len(x))[:1250], 25):
                out, backward = net(x[chosen], *params)
                _, cache = losses.softmax_cross_entropy_forward(out, labels[chosen])
                grads = backward(losses.softmax_cross_entropy_backward(1.0, cache))
                params = [param - np.float32(0.1) * grad for param, grad in zip(params, grads)]
        return params

    params = descend(round_1, x, params, 20)
    assert error(round_1, x, params) < 0.04
    rounded = error(round_2, sign(x), params)
    assert rounded > 0.15
    params = descend(round_2, sign(x), params, 10)
    assert error(round_2, sign(x), params) < 0.75 * rounded
    assert {param.dtype for param in params} == {np.dtype(np.float32)}
