"""A few commands of each environment of `walk.py`; all of them: `python -m tests.cli.walk`."""

import sys

import pytest

from tests.cli import walk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="streams are written as in Linux's shells")
SUITE = {  # what could go wrong where
    "ascii": ["costs"],
    "latin-1": ["exponents"],
    "C locale": ["pack"],
    "C locale, a folder in UTF-8": ["compare"],
    "a folder that is no UTF-8": ["train default", "train texts", "evaluate file"],
    "a folder of commands": ["compare"],
    "a folder of mathematics": ["features"],
    "a folder of a variable": ["compare"],
    "a folder of letters below": ["compare"],
    "threads x": ["version", "papers"],
    "threads 0": ["pack"],
    "Numba threads 0": ["train fast"],
    "Numba threads -3": ["evaluate file"],
    "Numba features": ["evaluate rung"],
    "Matplotlib backend": ["train"],
    "Matplotlib folder": ["costs picture"],
    "home": ["train"],
    "full output": ["train", "pack"],
    "closed output": ["evaluate"],
    "closed input": ["measure"],
    "closed errors": ["evaluate"],
    "head": ["train", "papers"],
    "head of an epoch": ["train"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    walk.make(folder)
    return folder


@pytest.mark.parametrize("command, name", [(command, name) for name in SUITE for command in SUITE[name]])
def test_a_command_answers_or_refuses_in_one_line(command, name, made):
    assert walk.fault(made, command, name) is None


def test_the_walk_sees_what_it_is_for(made, monkeypatch):
    """A traceback, an error where there should be an answer, an answer where there should be an error, a half run."""
    for name, words in (("threads x", "expected an answer"), ("ascii", "expected code 2")):
        refused = () if name == "threads x" else (walk.WORK,)
        changed = walk.Environment(walk.ENVIRONMENTS[name].variables, refused=refused)
        monkeypatch.setitem(walk.ENVIRONMENTS, name, changed)
        assert words in walk.fault(made, "papers", name)
    ends = {"traceback": (1, "", "Traceback (most recent call last):\n"), "control": (0, "\x1b[2J\n", ""),
            "answer": (0, "", "bnn-ref: error: no\n")}
    for words, end in ends.items():
        monkeypatch.setattr(walk, "_run", lambda *arguments, end=end: end)
        assert words in walk.fault(made, "papers", "latin-1")


def test_a_half_made_run_is_seen(made, monkeypatch):
    def left(arguments, environment, folder):
        import os

        os.mkdir(os.path.join(folder, b"new"))
        return (2, "", f"bnn-ref: error: {environment.words}\n") if environment.refused else (1, "", "")

    monkeypatch.setattr(walk, "_run", left)
    assert "nothing written" in walk.fault(made, "train", "full output")
    assert "left without a word" in walk.fault(made, "train", "head")
