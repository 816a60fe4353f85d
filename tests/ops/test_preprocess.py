"""Centring, contrast normalization and whitening: values, derivatives, what was fitted, and the file that keeps it."""

import tracemalloc

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.ops import preprocess
from bnn_ref.training.loop import scale_pixels
from tests.ops import naive_preprocess as naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled

SHAPES = ((1, 1, 2, 1), (3, 1, 4, 4), (2, 3, 4, 5), (2, 2, 5, 3))
PICTURES = r"shape \(N, C, H, W\)"


def random_pixels(rng, shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


# centring


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_centring_agrees_with_the_loops(shape, dtype, layout):
    rng = np.random.default_rng(0)
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    mean, = preprocess.centre_fit(x)
    assert_agree(mean, naive.pixel_means(x), dtype)
    other = sample(rng, shape[1:], dtype)                  # any mean, not only that of these pictures
    comp_out, cache, comp_mean = preprocess.centre_forward(x, other)
    assert_agree(comp_out, naive.centre(x, other), dtype)
    np.testing.assert_array_equal(comp_mean, other)
    comp_dx = preprocess.centre_backward(dout, cache)
    assert_agree(comp_dx, dout, dtype)
    assert not np.shares_memory(comp_dx, dout)


def test_the_mean_of_many_pixels_is_added_up_in_float64():
    x = np.full((50_000, 1, 1, 1), 0.1, np.float32)
    x[1::2] = 0.3
    mean, = preprocess.centre_fit(x)
    assert mean.dtype == np.float32
    assert mean.item() == np.float32((float(np.float32(0.1)) + float(np.float32(0.3))) / 2)


def test_centring_uses_the_training_mean_for_every_picture():
    mean, = preprocess.centre_fit(np.array([1.0, 3.0]).reshape(2, 1, 1, 1))
    out, _, _ = preprocess.centre_forward(np.array([10.0, 20.0, 2.0]).reshape(3, 1, 1, 1), mean)
    assert out.ravel().tolist() == [8, 18, 0]


# global contrast normalization


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gcn_agrees_with_the_loops(shape, dtype, layout):
    rng = np.random.default_rng(1)
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    comp_out, cache = preprocess.gcn_forward(x, 1.5)
    assert_agree(comp_out, naive.gcn(x, 1.5, 1e-4), dtype)
    assert_agree(preprocess.gcn_backward(dout, cache), naive.gcn_backward(dout, x, 1.5, 1e-4), dtype)


@pytest.mark.parametrize("scale", [1.0, 55.0])
def test_gcn_of_scaled_pixels_is_that_of_raw_ones(scale):
    p = random_pixels(np.random.default_rng(2), (4, 3, 32, 32))
    p[1] = 128 + p[1] % 3                                  # a picture of little contrast is no exception
    p[3] = 0
    p[3, 1, 2, 3] = 255                                    # nor is one of a single pixel
    comp_out, _ = preprocess.gcn_forward(scale_pixels(p), scale)
    raw = p.astype(np.float64)
    centred = raw - raw.mean(axis=(1, 2, 3), keepdims=True)
    ref = scale * centred / np.sqrt((centred**2).sum(axis=(1, 2, 3), keepdims=True))
    assert comp_out.dtype == np.float32
    np.testing.assert_allclose(comp_out, ref, rtol=1e-5, atol=1e-5)


def test_gcn_by_hand():
    x = np.array([1.0, 2.0, 2.0, 7.0]).reshape(1, 2, 1, 2)        # mean 3, centred -2 -1 -1 4, norm √22
    out, cache = preprocess.gcn_forward(x, 55.0)
    np.testing.assert_allclose(out.ravel(), 55 / np.sqrt(22) * np.array([-2, -1, -1, 4]), rtol=1e-14)
    along = preprocess.gcn_backward(x, cache)                     # towards more contrast: nothing changes
    np.testing.assert_allclose(along, np.zeros_like(x), atol=1e-13)
    np.testing.assert_allclose(preprocess.gcn_backward(np.ones_like(x), cache), np.zeros_like(x), atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_picture_without_contrast_becomes_zero_and_spares_its_neighbours(dtype):
    x = np.empty((3, 2, 3, 3), dtype)
    x[0], x[1], x[2] = 0.75, np.arange(18).reshape(2, 3, 3), 0.1      # 0.1: its mean is not exact
    with np.errstate(all="raise"):
        comp_out, cache = preprocess.gcn_forward(x, 55.0)
        comp_dx = preprocess.gcn_backward(np.ones_like(x) + x, cache)
    for flat in (0, 2):
        np.testing.assert_array_equal(comp_out[flat], np.zeros((2, 3, 3)))
        np.testing.assert_array_equal(comp_dx[flat], np.zeros((2, 3, 3)))
    assert_agree(comp_out[1:2], naive.gcn(x[1:2], 55.0, 1e-4), dtype)


def test_eps_is_where_contrast_begins():
    x = np.array([0.0, 2.0, 4.0, 2.0]).reshape(1, 1, 2, 2)            # the norm is √8
    x = np.concatenate([x, [[[[3.0, 5.0], [5.0, 3.0]]]]])             # the norm is 2
    out, _ = preprocess.gcn_forward(x, 1.0, 2.0)
    assert np.all(out[1] == 0) and out[0, 0, 0, 0] == -2 / np.sqrt(8)
    out, _ = preprocess.gcn_forward(x, 1.0, np.nextafter(2, 0))
    assert out[1].ravel().tolist() == [-0.5, 0.5, 0.5, -0.5]
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(preprocess.gcn_forward(np.ones((1, 1, 2, 2)), 1.0, 0)[0], np.zeros((1, 1, 2, 2)))


def test_the_usual_eps_lies_between_rounding_and_the_smallest_contrast():
    x = np.zeros((1, 1, 1, 2))
    x[..., 1] = 2 / 256                                               # one step of one pixel
    assert preprocess.gcn_forward(x, 1.0)[0].any()
    x[..., 1] = 1e-4
    assert not preprocess.gcn_forward(x, 1.0)[0].any()
    x[..., 1] = 2e-4
    assert preprocess.gcn_forward(x, 1.0)[0].any()


# ZCA


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_zca_agrees_with_the_loops(shape, dtype, layout):
    rng = np.random.default_rng(3)
    size = np.prod(shape[1:])
    x, dout = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    mean, p = sample(rng, shape[1:], dtype, layout), sample(rng, (size, size), dtype, layout)
    comp_out, cache, *comp_fitted = preprocess.zca_forward(x, mean, p)
    assert_agree(comp_out, naive.rows_times(naive.centre(x, mean), p), dtype)
    for comp, ref in zip(comp_fitted, (mean, p), strict=True):
        np.testing.assert_array_equal(comp, ref)
    assert_agree(preprocess.zca_backward(dout, cache), naive.rows_times(dout, p.T), dtype)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-11), (np.float32, 1e-5)])
@pytest.mark.parametrize("bias", [0.1, 2.0])
@pytest.mark.parametrize("count", [2, 40])                            # fewer pictures than pixels, and more
def test_zca_fit_is_its_definition(count, bias, dtype, tolerance):
    rng = np.random.default_rng(4)
    x = read_only((rng.standard_normal((count, 2, 2, 3)) @ rng.standard_normal((3, 3)) + 4).astype(dtype))
    mean, p = preprocess.zca_fit(x, bias)
    assert mean.dtype == p.dtype == dtype
    assert mean.shape == (2, 2, 3) and p.shape == (12, 12)
    ref = naive.covariance(x)
    np.testing.assert_allclose(mean, naive.pixel_means(x), rtol=tolerance)
    # P = (Σ + bias I)^(-1/2): the one symmetric matrix with positive eigenvalues and P (Σ + bias I) P = I.
    p = p.astype(np.float64)
    np.testing.assert_allclose(p, p.T, atol=tolerance)
    assert np.linalg.eigvalsh(p).min() > 0
    np.testing.assert_allclose(p @ (ref + bias * np.eye(12)) @ p, np.eye(12), atol=10 * tolerance)


def test_the_usual_bias_is_a_tenth():
    x = np.random.default_rng(4).standard_normal((6, 1, 2, 2))
    np.testing.assert_array_equal(preprocess.zca_fit(x)[1], preprocess.zca_fit(x, 0.1)[1])


def test_whitened_variances_are_lambda_over_lambda_plus_bias():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 1, 3, 3)) * np.array([3, 1, 0.1]) + rng.standard_normal((60, 1, 1, 1))
    mean, p = preprocess.zca_fit(x, 0.1)
    white, _, *_ = preprocess.zca_forward(x, mean, p)
    rows = white.reshape(60, 9)
    np.testing.assert_allclose(rows.mean(axis=0), np.zeros(9), atol=1e-13)
    eigenvalues, v = np.linalg.eigh(naive.covariance(x))
    np.testing.assert_allclose(v.T @ (rows.T @ rows / 60) @ v, np.diag(eigenvalues / (eigenvalues + 0.1)), atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 4, 10, 11])
def test_chunks_make_no_difference(chunk, monkeypatch):
    x = np.random.default_rng(6).standard_normal((10, 1, 2, 3))
    whole = preprocess.zca_fit(x)
    monkeypatch.setattr(preprocess, "FIT_CHUNK", chunk)
    for comp, ref in zip(preprocess.zca_fit(x), whole, strict=True):
        np.testing.assert_allclose(comp, ref, rtol=1e-12, atol=1e-14)


def test_a_fit_makes_no_float64_copy_of_all_pictures():
    x = np.ones((20_000, 1, 4, 4), np.float32)                        # 1.3 MB; as float64 2.6 MB
    tracemalloc.start()
    preprocess.zca_fit(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_large_mean_does_not_cost_the_covariance():
    x = (1000 + np.random.default_rng(7).integers(-4, 5, (50, 1, 1, 3)) / 64).astype(np.float32)   # exact in float32
    _, p = preprocess.zca_fit(x, 1e-4)
    _, ref = preprocess.zca_fit(x.astype(np.float64) - 1000, 1e-4)
    np.testing.assert_allclose(p, ref, rtol=1e-5)


# local contrast normalization


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, kernel_size", [((1, 1, 1, 1), 9), ((2, 1, 5, 4), 1), ((2, 3, 4, 6), 3),
                                                ((1, 2, 7, 12), 5), ((1, 2, 12, 11), 9)], ids=str)
def test_lcn_agrees_with_the_loops(shape, kernel_size, dtype, layout):
    x = sample(np.random.default_rng(8), shape, dtype, layout)
    comp_out, _ = preprocess.lcn_forward(x, kernel_size)
    assert_agree(comp_out, naive.lcn(x, kernel_size, 1e-4), dtype)
    assert_agree(preprocess.lcn_forward(x, kernel_size, 0.9)[0], naive.lcn(x, kernel_size, 0.9), dtype)


def test_the_usual_eps_of_lcn():
    x = channels(2e-3, 2e-3, 2e-3)
    np.testing.assert_allclose(preprocess.lcn_forward(x / 10, 1)[0], channels(1.0, 1.0, 1.0), rtol=1e-12)
    np.testing.assert_allclose(preprocess.lcn_forward(x / 40, 1)[0], channels(0.5, 0.5, 0.5), rtol=1e-12)


def test_lcn_does_not_mix_pictures():
    x = np.random.default_rng(9).standard_normal((3, 2, 6, 5)) * np.array([1, 1e-3, 50]).reshape(3, 1, 1, 1)
    together, _ = preprocess.lcn_forward(x, 3)
    for n in range(3):
        np.testing.assert_allclose(together[n:n + 1], preprocess.lcn_forward(x[n:n + 1], 3)[0], rtol=1e-12)


def test_lcn_knows_no_brightness_and_no_contrast():
    x = np.random.default_rng(10).standard_normal((1, 3, 8, 7))
    np.testing.assert_allclose(preprocess.lcn_forward(5 * x + 3, 5)[0], preprocess.lcn_forward(x, 5)[0], rtol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lcn_of_a_flat_picture_is_zero(dtype):
    x = np.full((1, 3, 8, 8), 0.1, dtype)                             # E[0.1] is 0.1 up to rounding only
    with np.errstate(all="raise"):
        out, cache = preprocess.lcn_forward(x, 9)
        dx = preprocess.lcn_backward(np.ones_like(x), cache)
    assert np.abs(out).max() < 0.01
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("shape, kernel_size", [((1, 1, 2, 3), 3), ((2, 3, 1, 1), 3), ((2, 3, 5, 4), 1),
                                                ((2, 2, 6, 5), 3), ((1, 2, 4, 6), 9)], ids=str)
@pytest.mark.parametrize("eps", [1e-4, 0.6, 3.0])         # the divisor is σ or its mean; eps among them; eps alone
def test_lcn_backward_is_exact(shape, kernel_size, eps):
    x = np.random.default_rng(11).standard_normal(shape)
    check_op(preprocess.lcn_forward, preprocess.lcn_backward, x, kernel_size, eps)


def test_lcn_backward_of_little_contrast():
    """Where x is 10⁻⁵ times as large and the result the same, the derivative is 10⁵ times as large."""
    x, dout = np.random.default_rng(17).standard_normal((2, 1, 2, 6, 5))
    _, cache = preprocess.lcn_forward(x, 3)
    _, little = preprocess.lcn_forward(x * 1e-5, 3, 1e-9)
    np.testing.assert_allclose(preprocess.lcn_backward(dout, little), 1e5 * preprocess.lcn_backward(dout, cache),
                               rtol=1e-8, atol=1e-6)


def test_every_divisor_of_lcn_was_among_the_checked():
    """What the test above stands on: its picture has pixels of each kind."""
    x = np.random.default_rng(11).standard_normal((2, 2, 6, 5))
    _, (_, std, mean_std, *_) = preprocess.lcn_forward(x, 3)
    assert np.any(std > mean_std) and np.any(std < mean_std)
    assert mean_std.min() > 0.6 or np.any(std > 0.6)
    assert std.max() < 3


def channels(*pixels):
    """A row of pixels of two channels (+, -): with kernel 1, σ is the number and v is x."""
    return np.array([pixels, [-pixel for pixel in pixels]]).reshape(1, 2, 1, -1)


def test_lcn_at_its_kinks_by_hand():
    """Divisors that tie count as the mean, a mean that ties with eps as eps, and σ = 0 passes nothing on."""
    dout = np.array([[8.0, 2.0], [4.0, 6.0]]).reshape(1, 2, 1, 2)
    # σ = (1, 1), mean 1: ddivisor = -(8 - 4) = -4 and -(2 - 6) = 4, which cancel in the mean: dv = dout
    out, cache = preprocess.lcn_forward(channels(1.0, 1.0), 1)
    np.testing.assert_array_equal(out, channels(1.0, 1.0))
    np.testing.assert_allclose(preprocess.lcn_backward(dout, cache).ravel(), [2, -2, -2, 2], atol=1e-15)
    # the same upstream on both pixels: -4 - 4 shared out as -4, dvar = -2, dv = dout + 2v · (-2)/2 = (6, 6)
    out, cache = preprocess.lcn_forward(channels(1.0, 1.0), 1)
    same = np.array([[8.0, 8.0], [4.0, 4.0]]).reshape(1, 2, 1, 2)
    np.testing.assert_allclose(preprocess.lcn_backward(same, cache).ravel(), [0, 0, 0, 0], atol=1e-15)
    # eps = 1 ties with the mean: a constant divisor
    out, cache = preprocess.lcn_forward(channels(1.0, 1.0), 1, 1.0)
    np.testing.assert_allclose(preprocess.lcn_backward(same, cache).ravel(), [2, 2, -2, -2], atol=1e-15)
    # σ = (2, 0), mean 1: divisors 2 and 1
    with np.errstate(all="raise"):
        out, cache = preprocess.lcn_forward(channels(2.0, 0.0), 1)
        dx = preprocess.lcn_backward(same, cache)
    np.testing.assert_array_equal(out, channels(1.0, 0.0))
    # first pixel: dv = dout/2 + v · dvar, dvar = -(2·8 - 2·4)/4 / (2·2) = -1/2: (4 - 1, 2 + 1), less their mean: 0
    np.testing.assert_allclose(dx.ravel(), [0, 2, 0, -2], atol=1e-15)


# all of them


CASES = {
    "centre": (preprocess.centre_forward, preprocess.centre_backward, ((2, 3, 2),), ()),
    "gcn": (preprocess.gcn_forward, preprocess.gcn_backward, (), (2.0,)),
    "zca": (preprocess.zca_forward, preprocess.zca_backward, ((2, 3, 2), (12, 12)), ()),
    "lcn": (preprocess.lcn_forward, preprocess.lcn_backward, (), (3,)),
}


@pytest.mark.parametrize("forward, backward, shapes, settings", CASES.values(), ids=CASES)
def test_backward_is_exact(forward, backward, shapes, settings):
    rng = np.random.default_rng(12)
    check_op(forward, backward, rng.standard_normal((3, 2, 3, 2)), *map(rng.standard_normal, shapes), *settings)


@pytest.mark.parametrize("forward, backward, shapes, settings", CASES.values(), ids=CASES)
def test_doors(forward, backward, shapes, settings):
    rng = np.random.default_rng(13)
    x, *fitted = (sample(rng, shape) for shape in ((3, 2, 3, 2), *shapes))
    for error, bad in spoiled(x, alone=True, axes=()):
        with pytest.raises(error, match=expected("x", PICTURES)):
            forward(bad, *fitted, *settings)
    for position, (name, good) in enumerate(zip(("mean", "p"), fitted)):
        shape = r"shape \(C=2, H=3, W=2\)" if name == "mean" else r"shape \(D=12, D=12\)"
        for error, bad in spoiled(good, axes=range(good.ndim)):
            with pytest.raises(error, match=expected(name, shape)):
                forward(x, *fitted[:position], bad, *fitted[position + 1:], *settings)
    _, cache, *_ = forward(x, *fitted, *settings)
    for error, bad in spoiled(sample(rng, x.shape), axes=range(4)):
        with pytest.raises(error, match=expected("dout", "shape .* like x")):
            backward(bad, cache)


@pytest.mark.parametrize("fit", [preprocess.centre_fit, preprocess.zca_fit])
def test_doors_of_fits(fit):
    x = sample(np.random.default_rng(14), (3, 2, 3, 2))
    for error, bad in spoiled(x, alone=True, axes=()):
        with pytest.raises(error, match=expected("x", PICTURES)):
            fit(bad)
    with pytest.raises(ValueError, match=r"^x: expected at least one picture, got none in shape \(0,"):
        fit(x[:0])


@pytest.mark.parametrize("function, settings, message", [
    (preprocess.gcn_forward, (0.0,), "scale: expected a number above 0, got 0.0"),
    (preprocess.gcn_forward, (-55,), "scale: expected a number above 0, got -55"),
    (preprocess.gcn_forward, (1.0, -1e-9), "eps: expected a number of at least 0, got -1e-09"),
    (preprocess.gcn_forward, (1.0, float("nan")), "eps: expected a number of at least 0, got nan"),
    (preprocess.zca_fit, (0.0,), "bias: expected a number above 0, got 0.0"),
    (preprocess.zca_fit, (float("nan"),), "bias: expected a number above 0, got nan"),
    (preprocess.lcn_forward, (8,), "kernel_size: expected an odd number of pixels, 1 at least, got 8"),
    (preprocess.lcn_forward, (-1,), "kernel_size: expected an odd number of pixels, 1 at least, got -1"),
    (preprocess.lcn_forward, (9, 0.0), "eps: expected a number above 0, got 0.0"),
])
def test_settings_that_make_no_sense_are_refused(function, settings, message):
    with pytest.raises(ValueError) as caught:
        function(np.ones((1, 1, 2, 2)), *settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("number", [float, np.float64])
def test_float32_stays_float32(number):
    x = sample(np.random.default_rng(15), (4, 2, 3, 2), np.float32)
    for forward, backward, args in (
            (preprocess.centre_forward, preprocess.centre_backward, preprocess.centre_fit(x)),
            (preprocess.gcn_forward, preprocess.gcn_backward, (number(55), number(1e-4))),
            (preprocess.zca_forward, preprocess.zca_backward, preprocess.zca_fit(x, number(0.1))),
            (preprocess.lcn_forward, preprocess.lcn_backward, (3, number(1e-4)))):
        out, cache, *fitted = forward(x, *args)
        assert {array.dtype for array in (out, backward(x, cache), *fitted)} == {np.dtype(np.float32)}


# the file


class Counted:
    """centre_fit and zca_fit in one, which counts how often it was called."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return (*preprocess.centre_fit(x), *preprocess.zca_fit(x))


def assert_same(comp, ref):
    assert isinstance(comp, tuple)
    for one, other in zip(comp, ref, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def x():
    return read_only(np.random.default_rng(16).standard_normal((5, 2, 3, 2)).astype(np.float32))


def test_a_fit_is_done_once(x, tmp_path):
    fit, folder = Counted(), tmp_path / "not" / "there yet"
    first = preprocess.fitted(fit, x, "white", folder)
    assert [path.name for path in folder.iterdir()] == ["white.npz"]
    assert_same(first, Counted()(x))
    again = preprocess.fitted(fit, x, "white", folder)
    assert_same(again, first)
    assert fit.calls == 1
    preprocess.fitted(fit, np.asfortranarray(x), "white", str(folder))       # the same pictures, elsewhere in memory
    assert fit.calls == 1


def test_a_fit_to_other_pictures_is_not_used(x, tmp_path):
    fit = Counted()
    preprocess.fitted(fit, x, "white", tmp_path)
    other = x.copy()
    other[-1, -1, -1, -1] = np.nextafter(other[-1, -1, -1, -1], np.float32(9))
    assert_same(preprocess.fitted(fit, other, "white", tmp_path), Counted()(other))
    turned = other.reshape(5, 2, 2, 3)                                       # the same bytes, other pictures
    assert_same(preprocess.fitted(fit, turned, "white", tmp_path), Counted()(turned))
    assert fit.calls == 3
    preprocess.fitted(fit, x, "white again", tmp_path)
    assert fit.calls == 4


@pytest.mark.parametrize("changed", [0, 999, 1000, 2500, 4999])
def test_every_picture_of_many_counts_for_the_fit_that_is_kept(changed, tmp_path):
    """Whitening of 5,000 pictures, of which one has changed: whatever is digested in parts is digested whole."""
    pictures = np.random.default_rng(17).standard_normal((5000, 1, 2, 1)).astype(np.float32)
    first = preprocess.fitted(preprocess.zca_fit, pictures, "white", tmp_path)
    pictures[changed] += 100
    again = preprocess.fitted(preprocess.zca_fit, pictures, "white", tmp_path)
    assert_same(again, preprocess.zca_fit(pictures))
    assert not np.array_equal(again[0], first[0])


@pytest.mark.parametrize("damage", ["empty", "cut", "one bit", "another archive", "pickled"])
def test_a_damaged_file_is_replaced(damage, x, tmp_path):
    fit, path = Counted(), tmp_path / "white.npz"
    first = preprocess.fitted(fit, x, "white", tmp_path)
    content = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[:len(content) // 2])
    elif damage == "one bit":
        at = content.index(first[0].tobytes())
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1:])
    elif damage == "another archive":
        np.savez(path, mean=first[0], p=first[1])
    else:
        with np.load(path) as archive:
            np.savez(path, fingerprint=archive["fingerprint"], arr_0=np.array([{}], object))
    assert_same(preprocess.fitted(fit, x, "white", tmp_path), first)
    assert fit.calls == 2
    assert_same(preprocess.fitted(fit, x, "white", tmp_path), first)
    assert fit.calls == 2


def test_a_folder_that_cannot_be_written_is_no_error(x, tmp_path):
    fit, folder = Counted(), tmp_path / "a file"
    folder.write_bytes(b"here")
    for calls in (1, 2):
        assert_same(preprocess.fitted(fit, x, "white", folder), Counted()(x))
        assert fit.calls == calls
    assert folder.read_bytes() == b"here"
    below = folder / "folder"
    assert_same(preprocess.fitted(fit, x, "white", below), Counted()(x))


def test_an_error_of_the_fit_is_the_callers(x, tmp_path):
    def fit(x):
        raise OSError("no luck")

    with pytest.raises(OSError, match=r"^no luck$"):
        preprocess.fitted(fit, x, "white", tmp_path)
    assert not list(tmp_path.iterdir())
