"""What options stand for: recipes for own pictures, layers, and the epochs of one round or two."""

import math
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import choices, main
from bnn_ref.kernels import compiled
from bnn_ref.nets import recipe
from bnn_ref.ops import optim
from bnn_ref.papers import PAPERS
from bnn_ref.training import loop, runs
from tests.cli.command import contents, refused

KEY = "digits", "mlp", "quick"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


def settings(*args):
    return choices.choose(main._parser().parse_args(["train", *args]))


def rounds(shape, *args):
    return [chosen for chosen, _ in choices.rounds_of(settings(*args), shape)]


# --- own pictures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "name"), [
    ((1, 8, 8), "digits"), ((3, 8, 8), "digits"), ((1, 15, 17), "digits"), ((1, 16, 16), "mnist"),
    ((1, 28, 28), "mnist"), ((3, 20, 28), "mnist"), ((1, 1, 256), "mnist"), ((255, 1, 1), "digits")])
@pytest.mark.parametrize("net", recipe.NETS)
def test_own_pictures_take_the_recipe_of_pictures_of_their_size(shape, name, net):
    chosen, = rounds(shape, "bnn", "--data", "own.npz", "--net", net)
    assert chosen == PAPERS["bnn"].RECIPES[name, net, "quick"]


def test_small_own_pictures_have_the_longer_presets_too():
    assert rounds((1, 8, 8), "bnn", "--data", "own.npz", "--preset", "long") == [
        PAPERS["bnn"].RECIPES["mnist", "mlp", "long"]]


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28)])
@pytest.mark.parametrize(("paper", "variant"), [(paper, variant) for paper, module in PAPERS.items()
                                                for variant in module.VOCABULARIES])
def test_every_paper_offers_both_nets_for_own_pictures_or_says_why_not(paper, variant, shape, capsys):
    for net in recipe.NETS:
        args = paper, "--data", "own.npz", "--net", net, "--variant", variant
        if net == "convnet" and paper in ("ebp", "bitwise"):
            assert (f"--net: {paper} has no convolutions, its paper defines its method for fully connected layers "
                    "alone") in refused(capsys, "train", *args)
        else:
            last = rounds(shape, *args)[-1]
            assert recipe.kind(last.net) == net
            rule = {"ebp": optim.SGD}.get(paper, optim.SHIFT_ADAMAX if variant == "shift" else optim.ADAM)
            assert last.optimizer == rule


def test_a_variant_without_a_recipe_is_refused(capsys):
    error = refused(capsys, "train", "bnn", "--variant", "shift", "--data", "cifar10")
    assert "bnn has no recipe for cifar10 quick shift; it has: digits mlp quick, mnist mlp quick" in error


def own(count, shape=(1, 16, 16)):
    """own.npz: pictures of two classes, light and dark at the top."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(count, *shape), dtype=np.uint8), np.arange(count) % 2
    x[y == 1, :, :shape[1] // 2] //= 4
    data.save("own.npz", x, y, x[:20], y[:20], replace=True)


def test_what_was_chosen_is_said_first(capsys):
    own(100)
    assert main.main(["train", "bnn", "--data", "own.npz", "--epochs", "2", "--layers", "2x4", "--out", "a"]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == (f"bnn on {Path('own.npz').absolute()}: 4FC-4FC-2FC, 1,068 parameters, deterministic, "
                     "90 training images")
    assert second == "recipe of mnist quick for own pictures of 1 × 16 × 16: epochs 2, batch 100; readable steps"
    assert main.main(["train", "bitwise", "--epochs", "2+1", "--layers", "4", "--out", "b"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        "recipe of digits quick: epochs 2 + 1, batch 50; readable steps")


# --- layers --------------------------------------------------------------------------------------------------------


def test_layers_are_those_of_every_round_and_of_either_net(capsys):
    assert [chosen.net for chosen in rounds((1, 8, 8), "bitwise", "--layers", "2x16")] == ["16FC-16FC"] * 2
    chosen, = rounds((1, 8, 8), "bnn", "--layers", "8C3-MP2-16FC")
    assert chosen.net == "8C3-MP2-16FC" and chosen.pad_value == -1.0       # the recipe is the one of the ConvNet
    assert settings("bnn", "--layers", "8C3-MP2-16FC")["net"] == "convnet"
    for net, layers in (("mlp", "8C3-16FC"), ("convnet", "16FC")):
        assert f"--net {net} is another" in refused(capsys, "train", "bnn", "--net", net, "--layers", layers)
    assert "--layers: bitwise has no convolutions" in refused(capsys, "train", "bitwise", "--layers", "8C3-16FC")
    assert "argument --layers: cannot read 'wide' in 'wide'; for example" in refused(
        capsys, "train", "bnn", "--layers", "wide")
    assert "pictures of 8 × 8 are too small" in refused(capsys, "train", "bnn", "--layers", "4x8C5V")


def test_a_run_has_its_layers_wherever_it_goes(capsys):
    args = ["train", "bnn", "--layers", "8C3-MP2-2x16", "--epochs", "1", "--out", "run"]
    assert main.main(args) == 0
    assert runs.read(Path("run"))["settings"]["layers"] == "8C3-MP2-16FC-16FC"
    lines = capsys.readouterr().out.splitlines()
    assert main.main(["evaluate", "run"]) == 0
    assert main.main(["pack", "run", "--out", "net.bnn"]) == 0
    assert main.main(["evaluate", "net.bnn"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == printed[-1] == lines[-1]
    assert main.main(["costs", "run"]) == 0
    of_run = capsys.readouterr().out
    assert of_run.startswith("bnn deterministic on digits: 8C3-MP2-16FC-16FC-10FC\n")
    assert main.main(["costs", "bnn", "--layers", "8C3-MP2-2x16"]) == 0
    assert capsys.readouterr().out == of_run
    assert "--layers: run is no paper" in refused(capsys, "costs", "run", "--layers", "16")
    assert main.main([*args, "--resume"]) == 0
    assert main.main(["train", "bnn", "--epochs", "1", "--out", "plain", "--layers", "8"]) == 0
    assert main.main(["compare", "run", "plain"]) == 0


def test_resume_names_the_layers_that_a_run_has(capsys):
    assert main.main(["train", "float", "--layers", "8", "--epochs", "1", "--out", "run"]) == 0
    again = ["train", "float", "--out", "run", "--resume"]
    assert main.main(again) == main.main([*again, "--layers", "8FC"]) == 0
    assert "the run in run has layers 8FC, not 16FC; leave that out" in refused(capsys, *again, "--layers", "16")


# --- epochs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "each"), [
    (None, [40, 30]), ("70", [40, 30]), ("7", [4, 3]), ("2", [1, 1]), ("3", [2, 1]), ("700", [400, 300]),
    ("1+1", [1, 1]), ("40+10", [40, 10]), ("5+40", [5, 40])])
def test_the_epochs_of_two_rounds(typed, each):
    assert [chosen.epochs for chosen in rounds((1, 8, 8), "bitwise", *(["--epochs", typed] if typed else []))] == each


@pytest.mark.parametrize(("typed", "each"), [("2", [1, 1]), ("6", [5, 1]), ("1200", [1000, 200])])
def test_no_round_is_left_without_an_epoch(typed, each):
    """The paper's recipe has five of the first round to one of the second."""
    assert [chosen.epochs for chosen in rounds((1, 28, 28), "bitwise", "--data", "mnist", "--preset", "paper",
                                               "--epochs", typed)] == each


def test_what_are_no_epochs(capsys):
    for text in ("0", "1+", "+1", "1+0", "1+2+3", "1.5", "many", ""):
        assert (f"argument --epochs: expected a whole number from 1 up, or one for each of two rounds, as in 40+10, "
                f"got {text!r}") in refused(capsys, "train", "bitwise", f"--epochs={text}")
    assert "--epochs 1: bitwise trains in two rounds, give 2 at least" in refused(
        capsys, "train", "bitwise", "--epochs", "1")
    assert "--epochs 2+1: bnn trains in one round, give one number" in refused(
        capsys, "train", "bnn", "--epochs", "2+1")


def test_two_rounds_are_resumed_as_they_were_shared_out(capsys):
    args = ["train", "bitwise", "--layers", "8", "--out"]
    assert main.main([*args, "named", "--epochs", "1+2"]) == 0
    assert main.main([*args, "shared", "--epochs", "3"]) == 0
    lines = capsys.readouterr().out
    assert "epoch 3/3" in lines
    for folder, first, total in (("named", 1, 3), ("shared", None, 3)):
        record = runs.read(Path(folder))
        assert (record["settings"]["first_epochs"], record["settings"]["epochs"]) == (first, total)
        assert [epoch["epoch"] for epoch in record["history"]] == [1, 2, 3]
        again = ["train", "bitwise", "--out", folder, "--resume"]
        assert main.main(again) == main.main([*again, "--epochs", "3"]) == 0
        assert f"has epochs {'1+2' if first else '3'}, not 2+1" in refused(capsys, *again, "--epochs", "2+1")
        assert "has epochs 3, not 4" in refused(capsys, *again, "--epochs", "4")
    assert main.main(["train", "bitwise", "--out", "named", "--resume", "--epochs", "1+2"]) == 0
    assert contents("named")["params.npz"] != contents("shared")["params.npz"]


# --- fast or readable ----------------------------------------------------------------------------------------------


def net_of(notation, shape, classes=10):
    return recipe.build(recipe.Recipe(notation, 1, 1, (1.0, 1.0)), shape, classes,
                        PAPERS["bnn"].VOCABULARIES["deterministic"])


@pytest.mark.parametrize(("notation", "shape", "products"), [
    ("5FC", (1, 8, 8), 64 * 5 + 5 * 10), ("4C3", (2, 8, 6), 8 * 6 * 4 * 2 * 9 + 8 * 6 * 4 * 10),
    ("4C3-MP2-6C2V", (1, 8, 6), 8 * 6 * 4 * 9 + 3 * 2 * 6 * 4 * 4 + 36 * 10)])
def test_products_of_one_picture(notation, shape, products):
    assert loop.products(net_of(notation, shape), shape) == products


@pytest.mark.skipif(not compiled.COMPILED, reason="they are not taken where they are not compiled")
@pytest.mark.parametrize("count", [300, 8_999, 9_000, 12_000])
def test_a_file_that_grows_is_not_trained_in_another_way_at_some_count(count):
    """Nine in ten are left for training."""
    chosen, = rounds((1, 28, 28), "bnn", "--data", "own.npz")
    net = recipe.build(chosen, (1, 28, 28), 10, PAPERS["bnn"].VOCABULARIES["deterministic"])
    assert chosen.net == "1024FC-1024FC-1024FC"
    assert loop.choose_way(loop.work(net, chosen, (1, 28, 28), count * 9 // 10)).name == "fast"


def test_the_steps_are_chosen_by_the_work_and_not_by_the_number_of_pictures(monkeypatch):
    net, shape = net_of("8FC", (1, 8, 8)), (1, 8, 8)
    assert loop.work(net, recipe.Recipe("8FC", 7, 10, (1.0, 1.0)), shape, 100) == 592 * 7 * 100
    assert loop.choose_way(loop.FAST_WORK / 2) is loop.READABLE
    assert loop.choose_way(math.nextafter(loop.FAST_WORK, 0)).name == "readable"
