"""The schema of run folders: every field, with what does not belong there."""

import copy
import json

import pytest

from bnn_ref.training import record
from tests.training.test_runs import FINISHED, HISTORY, READ

CHECKPOINT = {"of": 64 * "a", "epoch": 7, "t": 70, "best_epoch": 3, "history": list(HISTORY)}
TEXT_RUN = {**READ, "recipe": {"folds": "8"}, "test_error": 2.0, "forms": {"deterministic": 3.0}, "seconds": 1.0,
            "cpu_seconds": 1.0, "by_epoch": [{"epoch": 1, "test_error": 2.0, "deterministic": 3.0}]}
ARITHMETIC = {"machine": "m", "numpy": "2", "blas": "b", "threads": "1 core", "first_step": 64 * "b"}
WHOLE = {**READ, "versions": {"numpy": "2"}, "arithmetic": ARITHMETIC, "rounds": [1.0, 2], **FINISHED,
         "forms": {"real weights": 1.5}}


def fields(value, path=()):
    """Of all that is in there: the way to it."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from fields(item, (*path, name))


def changed(value, path, new):
    value = copy.deepcopy(value)
    place = value
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = new
    return value


def test_what_is_written_is_read():
    for run in (READ, WHOLE, TEXT_RUN, {**READ, "settings": {**READ["settings"], "lr": 0.5, "batch": 3}}):
        record.check_run(run)
        assert record.read(record.write(run)) == run
    for words in (CHECKPOINT, {**CHECKPOINT, "best_epoch": 0}):
        record.check_checkpoint(words)


def wrong(value, name):
    """What is no such value: for numbers also those below its least and beyond all computers agree on."""
    nothing = [] if name in ("lr", "batch", "layers", "first_epochs") else [None]
    if isinstance(value, str):
        return [*nothing, 1, True, [], {}, "x\ud800"]
    if isinstance(value, dict | list):
        return [None, 1, True, "x", [] if isinstance(value, dict) else {}]
    return [*nothing, True, "1", [], {}, float("nan"), float("inf"), 10**400, 2**63, *([-1] if name != "loss" else [])]


@pytest.mark.parametrize(("right", "check"), [(WHOLE, record.check_run), (TEXT_RUN, record.check_run),
                                              (CHECKPOINT, record.check_checkpoint)])
def test_each_field_is_of_its_kind_and_named(right, check):
    for path in fields(right):
        value = right
        for name in path:
            value = value[name]
        for other in wrong(value, path[-1]):
            with pytest.raises(record.RecordError, match=str(path[0])) as error:
                check(changed(right, path, other))
            assert len(str(error.value)) < 200 and str(error.value).isprintable()


@pytest.mark.parametrize("gone", ["format", "settings", "recipe", "shape", "classes", "examples", "fingerprint",
                                  "history", "best_epoch", "params_sha256", "seconds", "cpu_seconds", "test_error"])
def test_what_is_missing_is_named(gone):
    with pytest.raises(record.RecordError, match=f"{gone} is missing"):
        record.check_run({name: value for name, value in WHOLE.items() if name != gone})


@pytest.mark.parametrize("gone", ["test_error", "forms", "by_epoch", "seconds"])
def test_what_a_cross_validation_misses_is_named(gone):
    with pytest.raises(record.RecordError, match=f"{gone} is missing"):
        record.check_run({name: value for name, value in TEXT_RUN.items() if name != gone})


@pytest.mark.parametrize("left", [{"history": [3]}, {"best_epoch": 1}, {"params_sha256": 64 * "0"}, {"seconds": 1.0}])
def test_a_run_is_finished_or_not(left):
    """What only a finished run has is read only of one that has all of it."""
    with pytest.raises(record.RecordError, match="test_error is missing"):
        record.check_run({**READ, **left})


@pytest.mark.parametrize(("change", "message"), [
    ({"format": record.FORMAT - 1}, "format: expected 3, got 2"), ({"shape": [1, 8]}, "shape: expected a list of 3"),
    ({"shape": [1, -8, 8]}, r"shape\[1\]: expected a whole number from 1 up, got -8"),
    ({"classes": True}, "classes: expected a whole number from 1 up, got true"),
    ({"settings": {**READ["settings"], "lr": "0.5"}}, 'settings.lr: expected a number above 0 or null, got "0.5"'),
    ({"settings": {**READ["settings"], "epochs": 0}}, "settings.epochs: expected a whole number from 1 up, got 0"),
    ({"best_epoch": 8}, "best_epoch: expected an epoch of history, 1 to 7, got 8"),
    ({"history": list(HISTORY[1:])}, "history: expected the epochs 1, 2, 3, ... in order"),
    ({"history": []}, "best_epoch: expected an epoch"),
    ({"test_error": 100.5}, "test_error: expected a number from 0")])
def test_what_does_not_go_together(change, message):
    with pytest.raises(record.RecordError, match=message):
        record.check_run({**WHOLE, **change})


@pytest.mark.parametrize(("change", "message"), [
    ({"epoch": 6}, "epoch: expected 7, the epochs in history, got 6"), ({"best_epoch": 8}, "best_epoch: expected an"),
    ({"t": "x"}, 't: expected a whole number from 0 up, got "x"'),
    ({"history": [*HISTORY[:6], {}]}, r"history\[6\]\.epoch is missing")])
def test_a_checkpoint_that_does_not_fit_itself(change, message):
    with pytest.raises(record.RecordError, match=message):
        record.check_checkpoint({**CHECKPOINT, **change})


@pytest.mark.parametrize(("content", "message"), [
    (b"", "not JSON"), (b"\xff", "not JSON"), (b"{", "not JSON"), (b"[" * 10**6, "nested too deeply"),
    (b'{"a": NaN}', "NaN is no number"), (b"[-Infinity]", "-Infinity is no number"), (b"9" * 5000, "not JSON")])
def test_what_is_no_json(content, message):
    with pytest.raises(record.RecordError, match=message):
        record.check_run(record.read(content))


def test_nothing_is_written_that_could_not_be_read():
    with pytest.raises(ValueError, match="JSON"):
        record.write({"loss": float("nan")})


def test_identity_is_of_what_decides_about_the_bytes():
    own = record.identity(READ)
    assert record.identity(WHOLE) == own == record.identity(json.loads(record.write(READ)))
    for path in fields({name: READ[name] for name in record.ORIGIN}):
        if not isinstance(path[-1], int):
            assert record.identity(changed(READ, path, "other")) != own


def test_layers_are_written_out_and_a_first_round_is_shorter_than_both():
    def with_settings(**changes):
        return {**READ, "settings": {**READ["settings"], **changes}}

    record.check_run(with_settings(layers="8C3-MP2-16FC-16FC", epochs=9, first_epochs=8))
    for layers in ("", "16", "2x16", "16FC-", 16, "nothing"):
        with pytest.raises(record.RecordError, match=r"^settings.layers: expected layers such as 512FC-512FC, or "):
            record.check_run(with_settings(layers=layers))
    for first in (9, 10):
        with pytest.raises(record.RecordError, match=r"^settings.first_epochs: expected less than epochs, 9, got"):
            record.check_run(with_settings(epochs=9, first_epochs=first))
