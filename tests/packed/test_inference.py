"""A network on bits: the logits of the float network to the last bit, and what it refuses to pack."""

from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import data, packed
from bnn_ref.kernels import LADDER, bits, packed_conv
from bnn_ref.nets import network, recipe, steps
from bnn_ref.ops import conv
from bnn_ref.ops.batchnorm import batchnorm_predict
from bnn_ref.packed import convert, inference
from bnn_ref.packed.layers import BITS, PIXELS, UNIT_PIXELS, Geometry
from bnn_ref.papers import bnn
from bnn_ref.training import loop

pytestmark = pytest.mark.task_packing

VOCABULARY = bnn.VOCABULARIES["deterministic"]


def build(text, shape, pad_value=-1.0, classes=5, dropout=(0.0, 0.0)):
    made = recipe.Recipe(text, epochs=1, batch=20, lr=(1e-2, 1e-2), pad_value=pad_value, dropout=dropout)
    return recipe.build(made, shape, classes, VOCABULARY)


def pictures(rng, shape, count=9):
    """Random pixels, and one picture each of all 0 and all 255."""
    x = rng.integers(0, 256, (count, *shape), np.uint8)
    x[0], x[1] = 0, 255
    return x


def scrambled(net, x, seed=0):
    """Parameters and statistics that make thresholds hard: gammas and betas of every sign and zeros of both signs,
    and means that are sums which x does reach, so that most units of beta 0 have pictures exactly on the threshold."""
    rng = np.random.default_rng(seed)
    params, running = network.init(net, rng)
    x = loop.scale_pixels(x)
    for step in net:
        if step.running:
            rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
            n = rows.shape[1]
            arrays = {"gamma": rng.choice([1, -1, 0, -0.0, 0.3, -0.7, 1e-30, -1e-30, 3e38], n),
                      "beta": rng.choice([0, 0, 0, -0.0, 1, -1, 0.4, -1e-30], n),
                      "mean": rows[rng.integers(0, len(rows), n), np.arange(n)] + rng.choice([0, 0, 0.5, -1 / 256], n),
                      "var": rng.choice([0, 1, 7.3, 1e4], n)}
            for name, array in arrays.items():
                target = params if name in ("gamma", "beta") else running
                target[f"{step.name}.{name}"] = array.astype(np.float32)
        w = params.get(f"{step.name}.w")
        if w is not None:
            w[rng.random(w.shape) < 0.1] = 0
            w[rng.random(w.shape) < 0.1] = -0.0
        with np.errstate(over="ignore", invalid="ignore"):
            x = network.predict((step,), params, running, x)
    return params, running


def float_logits(net, params, running, x):
    with np.errstate(over="ignore", invalid="ignore"):
        return network.predict(net, params, running, loop.scale_pixels(x))


def assert_same(comp, ref):
    np.testing.assert_array_equal(comp, ref)
    assert comp.dtype == ref.dtype == np.float32 and comp.tobytes() == ref.tobytes()


def assert_packs(net, shape, seed=0):
    """Pack a network of hard parameters; its logits must be those of the float network."""
    x = pictures(np.random.default_rng(seed), shape)
    params, running = scrambled(net, x, seed)
    with np.errstate(over="ignore", invalid="ignore"):
        assert_same(packed.predict(packed.pack_network(net, params, running, shape), x),
                    float_logits(net, params, running, x))


# --- equal logits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 5, 13)], ids=str)
@pytest.mark.parametrize("text", ["1FC", "63FC", "64FC-1FC-65FC", "65FC-64FC-63FC", "130FC-130FC"])
def test_multilayer_perceptrons(text, shape):
    for seed in range(3):
        assert_packs(build(text, shape), shape, seed)


@pytest.mark.parametrize("pad_value", [-1.0, 1.0, 0.0])
@pytest.mark.parametrize("text, shape", [
    ("1C3-3C3-7FC", (1, 4, 3)),
    ("3C3-1C3", (3, 1, 1)),                                       # every patch reaches over every edge
    ("33C3-MP2-64C3-MP2-9FC", (3, 9, 6)),
    ("65C5-MP3-33C1-130FC", (1, 11, 8)),                          # ragged pooling
    ("64C3-65C3-MP2", (33, 5, 7)),
    ("2C3-64C5-65C5", (65, 3, 2)),                                # kernel larger than the map
    ("63C1-64C3", (64, 3, 3)),
], ids=str)
def test_convnets(text, shape, pad_value):
    for seed in range(2):
        assert_packs(build(text, shape, pad_value), shape, seed)


def convnet(*middle, flat, pad=1, pad_values=(-1.0, -1.0), c=(2, 3, 66)):
    """Two convolutions with steps between the first and its normalization, for what recipes cannot say."""
    return (steps.binary_conv_step("conv1", c[0], c[1], 3, pad, pad_values[0]), *middle,
            steps.batchnorm_step("bn1", c[1]), steps.sign_step("act1"),
            steps.binary_conv_step("conv2", c[1], c[2], 3, pad, pad_values[1]), steps.batchnorm_step("bn2", c[2]),
            steps.sign_step("act2"), steps.flatten_step("flat"), steps.binary_dense_step("fc3", flat, 4),
            steps.batchnorm_step("bn3", 4))


@pytest.mark.parametrize("kernel, stride, flat", [(3, 1, 66 * 4 * 5), (3, 2, 66 * 2 * 3), (2, 3, 66 * 2 * 2),
                                                  (1, 2, 66 * 3 * 4), (6, 1, 66 * 2)])
def test_windows_that_overlap_or_leave_gaps(kernel, stride, flat):
    assert_packs(convnet(steps.max_pool_step("pool1", kernel, stride), flat=flat), (2, 6, 7))


@pytest.mark.parametrize("pad_values", [(0.5, 2.0), (-255 / 256, -3.0), (-3.0, 7.0)])
def test_pad_values_that_are_integers_of_the_layer(pad_values):
    assert_packs(convnet(flat=66 * 4 * 5, pad_values=pad_values), (2, 4, 5))


def test_no_border_and_a_broad_one():
    assert_packs(convnet(flat=66 * 2 * 3, pad=0), (2, 6, 7))
    assert_packs(convnet(flat=66 * 10 * 11, pad=2, pad_values=(0.0, 0.0)), (2, 6, 7))


def test_kernels_that_are_not_square():
    first, *rest = convnet(flat=66 * 6 * 5, pad_values=(0.0, 0.0))
    first = replace(first, params=(replace(first.params[0], shape=(3, 2, 3, 4)),))
    assert_packs((first, *rest), (2, 6, 6))


def test_a_network_without_hidden_layers():
    net = (steps.flatten_step("flat"), steps.binary_dense_step("fc", 15, 4), steps.batchnorm_step("bn", 4))
    assert_packs(net, (1, 3, 5))


def test_dropout_and_stochastic_sign_are_what_they_are_at_test_time():
    net = build("17FC-19FC", (1, 5, 5), dropout=(0.2, 0.5))
    net = [steps.stochastic_sign_step(step.name) if step.name.startswith("act") else step for step in net]
    assert_packs(net, (1, 5, 5))


@pytest.mark.parametrize("text, pad_value", [("64FC-33FC", 0.0), ("12C3-MP2-20C3-MP2-30FC", -1.0),
                                             ("12C3-MP2-20C3-MP2-30FC", 0.0)])
def test_trained_networks(text, pad_value):
    digits = data.load("digits")
    made = recipe.Recipe(text, epochs=2, batch=50, lr=(1e-2, 1e-3), pad_value=pad_value)
    net = recipe.build(made, digits.shape, digits.classes, VOCABULARY)
    *_, state = loop.train(net, made, digits, loop.start(net, made, 1), 1)
    comp = packed.pack_network(net, state.params, state.running, digits.shape)
    ref_logits = float_logits(net, state.params, state.running, digits.test_x)
    assert_same(packed.predict(comp, digits.test_x), ref_logits)
    labels = packed.predict_labels(comp, digits.test_x)
    np.testing.assert_array_equal(labels, ref_logits.argmax(axis=1))
    ref_error = loop.error_rate(net, state.params, state.running, digits.test_x, digits.test_y)
    assert 100 * np.mean(labels != digits.test_y) == ref_error < 50


# --- thresholds ----------------------------------------------------------------------------------------------------


def all_bits(g, *norm):
    """The float network's bit of one unit for every integer from -bound to bound."""
    arrays = [np.array([value], np.float32) for value in norm]
    s = np.arange(-g.bound, g.bound + 1, dtype=np.float32)[:, None] / np.float32(g.scale)
    with np.errstate(over="ignore", invalid="ignore"):
        return (batchnorm_predict(s, *arrays)[:, 0] >= 0).tolist()


def affine(gamma, beta, mean, var):
    """(mean, scale, beta) of (s - mean) · scale + beta, as `batchnorm_predict` has it."""
    with np.errstate(over="ignore"):
        return np.stack([mean, gamma / np.sqrt(var + 1e-4), beta])


@pytest.mark.parametrize("first", [False, True])
def test_thresholds_against_every_integer(first):
    g = Geometry(PIXELS if first else BITS, (1, 1, 1) if first else (5, 1, 1), 1, (1, 1))
    means = [100 / 256, 99 / 256, 1.0, -3.0, 0.3 / 256] if first else [0, 1, -5, 5, 2.5, 4.9999995, 6, -6, 1e30]
    cases = [(gamma, beta, mean, var) for gamma in (1, -1, 0, -0.0, 0.37, -2e-3, 1e-38, -1e-38, 1e-45, 3e38, -3e38)
             for beta in (0, -0.0, 1, -1, 0.1) for mean in means for var in (0, 2)]
    g = replace(g, units=len(cases))
    thresholds, flips = convert.find_thresholds(g, affine(*np.array(cases, np.float32).T))
    assert thresholds.dtype == np.int32 and flips.dtype == bool
    for case, threshold, flip in zip(cases, thresholds.tolist(), flips.tolist()):
        comp = [(s >= threshold) ^ flip for s in range(-g.bound, g.bound + 1)]
        assert comp == all_bits(g, *case), case


@pytest.mark.parametrize("gamma, ref_bits", [(1, [0, 1, 1]), (-1, [1, 1, 0]), (0, [1, 1, 1])])
def test_the_threshold_itself_is_plus_one_for_every_gamma(gamma, ref_bits):
    g = Geometry(BITS, (9, 1, 1), 1, (1, 1))
    [threshold], [flip] = convert.find_thresholds(g, affine(*np.array([[gamma], [0], [3], [1]], np.float32)))
    assert [int((s >= threshold) ^ flip) for s in (2, 3, 4)] == ref_bits


# --- inference -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """(packed network, pictures, logits) of a ConvNet with borders, pooling and words that are not full."""
    shape = (3, 7, 6)
    net = build("9C3-MP2-70C3-11FC", shape, 0.0)
    x = pictures(np.random.default_rng(0), shape)
    params, running = scrambled(net, x)
    for name in ("bn4.gamma", "bn4.beta"):                        # finite logits, of either sign
        params[name] = np.linspace(-1, 1, 5, dtype=np.float32)
    return packed.pack_network(net, params, running, shape, "a test"), x, float_logits(net, params, running, x)


@pytest.mark.parametrize("rung", [rung.name for rung in LADDER])
def test_every_rung_gives_the_same_bits(small, rung):
    missing = next(candidate for candidate in LADDER if candidate.name == rung).missing()
    if missing:
        pytest.skip(missing)
    network_on_bits, x, ref = small
    assert_same(packed.predict(network_on_bits, x, rung), ref)
    np.testing.assert_array_equal(packed.predict_labels(network_on_bits, x, rung), ref.argmax(axis=1))


@pytest.mark.parametrize("chunk", [1, 40_000, 1 << 40])
def test_pictures_go_through_in_chunks(small, monkeypatch, chunk):
    monkeypatch.setattr(inference, "CHUNK_BYTES", chunk)
    network_on_bits, x, ref = small
    assert_same(packed.predict(network_on_bits, x), ref)
    assert_same(packed.predict(network_on_bits, x[:0]), ref[:0])
    assert_same(packed.predict(network_on_bits, x[3:4]), ref[3:4])


def test_a_chunk_is_as_large_as_it_may_be(monkeypatch):
    net = build("64FC", (1, 4, 4))
    network_on_bits = packed.pack_network(net, *network.init(net, np.random.default_rng(0)), (1, 4, 4))
    sizes = []
    monkeypatch.setattr(inference, "CHUNK_BYTES", 5 * 64 * 4 + 1)    # int32 products of 64 units: five pictures
    monkeypatch.setattr(inference, "plane_matmul", lambda planes, b, k, rung: sizes.append(len(planes)) or
                        np.zeros((len(planes), len(b)), np.int32))
    packed.predict(network_on_bits, np.zeros((12, 1, 4, 4), np.uint8))
    assert sizes == [5, 5, 2]


def test_pictures_of_any_memory_layout(small):
    network_on_bits, x, ref = small
    other = np.asfortranarray(x)
    other.flags.writeable = False
    assert_same(packed.predict(network_on_bits, other), ref)
    assert_same(packed.predict(network_on_bits, x[::-2]), ref[::-2])


@pytest.mark.parametrize("images, error, message", [
    (np.ones((2, 3, 7, 6)), TypeError, r"^images: expected a uint8 array, got dtype float64; for values from 1 to 1 "
     r"write np\.rint\(255 \* images\)\.astype\(np\.uint8\)$"),
    ([[0]], TypeError, r"^images: expected a uint8 array, got list$"),
    (np.zeros((2, 3, 6, 7), np.uint8), ValueError, r"^images: expected shape \(N, 3, 7, 6\), got \(2, 3, 6, 7\)$"),
    (np.zeros((3, 7, 6), np.uint8), ValueError, r"^images: expected shape \(N, 3, 7, 6\), got \(3, 7, 6\)$"),
])
def test_other_pictures_are_refused(small, images, error, message):
    with pytest.raises(error, match=message):
        packed.predict(small[0], images)


def test_an_unknown_rung_is_refused(small):
    with pytest.raises(ValueError, match=r"^rung: expected one of .*, got 'none'$"):
        packed.predict(*small[:2], rung="none")


def test_describe(small):
    assert repr(small[0]).splitlines() == [
        "a test on bits: pictures 3×7×6, 5 classes",
        "  conv 3×3  3 -> 9  of pixels  pad 1 with 0  max pool 2 every 2           116 bytes",
        "  conv 3×3  9 -> 70  pad 1 with 0                                       5,336 bytes",
        "  dense 630 -> 11                                                       1,636 bytes",
        "  dense 11 -> 5                                                           100 bytes",
        "  7,188 bytes, 1/7.2 of its weights as float32"]
    assert packed.describe(small[0]) == repr(small[0])
    assert small[0].shape == (3, 7, 6) and small[0].classes == 5


# --- the loops, compiled and as plain Python -----------------------------------------------------------------------


def both(loop):
    return {"compiled": loop, "python": getattr(loop, "py_func", loop)}


@pytest.mark.parametrize("mode", ["compiled", "python"])
@pytest.mark.parametrize("dtype, fill", [(np.uint8, 0), (np.uint64, 0), (np.float32, -1)])
@pytest.mark.parametrize("kernel, pad, length", [((3, 3), 1, 2), ((2, 3), 0, 1), ((5, 4), 3, 3), ((4, 5), 0, 1)])
def test_patches(mode, dtype, fill, kernel, pad, length):
    x = np.random.default_rng(1).integers(0, 1 << 63, (2, 4, 5, length)).astype(dtype)
    oh, ow = 4 + 2 * pad - kernel[0] + 1, 5 + 2 * pad - kernel[1] + 1
    out = np.full((2, oh, ow, kernel[0], kernel[1] * length), 99, dtype)
    both(packed_conv.im2col)[mode](x.reshape(2, 4, -1), length, pad, fill, out)
    ref = conv.im2col(x.transpose(0, 3, 1, 2), kernel, 1, pad, fill).reshape(2, length, -1, oh * ow)      # N C KK P
    np.testing.assert_array_equal(out.reshape(2, oh * ow, -1, length), ref.transpose(0, 3, 2, 1))


@pytest.mark.parametrize("mode", ["compiled", "python"])
@pytest.mark.parametrize("m", [1, 63, 64, 65, 130])
def test_threshold(mode, m):
    rng = np.random.default_rng(m)
    s, thresholds = (rng.integers(-3, 4, shape).astype(np.int32) for shape in ((8, m), (3, m)))
    kinds = np.array([2, 0, 2, 1])
    out = np.full((8, bits.words(m)), 2**64 - 1, np.uint64)
    both(packed_conv.threshold)[mode](s, thresholds, kinds, out)
    np.testing.assert_array_equal(out, bits.pack(s - thresholds[np.tile(kinds, 2)]))


@pytest.mark.parametrize("mode", ["compiled", "python"])
@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 1), (3, 2), (1, 3)])
def test_or_pool(mode, kernel, stride):
    signs = np.where(np.random.default_rng(2).random((2, 70, 5, 7)) < 0.2, 1.0, -1.0)
    ref, _ = conv.max_pool_forward(signs, kernel, stride)
    out = np.full((2, *ref.shape[2:], 2), 99, np.uint64)
    both(packed_conv.or_pool)[mode](bits.pack(signs.transpose(0, 2, 3, 1)), kernel, stride, out)
    np.testing.assert_array_equal(out, bits.pack(ref.transpose(0, 2, 3, 1)))


# --- what is refused -----------------------------------------------------------------------------------------------


def without(net, name):
    return [step for step in net if step.name != name]


def exchanged(net, name, step):
    return [step if old.name == name else old for old in net]


MLP, CONV = build("6FC-7FC", (1, 4, 4)), build("6C3-MP2-7FC", (1, 4, 4))


@pytest.mark.parametrize("net, message", [
    (exchanged(MLP, "fc1", steps.dense_step("fc1", 16, 6)), "fc1: no form on bits, its weights are real numbers"),
    (exchanged(MLP, "fc1", steps.stochastic_binary_dense_step("fc1", 16, 6)),
     "fc1: no form on bits, its weights are real numbers at test time"),
    (exchanged(CONV, "conv1", steps.conv_step("conv1", 1, 6, 3, 1, -1.0)),
     "conv1: no form on bits, its weights are real numbers"),
    (exchanged(CONV, "conv1", steps.stochastic_binary_conv_step("conv1", 1, 6, 3, 1, -1.0)),
     "conv1: no form on bits, its weights are real numbers at test time"),
    (exchanged(MLP, "act1", replace(steps.sign_step("act1"), forward=print)),
     "act1: no form on bits, its operation is unknown"),
    ([*CONV[:1], *CONV[2:3], *CONV[1:2], *CONV[3:]],
     "pool1: expected sign or relu behind bn1, got pool; pooling belongs right behind a convolution"),
    ([*CONV[:1], *CONV[2:4], *CONV[1:2], *CONV[4:]],
     "pool1: expected conv or flatten behind act1, got pool; pooling belongs right behind a convolution"),
    (without(MLP, "act1"), "fc2: expected sign or relu behind bn1, got dense"),
    (without(without(MLP, "bn1"), "act1"), "fc2: expected norm or scale or sign or relu behind fc1, got dense"),
    (without(MLP, "flat"), "fc1: expected front or coding or flatten or conv behind the start, got dense"),
    (without(CONV, "flat"), "fc2: expected conv or flatten behind act1, got dense"),
    ([*MLP[:4], CONV[0]], "conv1: expected dense behind act1, got conv"),
    (MLP[:4], "net: expected a dense product at its end, with or without normalization, got act1 there"),
    (CONV[:3], "net: expected a dense product at its end, with or without normalization, got bn1 there"),
    ([], "net: expected a dense product at its end, with or without normalization, got the start there"),
    (exchanged(CONV, "conv1", replace(CONV[0], settings=(2, 1, -1.0))), "conv1: stride: only 1 is supported, got 2"),
    (exchanged(CONV, "conv1", replace(CONV[0], settings=(1, 1, 0.3))),
     "conv1: pad_value: expected an integer over 256, got 0.3"),
    (exchanged(CONV, "conv1", replace(CONV[0], settings=(1, 1, np.inf))),
     "conv1: pad_value: expected an integer over 256, got inf"),
    (exchanged(CONV, "conv1", replace(CONV[0], settings=(1, 3, -1.0))),
     "conv1: pad: expected less than the kernel (3, 3), got 3"),
    (exchanged(CONV, "pool1", steps.max_pool_step("pool1", 5, 1)),
     "conv1: kernel: (3, 3) and pooling (5, 1) do not fit maps of (4, 4)"),
    (exchanged(MLP, "fc1", steps.binary_dense_step("fc1", 15, 6)),
     "fc1.w: expected float32 (16, 6), got float32 (15, 6)"),
])
def test_networks_without_a_form_on_bits_are_refused(net, message):
    params, running = network.init(net, np.random.default_rng(0))
    with pytest.raises(ValueError) as caught:
        packed.pack_network(net, params, running, (1, 4, 4))
    assert str(caught.value) == message


def test_hidden_pad_values_are_whole():
    net = convnet(flat=66 * 4 * 5, pad_values=(0.5, 0.5))
    with pytest.raises(ValueError, match=r"^conv2: pad_value: expected an integer, got 0\.5$"):
        packed.pack_network(net, *network.init(net, np.random.default_rng(0)), (2, 4, 5))


def test_sums_that_a_float_cannot_hold_are_refused():
    for width, fits in ((65793, True), (65794, False)):           # · 255 <= 2²⁴
        net = (steps.flatten_step("flat"), steps.binary_dense_step("fc", width, 2), steps.batchnorm_step("bn", 2))
        params, running = network.init(net, np.random.default_rng(0))
        if fits:
            packed.pack_network(net, params, running, (1, 1, width))
        else:
            with pytest.raises(ValueError, match=r"^fc: sums of 65794 inputs reach 16777470: float32 holds"):
                packed.pack_network(net, params, running, (1, 1, width))


@pytest.mark.parametrize("name", ["fc1.w", "bn1.gamma", "bn2.beta", "bn2.mean", "bn3.var"])
def test_arrays_that_cannot_be_packed_are_refused(name):
    for spoil, error, message in ((np.nan, ValueError, "expected finite numbers, got NaN or infinity"),
                                  (-np.inf, ValueError, "expected finite numbers, got NaN or infinity"),
                                  (np.float64, TypeError, "expected float32, .* got float64"),
                                  (None, ValueError, r"expected float32 \(.*\), got nothing")):
        arrays = network.init(MLP, np.random.default_rng(0))
        target = next(part for part in arrays if name in part)
        if spoil is None:
            del target[name]
        elif spoil is np.float64:
            target[name] = target[name].astype(np.float64)
        else:
            target[name].flat[-1] = spoil
        with pytest.raises(error, match=f"^{name}: {message}"):
            packed.pack_network(MLP, *arrays, (1, 4, 4))


def test_negative_variances_are_refused():
    params, running = network.init(MLP, np.random.default_rng(0))
    running["bn2.var"][3] = -1
    with pytest.raises(ValueError, match=r"^bn2\.var: expected variances of at least 0, got -1\.0$"):
        packed.pack_network(MLP, params, running, (1, 4, 4))


@pytest.mark.parametrize("numbers", [
    {"maps": (0, 4, 4)}, {"units": 0}, {"kernel": (0, 3)}, {"pool": (0, 1)}, {"pool": (2, 0)}, {"pad": -1}, {"pad": 3},
    {"pad_value": 1}, {"kernel": (5, 3)}, {"pool": (3, 1)}, {"maps": (1 << 21, 4, 4)}, {"pad": 1, "pad_value": 1 << 23},
    {"planes": 0}, {"planes": 3}, {"coding": PIXELS, "maps": (7311, 4, 4)},
    {"coding": UNIT_PIXELS, "maps": (3656, 4, 4)},                # 510 · 9 · 3656 > 2²⁴
    {"maps": (1, 4096, 2049), "kernel": (4096, 2049), "planes": 2},       # a word an input: sums of 2³¹ would wrap
], ids=str)
def test_numbers_that_make_no_layer_are_refused(numbers):
    good = {"coding": BITS, "maps": (2, 4, 4), "units": 3, "kernel": (3, 3)}
    assert Geometry(**good).positions == (2, 2)
    with pytest.raises(ValueError, match=r"^(sizes|pad|pad_value|kernel|planes|sums of \d+ inputs|a unit takes)\b.*"):
        Geometry(**good | numbers)


@pytest.mark.parametrize("numbers", [
    {"maps": (7310, 4, 4), "coding": PIXELS}, {"maps": (3655, 4, 4), "coding": UNIT_PIXELS},
    {"maps": (7310, 4, 4), "coding": PIXELS, "planes": 2},
    {"maps": (1, 4096, 2048), "kernel": (4096, 2048), "coding": BITS, "planes": 2},
], ids=str)
def test_numbers_that_just_make_a_layer(numbers):
    assert Geometry(**{"units": 3, "kernel": (3, 3)} | numbers).bound <= numbers.get("planes", 1) << 24
