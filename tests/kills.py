"""Kill the program, look what is left: `python -m tests.kills [--count N] [--seed S] [--seconds S]`.

Each job of the list below is killed by SIGKILL at every change that it makes to the disk, one after another, and then
at moments drawn from the seed. After each kill the same command (with --resume, where there is that) must end as if
nothing had happened: the same bytes, and nothing left beside them. What was there before must be there still.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# What changes the disk, as Python's audit events call it, and what lies between: all that a kill could cut in two.
EVENTS = ("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate")


@dataclass(frozen=True)
class Job:
    """A command that may be killed, and how it is taken up again."""

    name: str
    first: tuple
    again: tuple
    result: str                       # the file whose bytes must be those of a run in one go
    leaves: tuple                     # the names in its folder when all is done


def _train(name, *args, pictures=("curves.png", "weights.png"), result="params.npz"):
    command = ("-m", "bnn_ref", "train", *args, "--out", "done/run")
    return Job(name, command, (*command, "--resume"), f"done/run/{result}",
               tuple(sorted(("params.npz", "run.json", *pictures))))


JOBS = (
    _train("float", "float", "--epochs", "2", "--data", "small.npz", pictures=("curves.png",)),
    _train("binaryconnect", "binaryconnect", "--epochs", "2", "--data", "small.npz"),
    _train("bnn", "bnn", "--epochs", "2", "--data", "small.npz"),
    _train("few_multiplications", "few_multiplications", "--epochs", "2", "--data", "small.npz"),
    _train("ebp", "ebp", "--epochs", "2", "--data", "small.npz", pictures=("curves.png",)),
    _train("bitwise", "bitwise", "--epochs", "2", "--data", "small.npz", pictures=("curves.png",)),
    Job("pack", ("-m", "bnn_ref", "pack", "run", "--out", "done/net.bnn"),
        ("-m", "bnn_ref", "pack", "run", "--out", "done/net.bnn", "--force"), "done/net.bnn", ("net.bnn",)),
    Job("conversion", ("-c", "from tests.kills import convert; convert()"),
        ("-c", "from tests.kills import convert; convert()"), "done/mine.npz", ("mine.npz",)),
)


def convert():
    """What the data scripts do at their end: pictures into the .npz format."""
    from bnn_ref import data

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 1, 8, 8), np.uint8), np.arange(60) % 3
    data.save(Path("done/mine.npz"), x, y, x[:20], y[:20], x[20:40], y[20:40], replace=True)


# --- the child -----------------------------------------------------------------------------------------------------


def die_at(number):
    """SIGKILL this process just before its change to the disk of that number, counted from 0.

    Opening a file to write it is one, too, and so is closing it, when its last bytes go out: fsync stands for that.
    """
    count = [0]

    def change():
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1

    def audit(event, args):
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in EVENTS or (writes and "__pycache__" not in str(args[0])):
            change()

    fsync = os.fsync

    def synced(descriptor):
        change()
        fsync(descriptor)

    os.fsync = synced
    sys.addaudithook(audit)


CHILD = """
import os, runpy, sys
sys.path.insert(0, {root!r})
sys.dont_write_bytecode = True
from tests.kills import die_at
arguments = sys.argv[1:]
number = int(arguments.pop(0))
import bnn_ref.cli.main, bnn_ref.cli.plots
if number >= 0:
    die_at(number)
kind, what, *rest = arguments
sys.argv = [what, *rest]
runpy.run_module(what, run_name="__main__", alter_sys=True) if kind == "-m" else exec(what)
"""


def start(job_command, number, folder):
    environment = {**os.environ, "MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", CHILD.format(root=str(ROOT)), str(number), *job_command], cwd=folder,
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(job_command, folder):
    child = start(job_command, -1, folder)
    out, error = child.communicate()
    return child.returncode, out, error


# --- what must hold ------------------------------------------------------------------------------------------------


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prepare(folder):
    """Small pictures, a finished run of them, and what a user keeps beside."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = rng.integers(0, 128, (120, 1, 8, 8), np.uint8) + (60 * y).astype(np.uint8)[:, None, None, None]
    np.savez(folder / "small.npz", train_x=x, train_y=y, test_x=x[:30], test_y=y[:30])
    train = ("-m", "bnn_ref", "train", "bnn", "--epochs", "1", "--data", "small.npz", "--out", "run")
    code, _, error = run(train, folder)
    if code:
        sys.exit(error)
    (folder / "done").mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (folder / "done" / "notes.part").write_text("years of work, too")


def faults(job, expected, folder, before):
    """What is wrong after a kill, in words: first as it was left, then when the command was given again."""
    for name, was in before.items():
        if not (folder / name).exists() or digest(folder / name) != was:
            yield f"{name} is not as it was"
    code, _, error = run(job.again, folder)
    if code or error:
        yield f"given again it ends with {code}: {error.strip()}"
        return
    if digest(folder / job.result) != expected:
        yield f"{job.result} has other bytes than in one go"
    left = sorted(path.name for path in (folder / job.result).parent.iterdir() if path.name != "notes.part")
    if left != list(job.leaves):
        yield f"left: {left}, expected {list(job.leaves)}"


def whole(job, folder):
    """(sha256 of the result in one go, seconds that it took)."""
    began = time.monotonic()
    code, _, error = run(job.first, folder)
    if code:
        sys.exit(f"{job.name}: {error}")
    return digest(folder / job.result), time.monotonic() - began


def kill(job, number, delay, folder):
    """Start the job and kill it: at its change of that number, or after so many seconds. Returns whether it was killed.
    """
    child = start(job.first, -1 if number is None else number, folder)
    if number is None:
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
    child.communicate()
    return child.returncode == -signal.SIGKILL


def attempts(job, seed, seconds):
    """(change to be killed at, or None; delay): every change first, then moments without end."""
    number = 0
    while (yield number, None):
        number += 1
    rng = random.Random(f"{job.name} {seed}")
    while True:
        yield None, rng.uniform(0.1, 1) * seconds


def main(arguments=None):
    """The exit status: 0 if nothing was lost, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400, help="kills, at least (400)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="then no other kill begins")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--job", choices=[job.name for job in JOBS], help="that one alone")
    options = parser.parse_args(arguments)
    jobs = [job for job in JOBS if options.job in (None, job.name)]
    killed, lost, end = Counter(), 0, time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as place:
        model, folder = Path(place, "model"), Path(place, "now")
        model.mkdir()
        prepare(model)
        before = {name: digest(model / name) for name in ("small.npz", "thesis.txt", "done/notes.part", "run/run.json",
                                                         "run/params.npz")}
        plans = []
        for job in jobs:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(model, folder)
            expected, seconds = whole(job, folder)
            plan = attempts(job, options.seed, seconds)
            plans.append([job, expected, plan, next(plan)])
        while sum(killed.values()) < options.count and time.monotonic() < end:
            for place_of in plans:
                job, expected, plan, (number, delay) = place_of
                shutil.rmtree(folder)
                shutil.copytree(model, folder)
                was_killed = kill(job, number, delay, folder)
                killed[job.name] += was_killed
                for fault in faults(job, expected, folder, before):
                    lost += 1
                    at = f"at change {number}" if delay is None else f"after {delay:.3f} s"
                    print(f"{job.name}, killed {at}: {fault}", flush=True)
                place_of[3] = plan.send(was_killed)
    said = ", ".join(f"{name} {count}" for name, count in killed.items())
    print(f"{sum(killed.values())} kills ({said}), seed {options.seed}: {lost} faults")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
