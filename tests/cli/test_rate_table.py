"""BinaryConnect's Table 1 again: how a cell is chosen, and what the table says."""

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import main, rate_table
from bnn_ref.ops import optim
from bnn_ref.training import loop
from tests.cli.command import refused

DIGITS = data.load("digits")


def test_the_rate_of_least_validation_error_counts_and_the_test_set_is_looked_at_once(monkeypatch):
    seen, tested = [], []

    def fake(net, chosen, dataset, state, seed):
        assert dataset is DIGITS
        seen.append((chosen.lr, chosen.optimizer, chosen.glorot_rates, chosen.epochs, seed))
        if chosen.lr[0] == 10.0:
            raise loop.TrainingError("not finite")
        error = {0.1: 7.0, 1.0: 5.0}[chosen.lr[0]]
        history = ({"valid_error": error + 3}, {"valid_error": error})
        yield loop.replace(state, history=history, best_params={"rate": chosen.lr[0]})

    def error_rate(net, params, running, x, y):
        tested.append(params["rate"])
        assert x is DIGITS.test_x
        return 42.0

    monkeypatch.setattr(loop, "train", fake)
    monkeypatch.setattr(loop, "error_rate", error_rate)
    assert rate_table.cell(DIGITS, optim.SGD, False, 2, seed=3) == (42.0, 1.0)
    assert tested == [1.0]
    assert seen == [((rate, rate / 100), optim.SGD, False, 2, 3) for rate in (0.1, 1.0, 10.0)]


def test_a_rule_that_never_learns(monkeypatch):
    def fake(*args):
        raise loop.TrainingError("not finite")
        yield

    monkeypatch.setattr(loop, "train", fake)
    assert rate_table.cell(DIGITS, optim.SGD, True, 1) is None


def test_the_table():
    cells = {(name, scaled): (10.0 + scaled, 0.5) for name in rate_table.PUBLISHED for scaled in (False, True)}
    cells["SGD", False] = None
    assert rate_table.table(cells).split("\n")[2:] == [
        "| SGD | no rate learns | 11.00 % (rate 0.5) | - | 11.45 % |",
        "| Nesterov | 10.00 % (rate 0.5) | 11.00 % (rate 0.5) | 15.65 % | 11.30 % |",
        "| Adam | 10.00 % (rate 0.5) | 11.00 % (rate 0.5) | 12.81 % | 10.47 % |"]


def test_scaling_is_what_makes_sgd_learn_in_an_epoch():
    """On the digits, after two epochs: the paper's order, by a wide margin."""
    scaled, plain = (rate_table.cell(DIGITS, optim.SGD, scaled, 2)[0] for scaled in (True, False))
    assert scaled < plain - 10


@pytest.mark.parametrize(("args", "says"), [(["--data", "nothing"], "unknown data set"),
                                            (["--epochs", "0"], "expected a whole number from 1 up"),
                                            (["--what"], "unrecognized arguments")])
def test_mistakes_end_in_one_line(args, says, capsys):
    assert says in refused(capsys, "rates", *args)


def test_pictures_too_small_for_the_small_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x, y = np.full((40, 1, 3, 3), 255, np.uint8), np.arange(40) % 2
    data.save("tiny.npz", x, y, x, y)
    assert "3 × 3 are too small" in refused(capsys, "rates", "--data", "tiny.npz")


def test_the_program(monkeypatch, capsys):
    monkeypatch.setattr(rate_table, "cell", lambda dataset, rule, scaled, epochs, seed, show: (
        float(np.float64(epochs)), seed))
    assert main.main(["rates", "--data", "digits", "--epochs", "4", "--seed", "9"]) == 0
    assert "| SGD | 4.00 % (rate 9) | 4.00 % (rate 9) | - | 11.45 % |" in capsys.readouterr().out
