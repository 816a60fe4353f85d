"""Every command in every environment, each in a process of its own: `python -m tests.cli.walk [ENVIRONMENT ...]`.

Whatever the machine is like, a command answers, or refuses in one line before it has written anything. The suite
(`test_walk.py`) takes a few commands of each environment, this takes all: some minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bnn_ref.cli import main as program
from bnn_ref.kernels.ebp_sparse import SparseRows
from bnn_ref.training import text_tasks
from tests.cli.made import made_run, save_greys

ROOT = Path(__file__).resolve().parents[2]
# What a command needs: compiled kernels, Matplotlib, to record the path of own pictures; more than to read its options.
KERNELS, PICTURES, OWN, WORK, ALL = "kernels", "pictures", "own", "work", "all"

COMMANDS = {  # name: (arguments in a folder that `make` made, what it needs); NAME is a run that has the folder's name
    "train": (["train", "float", "--data", "own.npz", "--epochs", "40", "--out", "new"], {PICTURES, OWN}),
    "train fast": (["train", "bnn", "--layers", "2x1500", "--epochs", "5", "--out", "new"], {PICTURES, KERNELS}),
    "train default": (["train", "float", "--data", "own.npz", "--epochs", "1"], {PICTURES, OWN}),
    "train texts": (["train", "ebp", "--data", "texts.npz", "--epochs", "1", "--out", "new"], {KERNELS, OWN}),
    "evaluate": (["evaluate", "NAME"], set()),
    "evaluate rung": (["evaluate", "NAME", "--rung", "loops"], {KERNELS}),
    "evaluate file": (["evaluate", "net.bnn"], {KERNELS}),
    "pack": (["pack", "NAME", "--out", "new.bnn"], {KERNELS}),
    "compare": (["compare", "NAME", "convnet", "--weights", "weights.png"], {PICTURES}),
    "costs": (["costs", "NAME"], set()),
    "costs picture": (["costs", "bnn", "--picture", "new.png"], {PICTURES}),
    "filters": (["filters", "convnet"], set()),
    "features": (["features", "NAME", "--out", "new.svg"], {PICTURES}),
    "exponents": (["exponents", "NAME", "--out", "new.pdf"], {PICTURES}),
    "papers": (["papers"], set()),
    "measure": (["measure", "--readme", "page.md"], set()),
    "gradcheck": (["gradcheck"], set()),
    "help": (["train", "--help"], None),
    "version": (["--version"], None),
}


@dataclass(frozen=True)
class Environment:
    """Where a command runs: variables, the name of its folder, what its streams are."""

    variables: dict = field(default_factory=dict)
    folder: bytes = b"work"
    streams: str = ""                 # as a shell writes it; "head 3": somebody who reads three lines and leaves
    refused: tuple = ()               # what needs any of these is refused; ALL: every command
    words: str = ""                   # of the refusal


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
ENVIRONMENTS = {
    "ascii": Environment({"PYTHONIOENCODING": "ascii"}),
    "latin-1": Environment({"PYTHONIOENCODING": "latin-1"}),
    "C locale": Environment(C_LOCALE),
    "C locale, a folder in UTF-8": Environment(C_LOCALE, "é數".encode(), "", (OWN,), "expected a path in UTF-8"),
    "a folder that is no UTF-8": Environment({}, b"caf\xe9", "", (OWN,), "expected a path in UTF-8"),
    "a folder of commands": Environment(folder=b"\x1b[31mred\x07\nline\r\xc2\x9b"),
    "a folder of mathematics": Environment(folder=rb"$\frac$"),
    "a folder of a variable": Environment(folder=b"$x"),
    "a folder of letters below": Environment(folder=rb"_a_b^c \$ {x}"),
    "threads x": Environment({"BNN_REF_THREADS": "x"}, refused=(WORK,), words="BNN_REF_THREADS: expected a whole"),
    "threads 0": Environment({"BNN_REF_THREADS": "0"}, refused=(WORK,), words="BNN_REF_THREADS: expected a whole"),
    "Numba threads 0": Environment({"NUMBA_NUM_THREADS": "0"}, refused=(KERNELS,), words="NUMBA_NUM_THREADS=0"),
    "Numba threads -3": Environment({"NUMBA_NUM_THREADS": "-3"}, refused=(KERNELS,), words="NUMBA_NUM_THREADS=-3"),
    "Numba threads x": Environment({"NUMBA_NUM_THREADS": "x"}),
    "Numba optimization 9": Environment({"NUMBA_OPT": "9"}),
    "Numba features": Environment({"NUMBA_CPU_FEATURES": "nonsense"}, refused=(KERNELS,), words="NUMBA_CPU_FEATURES:"),
    "Numba processor": Environment({"NUMBA_CPU_NAME": "nonsense", "NUMBA_CACHE_DIR": ""}),
    "Numba cache": Environment({"NUMBA_CACHE_DIR": "/proc/no", "HOME": "/proc/no"}),
    "Matplotlib backend": Environment({"MPLBACKEND": "nonsense"}, refused=(PICTURES,), words="unset MPLBACKEND"),
    "Matplotlib module": Environment({"MPLBACKEND": "module://nonsense"}),
    "Matplotlib folder": Environment({"MPLCONFIGDIR": "/proc/no"}),
    "home": Environment({"HOME": "/proc/no", "XDG_CACHE_HOME": "/proc/no"}),
    "full output": Environment(streams="> /dev/full", refused=(ALL,), words="standard output: No space left"),
    "closed output": Environment(streams=">&-", refused=(ALL,), words="standard output is closed"),
    "closed input": Environment(streams="<&-"),
    "closed errors": Environment(streams="2>&-"),
    "full errors": Environment(streams="2> /dev/full"),
    "head": Environment(streams="head 1"),
    "head of an epoch": Environment(streams="head 4"),
}


def make(folder):
    """What the commands need: runs, a packed file, pictures and texts of one's own, a page."""
    save_greys(folder / "own.npz", 10, 250, [0, 1])
    x = np.random.default_rng(0).integers(1, 9, (24, 3)).astype(np.float32)
    rows = SparseRows(np.arange(25, dtype=np.int32) * 3, np.tile(np.arange(3, dtype=np.int32), 24), x.ravel(), 3)
    text_tasks.save_task(folder / "texts.npz", rows, np.arange(24) % 2)
    made_run(folder / "run", "bnn", "deterministic", "digits")
    made_run(folder / "convnet", "bnn", "deterministic", "digits", net="convnet")
    assert program.main(["pack", str(folder / "run"), "--out", str(folder / "net.bnn")]) == 0
    (folder / "page.md").write_text("<!-- measured --><!-- /measured -->")


def fault(made, command, name):
    """Run a command in an environment, in a copy of the folder `made`: what is wrong with its end, None if nothing."""
    arguments, needs = COMMANDS[command]
    needs = {ALL} if needs is None else {ALL, WORK, *needs}
    environment = ENVIRONMENTS[name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(os.fsencode(scratch), environment.folder)
        shutil.copytree(os.fsencode(made), folder)
        shutil.copytree(os.path.join(folder, b"run"), os.path.join(folder, environment.folder))
        before = _names(folder)
        arguments = [os.fsdecode(environment.folder) if word == "NAME" else word for word in arguments]
        code, out, errors = _run(arguments, environment, folder)
        wrote = _names(folder) - before
    lines = errors.splitlines()
    complaints = [line for line in lines if line.startswith("bnn-ref: error: ")]
    said = f"{code}: {errors[-400:]}" + (f", wrote {sorted(wrote)}" if wrote else "")
    if "Traceback" in errors.replace("exception: Traceback", "") or "Exception ignored" in errors:
        return f"a traceback, {said}"
    if any(not line.isprintable() for line in out.split("\n") + errors.split("\n")):
        return f"control characters in {out + errors!r}"
    if needs & set(environment.refused):
        right = code == 2 and len(lines) == 1 and environment.words in errors and complaints and not wrote
        return None if right else f"expected code 2, a line with {environment.words!r} and nothing written, {said}"
    if environment.streams.startswith("head") and code == 1:    # the reader left: a whole file, or a run to go on with
        right = not wrote or not command.startswith("train") or "; go on with: bnn-ref train" in errors
        return None if right else f"left without a word, {said}"
    return None if code == 0 and not complaints else f"expected an answer, {said}"


def _names(folder):
    return {os.path.join(place, name) for place, folders, names in os.walk(folder) for name in folders + names}


def _run(arguments, environment, folder):
    """(exit code, standard output, standard error) of a command."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("BNN_REF", "MPL"))}
    variables |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **environment.variables}
    call = [sys.executable, "-m", "bnn_ref", *arguments]
    if not environment.streams.startswith("head"):
        call = ["sh", "-c", f'exec "$@" {environment.streams}', "sh", *call]
    process = subprocess.Popen(call, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if environment.streams.startswith("head"):
        out = b"".join(process.stdout.readline() for _ in range(int(environment.streams.split()[1])))
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()
        process.wait()
    else:
        out, errors = process.communicate()
    encoding = variables.get("PYTHONIOENCODING") or "utf-8"
    return process.returncode, out.decode(encoding), errors.decode(encoding)


def main(arguments=None):
    """The exit status: 0 if every command ended well in every environment, 1 if one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.cli.walk", description=__doc__.splitlines()[0])
    parser.add_argument("environments", nargs="*", metavar="ENVIRONMENT", help=", ".join(ENVIRONMENTS))
    parser.add_argument("--command", choices=COMMANDS, action="append")
    options = parser.parse_args(arguments)
    places, commands = options.environments or list(ENVIRONMENTS), options.command or list(COMMANDS)
    pairs = [(command, name) for name in places for command in commands]
    faults = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        make(Path(folder))
        for (command, name), what in zip(pairs, pool.map(lambda pair: fault(folder, *pair), pairs)):
            if what:
                faults += 1
                print(f"{command}, {name}: {what}\n  again: python -m tests.cli.walk {name!r} --command {command!r}",
                      flush=True)
    print(f"{len(commands)} commands in {len(places)} environments, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
