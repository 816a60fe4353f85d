"""What reaches the terminal: no commands from names, and what there is to say when nobody can read it."""

import ast
import io
import os
from pathlib import Path

import pytest

from bnn_ref.cli import main, terminal

CLI = Path(terminal.__file__).parent
EVIL = "a\x1b[31m\x07\u202e\x9b2J"
SHOWN = "a\\x1b[31m\\x07\\u202e\\x9b2J"


def test_what_names_hold_is_escaped_and_lines_stay_lines(capsys):
    terminal.say(f"one {EVIL}\ntwo {EVIL}\n")
    terminal.say()
    assert capsys.readouterr().out == f"one {SHOWN}\ntwo {SHOWN}\n\n\n"


def test_a_complaint_is_one_line(capsys):
    terminal.complain(f"error: {EVIL}\n and\n more\r")
    terminal.complain("x" * 5000, program="mnist.py")
    terminal.complain("go on with: " + "x" * 5000, start="\n", whole=True)
    said = capsys.readouterr()
    first, second, empty, third = said.err.splitlines()
    assert said.out == "" and empty == ""
    assert first == f"bnn-ref: error: {SHOWN} and more"
    assert second.startswith("mnist.py: xxx") and " ... " in second and len(second) < 250
    assert third == "bnn-ref: go on with: " + "x" * 5000


def test_a_complaint_that_nobody_can_read_is_no_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    terminal.complain("error: lost")
    monkeypatch.setattr("sys.stderr", Full())
    terminal.complain("error: lost")


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_an_error_of_output_names_it(monkeypatch):
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(OSError) as caught:
        terminal.say("lost")
    assert caught.value.filename == "standard output"
    monkeypatch.setattr("sys.stderr", Full())
    with pytest.raises(OSError) as caught:
        terminal.write("lost", terminal.sys.stderr)
    assert caught.value.filename == "standard error"


def test_letters_that_the_output_has_not_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    terminal.prepare()
    terminal.say("2 × 2 \udce9", flush=True)
    assert raw.getvalue() == b"2 \\xd7 2 \\udce9" + os.linesep.encode()


def test_a_closed_standard_output_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", None)
    assert main.main(["papers"]) == 2
    assert capsys.readouterr().err == ("bnn-ref: error: standard output is closed; send it to a file, or to nowhere "
                                       "with > /dev/null\n")


def test_commands_print_by_say_alone():
    """`print` would bring to the terminal what a name holds, and end in a traceback where output is full or ASCII."""
    for path in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and path.name != "terminal.py":
                assert ast.unparse(node.func) not in ("print", "sys.stdout.write", "sys.stderr.write"), path


@pytest.mark.parametrize("args", [["trian" + EVIL], ["train", "bnn", "--data", f"{EVIL}.npz"], ["evaluate", EVIL],
                                  ["train", "bnn", "--data", EVIL], ["costs", EVIL], ["compare", EVIL],
                                  ["train", "bnn", f"--{EVIL}"], ["train", "bnn", "--epochs", EVIL],
                                  ["pack", EVIL, "--out", f"{EVIL}/x"], ["papers", "--picture", EVIL],
                                  ["train", "bnn", "--data", "mnist", "--data-dir", EVIL],
                                  ["train", "bnn", "--data", "mnist", "--data-dir", f"~{EVIL}/x"],
                                  ["measure", EVIL], ["measure", "--readme", EVIL]])
def test_arguments_do_not_command_the_terminal_and_long_ones_are_cut(args, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main.main(args) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and error[:-1].isprintable() and error.startswith("bnn-ref: error: ")
    assert main.main([arg.replace(EVIL, "x" * 5000) for arg in args]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and len(error) < 1200


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def load(*arguments):
        raise MemoryError

    monkeypatch.setattr(main.data, "load", load)
    assert main.main(["train", "bnn"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("bnn-ref: error: there is not enough memory") and error.count("\n") == 1
