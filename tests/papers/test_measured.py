"""The table of results: published figures, rows from runs, what is shown of them, and the tool that adds rows."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import main, measure
from bnn_ref.nets import recipe
from bnn_ref.papers import PAPERS, bitwise, float_baseline, measured, published
from bnn_ref.training import loop, record, runs, text_tasks

TODAY = r"\d{4}-\d\d-\d\d"


@pytest.fixture(autouse=True)
def _own_table(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "FILE", tmp_path / "measured.json")
    (tmp_path / "measured.json").write_text("[]")
    monkeypatch.chdir(tmp_path)


def epochs(count):
    return [{"epoch": number, "lr": 0.1, "loss": 1.0, "valid_error": 2.0, "seconds": 90.0, "cpu_seconds": 60.0}
            for number in range(1, count + 1)]


UNFINISHED = ["test_error", "history", "best_epoch", "params_sha256", "seconds", "cpu_seconds"]


def run_folder(name, *, seed=0, error=1.5, settings=(), drop=(), **more):
    """A run folder with nothing in it but a finished run's record."""
    run = {
        "format": record.FORMAT,
        "settings": {"paper": "binaryconnect", "data": "mnist", "preset": "quick", "net": "mlp",
                     "variant": "stochastic", "epochs": 24, "seed": seed, "lr": None, "batch": None, "layers": None,
                     "first_epochs": None, **dict(settings)},
        "recipe": {"net": "1024FC"}, "shape": [1, 28, 28], "classes": 10, "examples": 50_000, "fingerprint": "f",
        "versions": {"bnn_ref": "0.1.0", "numpy": "2.4.6"}, "test_error": error, "best_epoch": 1, "seconds": 90.0,
        "cpu_seconds": 60.0, "history": epochs(1), "params_sha256": 64 * "0", **more}
    folder = Path(name)
    folder.mkdir()
    kept = {key: value for key, value in run.items() if key not in drop}
    (folder / "run.json").write_text(json.dumps(kept))
    return folder


def error_row(**changes):
    return {"kind": "error", "paper": "bnn", "variant": "deterministic", "data": "mnist", "preset": "quick",
            "net": "mlp", "form": "", "note": "", "command": "bnn-ref train bnn", "seeds": [0],
            "test_errors": [1.57], "epochs": 32, "minutes": 7.44, "cpu_minutes": 7.1, "date": "2026-01-02",
            "versions": "numpy 2.4.6", **changes}


def steps_row(**changes):
    row = {key: value for key, value in error_row().items() if key not in ("seeds", "test_errors", "minutes",
                                                                          "cpu_minutes")}
    return {**row, "kind": "steps", "data": "cifar10", "net": "convnet", "preset": "paper", "epochs": 500,
            "command": "python -m it", "step_seconds": 2.345, "epoch_minutes": 35.2, "peak_mib": 2310,
            "machine": "a processor, 2 threads", **changes}


# --- published figures ---------------------------------------------------------------------------------------------

# As they are printed: MNIST, CIFAR-10, SVHN.
PRINTED = {
    ("float", "real", ""): "1.30 ± 0.04 | 10.64 | 2.44",                       # BinaryConnect, Table 2
    ("binaryconnect", "deterministic", ""): "1.29 ± 0.08 | 9.90 | 2.30",
    ("binaryconnect", "stochastic", ""): "1.18 ± 0.04 | 8.27 | 2.15",
    ("bnn", "shift", ""): "1.40 | 10.15 | 2.53",                               # BNN, Table 1, Torch7
    ("bnn", "deterministic", ""): "0.96 | 11.40 | 2.80",                       # Theano
    ("few_multiplications", "full-precision control", ""): "1.33 | 15.64 | 2.85",
    ("few_multiplications", "binary", ""): "1.29 | 12.08 | 2.48",
    ("few_multiplications", "ternary", ""): "1.15 | 12.01 | 2.42",
    ("ebp", "binary", ""): "2.12",                                             # Cheng et al., abstract
    ("ebp", "real", ""): "1.66",
    ("bitwise", "bipolar", "round 1"): "1.17", ("bitwise", "bipolar", "round 2"): "1.33",
    ("bitwise", "zero-one", "round 1"): "1.32", ("bitwise", "zero-one", "round 2"): "1.36",
    ("bitwise", "two-bit", "round 1"): "1.36", ("bitwise", "two-bit", "round 2"): "1.47",
}

# EBP, Table 1: real D, real P, binary D, binary P.
PRINTED_TEXT = """
Reuters I6          14.5   11.35  21.7   9.95
Reuters I8          15.65  15.25  23.15  16.4
Spam d0             1.28   1.11   7.93   0.76
Spam d1             1.0    0.96   3.85   0.96
20News comp vs HW   5.06   4.96   7.54   4.44
20News elec vs med  3.36   3.15   6.0    2.08
Amazon books        2.14   2.09   2.45   2.01
Amazon DVD          2.06   2.14   5.72   2.27
"""


def test_published_figures_are_the_printed_ones():
    expected = {}
    for (paper, variant, form), line in PRINTED.items():
        for (name, net), figure in zip((("mnist", "mlp"), ("cifar10", "convnet"), ("svhn", "convnet")),
                                       line.split(" | ")):
            expected[paper, variant, form, name, net] = figure
    for line in PRINTED_TEXT.strip().splitlines():
        title, *errors = re.split(r"  +", line)
        (task,) = [name for name, description in text_tasks.TASKS.items() if description.title == title]
        for variant, form, error in zip(("real", "real", "binary", "binary"), ("deterministic", "") * 2, errors):
            expected["ebp", variant, form, task, "mlp"] = f"{float(error):.2f}"
    found = {(one.paper, one.variant, one.form, one.data, one.net): str(one) for one in published.FIGURES}
    assert found == expected
    assert len(found) == len(published.FIGURES)


def test_published_figures_say_where_they_stand():
    places = {("float", "real"): "BinaryConnect, Table 2", ("binaryconnect", "stochastic"): "Table 2",
              ("binaryconnect", "deterministic"): "Table 2", ("bnn", "deterministic"): "Table 1, Theano",
              ("bnn", "shift"): "Table 1, Torch7", ("few_multiplications", "ternary"): "the authors' README",
              ("few_multiplications", "binary"): "the authors' README",
              ("few_multiplications", "full-precision control"): "the authors' README",
              ("bitwise", "bipolar"): "Table 1", ("bitwise", "zero-one"): "Table 1", ("bitwise", "two-bit"): "Table 1"}
    for one in published.FIGURES:
        if one.paper == "ebp":
            place = "Cheng et al. 2015" if one.data == "mnist" else "Table 1, the best of three epochs"
            assert one.source.startswith(place)
        else:
            assert one.source == places[one.paper, one.variant]


def test_the_recipes_of_the_papers_train_what_was_published():
    """Where neither paper nor code says how long, the recipe has a number of its own."""
    seen = 0
    for one in published.FIGURES:
        recipes = PAPERS[one.paper].RECIPES
        own = recipes.get((one.data, one.net, "paper", one.variant)) or recipes.get((one.data, one.net, "paper"))
        if own:
            assert (own.net, one.epochs or own.epochs) == (one.layers, own.epochs)
            seen += 1
        else:
            assert one.paper == "ebp"
    assert seen > 20


def test_what_is_published_is_of_networks_that_are_here():
    assert list(published.SYSTEMS) == list(PAPERS)
    assert list(published.DATA) == [*data.SCRIPTS, *text_tasks.TASKS, "digits"]
    assert set(published.DATA) == {*data.NAMES, *text_tasks.TASKS}
    assert [published.DATA[name] for name in text_tasks.TASKS] == [task.title for task in text_tasks.TASKS.values()]
    for one in published.FIGURES:
        module = PAPERS[one.paper]
        assert one.variant in module.VOCABULARIES or one.variant == "full-precision control"
        assert one.form in ("", "round 1", "round 2", *module.FORMS.get(one.variant, {}))
        assert one.form.startswith("round") == (module is bitwise)


def test_a_figure_is_found_for_exactly_its_system():
    assert published.find("bnn", "shift", "", "svhn", "convnet").error == 2.53
    assert published.find("ebp", "binary", "deterministic", "reuters_i6", "mlp").error == 21.7
    assert published.find("bnn", "deterministic", "", "mnist", "convnet") is None        # the paper's is an MLP
    assert published.find("bnn", "stochastic", "", "mnist", "mlp") is None
    assert published.find("binaryconnect", "stochastic", "binary", "mnist", "mlp") is None
    assert published.find("bnn", "deterministic", "", "digits", "mlp") is None
    assert published.find("float", "deterministic", "", "mnist", "mlp") is None


# --- a row in words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "words"), [
    ({}, "BNN deterministic"), ({"paper": "float", "variant": "real"}, "full precision"),
    ({"paper": "ebp", "variant": "binary", "form": "deterministic"}, "EBP binary: deterministic"),
    ({"paper": "bitwise", "variant": "two-bit", "form": "round 2"}, "Bitwise NN two-bit: round 2"),
    ({"paper": "few_multiplications", "variant": "ternary"}, "Few Multiplications ternary")])
def test_a_system_in_words(changes, words):
    assert measured.system(error_row(**changes)) == words


def test_data_in_words():
    assert measured.trained_on(error_row()) == "MNIST"
    assert measured.trained_on(error_row(data="cifar10", note="JPEG")) == "CIFAR-10 (JPEG)"
    assert measured.trained_on(error_row(data="news_comp_hw")) == "20News comp vs HW"


def test_an_error_in_words():
    assert measured.summary(error_row()) == "1.57 % (seed 0)"
    three = error_row(test_errors=[2.5, 1.0, 1.3], seeds=[3, 1, 2])
    assert measured.summary(three) == "mean 1.60 %, 1.00 to 2.50 (seeds 3, 1, 2)"
    assert measured.summary(steps_row()) == "not trained: 20 steps"


def test_the_gap_is_what_is_missing_here():
    assert measured.gap(error_row()) == pytest.approx(0.61)                               # 1.57 - 0.96
    assert measured.gap(error_row(test_errors=[0.5, 0.7, 1.2])) == pytest.approx(-0.16)   # 0.80 - 0.96
    assert measured.gap(error_row(net="convnet")) is None
    assert measured.gap(error_row(form="binary")) is None
    assert measured.figure_of(steps_row()).error == 11.40
    assert measured.gap(steps_row()) is None


@pytest.mark.parametrize(("notation", "words"), [
    ("1024FC-1024FC-1024FC", "3 × 1024 units"), ("500FC", "500 units"), ("70FC-30FC", "70 and 30 units"),
    ("32C3-MP2-64C3-MP2-512FC", "2 convolutions of 32 to 64 maps, 512 units"),
    ("128C3V-128C3V-MP2-256C2V-1024FC", "3 convolutions of 128 to 256 maps, 1024 units")])
def test_layers_in_words(notation, words):
    assert measured.in_words(notation) == words


@pytest.mark.parametrize(("changes", "words"), [
    ({"preset": "paper", "epochs": 1000}, "+0.61"), ({"preset": "paper", "epochs": 999}, "not comparable"),
    ({"epochs": 1000}, "not comparable"), ({"preset": "paper", "epochs": 1000, "note": "JPEG"}, "not comparable"),
    ({"form": "binary"}, "-"), ({"preset": "paper", "variant": "shift", "epochs": 240}, "not comparable"),
    ({"paper": "ebp", "variant": "binary", "epochs": 40}, "not comparable")])
def test_a_difference_is_of_two_equal_networks(changes, words):
    assert measured.difference(error_row(**changes)) == words
    assert measured.difference(steps_row()) == "-"


def test_what_stands_beside_the_paper_s_layers():
    assert measured._beside("32C3-MP2-256FC", "64C3-MP2-512FC") == ", half the paper's width"
    assert measured._beside("32C3-MP2-256FC", "64C3-128C3-MP2-1024FC") == (
        "; the paper's: 2 convolutions of 64 to 128 maps, 1024 units")
    assert measured._beside("256FC", "256FC") == ""


@pytest.mark.parametrize(("changes", "words"), [
    ({"minutes": 0.04, "cpu_minutes": None}, "2 s"), ({"minutes": 1.0, "cpu_minutes": 0.99}, "1.0 min (CPU 59 s)"),
    ({"minutes": 99.94, "cpu_minutes": 100}, "99.9 min (CPU 1.7 h)"), ({"minutes": 150, "cpu_minutes": None}, "2.5 h")])
def test_a_duration_in_words(changes, words):
    assert measured.duration(error_row(**changes)) == words


def test_the_duration_of_steps():
    assert measured.duration(steps_row()) == "2.35 s a step, so 35.2 min an epoch; 2,310 MiB at most"


# --- the table -----------------------------------------------------------------------------------------------------


def test_the_table_keeps_published_and_measured_apart():
    rows = [error_row(),
            error_row(paper="ebp", variant="binary", form="sampled", command="it", cpu_minutes=None),
            error_row(paper="ebp", variant="binary", command="it", cpu_minutes=None, date="2026-03-04",
                      test_errors=[2.0, 1.1, 1.61], seeds=[0, 1, 2]),
            error_row(data="cifar10", net="convnet", epochs=14, note="n", versions="numpy 2.5", date="2026-02-03"),
            steps_row(), error_row(data="reuters_i6", preset="paper", paper="ebp", variant="binary", epochs=3),
            error_row(data="digits", command="bnn-ref train bnn --data digits")]
    measured.FILE.write_text(json.dumps(rows))
    head = ["", "| system | error here | published error | here minus published | hidden layers | epochs | time | "
            "command |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    assert measured.table().splitlines() == [
        "**MNIST**", *head,
        "| BNN deterministic | 1.57 % (1 seed) | 0.96 % | not comparable | 3 × 1024 units, a quarter of the paper's "
        "width | 32 of 1000 | 7.4 min (CPU 7.1 min) | `bnn-ref train bnn` |",
        "| EBP binary: sampled | 1.57 % (1 seed) | - | - | 500 units; the paper's: ? | 32 of ? | 7.4 min | `it` |",
        "| EBP binary | 1.57 % (3 seeds: 1.10 to 2.00) | 2.12 % | not comparable |  |  |  |  |",        # of one run
        "", "**CIFAR-10 (n)**", *head,
        "| BNN deterministic | 1.57 % (1 seed) | 11.40 % | not comparable | 6 convolutions of 32 to 128 maps, "
        "2 × 256 units, a quarter of the paper's width | 14 of 500 | 7.4 min (CPU 7.1 min) | `bnn-ref train bnn` |",
        "", "**CIFAR-10**", *head,
        "| BNN deterministic | not trained: 20 steps | 11.40 % | - | 6 convolutions of 128 to 512 maps, "
        "2 × 1024 units | 0 of 500 | 2.35 s a step, so 35.2 min an epoch; 2,310 MiB at most | `python -m it` |",
        "", "**Reuters I6**", *head,
        "| EBP binary | 1.57 % (1 seed) | 9.95 % | -8.38 | 120 units | 3 of 3 | 7.4 min (CPU 7.1 min) | "
        "`bnn-ref train bnn` |",
        "", "<details><summary>The 1,797 embedded digits, of which no paper has figures</summary>", *head,
        "| BNN deterministic | 1.57 % (1 seed) | - | - | 3 × 512 units | 32 | 7.4 min (CPU 7.1 min) | "
        "`bnn-ref train bnn --data digits` |",
        "", "</details>",
        "", "Measured 2026-01-02 to 2026-03-04 with numpy 2.4.6; numpy 2.5. Training steps on a processor, 2 threads."]
    assert measured.chart() == [("BNN deterministic, MNIST, quick mlp", 0.96, [1.57]),
                                ("EBP binary, MNIST, quick mlp", 2.12, [2.0, 1.1, 1.61]),
                                ("BNN deterministic, CIFAR-10 (n), quick convnet", 11.40, [1.57]),
                                ("EBP binary, Reuters I6, paper mlp", 9.95, [1.57])]
    assert measured.rows("ebp") == [rows[1], rows[2], rows[5]]
    assert measured.rows() == rows


def test_the_short_table_has_the_longest_run_of_each_paper():
    rows = [error_row(paper="float", variant="real", epochs=20), error_row(test_errors=[9.0]),
            error_row(preset="long", epochs=100, test_errors=[1.4]),
            error_row(net="convnet", epochs=500),                                                # nothing published
            error_row(paper="binaryconnect", variant="stochastic"),
            error_row(paper="binaryconnect", variant="stochastic", form="binary", epochs=99),
            error_row(paper="few_multiplications", variant="ternary"), error_row(paper="ebp", variant="binary"),
            error_row(paper="bitwise", variant="bipolar", form="round 1", epochs=280),
            error_row(paper="bitwise", variant="bipolar", form="round 2", epochs=280, test_errors=[1.8])]
    measured.FILE.write_text(json.dumps(rows))
    assert measured.short_table().splitlines() == [
        "| on MNIST | error here | hidden layers | epochs | published error, and of what network |",
        "| --- | --- | --- | --- | --- |",
        "| BinaryConnect stochastic | 1.57 % (1 seed) | 3 × 1024 units | 32 | "
        "1.18 ± 0.04 % (3 × 1024 units, 1000 epochs) |",
        "| BNN deterministic | 1.40 % (1 seed) | 3 × 2048 units | 100 | 0.96 % (3 × 4096 units, 1000 epochs) |",
        "| Few Multiplications ternary | 1.57 % (1 seed) | 3 × 1024 units | 32 | "
        "1.15 % (3 × 1024 units, 1000 epochs) |",
        "| EBP binary | 1.57 % (1 seed) | 500 units | 32 | 2.12 % (network not known) |",
        "| Bitwise NN bipolar: round 2 | 1.80 % (1 seed) | 3 × 1024 units | 280 | 1.33 % (3 × 1024 units) |",
        "", "Full precision, 3 × 1024 units, 20 epochs: 1.57 % (1 seed); published 1.30 ± 0.04 % (3 × 1024 units, "
        "1000 epochs)."]


def test_a_table_of_one_day():
    measured.FILE.write_text(json.dumps([error_row()]))
    assert measured.table().endswith("\n\nMeasured 2026-01-02 with numpy 2.4.6.")
    assert "details" not in measured.table()


# --- rows of runs --------------------------------------------------------------------------------------------------


def test_runs_of_three_seeds_are_a_row():
    folders = [run_folder(f"r{seed}", seed=seed, error=error, seconds=seconds, cpu_seconds=cpu)
               for seed, error, seconds, cpu in ((0, 1.5, 60.0, 30.0), (2, 1.33333333, 120.0, 66.0),
                                                 (1, 1.0, 90.0, 36.0))]
    (row,) = measure.rows_of(folders, "JPEG")
    assert re.fullmatch(TODAY, row.pop("date"))
    assert row == {
        "kind": "error", "paper": "binaryconnect", "variant": "stochastic", "form": "", "data": "mnist", "note": "JPEG",
        "preset": "quick", "net": "mlp", "epochs": 24, "seeds": [0, 2, 1], "test_errors": [1.5, 1.3333, 1.0],
        "minutes": 2.0, "cpu_minutes": 1.1, "versions": "bnn_ref 0.1.0, numpy 2.4.6",
        "command": "bnn-ref train binaryconnect --data mnist --preset quick --net mlp --variant stochastic"}


def test_the_other_forms_of_a_run_are_lines_of_their_own():
    folders = [run_folder(f"r{seed}", seed=seed, error=1.5 + seed, forms={"binary": 2.5 + seed, "sampled": 1.25})
               for seed in (0, 1)]
    rows = measure.rows_of(folders)
    assert [(row["form"], row["test_errors"]) for row in rows] == [
        ("", [1.5, 2.5]), ("binary", [2.5, 3.5]), ("sampled", [1.25, 1.25])]
    assert len({row["command"] for row in rows}) == 1


def test_rounds_are_lines_of_their_own():
    settings = {"paper": "bitwise", "variant": "zero-one", "epochs": 30}
    folder = run_folder("r", error=2.0, settings=settings, rounds=[1.5, 2.0], history=epochs(30))
    rows = measure.rows_of([folder])
    assert [(row["form"], row["test_errors"], row["epochs"]) for row in rows] == [
        ("round 1", [1.5], 30), ("round 2", [2.0], 30)]
    assert [measured.figure_of(row).error for row in rows] == [1.32, 1.36]
    assert rows[0]["command"].endswith("--net mlp --variant zero-one")   # 20 + 10 epochs are the recipe's
    named = run_folder("n", settings={**settings, "first_epochs": 15}, rounds=[1.5, 2.0], history=epochs(30))
    assert measure.rows_of([named])[0]["command"].endswith("--variant zero-one --epochs 15+15")


def test_layers_that_are_not_the_recipe_s_are_those_of_the_row():
    row, = measure.rows_of([run_folder("r", settings={"layers": "64FC-64FC"})])
    assert measured.layers(row) == "64FC-64FC" and row["command"].endswith(" --layers 64FC-64FC")
    own, = measure.rows_of([run_folder("own")])
    assert "layers" not in own and measured.layers(own) == "1024FC-1024FC-1024FC"
    assert "--layers" not in own["command"]


def test_a_text_task():
    settings = {"paper": "ebp", "data": "reuters_i6", "preset": "paper", "variant": "binary", "epochs": 3}
    folder = run_folder("r", error=11.0, settings=settings, forms={"deterministic": 22.0},
                        recipe={"net": "120FC", "folds": "8"},
                        by_epoch=[{"epoch": 3, "test_error": 11.0, "deterministic": 22.0}],
                        drop=["history", "best_epoch", "params_sha256"])
    own, deterministic = measure.rows_of([folder])
    assert (measured.system(own), measured.gap(own)) == ("EBP binary", pytest.approx(11 - 9.95))
    assert (measured.system(deterministic), measured.gap(deterministic)) == (
        "EBP binary: deterministic", pytest.approx(22 - 21.7))
    assert measured.trained_on(own) == "Reuters I6"
    assert own["epochs"] == 3
    assert own["command"] == ("bnn-ref train ebp --data reuters_i6 --preset paper --net mlp --variant binary "
                              "--epochs 3")


def test_the_command_repeats_the_run():
    folder = run_folder("a", settings={"paper": "float", "variant": "real", "data": "digits", "epochs": 40})
    (row,) = measure.rows_of([folder])
    assert row["command"] == "bnn-ref train float --data digits --preset quick --net mlp"
    folder = run_folder("b", settings={"paper": "float", "variant": "real", "data": "digits", "epochs": 3})
    (row,) = measure.rows_of([folder])
    assert row["command"] == "bnn-ref train float --data digits --preset quick --net mlp --epochs 3"
    shift = {"paper": "bnn", "variant": "shift", "preset": "paper", "epochs": 240}     # a recipe of its own
    (row,) = measure.rows_of([run_folder("c", settings=shift)])
    assert row["command"] == "bnn-ref train bnn --data mnist --preset paper --net mlp --variant shift"


def test_the_command_repeats_a_run_of_another_rate_or_batch():
    asked = {"paper": "float", "variant": "real", "data": "digits", "epochs": 40}
    for name, settings, options in (("a", {"lr": 0.0001}, " --lr 0.0001"), ("b", {"batch": 7}, " --batch 7"),
                                    ("c", {"lr": 1e-05, "batch": 7, "epochs": 3}, " --lr 1e-05 --batch 7 --epochs 3"),
                                    ("d", {"lr": None, "batch": None}, "")):
        (row,) = measure.rows_of([run_folder(name, settings={**asked, **settings})])
        assert row["command"] == f"bnn-ref train float --data digits --preset quick --net mlp{options}"


@pytest.mark.parametrize("other", [
    {"settings": {"epochs": 25}}, {"settings": {"lr": 0.1}}, {"settings": {"batch": 50}},
    {"settings": {"variant": "deterministic"}}, {"settings": {"net": "convnet"}},
    {"recipe": {"net": "512FC"}}, {"fingerprint": "g"}, {"versions": {"numpy": "2.5.0"}}, {"drop": ["versions"]},
    {"forms": {"binary": 1.0}}, {"drop": UNFINISHED}])
def test_runs_that_differ_in_more_than_the_seed(other):
    folders = [run_folder("a"), run_folder("b", seed=1, **other)]
    for pair in (folders, folders[::-1]):
        with pytest.raises(runs.RunError, match="expected finished runs that differ in the seed alone"):
            measure.rows_of(pair)


def test_a_seed_counts_once():
    with pytest.raises(runs.RunError, match=r"expected runs of different seeds, got 4, 0, 4"):
        measure.rows_of([run_folder("a", seed=4), run_folder("b"), run_folder("c", seed=4)])


def test_runs_that_others_could_not_repeat():
    with pytest.raises(runs.RunError, match=r"own: bnn on /home/me/mine.npz is nothing that others could repeat"):
        measure.rows_of([run_folder("own", settings={"paper": "bnn", "data": "/home/me/mine.npz"})])
    with pytest.raises(runs.RunError, match="xnor on mnist is nothing that others could repeat"):
        measure.rows_of([run_folder("xnor", settings={"paper": "xnor"})])


# --- the file ------------------------------------------------------------------------------------------------------


def test_rows_replace_those_of_the_same_command_and_data():
    old = [error_row(), error_row(form="binary"), error_row(note="JPEG"), error_row(command="other")]
    measure.add(old)
    measure.add([error_row(test_errors=[9.0])])
    assert [(row["command"], row["note"], row["form"], row["test_errors"]) for row in measured.rows()] == [
        ("bnn-ref train bnn", "", "", [9.0]), ("other", "", "", [1.57]), ("bnn-ref train bnn", "JPEG", "", [1.57])]


def test_rows_are_in_order():
    new = [steps_row(), error_row(data="cifar10"), error_row(data="cifar10", note="n"),
           error_row(paper="ebp", variant="real"), error_row(paper="ebp", variant="binary"),
           error_row(command="b"), error_row(command="a"), error_row(data="digits", paper="bitwise", variant="bipolar"),
           error_row(preset="paper"), error_row(preset="long"), error_row(net="convnet"),
           error_row(data="reuters_i6"), error_row(paper="float", variant="real"),
           error_row(command="c", form="round 2"), error_row(command="c", form="round 1")]
    measure.add(new)
    assert [(row["data"], row["paper"], row["variant"], row["net"], row["preset"], row["command"][-1:], row["form"])
            for row in measured.rows()] == [
        ("mnist", "float", "real", "mlp", "quick", "n", ""),
        ("mnist", "bnn", "deterministic", "mlp", "quick", "a", ""),
        ("mnist", "bnn", "deterministic", "mlp", "quick", "b", ""),
        ("mnist", "bnn", "deterministic", "mlp", "quick", "c", "round 2"),
        ("mnist", "bnn", "deterministic", "mlp", "quick", "c", "round 1"),
        ("mnist", "bnn", "deterministic", "mlp", "long", "n", ""),
        ("mnist", "bnn", "deterministic", "mlp", "paper", "n", ""),
        ("mnist", "bnn", "deterministic", "convnet", "quick", "n", ""),
        ("mnist", "ebp", "binary", "mlp", "quick", "n", ""), ("mnist", "ebp", "real", "mlp", "quick", "n", ""),
        ("cifar10", "bnn", "deterministic", "mlp", "quick", "n", ""),
        ("cifar10", "bnn", "deterministic", "mlp", "quick", "n", ""),
        ("cifar10", "bnn", "deterministic", "convnet", "paper", "t", ""),                            # of steps
        ("reuters_i6", "bnn", "deterministic", "mlp", "quick", "n", ""),
        ("digits", "bitwise", "bipolar", "mlp", "quick", "n", "")]


# --- 20 steps ------------------------------------------------------------------------------------------------------


def test_twenty_steps_are_timed_after_one_that_is_not(monkeypatch):
    moments = iter(0.5 * number**2 for number in range(100))
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    chosen = recipe.Recipe("8FC", 2, 10, (1e-3, 1e-4))
    net = recipe.build(chosen, (1, 4, 4), 10, float_baseline.VOCABULARIES["real"])
    ways = []
    monkeypatch.setattr(loop, "FAST_WORK", 0)
    monkeypatch.setattr(loop, "_begin_to_warm", lambda way, *rest: ways.append(way))
    seconds, total = measure.time_steps(net, chosen, (1, 4, 4), 300)
    assert [way.warm for way in ways] == [None]                             # all of one kind, from the first step on
    assert seconds == [number + 0.5 for number in range(20)]
    assert total == 30
    assert next(moments) == 0.5 * 21**2                                     # no step more


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource")
def test_the_row_of_twenty_steps(monkeypatch):
    import resource

    asked = []

    def time_steps(*args):
        asked.append(args)
        return [3.0, 1.0, 2.0, 2.5], 900

    monkeypatch.setattr(measure, "time_steps", time_steps)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(
        ru_maxrss=3_000_000 * (1024 if sys.platform == "darwin" else 1)))
    settings = {"paper": "bnn", "variant": "shift", "data": "cifar10", "preset": "paper", "net": "convnet", "seed": 0,
                "epochs": None}
    chosen = PAPERS["bnn"].RECIPES["cifar10", "convnet", "paper", "shift"]
    row = measure.steps_row(settings, "the net", chosen, "JPEG")
    assert asked == [("the net", chosen, (3, 32, 32), 45_000)]
    assert re.fullmatch(TODAY, row.pop("date"))
    assert re.fullmatch(r".+, \d+ threads?", row.pop("machine"))
    assert re.fullmatch(r"bnn_ref .+, numpy .+, python 3\.[\d.]+", row.pop("versions"))
    assert row == {
        "kind": "steps", "paper": "bnn", "variant": "shift", "form": "", "data": "cifar10", "note": "JPEG",
        "preset": "paper", "net": "convnet", "epochs": 500, "step_seconds": 2.25, "epoch_minutes": 33.75,
        "peak_mib": 2930,                                                                # 3,000,000 / 1024
        "command": "bnn-ref measure --steps bnn --data cifar10 --preset paper --net convnet "
                   "--variant shift"}
    measure.add([row | {"date": "", "machine": "m", "versions": "v"}])
    assert "| 11.40 % |" not in measured.table()                             # that is the other variant's
    assert "| not trained: 20 steps | 10.15 % | - |" in measured.table()


def test_training_sets_are_as_large_as_the_data_scripts_leave_them():
    assert measure.TRAINING == {"mnist": ((1, 28, 28), 60_000 - 10_000), "cifar10": ((3, 32, 32), 50_000 - 5_000),
                                 "svhn": ((3, 32, 32), 73_257 + 531_131 - 6_000)}


# --- the tool ------------------------------------------------------------------------------------------------------


def test_the_tool_adds_runs_and_prints_the_table(tmp_path, capsys):
    folders = [str(run_folder("a")), str(run_folder("b", seed=1, error=1.7))]
    readme = tmp_path / "README.md"
    readme.write_text("<!-- measured -->\n<!-- /measured -->\n")
    for _ in range(2):                                                      # the second replaces the row
        assert main.main(["measure", *folders, "--note", "JPEG", "--readme", str(readme)]) == 0
        assert capsys.readouterr().out == measured.table() + "\n"
    (row,) = measured.rows()
    assert (row["seeds"], row["test_errors"], row["note"]) == ([0, 1], [1.5, 1.7], "JPEG")
    assert measured.table() in readme.read_text()


def test_the_tool_writes_the_readme_alone(tmp_path, capsys):
    measure.add([error_row()])
    readme = tmp_path / "README.md"
    readme.write_text("<!-- measured -->\n<!-- /measured -->\n")
    assert main.main(["measure", "--readme", str(readme)]) == 0
    assert measured.table() in readme.read_text()
    assert measured.rows() == [error_row()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource")
def test_the_tool_times_steps(monkeypatch, capsys):
    monkeypatch.setitem(measure.TRAINING, "mnist", ((1, 8, 8), 2_500))
    monkeypatch.setitem(float_baseline.RECIPES, ("mnist", "mlp", "quick"), recipe.Recipe("8FC", 20, 100, (1e-3, 1e-4)))
    assert main.main(["measure", "--steps", "float", "--data", "mnist", "--preset", "quick", "--note", "noise"]) == 0
    (row,) = measured.rows()
    assert (row["kind"], row["data"], row["net"], row["note"], row["epochs"]) == ("steps", "mnist", "mlp", "noise", 20)
    assert 0 < row["step_seconds"] < 5
    assert row["epoch_minutes"] == pytest.approx(row["step_seconds"] * 25 / 60, abs=0.01)
    assert 20 < row["peak_mib"] < 100_000
    assert "not trained: 20 steps" in capsys.readouterr().out


def test_steps_where_memory_cannot_be_counted(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert main.main(["measure", "--steps", "float"]) == 2
    assert "expected Python's module resource" in capsys.readouterr().err


def test_the_tool_times_the_paper_s_cifar10_network_by_default(monkeypatch):
    asked = []
    monkeypatch.setattr(measure, "steps_row", lambda *args: asked.append(args) or steps_row())
    assert main.main(["measure", "--steps", "bnn"]) == 0
    settings, net, chosen, note = asked[0]
    assert [settings[name] for name in ("data", "preset", "variant")] == ["cifar10", "paper", "deterministic"]
    assert note == ""
    assert chosen == PAPERS["bnn"].RECIPES["cifar10", "convnet", "paper"]
    assert net[0].name == "conv1"


@pytest.mark.parametrize(("args", "says"), [
    ([], "expected finished runs, or --steps PAPER, or --readme FILE alone"),
    (["run", "--steps", "bnn"], "expected finished runs, or --steps PAPER, or --readme FILE alone"),
    (["nowhere"], "nowhere is not a run folder"),
    (["run", "--data", "mnist"], "--data goes with --steps; runs have their own"),
    (["--net", "mlp", "--readme", "README.md"], "--net goes with --steps"),
    (["--steps", "binarynet"], "invalid choice: 'binarynet'"),
    (["--steps", "bnn", "--data", "digits"], "invalid choice: 'digits'"),
    (["--steps", "bnn", "--variant", "real"], "--variant real: bnn has deterministic"),
    (["--steps", "ebp", "--data", "svhn"], "ebp has no recipe for svhn paper"),
    (["--readme", "nowhere.md"], "No such file"),
    (["--readme", "README.md"], "README.md: expected the markers <!-- measured -->"),
    (["run", "--readme", "README.md"], "README.md: expected the markers <!-- measured -->"),
    (["run", "run"], "expected runs of different seeds, got 0, 0"),
    (["--fast"], "unrecognized arguments: --fast")])
def test_the_tool_says_mistakes_in_one_line(args, says, capsys):
    run_folder("run")
    Path("README.md").write_text("no markers")
    assert main.main(["measure", *args]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"bnn-ref: error: [^\n]+\n", printed.err)
    assert says in printed.err
    assert measured.rows() == []


def test_the_numbers_of_a_row_are_of_its_runs():
    """No mean of rounded numbers: four digits are kept, two are shown."""
    folders = [run_folder(f"r{seed}", seed=seed, error=error) for seed, error in enumerate((1.004, 1.0049, 1.0061))]
    (row,) = measure.rows_of(folders)
    assert measured.summary(row) == "mean 1.00 %, 1.00 to 1.01 (seeds 0, 1, 2)"
    assert np.mean(row["test_errors"]) == pytest.approx(1.005, abs=1e-6)
