"""`train ebp` on a text task: what it prints and records, and what it says to mistakes."""

import re
from pathlib import Path

import numpy as np
import pytest

from bnn_ref.cli import main
from bnn_ref.kernels.ebp_sparse import SparseRows
from bnn_ref.papers import PAPERS
from bnn_ref.training import runs, text_tasks
from tests.cli.command import refused

N, M = 48, 30


@pytest.fixture(autouse=True)
def _a_small_task(tmp_path, monkeypatch):
    """48 examples of 30 words; the first five words belong to one class, the next five to the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(text_tasks.TASKS, "reuters_i6", text_tasks.Description("small", "small", N, M))
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(N) % 2)
    indices = np.array([np.sort(np.concatenate([5 * label + rng.permutation(5)[:3], 10 + rng.permutation(20)[:2]]))
                        for label in labels]).astype(np.int32)
    x = SparseRows(np.arange(0, 5 * N + 1, 5, dtype=np.int32), indices.ravel(), np.ones(5 * N, np.float32), M)
    text_tasks.save_task(tmp_path / "data" / "ebp_text" / "reuters_i6.npz", x, labels)


def test_a_cross_validation_is_recorded(capsys):
    assert main.main(["train", "ebp", "--data", "reuters_i6", "--out", "run", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    task = text_tasks.load_task("reuters_i6")
    expected = text_tasks.cross_validate(task, seed=3)
    record = runs.read(Path("run"))
    assert record["test_error"] == expected.final[0] < 30 and record["forms"] == {"deterministic": expected.final[1]}
    assert record["by_epoch"] == [{"epoch": epoch + 1, "test_error": expected.p[:, epoch].mean(),
                                 "deterministic": expected.d[:, epoch].mean()} for epoch in range(3)]
    assert record["settings"] == {"paper": "ebp", "data": "reuters_i6", "preset": "paper", "net": "mlp",
                                  "variant": "binary", "epochs": 3, "lr": None, "batch": None, "layers": None,
                                  "first_epochs": None, "seed": 3}
    assert record["seconds"] > 0 and record["cpu_seconds"] > 0
    assert printed.endswith(f"test error with deterministic {expected.final[1]:.2f} %\n"
                            f"test error {expected.final[0]:.2f} %\n")
    assert len(re.findall(r"^fold \d/8  epoch 3/3  error +[\d.]+ %  deterministic +[\d.]+ %$", printed, re.M)) == 8
    assert f"after epoch 2: mean over folds {expected.p[:, 1].mean():.2f} %" in printed


def test_every_error_has_its_place(monkeypatch, capsys):
    """On errors that all differ: of P and of D, of the folds, of the epochs."""
    p = np.arange(24.0).reshape(8, 3) + np.array([10.0, 20.0, 0.0])
    d = 2 * p[::-1] + 1

    def cross_validate(task, epochs, folds, seed, tick, weights):
        assert (len(task.x), epochs, folds, seed, weights) == (N, 3, 8, 5, "real")
        for fold in range(8):
            for epoch in range(3):
                tick(fold + 1, epoch + 1, p[fold, epoch], d[fold, epoch])
        return text_tasks.CrossValidation(p, d)

    monkeypatch.setattr(text_tasks, "cross_validate", cross_validate)
    assert main.main(["train", "ebp", "--data", "reuters_i6", "--out", "run", "--seed", "5", "--variant", "real"]) == 0
    record = runs.read(Path("run"))
    means = [(20.5, 42.0), (31.5, 64.0), (12.5, 26.0)]
    assert (record["test_error"], record["forms"]) == (12.5, {"deterministic": 26.0})
    assert [(epoch["epoch"], epoch["test_error"], epoch["deterministic"]) for epoch in record["by_epoch"]] == [
        (number, *mean) for number, mean in enumerate(means, 1)]
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == "run folder run"
    assert printed[2:10] == [f"fold {fold}/8  epoch 3/3  error {one:5.2f} %  deterministic {two:5.2f} %"
                            for fold, (one, two) in enumerate(zip(p[:, 2], d[:, 2]), 1)]
    assert printed[10:] == [
        *(f"after epoch {number}: mean over folds {one:.2f} %, deterministic {two:.2f} %"
          for number, (one, two) in enumerate(means, 1)),
        "test error with deterministic 26.00 %", "test error 12.50 %"]


def test_what_a_killed_start_left_goes_with_the_first_run_to_its_end():
    Path("run").mkdir()
    Path("run/run.json.0123456789abcdef.part").write_text("{")
    assert main.main(["train", "ebp", "--data", "reuters_i6", "--epochs", "1", "--out", "run"]) == 0
    assert [path.name for path in Path("run").iterdir()] == ["run.json"]


def test_epochs_and_the_default_folder(capsys):
    assert main.main(["train", "ebp", "--data", "reuters_i6", "--epochs", "1"]) == 0
    assert len(runs.read(Path("runs/ebp-binary-mlp-reuters_i6-paper-seed0"))["by_epoch"]) == 1


def test_a_second_run_takes_the_next_name_and_resume_the_unfinished_one(monkeypatch, capsys):
    args, first = ["train", "ebp", "--data", "reuters_i6"], "runs/ebp-binary-mlp-reuters_i6-paper-seed0"
    assert main.main(args) == 0
    with monkeypatch.context() as patch:
        patch.setattr(text_tasks, "cross_validate", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main.main(args) == 130
    assert f"{first} is there already: this run goes to {first}-2\n" in capsys.readouterr().out
    assert main.main([*args, "--resume"]) == 0
    assert f"run folder {first}-2\n" in capsys.readouterr().out
    one, two = runs.read(Path(first)), runs.read(Path(f"{first}-2"))
    assert (one["test_error"], one["forms"]) == (two["test_error"], two["forms"])
    assert main.main([*args, "--resume"]) == 0
    assert capsys.readouterr().out.startswith(f"{first}-2 is finished already\n")


@pytest.mark.parametrize("given", [["--lr", "0.1"], ["--batch", "5"], ["--layers", "3x8"], ["--readable"]])
def test_what_may_not_be_changed_for_text(given, capsys):
    error = refused(capsys, "train", "ebp", "--data", "reuters_i6", *given)
    assert f"{given[0]}: not for text tasks, which are trained as in the paper's Table 1" in error


def test_resumed_it_is_finished_or_begins_anew(monkeypatch, capsys):
    args = ["train", "ebp", "--data", "reuters_i6", "--epochs", "1", "--out", "run", "--resume"]
    with monkeypatch.context() as patch:
        patch.setattr(text_tasks, "cross_validate", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main.main(args) == 130
    assert "test_error" not in runs.read(Path("run"))
    assert main.main(args) == 0
    first = runs.read(Path("run"))
    capsys.readouterr()
    assert main.main(args) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("run is finished already\n") and f"test error {first['test_error']:.2f} %" in printed
    assert runs.read(Path("run")) == first
    assert "another task or other settings than now" in refused(capsys, *args, "--seed", "1")
    task = text_tasks.load_task("reuters_i6")
    text_tasks.save_task("data/ebp_text/reuters_i6.npz", task.x, 1 - task.labels, replace=True)
    assert "another task or other settings than now" in refused(capsys, *args)


@pytest.mark.parametrize("paper", [paper for paper in PAPERS if paper != "ebp"])
def test_a_text_task_is_for_ebp_alone(paper, capsys):
    assert "a text task, which only `train ebp` takes" in refused(capsys, "train", paper, "--data", "reuters_i6")
    assert not Path("runs").exists()


@pytest.mark.parametrize(("option", "value"), [("--variant", "ternary"), ("--net", "convnet"), ("--preset", "quick")])
def test_what_there_is_not_for_text(option, value, capsys):
    error = refused(capsys, "train", "ebp", "--data", "reuters_i6", option, value)
    assert f"{option} {value}: for text tasks there is" in error


def test_the_epochs_of_two_rounds_are_not_for_text(capsys):
    assert "a text task is trained in one round" in refused(
        capsys, "train", "ebp", "--data", "reuters_i6", "--epochs", "2+1")


def test_texts_of_one_s_own(capsys):
    """A file is told apart by its arrays. Moved to another path, it is another run, and trains to the same errors."""
    task = text_tasks.load_task("reuters_i6")
    text_tasks.save_task("mine.npz", task.x, task.labels)
    for variant in ("binary", "real"):
        assert main.main(["train", "ebp", "--data", "mine.npz", "--epochs", "2", "--variant", variant]) == 0
        record = runs.read(Path(f"runs/ebp-{variant}-mlp-mine-paper-seed0"))
        result = text_tasks.cross_validate(task, epochs=2, weights=variant)
        assert (record["test_error"], record["forms"]["deterministic"]) == result.final
        assert record["settings"]["data"] == str(Path("mine.npz").absolute())
    Path("mine.npz").unlink()
    for command in (["evaluate"], ["compare"]):
        assert "a cross-validation, which" in refused(capsys, *command, "runs/ebp-real-mlp-mine-paper-seed0")
    text_tasks.save_task("mine.npz", task.x, task.labels)
    assert "a text task, which only `train ebp` takes" in refused(capsys, "train", "bnn", "--data", "mine.npz")
    few = task.x.transposed()
    few = SparseRows(few.indptr[:8].copy(), few.indices[:few.indptr[7]].copy(), few.values[:few.indptr[7]].copy(), N)
    text_tasks.save_task("few.npz", few, np.arange(7) % 2)
    assert "has 7 examples, expected 8 at least" in refused(capsys, "train", "ebp", "--data", "few.npz")
    Path("cut.npz").write_bytes(Path("mine.npz").read_bytes()[:-30])
    assert "cut.npz: cannot be read as an .npz file" in refused(capsys, "train", "ebp", "--data", "cut.npz")


def test_an_absent_or_a_damaged_task(capsys):
    error = refused(capsys, "train", "ebp", "--data", "spam_d0")
    assert "spam_d0.npz is not there" in error and "data_scripts/ebp_text.py" in error
    Path("data/ebp_text/reuters_i6.npz").write_bytes(b"no archive")
    assert "not a text task" in refused(capsys, "train", "ebp", "--data", "reuters_i6")
    assert not Path("runs").exists()


def test_such_a_run_is_no_network(capsys):
    assert main.main(["train", "ebp", "--data", "reuters_i6", "--epochs", "1", "--out", "run"]) == 0
    capsys.readouterr()
    for command in (["evaluate", "run"], ["pack", "run", "--out", "x.bnn"], ["features", "run", "--out", "x.png"]):
        assert "run: a cross-validation, which leaves an error and no network" in refused(capsys, *command)
    assert "run" in refused(capsys, "compare", "run") and "run" in refused(capsys, "costs", "run")


def test_ctrl_c_says_how_to_go_on(monkeypatch, capsys):
    command = ["train", "ebp", "--data", "reuters_i6", "--epochs", "2", "--seed", "3", "--data-dir", "data"]
    with monkeypatch.context() as patch:
        patch.setattr(text_tasks, "cross_validate", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main.main(command) == 130
    again = capsys.readouterr().err.removeprefix("\nbnn-ref: stopped; go on with: bnn-ref ")
    assert again == ("train ebp --out runs/ebp-binary-mlp-reuters_i6-paper-seed3 --resume --data reuters_i6 --variant "
                     "binary --epochs 2 --seed 3 --data-dir data\n")
    assert main.main(again.split()) == 0
    assert "test error" in capsys.readouterr().out
