"""What the recipes reached here: rows taken from finished runs, each with the command that repeats it.

`python -m bnn_ref.papers.measured RUN [RUN ...]` puts runs that differ in the seed alone into `measured.json`, in
place of an older row for the same command, and prints the table for the README.
"""

import datetime
import json
import sys
from pathlib import Path

from .. import runs
from ..files import atomic_write
from . import PAPERS

FILE = Path(__file__).with_name("measured.json")


def rows(paper=None):
    """All rows, or those of one paper: dicts with paper, data, command, seeds, test_errors (percent, one a seed),
    epochs, minutes (the longest run), date, versions."""
    entries = json.loads(FILE.read_text(encoding="utf-8"))
    return [row for row in entries if paper in (None, row["paper"])]


def summary(row):
    """A row's result in words: "1.53 %" or "mean 1.53 %, 1.40 to 1.66 (seeds 0, 1, 2)"."""
    errors = row["test_errors"]
    if len(errors) == 1:
        return f"{errors[0]:.2f} %"
    seeds = ", ".join(map(str, row["seeds"]))
    return f"mean {sum(errors) / len(errors):.2f} %, {min(errors):.2f} to {max(errors):.2f} (seeds {seeds})"


def table():
    """The rows as a Markdown table, for the README."""
    lines = ["| command | test error | epochs | time on 2 cores |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row['command']}` | {summary(row)} | {row['epochs']} | {duration(row)} |" for row in rows()]
    return "\n".join(lines)


def duration(row):
    """Training time of the longest run of a row, in words."""
    return f"{row['minutes']:.1f} min" if row["minutes"] >= 1 else f"{60 * row['minutes']:.0f} s"


def row_of(folders):
    """The row for finished runs of one command. Raises runs.RunError for runs that differ in more than the seed."""
    records = [runs.read(folder) for folder in folders]
    settings = [{**record["settings"], "seed": None} for record in records]
    if any(other != settings[0] for other in settings) or any("test_error" not in record for record in records):
        raise runs.RunError("expected finished runs that differ in the seed alone")
    one = settings[0]
    versions = records[0]["versions"]
    command = f"bnn-ref train {one['paper']} --data {one['data']} --preset {one['preset']} --net {one['net']}"
    if len(PAPERS[one["paper"]].VOCABULARIES) > 1:
        command += f" --variant {one['variant']}"
    return {
        "paper": one["paper"], "data": one["data"], "command": command,
        "seeds": [record["settings"]["seed"] for record in records],
        "test_errors": [round(record["test_error"], 4) for record in records], "epochs": one["epochs"],
        "minutes": round(max(record["seconds"] for record in records) / 60, 2),
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def main(folders):
    """Add the runs' row to the file and print the table."""
    new = row_of([Path(folder) for folder in folders])
    kept = [row for row in rows() if row["command"] != new["command"]]
    content = json.dumps(sorted([*kept, new], key=lambda row: (row["data"], row["command"])), indent=1)
    with atomic_write(FILE) as file:
        file.write(content.encode() + b"\n")
    print(table())


if __name__ == "__main__":
    main(sys.argv[1:])
