"""`train` where its best epoch is not its last, in two rounds, with other forms; its folders, and what it may change.

What is the best epoch is scripted: validation errors are handed out, so that a test is certain on every processor of
what it sees.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import choices, main, plots, progress
from bnn_ref.kernels import compiled
from bnn_ref.nets import recipe
from bnn_ref.ops import binarize
from bnn_ref.papers import PAPERS
from bnn_ref.training import arithmetic, forms, loop, record, runs
from bnn_ref.training.fast import dense as fast_dense
from tests.cli.command import contents, refused

ROOT = Path(__file__).resolve().parents[2]
DIGITS = data.load("digits")
KEY = "digits", "mlp", "quick"
NAME = "binaryconnect-stochastic-mlp-digits-quick-seed0"
ERRORS = (3.0, 5.0, 4.0, 8.0, 2.0, 6.0)           # of validation, by epoch: the best are 1, of round 1, and 5
BEST = 5


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture(autouse=True)
def _two_rounds(monkeypatch):
    """`train binaryconnect` in 2 + 4 epochs: a net of real weights, then one of binary ones, which has two forms."""
    paper, small = PAPERS["binaryconnect"], recipe.Recipe("8FC", 2, 50, (3e-3, 3e-5))
    monkeypatch.setitem(paper.RECIPES, KEY, replace(small, epochs=4, lr=(2e-3, 1e-5), before=small))
    for variant, words in paper.VOCABULARIES.items():
        monkeypatch.setitem(paper.VOCABULARIES, variant, replace(words, before=PAPERS["float"].VOCABULARIES["real"]))


class Seen:
    """What a run handed to what: its states by epoch, and every call that measures or draws."""

    def __init__(self):
        self.states, self.tested, self.forms, self.drawn, self.epochs = {}, [], [], [], []


@pytest.fixture
def seen(monkeypatch):
    """Validation errors are ERRORS, in order; all else is as it is, and looked at."""
    seen, errors = Seen(), iter(ERRORS)
    saved, error_rate, form_error = runs.save_checkpoint, loop.error_rate, forms.error_rate
    tick, curves, histograms = progress.Progress.tick, plots.curves, plots.weight_histograms

    def save(folder, run, state):
        seen.states[state.epoch] = state
        saved(folder, run, state)

    def scripted(net, params, running, x, labels):
        if x is not None and len(x) == len(DIGITS.valid_x):
            return next(errors)
        seen.tested.append((params, running, x, labels))
        return error_rate(net, params, running, x, labels)

    def in_form(form, chosen, names, dataset, params, running, *rest):
        seen.forms.append((form, params, running))
        return form_error(form, chosen, names, dataset, params, running, *rest)

    def ticked(self, epoch, done, total, loss):
        seen.epochs.append((epoch, done, total))
        tick(self, epoch, done, total, loss)

    assert len(DIGITS.valid_x) != len(DIGITS.test_x)
    monkeypatch.setattr(runs, "save_checkpoint", save)
    monkeypatch.setattr(loop, "error_rate", scripted)
    monkeypatch.setattr(forms, "error_rate", in_form)
    monkeypatch.setattr(progress.Progress, "tick", ticked)
    monkeypatch.setattr(plots, "curves", lambda *args: seen.drawn.append(args) or curves(*args))
    monkeypatch.setattr(plots, "weight_histograms", lambda params, names: seen.drawn.append((params, names))
                        or histograms(params, names))
    return seen


def same(ours, theirs):
    """Whether two dicts of arrays are equal."""
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def train(*args):
    assert main.main(["train", "binaryconnect", *args]) == 0


def stopped(*args, epoch=1):
    """Begin a run and stop it by Ctrl-C at the last minibatch of an epoch, before the epoch is saved."""
    def stop(self, now, done, total, loss):
        if (now, done) == (epoch, total):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Progress, "tick", stop)
        assert main.main(["train", *args]) == 130


# --- the best epoch is not the last --------------------------------------------------------------------------------


def test_what_is_left_of_a_run_is_its_best_epoch(seen):
    train("--out", "run")
    best, last = seen.states[BEST], seen.states[6]
    assert not any(np.array_equal(best.params[name], last.params[name]) for name in best.params)
    assert not any(np.array_equal(best.running[name], last.running[name]) for name in best.running)
    with np.load("run/params.npz") as stored:
        assert same(dict(stored), best.params | best.running)
    record = runs.read(Path("run"))
    assert record["settings"] == {"paper": "binaryconnect", "data": "digits", "preset": "quick", "net": "mlp",
                                  "variant": "stochastic", "epochs": 6, "first_epochs": None, "lr": None, "batch": None,
                                  "layers": None, "seed": 0}
    assert record["recipe"] == by_hand(1)[1].as_text()
    assert record["best_epoch"] == BEST
    assert record["history"] == list(seen.states[6].history)
    assert [epoch["valid_error"] for epoch in record["history"]] == list(ERRORS)
    for key in ("seconds", "cpu_seconds"):
        assert record[key] == pytest.approx(sum(epoch[key] for epoch in record["history"]))


def test_a_run_is_its_rounds_one_after_another_from_its_seed():
    """Nothing scripted: as lessons write it."""
    train("--out", "run", "--seed", "7")
    net, chosen = by_hand(0)
    *_, state = loop.train(net, chosen, DIGITS, loop.start(net, chosen, 7), 7)
    errors = [loop.error_rate(net, state.best_params, state.best_running, DIGITS.test_x, DIGITS.test_y)]
    net, chosen = by_hand(1)
    *_, state = loop.train(net, chosen, DIGITS, loop.go_on(net, chosen, 7, state), 7, first=2)
    errors += [loop.error_rate(net, state.best_params, state.best_running, DIGITS.test_x, DIGITS.test_y)]
    with np.load("run/params.npz") as stored:
        assert same(dict(stored), state.best_params | state.best_running)
    record = runs.read(Path("run"))
    assert (record["rounds"], record["best_epoch"]) == (errors, state.best_epoch)
    assert [epoch["loss"] for epoch in record["history"]] == [epoch["loss"] for epoch in state.history]


def test_the_test_set_is_looked_at_once_a_round_by_its_best_epoch(seen):
    train("--out", "run")
    assert len(seen.tested) == 2
    for (params, running, x, labels), epoch in zip(seen.tested, (1, BEST)):
        assert same(params, seen.states[epoch].params) and same(running, seen.states[epoch].running)
        assert np.array_equal(x, DIGITS.test_x) and np.array_equal(labels, DIGITS.test_y)
    record = runs.read(Path("run"))
    assert record["rounds"] == [measured_by_hand(seen, 0, 1), measured_by_hand(seen, 1, BEST)]
    assert record["test_error"] == record["rounds"][1]


def by_hand(number):
    """(network, Recipe) of a round."""
    paper = PAPERS["binaryconnect"]
    chosen, vocabulary = recipe.rounds(paper.RECIPES[KEY], paper.VOCABULARIES["stochastic"])[number]
    return recipe.build(chosen, DIGITS.shape, DIGITS.classes, vocabulary), chosen


def measured_by_hand(seen, number, epoch):
    net, _ = by_hand(number)
    return loop.error_rate(net, seen.states[epoch].params, seen.states[epoch].running, DIGITS.test_x, DIGITS.test_y)


def test_every_form_is_given_the_best_epoch_and_its_statistics(seen):
    train("--out", "run")
    offered = PAPERS["binaryconnect"].FORMS["stochastic"]
    assert [form for form, _, _ in seen.forms] == list(offered.values())
    for _, params, running in seen.forms:
        assert same(params, seen.states[BEST].params) and same(running, seen.states[BEST].running)
    record, best = runs.read(Path("run")), seen.states[BEST]
    chosen = PAPERS["binaryconnect"].RECIPES[KEY]
    assert record["forms"] == {name: forms.error_rate(form, chosen, ["fc1.w", "fc2.w"], DIGITS, best.params,
                                                      best.running) for name, form in offered.items()}


def test_the_pictures_are_of_all_epochs_and_of_the_best_one_s_weights(seen):
    train("--out", "run")
    (history, marked), (params, names) = seen.drawn
    assert (history, marked) == (seen.states[6].history, BEST)
    assert names == ["fc1.w", "fc2.w"] and same(params, seen.states[BEST].params)


def test_what_is_printed_names_the_best_epoch(seen, capsys):
    train("--out", "run")
    printed, record = capsys.readouterr().out, runs.read(Path("run"))
    assert re.findall(r"^epoch (\d)/6 .*  best so far$", printed, re.M) == ["1", "3", "5"]
    assert re.fullmatch(rf"best validation error 2\.00 % in epoch 5, .* of training; pictures in run\n"
                        rf"test error with binary {record['forms']['binary']:.2f} %\n"
                        rf"test error with sampled {record['forms']['sampled']:.2f} %\n"
                        rf"test error {record['test_error']:.2f} %\n", printed[printed.index("best validation"):])
    assert f"round 1 of 2: test error {record['rounds'][0]:.2f} %" in printed
    assert "binaryconnect on digits: 8FC-10FC, 628 parameters, stochastic, 1,257 training images\n" in printed
    assert "; readable steps\nrun folder run\n" in printed
    train("--out", "run", "--resume")
    assert capsys.readouterr().out == "run is finished already\n" + printed[printed.index("best validation"):]


def test_evaluate_says_again_what_a_run_recorded(seen, capsys):
    train("--out", "run")
    record = runs.read(Path("run"))
    capsys.readouterr()
    assert main.main(["evaluate", "run"]) == 0
    assert capsys.readouterr().out == f"test error {record['test_error']:.2f} %\n"


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 5, 6])
def test_stopped_in_any_epoch_and_resumed_all_is_as_in_one_go(epoch, seen, capsys):
    stopped("binaryconnect", "--out", "run", epoch=epoch)
    assert capsys.readouterr().err == ("\nbnn-ref: stopped; go on with: bnn-ref train binaryconnect --out run "
                                       "--resume\n")
    halfway = runs.read(Path("run"))
    assert len(halfway.get("rounds", [])) == (epoch > 2)
    train("--out", "run", "--resume")
    record = runs.read(Path("run"))
    assert record["rounds"] == [measured_by_hand(seen, 0, 1), measured_by_hand(seen, 1, BEST)]
    assert record["rounds"][:1] == halfway.get("rounds", record["rounds"][:1])
    assert record["best_epoch"] == BEST and record["test_error"] == record["rounds"][1]
    assert [past["valid_error"] for past in record["history"]] == list(ERRORS)
    assert sorted(seen.states) == [1, 2, 3, 4, 5, 6]
    with np.load("run/params.npz") as stored:
        assert same(dict(stored), seen.states[BEST].params | seen.states[BEST].running)
    for _, params, running in seen.forms:
        assert same(params, seen.states[BEST].params) and same(running, seen.states[BEST].running)
    assert sorted(contents("run")) == ["curves.png", "params.npz", "run.json", "weights.png"]
    left = re.findall(r"^epoch (\d)/6 ", capsys.readouterr().out, re.M)
    assert left == [str(number) for number in range(epoch, 7)]


def test_stopped_while_the_forms_are_tested_nothing_is_trained_again(seen, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "testing", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main.main(["train", "binaryconnect", "--out", "run"]) == 130
    assert "test_error" not in runs.read(Path("run"))
    trained = list(seen.epochs)
    train("--out", "run", "--resume")
    assert seen.epochs == trained
    record = runs.read(Path("run"))
    assert (record["best_epoch"], len(record["rounds"]), len(record["forms"])) == (BEST, 2, 2)


def test_a_form_is_of_the_variant_that_was_trained(seen):
    train("--out", "run", "--variant", "deterministic")
    assert list(runs.read(Path("run"))["forms"]) == ["real", "sampled"]


# --- a folder a run ------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """`train float` in no time: one epoch of a tiny net."""
    monkeypatch.setitem(PAPERS["float"].RECIPES, KEY, recipe.Recipe("4FC", 1, 400, (3e-3, 3e-5)))


FLOAT = Path("runs/float-real-mlp-digits-quick-seed0")


def test_a_second_run_takes_the_next_name(quick, capsys):
    assert main.main(["train", "float"]) == 0
    first = contents(FLOAT)
    assert "there already" not in capsys.readouterr().out
    for number in (2, 3):
        assert main.main(["train", "float", "--seed", "0"]) == 0
        said = capsys.readouterr().out.splitlines()[2:4]
        assert said == [f"{FLOAT} is there already: this run goes to {FLOAT}-{number}", f"run folder {FLOAT}-{number}"]
        assert contents(f"{FLOAT}-{number}")["params.npz"] == first["params.npz"]
    assert contents(FLOAT) == first
    assert main.main(["train", "float", "--seed", "1"]) == 0                   # another name: the first of it
    assert sorted(path.name for path in Path("runs").iterdir()) == sorted(
        [FLOAT.name, f"{FLOAT.name}-2", f"{FLOAT.name}-3", FLOAT.name.replace("seed0", "seed1")])


def test_a_named_folder_is_never_written_over(quick, capsys):
    assert main.main(["train", "float", "--out", "run"]) == 0
    assert "run is there already; choose another --out" in refused(capsys, "train", "float", "--out", "run")
    assert main.main(["train", "float"]) == 0
    assert "choose another --out" in refused(capsys, "train", "float", "--out", FLOAT)
    assert [path.name for path in Path("runs").iterdir()] == [FLOAT.name]


def test_what_stands_in_the_way_is_left_alone(quick, capsys):
    FLOAT.mkdir(parents=True)
    (FLOAT / "thesis.txt").write_text("years of work")
    Path(f"{FLOAT}-2").write_text("a file")
    assert main.main(["train", "float"]) == 0
    assert f"this run goes to {FLOAT}-3" in capsys.readouterr().out
    assert contents(FLOAT) == {"thesis.txt": b"years of work"} and Path(f"{FLOAT}-2").read_text() == "a file"
    assert runs.exists(Path(f"{FLOAT}-3"))


def test_resume_goes_on_with_the_newest_that_is_not_finished(quick, capsys):
    assert main.main(["train", "float", "--resume"]) == 0                      # there is none: it begins one
    stopped("float", "--lr", "0.5")                                                     # -2
    stopped("float", "--lr", "0.25")                                                    # -3
    assert main.main(["train", "float"]) == 0                                  # -4
    capsys.readouterr()
    for number in (3, 2):
        assert main.main(["train", "float", "--resume"]) == 0
        assert capsys.readouterr().out.splitlines()[2] == f"run folder {FLOAT}-{number}"
    assert main.main(["train", "float", "--resume"]) == 0
    assert capsys.readouterr().out.startswith(f"{FLOAT}-4 is finished already\n")
    assert [runs.read(Path(f"{FLOAT}-{number}"))["settings"]["lr"] for number in (2, 3)] == [0.5, 0.25]
    assert len(list(Path("runs").iterdir())) == 4


def test_resume_names_the_run_that_has_other_settings(quick, capsys):
    assert main.main(["train", "float"]) == 0
    stopped("float", "--lr", "0.5")
    error = refused(capsys, "train", "float", "--resume", "--lr", "0.1")
    assert f"--resume: the run in {FLOAT}-2 has lr 0.5, not 0.1; leave that out, or begin another" in error


def test_how_to_go_on_names_the_folder_and_what_was_asked_beside_settings(quick, tmp_path, capsys):
    assert main.main(["train", "float"]) == 0
    stopped("float", "--readable", "--data-dir", "da ta")
    again = shlex.join(["bnn-ref", "train", "float", "--out", f"{FLOAT}-2", "--resume", "--data-dir", "da ta",
                        "--readable"])
    assert capsys.readouterr().err == f"\nbnn-ref: stopped; go on with: {again}\n"


# --- learning rate and batch ---------------------------------------------------------------------------------------


def rates(record):
    return [epoch["lr"] for epoch in record["history"]]


def test_a_learning_rate_scales_that_of_every_epoch(seen):
    train("--out", "run", "--lr", "0.006", "--epochs", "2+3")
    record = runs.read(Path("run"))
    assert record["settings"]["lr"] == 0.006 and record["settings"]["batch"] is None
    assert rates(record) == pytest.approx([2 * 3e-3 * 0.01 ** (epoch / 2) for epoch in range(2)]
                                          + [3 * 2e-3 * 0.005 ** (epoch / 3) for epoch in range(3)])


def test_a_rate_that_is_halved_is_so_as_often():
    settings = {"paper": "bnn", "data": "mnist", "net": "mlp", "preset": "quick", "variant": "shift", "epochs": None,
                "batch": None, "layers": None}
    (own, _), = choices.rounds_of({**settings, "lr": None}, (1, 28, 28))
    (chosen, _), = choices.rounds_of({**settings, "lr": 2.0**-3}, (1, 28, 28))
    assert chosen == replace(own, lr=(2.0**-3, 2.0**-10))
    assert [chosen.decay(*chosen.lr, epoch, 32) for epoch in range(1, 33)] == [
        8 * own.decay(*own.lr, epoch, 32) for epoch in range(1, 33)]


def test_the_recipe_s_own_rate_and_batch_change_nothing(quick):
    assert main.main(["train", "float", "--out", "own"]) == 0
    assert main.main(["train", "float", "--out", "named", "--lr", "3e-3", "--batch", "400"]) == 0
    own, named = runs.read(Path("own")), runs.read(Path("named"))
    assert contents("own")["params.npz"] == contents("named")["params.npz"]
    assert own["recipe"] == named["recipe"]
    assert (own["settings"]["lr"], own["settings"]["batch"]) == (None, None)
    assert (named["settings"]["lr"], named["settings"]["batch"]) == (0.003, 400)


def test_no_recipe_changes_by_its_own_rate_and_batch():
    for name, paper in PAPERS.items():
        for (source, net, preset, *own), chosen in paper.RECIPES.items():
            settings = {"paper": name, "data": source, "net": net, "preset": preset, "epochs": None, "layers": None,
                        "variant": own[0] if own else next(iter(paper.VOCABULARIES))}
            if own or (source, net, preset, settings["variant"]) not in paper.RECIPES:
                named = choices.rounds_of({**settings, "lr": chosen.lr[0], "batch": chosen.batch}, (1, 28, 28))
                assert replace(named[-1][0], before=None) == replace(chosen, before=None), (name, settings)


def test_a_batch_is_that_of_every_round(seen):
    train("--out", "run", "--batch", "200")
    assert seen.epochs == [(epoch, done, 6) for epoch in range(1, 7) for done in range(1, 7)]     # 1,257 pictures
    assert runs.read(Path("run"))["settings"]["batch"] == 200


@pytest.mark.parametrize("batch", ["1", "1257", "9999999"])
def test_the_smallest_and_the_largest_batch(batch, quick):
    assert main.main(["train", "float", "--out", "run", "--batch", batch]) == 0
    assert np.isfinite(runs.read(Path("run"))["history"][0]["loss"])


def test_resume_takes_rate_and_batch_from_the_run_and_refuses_others(quick, capsys):
    assert main.main(["train", "float", "--out", "whole", "--lr", "0.5", "--batch", "300"]) == 0
    stopped("float", "--out", "run", "--lr", "0.5", "--batch", "300")
    again = ["train", "float", "--out", "run", "--resume"]
    assert "the run in run has lr 0.5, not 0.25; leave that out" in refused(capsys, *again, "--lr", "0.25")
    assert "the run in run has batch 300, not 400; leave that out" in refused(capsys, *again, "--batch", "400")
    assert main.main([*again, "--lr", "5e-1"]) == 0
    assert contents("run")["params.npz"] == contents("whole")["params.npz"]
    stopped("float", "--out", "plain")
    again[3] = "plain"
    assert "the run in plain has its recipe's lr, not 0.25" in refused(capsys, *again, "--lr", "0.25")
    assert "the run in plain has its recipe's batch, not 300" in refused(capsys, *again, "--batch", "300")


@pytest.mark.parametrize("text", ["0", "-0.1", "nan", "inf", "-inf", "1e-31", "1e31", "fast", "0,1", ""])
def test_what_is_no_learning_rate(text, capsys):
    error = refused(capsys, "train", "float", f"--lr={text}")
    assert f"argument --lr: expected a number above 0 such as 0.001 (1e-30 to 1e30), got {text!r}" in error


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many"])
def test_what_is_no_batch(text, capsys):
    assert f"argument --batch: expected a whole number from 1 up, got {text!r}" in refused(
        capsys, "train", "float", f"--batch={text}")


@pytest.mark.parametrize("rate", ["1e-30", "1e30"])
@pytest.mark.parametrize("args", [("float",), ("bnn", "--variant", "shift"), ("ebp",)])
def test_the_limits_of_rates_end_in_numbers_or_in_one_line(rate, args, monkeypatch, capsys):
    for key, chosen in list(PAPERS[args[0]].RECIPES.items()):
        if key[:3] == KEY:
            monkeypatch.setitem(PAPERS[args[0]].RECIPES, key, replace(chosen, net="4FC", batch=400))
    with np.errstate(all="ignore"):
        code = main.main(["train", *args, "--out", "run", "--epochs", "1", "--lr", rate])
    error = capsys.readouterr().err
    assert (code, error) == (0, "") or (code == 2 and re.fullmatch(r"bnn-ref: error: the loss is [^\n]*\n", error))


# --- readable ------------------------------------------------------------------------------------------------------


def called(monkeypatch, *args):
    """The code of every Python function that a run's second minibatch calls; in the first, kernels are compiled."""
    codes = set()

    def tick(self, epoch, done, total, loss):
        sys.setprofile((lambda frame, event, arg: codes.add(frame.f_code)) if done == 1 else None)

    monkeypatch.setattr(progress.Progress, "tick", tick)
    try:
        assert main.main(["train", *args]) == 0
    finally:
        sys.setprofile(None)
    return codes


@pytest.fixture
def at_once(monkeypatch):
    """Kernels from the first minibatch on, and for however little there is to do."""
    monkeypatch.setattr(loop, "FAST_WORK", 0)
    monkeypatch.setattr(loop, "_begin_to_warm", lambda *args: None)


@pytest.mark.parametrize("args", [(), ("--readable",)])
def test_readable_runs_the_equations_also_where_kernels_would_be_sooner(args, at_once, monkeypatch):
    monkeypatch.setitem(PAPERS["bnn"].RECIPES, KEY, recipe.Recipe("8FC-8FC", 1, 400, (3e-3, 3e-5)))
    codes = called(monkeypatch, "bnn", "--out", "run", *args)
    readable = bool(args) or not compiled.COMPILED
    assert (binarize.sign_backward.__code__ in codes) == readable
    assert (fast_dense.sign_backward.__code__ in codes) != readable


def test_readable_is_for_the_forms_too(at_once, monkeypatch):
    ways = []
    outputs = forms.outputs

    def spy(*args, way=None, **more):
        ways.append(way)
        return outputs(*args, way=way, **more)

    monkeypatch.setattr(forms, "outputs", spy)
    train("--out", "run", "--readable")
    assert ways == [loop.READABLE] * 2


def test_readable_writes_the_same_bytes_and_is_no_setting(at_once):
    stopped("binaryconnect", "--out", "mixed", "--readable", epoch=3)
    train("--out", "mixed", "--resume")                                        # round 1 readable, round 2 on kernels
    train("--out", "fast")
    train("--out", "readable", "--readable")
    written = [contents(folder) for folder in ("mixed", "fast", "readable")]
    assert written[0]["params.npz"] == written[1]["params.npz"] == written[2]["params.npz"]
    mixed, fast, readable = (runs.read(Path(folder)) for folder in ("mixed", "fast", "readable"))
    assert mixed["settings"] == fast["settings"] == readable["settings"]
    assert mixed["rounds"] == fast["rounds"] == readable["rounds"] and fast["forms"] == readable["forms"]
    assert mixed.keys() == fast.keys() == readable.keys()


def test_a_breakpoint_in_an_equation_is_hit(tmp_path):
    """Where there is as much to do as kernels begin at, and as a reader would set it."""
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(2000, 1, 16, 16), dtype=np.uint8)
    y = np.arange(len(x)) % 2
    data.save("many.npz", x, y, x[:50], y[:50], x[:50], y[:50])
    typed = ["import bnn_ref.ops.binarize", "break bnn_ref.ops.binarize.sign_backward", "continue",
             "p 'hit with', dout.shape, dout.dtype.name", "quit"]
    session = subprocess.run(
        [sys.executable, "-m", "pdb", "-m", "bnn_ref", "train", "bnn", "--data", str(tmp_path / "many.npz"),
         "--readable", "--out", str(tmp_path / "run")], cwd=ROOT, input="\n".join(typed) + "\n", text=True,
        capture_output=True, timeout=300)
    assert re.search(r"binarize\.py\(\d+\)sign_backward\(\)", session.stdout), session.stdout + session.stderr
    assert "('hit with', (100, 1024), 'float32')" in session.stdout
    assert "epoch 1/" not in session.stdout


# --- one run, one trainer, one arithmetic ---------------------------------------------------------------------------


@pytest.fixture
def twice(monkeypatch):
    """`train float` of two short epochs: where it stops in the second, there is a checkpoint."""
    monkeypatch.setitem(PAPERS["float"].RECIPES, KEY, recipe.Recipe("4FC", 2, 400, (3e-3, 3e-5)))


def test_of_two_that_resume_the_second_is_refused_and_the_first_is_not_disturbed(twice, capsys):
    stopped("float", "--out", "run", epoch=2)
    with runs.hold(Path("run")):
        assert f"run: process {os.getpid()} on " in refused(capsys, "train", "float", "--out", "run", "--resume")
    assert main.main(["train", "float", "--out", "run", "--resume"]) == 0


def test_what_finished_while_one_waited_is_not_trained_again(twice, monkeypatch, capsys):
    """run.json is read by who holds the folder: a moment before, it may have been finished by another."""
    assert main.main(["train", "float", "--out", "whole"]) == 0
    stopped("float", "--out", "run", epoch=2)
    hold = runs.hold

    def late(folder):
        monkeypatch.setattr(runs, "hold", hold)
        shutil.rmtree(folder)
        shutil.copytree("whole", folder)
        return hold(folder)

    monkeypatch.setattr(runs, "hold", late)
    capsys.readouterr()
    assert main.main(["train", "float", "--out", "run", "--resume"]) == 0
    assert capsys.readouterr().out.startswith("run is finished already\n")


def test_a_checkpoint_of_another_seed_is_refused(twice, capsys):
    stopped("float", "--out", "run", epoch=2)
    stopped("float", "--out", "other", "--seed", "1", epoch=2)
    shutil.copy("other/checkpoint.npz", "run/checkpoint.npz")
    assert "run/checkpoint.npz is of another run than run.json beside it" in refused(
        capsys, "train", "float", "--out", "run", "--resume")


def test_parameters_of_another_run_are_refused(twice, capsys):
    for seed in "01":
        assert main.main(["train", "float", "--out", f"run{seed}", "--seed", seed]) == 0
    shutil.copy("run1/params.npz", "run0/params.npz")
    for command in (["evaluate", "run0"], ["pack", "run0", "--out", "a.bnn"], ["features", "run0", "--out", "a.png"]):
        assert "run0/params.npz: not the file that this run wrote" in refused(capsys, *command)


@pytest.mark.parametrize("field", ["seed", "variant", "shape", "classes", "examples"])
def test_run_json_that_was_changed_since_is_refused(field, twice, capsys):
    stopped("float", "--out", "run", epoch=2)
    run = runs.read(Path("run"))
    other = {"seed": 1, "variant": "x", "shape": [1, 4, 16], "classes": 9, "examples": 1000}[field]
    if field in run:
        run[field] = other
    else:
        run["settings"][field] = other
    Path("run/run.json").write_bytes(record.write(run))
    refused(capsys, "train", "float", "--out", "run", "--resume")


def elsewhere(monkeypatch):
    """As on another machine: the first step has other last bits, and BLAS another name."""
    describe, other = arithmetic.describe, {"first_step": 64 * "0", "blas": "b 2"}
    monkeypatch.setattr(arithmetic, "describe", lambda *args: {**describe(*args), **other})


def test_where_sums_round_otherwise_it_is_said_or_refused(twice, monkeypatch, capsys):
    stopped("float", "--out", "run", epoch=2)
    before = contents("run")
    began = runs.read(Path("run"))["arithmetic"]
    with monkeypatch.context() as patch:
        elsewhere(patch)
        error = refused(capsys, "train", "float", "--out", "run", "--resume", "--exact")
        assert f"run: this run began where sums round otherwise (blas {began['blas']}, now b 2): go on there" in error
        assert contents("run") == before
        assert main.main(["train", "float", "--out", "run", "--resume"]) == 0
    assert re.fullmatch(r"bnn-ref: warning: run: this run .*, now b 2\): it will not end in the bytes of a run in one "
                        r"go; --exact refuses that\n", capsys.readouterr().err)
    assert runs.read(Path("run"))["arithmetic"] == began


def test_where_sums_round_alike_nothing_is_said(twice, monkeypatch, capsys):
    stopped("float", "--out", "run", epoch=2)
    describe = arithmetic.describe
    monkeypatch.setattr(arithmetic, "describe", lambda *args: {**describe(*args), "machine": "another"})
    capsys.readouterr()
    assert main.main(["train", "float", "--out", "run", "--resume", "--exact"]) == 0
    assert capsys.readouterr().err == ""


def test_a_run_that_lost_how_its_sums_rounded_is_refused(twice, capsys):
    stopped("float", "--out", "run", epoch=2)
    run = runs.read(Path("run"))
    del run["arithmetic"]
    Path("run/run.json").write_bytes(record.write(run))
    assert "run.json is damaged: arithmetic is missing" in refused(capsys, "train", "float", "--out", "run", "--resume")


def test_a_run_that_has_no_epoch_yet_may_begin_anywhere(twice, monkeypatch, capsys):
    stopped("float", "--out", "run", epoch=2)
    Path("run/checkpoint.npz").unlink()
    elsewhere(monkeypatch)
    assert main.main(["train", "float", "--out", "run", "--resume", "--exact"]) == 0
    assert runs.read(Path("run"))["arithmetic"]["blas"] == "b 2"


def test_exact_goes_with_resume(capsys):
    assert "--exact: goes with --resume" in refused(capsys, "train", "float", "--exact")
