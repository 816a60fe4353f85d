"""The command: see `tests/doors/__init__.py`."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from . import calls, misuses


def main(arguments=None):
    """The exit status: 0 if there is no fault, 1 if there is one."""
    parser = argparse.ArgumentParser(prog="python -m tests.doors", description="Misuses every public function.")
    parser.add_argument("name", nargs="?", default="", help="functions with that in their names")
    options = parser.parse_args(arguments)
    tried, unclear, functions = Counter(), Counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        for call in (*calls.CALLS, *calls.doors_of_cuda(), *calls.files(Path(folder))):
            if options.name not in call.name:
                continue
            wing = call.name.partition(".")[0]
            count, faults = misuses.faults(call)
            for argument, name, what in faults:
                print(f"{call.name}: {argument}, {name}: {what}")
            tried[wing] += count
            unclear[wing] += len(faults)
            functions.setdefault(wing, set()).add(call.name)
    for wing, count in tried.items():
        print(f"{wing}: {len(functions[wing])} functions, {count:,} misuses, {unclear[wing]:,} faults")
    print(f"all: {sum(map(len, functions.values()))} functions, {tried.total():,} misuses, {unclear.total():,} faults")
    return 1 if unclear.total() else 0


if __name__ == "__main__":
    sys.exit(main())
