"""Kernels that get ready aside: training changes over to them between two minibatches, and writes the same bytes."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.kernels import compiled
from bnn_ref.nets import network, recipe
from bnn_ref.papers import PAPERS
from bnn_ref.training import loop
from bnn_ref.training.fast import steps, warm

DIGITS = data.load("digits")
CHOSEN = recipe.Recipe("16FC-16FC", 2, 300, (3e-3, 3e-5), dropout=(0.1, 0.2))
STEPS = len(DIGITS.train_x) // 300                # an epoch
FAST = loop.Way("fast", steps.accelerate, steps.own, steps.training_step)


def built(paper="bnn", variant="deterministic", chosen=CHOSEN):
    chosen, vocabulary = recipe.rounds(chosen, PAPERS[paper].VOCABULARIES[variant])[-1]
    return recipe.build(chosen, DIGITS.shape, DIGITS.classes, vocabulary)


class After:
    """Done when it was asked so often."""

    def __init__(self, asked):
        self.left, self.stopped = asked, False

    def done(self):
        self.left -= 1
        return self.left < 0

    def stop(self):
        self.stopped = True


@pytest.mark.parametrize("asked", [0, 1, STEPS - 1, STEPS, STEPS + 2, 2 * STEPS])
def test_training_changes_over_between_two_minibatches(asked):
    net, taken, warmings = built(), [], []

    def step(*args):
        taken.append(1)
        return steps.training_step(*args)

    def begin(*args):
        warmings.append(After(asked))
        return warmings[0]

    way = replace(FAST, step=step, warm=begin)
    readable, mixed = ([*loop.train(net, CHOSEN, DIGITS, loop.start(net, CHOSEN, 0), 0, way=one)]
                       for one in (loop.READABLE, way))
    assert len(taken) == 2 * STEPS - asked and warmings[0].stopped
    for one, other in zip(readable, mixed, strict=True):
        for field in ("params", "running", "best_params", "best_running"):
            ours, theirs = getattr(one, field), getattr(other, field)
            assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
        assert all(np.array_equal(one.optimizer["m"][name], other.optimizer["m"][name]) for name in one.params)


def test_who_leaves_early_stops_it():
    net, warming = built(), After(1000)
    training = loop.train(net, CHOSEN, DIGITS, loop.start(net, CHOSEN, 0), 0,
                          way=replace(FAST, warm=lambda *args: warming))
    next(training)
    assert not warming.stopped
    training.close()
    assert warming.stopped


def test_operations_of_somebody_s_own_are_called_by_training_alone():
    threads = set()

    def own(x, *args):
        threads.add(threading.current_thread().name)
        return loop.network.predict((), {}, {}, x), None

    own.__module__ = "lesson"
    net = (*built()[:1], network.Step("own", own, lambda dout, cache: dout), *built()[1:])
    begun = []
    way = replace(FAST, warm=lambda *args: begun.append(args))
    list(loop.train(net, CHOSEN, DIGITS, loop.start(net, CHOSEN, 0), 0, way=way))
    assert not begun and threads == {threading.current_thread().name}


@pytest.mark.skipif(not compiled.COMPILED, reason="there is nothing to compile")
@pytest.mark.parametrize(("paper", "variant"), [("bnn", "deterministic"), ("bnn", "shift"), ("ebp", "binary"),
                                                ("few_multiplications", "ternary"), ("bitwise", "bipolar")])
def test_it_ends_and_leaves_what_it_was_given(paper, variant):
    own = recipe.choose(PAPERS[paper].RECIPES, "digits", "mlp", "quick", variant)
    chosen = replace(own, net="8FC", before=own.before and replace(own.before, net="8FC"))
    net = built(paper, variant, chosen)
    state = loop.start(net, chosen, 0)
    running = network.refresh(net, state.params, state.running)
    before = [array.copy() for array in state.params.values()]
    failed = []
    watched = tuple(replace(step, forward=caught(step.forward, failed), backward=caught(step.backward, failed))
                    for step in steps.accelerate(net))
    warming = warm.Warming(watched, chosen, state.params, running, state.optimizer,
                           loop.scale_pixels(DIGITS.train_x[:2]), DIGITS.train_y[:2])
    warming._thread.join(120)
    assert warming.done() and not failed
    for array, old in zip(state.params.values(), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert state.optimizer["t"] == 0


def caught(function, failed):
    def call(*args):
        try:
            return function(*args)
        except Exception as error:
            failed.append(error)
            raise

    return call


def test_stopped_it_ends_at_the_next_operation():
    net, called, go = built(), [], threading.Event()

    def waiting(x, *args):
        called.append("first")
        go.wait(60)
        return x, None

    def never(x, *args):
        called.append("second")
        return x, None

    net = tuple(network.Step(name, function, None) for name, function in (("a", waiting), ("b", never)))
    warming = warm.Warming(net, CHOSEN, {}, {}, {"t": 0}, np.zeros((2, 1, 8, 8), np.float32), DIGITS.train_y[:2])
    warming.stop()
    go.set()
    warming._thread.join(60)
    assert warming.done() and called in ([], ["first"])
