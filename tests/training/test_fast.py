"""Every fast function of training equals its readable twin, to the last bit, and so does a run made of them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.bench import torch_step
from bnn_ref.kernels import compiled, recycle
from bnn_ref.nets import network, recipe, steps
from bnn_ref.ops import batchnorm, binarize, bitwise, conv, dense, dropout, losses, optim
from bnn_ref.papers import PAPERS
from bnn_ref.training import loop
from bnn_ref.training.fast import bitwise as fast_bitwise
from bnn_ref.training.fast import conv as fast_conv
from bnn_ref.training.fast import dense as fast_dense
from bnn_ref.training.fast import norm as fast_norm
from bnn_ref.training.fast import steps as fast_steps
from bnn_ref.training.fast import update as fast_update
from tests.ops import naive
from tests.ops.naive import DTYPES, LAYOUTS, read_only, sample

# NaN and infinities are part of it; np.errstate would not reach the threads of plain-Python kernels.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")

RNG = np.random.default_rng
SIZES = [1, 63, 64, 65, 130] if compiled.COMPILED else [1, 3, 65]


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    """Pieces so small that there is work for every thread, batches of patches so small that there are several."""
    monkeypatch.setattr(fast_dense, "PIECE", 20)
    monkeypatch.setattr(fast_update, "PIECE", 20)
    monkeypatch.setattr(fast_dense, "PANEL", 20)
    monkeypatch.setattr(fast_conv, "CACHE", 1500)
    compiled.set_threads(request.param)
    yield request.param
    compiled.set_threads(None)


@pytest.fixture(autouse=True)
def used_memory(monkeypatch):
    """What the fast functions get to write to is full of NaN, or of the largest number: no entry may be forgotten."""
    def used(shape, dtype):
        array = recycle.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = 255
        return array

    for module in (fast_bitwise, fast_conv, fast_dense, fast_norm):
        monkeypatch.setattr(module, "empty", used)


def assert_same(comp, ref):
    """Equal to the last bit, dtype and shape included, in every array of (nested) tuples and dicts."""
    if isinstance(ref, (tuple, list)):
        assert len(comp) == len(ref)
        for one, other in zip(comp, ref):
            assert_same(one, other)
    elif isinstance(ref, dict):
        assert comp.keys() == ref.keys()
        for name in ref:
            assert_same(comp[name], ref[name])
    elif isinstance(ref, (np.ndarray, np.generic)):
        np.testing.assert_array_equal(comp, ref, strict=True)
        numbers = ~np.isnan(ref)
        np.testing.assert_array_equal(np.signbit(comp)[numbers], np.signbit(ref)[numbers])     # +0 is not -0
    else:
        assert comp == ref


def odd_numbers(rng, shape, dtype, layout="contiguous"):
    """`sample` with NaN and infinities."""
    x = np.array(sample(rng, shape, dtype))
    places = rng.permutation(x.size)[:3]
    x.reshape(-1)[places] = np.array([np.nan, np.inf, -np.inf], dtype)[:len(places)]
    return read_only(LAYOUTS[layout](x))


def plus_minus_one(rng, shape, dtype, layout="contiguous"):
    return read_only(LAYOUTS[layout](rng.choice(np.array([-1, 1], dtype), shape)))


# --- sign and products ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (7, 65), (2, 3, 5, 4), (0, 3)], ids=str)
def test_sign(shape, dtype, layout, threads):
    rng = RNG(0)
    x, dout = odd_numbers(rng, shape, dtype, layout), odd_numbers(rng, shape, dtype, layout)
    assert_same(fast_dense.sign(x), binarize.sign(x))
    assert_same(fast_dense.sign_forward(x), binarize.sign_forward(x))
    assert_same(fast_dense.sign_backward(dout, x), binarize.sign_backward(dout, x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, d, m", [(1, 1, 1), (3, 65, 5), (5, 7, 130)])
def test_dense(n, d, m, dtype, layout, threads):
    rng = RNG(0)
    x, w, ds = (sample(rng, shape, dtype, layout) for shape in ((n, d), (d, m), (n, m)))
    for fast, readable in ((fast_dense.dense_forward, dense.dense_forward),
                           (fast_dense.binary_dense_forward, dense.binary_dense_forward)):
        comp, ref = fast(x, w), readable(x, w)
        assert_same(comp, ref)
        comp_dx, comp_dw = fast_dense.dense_backward(ds, comp[1])
        ref_dx, ref_dw = dense.dense_backward(ds, ref[1])
        assert_same((comp_dx, comp_dw), (ref_dx, ref_dw))
        none, comp_dw = fast_dense.dense_backward_weights(ds, comp[1])
        assert none is None
        assert_same(comp_dw, ref_dw)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", SIZES)
@pytest.mark.parametrize("m", SIZES)
def test_weights_are_packed_with_their_signs(d, m, dtype, threads):
    w = odd_numbers(RNG(0), (d, m), dtype)
    comp_w_b, comp_packed = fast_dense.sign_and_pack(w)
    assert_same(comp_w_b, binarize.sign(w))
    assert comp_packed.tolist() == naive.words_of_signs(w.T)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, d, m", [(1, 1, 1), (3, 63, 2), (2, 64, 65), (9, 65, 130), (20, 130, 64), (0, 3, 2)])
def test_dense_on_bits(n, d, m, dtype, layout, threads):
    rng = RNG(0)
    x, w = plus_minus_one(rng, (n, d), dtype, layout), sample(rng, (d, m), dtype, layout)
    assert_same(fast_dense.xnor_dense_forward(x, w), dense.binary_dense_forward(x, w))


# --- the layers of bitwise networks --------------------------------------------------------------------------------


def assert_same_but_dx(comp, ref):
    assert comp[0] is None
    assert_same(comp[1:], ref[1:])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, d, m", [(1, 1, 1), (3, 65, 5), (5, 7, 130)])
def test_compressed_dense(n, d, m, dtype, layout, threads):
    rng = RNG(0)
    x, w, b, da = (sample(rng, shape, dtype, layout) for shape in ((n, d), (d, m), (m,), (n, m)))
    comp, ref = fast_bitwise.compressed_dense_forward(x, w, b), bitwise.compressed_dense_forward(x, w, b)
    assert_same(comp, ref)
    ref = bitwise.compressed_dense_backward(da, ref[1])
    assert_same(fast_bitwise.compressed_dense_backward(da, comp[1]), ref)
    assert_same_but_dx(fast_bitwise.compressed_dense_backward_weights(da, comp[1]), ref)


@pytest.mark.parametrize("beta", [0.0, 0.5, np.inf])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bitwise_weights(dtype, layout, beta, threads):
    w = np.array(odd_numbers(RNG(0), (7, 65), dtype))
    w[0, :4] = 0.5, -0.5, 0.0, -0.0                              # on the boundary
    w, beta = LAYOUTS[layout](w), np.array(beta, dtype)
    assert_same(fast_bitwise.bitwise_weights(w, beta), bitwise.bitwise_weights(w, beta))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, d, m", [(1, 1, 1), (3, 65, 5), (5, 7, 130)])
def test_bitwise_dense(n, d, m, dtype, layout, threads):
    rng = RNG(0)
    x, w, b, da = (sample(rng, shape, dtype, layout) for shape in ((n, d), (d, m), (m,), (n, m)))
    beta_w, beta_b = np.array(0.5, dtype), np.array(0.7, dtype)
    comp = fast_bitwise.bitwise_dense_forward(x, w, b, beta_w, beta_b)
    ref = bitwise.bitwise_dense_forward(x, w, b, beta_w, beta_b)
    assert_same(comp, ref)
    ref = bitwise.bitwise_dense_backward(da, ref[1])
    assert_same(fast_bitwise.bitwise_dense_backward(da, comp[1]), ref)
    assert_same_but_dx(fast_bitwise.bitwise_dense_backward_weights(da, comp[1]), ref)


# --- batch normalization -------------------------------------------------------------------------------------------

BATCHES = [(1, 1), (5, 1), (1, 3), (2, 2), (100, 65), (7, 130), (3, 2, 1, 1), (2, 3, 1, 7), (2, 3, 4, 2), (3, 2, 5, 13),
           (4, 1, 6, 6), (2, 5, 14, 14), (2, 3, 8, 16), (2, 3, 16, 17)]
if compiled.COMPILED:
    BATCHES += [(2, 2, 28, 28), (2, 2, 64, 128), (1, 2, 64, 129), (2, 3, 61, 67)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batchnorm(shape, dtype, layout, threads):
    rng = RNG(0)
    x, da = sample(rng, shape, dtype, layout), sample(rng, shape, dtype, layout)
    per_unit = [sample(rng, shape[1:2], dtype, layout) for _ in range(3)] + [naive.uniform(rng, shape[1:2], dtype)]
    for settings in ({}, {"eps": 0.01, "alpha": 0.3}, {"eps": np.float64(0.01)}):
        comp = fast_norm.batchnorm_forward(x, *per_unit, **settings)
        ref = batchnorm.batchnorm_forward(x, *per_unit, **settings)
        assert_same(comp, ref)
        assert_same(fast_norm.batchnorm_backward(da, comp[1]), batchnorm.batchnorm_backward(da, ref[1]))


@pytest.mark.parametrize("size", [fast_norm.LARGEST, fast_norm.LARGEST - 1, fast_norm.LARGEST // 2 + 9])
def test_the_largest_maps_are_summed_within_the_scratch_that_there_is(size):
    """Compiled code does not check an index: beside the scratch lies poison, which must be there afterwards."""
    x = RNG(0).standard_normal(size).astype(np.float32)
    left, right = np.full(fast_norm.DEPTH + 64, 7, np.float32), np.full(fast_norm.DEPTH + 64, 7)
    right[:fast_norm.DEPTH] = 0
    total = fast_norm._pairwise(x, left[:fast_norm.DEPTH], right[:fast_norm.DEPTH])
    assert (left[fast_norm.DEPTH:] == 7).all() and (right[fast_norm.DEPTH:] == 7).all()
    assert total == x.sum()
    assert fast_norm._fits(np.empty((1, 2, 1, fast_norm.LARGEST), np.float32))
    assert not fast_norm._fits(np.empty((1, 2, 1, fast_norm.LARGEST + 1), np.float32))


def test_batchnorm_of_an_empty_batch_is_refused():
    x, units = np.zeros((0, 3)), np.ones(3)
    for forward in (fast_norm.batchnorm_forward, batchnorm.batchnorm_forward):
        with pytest.raises(ValueError, match=r"^x: expected at least one entry, got shape \(0, 3\)$"):
            forward(x, units, units, units, units)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 3)], ids=str)
def test_batchnorm_passes_on_what_is_no_number(shape):
    rng = RNG(0)
    x, da = odd_numbers(rng, shape, np.float32), odd_numbers(rng, shape, np.float32)
    units = np.ones(shape[1], np.float32)
    comp = fast_norm.batchnorm_forward(x, units, units, units, units)
    assert_same(comp, batchnorm.batchnorm_forward(x, units, units, units, units))
    assert_same(fast_norm.batchnorm_backward(da, comp[1]), batchnorm.batchnorm_backward(da, comp[1]))


# --- convolution and pooling ---------------------------------------------------------------------------------------

GEOMETRIES = (                            # N C H W, M KH KW, stride, pad, pad value
    ((1, 1, 1, 1), (1, 1, 1), 1, 0, 1.0),
    ((2, 3, 5, 4), (2, 3, 2), 1, 0, -1.0),
    ((1, 2, 4, 6), (3, 2, 3), 2, 1, -1.0),
    ((2, 1, 7, 5), (1, 3, 3), 3, 2, 1.0),
    ((3, 2, 6, 3), (2, 1, 2), 4, 0, 1.0),        # stride > kernel: pixels in no patch
    ((1, 2, 3, 8), (4, 3, 8), 1, 0, 1.0),        # kernel = image
    ((5, 7, 6, 5), (3, 3, 3), 1, 1, -1.0),       # 63 entries in a patch
    ((4, 16, 5, 6), (3, 2, 2), 1, 1, 1.0),       # 64
    ((3, 13, 4, 4), (2, 5, 5), 1, 2, -1.0),      # 325
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolution(geometry, dtype, layout, threads):
    shape, (m, *kernel), stride, pad, border = geometry
    rng = RNG(0)
    real, w = sample(rng, shape, dtype, layout), sample(rng, (m, shape[1], *kernel), dtype, layout)
    binary = plus_minus_one(rng, shape, dtype, layout)
    u = rng.random(w.shape, dtype)
    for fast, readable, x, draw, pad_value in (
            (fast_conv.conv_forward, conv.conv_forward, real, (), 0.5),
            (fast_conv.binary_conv_forward, conv.binary_conv_forward, real, (), border),
            (fast_conv.stochastic_binary_conv_forward, conv.stochastic_binary_conv_forward, real, (u,), border),
            (fast_conv.xnor_conv_forward, conv.binary_conv_forward, binary, (), border)):
        settings = *draw, stride, pad, pad_value
        (comp_s, comp_cache), (ref_s, ref_cache) = fast(x, w, *settings), readable(x, w, *settings)
        assert_same(comp_s, ref_s)
        ds = sample(rng, ref_s.shape, dtype, layout)
        ref_dx, ref_dw = conv.conv_backward(ds, ref_cache)
        assert_same(fast_conv.conv_backward(ds, comp_cache), (ref_dx, ref_dw))
        none, comp_dw = fast_conv.conv_backward_weights(ds, comp_cache)
        assert none is None
        assert_same(comp_dw, ref_dw)


def test_convolution_of_no_picture():
    x, w = np.zeros((0, 2, 4, 4), np.float32), np.ones((3, 2, 3, 3), np.float32)
    for fast in (fast_conv.conv_forward, fast_conv.xnor_conv_forward):
        s, cache = fast(x, w, 1, 1, 1.0)
        assert s.shape == (0, 3, 4, 4)
        assert_same(fast_conv.conv_backward(s, cache), (x, np.zeros_like(w)))


POOLS = (((1, 1, 1, 1), 1, 1), ((2, 3, 4, 6), 2, 2), ((1, 2, 7, 5), 3, 2), ((2, 1, 5, 6), 3, 1), ((1, 1, 7, 4), 2, 3),
         ((1, 1, 18, 20), 17, 1), ((0, 2, 4, 4), 2, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["ties", "odd", "no winner"])
@pytest.mark.parametrize("shape, kernel, stride", POOLS, ids=str)
def test_max_pooling(shape, kernel, stride, kind, dtype, layout, threads):
    rng = RNG(0)
    if kind == "ties":
        x = read_only(LAYOUTS[layout](rng.integers(-1, 2, shape).astype(dtype)))
    elif kind == "no winner":
        x = read_only(LAYOUTS[layout](np.where(rng.random(shape) < 0.2, np.nan, -np.inf).astype(dtype)))
    else:
        x = odd_numbers(rng, shape, dtype, layout) + dtype(0)                     # + 0: no -0 to tie with +0
    comp, ref = fast_conv.max_pool_forward(x, kernel, stride), conv.max_pool_forward(x, kernel, stride)
    assert_same(comp, ref)
    dout = odd_numbers(rng, ref[0].shape, dtype, layout)
    assert_same(fast_conv.max_pool_backward(dout, comp[1]), conv.max_pool_backward(dout, ref[1]))


# --- doors ---------------------------------------------------------------------------------------------------------


def message(function, *arguments):
    with pytest.raises((TypeError, ValueError)) as caught:
        function(*arguments)
    return caught.type, str(caught.value)


def test_wrong_arrays_are_refused_in_the_same_words():
    rows, maps, units = np.zeros((2, 3)), np.zeros((2, 3, 4, 4)), np.zeros(3)
    w, b, beta, kernels = np.zeros((3, 5)), np.zeros(5), np.zeros(()), np.zeros((5, 3, 3, 3))
    dense_cache, conv_cache = (rows, w), conv.conv_forward(maps, kernels)[1]
    fast_cache = fast_conv.conv_forward(maps, kernels)[1]
    pool_cache = conv.max_pool_forward(maps, 2, 2)[1]
    for fast, readable, good in (
            (fast_dense.sign_forward, binarize.sign_forward, [rows]),
            (fast_dense.dense_forward, dense.dense_forward, [rows, w]),
            (fast_dense.binary_dense_forward, dense.binary_dense_forward, [rows, w]),
            (fast_dense.xnor_dense_forward, dense.binary_dense_forward, [rows, w]),
            (fast_bitwise.compressed_dense_forward, bitwise.compressed_dense_forward, [rows, w, b]),
            (fast_bitwise.bitwise_weights, bitwise.bitwise_weights, [w, beta]),
            (fast_bitwise.bitwise_dense_forward, bitwise.bitwise_dense_forward, [rows, w, b, beta, beta]),
            (fast_norm.batchnorm_forward, batchnorm.batchnorm_forward, [rows, units, units, units, units]),
            (fast_conv.conv_forward, conv.conv_forward, [maps, kernels, 1, 0, 0.0]),
            (fast_conv.binary_conv_forward, conv.binary_conv_forward, [maps, kernels, 1, 0, 0.0]),
            (fast_conv.stochastic_binary_conv_forward, conv.stochastic_binary_conv_forward,
             [maps, kernels, kernels, 1, 0, 0.0]),
            (fast_conv.xnor_conv_forward, conv.binary_conv_forward, [maps, kernels, 1, 0, 1.0]),
            (fast_conv.max_pool_forward, conv.max_pool_forward, [maps, 2, 2])):
        for place in [i for i, value in enumerate(good) if isinstance(value, np.ndarray)]:
            for bad in (good[place].astype(np.float16), good[place].tolist()):
                spoiled = [*good[:place], bad, *good[place + 1:]]
                assert message(fast, *spoiled) == message(readable, *spoiled)
    for stride, pad in ((0, 0), (1, -1)):
        assert message(fast_conv.conv_forward, maps, kernels, stride, pad) \
            == message(conv.conv_forward, maps, kernels, stride, pad)
    for ds in (np.zeros((2, 4)), np.zeros((2, 5), np.float32)):
        assert message(fast_dense.dense_backward, ds, dense_cache) \
            == message(fast_dense.dense_backward_weights, ds, dense_cache) \
            == message(dense.dense_backward, ds, dense_cache)
        for name, cache in (("compressed_dense", (rows, w, b)), ("bitwise_dense", (rows, w))):
            assert message(getattr(fast_bitwise, f"{name}_backward"), ds, cache) \
                == message(getattr(fast_bitwise, f"{name}_backward_weights"), ds, cache) \
                == message(getattr(bitwise, f"{name}_backward"), ds, cache)
    assert message(fast_dense.sign_backward, rows, w) == message(binarize.sign_backward, rows, w)
    ds = np.zeros((2, 5, 2, 3))
    assert message(fast_conv.conv_backward, ds, fast_cache) == message(conv.conv_backward, ds, conv_cache)
    for dout in (np.zeros((2, 3, 2, 1)), np.zeros((2, 3, 2, 2), int)):
        assert message(fast_conv.max_pool_backward, dout, pool_cache) \
            == message(conv.max_pool_backward, dout, pool_cache)
    assert message(fast_norm.batchnorm_backward, rows, (w, units, units)) \
        == message(batchnorm.batchnorm_backward, rows, (w, units, units))


# --- updates -------------------------------------------------------------------------------------------------------

UPDATES = pytest.mark.parametrize("init, step, in_place", [
    (optim.adam_init, optim.adam_step, fast_update.adam_step_in_place),
    (optim.shift_adamax_init, optim.shift_adamax_step, fast_update.shift_adamax_step_in_place),
], ids=["Adam", "shift-based AdaMax"])


@UPDATES
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("settings", [{}, {"beta1": 0.6, "beta2": 0.7, "eps": 0.1}], ids=str)
def test_an_update_in_place(init, step, in_place, dtype, settings, threads):
    rng = RNG(0)
    shapes = {"a": (5, 3), "b": (131,), "c": (2, 1, 3, 2), "none": (0, 3)}
    params = {name: np.array(sample(rng, shape, dtype)) for name, shape in shapes.items()}
    params["b"][:3] = np.nan, np.inf, -np.inf
    state = init(params)
    comp_params, comp_state = fast_update.own(params, state)
    kept = comp_params["a"]
    for t, layout in enumerate(LAYOUTS, start=1):
        grads = {name: sample(rng, shape, dtype, layout) for name, shape in shapes.items()}
        rates = {name: 0.1 * t + 0.1 * i for i, name in enumerate(shapes)}
        params, state = step(params, grads, state, rates, **settings)
        params = optim.clip_weights(params, ["a", "b"])
        comp_params, comp_state = in_place(comp_params, grads, comp_state, rates, ["a", "b"], **settings)
        assert_same(comp_params, params)
        assert_same(comp_state, state)
    assert comp_params["a"] is kept
    assert np.abs(params["a"]).max() == 1 < np.abs(params["c"]).max()             # there was something to clip


@UPDATES
def test_an_update_clips_nothing_unless_told_and_takes_one_rate_for_all(init, step, in_place):
    params, grads = {"w": np.array([0.95, -3.0], np.float32)}, {"w": np.array([-1.0, 1.0], np.float32)}
    state = init(params)
    comp_params, comp_state = fast_update.own(params, state)
    comp = in_place(comp_params, grads, comp_state, 0.1)
    assert_same(comp, step(params, grads, state, 0.1))
    assert np.abs(comp[0]["w"]).min() > 1


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_shift_adamax_in_place_rounds_as_ap2_does(dtype):
    """The floats on both sides of every √2 · 2^k and 2^k, the smallest and largest, infinity and NaN; three steps."""
    info = np.finfo(dtype)
    powers = np.ldexp(np.ones((), dtype), np.arange(info.minexp - info.nmant, info.maxexp))
    roots = [powers * dtype(np.sqrt(2)), powers * np.nextafter(dtype(np.sqrt(2)), dtype(2))]
    g = np.concatenate([powers, np.nextafter(powers, dtype(0)), np.nextafter(powers, dtype(np.inf)), *roots,
                        np.array([0, info.max, np.inf, np.nan], dtype)])
    params, grads = {"w": np.zeros(2 * len(g), dtype)}, {"w": np.concatenate([g, -g])}
    state = optim.shift_adamax_init(params)
    comp_params, comp_state = fast_update.own(params, state)
    for step in range(3):
        params, state = optim.shift_adamax_step(params, grads, state, 0.1)
        comp_params, comp_state = fast_update.shift_adamax_step_in_place(comp_params, grads, comp_state, 0.1)
        assert_same((comp_params, comp_state), (params, state))
        grads = {"w": grads["w"][::-1] if step else np.zeros_like(grads["w"])}


def test_owned_arrays_are_copies():
    params = {"w": np.asfortranarray(np.ones((2, 3)))}
    state = optim.adam_init(params)
    comp_params, comp_state = fast_update.own(params, state)
    assert_same((comp_params, comp_state), (params, state))
    for comp, ref in ((comp_params, params), (comp_state["m"], state["m"]), (comp_state["u"], state["u"])):
        assert not np.shares_memory(comp["w"], ref["w"])
        assert comp["w"].flags.c_contiguous


@UPDATES
def test_an_update_in_place_refuses_what_does_not_fit(init, step, in_place):
    params = {"w": np.ones((2, 3))}
    state = init(params)
    for grads in ({"w": np.ones(6)}, {"v": np.ones((2, 3))}):
        assert message(in_place, params, grads, state, 0.1) == message(step, params, grads, state, 0.1)
    with pytest.raises(ValueError, match=r"^params: expected C-contiguous arrays .* in w$"):
        in_place({"w": np.ones((3, 2)).T}, params, state, 0.1)


# --- memory --------------------------------------------------------------------------------------------------------


def test_memory_comes_back_when_the_last_view_has_died_and_not_before(monkeypatch):
    monkeypatch.setattr(recycle, "_waiting", {})
    shape = 3, recycle.LEAST
    first = recycle.empty(shape, np.float32)
    assert first.shape == shape and first.dtype == np.float32 and first.flags.c_contiguous and first.flags.writeable
    address = first.ctypes.data
    view = first[1:].T[5:9]
    view[:] = 7
    del first
    second = recycle.empty(shape, np.float32)
    second[:] = 0
    assert second.ctypes.data != address
    assert (view == 7).all()
    del view
    assert recycle.empty((recycle.LEAST, 3), np.int32).ctypes.data == address     # any shape and type of that size
    assert recycle.empty(shape, np.float32).ctypes.data == address
    small = recycle.empty((3, 5), np.float64)
    assert small.shape == (3, 5) and small.base is None


def test_no_more_memory_waits_than_agreed(monkeypatch):
    monkeypatch.setattr(recycle, "_waiting", {})
    monkeypatch.setattr(recycle, "KEPT", 3 * recycle.LEAST)
    several = [recycle.empty((recycle.LEAST,), np.uint8) for _ in range(5)]
    del several
    assert [len(pieces) for pieces in recycle._waiting.values()] == [3]


# --- the network ---------------------------------------------------------------------------------------------------


def forwards(net, **settings):
    chosen = recipe.Recipe(net, 1, 10, (0.01, 0.01), **settings)
    fast = fast_steps.accelerate(recipe.build(chosen, (1, 8, 8), 10, PAPERS["bnn"].VOCABULARIES["deterministic"]))
    return {step.name: step.forward for step in fast}


def test_products_run_on_bits_where_their_input_is_binary():
    mlp = forwards("8FC-8FC")
    assert mlp["fc1"] is fast_dense.binary_dense_forward
    assert mlp["fc2"] is mlp["fc3"] is fast_dense.xnor_dense_forward
    dropped = forwards("8FC-8FC", dropout=(0.1, 0.2))
    assert dropped["fc2"] is dropped["fc3"] is fast_dense.binary_dense_forward
    assert dropped["drop1"] is dropout.dropout_forward
    for pad_value, on_bits in ((-1.0, True), (1.0, True), (0.0, False)):
        net = forwards("4C3-4C3-MP2-8FC", pad_value=pad_value)
        assert net["conv1"] is fast_conv.binary_conv_forward
        assert (net["conv2"] is fast_conv.xnor_conv_forward) == on_bits
        assert net["fc3"] is fast_dense.xnor_dense_forward
    assert forwards("4C1-4C1")["conv2"] is fast_conv.xnor_conv_forward       # no border, no matter what it holds
    relu = fast_steps.accelerate((steps.sign_step("act"), steps.relu_step("relu"), steps.binary_dense_step("fc", 3, 2)))
    assert relu[2].forward is fast_dense.binary_dense_forward
    pooled = fast_steps.accelerate((steps.stochastic_sign_step("act"), steps.max_pool_step("pool", 2, 2),
                                  steps.flatten_step("flat"), steps.binary_dense_step("fc", 3, 2)))
    assert pooled[3].forward is fast_dense.xnor_dense_forward


@pytest.mark.parametrize("net, first, backward", [("8FC", "fc1", fast_dense.dense_backward_weights),
                                                  ("4C3-8FC", "conv1", fast_conv.conv_backward_weights)])
def test_nothing_is_derived_below_the_first_weights(net, first, backward):
    chosen = recipe.Recipe(net, 1, 10, (0.01, 0.01), dropout=(0.1, 0.0))
    fast = fast_steps.accelerate(recipe.build(chosen, (1, 8, 8), 10, PAPERS["bnn"].VOCABULARIES["deterministic"]))
    backwards = {step.name: step.backward for step in fast}
    assert backwards[first] is backward
    assert backwards["drop0"](None, None) is None
    assert backwards["fc2"] is fast_dense.dense_backward
    params, running = network.init(fast, RNG(0))
    out, caches, _ = network.forward(fast, params, running, np.ones((2, 1, 8, 8), np.float32), RNG(1))
    dx, grads = network.backward(fast, caches, out)
    assert dx is None and grads.keys() == params.keys()


def test_both_rounds_of_a_bitwise_network_are_fast():
    after = PAPERS["bitwise"].VOCABULARIES["bipolar"](CHOICES)
    for vocabulary, forward, backward in (
            (after.before, fast_bitwise.compressed_dense_forward, fast_bitwise.compressed_dense_backward),
            (after, fast_bitwise.bitwise_dense_forward, fast_bitwise.bitwise_dense_backward)):
        net = recipe.build(recipe.Recipe("8FC", 1, 10, (0.01, 0.01)), (1, 8, 8), 10, vocabulary)
        fast = {step.name: step for step in fast_steps.accelerate(net)}
        assert fast["fc1"].forward is fast["fc2"].forward is forward
        assert fast["fc2"].backward is backward
        assert fast["fc1"].backward is getattr(fast_bitwise, f"{backward.__name__}_weights")


def test_an_accelerated_network_describes_and_predicts_as_before():
    net = (steps.flatten_step("flat"), steps.binary_dense_step("fc1", 4, 3), steps.batchnorm_step("bn1", 3))
    fast = fast_steps.accelerate(net)
    assert network.describe(fast) == network.describe(net)
    assert [step.predict for step in fast] == [step.predict for step in net]
    assert network.param_specs(fast) == network.param_specs(net)


@pytest.mark.parametrize("net", ["130FC-65FC", "5C3-MP2-66C3-70FC"])
def test_an_accelerated_network_predicts_the_same(net, threads):
    net = recipe.build(recipe.Recipe(net, 1, 1, (1, 1), pad_value=-1.0), (1, 8, 8), 10,
                       PAPERS["bnn"].VOCABULARIES["deterministic"])
    params, running = network.init(net, RNG(0))
    x = loop.scale_pixels(DIGITS.test_x[:30])
    running = network.recompute_statistics(net, params, running, [x])
    fast = fast_steps.accelerate(net)
    assert fast[1].forward is not net[1].forward
    assert_same(network.recompute_statistics(fast, params, running, [x]), running)
    assert_same(network.predict(fast, params, running, x), network.predict(net, params, running, x))


@pytest.mark.skipif(not compiled.COMPILED, reason="they are not taken where they are not compiled")
def test_training_takes_them_where_there_is_much_to_do_and_writes_the_same(monkeypatch):
    """Both ways through `loop.train`, two epochs: every State, the first one after the second was made."""
    chosen = recipe.Recipe("65FC-64FC", 2, 50, (3e-3, 3e-5), dropout=(0.1, 0.2))
    net = recipe.build(chosen, (1, 8, 8), 10, PAPERS["bnn"].VOCABULARIES["deterministic"])
    states, taken = [], []
    monkeypatch.setattr(fast_steps, "training_step", lambda *args, step=fast_steps.training_step: (
        taken.append(1), step(*args))[1])
    monkeypatch.setattr(loop, "_begin_to_warm", lambda *args: None)
    for least in (math.inf, 0):
        monkeypatch.setattr(loop, "FAST_WORK", least)
        states.append(list(loop.train(net, chosen, DIGITS, loop.start(net, chosen, 0), 0)))
        assert len(taken) == (2 * (len(DIGITS.train_x) // 50) if len(states) == 2 else 0)
    for readable, fast in zip(*states):
        for field in ("params", "running", "optimizer", "best_params", "best_running", "best_epoch"):
            assert_same(getattr(fast, field), getattr(readable, field))
        assert [{**record, "seconds": 0, "cpu_seconds": 0} for record in fast.history] == [
            {**record, "seconds": 0, "cpu_seconds": 0} for record in readable.history]


def run(chosen, module, weights, fast, count, dtype=np.float32):
    """The losses of `count` steps of the first round on the digits, and the state after them."""
    chosen, vocabulary = recipe.rounds(chosen, module.VOCABULARIES[weights])[0]
    net = recipe.build(chosen, (1, 8, 8), 10, vocabulary)
    images, labels = DIGITS.train_x, DIGITS.train_y
    params, running = network.init(net, RNG(0), dtype)
    running = network.refresh(net, params, running)
    state = chosen.optimizer.init(params)
    rates = optim.learning_rates(0.03, loop.binary_shapes(net), params, chosen.optimizer.glorot_power)
    step = loop.training_step
    if fast:
        net, step = fast_steps.accelerate(net), fast_steps.training_step
        params, state = fast_steps.own(chosen, params, state)
    rng, all_losses = RNG(1), []
    for _ in range(count):
        batch = rng.integers(0, len(images), chosen.batch)
        x = loop.scale_pixels(images[batch]).astype(dtype)
        loss, params, running, state = step(net, chosen, params, running, state, x, labels[batch], rates, rng)
        all_losses.append(loss)
    return all_losses, params, running, state


DIGITS = data.load("digits")
MLP, CONVNET = "70FC-65FC", "6C3-MP2-11C3-MP2-20FC"
CHOICES = PAPERS["bitwise"].Choices()
if not compiled.COMPILED:
    MLP, CONVNET = "5FC-4FC", "2C3-MP2-2C3-MP2-3FC"


@pytest.mark.parametrize("paper, weights, chosen", [
    ("bnn", "deterministic", {"net": MLP}),
    ("bnn", "deterministic", {"net": MLP, "dropout": (0.1, 0.2)}),
    ("bnn", "deterministic", {"net": MLP, "optimizer": optim.SGD}),
    ("bnn", "shift", {"net": MLP, "optimizer": optim.SHIFT_ADAMAX}),
    ("bnn", "deterministic", {"net": MLP, "loss": losses.SOFTMAX_CROSS_ENTROPY}),
    ("bnn", "deterministic", {"net": CONVNET, "pad_value": -1.0}),
    ("bnn", "deterministic", {"net": CONVNET}),
    ("binaryconnect", "stochastic", {"net": MLP, "dropout": (0.1, 0.2)}),
    ("binaryconnect", "deterministic", {"net": CONVNET}),
    ("binaryconnect", "stochastic", {"net": CONVNET}),
    ("float", "real", {"net": CONVNET}),
    ("bitwise", "two-bit", {"net": MLP, "choices": CHOICES, "before": recipe.Recipe(MLP, 1, 5, (0.01, 0.01))}),
    ("bitwise", "two-bit", {"net": MLP, "choices": CHOICES}),
], ids=lambda part: "-".join(part) if isinstance(part, dict) else part)
def test_a_run_writes_the_same_bytes(paper, weights, chosen, threads):
    chosen = replace(recipe.Recipe("", 1, 50 if compiled.COMPILED else 3, (0.01, 0.01)), **chosen)
    count = 20 if compiled.COMPILED else 2
    assert_same(run(chosen, PAPERS[paper], weights, True, count), run(chosen, PAPERS[paper], weights, False, count))


def test_a_run_in_double_precision():
    chosen = recipe.Recipe(CONVNET, 1, 10, (0.01, 0.01), pad_value=-1.0)
    arguments = PAPERS["bnn"], "deterministic"
    assert_same(run(chosen, *arguments, True, 2, np.float64), run(chosen, *arguments, False, 2, np.float64))


def test_the_fast_step_writes_to_what_it_owns_alone():
    chosen = recipe.Recipe("5FC", 1, 4, (0.01, 0.01))
    net = recipe.build(chosen, (1, 8, 8), 10, PAPERS["bnn"].VOCABULARIES["deterministic"])
    params, running = network.init(net, RNG(0))
    state = optim.adam_init(params)
    before = {name: w.copy() for name, w in (params | running).items()}
    owned = fast_steps.own(chosen, params, state)
    x, labels = read_only(sample(RNG(1), (4, 1, 8, 8), np.float32)), np.arange(4)
    for array in running.values():
        array.flags.writeable = False
    _, new_params, _, _ = fast_steps.training_step(fast_steps.accelerate(net), chosen, owned[0], running, owned[1], x,
                                                 labels, dict.fromkeys(params, 0.1), RNG(0))
    assert all(new_params[name] is owned[0][name] for name in params)
    assert_same(params | running, before)
    sgd = replace(chosen, optimizer=optim.SGD)
    assert fast_steps.own(sgd, params, state) == (params, state)


# --- PyTorch's step, which the timings compare with ----------------------------------------------------------------


@pytest.mark.parametrize("adam", torch_step.ADAMS)
@pytest.mark.parametrize("chosen", [{"net": "12FC-9FC"}, {"net": "3C3-MP2-4C3-MP2-7FC", "pad_value": -1.0},
                                    {"net": "3C3-4C3-MP2-7FC"}], ids=str)
def test_pytorch_does_the_same_step(chosen, adam):
    torch = pytest.importorskip("torch")
    chosen = replace(recipe.Recipe("", 1, 20, (0.01, 0.01)), **chosen)
    net = recipe.build(chosen, (1, 8, 8), 10, PAPERS["bnn"].VOCABULARIES["deterministic"])
    params, running = network.init(net, RNG(0), np.float64)
    rates = optim.learning_rates(0.03, loop.binary_shapes(net), params, 1)
    step, tensors = torch_step.make_step(net, params, rates, adam)
    state, rng = optim.adam_init(params), RNG(1)
    for _ in range(5):
        x, labels = rng.standard_normal((20, 1, 8, 8)), rng.integers(0, 10, 20)
        ref_loss, params, running, state = loop.training_step(net, chosen, params, running, state, x, labels, rates,
                                                               rng)
        assert step(torch.from_numpy(x), torch.from_numpy(labels)) == pytest.approx(ref_loss, rel=1e-9)
        for name, w in params.items():
            np.testing.assert_allclose(tensors[name].detach().numpy(), w, rtol=1e-7, atol=1e-7, err_msg=name)


def test_pytorch_refuses_an_operation_that_it_does_not_know():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"^net: expected the operations .*, got relu in act$"):
        torch_step.make_step((steps.relu_step("act"),), {}, {})
