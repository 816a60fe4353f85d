"""BinaryConnect's Table 1 again: three update rules, each with and without learning rates scaled by initialization.

    bnn-ref rates [--data NAME] [--data-dir DIR] [--epochs N] [--seed S]

The paper does not say how small its small network was, nor the rates. Here every cell tries the same three rates of its
rule, and the one of least validation error counts; the test set is looked at once a cell.
"""

import sys
from dataclasses import replace

from .. import data
from ..nets import recipe
from ..ops import optim
from ..papers.binaryconnect import VOCABULARIES
from ..training import loop
from . import choices
from .terminal import say, write

PUBLISHED = {                                    # CIFAR-10 test error, percent: without scaling, with; Table 1
    "SGD": (None, 11.45),
    "Nesterov": (15.65, 11.30),
    "Adam": (12.81, 10.47),
}
RATES = {"SGD": (0.1, 1.0, 10.0), "Nesterov": (0.01, 0.1, 1.0), "Adam": (1e-4, 1e-3, 1e-2)}
RULES = (optim.SGD, optim.NESTEROV, optim.ADAM)
SMALL = recipe.Recipe("16C3-MP2-32C3-MP2-64FC", 3, 50, (1.0, 1.0), pad_value=-1.0)


def cell(dataset, rule, scaled, epochs, seed=0, show=lambda text: None):
    """(test error in percent, the rate it was reached with) of one cell: the rate of least validation error.

    rule: an optim.Optimizer; scaled: whether the rates of binary weights are multiplied by 1/c (Adam) or 1/c²; each
    falls to a hundredth over the epochs. A rate with which the loss is not finite is out.
    """
    vocabulary = VOCABULARIES["deterministic"]
    net = choices.build_network(SMALL, dataset.shape, dataset.classes, vocabulary)
    best = None
    for rate in RATES[rule.name]:
        chosen = replace(SMALL, epochs=epochs, lr=(rate, rate / 100), optimizer=rule, glorot_rates=scaled)
        state = loop.start(net, chosen, seed)
        show(f"{rule.name}, {'scaled' if scaled else 'not scaled'}, rate {rate:g}")
        try:
            for after in loop.train(net, chosen, dataset, state, seed):
                state = after
        except loop.TrainingError:
            continue
        error = min(record["valid_error"] for record in state.history)
        if best is None or error < best[0]:
            best = error, rate, state
    if best is None:
        return None
    _, rate, state = best
    return loop.error_rate(net, state.best_params, state.best_running, dataset.test_x, dataset.test_y), rate


def table(cells):
    """A Markdown table of {(rule's name, scaled): (error, rate) or None}, the paper's figures beside."""
    lines = ["| rule | not scaled | scaled | paper: not scaled | scaled |", "| --- | --- | --- | --- | --- |"]
    for name, published in PUBLISHED.items():
        here = [cells[name, scaled] for scaled in (False, True)]
        texts = ["no rate learns" if one is None else f"{one[0]:.2f} % (rate {one[1]:g})" for one in here]
        texts += ["-" if error is None else f"{error:.2f} %" for error in published]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def show_rates(options):
    """Train the cells and print the table. Returns the exit code."""
    dataset = data.load(options.data, options.data_dir)

    def show(text):
        write(f"{text}\n", sys.stderr)

    cells = {(rule.name, scaled): cell(dataset, rule, scaled, options.epochs, options.seed, show)
             for rule in RULES for scaled in (False, True)}
    say(table(cells))
    return 0
