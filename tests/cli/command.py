"""Running `bnn-ref` in a test, as a person would in the current folder."""

import re
from pathlib import Path

from bnn_ref.cli import main


def contents(folder):
    """{path: bytes} of all files below a folder."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(capsys, *args):
    """Run, expect exit code 2, one line on stderr and no change below the current folder; returns the line."""
    capsys.readouterr()
    before = contents(".")
    assert main.main([str(arg) for arg in args]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"bnn-ref: error: [^\n]+\n", error), error
    assert contents(".") == before
    return error
