"""Runs side by side: the table, the pictures of curves, weights and errors, and what is said to mistakes."""

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from bnn_ref.cli import choices, compare, main, plots
from bnn_ref.nets import network, recipe
from bnn_ref.papers import float_baseline, measured
from bnn_ref.training import record
from tests.cli.command import refused
from tests.cli.made import made_run, save_greys

RECORD = {"format": record.FORMAT, "recipe": {}, "shape": [1, 8, 8], "classes": 10, "examples": 1257,
          "fingerprint": "f"}
SETTINGS = {"paper": "bnn", "data": "digits", "preset": "quick", "net": "mlp", "variant": "deterministic", "epochs": 60,
            "seed": 0, "lr": None, "batch": None, "layers": None, "first_epochs": None}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two real runs: full precision and binary weights."""
    folder = tmp_path_factory.mktemp("trained")
    for paper in ("float", "binaryconnect"):
        assert main.main(["train", paper, "--epochs", "1", "--out", str(folder / paper)]) == 0
    return folder


def epochs(errors):
    return [{"epoch": number, "lr": 0.1, "loss": 1 / number, "valid_error": error, "seconds": 40.0,
             "cpu_seconds": 40.0} for number, error in enumerate(errors, 1)]


def finished(name, errors=(9.0, 5.0, 7.0), best=2, settings=(), **more):
    folder = Path(name)
    folder.mkdir(parents=True)
    run = {**RECORD, "settings": SETTINGS | dict(settings), "test_error": 6.25, "best_epoch": best, "seconds": 1.0,
           "cpu_seconds": 1.0, "params_sha256": 64 * "0", "history": epochs(errors), **more}
    (folder / "run.json").write_text(json.dumps({key: value for key, value in run.items() if value is not None}))
    return name


def stopped(name, errors=(9.0, 8.0), best=2, settings=(), stands=None):
    """An unfinished run; errors None: without a checkpoint. stands: what the checkpoint says instead."""
    folder = Path(name)
    folder.mkdir(parents=True)
    run = {**RECORD, "settings": SETTINGS | dict(settings)}
    (folder / "run.json").write_text(json.dumps(run))
    if errors is not None:
        said = json.dumps({"of": record.identity(run), "epoch": len(errors), "best_epoch": best,
                           "history": epochs(errors), "t": 9} if stands is None else stands)
        np.savez(folder / "checkpoint.npz", json=np.frombuffer(said.encode(), np.uint8), w=np.zeros(3))
    return name


# --- the table -----------------------------------------------------------------------------------------------------


def test_the_table_has_finished_and_unfinished_runs(capsys):
    finished("a", settings={"epochs": 3})
    stopped("b", settings={"variant": "shift"})
    stopped("c", errors=None)
    assert main.main(["compare", "a", "b", "c"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "run  paper  variant        data     epochs  best validation error  test error    time",
        "a    bnn    deterministic  digits        3      5.00 % in epoch 2      6.25 %  2m 00s",
        "b    bnn    shift          digits  2 of 60      8.00 % in epoch 2  unfinished  1m 20s",
        "c    bnn    deterministic  digits  0 of 60                      -  unfinished      0s",
        "picture in compare.png"]
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")


def test_epochs_of_both_rounds_count(capsys):
    settings = {"paper": "bitwise", "variant": "two-bit", "epochs": 45}
    finished("a", errors=[5.0] * 45, best=43, settings=settings)
    stopped("b", errors=[5.0] * 41, best=41, settings=settings)
    assert main.main(["compare", "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r" 45 +5.00 % in epoch 43 ", lines[1])
    assert re.search(r" 41 of 45 +5.00 % in epoch 41 +unfinished", lines[2])


def test_runs_of_one_name_are_told_apart(capsys):
    finished("x/run")
    finished("y/run")
    assert main.main(["compare", "x/run", "y/run"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]] == ["x/run", "y/run"]
    assert main.main(["compare", "x/run"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "run"


def test_different_data_are_said(capsys):
    finished("a")
    finished("b", fingerprint="g", settings={"data": "mnist"})
    assert main.main(["compare", "a", "b"]) == 0
    assert "\n\nThe runs are of different data: their errors are not to be compared.\n" in capsys.readouterr().out
    finished("c")
    assert main.main(["compare", "a", "c"]) == 0
    assert "different data" not in capsys.readouterr().out


def test_data_that_changed_under_one_name_are_said(capsys):
    made_run(Path("a"), "bnn", "deterministic", save_greys(Path("own.npz").absolute(), 0, 255, [0, 1]))
    save_greys("own.npz", 0, 255, [1, 0])
    made_run(Path("b"), "bnn", "deterministic", Path("own.npz").absolute())
    save_greys("same.npz", 0, 255, [1, 0])
    made_run(Path("c"), "bnn", "shift", "same.npz")
    assert main.main(["compare", "a", "b"]) == 0
    assert "different data" in capsys.readouterr().out
    assert main.main(["compare", "b", "c"]) == 0                           # another name, the same pictures
    assert "different data" not in capsys.readouterr().out
    assert main.main(["compare", "b", "c", "a"]) == 0
    assert "different data" in capsys.readouterr().out


def test_no_epoch_no_picture(capsys):
    stopped("a", errors=None)
    assert main.main(["compare", "a"]) == 0
    assert capsys.readouterr().out.endswith("no epoch yet: nothing to draw\n")
    assert not Path("compare.png").exists()


def test_real_runs(trained, capsys):
    run = json.loads((trained / "float" / "run.json").read_text())
    assert main.main(["compare", str(trained / "float"), str(trained / "binaryconnect"), "--out", "c.png",
                     "--weights", "w.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["float", "float", "real", "digits", "1"]
    assert f"{run['test_error']:.2f} %" in lines[1]
    assert lines[-2:] == ["picture in c.png", "picture in w.png"]
    assert Path("c.png").read_bytes() != Path("w.png").read_bytes()
    assert not Path("compare.png").exists()


# --- curves --------------------------------------------------------------------------------------------------------


def test_what_is_drawn_of_runs(monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "compared", lambda entries: drawn.append(entries) or plots.Figure())
    finished("a", settings={"epochs": 3})
    stopped("b")
    assert main.main(["compare", "a", "b"]) == 0
    assert drawn == [[("a: bnn deterministic", epochs([9.0, 5.0, 7.0]), 2, True),
                      ("b: bnn deterministic, 2 of 60 epochs", epochs([9.0, 8.0]), 2, False)]]


def test_curves_have_a_colour_a_run_and_broken_lines_unfinished_ones():
    entries = [(f"run {number}", epochs([50.0, 9.0 - number, 10.0]), 2, number != 3) for number in range(8)]
    figure = plots.compared(entries)
    above, below = figure.axes
    assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("training loss", "validation error (%)",
                                                                            "epoch")
    assert (above.get_yscale(), below.get_yscale()) == ("log", "linear")
    assert [line.get_linestyle() for line in above.lines] == ["-"] * 3 + ["--"] + ["-"] * 4
    assert len({to_hex(line.get_color()) for line in above.lines}) == 8
    curves, dots = below.lines[::2], below.lines[1::2]
    for number, (loss, curve, dot) in enumerate(zip(above.lines, curves, dots)):
        assert loss.get_color() == curve.get_color() == dot.get_color()
        assert loss.get_linestyle() == curve.get_linestyle()
        np.testing.assert_array_equal(loss.get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3]])
        np.testing.assert_array_equal(curve.get_xydata(), [[1, 50], [2, 9 - number], [3, 10]])
        np.testing.assert_array_equal(dot.get_xydata(), [[2, 9 - number]])
        assert dot.get_marker() == "o"
    assert below.get_ylim() == (0, 27)                                     # three times the worst of the best
    assert [text.get_text() for text in figure.legends[0].texts] == [f"run {number}" for number in range(8)]


@pytest.mark.parametrize(("error", "top"), [(0.0, 1), (0.2, 1), (20.0, 60), (90.0, 100)])
def test_errors_are_drawn_from_zero_to_where_runs_end(error, top):
    _, below = plots.compared([("a", epochs([error]), 1, True), ("b", [], 0, False)]).axes
    assert below.get_ylim() == pytest.approx((0, top))
    assert len(below.lines) == 3                                           # no dot where there is no epoch


# --- weights -------------------------------------------------------------------------------------------------------


def test_weights_are_those_of_the_first_layer(trained, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "weight_histograms", lambda *args: drawn.append(args) or plots.Figure())
    folders = [str(trained / "float"), str(trained / "binaryconnect")]
    assert main.main(["compare", *folders, "--weights", "w.png"]) == 0
    params, names, titles = drawn[0]
    assert titles == ["float: float real", "binaryconnect:\nbinaryconnect stochastic"]
    for folder, name in zip(folders, names):
        with np.load(Path(folder) / "params.npz") as arrays:
            np.testing.assert_array_equal(params[name], arrays["fc1.w"])


def texts(figure):
    """What stands in a figure, and whether Matplotlib would read mathematics in it."""
    figure.canvas.draw()
    return {text.get_text(): text.get_parse_math() for text in figure.findobj(Text) if text.get_text()}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there have other letters")
def test_names_are_drawn_letter_by_letter(monkeypatch):
    """Whatever they mean to Matplotlib: an underscore that hides a line from the legend, mathematics that is none."""
    drawn = []
    for name in ("compared", "weight_histograms"):
        real = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *args, real=real: drawn.append(real(*args)) or drawn[-1])
    names = [r"$\frac$", "$x", "_a", r"\$y\$", "b^c_{d}", os.fsdecode(b"caf\xe9"), "\x1b[31m"]
    for name in names:
        made_run(Path(name), "float", "real", "digits")
    assert main.main(["compare", *names, "--weights", "w.png"]) == 0
    shown = [*names[:5], r"caf\udce9", r"\x1b[31m"]
    curves, weights = (texts(figure) for figure in drawn)
    assert [text.get_text() for text in drawn[0].legends[0].texts] == [f"{name}: float real" for name in shown]
    assert not any(curves[f"{name}: float real"] for name in shown)
    assert not any(weights[f"{name}: float real\n0% at ±1"] for name in shown)


def test_a_long_name_fits_into_the_picture(monkeypatch, capsys):
    drawn, real = [], plots.compared
    monkeypatch.setattr(plots, "compared", lambda *args: drawn.append(real(*args)) or drawn[-1])
    for name in ("x" * 200, "x" * 201):
        made_run(Path(name), "float", "real", "digits")
    assert main.main(["compare", "x" * 200, "x" * 201, "--weights", "w.png"]) == 0
    assert capsys.readouterr().err == ""                                   # Matplotlib would say what it cannot place
    drawn[0].canvas.draw()
    extent = drawn[0].legends[0].get_window_extent()
    assert extent.x0 > 0 and extent.x1 < drawn[0].bbox.x1


def test_weights_of_a_convolution(monkeypatch):
    net = recipe.build(float_baseline.RECIPES["digits", "convnet", "quick"], (1, 8, 8), 10,
                       float_baseline.VOCABULARIES["real"])
    params, running = network.init(net, np.random.default_rng(0))
    monkeypatch.setattr(choices, "finished_run", lambda folder: (None, net, params, running))
    assert compare._first_weights(Path("a")) is params["conv1.w"]


def test_histograms_reach_as_far_as_the_weights():
    w = {"a": np.array([-1.0, -1.0, 0.5, 1.0]), "b": np.array([[-4.0, 1.0], [2.0, 0.0]])}
    one, other = plots.weight_histograms(w, ["a", "b"]).axes
    assert (one.get_title(), other.get_title()) == ("a\n75% at ±1", "b\n25% at ±1")
    for panel, limit, count in ((one, 1, 4), (other, 4, 4)):
        bars = panel.patches
        assert len(bars) == 40
        assert bars[0].get_x() == -limit
        assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(limit)
        assert sum(bar.get_height() for bar in bars) == count


# --- errors here and published -------------------------------------------------------------------------------------


def test_errors_beside_published_ones():
    figure = plots.against_published([("one", 1.2, [1.5, 1.1, 1.3]), ("two", 20.0, [30.0])])
    (panel,) = figure.axes
    assert panel.get_xscale() == "log"
    assert panel.get_xlabel() == "test error (%)"
    assert [label.get_text() for label in panel.get_yticklabels()] == ["one", "two"]
    assert panel.get_ylim() == (1.5, -0.5)                                 # from the top down
    between, published, seeds, mean = panel.lines[:4]
    np.testing.assert_allclose(between.get_xydata(), [[1.2, 0], [1.3, 0]])
    np.testing.assert_allclose(published.get_xydata(), [[1.2, 0]])
    np.testing.assert_allclose(seeds.get_xydata(), [[1.5, 0], [1.1, 0], [1.3, 0]])
    np.testing.assert_allclose(mean.get_xydata(), [[1.3, 0]])
    np.testing.assert_allclose(panel.lines[5].get_xydata(), [[20, 1]])
    np.testing.assert_allclose(panel.lines[7].get_xydata(), [[30, 1]])
    assert [text.get_text() for text in figure.legends[0].texts] == ["published", "here, each seed", "here, mean"]
    assert published.get_fillstyle() == "none"
    assert {line.get_color() for line in (seeds, mean)} == {"tab:blue"} != {published.get_color()}
    plots.Figure.savefig(figure, io.BytesIO(), format="png")


def test_papers_draws_them(monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(plots, "against_published", lambda entries: drawn.append(entries) or plots.Figure())
    assert main.main(["papers", "--picture", "p.png"]) == 0
    assert drawn == [measured.chart()] != [[]]
    assert Path("p.png").exists()
    assert capsys.readouterr().out.endswith("picture in p.png\n")
    assert main.main(["papers"]) == 0
    assert len(drawn) == 1


# --- mistakes ------------------------------------------------------------------------------------------------------


def test_mistakes_in_one_line(capsys):
    finished("a")
    stopped("b")
    Path("folder").mkdir()
    assert "required: RUN" in refused(capsys, "compare")
    assert "nowhere is not a run folder" in refused(capsys, "compare", "a", "nowhere")
    assert "folder is not a run folder" in refused(capsys, "compare", "folder")
    assert "folder is a folder: name a file to write" in refused(capsys, "compare", "a", "--out", "folder")
    assert "nowhere is no folder that is there" in refused(capsys, "compare", "a", "--out", "nowhere/c.png")
    assert "b is not finished" in refused(capsys, "compare", "b", "--weights", "w.png")
    for number in range(8):
        finished(f"r{number}")
    assert "expected up to 8 runs, whose colours can be told apart, got 9" in refused(
        capsys, "compare", "a", *(f"r{number}" for number in range(8)))
    assert main.main(["compare", *(f"r{number}" for number in range(8))]) == 0


def test_damaged_records(capsys):
    finished("a", best=4)
    assert "run.json is damaged, or of another version: best_epoch: expected an epoch of history, 1 to 3, got 4" in (
        refused(capsys, "compare", "a"))


@pytest.mark.parametrize(("stands", "says"), [({}, "of is missing"), ([], "expected names and values, got []")])
def test_damaged_checkpoints(stands, says, capsys):
    stopped("a", stands=stands)
    assert re.search(f"checkpoint.npz is damaged: .*{re.escape(says)}", refused(capsys, "compare", "a"))


def test_a_checkpoint_of_another_run(capsys):
    stopped("a")
    stopped("b", settings={"seed": 1})
    shutil.copy("b/checkpoint.npz", "a/checkpoint.npz")
    assert "checkpoint.npz is of another run than run.json beside it" in refused(capsys, "compare", "a")


def test_checkpoints_that_cannot_be_read(capsys):
    stopped("a")
    shutil.copytree("a", "b")
    content = Path("a/checkpoint.npz").read_bytes()
    Path("a/checkpoint.npz").write_bytes(content[:-40])
    assert "checkpoint.npz: cannot be read" in refused(capsys, "compare", "a")
    np.savez("b/checkpoint.npz", w=np.zeros(3))
    assert "checkpoint.npz: json missing" in refused(capsys, "compare", "b")
    np.savez("b/checkpoint.npz", json=np.frombuffer(b"{", np.uint8))
    assert "checkpoint.npz is damaged" in refused(capsys, "compare", "b")


def test_a_run_of_another_version(capsys):
    finished("a", settings={"net": "rnn"})
    assert "a run of another version" in refused(capsys, "compare", "a")


def test_a_cross_validation(capsys):
    finished("a", settings={"paper": "ebp", "variant": "binary", "data": "reuters_i6"}, history=None,
             best_epoch=None, by_epoch=[], recipe={"net": "120FC", "folds": "8"},
             forms={"deterministic": 1.0}, params_sha256=None)
    assert "a: a cross-validation, which has no curves to compare" in refused(capsys, "compare", "a")
