"""The tests as other processors run them: BLAS, NumPy and Numba choose other code for each, and sums another order.

Environment variables make the three choose as on another processor, as far as this one can run it. What is tested here
is a short selection, whatever rests on sums or prints what was trained. The whole suite, under each setting once:

    python tests/test_processors.py -n 2 --dist loadfile

The arguments are pytest's. It prints a line for each setting: what failed and passed, and in how many seconds.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

ROOT = Path(__file__).resolve().parent.parent
# What NumPy has code for beyond the oldest processors and this one can run; entries without any are left out.
FOUND = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
AVX2, AVX512 = {"AVX2", "X86_V3"}, {"AVX512_SKX", "X86_V4"}          # what NumPy calls them, before 2.4 and since
ONE_THREAD, TWO_THREADS = ({"BNN_REF_THREADS": n, "OPENBLAS_NUM_THREADS": n} for n in "12")

# OpenBLAS's name of a processor: what NumPy must find here, and what else is set.
SETTINGS = {
    "Prescott": ((), {"NPY_DISABLE_CPU_FEATURES": " ".join(FOUND), **ONE_THREAD}),     # the oldest of 64 bits
    "Nehalem": ((), TWO_THREADS),
    "Haswell": (AVX2, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+ssse3", **ONE_THREAD}),
    "Zen": (AVX2, TWO_THREADS),
    "SkylakeX": (AVX512, ONE_THREAD),
}
SELECTION = (
    "tests/kernels/test_sign_accumulate.py",
    "tests/packed/test_inference.py::test_trained_networks",
    "tests/training/test_loop.py",
    "tests/notebooks/test_lessons.py::test_runs_and_prints_what_is_committed[01_train_a_binarized_network]",
    "tests/notebooks/test_lessons.py::test_runs_and_prints_what_is_committed[04_check_a_gradient]",
)


def why_not(name):
    """The reason why this machine cannot be made to run as that processor, None where it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"{name} is an x86-64 processor, this one is {platform.machine()}"
    if not any(library["internal_api"] == "openblas" for library in threadpool_info()):
        return "NumPy's BLAS is not OpenBLAS"
    needs, _ = SETTINGS[name]
    return f"this processor cannot run the code for {name}" if needs and not needs & set(FOUND) else None


def run(name, arguments):
    """pytest in a process of its own, as if on that processor, all but this file."""
    _, others = SETTINGS[name]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--ignore={__file__}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
                          env={**os.environ, "OPENBLAS_CORETYPE": name, **others})


@pytest.mark.parametrize("name", ["Prescott", "Haswell"])
def test_what_rests_on_sums_holds_on(name):
    if reason := why_not(name):
        pytest.skip(reason)
    done = run(name, SELECTION)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_this_machine_cannot_be_is_said(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys.modules[__name__], "threadpool_info", lambda: [{"internal_api": "openblas"}])
    for found, missing in (([], {"Haswell", "Zen", "SkylakeX"}), (["X86_V3"], {"SkylakeX"}), (["AVX2"], {"SkylakeX"}),
                           (["AVX2", "AVX512_SKX"], set())):
        monkeypatch.setattr(sys.modules[__name__], "FOUND", found)
        assert {name for name in SETTINGS if why_not(name)} == missing
    monkeypatch.setattr(sys.modules[__name__], "threadpool_info", lambda: [{"internal_api": "mkl"}])
    assert why_not("Prescott") == "NumPy's BLAS is not OpenBLAS"
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert why_not("Prescott") == "Prescott is an x86-64 processor, this one is arm64"


def main(arguments):
    """Run pytest under every setting; returns the exit code: 0 if all passed."""
    worst = 0
    for name, (_, others) in SETTINGS.items():
        if reason := why_not(name):
            print(f"{name:9} not run: {reason}", flush=True)
            continue
        done = run(name, arguments)
        *lines, summary = done.stdout.strip().splitlines() or [done.stderr]
        print(f"{name:9} {summary} ({', '.join(f'{key}={value}' for key, value in others.items())})", flush=True)
        print(*(f"    {line}\n" for line in lines if line.startswith(("FAILED", "ERROR"))), sep="", end="", flush=True)
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
