"""The first layer on bit planes: the numbers of the binary layers on scaled pixels, to the bit."""

import re

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.ops import bit_planes, conv, dense
from bnn_ref.training.loop import scale_pixels
from tests.ops import naive, naive_preprocess
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, kinks, read_only, sample, spoiled

pytestmark = pytest.mark.task_packing

EDGES = (0, 255, 128, 127, 1, 254)


def random_pixels(rng, shape):
    """8-bit pixels with the edges of the range among them."""
    p = rng.integers(0, 256, shape, dtype=np.uint8)
    p.reshape(-1)[:len(EDGES)] = EDGES[:p.size]
    return p


def scaled(p, dtype=np.float64, layout="contiguous"):
    return read_only(LAYOUTS[layout](((2.0 * p - 255) / 256).astype(dtype)))


# pixels and planes


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_pixel_is_found_again(dtype):
    p = np.arange(256, dtype=np.uint8).reshape(2, 128)
    comp = bit_planes.pixels(scaled(p, dtype))
    assert comp.dtype == np.uint8
    np.testing.assert_array_equal(comp, p)
    np.testing.assert_array_equal(bit_planes.pixels(scale_pixels(p)), p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_planes_are_the_binary_digits(dtype):
    p = np.arange(256, dtype=np.uint8)
    planes = [bit_planes.bit_plane(p, n, dtype) for n in range(1, 9)]
    assert {plane.dtype for plane in planes} == {np.dtype(dtype)}
    for pixel in range(256):
        assert [int(plane[pixel]) for plane in reversed(planes)] == [int(digit) for digit in f"{pixel:08b}"]
    assert bit_planes.bit_plane(np.array([128], np.uint8), 8, dtype).tolist() == [1]       # the most significant


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [0.0, 1.0, -1.0, 2 / 256, 257 / 256, -257 / 256, 0.1, np.nan, np.inf, -np.inf,
                                 1 / 256 + 1e-9, np.nextafter(np.float32(255 / 256), np.float32(0))])
def test_what_is_no_pixel_is_refused(bad, dtype):
    x, w = np.array(scaled(np.full((2, 3), 7), dtype)), np.ones((3, 1), dtype)
    x[1, 2] = bad
    message = re.escape(f"x: expected pixels scaled to (2p - 255) / 256, p = 0, ..., 255, got {x[1, 2]}")
    for call in (lambda: bit_planes.pixels(x), lambda: bit_planes.bit_plane_dense_forward(x, w),
                 lambda: bit_planes.bit_plane_conv_forward(x.reshape(2, 1, 1, 3), w.reshape(3, 1, 1, 1), 1, 0, 0)):
        with pytest.raises(ValueError, match=f"^{message}$"):
            call()


def test_pixels_door():
    for error, bad in spoiled(scaled(np.zeros((2, 3))), alone=True):
        with pytest.raises(error, match=expected("x")):
            bit_planes.pixels(bad)


# dense


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 9, 4), (5, 3, 2), (3, 70, 5)], ids=str)
def test_dense_agrees_with_the_sum_over_bits(sizes, dtype, layout):
    n, d, m = sizes
    rng = np.random.default_rng(0)
    p, w, ds = random_pixels(rng, (n, d)), sample(rng, (d, m), dtype, layout), sample(rng, (n, m), dtype, layout)
    x = scaled(p, dtype, layout)
    comp_s, cache = bit_planes.bit_plane_dense_forward(x, w)
    ref = (2 * naive_preprocess.plane_dense(p, w) - 255 * naive_preprocess.signs_sum(w)) / 256
    assert comp_s.dtype == dtype
    np.testing.assert_array_equal(comp_s, ref)
    np.testing.assert_array_equal(comp_s, naive.matmul_of_pixels(p, w.T) / 256)            # Σ (2p - 255) w
    binary_s, binary_cache = dense.binary_dense_forward(x, w)
    np.testing.assert_array_equal(comp_s, binary_s)
    for comp, ref, binary in zip(bit_planes.bit_plane_dense_backward(ds, cache),
                                 naive.binary_dense_backward(ds, x, w),
                                 dense.binary_dense_backward(ds, binary_cache), strict=True):
        assert_agree(comp, ref, dtype)
        np.testing.assert_array_equal(comp, binary)


@pytest.mark.parametrize("fill", [0, 255, None])
def test_float32_is_exact_up_to_rows_of_65000(fill):
    """The largest sums: all pixels 0 or 255 with weights of one sign; and random ones."""
    rng = np.random.default_rng(1)
    p = random_pixels(rng, (2, 65_000)) if fill is None else np.full((2, 65_000), fill, np.uint8)
    w = np.ones((65_000, 2), np.float32)
    w[:, 1] = rng.standard_normal(65_000)
    comp, _ = bit_planes.bit_plane_dense_forward(scale_pixels(p), w)
    w_b = np.where(w >= 0, 1, -1)
    np.testing.assert_array_equal(comp.astype(np.float64) * 256, (2 * p.astype(np.int64) - 255) @ w_b)


def test_dense_by_hand():
    # p = 3 and 200; weights +1 (from exact 0) and -1: p · w_b = -197; scaled: (2·(-197) - 255·0) / 256
    s, _ = bit_planes.bit_plane_dense_forward(scaled(np.array([[3, 200]])), np.array([[0.0], [-0.5]]))
    assert s.tolist() == [[-394 / 256]]
    # weights +1, +1: (2·203 - 255·2) / 256
    s, _ = bit_planes.bit_plane_dense_forward(scaled(np.array([[3, 200]])), np.array([[-0.0], [2.0]]))
    assert s.tolist() == [[-104 / 256]]


# convolution


GEOMETRY = ((1, 0), (2, 1), (1, 2), (3, 3))                                                # stride, pad


@pytest.mark.parametrize("pad_value", [0, 1, -1.0, np.float64(1), 0.5])
@pytest.mark.parametrize("stride, pad", GEOMETRY)
@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_is_the_binary_convolution(dtype, stride, pad, pad_value):
    rng = np.random.default_rng(2)
    x, w = scaled(random_pixels(rng, (2, 3, 6, 5)), dtype), sample(rng, (4, 3, 3, 2), dtype)
    comp_s, cache = bit_planes.bit_plane_conv_forward(x, w, stride, pad, pad_value)
    binary_s, binary_cache = conv.binary_conv_forward(x, w, stride, pad, pad_value)
    assert comp_s.dtype == dtype
    np.testing.assert_array_equal(comp_s, binary_s)
    np.testing.assert_array_equal(comp_s, naive.conv(x, naive.sign(w), stride, pad, pad_value))
    ds = sample(rng, comp_s.shape, dtype)
    refs = naive.conv_backward(ds, x, naive.sign(w), stride, pad, pad_value)
    for comp, ref, binary in zip(bit_planes.bit_plane_conv_backward(ds, cache), refs,
                                 conv.binary_conv_backward(ds, binary_cache), strict=True):
        assert_agree(comp, ref, dtype)
        np.testing.assert_array_equal(comp, binary)


def test_a_border_of_zeros_is_half_a_pixel_not_a_black_one():
    black = scaled(np.zeros((1, 1, 1, 1)))
    w = np.ones((1, 1, 3, 3))
    for pad_value in (0, 1, -1):
        s, _ = bit_planes.bit_plane_conv_forward(black, w, 1, 1, pad_value)
        assert s.ravel().tolist() == [-255 / 256 + 8 * pad_value]


# estimators


def test_backwards_are_the_derivatives_of_their_surrogates():
    rng = np.random.default_rng(3)
    x, w = scaled(random_pixels(rng, (4, 6))), rng.standard_normal((6, 3))
    w.reshape(-1)[:3] = kinks(np.float64)[[0, 2, 3]]                                       # 0 and ±1: no mask there
    check_op(bit_planes.bit_plane_dense_forward, bit_planes.bit_plane_dense_backward, x, w,
             surrogate=bit_planes.bit_plane_dense_surrogate)
    x, w = scaled(random_pixels(rng, (2, 2, 4, 5))), rng.standard_normal((3, 2, 2, 3))
    check_op(bit_planes.bit_plane_conv_forward, bit_planes.bit_plane_conv_backward, x, w, 2, 1, -1.0,
             surrogate=bit_planes.bit_plane_conv_surrogate)


@pytest.mark.parametrize("dtype", DTYPES)
def test_surrogates_have_slope_one_around_the_binary_weights(dtype):
    rng = np.random.default_rng(4)
    x0, x = sample(rng, (4, 5), dtype), sample(rng, (4, 5), dtype)
    w0, w = sample(rng, (5, 3), dtype), sample(rng, (5, 3), dtype)
    moved = naive.sign(w0) + w.astype(float) - w0
    assert_agree(bit_planes.bit_plane_dense_surrogate(x0, w0)(x, w)[0], naive.dense(x, moved), dtype)
    x0, x = sample(rng, (2, 2, 4, 3), dtype), sample(rng, (2, 2, 4, 3), dtype)
    w0, w = sample(rng, (3, 2, 2, 2), dtype), sample(rng, (3, 2, 2, 2), dtype)
    moved = naive.sign(w0) + w.astype(float) - w0
    comp, _ = bit_planes.bit_plane_conv_surrogate(x0, w0, 2, 1, -1.0)(x, w, 2, 1, -1.0)
    assert_agree(comp, naive.conv(x, moved, 2, 1, -1.0), dtype)


# what the trap says


def test_planes_as_signs_give_255_times_the_centred_product():
    rng = np.random.default_rng(5)
    p, w = random_pixels(rng, (3, 20)), rng.standard_normal((20, 4))
    w_b = naive.sign(w)
    planes = [bit_planes.bit_plane(p, n, np.float64) for n in range(1, 9)]
    xnor = sum(2 ** n * (2 * plane - 1) @ w_b for n, plane in enumerate(planes))
    np.testing.assert_allclose(xnor, 255 * naive.dense(2.0 * p / 255 - 1, w_b), rtol=1e-12, atol=1e-9)
    popcounts = sum(2 ** n * (2 * plane @ (w_b > 0) - plane.sum(axis=1, keepdims=True))
                    for n, plane in enumerate(planes))
    np.testing.assert_array_equal(popcounts, naive_preprocess.plane_dense(p, w))


# doors


def test_dense_doors():
    rng = np.random.default_rng(6)
    x, w = scaled(random_pixels(rng, (4, 3))), sample(rng, (3, 5))
    for error, bad in spoiled(x, alone=True, axes=()):
        with pytest.raises(error, match=expected("x", r"shape \(N, D\)")):
            bit_planes.bit_plane_dense_forward(bad, w)
    for error, bad in spoiled(w, axes=(0,)):
        with pytest.raises(error, match=expected("w", r"shape \(D=3, M\)")):
            bit_planes.bit_plane_dense_forward(x, bad)
    _, cache = bit_planes.bit_plane_dense_forward(x, w)
    for error, bad in spoiled(sample(rng, (4, 5)), axes=(0, 1)):
        with pytest.raises(error, match=expected("ds", r"shape \(N=4, M=5\)")):
            bit_planes.bit_plane_dense_backward(bad, cache)


def test_conv_doors():
    rng = np.random.default_rng(7)
    x, w = scaled(random_pixels(rng, (2, 3, 6, 5))), sample(rng, (4, 3, 3, 2))
    for error, bad in spoiled(x, alone=True, axes=()):
        with pytest.raises(error, match=expected("x", r"shape \(N, C, H, W\)")):
            bit_planes.bit_plane_conv_forward(bad, w, 1, 0, 0)
    for error, bad in spoiled(w, axes=(1,)):
        with pytest.raises(error, match=expected("w", r"shape \(M, C=3, KH, KW\)")):
            bit_planes.bit_plane_conv_forward(x, bad, 1, 0, 0)
    for geometry in ((0, 1, 0), (1, -1, 0)):
        with pytest.raises(ValueError, match=r"^stride, pad: expected stride >= 1 and pad >= 0, got "):
            bit_planes.bit_plane_conv_forward(x, w, *geometry)
