"""Convolution, its patches, max pooling: images that are not square, ragged strides, overlapping windows."""

import tracemalloc

import numpy as np
import pytest

from bnn_ref.ops import conv
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled, uniform

GEOMETRIES = (                            # N C H W, M KH KW, stride, pad, pad value
    ((1, 1, 1, 1), (1, 1, 1), 1, 0, 0.0),
    ((2, 3, 5, 4), (2, 3, 2), 1, 0, 0.0),
    ((1, 2, 4, 6), (3, 2, 3), 2, 1, -1.0),
    ((2, 1, 7, 5), (1, 3, 3), 3, 2, 1.0),
    ((1, 3, 2, 3), (2, 2, 3), 1, 3, 0.5),
    ((3, 2, 6, 3), (2, 1, 2), 4, 0, 0.0),        # stride > kernel: pixels in no patch
    ((1, 2, 3, 8), (4, 3, 8), 1, 0, 0.0),        # kernel = image
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolutions_agree_with_the_loops(geometry, dtype, layout):
    shape, (m, *kernel), *settings = geometry
    rng = np.random.default_rng(0)
    x, w = sample(rng, shape, dtype, layout), sample(rng, (m, shape[1], *kernel), dtype, layout)
    u = uniform(rng, w.shape, dtype, layout)
    for forward, backward, args, ref_w in (
            (conv.conv_forward, conv.conv_backward, (x, w), w),
            (conv.binary_conv_forward, conv.binary_conv_backward, (x, w), naive.sign(w)),
            (conv.stochastic_binary_conv_forward, conv.stochastic_binary_conv_backward, (x, w, u),
             naive.stochastic_sign(w, u))):
        comp_s, cache = forward(*args, *settings)
        assert_agree(comp_s, naive.conv(x, ref_w, *settings), dtype)
        ds = sample(rng, comp_s.shape, dtype, layout)
        for comp, ref in zip(backward(ds, cache), naive.conv_backward(ds, x, ref_w, *settings), strict=True):
            assert_agree(comp, ref, dtype)


def test_convolution_is_stride_one_without_padding_unless_told():
    rng = np.random.default_rng(1)
    x, w = sample(rng, (2, 1, 4, 3)), sample(rng, (1, 1, 2, 2))
    assert_agree(conv.conv_forward(x, w)[0], naive.conv(x, w, 1, 0, 0.0), np.float64)
    assert_agree(conv.conv_forward(x, w, pad=1)[0], naive.conv(x, w, 1, 1, 0.0), np.float64)


def test_pad_value_counts_in_the_border_alone():
    x, w = np.zeros((1, 1, 2, 2)), np.ones((1, 1, 3, 3))
    for pad_value in (-1.0, 1.0, 0.0):
        comp_s, _ = conv.binary_conv_forward(x, w, 1, 1, pad_value)
        np.testing.assert_array_equal(comp_s, np.full((1, 1, 2, 2), 5 * pad_value))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_im2col_is_the_patches_and_col2im_its_adjoint(geometry, dtype):
    shape, (_, *kernel), stride, pad, pad_value = geometry
    rng = np.random.default_rng(2)
    x = sample(rng, shape, dtype)
    comp_cols = conv.im2col(x, kernel, stride, pad, pad_value)
    assert_agree(comp_cols, naive.patches(x, kernel, stride, pad, pad_value), dtype)

    integers = read_only(rng.integers(-9, 10, shape).astype(dtype))         # so that the sums are exact
    c = read_only(rng.integers(-9, 10, comp_cols.shape).astype(dtype))
    comp_back = conv.col2im(c, shape, kernel, stride, pad)
    assert comp_back.shape == shape and comp_back.dtype == dtype
    assert np.sum(conv.im2col(integers, kernel, stride, pad, 0) * c) == np.sum(integers * comp_back)


def test_surrogates_have_slope_one_around_the_binary_weights():
    rng = np.random.default_rng(3)
    settings = 2, 1, -1.0
    x0, x = sample(rng, (2, 2, 5, 4)), sample(rng, (2, 2, 5, 4))
    w0, w, u = sample(rng, (3, 2, 3, 2)), sample(rng, (3, 2, 3, 2)), uniform(rng, (3, 2, 3, 2))
    assert_agree(conv.binary_conv_surrogate(x0, w0, *settings)(x, w, *settings)[0],
                 naive.conv(x, naive.sign(w0) + w - w0, *settings), np.float64)
    assert_agree(conv.stochastic_binary_conv_surrogate(x0, w0, u, *settings)(x, w, u, *settings)[0],
                 naive.conv(x, naive.stochastic_sign(w0, u) + w - w0, *settings), np.float64)


# max pooling

POOLS = (((1, 1, 1, 1), 1, 1), ((2, 3, 4, 6), 2, 2), ((1, 2, 7, 5), 3, 2), ((2, 1, 5, 6), 3, 1), ((1, 1, 7, 4), 2, 3),
         ((1, 1, 18, 20), 17, 1))        # N C H W, kernel, stride; 17² winners are more than a byte counts


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape, kernel, stride", POOLS, ids=str)
def test_max_pooling_agrees_with_the_loop(shape, kernel, stride, ties, dtype, layout):
    rng = np.random.default_rng(4)
    x = read_only(naive.LAYOUTS[layout](rng.integers(-1, 2, shape).astype(dtype))) if ties \
        else sample(rng, shape, dtype, layout)
    comp_out, cache = conv.max_pool_forward(x, kernel, stride)
    assert_agree(comp_out, naive.max_pool(x, kernel, stride), dtype)
    dout = sample(rng, comp_out.shape, dtype, layout)
    comp_dx = conv.max_pool_backward(dout, cache)
    assert_agree(comp_dx, naive.max_pool_backward(dout, x, kernel, stride), dtype)


def test_the_last_entry_of_a_large_window_can_win():
    x = np.zeros((1, 1, 17, 17))
    x[0, 0, 16, 16] = 1
    _, cache = conv.max_pool_forward(x, 17, 1)
    np.testing.assert_array_equal(conv.max_pool_backward(np.ones((1, 1, 1, 1)), cache), x)


def test_pooling_of_minus_infinity_gives_it_back_to_the_first():
    x = np.full((1, 1, 2, 2), -np.inf)
    comp_out, cache = conv.max_pool_forward(x, 2, 1)
    assert comp_out.item() == -np.inf
    assert conv.max_pool_backward(np.ones((1, 1, 1, 1)), cache).ravel().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("shape, kernel, stride", POOLS, ids=str)
def test_frozen_pooling_goes_on_choosing_the_winners(shape, kernel, stride):
    rng = np.random.default_rng(5)
    x0, x = read_only(rng.integers(-1, 2, shape) * 1.0), sample(rng, shape)
    frozen = conv.max_pool_frozen(x0, kernel, stride)
    np.testing.assert_array_equal(frozen(x0, kernel, stride)[0], naive.max_pool(x0, kernel, stride))
    comp_out = frozen(x, kernel, stride)[0]
    dout = sample(rng, comp_out.shape)
    ref_dx = naive.max_pool_backward(dout, x0, kernel, stride)
    np.testing.assert_allclose(np.sum(comp_out * dout), np.sum(x * ref_dx), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flatten(layout):
    rng = np.random.default_rng(6)
    x, dout = sample(rng, (2, 3, 4, 5), layout=layout), sample(rng, (2, 60), layout=layout)
    comp_out, cache = conv.flatten_forward(x)
    np.testing.assert_array_equal(comp_out, np.array([[x[n, c, i, j] for c in range(3) for i in range(4)
                                                       for j in range(5)] for n in range(2)]))
    np.testing.assert_array_equal(conv.flatten_forward(conv.flatten_backward(dout, cache))[0], dout)


# doors


@pytest.mark.parametrize("forward, backward, arguments", [
    (conv.conv_forward, conv.conv_backward, "xw"),
    (conv.binary_conv_forward, conv.binary_conv_backward, "xw"),
    (conv.stochastic_binary_conv_forward, conv.stochastic_binary_conv_backward, "xwu"),
])
def test_convolution_doors(forward, backward, arguments):
    rng = np.random.default_rng(7)
    good = {"x": sample(rng, (2, 3, 5, 4)), "w": sample(rng, (4, 3, 3, 2)), "u": uniform(rng, (4, 3, 3, 2))}
    good = {name: good[name] for name in arguments}
    for name, axes, shape in (("x", (), "N, C, H, W"), ("w", (1,), "M, C=3, KH, KW"),
                              ("u", range(4), "M=4, C=3, KH=3, KW=2")):
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes) if name in good else ():
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values(), 1, 0, 0.0)
    _, cache = forward(*good.values(), 1, 0, 0.0)
    for error, bad in spoiled(sample(rng, (2, 4, 3, 3)), axes=range(4)):
        with pytest.raises(error, match=expected("ds", r"shape \((N=2, M, OH, OW|2, 4, 3, 3)\)", "x")):
            backward(bad, cache)


@pytest.mark.parametrize("stride, pad", [(0, 0), (-1, 0), (1, -1)])
def test_stride_and_pad_out_of_range_are_refused(stride, pad):
    x, w = np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 2, 2))
    for call in (lambda: conv.im2col(x, (2, 2), stride, pad, 0), lambda: conv.conv_forward(x, w, stride, pad),
                 lambda: conv.binary_conv_forward(x, w, stride, pad, 0.0),
                 lambda: conv.stochastic_binary_conv_forward(x, w, w, stride, pad, 0.0),
                 lambda: conv.max_pool_forward(x, 2, stride) if pad == 0 else conv.im2col(x, (2, 2), 1, pad, 0)):
        with pytest.raises(ValueError, match=rf"^stride, pad: expected .*, got {stride} and {pad}$"):
            call()


@pytest.mark.parametrize("shape", [(1, 1, 2, 5), (1, 1, 5, 2)], ids=str)
def test_a_kernel_that_does_not_fit_is_refused(shape):
    x = np.zeros(shape)
    message = r"^kernel: expected at most the image side 2 with pad 1, got 5$"
    with pytest.raises(ValueError, match=message):
        conv.conv_forward(x, np.zeros((1, 1, 5, 5)), 1, 1)
    with pytest.raises(ValueError, match=message):
        conv.im2col(x, (5, 5), 1, 1, 0)
    with pytest.raises(ValueError, match=r"^kernel: expected at most the image side 2 with pad 0, got 3$"):
        conv.max_pool_forward(x, 3, 1)
    with pytest.raises(ValueError, match=r"^kernel: expected a side of at least 1, got 0$"):
        conv.max_pool_forward(x, 0, 1)


def test_pooling_and_flatten_doors():
    rng = np.random.default_rng(8)
    x = sample(rng, (2, 3, 4, 5))
    for error, bad in spoiled(x, alone=True, axes=()):
        with pytest.raises(error, match=expected("x", r"shape \(N, C, H, W\)")):
            conv.max_pool_forward(bad, 2, 1)
        with pytest.raises(error, match=expected("x", r"shape \(N, C, H, W\)")):
            conv.flatten_forward(bad)
    _, pool_cache = conv.max_pool_forward(x, 2, 2)
    for error, bad in spoiled(sample(rng, (2, 3, 2, 2)), alone=True, axes=range(4)):
        with pytest.raises(error, match=expected("dout", r"shape \(2, 3, 2, 2\)")):
            conv.max_pool_backward(bad, pool_cache)
    _, flat_cache = conv.flatten_forward(x)
    for error, bad in spoiled(sample(rng, (2, 60)), alone=True, axes=(0, 1)):
        with pytest.raises(error, match=expected("dout", r"shape \(2, 60\)")):
            conv.flatten_backward(bad, flat_cache)
    with pytest.raises(ValueError, match=r"^dout: expected shape \(2, 60\), got \(4, 30\)$"):
        conv.flatten_backward(np.zeros((4, 30)), flat_cache)


@pytest.mark.parametrize("images_at_once", [1, 2, 3, 4, 5])
def test_in_slices_as_at_once(images_at_once, monkeypatch):
    rng = np.random.default_rng(8)
    x, w = sample(rng, (5, 3, 6, 5)), sample(rng, (4, 3, 3, 2))
    s, cache = conv.conv_forward(x, w, 2, 1, -1.0)
    ds = rng.standard_normal(s.shape)
    dx, dw = conv.conv_backward(ds, cache)
    patches = conv.im2col(x[:1], (3, 2), 2, 1, -1.0).nbytes
    monkeypatch.setattr(conv, "COLUMNS_BYTES", images_at_once * patches + patches // 2)
    seen = []
    im2col = conv.im2col
    monkeypatch.setattr(conv, "im2col", lambda x, *rest: seen.append(len(x)) or im2col(x, *rest))
    sliced, cache = conv.conv_forward(x, w, 2, 1, -1.0)
    sliced_dx, sliced_dw = conv.conv_backward(ds, cache)
    whole, rest = divmod(5, images_at_once)
    assert seen == ([images_at_once] * whole + [rest] * (rest > 0)) * 2
    np.testing.assert_allclose(sliced, s, rtol=1e-12)
    np.testing.assert_allclose(sliced_dx, dx, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sliced_dw, dw, rtol=1e-12, atol=1e-12)


def test_patches_of_many_images_do_not_fill_the_memory(monkeypatch):
    """300 images of 64 kB of patches each, 1 MB of them at a time: the peak is far below the 19 MB of all."""
    x, w = np.ones((300, 4, 21, 21), np.float32), np.ones((2, 4, 3, 3), np.float32)
    monkeypatch.setattr(conv, "COLUMNS_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        s, cache = conv.conv_forward(x, w)
        conv.conv_backward(s, cache)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6
