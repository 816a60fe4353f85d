"""The networks of every paper on bits: the float network's logits in every bit, or up to rounding where it is real."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import data, packed
from bnn_ref.kernels import LADDER
from bnn_ref.nets import inputs, network, recipe, steps
from bnn_ref.packed import inference
from bnn_ref.packed.layers import BITS, REALS, BitLayer, Front, RealLayer, offsets
from bnn_ref.papers import binaryconnect, bitwise, bnn, ebp, few_multiplications
from bnn_ref.training import loop
from tests.packed import naive_packed

SHAPE = (2, 5, 6)
EBP = {variant: ebp.FORMS[variant]["deterministic"].vocabulary for variant in ("binary", "ternary")}
KS = bitwise.VOCABULARIES["bipolar"](bitwise.Choices())
SHIFT = bnn.VOCABULARIES["shift"]
REAL = {"binary": binaryconnect.VOCABULARIES["deterministic"],
        "ternary": few_multiplications.FORMS["ternary"]["deterministic"].vocabulary}
CODINGS = {"pixels": None, "unit": inputs.unit_inputs, "sign": inputs.sign_inputs, "rounded": inputs.rounded_inputs,
           "two_bit": inputs.two_bit_inputs}


def build(vocabulary, text, shape=SHAPE, coding=None, pad_value=-1.0, classes=5):
    made = recipe.Recipe(text, 1, 1, (1, 1), pad_value=pad_value, inputs=(coding,) if coding else ())
    return recipe.build(made, shape, classes, vocabulary)


def pictures(shape, count=9, seed=0):
    """Random pixels, the edges of every coding among them, and one picture each of all 0 and all 255."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (count, *shape), np.uint8)
    x[2:5] = rng.choice(np.array([0, 63, 64, 127, 128, 191, 192, 255], np.uint8), (3, *shape))
    x[0], x[1] = 0, 255
    return x


def sums_reached(rows, rng):
    """For each unit a number that some picture gives it."""
    return rows[rng.integers(0, len(rows), rows.shape[1]), np.arange(rows.shape[1])]


def scrambled(net, x, seed=0):
    """Parameters that make signs hard: weights of 0 and -0, rows without active weights, ties between log-odds, biases
    and means that put sums exactly on the threshold, scales of 0 and of every sign."""
    rng = np.random.default_rng(seed)
    params, running = network.init(net, rng)
    running = network.fit(net, running, loop.scale_pixels(x))
    x = loop.scale_pixels(x)
    for step in net:
        own = {name: params[f"{step.name}.{name}"] for name in (param.name for param in step.params)}
        for name in own.keys() & {"w", "h", "hp", "hm"}:
            own[name][rng.random(own[name].shape) < 0.1] = 0
            own[name][rng.random(own[name].shape) < 0.1] = -0.0
        if "hp" in own:
            same = rng.random(own["hp"].shape) < 0.3
            own["hm"][same] = own["hp"][same]
            own["hp"][:, 0] = own["hm"][:, 0] = -1                      # a unit without weights
        running = network.refresh([step], params, running) if step.refresh else running
        if "b" in own and not step.running:
            own["b"][:] = 0
            s = network.predict([step], params, running, x)
            units = s.shape[1]
            own["b"][:] = -sums_reached(s, rng) + rng.choice([0, 0, 0, -0.0, 0.3, 1e-6, -1e-6, 1e6], units)
        elif "b" in own:
            own["b"][:] = rng.choice([-1, -0.5, 0, 0.5, 1], own["b"].shape)
            running[f"{step.name}.beta_b"] = np.array(0.75, np.float32)
            running[f"{step.name}.beta_w"] = np.array(np.median(abs(own["w"])), np.float32)
            own["w"][:, 0] = 0                                          # a unit without weights
        elif "gamma" in own:
            rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
            n = rows.shape[1]
            own["gamma"][:] = rng.choice([1, -1, 0, -0.0, 0.3, -0.7, 1.5, 1e-30, -1e-30], n)
            own["beta"][:] = rng.choice([0, 0, 0, -0.0, 1, -1, 0.4, -1e-30], n)
            running[f"{step.name}.mean"] = (sums_reached(rows, rng) + rng.choice([0, 0, 0.5], n)).astype(np.float32)
            second = step.running[1][0]
            running[f"{step.name}.{second}"] = rng.choice([0, 1, 0.7, 7.3, 1e4], n).astype(np.float32)
        x = network.predict([step], params, running, x)
    return params, running


def float_logits(net, params, running, x):
    return network.predict(net, params, running, loop.scale_pixels(x))


def assert_same(comp, ref):
    np.testing.assert_array_equal(comp, ref)
    assert comp.dtype == ref.dtype == np.float32 and comp.tobytes() == ref.tobytes()


def assert_packs(net, shape=SHAPE, seed=0, rungs=(None,)):
    """Pack a network of hard parameters: its logits must be those of the float network. Returns the packed one."""
    x = pictures(shape, seed=seed)
    params, running = scrambled(net, x, seed)
    kept = {name: array.copy() for name, array in (params | running).items()}
    on_bits = packed.pack_network(net, params, running, shape)
    for rung in rungs:
        assert_same(packed.predict(on_bits, x, rung), float_logits(net, params, running, x))
    assert all(array.tobytes() == kept[name].tobytes() for name, array in (params | running).items())
    return on_bits


def layers_of(on_bits):
    return [*on_bits.layers, on_bits.output]


# --- equal in every bit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["70FC-65FC", "9C3-MP2-66C3-20FC"])
def test_shift_based_networks(text):
    for seed in range(4):
        assert_packs(build(SHIFT, text), seed=seed)
        assert_packs(build(replace(SHIFT, last_norm=None), text), seed=seed)
        assert_packs(build(SHIFT, text, pad_value=0.0), seed=seed)


def test_bit_plane_steps_are_binary_ones():
    net = build(SHIFT, "9C3-20FC")
    binary = [steps.binary_conv_step(net[0].name, 2, 9, 3, 1, -1.0), *net[1:]]
    params, running = scrambled(net, pictures(SHAPE))
    one, two = (packed.pack_network(each, params, running, SHAPE) for each in (net, binary))
    for first, second in zip(layers_of(one), layers_of(two)):
        assert first.geometry == second.geometry
        np.testing.assert_array_equal(first.weights, second.weights)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("vocabulary", [*EBP.values(), KS], ids=["ebp", "ebp ternary", "bitwise"])
@pytest.mark.parametrize("text", ["1FC", "70FC-63FC", "64FC"])
def test_networks_with_a_bias(vocabulary, coding, text):
    for seed in range(3):
        assert_packs(build(vocabulary, text, coding=CODINGS[coding]), seed=seed)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("pad_value", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("kind", ["binary", "ternary"])
def test_convolutions_on_any_coding_with_any_border(kind, pad_value, coding):
    conv = steps.ternary_conv_step if kind == "ternary" else steps.binary_conv_step
    dense = steps.ternary_dense_step if kind == "ternary" else steps.binary_dense_step
    vocabulary = recipe.Vocabulary(dense, conv, steps.sign_step)
    for seed in range(2):
        assert_packs(build(vocabulary, "66C3-MP2-9C5-20FC", coding=CODINGS[coding], pad_value=pad_value), seed=seed)


def test_every_rung_serves_two_planes_and_every_coding():
    rungs = [rung.name for rung in LADDER if not rung.missing()]
    for coding in CODINGS.values():
        on_bits = assert_packs(build(EBP["ternary"], "70FC", coding=coding), rungs=rungs)
        assert [layer.geometry.planes for layer in layers_of(on_bits)] == [2, 2]


def test_products_without_normalization_or_bias():
    for vocabulary in (bnn.VOCABULARIES["deterministic"], SHIFT):
        assert_packs(build(replace(vocabulary, norm=None, last_norm=None), "7C3-MP2-20FC"))
    assert_packs([*build(replace(KS, last=None), "20FC"), steps.scale_step(0.3)("out", 5)])
    net = build(replace(bnn.VOCABULARIES["deterministic"], norm=None), "20FC")
    assert_packs([*net, steps.scale_step(2.5)("out", 5)])


@pytest.mark.parametrize("unit", [steps.sign_step, steps.stochastic_sign_step, steps.identity_sign_step,
                                  steps.masked_sign_step(3.0)])
def test_every_sign_is_a_sign(unit):
    on_bits = assert_packs(build(replace(KS, activation=unit), "70FC"))
    assert isinstance(on_bits.layers[0], BitLayer)


def test_outputs_without_active_weights():
    """Sums of 0, times a factor, with and without a bias."""
    net = build(KS, "2FC", classes=3)
    params, running = network.init(net, np.random.default_rng(0))
    for name in params:
        params[name][:] = 0.25                                          # below both boundaries: no weights at all
    running = {name: np.array(0.5, np.float32) for name in running}
    params["fc2.b"][:] = [0.25, 0.75, -0.75]
    on_bits = packed.pack_network(net, params, running, SHAPE)
    x = pictures(SHAPE)
    assert_same(packed.predict(on_bits, x), float_logits(net, params, running, x))
    np.testing.assert_array_equal(packed.predict(on_bits, x)[0], np.array([0, 0.03, -0.03], np.float32))


def test_a_network_of_all_weights_has_one_plane_and_half_the_size():
    net = build(KS, "70FC")
    params, running = network.init(net, np.random.default_rng(0))       # boundaries 0: no weight is 0
    on_bits = packed.pack_network(net, params, running, SHAPE)
    assert [layer.geometry.planes for layer in layers_of(on_bits)] == [1, 1]
    params["fc2.w"][3, 1] = 0.1
    running["fc2.beta_w"] = np.array(0.05 + abs(params["fc2.w"]).min(), np.float32)
    on_bits = packed.pack_network(net, params, running, SHAPE)
    assert [layer.geometry.planes for layer in layers_of(on_bits)] == [1, 2]
    assert on_bits.output.weights.shape == (10, 2) and "weights -1, 0, +1" in repr(on_bits).splitlines()[2]


# --- against loops on whole numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", CODINGS)
def test_a_network_by_hand(coding):
    """Inputs as the papers describe the codings, weights that are added, subtracted or skipped, a threshold at 0."""
    rng = np.random.default_rng(2)
    net = build(EBP["ternary"], "6FC", coding=CODINGS[coding], classes=4)
    x = pictures(SHAPE, 6)
    params, running = scrambled(net, x, 2)
    for name in ("fc1.b", "fc2.b"):
        params[name][:] = rng.integers(-5, 6, params[name].shape)
    on_bits = packed.pack_network(net, params, running, SHAPE)
    weights = {}
    for layer in ("fc1", "fc2"):
        hp, hm = (params[f"{layer}.{name}"].T.tolist() for name in ("hp", "hm"))
        weights[layer] = [[0 if max(p, m) < 0 else 1 if p >= m else -1 for p, m in zip(*rows)] for rows in zip(hp, hm)]
    for image, logits in zip(x, packed.predict(on_bits, x)):
        read = naive_packed.coded(image.reshape(2, -1).tolist(), coding)
        sums = naive_packed.product(read, weights["fc1"])
        hidden = naive_packed.signs(s + 256 * int(b) for s, b in zip(sums, params["fc1.b"]))
        last = naive_packed.product(hidden, weights["fc2"])
        assert logits.tolist() == [s + b for s, b in zip(last, params["fc2.b"].tolist())]


def test_what_words_lack():
    """A product of words and what it lacks make S, whatever the coding, at every position."""
    rng = np.random.default_rng(3)
    for coding, made in CODINGS.items():
        net = build(REAL["ternary"], "3C3", coding=made, pad_value=1.0)
        params, running = network.init(net, rng)
        layer = packed.pack_network(net, params, running, SHAPE).layers[0]
        g = layer.geometry
        x = pictures(SHAPE, 6)
        words = inference._sums(g, layer.weights, np.ascontiguousarray(x.transpose(0, 2, 3, 1)), None)
        by_kind, kinds = offsets(g, layer.weights)
        assert by_kind.dtype == np.int32 and (len(kinds) == 30 and len(by_kind) <= 9)
        comp = (words.reshape(6, 30, 3) + by_kind[kinds]) / g.scale
        conv = next(place for place, step in enumerate(net) if step.name == "conv1")
        ref = network.predict(net[:conv + 1], params, running, loop.scale_pixels(x))
        np.testing.assert_array_equal(comp.transpose(0, 2, 1).reshape(ref.shape), ref, err_msg=coding)


# --- real activations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REAL)
def test_a_product_of_real_numbers_is_rounded_once(kind):
    """Without normalization a layer is its product: half a unit in the last place off, and what float64 is off."""
    rng = np.random.default_rng(4)
    net = build(replace(REAL[kind], norm=None), "900FC")
    params, running = network.init(net, rng)
    on_bits = packed.pack_network(net, params, running, SHAPE)
    x = (rng.random((20, 900)) * np.exp2(rng.integers(-9, 9, (20, 900)))).astype(np.float32)
    w = params["fc2.w"]
    w = np.where(w >= 0, 1, -1) if kind == "binary" else np.where(w > 0.5, 1, 0) - np.where(w <= -0.5, 1, 0)
    exact = np.array([[math.fsum(row * unit) for unit in w.T] for row in x.astype(np.float64)])
    bound = 2.0**-24 * abs(exact) + 900 * 2.0**-53 * x.astype(np.float64).sum(axis=1, keepdims=True)
    comp = inference._reals(on_bits.output, x.reshape(20, 1, 1, 900), None).reshape(20, 5)
    assert comp.dtype == np.float32 and (abs(comp - exact) <= bound).all()


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("pad_value", [-1.0, 0.0, 3.0])
@pytest.mark.parametrize("coding", [None, inputs.unit_inputs, inputs.two_bit_inputs])
def test_whole_numbers_stay_whole(kind, pad_value, coding):
    """Without normalization activations are multiples of 1/256, so that even here no bit may differ."""
    net = build(replace(REAL[kind], norm=None), "5C3-MP2-7C3-66FC", coding=coding, pad_value=pad_value)
    for seed in range(2):
        assert_packs(net, seed=seed)


def test_windows_that_overlap_or_leave_gaps():
    for kernel, stride, flat in ((3, 1, 3 * 4), (3, 2, 2 * 2), (2, 3, 2 * 2), (1, 2, 3 * 3)):
        net = (steps.binary_conv_step("conv1", 2, 7, 3, 1, -1.0), steps.max_pool_step("pool1", kernel, stride),
               steps.relu_step("act1"), steps.flatten_step("flat"), steps.binary_dense_step("fc2", 7 * flat, 4))
        assert_packs(net)


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("text", ["256FC-256FC", "8C3-MP2-16C3-MP2-32FC"])
@pytest.mark.parametrize("preprocessing", [
    (), (inputs.centred_inputs,), (inputs.contrast_inputs, inputs.whitened_inputs),
    (inputs.unit_contrast_inputs, inputs.local_contrast_inputs)], ids=["", "centred", "whitened", "local"])
def test_labels_on_the_digits(kind, text, preprocessing):
    digits = data.load("digits")
    made = recipe.Recipe(text, 1, 1, (1, 1), pad_value=-1.0, inputs=preprocessing)
    net = recipe.build(made, digits.shape, 10, REAL[kind])
    params, running = network.init(net, np.random.default_rng(5))
    running = network.fit(net, running, loop.scale_pixels(digits.train_x))
    running = network.recompute_statistics(net, params, running, [loop.scale_pixels(digits.train_x)])
    on_bits = packed.pack_network(net, params, running, digits.shape)
    comp, ref = packed.predict(on_bits, digits.test_x), float_logits(net, params, running, digits.test_x)
    assert comp.dtype == np.float32
    rounding = 1e-4 * abs(ref).max()
    np.testing.assert_allclose(comp, ref, rtol=0, atol=rounding)
    second, first = np.sort(ref)[:, -2:].T
    sure = first - second > 2 * rounding                      # two logits closer than that may change places
    assert sure.mean() > 0.95
    np.testing.assert_array_equal(packed.predict_labels(on_bits, digits.test_x)[sure], ref.argmax(axis=1)[sure])
    assert [layer.geometry.coding is REALS for layer in layers_of(on_bits)][1:] == [True] * len(on_bits.layers)
    assert (on_bits.output.geometry.coding is REALS) and len(on_bits.fronts) == len(preprocessing)
    assert (layers_of(on_bits)[0].geometry.coding is REALS) == bool(preprocessing)


def test_a_rectifier_and_a_sign_in_one_network():
    """Bits may become real numbers; sums of real numbers become no bits."""
    net = [*build(replace(REAL["binary"], norm=None), "20FC-30FC-9FC")]
    net[2] = steps.sign_step("act1")
    on_bits = assert_packs(net)
    assert [type(layer) for layer in on_bits.layers] == [BitLayer, RealLayer, RealLayer]
    assert on_bits.layers[1].geometry.coding is BITS
    net[4] = steps.sign_step("act2")
    assert_packs(net)
    net[2] = steps.relu_step("act1")
    with pytest.raises(ValueError, match=r"^act2: no form on bits, it is the sign of sums of real numbers$"):
        packed.pack_network(net, *network.init(net, np.random.default_rng(0)), SHAPE)


def test_pictures_go_through_in_chunks(monkeypatch):
    net = build(replace(REAL["ternary"], norm=None), "5C3-MP2-20FC")
    whole = assert_packs(net)
    x = pictures(SHAPE)
    ref = packed.predict(whole, x)
    for chunk in (1, 30 * 5 * 2 * 8 + 1, 1 << 40):
        monkeypatch.setattr(inference, "CHUNK_BYTES", chunk)
        assert_same(packed.predict(whole, x), ref)
        assert_same(packed.predict(whole, x[3:4]), ref[3:4])


def test_a_chunk_of_real_numbers_is_as_large_as_it_may_be(monkeypatch):
    net = build(replace(REAL["ternary"], norm=None), "8FC", classes=100)
    on_bits = packed.pack_network(net, *network.init(net, np.random.default_rng(0)), SHAPE)
    right, sizes = inference.sign_accumulate, []
    monkeypatch.setattr(inference, "CHUNK_BYTES", 4 * 8 * 2 * 100)   # float64 sums, two planes of 100: four pictures
    monkeypatch.setattr(inference, "sign_accumulate", lambda x, w, k: sizes.append(len(x)) or right(x, w, k))
    packed.predict(on_bits, pictures(SHAPE, 9))
    assert sizes == [4, 4, 1]


# --- what is refused -----------------------------------------------------------------------------------------------


def refusal(net):
    with pytest.raises(ValueError) as caught:
        packed.pack_network(net, *network.init(net, np.random.default_rng(0)), SHAPE)
    return str(caught.value)


@pytest.mark.parametrize("vocabulary, message", [
    (ebp.VOCABULARIES["binary"], "fc1: no form on bits, its weights are known as distributions"),
    (ebp.VOCABULARIES["ternary"], "fc1: no form on bits, its weights are known as distributions"),
    (ebp.VOCABULARIES["real"], "fc1: no form on bits, its weights are known as distributions"),
    (ebp.FORMS["real"]["deterministic"].vocabulary, "fc1: no form on bits, its weights are real numbers"),
    (KS.before, "fc1: no form on bits, its weights are real numbers"),
    (binaryconnect.VOCABULARIES["stochastic"], "fc1: no form on bits, its weights are real numbers at test time"),
    (few_multiplications.VOCABULARIES["ternary"], "fc1: no form on bits, its weights are real numbers at test time"),
    (few_multiplications.VOCABULARIES["binary"], "fc1: no form on bits, its weights are real numbers at test time"),
])
def test_forms_without_bits(vocabulary, message):
    assert refusal(build(vocabulary, "7FC")) == message


def test_convolutions_without_bits():
    for vocabulary in (few_multiplications.VOCABULARIES["ternary"], few_multiplications.VOCABULARIES["binary"]):
        assert refusal(build(vocabulary, "7C3")) == "conv1: no form on bits, its weights are real numbers at test time"


def test_steps_out_of_place():
    one, flat, *rest = build(EBP["binary"], "7FC", coding=inputs.unit_inputs)
    again = replace(one, name="again")
    assert refusal([one, again, flat, *rest]).startswith("again: expected flatten or conv behind inputs, got coding")
    assert refusal([one, flat, rest[0], steps.batchnorm_step("bn", 7), *rest[1:]]) == (
        "bn: no form on bits behind a product with a bias, got normalization")
    centre, _ = inputs.centred_inputs(SHAPE)
    assert refusal([centre, one, flat, *rest]).startswith("inputs: expected front or flatten or conv behind centre")
    assert refusal([one, centre, flat, *rest]).startswith("centre: expected flatten or conv behind inputs, got front")
    assert refusal([steps.relu_step("act"), flat, *rest]).startswith("act: expected front or coding or flatten or conv")


def test_real_pad_values_are_whole():
    net = build(REAL["binary"], "4C3-4C3")
    net = [replace(step, settings=(1, 1, 0.5)) if step.name == "conv2" else step for step in net]
    assert refusal(net) == "conv2: pad_value: expected an integer, got 0.5"


@pytest.mark.parametrize("name, value, error, message", [
    ("fc1.h", np.nan, ValueError, r"^fc1\.h: expected finite numbers, got NaN or infinity$"),
    ("fc1.b", np.inf, ValueError, r"^fc1\.b: expected finite numbers, got NaN or infinity$"),
    ("fc2.b", None, ValueError, r"^fc2\.b: expected float32 \(5,\), got nothing$"),
])
def test_arrays_that_cannot_be_packed(name, value, error, message):
    net = build(EBP["binary"], "7FC")
    params, running = network.init(net, np.random.default_rng(0))
    if value is None:
        del params[name]
    else:
        params[name].flat[0] = value
    with pytest.raises(error, match=message):
        packed.pack_network(net, params, running, SHAPE)


def test_scales_that_are_none():
    net = build(SHIFT, "7FC")
    params, running = network.init(net, np.random.default_rng(0))
    running["bn1.rstd"][2] = -1
    with pytest.raises(ValueError, match=r"^bn1\.rstd: expected reciprocal standard deviations of at least 0, got -1"):
        packed.pack_network(net, params, running, SHAPE)
    running["bn1.rstd"][2], params["bn1.gamma"][2] = 0, 3e38                        # AP2 of it is infinite
    with pytest.raises(ValueError, match=r"^bn1: expected a scale, got infinity times 0 of gamma and rstd$"):
        packed.pack_network(net, params, running, SHAPE)


def test_preprocessing_that_is_none():
    with pytest.raises(ValueError, match=r"^contrast: expected a scale above 0, got 0\.0$"):
        Front("contrast", (np.array(0, np.float32),))
    for size in (4, 0, -1, 2.5):
        with pytest.raises(ValueError, match=r"^local: expected an odd number of pixels"):
            Front("local", (np.array(size, np.float32),))
    net = [replace(step, settings=(4,)) if step.name == "local" else step
           for step in build(REAL["binary"], "7FC", coding=inputs.local_contrast_inputs)]
    assert refusal(net) == "local: local: expected an odd number of pixels, got 4.0"
    net = build(REAL["binary"], "7FC", coding=inputs.centred_inputs)
    params, running = network.init(net, np.random.default_rng(0))
    running["centre.mean"] = np.zeros((2, 5, 5), np.float32)
    with pytest.raises(ValueError, match=r"^centre\.mean: expected float32 \(2, 5, 6\), got float32 \(2, 5, 5\)$"):
        packed.pack_network(net, params, running, SHAPE)
