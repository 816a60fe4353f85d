"""What a run remembers of how sums round, and that the first step shows where they round otherwise."""

import re
from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.nets import inputs, network, recipe
from bnn_ref.ops import optim
from bnn_ref.papers import PAPERS
from bnn_ref.training import arithmetic, loop

DIGITS = data.load("digits")


def plan(paper="bnn", variant="deterministic", **changes):
    """(network, Recipe) of a small MLP."""
    module = PAPERS[paper]
    chosen = replace(recipe.choose(module.RECIPES, "digits", "mlp", "quick", variant), net="16FC", **changes)
    vocabulary = module.VOCABULARIES[variant]
    if not isinstance(vocabulary, recipe.Vocabulary):
        vocabulary = vocabulary(chosen.choices)
    return recipe.build(chosen, DIGITS.shape, DIGITS.classes, vocabulary), chosen


def fit(step, x):
    return step.fit(x)


def digest(net, chosen, seed=0):
    return arithmetic.first_step(net, chosen, DIGITS, seed, fit)


@pytest.mark.parametrize(("paper", "variant"), [("bnn", "deterministic"), ("float", "real"), ("bnn", "shift"),
                                                ("binaryconnect", "stochastic"), ("ebp", "binary")])
def test_the_same_step_has_the_same_digest(paper, variant):
    net, chosen = plan(paper, variant)
    first = digest(net, chosen)
    assert re.fullmatch("[0-9a-f]{64}", first) and first == digest(net, chosen)
    assert first != digest(net, chosen, seed=1)


def one_bit_off(forward):
    """The function with the last bit of one output changed, as another order of its sum would."""
    def wrong(*args):
        out, *rest = forward(*args)
        out = out.copy()
        out.flat[0] = np.nextafter(out.flat[0], np.float32(np.inf))
        return (out, *rest)

    return wrong


@pytest.mark.parametrize("optimizer", [optim.ADAM, optim.SGD, optim.SHIFT_ADAMAX], ids=lambda rule: rule.name)
def test_one_last_bit_in_any_product_shows(optimizer):
    net, chosen = plan("float", "real", optimizer=optimizer)
    for place, step in enumerate(net):
        if step.params and step.name.startswith("fc"):
            other = (*net[:place], replace(step, forward=one_bit_off(step.forward)), *net[place + 1:])
            assert digest(net, chosen) != digest(other, chosen)


def test_steps_are_fitted_before():
    """Whitening that is not fitted makes every picture 0, and hides how sums round."""
    seen = []

    def fitted(step, x):
        seen.append((step.name, len(x)))
        return step.fit(x)

    net, chosen = plan("float", "real", inputs=(inputs.centred_inputs,))
    arithmetic.first_step(net, chosen, DIGITS, 0, fitted)
    assert seen == [("centre", len(DIGITS.train_x))]


def test_what_is_described(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    net, chosen = plan()
    told = arithmetic.describe(net, chosen, DIGITS, 0, fit)
    assert list(told) == ["machine", "numpy", "blas", "threads", "first_step"]
    assert told["numpy"] == np.__version__ and told["first_step"] == digest(net, chosen)
    assert re.match(r"\d+ cores, .*OPENBLAS_NUM_THREADS=1", told["threads"])
    assert all(isinstance(text, str) and text for text in told.values())


def test_nothing_is_changed():
    net, chosen = plan()
    before = loop.start(net, chosen, 0)
    digest(net, chosen)
    after = loop.start(net, chosen, 0)
    np.testing.assert_equal(before.params, after.params)
    assert network.init(net, np.random.default_rng([0, 0]))[0].keys() == before.params.keys()
