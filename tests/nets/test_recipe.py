"""The papers' notation for architectures, and the networks it stands for."""

import numpy as np
import pytest

from bnn_ref.nets import network, recipe, steps
from bnn_ref.nets.inputs import centred_inputs, sign_inputs
from bnn_ref.papers import PAPERS


def names(net):
    return [step.name for step in net]


def built(net, shape=(1, 8, 8), paper="bnn", weights="deterministic", **changes):
    return recipe.build(recipe.Recipe(net, 1, 1, (1, 1), **changes), shape, 10, PAPERS[paper].VOCABULARIES[weights])


@pytest.mark.task_bnn
def test_an_mlp_is_flat_product_normalization_activation():
    net = built("16FC-12FC")
    assert names(net) == "flat fc1 bn1 act1 fc2 bn2 act2 fc3 bn3".split()
    specs = network.param_specs(net)
    assert specs["fc1.w"].shape == (64, 16)
    assert specs["fc2.w"].shape == (16, 12)
    assert specs["fc3.w"].shape == (12, 10)
    assert specs["bn3.gamma"].shape == (10,)


def test_a_convnet_pools_before_it_normalizes():
    net = built("4C3-MP2-6C5-5FC", shape=(3, 9, 7), pad_value=-1.0)
    assert names(net) == "conv1 pool1 bn1 act1 conv2 bn2 act2 flat fc3 bn3 act3 fc4 bn4".split()
    assert net[0].settings == (1, 1, -1.0)
    assert net[4].settings == (1, 2, -1.0)
    specs = network.param_specs(net)
    assert specs["conv1.w"].shape == (4, 3, 3, 3)
    assert specs["conv2.w"].shape == (6, 4, 5, 5)
    assert specs["fc3.w"].shape == (6 * 4 * 3, 5)
    params, running = network.init(net, np.random.default_rng(0))
    x = np.zeros((2, 3, 9, 7), np.float32)
    assert network.predict(net, params, running, x).shape == (2, 10)
    assert network.forward(net, params, running, x, np.random.default_rng(0))[0].shape == (2, 10)


def test_dropout_stands_at_the_input_and_behind_activations():
    net = built("16FC-12FC", dropout=(0.2, 0.5))
    assert names(net) == "drop0 flat fc1 bn1 act1 drop1 fc2 bn2 act2 drop2 fc3 bn3".split()
    assert [step.settings for step in net if step.name.startswith("drop")] == [(0.2,), (0.5,), (0.5,)]
    assert names(built("16FC", dropout=(0.2, 0.0))) == "drop0 flat fc1 bn1 act1 fc2 bn2".split()


@pytest.mark.parametrize("net", ["", "16", "16fc", "0FC", "MP2", "8C3-MP2-MP2", "16FC-MP2", "8C4", "8C3-MP1",
                                 "8C3 -4FC", "16FC-8C3", "8C3-MP9"])
def test_a_notation_that_cannot_be_read_or_does_not_fit(net):
    with pytest.raises(ValueError, match=r"^net: "):
        built(net)


@pytest.mark.parametrize(("paper", "weights", "dense", "conv", "activation"), [
    ("float", "real", "dense", "conv", "relu"),
    ("binaryconnect", "deterministic", "binary_dense", "binary_conv", "relu"),
    ("binaryconnect", "stochastic", "stochastic_binary_dense", "stochastic_binary_conv", "relu"),
    ("bnn", "deterministic", "binary_dense", "binary_conv", "sign")])
def test_what_the_papers_networks_are_made_of(paper, weights, dense, conv, activation):
    net = {step.name: step.forward.__name__ for step in built("4C3-5FC", paper=paper, weights=weights)}
    assert (net["fc2"], net["conv1"], net["act2"]) == (f"{dense}_forward", f"{conv}_forward", f"{activation}_forward")


def test_initial_arrays():
    rng = np.random.default_rng(0)
    net = (steps.binary_dense_step("b", 100, 50), steps.dense_step("d", 100, 50), steps.batchnorm_step("n", 50),
           steps.binary_conv_step("bc", 20, 30, 3, 1, 0.0), steps.conv_step("c", 20, 30, 3, 1, 0.0))
    params, running = network.init(net, rng)
    for name, limit in (("b.w", 1), ("bc.w", 1), ("d.w", np.sqrt(6 / 150)), ("c.w", np.sqrt(6 / (9 * 50)))):
        w = params[name]
        assert w.dtype == np.float32
        assert limit * 0.98 < np.abs(w).max() <= limit
        assert w.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert np.all(params["n.gamma"] == 1)
    assert np.all(params["n.beta"] == 0)
    assert np.all(running["n.mean"] == 0)
    assert np.all(running["n.var"] == 1)
    specs = network.param_specs(net)
    assert [name for name, spec in specs.items() if spec.binary] == ["b.w", "bc.w"]


@pytest.mark.parametrize("make", [steps.stochastic_binary_dense_step, lambda name, i, o:
                                  steps.stochastic_binary_conv_step(name, i, o, 1, 0, 0.0)])
def test_sampled_weights_are_real_at_test_time(make):
    step = make("s", 4, 3)
    params, _ = network.init((step,), np.random.default_rng(0), np.float64)
    conv = params["s.w"].ndim == 4
    x = np.random.default_rng(1).standard_normal((5, 4, 1, 1) if conv else (5, 4))
    w = params["s.w"].reshape(3, 4).T if conv else params["s.w"]
    np.testing.assert_allclose(network.predict((step,), params, {}, x).reshape(5, 3), x.reshape(5, 4) @ w, atol=1e-12)
    sampled, _, _ = network.forward((step,), params, {}, x, np.random.default_rng(2))
    u = np.random.default_rng(2).random(params["s.w"].shape)
    w_b = np.where(u < (params["s.w"] + 1) / 2, 1.0, -1.0)
    w_b = w_b.reshape(3, 4).T if conv else w_b
    np.testing.assert_allclose(sampled.reshape(5, 3), x.reshape(5, 4) @ w_b, atol=1e-12)


def test_noise_of_activations_and_dropout():
    rng = np.random.default_rng
    x = rng(0).standard_normal((50, 40))
    sign, drop = steps.stochastic_sign_step("s"), steps.dropout_step("d", 0.25)
    out, _, _ = network.forward((sign,), {}, {}, x, rng(3))
    np.testing.assert_array_equal(out, np.where(rng(3).random(x.shape) < np.clip((x + 1) / 2, 0, 1), 1, -1))
    np.testing.assert_array_equal(network.predict((sign,), {}, {}, x), np.where(x >= 0, 1, -1))
    out, _, _ = network.forward((drop,), {}, {}, x, rng(3))
    np.testing.assert_allclose(out, np.where(rng(3).random(x.shape) >= 0.25, x / 0.75, 0))
    np.testing.assert_array_equal(network.predict((drop,), {}, {}, x), x)


def test_a_recipe_as_text():
    text = recipe.Recipe("8FC", 3, 50, (0.1, 0.01)).as_text()
    assert text == {"net": "8FC", "epochs": "3", "batch": "50", "lr": "(0.1, 0.01)", "optimizer": "Adam",
                    "loss": "squared hinge", "dropout": "(0.0, 0.0)", "pad_value": "0.0", "inputs": "()",
                    "decay": "exponential_decay", "glorot_rates": "True", "clip": "weights", "choices": "None",
                    "before": "None"}
    text = recipe.Recipe("8FC", 3, 50, (1, 2), inputs=(centred_inputs, sign_inputs), before=recipe.Recipe(
        "8FC", 7, 50, (1, 1))).as_text()
    assert text["inputs"] == "(centred_inputs, sign_inputs)"
    assert "'epochs': '7'" in text["before"]


def test_valid_convolutions():
    net = built("8C3V-8C3V-MP2-6C2V-16FC", (3, 9, 8))              # maps of 7 × 6, 5 × 4, 2 × 2, 1 × 1
    params = {param.name: param.shape for step in net for param in step.params if step.name == "fc4"}
    assert params == {"w": (6, 16)}
    assert [step.settings for step in net if step.name.startswith("conv")] == [(1, 0, 0.0)] * 3
    with pytest.raises(ValueError, match="too small"):
        built("8C3V-8C3V-MP2-6C2V-16FC", (3, 7, 8))                # 5, 3, 1: no room for 2 × 2
    for wrong in ("8C2", "8C0V", "8C3v", "8CV"):
        with pytest.raises(ValueError, match="cannot read"):
            built(wrong)


def test_the_maps_of_few_multiplications():
    """128 × 30² down to 1024 × 1²: as in the authors' code."""
    from bnn_ref.papers import few_multiplications

    net = built(few_multiplications.NET, (3, 32, 32), "few_multiplications", "ternary")
    assert next(param.shape for step in net for param in step.params if step.name == "fc8") == (1024, 1024)


def test_every_slot_of_a_vocabulary():
    def named(kind):
        return lambda name, *sizes: network.Step(f"{kind} {name} {sizes}", None, None)

    words = recipe.Vocabulary(named("dense"), named("conv"), named("act"), named("norm"), named("last norm"),
                              named("first dense"), named("first conv"), named("end"))
    chosen = recipe.Recipe("4FC-5FC", 1, 1, (1, 1))
    assert names(recipe.build(chosen, (1, 2, 3), 7, words)) == [
        "flat", "first dense fc1 (6, 4)", "norm bn1 (4,)", "act act1 ()", "dense fc2 (4, 5)", "norm bn2 (5,)",
        "act act2 ()", "dense fc3 (5, 7)", "last norm bn3 (7,)", "end out3 (7,)"]
    chosen = recipe.Recipe("4C1-5C1", 1, 1, (1, 1))
    bare = recipe.Vocabulary(named("dense"), named("conv"), named("act"), norm=None, first_conv=named("first conv"))
    assert names(recipe.build(chosen, (1, 2, 3), 7, bare)) == [
        "first conv conv1 (1, 4, 1, 0, 0.0)", "act act1 ()", "conv conv2 (4, 5, 1, 0, 0.0)", "act act2 ()", "flat",
        "dense fc3 (30, 7)"]
    with pytest.raises(ValueError, match="no convolutions in this paper"):
        recipe.build(chosen, (1, 2, 3), 7, recipe.Vocabulary(named("dense"), None, named("act")))


def test_inputs_come_first_and_change_the_shape():
    net = built("4FC", (2, 3, 3), inputs=PAPERS["bitwise"].INPUTS["two-bit"][1], dropout=(0.1, 0.0))
    assert names(net)[:3] == ["inputs", "drop0", "flat"]
    assert next(param.shape for step in net for param in step.params) == (36, 4)


def test_a_variant_with_recipes_of_its_own_takes_no_other():
    recipes = {("mnist", "mlp", "quick"): "all", ("mnist", "mlp", "paper"): "paper",
               ("mnist", "mlp", "quick", "shift"): "own"}
    assert recipe.choose(recipes, "mnist", "mlp", "quick", "shift") == "own"
    assert recipe.choose(recipes, "mnist", "mlp", "quick", "deterministic") == "all"
    for variant, preset in (("shift", "paper"), ("deterministic", "long")):
        with pytest.raises(KeyError):
            recipe.choose(recipes, "mnist", "mlp", preset, variant)
    assert recipe.offered(recipes, "shift") == [("mnist", "mlp", "quick")]
    assert recipe.offered(recipes, "deterministic") == [("mnist", "mlp", "quick"), ("mnist", "mlp", "paper")]


@pytest.mark.parametrize(("text", "net", "kind"), [
    ("512FC", "512FC", "mlp"), ("512", "512FC", "mlp"), ("3x512", "512FC-512FC-512FC", "mlp"),
    ("2x64FC-10", "64FC-64FC-10FC", "mlp"), ("32C3-MP2-64C3V-2x8", "32C3-MP2-64C3V-8FC-8FC", "convnet"),
    ("2x8C3-16C5", "8C3-8C3-16C5", "convnet")])
def test_layers_are_written_short_or_out(text, net, kind):
    assert recipe.notation(text) == recipe.notation(net) == net and recipe.kind(net) == kind


@pytest.mark.parametrize("text", ["", "0", "0x5", "100x5", "x5", "3x", "-5", "5-", "5FC--5FC", "5fc", "MP2", "5C2",
                                  "3x2x5", "٣", "5 FC", "5FC\n", "3xMP2"])
def test_what_are_no_layers(text):
    with pytest.raises(ValueError, match=r"^net: cannot read .* in .*; for example 32C3-MP2-256FC$"):
        recipe.notation(text)
