"""The program as a user meets it: what it prints, what it writes, and what it says to mistakes."""

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import data, files
from bnn_ref.cli import main, plots, progress
from bnn_ref.nets import recipe
from bnn_ref.papers import PAPERS, measured, published
from bnn_ref.training import loop as training
from bnn_ref.training import runs
from tests.cli.command import contents, refused

ROOT = Path(__file__).resolve().parents[2]
FAST = ["train", "float", "--epochs", "3"]          # the quickest network


def program(*args, code=""):
    """Run bnn-ref in a process of its own; `code` runs before, to break something."""
    # A shell's background job hands down SIGINT as ignored; Ctrl-C reaches whoever sits in front of a program.
    source = (f"import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{code}\n"
              f"from bnn_ref.cli.main import main\nsys.exit(main({list(map(str, args))!r}))")
    return subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run to compare with and to evaluate; tests copy it before they damage it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main.main([*FAST, "--out", str(folder)]) == 0
    return folder


def copy(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


# --- a run from beginning to end -----------------------------------------------------------------------------------


def test_a_run_folder_holds_what_is_promised(finished, capsys):
    assert sorted(contents(finished)) == ["curves.png", "params.npz", "run.json"]
    record = json.loads((finished / "run.json").read_text())
    assert record["settings"] == {"paper": "float", "data": "digits", "preset": "quick", "net": "mlp",
                                  "variant": "real", "epochs": 3, "lr": None, "batch": None,
                                  "layers": None, "first_epochs": None, "seed": 0}
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2, 3]
    assert record["history"][record["best_epoch"] - 1]["valid_error"] == min(
        epoch["valid_error"] for epoch in record["history"])
    assert record["seconds"] == pytest.approx(sum(epoch["seconds"] for epoch in record["history"]))
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert record["versions"]["numpy"] == np.__version__
    assert main.main(["evaluate", str(finished)]) == 0
    assert capsys.readouterr().out == f"test error {record['test_error']:.2f} %\n"


def test_the_test_error_is_that_of_the_stored_network(finished):
    record = json.loads((finished / "run.json").read_text())
    digits = data.load("digits")
    chosen = PAPERS["float"].RECIPES["digits", "mlp", "quick"]
    net = recipe.build(chosen, digits.shape, digits.classes, PAPERS["float"].VOCABULARIES["real"])
    params, running = runs.load_params(finished, record, net)
    assert record["test_error"] == training.error_rate(net, params, running, digits.test_x, digits.test_y) < 20


@pytest.mark.parametrize("args", [["bnn"], ["binaryconnect"], ["binaryconnect", "--variant", "deterministic"],
                                  ["float", "--net", "convnet"], ["bnn", "--net", "convnet"],
                                  ["binaryconnect", "--net", "convnet"],
                                  ["binaryconnect", "--net", "convnet", "--variant", "deterministic"]])
def test_every_kind_of_network_learns_the_digits(args, capsys):
    assert main.main(["train", *args, "--epochs", "3", "--out", "run"]) == 0
    printed = capsys.readouterr().out
    assert float(re.search(r"test error ([\d.]+) %\n$", printed)[1]) < 60         # chance is 90
    assert len(re.findall(r"^epoch \d/3  loss \d\.\d{4}  validation error +[\d.]+ %", printed, re.M)) == 3
    names = set(contents("run"))
    assert names == {"curves.png", "params.npz", "run.json"} | (set() if args[0] == "float" else {"weights.png"})
    with np.load("run/params.npz") as arrays:
        weights = [arrays[name] for name in arrays if name.endswith(".w")]
    assert all(w.dtype == np.float32 for w in weights)
    if args[0] != "float":
        assert max(np.abs(w).max() for w in weights) <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(finished):
    assert main.main([*FAST, "--out", "again"]) == 0
    assert main.main([*FAST, "--out", "other", "--seed", "1"]) == 0
    assert contents("again")["params.npz"] == contents(finished)["params.npz"]
    assert contents("other")["params.npz"] != contents(finished)["params.npz"]


def test_the_default_folder_says_what_the_run_is(capsys):
    assert main.main(["train", "float", "--epochs", "1"]) == 0
    assert Path("runs/float-real-mlp-digits-quick-seed0/params.npz").is_file()


def test_own_pictures(capsys):
    digits = data.load("digits")
    big = np.kron(digits.train_x[:200], np.ones((1, 1, 2, 3), np.uint8))              # 16 × 24
    data.save("own.npz", big[:150], digits.train_y[:150], big[150:], digits.train_y[150:200])
    for net in ("mlp", "convnet"):
        assert main.main(["train", "bnn", "--data", "own.npz", "--net", net, "--epochs", "2", "--out", net]) == 0
        assert main.main(["evaluate", net]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == lines[-2]
    record = json.loads(Path("mlp/run.json").read_text())
    assert record["settings"]["data"] == str(Path("own.npz").absolute())


def test_evaluate_on_other_data(finished, capsys):
    digits = data.load("digits")
    data.save("flip.npz", digits.train_x, digits.train_y, digits.test_x[:, :, ::-1], digits.test_y)
    assert main.main(["evaluate", str(finished), "--data", "flip.npz"]) == 0
    assert float(capsys.readouterr().out.split()[2]) > 30
    data.save("small.npz", digits.train_x[..., :7], digits.train_y, digits.test_x[..., :7], digits.test_y)
    assert "(1, 8, 8)" in refused(capsys, "evaluate", finished, "--data", "small.npz")


# --- killed, and going on ------------------------------------------------------------------------------------------

# Writing is four moments: the file begun, its bytes written, put in place, and the next thing. Count the calls of
# os.replace and os.link and kill right before or right after one of them.
KILL = """
import os
count = 0
def counting(put):
    def kill(*args):
        global count
        count += 1
        if count == {nth} and {before}: os.kill(os.getpid(), 9)
        put(*args)
        if count == {nth}: os.kill(os.getpid(), 9)
    return kill
os.replace, os.link = counting(os.replace), counting(os.link)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_at_any_write_and_resumed_gives_the_same_bytes(nth, before, finished, tmp_path, capsys):
    # 1 run.json under another name, 2 under its own, 3-5 checkpoints, 6 curves.png, 7 params.npz, 8 run.json
    folder = tmp_path / "run"
    killed = program(*FAST, "--out", folder, code=KILL.format(nth=nth, before=before))
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    for name, content in contents(folder).items():
        if name.endswith(".npz"):
            np.load(io.BytesIO(content)).close()                                     # whole, or not there
        if name.endswith(".json"):
            json.loads(content)
    assert main.main([*FAST, "--out", str(folder), "--resume"]) == 0
    assert contents(folder)["params.npz"] == contents(finished)["params.npz"]
    ours, theirs = (json.loads(contents(place)["run.json"]) for place in (folder, finished))
    assert ours["test_error"] == theirs["test_error"]
    assert [epoch["loss"] for epoch in ours["history"]] == [epoch["loss"] for epoch in theirs["history"]]
    assert sorted(contents(folder)) == sorted(contents(finished))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_during_the_first_epoch(finished, tmp_path):
    folder = tmp_path / "run"
    slow = "import bnn_ref.training.loop as t, time\n" \
           "t.scale_pixels = lambda x, f=t.scale_pixels: time.sleep(.05) or f(x)"
    killed = program(*FAST, "--out", folder, code=slow)
    while not (folder / "run.json").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    killed.kill()
    killed.communicate()
    assert sorted(contents(folder)) == ["run.json", "run.lock"]
    assert main.main([*FAST, "--out", str(folder), "--resume"]) == 0
    assert contents(folder)["params.npz"] == contents(finished)["params.npz"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_says_how_to_go_on(finished, tmp_path):
    folder = tmp_path / "a run"
    stop = ("import bnn_ref.training.loop as t, os, signal\n"
            "def scale(x, f=t.scale_pixels, n=[0]):\n"
            "    n[0] += 1\n"
            "    if n[0] == 40: os.kill(os.getpid(), signal.SIGINT)\n"
            "    return f(x)\n"
            "t.scale_pixels = scale")
    stopped = program(*FAST, "--out", folder, code=stop)
    _, error = stopped.communicate(timeout=120)
    assert stopped.returncode == 130
    assert error == f"\nbnn-ref: stopped; go on with: bnn-ref train float --out '{folder}' --resume\n"
    assert main.main(["train", "float", "--out", str(folder), "--resume"]) == 0        # epochs, seed: the run's own
    assert contents(folder)["params.npz"] == contents(finished)["params.npz"]


def test_ctrl_c_before_the_run_began(monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", interrupt)
    assert main.main(FAST) == 130
    assert capsys.readouterr().err == "\nbnn-ref: stopped\n"


@pytest.mark.parametrize("nth", [2, 3, 5, 6])
def test_a_full_disk_leaves_the_last_good_state(nth, finished, monkeypatch, capsys):
    synced, real = [], os.fsync

    def full(descriptor):
        synced.append(descriptor)
        if len(synced) == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        assert main.main([*FAST, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"bnn-ref: error: run: No space left on device; the last saved epoch is safe, go on with: "
                        r"bnn-ref train float --out run --resume\n", error)
    assert not list(Path("run").glob("*.part"))
    assert main.main([*FAST, "--out", "run", "--resume"]) == 0
    assert contents("run")["params.npz"] == contents(finished)["params.npz"]


def test_resume_where_there_is_no_run_begins_one(finished):
    assert main.main([*FAST, "--out", "run", "--resume"]) == 0
    assert contents("run")["params.npz"] == contents(finished)["params.npz"]


def test_resume_of_a_finished_run_changes_nothing(finished, capsys):
    before = contents(finished)
    assert main.main([*FAST, "--out", str(finished), "--resume"]) == 0
    assert "is finished already" in capsys.readouterr().out
    assert contents(finished) == before


@pytest.mark.parametrize(("option", "name"), [
    (["float", "--seed", "1"], "seed"), (["float", "--epochs", "4"], "epochs"), (["bnn"], "paper"),
    (["float", "--net", "convnet"], "net"), (["float", "--data", "mnist"], "data"),
    (["float", "--data", "mnist", "--preset", "paper"], "data")])
def test_resume_with_other_settings(option, name, finished, capsys):
    error = refused(capsys, "train", *option, "--out", finished, "--resume")
    assert f"--resume: the run in {finished} has {name} " in error


def test_resume_with_changed_data(capsys):
    digits = data.load("digits")
    x, y = digits.train_x[:100], digits.train_y[:100]
    data.save("own.npz", x, y, x, y)
    command = ["train", "float", "--data", "own.npz", "--epochs", "1", "--out", "run"]
    assert main.main(command) == 0
    data.save("own.npz", 255 - x, y, x, y, replace=True)
    assert "the data changed" in refused(capsys, *command, "--resume")


def test_resume_with_a_changed_recipe(finished, capsys, tmp_path):
    folder = copy(finished, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["recipe"]["lr"] = "(1.0, 0.1)"
    (folder / "run.json").write_text(json.dumps(record))
    assert "the recipe changed" in refused(capsys, *FAST, "--out", folder, "--resume")


# --- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "says"), [
    ([], "required: command"),
    (["trian"], "invalid choice: 'trian'"),
    (["train"], "required: PAPER"),
    (["train", "binarynet"], "invalid choice: 'binarynet'"),
    (["train", "bnn", "--preset", "slow"], "invalid choice: 'slow'"),
    (["train", "bnn", "--net", "rnn"], "invalid choice: 'rnn'"),
    (["train", "bnn", "--fast"], "unrecognized arguments: --fast"),
    (["train", "bnn", "--epoch", "3"], "unrecognized arguments: --epoch"),
    (["train", "bnn", "--epochs", "0"], "each of two rounds, as in 40+10, got '0'"),
    (["train", "bnn", "--epochs", "-1"], "each of two rounds, as in 40+10, got '-1'"),
    (["train", "bnn", "--epochs", "two"], "each of two rounds, as in 40+10, got 'two'"),
    (["train", "bnn", "--epochs", "1.5"], "each of two rounds, as in 40+10, got '1.5'"),
    (["train", "bnn", "--epochs", "²"], "each of two rounds, as in 40+10, got '²'"),
    (["train", "bnn", "--seed", "-1"], "whole number from 0 up, got '-1'"),
    (["train", "bnn", "--seed", "x"], "whole number from 0 up, got 'x'"),
    (["train", "bnn", "--data", "imagenet"], "imagenet"),
    (["train", "bnn", "--data", "digits", "--preset", "paper"], "bnn has no recipe for digits paper; it has: digits"),
    (["train", "float", "--variant", "stochastic"], "float has real"),
    (["train", "bnn", "--data", "mnist", "--data-dir", "nowhere"], "data_scripts/mnist.py"),
    (["train", "bnn", "--data", "nowhere.npz"], "nowhere.npz"),
    (["evaluate"], "required: RUN"),
    (["evaluate", "nowhere"], "nowhere is not a run folder"),
])
def test_mistakes_end_in_one_line(args, says, capsys):
    assert says in refused(capsys, *args)


def test_a_folder_in_use_is_left_alone(finished, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    assert "choose another --out" in refused(capsys, *FAST, "--out", "mine")
    assert "choose another --out" in refused(capsys, *FAST, "--out", finished)
    Path("half").mkdir()
    Path("half/run.json.0123456789abcdef.part").write_text("{")
    Path("half/thesis.txt").write_text("years of work")
    assert "choose another --out" in refused(capsys, *FAST, "--out", "half")
    assert "choose another --out" in refused(capsys, *FAST, "--out", "half", "--resume")
    Path("file").write_text("")
    assert "file is a file" in refused(capsys, *FAST, "--out", "file")
    assert "error: file" in refused(capsys, *FAST, "--out", "file/run")


def test_an_empty_folder_is_as_good_as_none():
    Path("run").mkdir()
    assert main.main(["train", "float", "--epochs", "1", "--out", "run"]) == 0


def test_pictures_too_small_for_the_net(capsys):
    x, y = np.full((40, 1, 3, 3), 255, np.uint8), np.arange(40) % 2
    data.save("tiny.npz", x, y, x, y)
    error = refused(capsys, "train", "bnn", "--data", "tiny.npz", "--net", "convnet", "--out", "run")
    assert "3 × 3 are too small" in error


def test_a_loss_that_is_not_finite_stops_training(monkeypatch, capsys):
    hot = recipe.Recipe("8FC", 3, 50, (1e30, 1e30), dropout=(0.0, 0.0))
    monkeypatch.setitem(PAPERS["float"].RECIPES, ("digits", "mlp", "quick"), hot)
    with np.errstate(all="ignore"):
        assert main.main(["train", "float", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"bnn-ref: error: the loss is (nan|inf) in epoch 1, step \d+ of 25: .*\n", error)


@pytest.mark.parametrize("damage", [
    lambda path: path.write_text("{"), lambda path: path.write_text("[]"), lambda path: path.write_bytes(b"\xff\xfe"),
    lambda path: path.write_text('{"format": 1}'), lambda path: path.write_text('{"format": 99, "settings": {}}'),
    lambda path: path.write_text('{"format": 1, "settings": {"paper": "bnn"}}'),
    lambda path: path.write_text('{"format": 1, "settings": {"paper": ["bnn"]}}'),
    lambda path: path.write_text(path.read_text().replace('"seed": 0', '"seed": "0"')),
    lambda path: path.write_text(path.read_text().replace('"net": "mlp"', '"net": "rnn"')),
    lambda path: path.write_text(path.read_text().replace('"classes": 10', '"classes": "ten"')),
    lambda path: path.unlink()])
def test_a_damaged_or_foreign_record(damage, finished, tmp_path, capsys):
    folder = copy(finished, tmp_path / "run")
    damage(folder / "run.json")
    assert "run" in refused(capsys, "evaluate", folder)
    assert "--out" in refused(capsys, *FAST, "--out", folder, "--resume")


def with_array(name, change):
    def damage(path):
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays[name] = change(arrays[name])
        np.savez(path, **arrays)

    return damage


class _Bomb:
    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:-100]), lambda path: path.write_bytes(b"PK"),
    lambda path: path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes())),
    with_array("fc1.w", lambda w: w.T), with_array("fc1.w", lambda w: w.astype(np.float64)),
    with_array("bn1.mean", lambda w: np.array([_Bomb()], object)),
    lambda path: np.savez(path, other=np.zeros(3)), lambda path: path.unlink()])
def test_damaged_parameters(damage, finished, tmp_path, capsys):
    folder = copy(finished, tmp_path / "run")
    damage(folder / "params.npz")
    error = refused(capsys, "evaluate", folder)
    assert "params.npz" in error or "--resume" in error
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    with_array("params/fc1.w", lambda w: w[:, :-1]), with_array("optimizer/m/fc1.w", lambda w: w[:, :-1]),
    with_array("json", lambda w: w[:-2]), with_array("json", lambda w: np.frombuffer(b"{}", np.uint8)),
    with_array("json", lambda w: np.frombuffer(b"[]", np.uint8))])
def test_a_damaged_checkpoint(damage, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(plots, "curves", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main.main([*FAST, "--out", "run"]) == 130
    capsys.readouterr()
    damage(Path("run/checkpoint.npz"))
    assert "checkpoint.npz" in refused(capsys, *FAST, "--out", "run", "--resume")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no head")
def test_output_that_nobody_reads():
    reader = subprocess.run(f'"{sys.executable}" -m bnn_ref papers | head -n 1', shell=True, cwd=ROOT, text=True,
                            capture_output=True)
    assert reader.stdout.startswith("float: ")
    assert reader.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe otherwise")
@pytest.mark.parametrize("args", [["papers"], ["compare", "run"]])        # more than a buffer holds, and a few lines
def test_a_reader_who_left_is_exit_code_1(args, finished, tmp_path):
    copy(finished, tmp_path / "run")
    reader, writer = os.pipe()
    os.close(reader)
    left = subprocess.run([sys.executable, "-m", "bnn_ref", *args], cwd=tmp_path, stdout=writer, text=True,
                          stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""})
    os.close(writer)
    assert (left.returncode, left.stderr) == (1, "")


# --- gradcheck, papers, help, import -------------------------------------------------------------------------------


def test_gradcheck_prints_a_table_and_passes(capsys):
    assert main.main(["gradcheck"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "operation its backward is checked worst error".split()
    assert any(re.fullmatch(r"sign +ESTIMATOR of sign_surrogate +28 +\d\.\de-\d\d", line) for line in lines)
    assert re.fullmatch(r"(\d+) of \1 agree with finite differences in float64", lines[-1])


def test_gradcheck_exits_1_when_a_derivative_is_wrong(monkeypatch, capsys):
    from dataclasses import replace

    from bnn_ref import derivatives

    wrong = replace(derivatives.CASES[0], backward=lambda dout, cache: dout)
    monkeypatch.setattr(derivatives, "CASES", (wrong, *derivatives.CASES[1:3]))
    assert main.main(["gradcheck"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED: argument 0, index" in printed
    assert "2 of 3 agree" in printed


def test_papers_names_every_recipe_and_measurement(capsys):
    assert main.main(["papers"]) == 0
    printed = capsys.readouterr().out
    for module in PAPERS.values():
        assert module.TITLE in printed
        for key in module.RECIPES:
            assert f"  {' '.join(key)}: " in printed
    for row in measured.rows():
        (line,) = [line for line in printed.splitlines() if line.endswith(f"{row['date']}: {row['command']}")
                   and f"measured here: {measured.system(row)} on {measured.trained_on(row)}: " in line]
        assert measured.summary(row) in line


def test_papers_keeps_published_and_measured_errors_apart(tmp_path, monkeypatch, capsys):
    row = {"kind": "error", "paper": "bnn", "variant": "deterministic", "data": "mnist", "preset": "quick",
           "net": "mlp", "form": "", "note": "", "command": "train", "seeds": [0], "test_errors": [0.9], "epochs": 3,
           "minutes": 2.0, "cpu_minutes": None, "date": "2026-01-02", "versions": ""}
    monkeypatch.setattr(measured, "FILE", tmp_path / "measured.json")
    measured.FILE.write_text(json.dumps([row, {**row, "net": "convnet"}]))
    assert main.main(["papers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "measured here" in line] == [
        "  measured here: BNN deterministic on MNIST: 0.90 % (seed 0), published 0.96 % (not comparable); "
        "quick mlp, 3 epochs, 2.0 min; 2026-01-02: train",
        "  measured here: BNN deterministic on MNIST: 0.90 % (seed 0); quick convnet, 3 epochs, 2.0 min; 2026-01-02: "
        "train"]
    said = [line.removeprefix("  published test error, percent: ") for line in lines if "  published" in line]
    assert said[:3] == ["real: MNIST 1.30 ± 0.04, CIFAR-10 10.64, SVHN 2.44 (BinaryConnect, Table 2)",
                        "stochastic: MNIST 1.18 ± 0.04, CIFAR-10 8.27, SVHN 2.15 (Table 2)",
                        "deterministic: MNIST 1.29 ± 0.08, CIFAR-10 9.90, SVHN 2.30 (Table 2)"]
    assert "zero-one, round 2: MNIST 1.36 (Table 1)" in said
    assert len(said) == len({(one.paper, one.variant, one.form, one.source) for one in published.FIGURES})


def test_recipes_of_every_data_set_build():
    shapes = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "svhn": (3, 32, 32)}
    for paper, module in PAPERS.items():
        presets = {(key[0], key[2]) for key in module.RECIPES} - {("mnist", "long")}
        every = {(name, "quick") for name in shapes} | {(name, "paper") for name in list(shapes)[1:]}
        fewer = {"ebp": {("digits", "quick"), ("mnist", "quick")},
                 "bitwise": {("digits", "quick"), ("mnist", "quick"), ("mnist", "paper")}}
        assert presets == fewer.get(paper, every)
        for key in module.RECIPES:
            for variant in module.VOCABULARIES:
                if key[:3] not in recipe.offered(module.RECIPES, variant):
                    continue
                chosen = recipe.choose(module.RECIPES, *key[:3], variant)
                for of, words in recipe.rounds(chosen, module.VOCABULARIES[variant]):
                    assert recipe.build(of, shapes[key[0]], 10, words)


def test_help_and_version(capsys):
    for args in (["--help"], ["train", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as stop:
            main.main(args)
        assert stop.value.code == 0
    assert "bnn-ref 0." in capsys.readouterr().out


def test_import_is_light():
    code = ("import sys, time; began = time.perf_counter(); import bnn_ref; spent = time.perf_counter() - began; "
            "assert spent < 0.5, spent; import bnn_ref.training.loop, bnn_ref.gradcheck, bnn_ref.papers; "
            "import bnn_ref.cli.main; "
            "heavy = {'numba', 'matplotlib'} & sys.modules.keys(); assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- progress ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_rewrites_one_line():
    shown = progress.Progress(2, stream=(stream := Terminal()))
    shown.tick(1, 1, 10, 0.5)
    shown.tick(1, 2, 10, 0.4)                                # too soon after the other
    shown.epoch({"epoch": 1, "loss": 0.4, "valid_error": 3.0, "seconds": 1.0}, 1)
    shown.epoch({"epoch": 2, "loss": 0.3, "valid_error": 4.0, "seconds": 1.0}, 1)
    first, second, third = re.split(r"\n|\x1b\[K(?=\r)", stream.getvalue().rstrip("\n"))
    assert re.fullmatch(r"\repoch 1/2  1/10  loss 0\.5000  \d+s left", first)
    assert re.fullmatch(r"\r\x1b\[Kepoch 1/2  loss 0\.4000  validation error  3\.00 %  1\.0 s  \d+s left  best so far",
                        second)
    assert re.fullmatch(r"\r\x1b\[Kepoch 2/2  loss 0\.3000  validation error  4\.00 %  1\.0 s", third)


def test_progress_elsewhere_is_one_plain_line_an_epoch():
    shown = progress.Progress(1, stream=(stream := io.StringIO()))
    shown.tick(1, 1, 10, 0.5)
    shown.epoch({"epoch": 1, "loss": 0.4, "valid_error": 3.0, "seconds": 1.0}, 1)
    assert stream.getvalue() == "epoch 1/1  loss 0.4000  validation error  3.00 %  1.0 s  best so far\n"


def test_progress_of_the_test_in_another_form():
    for stream, text in ((Terminal(), "\rtesting with sampled: 0/2\x1b[K\rtesting with sampled: 1/2\x1b[K\r\x1b[K"),
                         (io.StringIO(), "testing with sampled\n")):
        shown = progress.Progress(1, stream=stream)
        for done in range(3):
            shown.testing("sampled", done, 2)
        assert stream.getvalue() == text


@pytest.mark.parametrize(("seconds", "text"), [(9.4, "9s"), (125, "2m 05s"), (3725, "1h 02m")])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
