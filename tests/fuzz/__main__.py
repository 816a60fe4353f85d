"""The command: see `tests/fuzz/__init__.py`."""

import argparse
import importlib
import sys
import time

from . import harness

KINDS = ("packed", "npz", "runs", "archives")


def main(arguments=None):
    """The exit status: 0 if no file was a fault, 1 if one was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Reads damaged files, one a seed.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, default=10**9, help="of files, at most")
    parser.add_argument("--seed", type=int, default=0, help="the first one; the next file has the next")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child is not None:
        module = importlib.import_module(f".{options.kind}", __package__)
        harness.work(module.attempt, module.HONEST, options.child)
        return 0
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz", options.kind, "--child"]
    outcomes, faults = harness.hunt(command, options.seed, options.seconds, options.count)
    for fault in faults:
        print(f"{options.kind}: seed {fault.seed}: {fault.what}")
        print(f"  again: python -m tests.fuzz {options.kind} --seed {fault.seed} --count 1")
    total = sum(outcomes.values()) + len(faults)
    said = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{options.kind}: {total:,} files from seed {options.seed}: {said or 'none read'}, {len(faults):,} faults; "
          f"{time.monotonic() - began:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
