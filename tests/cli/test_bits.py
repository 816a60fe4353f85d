"""pack and evaluate on bits, as a user meets them: the float network's answers, one-line errors, nothing lost."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import packed
from bnn_ref.cli import main
from bnn_ref.kernels import LADDER
from bnn_ref.papers import bitwise
from tests.cli.command import refused


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


def test_a_packed_run_errs_where_the_run_errs(finished, capsys):
    in_floats = printed(capsys, "evaluate", finished)
    assert in_floats == f"test error {json.loads((finished / 'run.json').read_text())['test_error']:.2f} %\n"
    shown = printed(capsys, "pack", finished, "--out", "net.bnn")
    size = Path("net.bnn").stat().st_size
    assert f"net.bnn: {size:,} bytes" in shown
    assert printed(capsys, "evaluate", "net.bnn") == in_floats
    for rung in ("identity", "tiles", "blocks"):
        assert printed(capsys, "evaluate", finished, "--rung", rung) == in_floats
        assert printed(capsys, "evaluate", "net.bnn", "--rung", rung) == in_floats


def test_the_file_says_what_it_came_from(finished, capsys):
    printed(capsys, "pack", finished, "--out", "net.bnn")
    settings = json.loads((finished / "run.json").read_text())["settings"]
    said = json.loads(packed.load_packed("net.bnn").text)
    assert said == {key: settings[key] for key in ("paper", "variant", "data", "preset", "net", "seed")}


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
    printed(capsys, "train", "bitwise", "--variant", "two-bit", "--epochs", "1", "--out", folder)
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
    np.savez("mine.npz", train_x=np.zeros((20, 1, 5, 5), np.uint8), train_y=np.arange(20) % 10,
             test_x=np.zeros((10, 1, 5, 5), np.uint8), test_y=np.arange(10))
    assert "(1, 5, 5)" in refused(capsys, "evaluate", "net.bnn", "--data", "mine.npz")
    assert "(1, 5, 5)" in refused(capsys, "evaluate", finished, "--data", "mine.npz")


def test_a_file_that_does_not_say_its_data(finished, capsys):
    printed(capsys, "pack", finished, "--out", "net.bnn")
    network = packed.load_packed("net.bnn")
    for text in ("", "my network", "[1]", '{"data": 3}'):
        packed.save_packed("mute.bnn", packed.PackedNetwork(network.layers, network.output, text))
        assert "--data" in refused(capsys, "evaluate", "mute.bnn")
        assert printed(capsys, "evaluate", "mute.bnn", "--data", "digits") == printed(capsys, "evaluate", "net.bnn")
