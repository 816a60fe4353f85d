"""A trained network in another form than its own."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import main
from bnn_ref.kernels import compiled
from bnn_ref.nets import network, recipe
from bnn_ref.papers import PAPERS, binaryconnect, ebp, few_multiplications
from bnn_ref.training import forms, loop
from bnn_ref.training.fast import steps

DIGITS = data.load("digits")


def trained(paper, variant, epochs=3):
    chosen = replace(recipe.choose(PAPERS[paper].RECIPES, "digits", "mlp", "quick", variant), net="32FC", epochs=epochs)
    net = recipe.build(chosen, DIGITS.shape, DIGITS.classes, PAPERS[paper].VOCABULARIES[variant])
    *_, state = loop.train(net, chosen, DIGITS, loop.start(net, chosen, 0), 0)
    return chosen, net, state


@pytest.mark.parametrize(("sample", "values"), [(forms.sample_signs, {-1, 1}),
                                                (forms.sample_ternary, {-1, 0, 1})])
def test_samples_have_the_mean_of_the_weights(sample, values):
    """The mean of 400 draws is off by more than 5 standard errors (at most 0.25) once in a million weights."""
    w = np.linspace(-1, 1, 41)
    rng = np.random.default_rng(0)
    draws = [sample(rng, {"a"}, {"a": w, "b": w}) for _ in range(400)]
    assert all(draw["b"] is w for draw in draws)
    drawn = np.array([draw["a"] for draw in draws])
    assert set(np.unique(drawn)) == values
    np.testing.assert_allclose(drawn.mean(axis=0), w, atol=0.25)
    assert np.abs(drawn.mean(axis=0) - w).mean() < 0.05
    np.testing.assert_array_equal(drawn[:, [0, -1]], np.tile([-1, 1], (400, 1)))


def test_samples_of_a_posterior():
    """P(+1) = 1 / (1 + exp(-2h)) and b ~ N(b, 1), 4,000 draws: 5 standard errors, wrong less than once in 10⁵ runs.

    At h = ±1 tanh h is 0.76, far enough from h to be told from it.
    """
    h, b = np.array([[-40.0, -1.0, -0.5, 0.0, 0.3, 1.0, 40.0]], np.float32), np.array([3.0], np.float32)
    rng = np.random.default_rng(1)
    draws = [forms.sample_posterior(rng, set(), {"fc1.h": h, "fc1.b": b}) for _ in range(4000)]
    signs = np.array([draw["fc1.h"][0] for draw in draws])
    assert set(np.unique(signs)) == {-1, 1} and signs.dtype == np.float32
    np.testing.assert_allclose((signs == 1).mean(axis=0), 1 / (1 + np.exp(-2 * h[0].astype(float))), atol=5 * 0.0079)
    biases = np.array([draw["fc1.b"][0] for draw in draws])
    assert biases.mean() == pytest.approx(3, abs=5 / 4000**0.5) and biases.std() == pytest.approx(1, abs=0.06)
    assert biases.dtype == np.float32


def test_a_form_is_the_same_parameters_through_other_steps():
    chosen, net, state = trained("binaryconnect", "stochastic")
    names = loop.binary_shapes(net)
    form = binaryconnect.FORMS["stochastic"]["binary"]
    out = forms.outputs(form, chosen, names, DIGITS, state.params, state.running, DIGITS.test_x[:7])
    order = np.random.default_rng([0, 2]).permutation(len(DIGITS.train_x))
    signs = {name: np.where(w >= 0, 1, -1).astype(np.float32) if name in names else w
             for name, w in state.params.items()}
    own = network.recompute_statistics(net, signs, state.running, loop.statistics_batches(DIGITS.train_x, order))
    expected = network.predict(net, signs, own, loop.scale_pixels(DIGITS.test_x[:7]))       # real weights, ±1
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    own_form = network.predict(net, state.params, state.running, loop.scale_pixels(DIGITS.test_x[:7]))
    assert not np.allclose(out, own_form)


def test_the_error_of_a_form_is_that_of_its_outputs_for_the_test_pictures():
    chosen, net, state = trained("binaryconnect", "stochastic", epochs=2)
    for form in binaryconnect.FORMS["stochastic"].values():
        arguments = form, chosen, loop.binary_shapes(net), DIGITS, state.params, state.running
        wrong = forms.outputs(*arguments, DIGITS.test_x).argmax(axis=1) != DIGITS.test_y
        assert forms.error_rate(*arguments) == pytest.approx(100 * wrong.mean())
        assert 0 < wrong.mean() < 0.5


def test_many_pictures_are_answered_by_the_kernels_with_the_same_numbers(monkeypatch):
    chosen, net, state = trained("binaryconnect", "deterministic")
    monkeypatch.setattr(forms, "SAMPLES", 2)
    form, accelerated = binaryconnect.FORMS["deterministic"]["sampled"], []
    monkeypatch.setattr(steps, "accelerate",
                        lambda net, make=steps.accelerate: accelerated.append(net) or make(net))
    outs = []
    for least in (math.inf, 0):
        monkeypatch.setattr(loop, "FAST_WORK", least)
        outs.append(forms.outputs(form, chosen, loop.binary_shapes(net), DIGITS, state.params, state.running,
                                      DIGITS.test_x))
        assert len(accelerated) == (compiled.COMPILED and len(outs) == 2)
    np.testing.assert_array_equal(*outs, strict=True)


def test_sampled_outputs_are_the_mean_over_draws(monkeypatch):
    chosen, net, state = trained("few_multiplications", "ternary")
    names = loop.binary_shapes(net)
    form = few_multiplications.FORMS["ternary"]["sampled"]
    seen = []

    def sample(rng, of, params):
        assert of == names
        seen.append(form.sample(rng, of, params))
        return seen[-1]

    spy, ticks = replace(form, sample=sample), []
    out = forms.outputs(spy, chosen, names, DIGITS, state.params, state.running, DIGITS.test_x[:5],
                            lambda done, total: ticks.append((done, len(seen), total)))
    assert ticks == [(done, done, forms.SAMPLES) for done in range(forms.SAMPLES + 1)]
    assert len({params[min(names)].tobytes() for params in seen}) == forms.SAMPLES           # each draws anew
    real = recipe.build(chosen, DIGITS.shape, 10, form.vocabulary)
    order = np.random.default_rng([0, 2]).permutation(len(DIGITS.train_x))
    alone = [network.predict(real, params, network.recompute_statistics(
        real, params, state.running, loop.statistics_batches(DIGITS.train_x, order)),
        loop.scale_pixels(DIGITS.test_x[:5])) for params in seen]
    # The order of pictures is drawn before the samples: each of them sees the same batches.
    np.testing.assert_allclose(out, np.mean(alone, axis=0), rtol=1e-4, atol=1e-4)


def test_the_mean_over_drawn_networks_comes_close_to_the_mean_network(monkeypatch):
    """EBP-P is the limit of many samples: with 200, both agree on nearly all pictures."""
    chosen, net, state = trained("ebp", "binary", epochs=6)
    monkeypatch.setattr(forms, "SAMPLES", 200)
    out = forms.outputs(ebp.FORMS["binary"]["sampled"], chosen, set(), DIGITS, state.params, state.running,
                            DIGITS.test_x)
    mean = network.predict(net, state.params, state.running, loop.scale_pixels(DIGITS.test_x))
    assert np.mean(out.argmax(axis=1) == mean.argmax(axis=1)) > 0.97


def test_forms_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["train", "ebp", "--epochs", "2", "--out", "run"]) == 0
    printed = capsys.readouterr().out
    for name in ("deterministic", "sampled"):
        assert main.main(["evaluate", "run", "--form", name]) == 0
        line, said = capsys.readouterr()
        assert line.startswith(f"test error with {name} ") and line in printed
        assert said == f"testing with {name}\n" and said in printed
    for args, says in ((["evaluate", "run", "--form", "magic"], "ebp binary has deterministic or sampled"),
                       (["evaluate", "run", "--form", "sampled", "--rung", "loops"], "give one of them")):
        assert main.main(args) == 2
        assert says in capsys.readouterr().err
    assert main.main(["train", "float", "--epochs", "1", "--out", "other"]) == 0
    assert main.main(["evaluate", "other", "--form", "sampled"]) == 2
    assert "float real has none but its own" in capsys.readouterr().err
