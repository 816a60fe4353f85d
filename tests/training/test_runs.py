"""Run folders by themselves: who gets one, which one is gone on with, and that nothing in them is mixed up."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from bnn_ref.training import loop, runs

RUN = {"settings": {"paper": "float", "data": "digits", "preset": "quick", "net": "mlp", "variant": "real", "epochs": 1,
                    "seed": 0},
       "recipe": {}, "shape": [1, 8, 8], "classes": 10, "examples": 9, "fingerprint": "f"}
RECORD = {"format": runs.FORMAT, **RUN}
READ = {**RECORD, "settings": {**RUN["settings"], "lr": None, "batch": None}}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# --- who gets a folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [None, [], ["run.json.0123.part"], ["run.json.01.part.23.part", "run.json.4.part"]])
def test_a_folder_that_nobody_uses(there):
    if there is not None:
        Path("a/run").mkdir(parents=True)
        for name in there:
            Path("a/run", name).write_text("{")
    assert runs.begin(Path("a/run"), RUN) == RECORD
    assert names("a/run") == sorted(["run.json", *(there or [])])
    runs.tidy(Path("a/run"))
    assert names("a/run") == ["run.json"]
    assert json.loads(Path("a/run/run.json").read_text()) == RECORD
    assert runs.read(Path("a/run")) == READ


@pytest.mark.parametrize("there", [["thesis.txt"], ["run.json.0123.part", "thesis.txt"], ["run.json"], ["run.json.old"],
                                   ["checkpoint.npz"], ["params.npz.0123.part"], ["run.json.0123.part", "run.json"]])
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

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
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
    (folder / "run.json").write_text(json.dumps({**RECORD, **more}))


@pytest.mark.parametrize(("there", "place"), [
    ([], "run"), (["run"], "run-2"), (["run", "run-2"], "run-3"), (["run-2"], "run-3"), (["run", "run-10"], "run-11"),
    (["run-x", "run-2-3", "run-02", "run-1", "run-0", "running", "a-run"], "run"), (["run", "run-1"], "run-2")])
def test_the_next_name(there, place):
    for name in there:
        run(f"a.b/{name}")
    assert runs.begin_another(Path("a.b/run"), RUN) == (Path("a.b", place), RECORD)


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
        run(f"a/{name}", **({"test_error": 0.0} if finished else {}))
    Path("a/run-50").mkdir(parents=True)                                       # no run
    assert runs.newest(Path("a/run")) == Path("a", newest)


# --- what is in one ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "fits"), [
    ({}, True), ({"lr": 0.5, "batch": 3}, True), ({"lr": None, "batch": None}, True), ({"lr": "0.5"}, False),
    ({"lr": [0.5]}, False), ({"batch": 2.5}, False), ({"batch": "3"}, False), ({"epochs": None}, False),
    ({"seed": "0"}, False)])
def test_settings_are_checked(settings, fits):
    run("run", settings={**RUN["settings"], **settings})
    if fits:
        assert runs.read(Path("run"))["settings"] == {**READ["settings"], **settings}
    else:
        with pytest.raises(runs.RunError, match=r"run.json is damaged or not by this version"):
            runs.read(Path("run"))


@pytest.mark.parametrize("more", [{"shape": [8, 8]}, {"shape": [1, 8, "8"]}, {"settings": []}, {"recipe": None},
                                  {"format": runs.FORMAT - 1}, {"examples": "9"}, {"fingerprint": 3}])
def test_records_are_checked(more):
    run("run", **more)
    with pytest.raises(runs.RunError, match=r"run.json is damaged or not by this version"):
        runs.read(Path("run"))


def state(epoch=7, best=4):
    """A State in which no array is like another."""
    def arrays(start):
        return {"fc1.w": np.full((2, 3), start, np.float32), "fc1.b": np.full(3, start + 1, np.float32)}

    return loop.State(epoch, arrays(10), {"bn1.mean": np.full(2, 20.0)},
                      {"m": arrays(30), "v": arrays(40), "t": 99}, arrays(50), {"bn1.mean": np.full(2, 60.0)}, best,
                      ({"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}))


def like(state):
    """A State of the same names and shapes, and nothing else in common."""
    def zeros(arrays):
        return {name: zeros(array) if isinstance(array, dict) else 0 * array for name, array in arrays.items()}

    return loop.State(0, *map(zeros, (state.params, state.running, state.optimizer, state.best_params,
                                      state.best_running)))


def test_a_checkpoint_is_the_whole_state():
    assert runs.epochs_done(Path(".")) == 0
    first = like(state())
    assert runs.load_checkpoint(Path("."), first) is first
    runs.save_checkpoint(Path("."), state(epoch=3))
    runs.save_checkpoint(Path("."), state())
    assert runs.epochs_done(Path(".")) == 7
    loaded = runs.load_checkpoint(Path("."), first)
    assert (loaded.epoch, loaded.best_epoch, loaded.history) == (7, 4, state().history)
    assert loaded.optimizer["t"] == 99
    for field in ("params", "running", "best_params", "best_running"):
        np.testing.assert_equal(getattr(loaded, field), getattr(state(), field))
    np.testing.assert_equal(loaded.optimizer, state().optimizer)


def test_a_finished_run_has_the_best_parameters_and_what_was_known_before():
    record = runs.note(Path("."), runs.begin(Path("."), RUN), {"rounds": [1.0]})
    runs.save_checkpoint(Path("."), state())
    finished = runs.finish(Path("."), record, state(), {"test_error": 2.0, "best_epoch": 4})
    assert finished == {**RECORD, "rounds": [1.0], "test_error": 2.0, "best_epoch": 4, "history": state().history}
    assert runs.read(Path(".")) == {**READ, **json.loads(json.dumps(finished)), "settings": READ["settings"]}
    assert names(".") == ["params.npz", "run.json"]
    with np.load("params.npz") as stored:
        np.testing.assert_equal(dict(stored), {**state().best_params, **state().best_running})


@pytest.mark.parametrize("nth", [0, 1])
def test_a_run_that_could_not_be_finished_keeps_its_checkpoint(nth, monkeypatch):
    """params.npz comes first, then run.json: a run that says it is finished has its parameters."""
    record = runs.begin(Path("."), RUN)
    runs.save_checkpoint(Path("."), state())
    replace, left = os.replace, [None] * nth

    def full(*args):
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()
        replace(*args)

    monkeypatch.setattr("bnn_ref.files.os.replace", full)
    with pytest.raises(OSError):
        runs.finish(Path("."), record, state(), {"test_error": 2.0})
    assert runs.read(Path(".")) == READ
    assert names(".") == ["checkpoint.npz", *["params.npz"] * nth, "run.json"]
