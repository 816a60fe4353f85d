"""Run folders by themselves: who gets one, which one is gone on with, and that nothing in them is mixed up."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn_ref.files import sha256
from bnn_ref.nets import network, steps
from bnn_ref.training import loop, record, runs

RUN = {"settings": {"paper": "float", "data": "digits", "preset": "quick", "net": "mlp", "variant": "real", "epochs": 1,
                    "seed": 0, "lr": None, "batch": None, "layers": None, "first_epochs": None},
       "recipe": {}, "shape": [1, 8, 8], "classes": 10, "examples": 9, "fingerprint": "f"}
READ = {"format": record.FORMAT, **RUN}
HISTORY = tuple({"epoch": epoch, "lr": 0.1, "loss": 1 / epoch, "valid_error": 50.0, "seconds": 1.5, "cpu_seconds": 2.5}
                for epoch in range(1, 8))
RESULT = {"test_error": 2.0, "best_epoch": 4, "seconds": 3.0, "cpu_seconds": 4.0}
FINISHED = {**RESULT, "history": list(HISTORY), "params_sha256": 64 * "0"}
PART = ".0123456789abcdef.part"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# --- who gets a folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [None, [], [f"run.json{PART}"], [f"run.json{PART}{PART}", f"run.json{PART}"]])
def test_a_folder_that_nobody_uses(there):
    if there is not None:
        Path("a/run").mkdir(parents=True)
        for name in there:
            Path("a/run", name).write_text("{")
    assert runs.begin(Path("a/run"), RUN) == READ
    assert names("a/run") == sorted(["run.json", *(there or [])])
    runs.tidy(Path("a/run"))
    assert names("a/run") == ["run.json"]
    assert json.loads(Path("a/run/run.json").read_text()) == READ
    assert runs.read(Path("a/run")) == READ


@pytest.mark.parametrize("there", [["thesis.txt"], [f"run.json{PART}", "thesis.txt"], ["run.json"], ["run.json.old"],
                                   ["checkpoint.npz"], [f"params.npz{PART}"], [f"run.json{PART}", "run.json"],
                                   ["run.json.x.part"], ["run.json.backup"], [f"run.json{PART}x"]])
def test_a_folder_in_use(there):
    Path("run").mkdir()
    for name in there:
        Path("run", name).write_text("years of work")
    with pytest.raises(runs.InUseError, match="run is there already; choose another --out, or go on with --resume"):
        runs.begin(Path("run"), RUN)
    assert names("run") == sorted(there)
    assert {Path("run", name).read_text() for name in there} == {"years of work"}


def test_a_file_in_the_way():
    Path("run").write_text("")
    with pytest.raises(runs.InUseError, match="run is a file; choose another --out"):
        runs.begin(Path("run"), RUN)
    with pytest.raises(OSError):
        runs.begin(Path("run/under"), RUN)


def in_between(monkeypatch, act):
    """Let `act` happen once, between the moment `begin` has looked at the folder and the moment it takes it."""
    link, acts = os.link, [act]

    def late(*args):
        if acts:
            acts.pop()()
        link(*args)

    monkeypatch.setattr(runs.os, "link", late)


def test_of_two_at_one_moment_one_gets_the_folder(monkeypatch):
    other = {**RUN, "fingerprint": "of the other"}
    in_between(monkeypatch, lambda: runs.begin(Path("run"), other))
    with pytest.raises(runs.InUseError):
        runs.begin(Path("run"), RUN)
    assert names("run") == ["run.json"]
    assert runs.read(Path("run"))["fingerprint"] == "of the other"


def test_of_two_at_one_moment_the_other_goes_to_the_next(monkeypatch):
    other = {**RUN, "fingerprint": "of the other"}
    in_between(monkeypatch, lambda: runs.begin_another(Path("a/run"), other))
    place, _ = runs.begin_another(Path("a/run"), RUN)
    assert place == Path("a/run-2")
    assert [runs.read(Path("a", name))["fingerprint"] for name in names("a")] == ["of the other", "f"]


def test_many_at_one_moment_get_a_folder_each():
    got, ready = [], threading.Barrier(8)

    def begin(number):
        ready.wait()
        got.append((runs.begin_another(Path("a/run"), {**RUN, "examples": number})[0], number))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len({place for place, _ in got}) == 8
    for place, number in got:
        assert names(place) == ["run.json"] and runs.read(place)["examples"] == number


def test_a_file_system_without_hard_links(monkeypatch):
    def link(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(runs.os, "link", link)
    runs.begin(Path("run"), RUN)
    assert names("run") == ["run.json"] and runs.read(Path("run")) == READ
    with pytest.raises(runs.InUseError):
        runs.begin(Path("run"), RUN)


def test_a_disk_that_is_full_leaves_an_empty_folder(monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bnn_ref.files.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            runs.begin(Path("run"), RUN)
    assert names("run") == []
    runs.begin(Path("run"), RUN)


# --- one name, many runs -------------------------------------------------------------------------------------------


def run(name, **more):
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**READ, **more}))


@pytest.mark.parametrize(("there", "place"), [
    ([], "run"), (["run"], "run-2"), (["run", "run-2"], "run-3"), (["run-2"], "run-3"), (["run", "run-10"], "run-11"),
    (["run-x", "run-2-3", "run-02", "run-1", "run-0", "running", "a-run"], "run"), (["run", "run-1"], "run-2")])
def test_the_next_name(there, place):
    for name in there:
        run(f"a.b/{name}")
    assert runs.begin_another(Path("a.b/run"), RUN) == (Path("a.b", place), READ)


def test_a_name_is_taken_as_it_is_written():
    run("a/my.run+[1]-5")
    run("a/myxrun")
    assert runs.begin_another(Path("a/my.run+[1]"), RUN)[0] == Path("a/my.run+[1]-6")
    assert runs.begin_another(Path("a/my.run"), RUN)[0] == Path("a/my.run")


@pytest.mark.parametrize(("there", "newest"), [
    ({}, "run"), ({"run": False}, "run"), ({"run": True}, "run"), ({"run": False, "run-2": True}, "run"),
    ({"run": False, "run-2": False, "run-3": True}, "run-2"), ({"run": True, "run-2": True, "run-10": True}, "run-10"),
    ({"run-9": False, "run-10": False}, "run-10"), ({"run-2": False, "other": False, "run-2-2": False}, "run-2")])
def test_the_newest(there, newest):
    for name, finished in there.items():
        run(f"a/{name}", **(FINISHED if finished else {}))
    Path("a/run-50").mkdir(parents=True)                                       # no run
    assert runs.newest(Path("a/run")) == Path("a", newest)


# --- what is in one ------------------------------------------------------------------------------------------------


def state(epoch=7, best=4):
    """A State in which no array is like another."""
    def arrays(start):
        return {"fc1.w": np.full((2, 3), start, np.float32), "fc1.b": np.full(3, start + 1, np.float32)}

    return loop.State(epoch, arrays(10), {"bn1.mean": np.full(2, 20.0)},
                      {"m": arrays(30), "v": arrays(40), "t": 99}, arrays(50), {"bn1.mean": np.full(2, 60.0)}, best,
                      HISTORY[:epoch])


def like(state):
    """A State of the same names and shapes, and nothing else in common."""
    def zeros(arrays):
        return {name: zeros(array) if isinstance(array, dict) else 0 * array for name, array in arrays.items()}

    return loop.State(0, *map(zeros, (state.params, state.running, state.optimizer, state.best_params,
                                      state.best_running)))


def test_a_checkpoint_is_the_whole_state():
    here = Path(".")
    assert runs.so_far(here, READ) == {"epoch": 0, "best_epoch": 0, "history": []}
    first = like(state())
    assert runs.load_checkpoint(here, READ, first) is first
    runs.save_checkpoint(here, READ, state(epoch=5))
    runs.save_checkpoint(here, READ, state())
    told = runs.so_far(here, READ)
    assert (told["epoch"], told["best_epoch"], tuple(told["history"])) == (7, 4, HISTORY)
    loaded = runs.load_checkpoint(here, READ, first)
    assert (loaded.epoch, loaded.best_epoch, loaded.history) == (7, 4, state().history)
    assert loaded.optimizer["t"] == 99
    for field in ("params", "running", "best_params", "best_running"):
        np.testing.assert_equal(getattr(loaded, field), getattr(state(), field))
    np.testing.assert_equal(loaded.optimizer, state().optimizer)


@pytest.mark.parametrize(("name", "value"), [("seed", 1), ("epochs", 2), ("variant", "other"), ("lr", 0.5)])
def test_a_checkpoint_of_another_run(name, value):
    runs.save_checkpoint(Path("."), {**READ, "settings": {**READ["settings"], name: value}}, state())
    for read in (lambda: runs.so_far(Path("."), READ), lambda: runs.load_checkpoint(Path("."), READ, like(state()))):
        with pytest.raises(runs.RunError, match=r"checkpoint.npz is of another run than run.json beside it"):
            read()


def test_a_checkpoint_belongs_to_its_run_whatever_else_that_records():
    runs.save_checkpoint(Path("."), READ, state())
    assert runs.so_far(Path("."), {**READ, "rounds": [1.0], "versions": {"numpy": "1"}})["epoch"] == 7


@pytest.mark.parametrize("field", ["params", "running", "best_params", "best_running", "optimizer"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_checkpoint_that_is_not_finite(field, bad):
    broken = state()
    arrays = getattr(broken, field)
    next(iter((arrays["m"] if field == "optimizer" else arrays).values())).flat[-1] = bad
    runs.save_checkpoint(Path("."), READ, broken)
    with pytest.raises(runs.RunError, match=rf"checkpoint.npz: {field}/.* holds NaN or infinity"):
        runs.load_checkpoint(Path("."), READ, like(state()))


def finish():
    """A finished run in this folder, of the net that is `NET`."""
    run = runs.begin(Path("."), RUN)
    params, running = network.init(NET, np.random.default_rng(0))
    final = replace(state(), best_params=params, best_running=running)
    return runs.finish(Path("."), run, final, RESULT), params, running


def test_a_finished_run_has_the_best_parameters_and_what_was_known_before():
    run = runs.note(Path("."), runs.begin(Path("."), RUN), {"rounds": [1.0]})
    runs.save_checkpoint(Path("."), run, state())
    finished = runs.finish(Path("."), run, state(), RESULT)
    assert finished == {**READ, "rounds": [1.0], **RESULT, "history": list(HISTORY),
                        "params_sha256": sha256("params.npz")}
    assert runs.read(Path(".")) == finished
    assert names(".") == ["params.npz", "run.json"]
    assert runs.so_far(Path("."), finished) == {"epoch": 7, "best_epoch": 4, "history": list(HISTORY)}
    with np.load("params.npz") as stored:
        np.testing.assert_equal(dict(stored), {**state().best_params, **state().best_running})


@pytest.mark.parametrize("nth", [0, 1])
def test_a_run_that_could_not_be_finished_keeps_its_checkpoint(nth, monkeypatch):
    """params.npz comes first, then run.json: a run that says it is finished has its parameters."""
    run = runs.begin(Path("."), RUN)
    runs.save_checkpoint(Path("."), run, state())
    move, left = os.replace, [None] * nth

    def full(*args):
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()
        move(*args)

    monkeypatch.setattr("bnn_ref.files.os.replace", full)
    with pytest.raises(OSError):
        runs.finish(Path("."), run, state(), RESULT)
    assert runs.read(Path(".")) == READ
    assert names(".") == ["checkpoint.npz", *["params.npz"] * nth, "run.json"]


NET = (steps.dense_step("fc1", 4, 3), steps.batchnorm_step("bn1", 3))


def test_the_parameters_of_a_finished_run():
    run, params, running = finish()
    loaded = runs.load_params(Path("."), run, NET)
    np.testing.assert_equal(loaded, (params, running))
    assert [list(arrays) for arrays in loaded] == [list(params), list(running)]


def test_parameters_that_the_run_did_not_write():
    run, params, running = finish()
    np.savez("params.npz", **{**params, "fc1.w": 2 * params["fc1.w"]}, **running)
    with pytest.raises(runs.RunError, match=r"params.npz: not the file that this run wrote: damaged, or of another"):
        runs.load_params(Path("."), run, NET)
    Path("params.npz").unlink()
    with pytest.raises(runs.RunError, match=r"params.npz is not there, though the run is finished"):
        runs.load_params(Path("."), run, NET)
    with pytest.raises(runs.RunError, match=r"is not finished: go on with `train \.\.\. --out \. --resume`"):
        runs.load_params(Path("."), READ, NET)


def test_parameters_of_another_net_are_refused_before_there_is_memory_for_it():
    run, *_ = finish()
    huge = (steps.dense_step("fc1", 2**40, 2**20), steps.batchnorm_step("bn1", 3))
    with pytest.raises(runs.RunError, match=r"expected fc1.w as float32 \(1099511627776, 1048576\), got float32 "):
        runs.load_params(Path("."), run, huge)


def test_a_network_that_is_larger_than_the_arrays_beside_it():
    finish()
    runs.check_size(Path("."), NET)
    with pytest.raises(runs.RunError, match=r"run.json is damaged: a network of 4,[\d,]+ bytes, but arrays of"):
        runs.check_size(Path("."), (steps.dense_step("fc1", 2**40, 2**20), *NET[1:]))
    Path("params.npz").unlink()
    runs.check_size(Path("."), NET)                                            # of a run that has no epoch yet


# --- who trains there ----------------------------------------------------------------------------------------------


def test_of_two_that_train_in_one_folder_the_second_is_told_of_the_first():
    said = rf"process {os.getpid()} on .+, since \d{{4}}.*, trains there; wait for it"
    with runs.hold(Path(".")):
        assert names(".") == ["run.lock"]
        with pytest.raises(runs.RunError, match=said), runs.hold(Path(".")):
            pytest.fail("both got it")
    assert names(".") == []
    with runs.hold(Path(".")):
        pass


def test_what_a_killed_program_left_is_removed_and_nothing_else():
    left = [f"{name}{PART}" for name in ("run.json", "checkpoint.npz", "params.npz", "curves.png", "weights.png")]
    others = ["run.json.backup", "thesis.part", "params.npz.part", f"thesis.tex{PART}", f"run.json{PART}.old",
              "run.json.0123456789ABCDEF.part", "run.json", "params.npz", "curves.png"]
    for name in [*left, f"run.json{PART}{PART}", *others, "checkpoint.npz"]:
        Path(name).write_text("years of work")
    runs.tidy(Path("."))
    assert names(".") == sorted(others)
