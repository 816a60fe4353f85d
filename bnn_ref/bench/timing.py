"""How to time: rivals take turns in one run, on as many threads each, and what counts are medians, spreads and ratios.
Seconds depend on the machine and the hour; ratios within a run hold.
"""

import datetime
import importlib.util
import platform
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import __version__
from ..kernels import compiled

ROUNDS = 7                            # of each contender, at least 3 where one takes long
PATIENCE, THOROUGH = 5.0, 20.0        # seconds for the rounds of one group of rivals
SAMPLE, PAUSE = 0.1, 0.05             # seconds of calls for one sample, and before it


def interleave(contenders, say=lambda text: None, patience=PATIENCE):
    """{name: [seconds, ...]}: each contender once to warm up, then all in turn, round by round.

    A sample is the mean of as many calls as take a tenth of a second. Before each there is a pause, because the threads
    of a BLAS go on spinning for a while after its last product, on the core that the next contender wants; and where
    calls are short one that does not count, because memory that lay idle may have to come back first.
    contenders: {name: function}; a function that returns a float has measured its seconds itself; patience: seconds
    after which no round begins, but for the first three.
    """
    spent, calls, short = {name: [] for name in contenders}, {}, {}
    for name, contender in contenders.items():
        say(f"warming up {name}")
        contender()
        start = time.perf_counter()
        contender()
        took = time.perf_counter() - start
        calls[name], short[name] = max(1, min(1000, round(SAMPLE / took))), took < 1
    began = time.perf_counter()
    for number in range(ROUNDS):
        if number >= 3 and time.perf_counter() - began > patience:
            break
        say(f"round {number + 1} of {ROUNDS}")
        for name, contender in contenders.items():
            time.sleep(PAUSE)
            if short[name]:
                contender()
            start = time.perf_counter()
            for _ in range(calls[name]):
                own = contender()     # one result at a time, so that its memory serves the next
            total = time.perf_counter() - start
            spent[name].append(own if isinstance(own, float) else total / calls[name])
            del own
    return spent


def summary(samples):
    """{"median", "spread", "samples"} of seconds; the spread: what the middle half covers, as a share of the median."""
    quarters = statistics.quantiles(samples, n=4, method="inclusive")
    return {"median": statistics.median(samples), "spread": (quarters[2] - quarters[0]) / statistics.median(samples),
            "samples": samples}


def on(threads):
    """1 -> "1 thread", 2 -> "2 threads"."""
    return f"{threads} thread{'s' * (threads > 1)}"


def processor():
    """The name of this machine's processor, as well as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        if compiled.COMPILED:
            import llvmlite.binding

            name += f" ({llvmlite.binding.get_host_cpu_name()})"
        return name
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def pytorch():
    """The module torch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch


@contextmanager
def on_threads(count):
    """Every contender on that many threads: the kernels, NumPy's BLAS (by threadpoolctl) and PyTorch."""
    from threadpoolctl import threadpool_limits

    torch = pytorch()
    before = torch.get_num_threads() if torch else None
    compiled.set_threads(count)
    try:
        if torch:
            torch.set_num_threads(count)
        with threadpool_limits(count):
            yield
    finally:
        compiled.set_threads(None)
        if torch:
            torch.set_num_threads(before)


def check_tools():
    """Raise ValueError where what the timings need is not there."""
    if importlib.util.find_spec("threadpoolctl") is None:
        raise ValueError("timings need threadpoolctl, to give every rival as many threads: "
                         'pip install "bnn-ref[bench]"')
    if not compiled.COMPILED:
        raise ValueError("timings need compiled kernels: install Numba, unset NUMBA_DISABLE_JIT")


def header(what):
    """What every result begins with: machine, versions, date."""
    torch = pytorch()
    versions = {"bnn_ref": __version__, "numpy": np.__version__, "numba": compiled.numba.__version__,
                "python": platform.python_version()}
    if torch:
        versions["torch"] = torch.__version__
    return {"bench": what, "machine": processor(), "cores": compiled.threads(), "system": platform.platform(),
            "date": datetime.date.today().isoformat(), "versions": versions}
