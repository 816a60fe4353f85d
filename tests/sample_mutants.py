"""Draw mutants at random and test them: `python tests/sample_mutants.py COUNT --seed S`, in a copy of the repository.

mutmut plants one small bug at a time in the files that setup.cfg names, and runs the tests that pass through it. All of
them take days; a sample says how many bugs the tests would miss, too. The names are sorted before they are drawn, so
the same sources and the same seed give the same sample anywhere. mutmut writes beside the sources: hence the copy.
"""

import argparse
import random
import subprocess
import sys
from pathlib import Path

FEW = "bnn_ref.ops.relu.*"                        # of one small file: a run of them makes the others, too
CAUGHT = ("killed", "timeout", "segfault")


def mutmut(*arguments):
    """What the command prints; where it fails, it is printed, and that is the end."""
    command = [str(Path(sys.executable).parent / "mutmut"), *arguments]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(run.stdout + f"mutmut {arguments[0]} ended with {run.returncode}")
    return run.stdout


def statuses():
    """{name: status} of all mutants."""
    lines = [line.strip() for line in mutmut("results", "--all", "true").splitlines()]
    return dict(line.rsplit(": ", 1) for line in lines if ": " in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, help="how many mutants to test")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--children", type=int, default=1, help="mutants that are tested at one time (1)")
    options = parser.parse_args()
    children = "--max-children", str(options.children)
    mutmut("run", *children, FEW)
    names = sorted(statuses())
    drawn = random.Random(options.seed).sample(names, options.count)
    mutmut("run", *children, *drawn)
    of = statuses()
    survivors = [name for name in sorted(drawn) if of[name] not in CAUGHT]
    print(f"{len(drawn)} of {len(names)} mutants, seed {options.seed}: {len(drawn) - len(survivors)} caught, "
          f"{len(survivors)} not; `mutmut show NAME` shows one")
    for name in survivors:
        print(f"{of[name]}: {name}")


if __name__ == "__main__":
    main()
