"""Each public function with the arguments that people hand in by mistake: see `calls` and `misuses`."""

import fnmatch
import importlib
import inspect
import pkgutil

import pytest

import bnn_ref
from tests.doors import calls, misuses

BY_NAME = {}
for made in (*calls.CALLS, *calls.doors_of_cuda()):
    BY_NAME.setdefault(made.name, []).append(made)
ON_DISK = ("data.load", "data.save", "packed.file.load_packed", "packed.file.save_packed",
           "training.text_tasks.save_task")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_misuse_is_answered_rightly_or_named(name):
    found = [fault for call in BY_NAME[name] for fault in misuses.faults(call)[1]]
    assert not found, "\n".join(": ".join(fault) for fault in found)


def test_misuses_of_what_is_written_to_files(tmp_path):
    made = calls.files(tmp_path)
    assert sorted(call.name for call in made) == sorted(ON_DISK)
    found = [(call.name, *fault) for call in made for fault in misuses.faults(call)[1]]
    assert not found, "\n".join(": ".join(fault) for fault in found)


@pytest.mark.parametrize("name", {call.name: None for call in calls.CALLS})
def test_an_array_in_another_form_gives_the_same_answer(name):
    found = [fault for call in calls.CALLS if call.name == name for fault in misuses.unlike(call)]
    assert not found, "\n".join(": ".join(fault) for fault in found)


def public():
    """The names of all public functions and of the classes that people make of arrays themselves."""
    for found in pkgutil.walk_packages(bnn_ref.__path__, "bnn_ref."):
        if found.name.startswith("bnn_ref.cli") or found.name == "bnn_ref.__main__":
            continue
        module = importlib.import_module(found.name)
        for name, thing in inspect.getmembers(module, inspect.isfunction):
            if name[0] != "_" and thing.__module__ == module.__name__:
                yield f"{found.name.removeprefix('bnn_ref.')}.{name}"


def test_every_public_function_is_tried_or_has_a_reason():
    names, tried = set(public()), {*BY_NAME, *ON_DISK}
    assert not names - tried - set(calls.without(names))


def test_every_reason_is_that_of_a_function():
    names = set(public())
    for patterns in calls.REASONS.values():
        for pattern in patterns:
            assert fnmatch.filter(names, pattern), pattern
