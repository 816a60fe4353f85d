"""Numbers that stop being finite: nothing that has an error rate may hold NaN, and signs hide it well."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import packed
from bnn_ref.cli import main
from bnn_ref.files import sha256
from bnn_ref.nets import recipe, steps
from bnn_ref.papers import PAPERS
from bnn_ref.training import forms, loop, record, runs, text_tasks
from tests.training.test_loop import small_data
from tests.training.test_text_tasks import sparse

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")     # NumPy says what it thinks of overflow, too

SHAPE = (1, 4, 3)


def made(paper, variant=None, **changes):
    """(net, recipe, data, first state) of a small network."""
    vocabularies = PAPERS[paper].VOCABULARIES
    variant = variant or next(iter(vocabularies))
    chosen = replace(recipe.choose(PAPERS[paper].RECIPES, "digits", "mlp", "quick", variant), net="8FC-7FC", epochs=3,
                     batch=20, **changes)
    chosen, vocabulary = recipe.rounds(chosen, vocabularies[variant])[-1]
    net = recipe.build(chosen, SHAPE, 2, vocabulary)
    return net, chosen, small_data(), loop.start(net, chosen, 0)


VARIANTS = [(paper, variant) for paper, module in PAPERS.items() for variant in module.VOCABULARIES]


@pytest.mark.parametrize("paper, variant", VARIANTS)
@pytest.mark.parametrize("batch", [20, 60], ids=["3 steps", "1 step"])
def test_a_rate_that_is_far_too_large(paper, variant, batch):
    """With one step an epoch the loss is of a time before the step. Bitwise networks use the signs of all parameters,
    so that theirs may be as large as they like."""
    net, chosen, data, first = made(paper, variant, lr=(1e20, 1e20))
    states = loop.train(net, replace(chosen, batch=batch), data, first, 0)
    if paper == "bitwise":
        *_, last = states
        for array in (*last.params.values(), *last.running.values()):
            assert np.isfinite(array).all()
        return
    with pytest.raises(loop.TrainingError, match=r"^the loss is |holds NaN or infinity|answers with NaN") as caught:
        list(states)
    assert "a smaller learning rate (--lr) may help" in str(caught.value)


@pytest.mark.parametrize("paper, variant", VARIANTS)
@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_each_array_that_is_not_finite_is_named(paper, variant, spoil):
    net, chosen, data, first = made(paper, variant)
    *_, state = loop.train(net, chosen, data, first, 0)
    assert 0 <= loop.error_rate(net, state.params, state.running, data.test_x, data.test_y) <= 100
    form = forms.Form(recipe.rounds(chosen, PAPERS[paper].VOCABULARIES[variant])[-1][1])
    data.shape, data.classes = SHAPE, 2
    for part in ("params", "running"):
        for name, array in getattr(state, part).items():
            spoilt = array.copy()
            spoilt.flat[-1] = spoil
            bad = replace(state, **{part: getattr(state, part) | {name: spoilt}})
            with pytest.raises(loop.TrainingError, match=f"^{name} holds NaN or infinity: "):
                loop.error_rate(net, bad.params, bad.running, data.test_x, data.test_y)
            if part == "running":             # taken anew at each epoch's end, and by forms
                continue
            with pytest.raises(loop.TrainingError, match=f"^{name} holds NaN or infinity: "):
                forms.outputs(form, chosen, set(), data, bad.params, bad.running, data.test_x)
            if spoil == np.inf:               # an infinite weight is clipped to 1, and is well again
                continue
            with pytest.raises(loop.TrainingError, match=r"in epoch 1, |after epoch 1: "):
                list(loop.train(net, chosen, data, replace(bad, epoch=0, history=(), optimizer=first.optimizer), 0))


def test_statistics_and_answers_that_are_not_finite_after_an_epoch(monkeypatch):
    net, chosen, data, first = made("bnn")
    taken = loop.network.recompute_statistics
    monkeypatch.setattr(loop.network, "recompute_statistics",
                        lambda *args: taken(*args) | {"bn1.var": np.full(8, np.inf, np.float32)})
    with pytest.raises(loop.TrainingError, match=r"^bn1\.var holds NaN or infinity after epoch 1: "):
        next(loop.train(net, chosen, data, first, 0))
    monkeypatch.undo()
    monkeypatch.setattr(loop.network, "predict", lambda *args: np.array([[0.0, np.nan]]))
    with pytest.raises(loop.TrainingError, match=r"^the network answers with NaN or infinity: "):
        next(loop.train(net, chosen, data, first, 0))


def test_a_form_whose_own_numbers_are_not_finite():
    """Statistics are taken anew in the form; drawn parameters are new too."""
    net, chosen, data, first = made("binaryconnect")
    data.shape, data.classes = SHAPE, 2
    vocabulary = PAPERS["binaryconnect"].VOCABULARIES["stochastic"]
    huge = {name: w * 1e30 if name == "fc1.w" else w for name, w in first.params.items()}
    with pytest.raises(loop.TrainingError, match=r"^bn1\.var holds NaN or infinity: "):
        forms.outputs(forms.Form(vocabulary), chosen, set(), data, huge, first.running, data.test_x)
    infinite = replace(vocabulary, last=lambda name, n: steps.scale_step(1e38)(name, n))
    far = {name: w * 1e3 if name.startswith("bn3") else w for name, w in first.params.items()}
    with pytest.raises(loop.TrainingError, match=r"^the network answers with NaN or infinity: "):
        forms.error_rate(forms.Form(infinite), chosen, set(), data, far, first.running)


@pytest.mark.parametrize("gamma, beta", [(3e38, 0), (3e38, -3e38)])
def test_labels_on_bits_of_answers_that_are_not_finite(gamma, beta):
    net, _, data, state = made("bnn")
    state.params["bn3.gamma"][:], state.params["bn3.beta"][:] = gamma, beta
    on_bits = packed.pack_network(net, state.params, state.running, SHAPE)
    logits = packed.predict(on_bits, data.test_x)
    assert not np.isfinite(logits).all()
    with pytest.raises(loop.TrainingError, match=r"^the network answers with NaN or infinity: "):
        packed.predict_labels(on_bits, data.test_x)


# --- text tasks ----------------------------------------------------------------------------------------------------


def text_task(scale):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    x = rng.integers(0, 3, (40, 12)).astype(np.float32)
    x[labels == 1, :6] += 2
    return text_tasks.TextTask("small", sparse((x * np.float32(scale)).astype(np.float32)), labels)


def test_values_of_a_text_that_are_too_large():
    assert text_tasks.cross_validate(text_task(1), 2, 4, hidden=8).final[0] <= 100
    with pytest.raises(loop.TrainingError, match=r"are too large, divide them all by one number$"):
        text_tasks.cross_validate(text_task(8e37), 2, 4, hidden=8)


@pytest.mark.parametrize("name", ["w1", "b1", "h2", "b2"])
def test_a_network_of_text_that_is_not_finite_has_no_answers(name):
    task = text_task(1)
    net = text_tasks.init(np.random.default_rng(0), 12, 8)
    getattr(net, name).flat[0] = np.nan
    for call in (text_tasks.train_step, text_tasks.error_rates):
        with pytest.raises(loop.TrainingError, match="is not finite: values of the examples"):
            call(net, task, np.arange(20))


# --- the command line ----------------------------------------------------------------------------------------------


def test_a_run_of_nan_is_not_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["train", "bnn", "--epochs", "1", "--out", "run"]) == 0
    with np.load("run/params.npz") as file:
        arrays = dict(file)
    name = next(name for name in arrays if name.endswith("fc1.w"))
    arrays[name][0, 0] = np.nan
    np.savez("run/params.npz", **arrays)
    run = runs.read(Path("run"))
    Path("run/run.json").write_bytes(record.write({**run, "params_sha256": sha256("run/params.npz")}))
    capsys.readouterr()
    for arguments in ([], ["--rung", "identity"]):
        assert main.main(["evaluate", "run", *arguments]) == 2
        out, err = capsys.readouterr()
        assert not out and "fc1.w" in err and "NaN or infinity" in err and err.count("\n") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["test_error"] < 90
    assert runs.exists(tmp_path / "run")
