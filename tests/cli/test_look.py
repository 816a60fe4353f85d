"""What `costs`, `filters`, `features` and `exponents` print and draw, and what they say to mistakes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import data
from bnn_ref.cli import look, main, plots
from bnn_ref.nets import costs, filters, network, recipe, steps
from bnn_ref.papers import PAPERS
from bnn_ref.training import loop, record, runs
from tests.cli.command import refused
from tests.cli.made import grey, made_run, save_greys


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


def _run(tmp_path_factory, *args):
    folder = tmp_path_factory.mktemp("finished") / "run"
    digits = data.load("digits")
    own = folder.parent / "own.npz"
    data.save(own, digits.train_x[:120], digits.train_y[:120], digits.test_x[:20], digits.test_y[:20])
    assert main.main(["train", *args, "--data", str(own), "--epochs", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def convnet(tmp_path_factory):
    return _run(tmp_path_factory, "bnn", "--net", "convnet")


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    return _run(tmp_path_factory, "binaryconnect", "--net", "mlp", "--variant", "deterministic")


def said(capsys, *args):
    assert main.main([str(arg) for arg in args]) == 0
    return capsys.readouterr().out


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG")


# --- costs ---------------------------------------------------------------------------------------------------------


def test_costs_of_a_paper_need_no_data(capsys):
    printed = said(capsys, "costs", "bnn", "--data", "cifar10", "--preset", "paper", "--net", "convnet")
    lines = {line.split()[0]: line.split() for line in printed.splitlines() if line}
    assert printed.startswith("bnn deterministic on cifar10: 128C3-128C3-MP2-")
    assert "One picture of 3 × 32 × 32 at test time" in printed
    assert lines["layer"] == ["layer", "inputs", "weights", "number", "bytes", "written", "multiplied", "added",
                              "xnor-popcounts", "64-bit", "words", "arithmetic", "(nJ)", "memory", "(nJ)"]
    assert lines["conv2"] == ["conv2", "binary", "binary", "147,456", "18,432", "131,072", "0", "0", "150,994,944",
                              "2,359,296", "236", "46.1"]
    assert lines["total"] == ["total", "14,022,016", "1,752,752", "460,810", "0", "0", "641,738,752", "10,633,376",
                              "1,063", "21,706"]
    assert lines["in"] == ["in", "float32", "14,022,016", "56,088,064", "460,810", "616,966,144", "616,966,144", "0",
                           "0", "2,838,044", "13,522,262"]
    assert ("1/32.0 of the bytes of weights, 1/2669.0 of the energy of arithmetic, 1/623.0 of that of reading "
            "weights") in printed
    assert "one int32 addition is *assumed*" in printed
    assert "training step" not in printed                                   # of an MLP only


def test_the_training_step_of_few_multiplications(capsys):
    printed = said(capsys, "costs", "few_multiplications", "--data", "mnist", "--preset", "paper")
    table = [re.split(r"  +", line) for line in printed.split("counts them:")[1].strip().splitlines()]
    assert "one training step, 200 pictures" in printed
    assert table == [
        ["network", "batch norm.", "in products", "shifts instead", "sign changes instead", "with units", "ratio"],
        ["full precision", "without", "1,746,124,800", "0", "0", "1,747,974,000", "1.000000"],
        ["full precision", "with", "1,746,124,800", "0", "0", "1,753,549,338", "1.000000"],
        ["few_multiplications ternary", "without", "0", "582,041,600", "1,164,083,200", "1,849,200", "0.001058"],
        ["few_multiplications ternary", "with", "0", "582,041,600", "1,164,083,200", "7,424,538", "0.004234"]]


def test_a_network_without_normalization_and_one_of_full_precision(capsys):
    printed = said(capsys, "costs", "bitwise")
    assert re.search(r"^full precision +without ", printed, re.M)
    assert re.search(r"^bitwise bipolar +without ", printed, re.M)
    assert re.search(r"^fc1 +binary +ternary +32,768 ", printed, re.M)       # of the last round, not of the first
    assert not re.search(r" with  ", printed.split("counts them:")[1])
    printed = said(capsys, "costs", "float")
    assert "1/1.0 of the bytes of weights" in printed
    assert len(printed.split("counts them:")[1].strip().splitlines()) == 3


def test_without_normalization_means_without_that_of_the_last_layer_too(capsys):
    """What is then multiplied beside the products are units alone, as many as in full precision."""
    lines = said(capsys, "costs", "bnn", "--variant", "shift").split("counts them:")[1].strip().splitlines()
    rows = {tuple(row[:2]): [int(number.replace(",", "")) for number in row[2:6]]
            for row in (re.split(r"  +", line) for line in lines[1:])}
    beside = {key: total - products for key, (products, _, _, total) in rows.items()}
    assert beside["bnn shift", "without"] == beside["full precision", "without"] == 231_900
    assert beside["full precision", "with"] > beside["bnn shift", "with"] > 231_900


def test_expectation_backpropagation_costs_more_and_its_step_is_not_counted(capsys):
    printed = said(capsys, "costs", "ebp")
    assert "2.0 times the bytes of weights" in printed
    assert ("Multiplications of a training step: not counted. fc1: what ebp_first_dense_forward costs is not known "
            "here.") in printed


def test_costs_of_a_run_and_its_picture(convnet, capsys, tmp_path, monkeypatch):
    drawn, draw = [], plots.energies
    monkeypatch.setattr(plots, "energies", lambda rows, floats: drawn.append((rows, floats)) or draw(rows, floats))
    printed = said(capsys, "costs", convnet, "--picture", "costs.png")
    assert re.search(r"^conv1 +8 bit +binary +288 ", printed, re.M)
    assert printed.endswith("picture in costs.png\n")
    assert is_picture(tmp_path / "costs.png")
    (rows, floats), = drawn
    assert floats == costs.in_floats(rows) != rows and [row.weights for row in rows][:2] == ["binary", "binary"]


def test_costs_of_a_run_are_those_of_its_own_recipe(capsys, tmp_path):
    """Own pictures take the nets of one data set or another by how large they are, and `costs` needs none of them."""
    greys = save_greys(tmp_path / "own.npz", 0, 255, [0, 1])
    record = json.loads((made_run(Path("run"), "bnn", "deterministic", greys) / "run.json").read_text())
    greys.unlink()
    Path("run/params.npz").unlink()                    # they are of one shape alone
    for shape, units in ((1, 8, 8), 512), ((1, 28, 28), 1024):
        Path("run/run.json").write_text(json.dumps({**record, "shape": list(shape)}))
        assert said(capsys, "costs", "run").startswith(
            f"bnn deterministic on {greys}: {units}FC-{units}FC-{units}FC-2FC\n")


def test_costs_of_a_paper_are_for_own_pictures_of_their_size(capsys):
    for side, units in ((4, 512), (16, 1024)):
        pictures = grey(0, 255, shape=(1, side, side))
        data.save("own.npz", pictures, np.arange(2), pictures, np.arange(2), pictures, np.arange(2), replace=True)
        assert f": {units}FC-{units}FC-{units}FC-2FC\n" in said(capsys, "costs", "bnn", "--data", "own.npz")


def test_costs_of_own_pictures(mlp, capsys):
    own = mlp.parent / "own.npz"
    assert "One picture of 1 × 8 × 8" in said(capsys, "costs", "float", "--data", own)
    assert re.search(r"^fc1 +8 bit +binary ", said(capsys, "costs", mlp), re.M)


@pytest.mark.parametrize(("args", "message"), [
    (["nothing"], r"nothing is neither a paper \(float, .*\) nor a run folder"),
    (["bnn", "--variant", "real"], "--variant real: bnn has deterministic or"),
    (["float", "--data", "svhn", "--net", "mlp"], "float has no recipe for svhn mlp"),
    (["float", "--data", "none.npz"], "none.npz"),
    (["float", "--picture", "."], r"\. is a folder: name a file"),
    (["float", "--data-dir", "x"], "unrecognized arguments"),
    ([], "PAPER|RUN"),
])
def test_costs_refuses(args, message, capsys):
    assert re.search(message, refused(capsys, "costs", *args))


@pytest.mark.parametrize(("option", "value"), [("--data", "mnist"), ("--net", "mlp"), ("--preset", "quick"),
                                               ("--variant", "real")])
def test_a_run_has_its_own_settings(option, value, mlp, capsys):
    assert f"{option}: {mlp} is no paper" in refused(capsys, "costs", mlp, option, value)


def test_the_shapes_are_those_of_the_data():
    assert set(look.SHAPES) == set(data.NAMES)
    digits = data.load("digits")
    assert (look.SHAPES["digits"], look.CLASSES) == (digits.shape, digits.classes)
    assert [look.SHAPES[name] for name in ("mnist", "cifar10", "svhn")] == [(1, 28, 28), (3, 32, 32), (3, 32, 32)]


@pytest.mark.parametrize(("joules", "text"), [(1e-6, "1,000"), (12.3456e-6, "12,346"), (0.9994e-6, "999"),
                                              (4.5678e-9, "4.57"), (2e-12, "0.002")])
def test_energies_in_nanojoules(joules, text):
    assert look._energy(joules) == text


def test_the_picture_of_energies():
    chosen, vocabulary = PAPERS["bnn"].RECIPES["digits", "mlp", "quick"], PAPERS["bnn"].VOCABULARIES["deterministic"]
    rows = costs.inference_costs(recipe.build(chosen, (1, 8, 8), 10, vocabulary), (1, 8, 8))
    floats = costs.in_floats(rows)
    figure = plots.energies(rows, floats)
    for panel, kind in zip(figure.axes, ("arithmetic", "memory")):
        widths = [bar.get_width() for bar in panel.patches]
        assert widths == [1e6 * getattr(row, kind) for row in (*rows, *floats)]
        assert panel.get_xscale() == "log"
        assert [bar.get_y() + bar.get_height() / 2 for bar in panel.patches[:4]] == pytest.approx([-0.2, 0.8, 1.8, 2.8])
    legend = figure.legends[0]
    for text, swatch, bar in zip(legend.texts, legend.get_patches(), panel.patches[::4]):
        assert text.get_text() == ("this network" if bar is panel.patches[0] else "float32")
        assert swatch.get_facecolor() == bar.get_facecolor()
    assert [panel.get_title() for panel in figure.axes] == ["arithmetic", "reading weights"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["fc1", "fc2", "fc3", "fc4"]


# --- filters -------------------------------------------------------------------------------------------------------


def weights_of(folder, *names):
    with np.load(folder / "params.npz") as arrays:
        return [arrays[name] for name in names]


def test_filters_of_a_run(convnet, capsys, tmp_path, monkeypatch):
    drawn, draw = [], plots.slice_counts
    monkeypatch.setattr(plots, "slice_counts", lambda found: drawn.append(found) or draw(found))
    printed = said(capsys, "filters", convnet, "--picture", "filters.png")
    found = []
    for name, w in zip(("conv1.w", "conv2.w", "conv3.w"), weights_of(convnet, "conv1.w", "conv2.w", "conv3.w")):
        unique = filters.unique_filters(w)
        found.append(unique)
        expected = [f"{100 * value:.1f}%" for of in (unique.by_channel, unique.by_layer)
                    for value in (of.plain, of.plain_chance, of.merged, of.merged_chance)]
        line = re.search(rf"^{name} .*$", printed, re.M)[0]
        assert re.split(r"  +", line) == [name, f"{w.shape[0]} × {w.shape[1]} of 3×3", *expected]
    assert len(found) == 3
    plain, merged = (100 * np.mean([getattr(one.by_channel, kind) for one in found]) for kind in ("plain", "merged"))
    assert f"on one input: {plain:.1f}%, with a slice and its negative merged {merged:.1f}%" in printed
    assert "42 %" in printed
    assert is_picture(tmp_path / "filters.png")
    assert list(drawn[0]) == ["conv1.w", "conv2.w", "conv3.w"]
    for unique, of in zip(drawn[0].values(), found):
        np.testing.assert_array_equal(unique.codes, of.codes)


def test_filters_refuses(mlp, capsys):
    assert f"{mlp}: no convolutions, so no filters" in refused(capsys, "filters", mlp)
    assert "nowhere is not a run folder" in refused(capsys, "filters", "nowhere")


def test_the_picture_of_slices():
    w = -np.ones((4, 1, 2, 2))
    w[3, 0, 1, 1] = 1
    figure = plots.slice_counts({"conv1.w": filters.unique_filters(w)})
    panel, = figure.axes
    assert panel.get_title() == "conv1.w: 4 slices"
    assert panel.get_xlabel() == "2 different ones"
    assert panel.patches[0].get_data().values.tolist() == [3, 1]
    assert list(panel.lines[0].get_ydata()) == [2, 2]


# --- features ------------------------------------------------------------------------------------------------------


def grid_of(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_features_of_an_mlp_and_of_a_convnet(mlp, convnet, capsys, tmp_path, monkeypatch):
    drawn, features = [], plots.features
    monkeypatch.setattr(plots, "features", lambda w: drawn.append(w) or features(w))
    assert said(capsys, "features", mlp, "--out", "a.png") == ("fc1.w: 256 features of 1 × 8 × 8, the first 100\n"
                                                               "picture in a.png\n")
    said(capsys, "features", mlp, "--out", "b.png", "--binary")
    printed = said(capsys, "features", convnet, "--out", "c.png")
    assert printed.startswith("conv1.w: 32 features of 1 × 3 × 3, the first 32\n")
    fc1, = weights_of(mlp, "fc1.w")
    conv1, = weights_of(convnet, "conv1.w")
    np.testing.assert_array_equal(drawn[0], [fc1[:, unit].reshape(1, 8, 8) for unit in range(256)])
    np.testing.assert_array_equal(drawn[1], np.where(drawn[0] >= 0, 1, -1))
    np.testing.assert_array_equal(drawn[2], conv1)
    assert all(is_picture(tmp_path / name) for name in ("a.png", "b.png", "c.png"))


def test_features_whose_inputs_have_two_channels(capsys, monkeypatch, tmp_path):
    net = (steps.flatten_step("f"), steps.binary_dense_step("fc1", 2 * 3 * 4, 2))
    params, running = network.init(net, np.random.default_rng(0))
    record = {"shape": [1, 3, 4]}
    monkeypatch.setattr(look.choices, "finished_run", lambda folder: (record, net, params, running))
    assert "2 features of 2 × 3 × 4" in said(capsys, "features", "run", "--out", "a.png")


def test_features_refuses(mlp, capsys):
    assert ". is a folder: name a file to write" in refused(capsys, "features", mlp, "--out", ".")
    assert "--out" in refused(capsys, "features", mlp)
    assert "nowhere is not a run folder" in refused(capsys, "features", "nowhere", "--out", "a.png")


def test_a_feature_is_drawn_upright_on_a_common_scale():
    w = np.zeros((3, 1, 2, 3), np.float32)
    w[0, 0] = [[4, 2, 0], [-4, -2, 0]]
    w[2, 0, 1, 2] = 1
    grid = grid_of(plots.features(w))
    assert grid.shape == (5, 7, 3)                                          # 2 × 2 tiles of 2 × 3, a line between
    np.testing.assert_allclose(grid[:2, :3, 0], [[1, 0.75, 0.5], [0, 0.25, 0.5]])
    np.testing.assert_allclose(grid[3:, :3, 1], [[0.5, 0.5, 0.5], [0.5, 0.5, 0.625]])
    np.testing.assert_allclose(grid[:2, 4:], 0.5)
    for between in (grid[2], grid[:, 3], grid[3:, 4:]):
        np.testing.assert_allclose(between, np.broadcast_to(plots.BETWEEN, between.shape))


def test_features_in_colours_and_in_two_channels():
    w = np.zeros((1, 3, 1, 2))
    w[0, :, 0, 1] = [1, -1, 0.5]
    np.testing.assert_allclose(grid_of(plots.features(w)), [[[0.5, 0.5, 0.5], [1, 0, 0.75]]])
    w = np.array([[[[1.0, 0.5], [0, 0]], [[-2.0, 0], [0, 1]]]])              # 1 × 2 channels × 2 × 2
    np.testing.assert_allclose(grid_of(plots.features(w))[..., 0], [[0.75, 0.625, 0, 0.5], [0.5, 0.5, 0.5, 0.75]])


def test_at_most_a_hundred_features_and_none_but_zeros():
    assert grid_of(plots.features(np.ones((300, 1, 2, 2)))).shape == (29, 29, 3)
    np.testing.assert_allclose(grid_of(plots.features(np.zeros((1, 1, 2, 2), np.float32))), 0.5)


def test_a_run_that_is_not_finished(mlp, tmp_path, capsys):
    (tmp_path / "half").mkdir()
    run = runs.read(mlp)
    begun = {name: run[name] for name in ("format", *record.ORIGIN)}
    (tmp_path / "half" / "run.json").write_bytes(record.write(begun))
    assert "not finished" in refused(capsys, "features", "half", "--out", "a.png")
    assert "binaryconnect deterministic" in said(capsys, "costs", "half")


# --- exponents -----------------------------------------------------------------------------------------------------


def test_exponents_of_what_goes_into_each_layer(mlp, capsys, tmp_path):
    printed = said(capsys, "exponents", mlp, "--out", "exponents.png")
    assert is_picture(tmp_path / "exponents.png")
    x = loop.scale_pixels(data.load(runs.read(mlp)["settings"]["data"]).train_x[:250])
    exponents = np.floor(np.log2(np.abs(x)))
    line = re.split(r"  +", re.search(r"^fc1 .*$", printed, re.M)[0])
    assert line[1:3] == [f"2^{exponents.min():.0f}", f"2^{exponents.max():.0f}"]
    assert line[3] == f"2^{np.bincount((-exponents).astype(int).ravel()).argmax() * -1}" and line[4] == "0.0%"
    assert len(re.findall(r"^fc\d ", printed, re.M)) == len(runs.read(mlp)["recipe"]["net"].split("-")) + 1
    assert "nowhere is not a run folder" in refused(capsys, "exponents", "nowhere", "--out", "x.png")


def exponents_table(printed):
    return [re.split(r"  +", line) for line in printed.splitlines() if re.match(r"fc\d ", line)]


def units_that_are(params, *groups):
    """Make the units of a layer constant: groups of (how many of 256, what they answer behind the rectifier)."""
    for number, of in enumerate(groups, 1):
        params[f"bn{number}.gamma"][:] = 0
        params[f"bn{number}.beta"][:] = np.concatenate([np.full(count, value) for count, value in of])


def test_exponents_are_of_the_first_training_pictures_and_of_every_layer(capsys, monkeypatch):
    """Pixels of 127 and 128 are ∓1/256; what is tested, validated or comes later is white, 255/256."""
    levels = np.array([127, 128] * 125 + [255] * 50)
    y = np.arange(len(levels)) % 2
    data.save("own.npz", grey(*levels), y, grey(255, 255), np.arange(2), grey(255, 255), np.arange(2))
    made_run(Path("run"), "binaryconnect", "deterministic", Path("own.npz").absolute(), lambda params, running:
             units_that_are(params, [(64, -3), (192, 2)], [(16, 0.5), (8, 0), (112, 1.5), (120, 5)]))
    drawn, draw = [], plots.exponents
    monkeypatch.setattr(plots, "exponents", lambda found: drawn.append(found) or draw(found))
    printed = said(capsys, "exponents", "run", "--out", "a.png")
    assert printed.startswith("Exponents ⌊log2|x|⌋ of what goes into each layer, 250 training pictures at test time:\n")
    assert exponents_table(printed) == [["fc1", "2^-8", "2^-8", "2^-8", "0.0%"], ["fc2", "2^1", "2^1", "2^1", "25.0%"],
                                        ["fc3", "2^-1", "2^2", "2^2", "3.1%"]]
    assert [(list(found[0]), list(found[1]), found[2]) for found in drawn[0].values()] == [
        ([-8], [1000], 0), ([1], [250 * 192], 250 * 64),
        ([-1, 0, 1, 2], [250 * 16, 250 * 112, 0, 250 * 120], 250 * 8)]


def test_exponents_of_a_layer_that_gets_nothing(capsys):
    save_greys("own.npz", 0, 255, [0, 1])
    made_run(Path("run"), "binaryconnect", "deterministic", Path("own.npz").absolute(),
             lambda params, running: units_that_are(params, [(256, -1)]))
    table = exponents_table(said(capsys, "exponents", "run", "--out", "a.png"))
    assert table[1] == ["fc2", "-", "-", "-", "100.0%"]
    assert is_picture(Path("a.png"))


def test_exponents_of_data_in_another_folder(capsys, monkeypatch):
    monkeypatch.setenv("BNN_REF_DATA", "nowhere")
    Path("folder").mkdir()
    save_greys(Path("folder/mnist.npz"), 0, 255, [0, 1])
    made_run(Path("run"), "float", "real", "mnist", data_dir="folder")
    assert "mnist.npz is not there" in refused(capsys, "exponents", "run", "--out", "a.png")
    said(capsys, "exponents", "run", "--out", "a.png", "--data-dir", "folder")


def test_exponents_of_data_that_changed(capsys):
    folder = made_run(Path("run"), "bnn", "deterministic", save_greys(Path("own.npz").absolute(), 0, 255, [0, 1]))
    said(capsys, "exponents", folder, "--out", "a.png")
    save_greys("own.npz", 0, 254, [0, 1])
    error = refused(capsys, "exponents", folder, "--out", "b.png")
    assert error.startswith("bnn-ref: error: run: the data changed since this network was trained: expected ")
    assert error.endswith("own.npz as it was then; bring that back\n")


def test_the_picture_of_exponents():
    figure = plots.exponents({"fc1": (np.array([-2, -1]), np.array([3, 1]), 4),
                              "fc2": (np.array([5]), np.array([2]), 0),
                              "fc3": (np.arange(0), np.arange(0), 6)})
    one, two, three = figure.axes
    assert not three.patches and three.get_title() == "fc3: 100% are 0"
    assert [bar.get_height() for bar in one.patches] == [0.75, 0.25]
    assert [bar.get_x() + bar.get_width() / 2 for bar in one.patches] == pytest.approx([-2, -1])
    assert one.get_title() == "fc1: 50% are 0" and two.get_title() == "fc2: 0% are 0"
