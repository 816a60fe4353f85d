"""What recipes ask of training besides one round of minibatches: rounds, fits, refreshes, decays, limits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import main
from bnn_ref.nets import network, recipe, steps
from bnn_ref.nets.network import Param, Step
from bnn_ref.ops import optim
from bnn_ref.papers import PAPERS, bitwise
from bnn_ref.training import loop, runs

DIGITS = data.load("digits")


def small_data(count=60, seed=0):
    """Pictures of 1 × 4 × 3 in two classes: bright above, or bright below."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    x = rng.integers(0, 120, (count, 1, 4, 3))
    x[y == 0, :, :2] += 130
    x[y == 1, :, 2:] += 130
    x = x.astype(np.uint8)
    return data.Dataset("small", x, y, x[:20], y[:20], x[20:40], y[20:40])


# --- steps whose running arrays are no statistics ------------------------------------------------------------------


def shift_step(name, fit=None, refresh=None):
    """out = x + shift (+ w), the shift a running array."""
    params = (Param("w", (), lambda rng, shape: np.ones(shape)),) if refresh else ()
    def forward(x, *arrays):
        return x + sum(arrays), None, arrays[-1]
    return Step(name, forward, lambda dout, cache: dout, params=params, running=(("shift", (), 0.0),), fit=fit,
                refresh=refresh)


def test_fit_goes_up_the_network_to_the_last_step_that_wants_it():
    seen = []

    def fit(x):
        seen.append(x)
        return (np.float64(x.max()),)

    def never(*args):
        raise AssertionError("nothing above the last fit needs to run")

    net = (shift_step("one", fit), Step("double", lambda x: (2 * x, None), None), shift_step("two", fit),
           Step("above", never, never))
    running = {"one.shift": 0.0, "two.shift": 0.0, "other": 7}
    x = np.array([1.0, 3.0])
    fitted = network.fit(net, running, x)
    assert fitted == {"one.shift": 3.0, "two.shift": 12.0, "other": 7}       # 2 (3 + 3)
    assert running == {"one.shift": 0.0, "two.shift": 0.0, "other": 7}
    np.testing.assert_array_equal(seen[1], [8.0, 12.0])
    assert network.fit((Step("above", never, never),), {"a": 1}, x) == {"a": 1}


def test_pictures_go_up_in_batches_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(network, "FIT_BATCH", 2)
    sizes = []
    double = Step("double", lambda x: (sizes.append(len(x)) or 2 * x, None), None)
    x = np.arange(5.0)
    network.fit((double, shift_step("one", lambda x: (x.tolist(),))), {}, x)
    assert sizes == [2, 2, 1]
    fitted = network.fit((double, shift_step("one", lambda x: (x.tolist(),))), {}, x)
    assert fitted["one.shift"] == [0, 2, 4, 6, 8]


def test_whitening_is_fitted_once_for_all_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path / "data"))
    inputs = PAPERS["float"].RECIPES["cifar10", "convnet", "quick"].inputs
    monkeypatch.setitem(PAPERS["float"].RECIPES, ("digits", "mlp", "quick"),
                        recipe.Recipe("8FC", 1, 50, (0.01, 0.001), inputs=inputs))
    assert main.main(["train", "float", "--out", "one"]) == 0
    assert Path("data/digits-whitening.npz").exists()
    monkeypatch.setattr(np.linalg, "eigh", lambda *args: 1 / 0)
    assert main.main(["train", "float", "--out", "two"]) == 0
    assert Path("one/params.npz").read_bytes() == Path("two/params.npz").read_bytes()
    capsys.readouterr()
    assert main.main(["evaluate", "two"]) == 0                 # what was fitted travels with the run
    assert capsys.readouterr().out == f"test error {runs.read(Path('one'))['test_error']:.2f} %\n"


def test_refresh_takes_arrays_from_parameters_alone():
    net = (shift_step("one", refresh=lambda w: (10 * w,)), shift_step("two", fit=lambda x: 1 / 0))
    running = {"one.shift": 0.0, "two.shift": 5.0}
    assert network.refresh(net, {"one.w": 2.0}, running) == {"one.shift": 20.0, "two.shift": 5.0}
    assert running["one.shift"] == 0.0


def test_only_statistics_are_taken_anew():
    net = (shift_step("fitted", fit=lambda x: (x.mean(),)), steps.batchnorm_step("bn", 2),
           shift_step("fresh", refresh=lambda w: (w,)))
    assert [network.has_statistics(step) for step in net] == [False, True, False]
    params = {"bn.gamma": np.ones(2), "bn.beta": np.zeros(2), "fresh.w": np.ones(())}
    running = {"fitted.shift": np.array(3.0), "bn.mean": np.zeros(2), "bn.var": np.ones(2),
               "fresh.shift": np.array(9.0)}
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    new = network.recompute_statistics(net, params, running, [x, x + 1])
    np.testing.assert_allclose(new["bn.mean"], [5.5, 7.5])                   # behind the fitted step, + 3
    np.testing.assert_allclose(new["bn.var"], [1.0, 4.0])
    assert (new["fitted.shift"], new["fresh.shift"]) == (3.0, 9.0)
    assert network.recompute_statistics(net[:1], {}, {"fitted.shift": 1.0}, []) == {"fitted.shift": 1.0}


def test_a_tuple_of_noise_is_several_arguments():
    step = Step("two", lambda x, u, r, setting: (x + u * r + setting, None), None, draw=lambda rng, x: (2.0, 3.0),
                settings=(100.0,))
    assert network.forward((step,), {}, {}, 1.0, None)[0] == 107.0


# --- what training does with them ----------------------------------------------------------------------------------


def test_what_is_fitted_is_fitted_once_before_the_first_epoch():
    chosen = recipe.Recipe("8FC", 2, 16, (0.01, 0.001), inputs=PAPERS["float"].RECIPES["mnist", "mlp", "paper"].inputs)
    pictures = small_data()
    net = recipe.build(chosen, (1, 4, 3), 2, PAPERS["bnn"].VOCABULARIES["deterministic"])
    states = list(loop.train(net, chosen, pictures, loop.start(net, chosen, 0), 0))
    expected = loop.scale_pixels(pictures.train_x).mean(axis=0)
    for state in states:
        np.testing.assert_allclose(state.running["centre.mean"], expected, rtol=1e-6)
        np.testing.assert_allclose(state.best_running["centre.mean"], expected, rtol=1e-6)
    other = replace(states[0], running={**states[0].running, "centre.mean": states[0].running["centre.mean"] + 1})
    rest = list(loop.train(net, chosen, pictures, other, 0))
    np.testing.assert_allclose(rest[-1].running["centre.mean"], expected + 1, rtol=1e-6)     # not fitted again


def test_boundaries_are_those_of_the_weights_at_the_start_of_the_epoch():
    chosen = recipe.Recipe("8FC", 3, 16, (0.1, 0.01), loss=bitwise._second("8FC", 1, (1, 1)).loss)
    vocabulary = recipe.Vocabulary(steps.bitwise_dense_step(0.5), None, steps.identity_sign_step, norm=None)
    net = recipe.build(chosen, (1, 4, 3), 2, vocabulary)
    before = loop.start(net, chosen, 0)
    for state in loop.train(net, chosen, small_data(), before, 0):
        magnitudes = np.sort(np.abs(before.params["fc1.w"]), axis=None)
        assert state.running["fc1.beta_w"] == magnitudes[magnitudes.size // 2]
        before = state


def test_rates_follow_the_recipe():
    seen = []

    def step(params, grads, state, rates):
        seen.append(rates)
        return params, state

    optimizer = optim.Optimizer("spy", optim.sgd_init, step, 1)
    net = recipe.build(recipe.Recipe("8FC", 1, 1, (1, 1)), (1, 4, 3), 2, PAPERS["bnn"].VOCABULARIES["deterministic"])
    for scaled in (True, False):
        chosen = recipe.Recipe("8FC", 4, 60, (0.5, 0.125), optimizer, decay=optim.halving_decay, glorot_rates=scaled)
        list(loop.train(net, chosen, small_data(), loop.start(net, chosen, 0), 0))
    c = np.sqrt(1.5 / 20)
    assert [rates["bn1.gamma"] for rates in seen] == [0.5, 0.5, 0.25, 0.125] * 2
    assert [rates["fc1.w"] for rates in seen[:4]] == pytest.approx([0.5 / c, 0.5 / c, 0.25 / c, 0.125 / c])
    assert [rates["fc1.w"] for rates in seen[4:]] == [0.5, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("clip", ["weights", "all"])
def test_what_is_clipped(clip):
    chosen = recipe.Recipe("8FC", 1, 20, (50.0, 50.0), optim.SGD, clip=clip)
    net = recipe.build(chosen, (1, 4, 3), 2, PAPERS["bnn"].VOCABULARIES["deterministic"])
    *_, state = loop.train(net, chosen, small_data(), loop.start(net, chosen, 0), 0)
    assert max(np.abs(state.params[name]).max() for name in ("fc1.w", "fc2.w")) == 1
    norms = max(np.abs(state.params[name]).max() for name in ("bn1.gamma", "bn2.gamma", "bn1.beta", "bn2.beta"))
    assert norms <= 1 if clip == "all" else norms > 1
    weights, everything = {"fc1.w", "fc2.w"}, set(state.params)
    assert chosen.clipped(net) == (everything if clip == "all" else weights)


@pytest.mark.parametrize(("epoch", "rate"), [(1, 1.0), (5, 1.0), (6, 0.5), (10, 0.5), (11, 0.25), (20, 0.125)])
def test_halving(epoch, rate):
    assert optim.halving_decay(1.0, 0.125, epoch, 20) == rate


def test_halving_every_ten_epochs_as_in_the_paper():
    rates = [optim.halving_decay(2**-6, 2**-8, epoch, 30) for epoch in range(1, 31)]
    assert rates == [2**-6] * 10 + [2**-7] * 10 + [2**-8] * 10


# --- rounds --------------------------------------------------------------------------------------------------------


def two_rounds():
    first = recipe.Recipe("8FC", 3, 16, (0.05, 0.01))
    second = recipe.Recipe("8FC", 2, 20, (0.01, 0.001), before=first)
    vocabulary = replace(PAPERS["binaryconnect"].VOCABULARIES["deterministic"],
                         before=PAPERS["float"].VOCABULARIES["real"])
    return recipe.rounds(second, vocabulary)


def test_rounds_in_order():
    rounds = two_rounds()
    assert [chosen.epochs for chosen, _ in rounds] == [3, 2]
    nets = [recipe.build(chosen, (1, 4, 3), 2, vocabulary) for chosen, vocabulary in rounds]
    assert [net[1].forward.__name__ for net in nets] == ["dense_forward", "binary_dense_forward"]
    single = recipe.Recipe("8FC", 1, 1, (1, 1))
    words = PAPERS["float"].VOCABULARIES["real"]
    assert recipe.rounds(single, words) == [(single, words)]


def test_a_round_goes_on_from_the_best_of_the_one_before():
    (one, words_one), (two, words_two) = two_rounds()
    pictures = small_data()
    net = recipe.build(one, (1, 4, 3), 2, words_one)
    *_, end = loop.train(net, one, pictures, loop.start(net, one, 0), 0)
    end = replace(end, best_params={name: array + 1 for name, array in end.params.items()})
    net = recipe.build(two, (1, 4, 3), 2, words_two)
    begun = loop.go_on(net, two, 0, end)
    assert begun.epoch == 3 and begun.history == end.history and begun.optimizer["t"] == 0
    np.testing.assert_array_equal(begun.params["fc1.w"], end.params["fc1.w"] + 1)
    np.testing.assert_array_equal(begun.best_params["fc2.w"], end.params["fc2.w"] + 1)
    states = list(loop.train(net, two, pictures, begun, 0, first=3))
    assert [state.epoch for state in states] == [4, 5]
    assert [record["epoch"] for record in states[-1].history] == [1, 2, 3, 4, 5]
    assert [record["lr"] for record in states[-1].history[3:]] == pytest.approx([0.01, 0.01 * 0.1**0.5])
    assert states[-1].best_epoch in (4, 5)                    # of this round, were the other one better or not


def test_the_best_epoch_is_one_of_the_last_round(monkeypatch):
    (one, words_one), (two, words_two) = two_rounds()
    errors = iter([0.0, 0.0, 0.0, 9.0, 8.0])
    monkeypatch.setattr(loop, "error_rate", lambda *args: next(errors))
    net = recipe.build(one, (1, 4, 3), 2, words_one)
    *_, end = loop.train(net, one, small_data(), loop.start(net, one, 0), 0)
    net = recipe.build(two, (1, 4, 3), 2, words_two)
    *_, last = loop.train(net, two, small_data(), loop.go_on(net, two, 0, end), 0, first=3)
    assert last.best_epoch == 5


@pytest.fixture
def short_rounds(monkeypatch, tmp_path):
    """`train bitwise` in 2 + 2 epochs, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    key = "digits", "mlp", "quick", "bipolar"
    chosen = bitwise.RECIPES[key]
    monkeypatch.setitem(bitwise.RECIPES, key,
                        replace(chosen, net="16FC", epochs=2, before=replace(chosen.before, net="16FC", epochs=2)))


def test_a_run_of_two_rounds_reports_both(short_rounds, capsys):
    assert main.main(["train", "bitwise", "--out", "run"]) == 0
    printed = capsys.readouterr().out
    record = runs.read(Path("run"))
    assert len(record["rounds"]) == 2 and record["rounds"][1] == record["test_error"]
    assert f"round 1 of 2: test error {record['rounds'][0]:.2f} %" in printed
    assert "epoch 4/4" in printed
    assert record["best_epoch"] in (3, 4)
    assert main.main(["evaluate", "run"]) == 0
    assert capsys.readouterr().out == f"test error {record['test_error']:.2f} %\n"


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_stopped_in_any_epoch_of_two_rounds_and_resumed_gives_the_same_bytes(stop, short_rounds, monkeypatch, capsys):
    assert main.main(["train", "bitwise", "--out", "whole"]) == 0
    saved = runs.save_checkpoint
    count = iter(range(1, 100))

    def save_and_stop(folder, run, state):
        saved(folder, run, state)
        if next(count) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "save_checkpoint", save_and_stop)
    assert main.main(["train", "bitwise", "--out", "run"]) == 130
    monkeypatch.setattr(runs, "save_checkpoint", saved)
    assert main.main(["train", "bitwise", "--out", "run", "--resume"]) == 0
    whole, run = (Path(folder) for folder in ("whole", "run"))
    assert (whole / "params.npz").read_bytes() == (run / "params.npz").read_bytes()
    assert runs.read(whole)["rounds"] == runs.read(run)["rounds"]
    assert [record["loss"] for record in runs.read(whole)["history"]] == [
        record["loss"] for record in runs.read(run)["history"]]


def test_what_a_paper_leaves_open_is_a_field_of_its_recipe():
    chosen = bitwise.RECIPES["digits", "mlp", "quick", "zero-one"]
    assert "sparsity=0.1" in chosen.as_text()["choices"]
    for width, sign in ((32.0, "masked_sign_forward"), (None, "identity_sign_forward")):
        other = replace(chosen, net="8FC", choices=bitwise.Choices(sparsity=0.5, width=width, logits=0.25))
        (_, first), (of, words) = recipe.rounds(other, bitwise.VOCABULARIES["zero-one"])
        net = recipe.build(of, (1, 4, 3), 2, words)
        assert [step.forward.__name__ for step in net] == [
            "rounded_pixels_forward", "flatten_forward", "bitwise_dense_forward", sign, "bitwise_dense_forward",
            "scale_forward"]
        assert net[-1].settings == (0.25,)
        w, b = np.arange(1.0, 97.0).reshape(12, 8), np.arange(1.0, 9.0)
        assert [float(beta) for beta in net[2].refresh(w, b)] == [49.0, 5.0]
        assert [step.forward.__name__ for step in recipe.build(other.before, (1, 4, 3), 2, first)] == [
            "unit_pixels_forward", "dropout_forward", "flatten_forward", *["compressed_dense_forward", "tanh_forward",
                                                                           "dropout_forward"] * 2,
            "compressed_dense_forward"]
