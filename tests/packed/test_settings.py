"""Every setting of every step that has a form on bits: used there as in floats, or refused by the step's name."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import packed
from bnn_ref.nets import inputs, network, steps
from bnn_ref.ops import batchnorm, dropout, shift_batchnorm
from bnn_ref.packed import convert
from bnn_ref.training import loop

pytestmark = pytest.mark.task_packing

SHAPE = (2, 7, 6)
X = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), np.uint8)
OTHER = {"stride": 2, "pad": 0, "pad_value": 1.0, "kernel": 3, "eps": 1.0, "factor": 3.0, "scale": 0.5,
         "kernel_size": 3, "width": 0.5, "p": 0.3}
USED = {"pad", "pad_value", "kernel", "stride of pool", "eps of norm", "factor", "scale", "kernel_size"}
REFUSED = {"stride of conv", "eps of contrast", "eps of local"}
NO_MATTER = {"width", "p", "eps of shift"}       # at test time: `running` holds 1/√(v + ε) of a shift-based one


def plain(maker):
    return lambda name, *sizes: maker(name)


def input_step(maker):
    return lambda name, *sizes: replace(maker(SHAPE)[0], name=name)


def dense(maker):
    return lambda name, units: maker(name, units, 9)


def conv(maker):
    return lambda name, channels: maker(name, channels, 9, 3, 1, -1.0)


DENSE = {"dense": steps.binary_dense_step, "planes": steps.bit_plane_dense_step, "ternary": steps.ternary_dense_step,
         "ebp": steps.BINARY_POSTERIOR[2], "ebp ternary": steps.TERNARY_POSTERIOR[2],
         "bitwise": steps.bitwise_dense_step(0.3)}
CONV = {"conv": steps.binary_conv_step, "conv planes": steps.bit_plane_conv_step,
        "conv ternary": steps.ternary_conv_step}
INPUT = {"signs": inputs.sign_inputs, "unit": inputs.unit_inputs, "rounded": inputs.rounded_inputs,
         "two bits": inputs.two_bit_inputs, "centre": inputs.centred_inputs, "contrast": inputs.contrast_inputs,
         "white": inputs.whitened_inputs, "local": inputs.local_contrast_inputs}
NORM = {"norm": steps.batchnorm_step, "shift": steps.shift_batchnorm_step, "scale": steps.scale_step(0.5)}
UNIT = {"sign": steps.sign_step, "stochastic": steps.stochastic_sign_step, "identity": steps.identity_sign_step,
        "masked": steps.masked_sign_step(2.0), "relu": steps.relu_step}


def pool(name, channels):
    return steps.max_pool_step(name, 2, 1)


def drop(name, channels):
    return steps.dropout_step(name, 0.5)


# {what is tried: where it is among the others}; a place is a function (name, size of what comes in) -> step.
PLACES = {
    **{name: [*[plain(steps.flatten_step), dense(maker)], plain(steps.sign_step)] for name, maker in DENSE.items()},
    **{name: [conv(maker), plain(steps.sign_step), plain(steps.flatten_step)] for name, maker in CONV.items()},
    **{name: [input_step(maker), plain(steps.flatten_step), dense(DENSE["dense"]), plain(steps.relu_step)]
       for name, maker in INPUT.items()},
    **{name: [plain(steps.flatten_step), dense(DENSE["dense"]), maker, plain(steps.relu_step)]
       for name, maker in NORM.items()},
    **{name: [plain(steps.flatten_step), dense(DENSE["dense"]), plain(maker)] for name, maker in UNIT.items()},
    "pool": [conv(CONV["conv"]), pool, plain(steps.sign_step), plain(steps.flatten_step)],
    "dropout": [plain(steps.flatten_step), dense(DENSE["dense"]), plain(steps.sign_step), drop],
    "flatten": [plain(steps.flatten_step), dense(DENSE["dense"]), plain(steps.sign_step)],
}
FIRST = {**dict.fromkeys(DENSE, 1), **dict.fromkeys(NORM, 2), **dict.fromkeys(UNIT, 2), "pool": 1, "dropout": 3}


def built(what, change=lambda step: step):
    """(net, params, running) with `what` in it, under that name; `change` is applied to its step alone."""
    rng = np.random.default_rng(1)
    net, params, running, x = [], {}, {}, loop.scale_pixels(X)
    for place, maker in enumerate([*PLACES[what], dense(DENSE["dense"]), steps.batchnorm_step]):
        tried = place == FIRST.get(what, 0)
        step = maker(what if tried else f"step{place}", x.shape[1])
        step = change(step) if tried else step
        new_params, new_running = network.init((step,), rng)
        new_running = {name: np.asarray(rng.uniform(0.1, 1, array.shape), np.float32)
                       for name, array in new_running.items()}
        if step.fit:
            new_running = network.fit((step,), new_running, x)
        net, params, running = [*net, step], params | new_params, running | new_running
        x = network.predict((step,), params, running, x)
    return tuple(net), params, running


def names_of(step):
    """The step's settings by name: what forward takes by position behind the arrays."""
    signature = inspect.signature(step.forward).parameters.values()
    names = [one.name for one in signature if one.kind is one.POSITIONAL_OR_KEYWORD]
    draws = {"stochastic": 1, "dropout": 1}.get(step.name, 0)
    return names[1 + len(step.params) + len(step.running) + draws:]


def with_other(step, name):
    """The step with another value of that setting, the others as they were."""
    defaults = inspect.signature(step.forward).parameters
    values = dict(zip(names_of(step), step.settings))
    values = {other: values.get(other, defaults[other].default)
              for other in names_of(step)[:names_of(step).index(name) + 1]} | values
    return replace(step, settings=tuple((values | {name: OTHER[name]}).values()))


CASES = [(what, name) for what in PLACES for name in names_of(built(what)[0][FIRST.get(what, 0)])]


def test_every_step_with_a_form_on_bits_is_tried():
    tried = {built(what)[0][FIRST.get(what, 0)].forward for what in PLACES}
    assert tried == {*convert.KINDS, dropout.dropout_forward}
    assert {name for _, name in CASES} == set(OTHER)
    assert {what for what, name in CASES if name == "eps"} == {"norm", "shift", "contrast", "local"}


@pytest.mark.parametrize("what, name", CASES)
def test_a_setting_is_used_or_refused(what, name):
    kind = "conv" if what in CONV else what
    said = {name, f"{name} of {kind}"}
    net, params, running = built(what, lambda step: with_other(step, name))
    floats = network.predict(net, params, running, loop.scale_pixels(X))
    if said & REFUSED:
        with pytest.raises(ValueError, match=f"^{what}: .*{OTHER[name]}"):
            packed.pack_network(net, params, running, SHAPE)
        return
    bits = packed.predict(packed.pack_network(net, params, running, SHAPE), X)
    real = what in (*INPUT, *NORM, "relu")
    np.testing.assert_allclose(bits, floats, rtol=1e-4 if real else 0, atol=1e-4 if real else 0)
    differs = not np.allclose(network.predict(*built(what), loop.scale_pixels(X)), floats, rtol=1e-3, atol=1e-3)
    assert said & (NO_MATTER if not differs else USED)


def test_labels_of_a_network_with_the_eps_of_pytorch():
    """Small variances, as behind a layer of few inputs: there the fifth digit of ε decides labels."""
    def pack(eps):
        net = (steps.flatten_step("flat"), steps.binary_dense_step("fc1", 84, 30),
               steps.batchnorm_step("bn1", 30, eps=eps), steps.sign_step("act1"),
               steps.binary_dense_step("fc2", 30, 4), steps.batchnorm_step("bn2", 4, eps))
        params, running = network.init(net, np.random.default_rng(0))
        running["bn1.var"][:], running["bn2.var"][:] = 1e-5, 1e-5
        params["bn1.beta"] += 300
        x = np.random.default_rng(0).integers(0, 256, (500, *SHAPE), np.uint8)
        floats = network.predict(net, params, running, loop.scale_pixels(x))
        bits = packed.predict(packed.pack_network(net, params, running, SHAPE), x)
        assert bits.tobytes() == floats.tobytes()
        return bits

    assert (pack(1e-5).argmax(axis=1) != pack(batchnorm.EPS).argmax(axis=1)).any()


@pytest.mark.parametrize("maker, default", [(steps.batchnorm_step, batchnorm.EPS),
                                            (steps.shift_batchnorm_step, shift_batchnorm.EPS)])
def test_eps_of_a_step(maker, default):
    assert maker("bn", 3).settings == maker("bn", 3, default).settings == ()
    assert maker("bn", 3, eps=np.float64(1e-3)).settings == (1e-3,)
    assert type(maker("bn", 3, eps=np.float64(1e-3)).settings[0]) is float
    for eps in (-1e-5, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^eps: expected a number of at least 0, got (-1e-05|nan|inf)$"):
            maker("bn", 3, eps)


@pytest.mark.parametrize("what, settings, message", [
    ("norm", (-1.0,), "norm: eps: expected a number of at least 0, got -1.0"),
    ("norm", (np.nan,), "norm: eps: expected a number of at least 0, got nan"),
    ("norm", (1e-5, 0.1), "norm: expected 0 or 1 settings for a form on bits, got (1e-05, 0.1)"),
    ("scale", (-1.0,), "scale: factor: expected a number > 0, got -1.0"),
    ("conv", (), "conv: expected 3 settings for a form on bits, got ()"),
    ("pool", (2,), "pool: expected 2 settings for a form on bits, got (2,)"),
    ("dense", (1,), "dense: expected 0 settings for a form on bits, got (1,)"),
    ("relu", (6.0,), "relu: expected 0 settings for a form on bits, got (6.0,)"),
])
def test_settings_that_make_no_step(what, settings, message):
    net, params, running = built(what)
    net = [replace(step, settings=settings) if step.name == what else step for step in net]
    with pytest.raises(ValueError) as caught:
        packed.pack_network(net, params, running, SHAPE)
    assert str(caught.value) == message


def test_eps_that_is_a_numpy_scalar_widens_nothing():
    net, params, running = built("norm", lambda step: replace(step, settings=(np.float64(1e-3),)))
    floats = network.predict(net, params, running, loop.scale_pixels(X))
    assert floats.dtype == np.float32
    out, _, new = network.forward(net, params, running, loop.scale_pixels(X), np.random.default_rng(0))
    assert {array.dtype for array in (out, *new.values())} == {np.dtype(np.float32)}
