"""Runs attempts in a process of their own: one that crashes, hangs or takes all memory is a line, and the next follows.
"""

import os
import queue
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:                   # Windows: memory is not measured there
    resource = None

ROOT = Path(__file__).resolve().parents[2]
HANG = 120                            # seconds for one attempt, on the slowest of machines
ROOM = 200 << 20                      # bytes besides three times the honest size


class WrongError(Exception):
    """A file was read as something that it is not."""


@dataclass(frozen=True)
class Fault:
    """What went wrong with the file that `seed` makes."""

    seed: int
    what: str


def work(attempt, honest, first):
    """The child: try seed after seed, from `first` on, and say so, a line each; ends at a fault of memory.

    attempt(rng, folder) gives a word for what became of the file, or raises what is a fault; honest: bytes that the
    whole file takes in memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        attempt(random.Random(-1), Path(folder))              # whatever is loaded or compiled once
        base, seed = _peak(), first
        while True:
            print("begin", seed, flush=True)
            try:
                outcome = attempt(random.Random(seed), Path(folder))
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"fault {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            if (taken := _peak() - base) > 3 * honest + ROOM:
                outcome = f"fault takes {taken} bytes, {honest} would be honest"
            print("end", " ".join(outcome.split()), flush=True)
            if "fault takes" in outcome:                      # the peak does not fall again: in a new process
                return
            seed += 1


def _peak():
    """The most bytes that this program has held; Linux's getrusage would count those of the process that began it."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def hunt(command, first, seconds, count):
    """({outcome: how often}, [Fault]) of `count` seeds from `first` on, or of as many as `seconds` are enough for.

    command: that of a child, to which its first seed is added.
    """
    outcomes, faults, seed, end = Counter(), [], first, time.monotonic() + seconds
    while seed < first + count and time.monotonic() < end:
        child = subprocess.Popen([*command, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True)
        lines = queue.Queue()
        threading.Thread(target=_lines, args=(child.stdout, lines), daemon=True).start()
        while seed < first + count:
            word, said = _next(lines)
            if word == "begin":
                continue
            if word == "end" and not said.startswith("fault "):
                outcomes[said] += 1
            elif word == "end":
                faults.append(Fault(seed, said.removeprefix("fault ")))
            else:
                child.kill()
                faults.append(Fault(seed, said or _ended(child)))
            seed += 1
            if word != "end" or "takes" in said or time.monotonic() > end:
                break
        child.kill()
        child.communicate()
    return outcomes, faults


def _lines(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put("")


def _next(lines):
    """(first word, rest) of the child's next line; ("", what happened) if none comes."""
    try:
        word, _, said = lines.get(timeout=HANG).strip().partition(" ")
    except queue.Empty:
        return "", f"hangs for {HANG} s"
    return word, said


def _ended(child):
    """How a child ended that should not have."""
    _, errors = child.communicate()
    code = child.returncode
    name = signal.Signals(-code).name if code < 0 and os.name != "nt" else f"status {code}"
    return f"the process ends with {name}: {(errors.strip().splitlines() or ['no word'])[-1]}"
