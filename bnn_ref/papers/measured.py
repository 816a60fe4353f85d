"""What the recipes reached here: one row a run, taken from its run.json, with the command that repeats it."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("measured.json")


@dataclass(frozen=True)
class Row:
    """One or more runs of a recipe that differ in the seed alone."""

    paper: str
    data: str
    command: str
    seeds: tuple
    test_errors: tuple        # percent, one a seed
    epochs: int
    minutes: float            # of the longest run, on 2 cores
    date: str
    versions: str

    def mean(self):
        """Mean test error, percent."""
        return sum(self.test_errors) / len(self.test_errors)

    def summary(self):
        """The row as one line."""
        spread = f" ({min(self.test_errors):.2f} to {max(self.test_errors):.2f})" if len(self.seeds) > 1 else ""
        return (f"{self.data} {self.mean():.2f} %{spread}, seeds {', '.join(map(str, self.seeds))}, {self.epochs} "
                f"epochs in {self.minutes:.1f} min: {self.command}")


def rows(paper=None):
    """All rows, or those of one paper."""
    entries = [Row(**{**entry, "seeds": tuple(entry["seeds"]), "test_errors": tuple(entry["test_errors"])})
               for entry in json.loads(FILE.read_text(encoding="utf-8"))]
    return [row for row in entries if paper in (None, row.paper)]
