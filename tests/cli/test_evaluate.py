"""evaluate and pack, as a user meets them: on which data, in which form, on bits; one-line errors, nothing lost."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import data, packed
from bnn_ref.cli import choices, main
from bnn_ref.kernels import LADDER
from bnn_ref.papers import bitwise
from bnn_ref.training import loop
from tests.cli.command import refused
from tests.cli.made import brighter, made_run, save_greys


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture(scope="module", params=["mlp", "convnet"])
def finished(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    epochs = {"mlp": "2", "convnet": "1"}[request.param]
    assert main.main(["train", "bnn", "--net", request.param, "--epochs", epochs, "--out", str(folder)]) == 0
    return folder


def printed(capsys, *args):
    assert main.main([str(arg) for arg in args]) == 0
    return capsys.readouterr().out


# --- on which data -------------------------------------------------------------------------------------------------


@pytest.fixture
def own():
    """A run that knows brighter from darker, and its data: tested on three dark pictures and five bright ones."""
    save_greys("own.npz", 0, 255, [0, 1, 1, 0, 1, 0, 1, 1])
    return made_run(Path("run"), "binaryconnect", "stochastic", Path("own.npz").absolute(), brighter)


def test_every_form_has_its_own_answers(own, capsys):
    assert printed(capsys, "evaluate", own) == "test error 37.50 %\n"
    for form, error in (("binary", "0.00"), ("sampled", "100.00")):
        assert main.main(["evaluate", "run", "--form", form]) == 0
        captured = capsys.readouterr()
        assert captured.out == f"test error with {form} {error} %\n"
        assert captured.err == f"testing with {form}\n"
    assert printed(capsys, "evaluate", own, "--rung", "identity", "--form", "binary") == "test error 0.00 %\n"


def test_a_form_takes_its_statistics_from_what_the_run_was_trained_on(own, capsys):
    """Two greys brighter than the mean of the run's own pictures; not both are brighter than their own mean."""
    save_greys("other.npz", 200, 255, [1, 1, 0, 1])
    assert printed(capsys, "evaluate", own, "--data", "other.npz") == "test error 25.00 %\n"
    assert printed(capsys, "evaluate", own, "--data", "other.npz", "--form", "binary") == (
        "test error with binary 25.00 %\n")
    assert printed(capsys, "evaluate", own, "--data", "other.npz", "--form", "sampled") == (
        "test error with sampled 75.00 %\n")
    on_bits = ("evaluate", own, "--form", "binary", "--rung", "loops")
    assert printed(capsys, *on_bits, "--data", "other.npz") == "test error 25.00 %\n"
    printed(capsys, "pack", own, "--form", "binary", "--out", "net.bnn")
    assert printed(capsys, "evaluate", "net.bnn", "--data", "other.npz") == "test error 25.00 %\n"
    assert printed(capsys, "evaluate", "net.bnn") == "test error 0.00 %\n"


def test_a_packed_file_has_one_form_and_tells_its_pictures(own, capsys):
    printed(capsys, "pack", own, "--form", "binary", "--out", "net.bnn")
    for form in ("binary", "magic"):
        assert refused(capsys, "evaluate", "net.bnn", "--form", form) == (
            f"bnn-ref: error: --form {form}: net.bnn is a packed file, whose form is settled\n")
    network = packed.load_packed("net.bnn")
    packed.save_packed("odd.bnn", packed.PackedNetwork(network.layers, network.output, '{"data": "digits"}'))
    assert "odd.bnn is for pictures of shape (1, 2, 2) in 2 classes; the data have (1, 8, 8) in 10" in refused(
        capsys, "evaluate", "odd.bnn")


def test_data_that_changed_since_the_training_are_no_longer_the_own_ones(own, capsys):
    printed(capsys, "pack", own, "--form", "binary", "--out", "net.bnn")
    save_greys("own.npz", 0, 255, [0, 1, 1, 0, 1, 0, 1, 0])                 # one label and its picture
    said = f"the data changed since this network was trained: expected {Path('own.npz').absolute()} as it was then; "
    for command in (("evaluate", own), ("evaluate", "net.bnn"), ("evaluate", "net.bnn", "--rung", "loops")):
        assert refused(capsys, *command) == (
            f"bnn-ref: error: {command[1]}: {said}bring that back, or name the data to test on with --data\n")
    for command in (("evaluate", own, "--form", "binary"), ("evaluate", own, "--form", "binary", "--rung", "loops"),
                    ("evaluate", own, "--form", "binary", "--data", "own.npz"),
                    ("evaluate", own, "--form", "binary", "--rung", "loops", "--data", "own.npz"),
                    ("pack", own, "--form", "binary", "--out", "other.bnn")):
        assert refused(capsys, *command) == f"bnn-ref: error: {own}: {said}bring that back\n"
    assert printed(capsys, "evaluate", own, "--data", "own.npz") == "test error 50.00 %\n"
    assert printed(capsys, "evaluate", "net.bnn", "--data", "own.npz") == "test error 0.00 %\n"


def test_a_run_on_bits_is_tested_on_its_own_data_or_on_those_that_are_named(capsys):
    save_greys("own.npz", 0, 255, [0, 1])
    folder = made_run(Path("run"), "bnn", "deterministic", Path("own.npz").absolute())
    on_bits = ("evaluate", folder, "--rung", "identity")
    in_floats = printed(capsys, "evaluate", folder)
    assert printed(capsys, *on_bits) == in_floats
    save_greys("own.npz", 0, 255, [0, 0, 1])
    assert "or name the data to test on with --data" in refused(capsys, *on_bits)
    assert printed(capsys, *on_bits, "--data", "own.npz") == printed(capsys, "evaluate", folder, "--data", "own.npz")
    Path("own.npz").unlink()
    assert "own.npz" in refused(capsys, *on_bits)
    printed(capsys, "pack", folder, "--out", "net.bnn")                    # takes no data
    assert "own.npz" in refused(capsys, "evaluate", "net.bnn")


def test_data_are_looked_for_in_the_folder_that_is_named(capsys, monkeypatch):
    monkeypatch.setenv("BNN_REF_DATA", "nowhere")
    for name, levels in (("mnist", (0, 255)), ("svhn", (200, 255))):
        Path(name).mkdir()
        save_greys(Path(name, f"{name}.npz"), *levels, [0, 1, 1])
    folder = made_run(Path("run"), "binaryconnect", "stochastic", "mnist", data_dir="mnist")
    binary = ("evaluate", folder, "--form", "binary")
    for command in (("evaluate", folder), binary, (*binary, "--rung", "loops"),
                    ("pack", folder, "--form", "binary", "--out", "net.bnn"), ("evaluate", "net.bnn")):
        assert "mnist.npz is not there" in refused(capsys, *command)
        printed(capsys, *command, "--data-dir", "mnist")
    for command in (("evaluate", folder), ("evaluate", "net.bnn")):
        assert "svhn.npz is not in the folder" in refused(capsys, *command, "--data", "svhn", "--data-dir", "mnist")
        printed(capsys, *command, "--data", "svhn", "--data-dir", "svhn")


def test_data_of_fewer_classes_and_of_more(capsys):
    folder = made_run(Path("run"), "bnn", "deterministic", "digits")
    printed(capsys, "pack", folder, "--out", "net.bnn")
    digits = data.load("digits")
    few = {name: (getattr(digits, f"{name}_x")[labels < 3], labels[labels < 3])
           for name, labels in (("train", digits.train_y), ("test", digits.test_y))}
    data.save("few.npz", *few["train"], *few["test"])
    _, net, params, running = choices.finished_run(folder)
    error = f"test error {loop.error_rate(net, params, running, *few['test']):.2f} %\n"
    for source in (folder, "net.bnn"):
        assert printed(capsys, "evaluate", source, "--data", "few.npz") == error
    data.save("many.npz", digits.train_x, digits.train_y + (digits.train_y == 9) * (np.arange(len(digits.train_y)) % 2),
              digits.test_x, digits.test_y)
    for source in (folder, "net.bnn"):
        assert f"{source} is for pictures of shape (1, 8, 8) in 10 classes; the data have (1, 8, 8) in 11" in refused(
            capsys, "evaluate", source, "--data", "many.npz")


# --- on bits -------------------------------------------------------------------------------------------------------


def test_a_packed_run_errs_where_the_run_errs(finished, capsys):
    in_floats = printed(capsys, "evaluate", finished)
    assert in_floats == f"test error {json.loads((finished / 'run.json').read_text())['test_error']:.2f} %\n"
    shown = printed(capsys, "pack", finished, "--out", "net.bnn")
    size = Path("net.bnn").stat().st_size
    with np.load(finished / "params.npz") as arrays:
        floats = sum(arrays[name].nbytes for name in arrays)
    assert shown == (f"{packed.describe(packed.load_packed('net.bnn'))}\nnet.bnn: {size:,} bytes, "
                     f"1/{floats / size:.1f} of the {floats:,} bytes of float32 parameters\n")
    assert printed(capsys, "evaluate", "net.bnn") == in_floats
    for rung in ("identity", "tiles", "blocks"):
        assert printed(capsys, "evaluate", finished, "--rung", rung) == in_floats
        assert printed(capsys, "evaluate", "net.bnn", "--rung", rung) == in_floats


def test_the_file_says_what_it_came_from(finished, capsys):
    printed(capsys, "pack", finished, "--out", "net.bnn")
    record = json.loads((finished / "run.json").read_text())
    said = json.loads(packed.load_packed("net.bnn").text)
    assert said == {**{key: record["settings"][key] for key in ("paper", "variant", "data", "preset", "net", "seed")},
                    "fingerprint": record["fingerprint"]}


def test_packing_twice_gives_the_same_bytes(finished, capsys):
    printed(capsys, "pack", finished, "--out", "one.bnn")
    printed(capsys, "pack", finished, "--out", "two.bnn")
    assert Path("one.bnn").read_bytes() == Path("two.bnn").read_bytes()
    assert sorted(Path(".").iterdir()) == [Path("one.bnn"), Path("two.bnn")]


def test_rungs_that_cannot_run(finished, capsys):
    assert "expected one of definition, identity" in refused(capsys, "evaluate", finished, "--rung", "fastest")
    for rung in LADDER:
        if rung.missing():
            assert rung.missing() in refused(capsys, "evaluate", finished, "--rung", rung.name)


@pytest.fixture(scope="module", params=[("float", "real", None), ("ebp", "real", None),
                                        ("ebp", "binary", "deterministic"), ("binaryconnect", "stochastic", "binary"),
                                        ("few_multiplications", "ternary", "deterministic")], ids=lambda run: run[0])
def other(request, tmp_path_factory):
    """(finished run whose own form does not pack, the form that does)."""
    paper, variant, form = request.param
    folder = tmp_path_factory.mktemp(paper) / "run"
    assert main.main(["train", paper, "--variant", variant, "--epochs", "1", "--out", str(folder)]) == 0
    return folder, form


def test_what_has_no_form_on_bits_says_which_has(other, capsys):
    folder, form = other
    for command in (("pack", folder, "--out", "net.bnn"), ("evaluate", folder, "--rung", "identity")):
        said = refused(capsys, *command)
        assert "no form on bits" in said
        assert ("on bits with --form" in said) == (form is not None)
        assert form is None or said.endswith(f"; on bits with --form {form}\n")


def test_another_form_on_bits_errs_where_it_errs_in_floats(other, capsys):
    folder, form = other
    if form is None:
        return
    in_floats = printed(capsys, "evaluate", folder, "--form", form)
    shown = printed(capsys, "pack", folder, "--out", "net.bnn", "--form", form)
    assert f"net.bnn: {Path('net.bnn').stat().st_size:,} bytes" in shown
    assert json.loads(packed.load_packed("net.bnn").text)["form"] == form
    for command in (("evaluate", "net.bnn"), ("evaluate", "net.bnn", "--rung", "loops"),
                    ("evaluate", folder, "--rung", "tiles", "--form", form)):
        assert printed(capsys, *command) == in_floats.replace(f"with {form} ", "")


def test_forms_that_cannot_be_packed(other, capsys):
    folder, form = other
    assert "has" in refused(capsys, "pack", folder, "--out", "net.bnn", "--form", "magic")
    if form is not None:
        assert "give one of them" in refused(capsys, "pack", folder, "--out", "net.bnn", "--form", "sampled")
        assert "give one of them" in refused(capsys, "evaluate", folder, "--rung", "loops", "--form", "sampled")
    elif folder.parent.name.startswith("ebp"):
        said = refused(capsys, "pack", folder, "--out", "net.bnn", "--form", "deterministic")
        assert said.endswith("fc1: no form on bits, its weights are real numbers\n")


def test_bitwise_networks_pack_as_they_are(capsys, monkeypatch):
    key, folder = ("digits", "mlp", "quick", "two-bit"), "run"
    chosen = bitwise.RECIPES[key]
    monkeypatch.setitem(bitwise.RECIPES, key, replace(chosen, before=replace(chosen.before, epochs=1)))
    printed(capsys, "train", "bitwise", "--variant", "two-bit", "--epochs", "1+1", "--out", folder)
    in_floats = printed(capsys, "evaluate", folder)
    printed(capsys, "pack", folder, "--out", "net.bnn")
    assert printed(capsys, "evaluate", "net.bnn") == in_floats
    assert printed(capsys, "evaluate", folder, "--rung", "lanes") == in_floats


def test_mistakes_end_in_one_line(finished, capsys):
    printed(capsys, "pack", finished, "--out", "net.bnn")
    assert "--out" in refused(capsys, "pack", finished)
    assert "not a run folder" in refused(capsys, "pack", "absent", "--out", "other.bnn")
    assert "is a folder" in refused(capsys, "pack", finished, "--out", ".")
    assert "absent" in refused(capsys, "pack", finished, "--out", "absent/net.bnn")
    assert "not a run folder" in refused(capsys, "evaluate", "absent.bnn")
    Path("text.bnn").write_text("This is no network.")
    assert "text.bnn" in refused(capsys, "evaluate", "text.bnn")
    content = Path("net.bnn").read_bytes()
    for damaged in (content[:100], content[:-1], content[:500] + bytes([content[500] ^ 1]) + content[501:], b""):
        Path("damaged.bnn").write_bytes(damaged)
        assert "damaged.bnn" in refused(capsys, "evaluate", "damaged.bnn")
    np.savez("mine.npz", train_x=np.full((20, 1, 5, 5), 255, np.uint8), train_y=np.arange(20) % 10,
             test_x=np.full((10, 1, 5, 5), 255, np.uint8), test_y=np.arange(10))
    assert "(1, 5, 5)" in refused(capsys, "evaluate", "net.bnn", "--data", "mine.npz")
    assert "(1, 5, 5)" in refused(capsys, "evaluate", finished, "--data", "mine.npz")


def test_a_file_that_does_not_say_its_data(finished, capsys):
    printed(capsys, "pack", finished, "--out", "net.bnn")
    network = packed.load_packed("net.bnn")
    for text in ("", "my network", "[1]", "3", "null", '{"data": 3}', '{"paper": "bnn"}', "[" * 1000):
        packed.save_packed("mute.bnn", packed.PackedNetwork(network.layers, network.output, text))
        assert "does not say what it was trained on: name the data with --data" in refused(
            capsys, "evaluate", "mute.bnn")
        assert printed(capsys, "evaluate", "mute.bnn", "--data", "digits") == printed(capsys, "evaluate", "net.bnn")


def test_a_file_that_says_its_data_but_not_what_they_were(finished, capsys):
    """As `pack` wrote them before it wrote the fingerprint."""
    printed(capsys, "pack", finished, "--out", "net.bnn")
    network = packed.load_packed("net.bnn")
    packed.save_packed("old.bnn", packed.PackedNetwork(network.layers, network.output, '{"data": "digits"}'))
    assert printed(capsys, "evaluate", "old.bnn") == printed(capsys, "evaluate", "net.bnn")
    packed.save_packed("odd.bnn", packed.PackedNetwork(network.layers, network.output,
                                                       '{"data": "digits", "fingerprint": 3}'))
    assert "the data changed" in refused(capsys, "evaluate", "odd.bnn")


def test_the_name_of_the_data_may_be_too_long_for_the_file(capsys):
    folder = made_run(Path("run"), "bnn", "deterministic", "digits")
    record = json.loads((folder / "run.json").read_text())
    record["settings"]["data"] = f"{'x' * 1000}.npz"
    (folder / "run.json").write_text(json.dumps(record))
    assert "run: text: expected one printable line of at most 1000 bytes, got 1" in refused(
        capsys, "pack", folder, "--out", "net.bnn")
