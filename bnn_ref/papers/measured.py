"""What the recipes reached here, beside what is published: rows of finished runs, each with the command to repeat it.

They are data, in `measured.json`; `bnn-ref measure` puts them there, the README and `bnn-ref papers` show them.
"""

import json
import statistics
from pathlib import Path

from . import PAPERS, published

FILE = Path(__file__).with_name("measured.json")
STEPS = 20                            # that are timed of a network too large to be trained in a day


def rows(paper=None):
    """All rows, or those of one paper, as dicts.

    Each has kind, paper, variant, form, data, note (on the data, or ""), preset, net, epochs, command, date, versions.
    Of the kind "error": seeds, test_errors (percent, one a seed), minutes (of the longest run) and cpu_minutes (None in
    older rows). Of the kind "steps": step_seconds (median), epoch_minutes, peak_mib, machine.
    form is "" for the network as it was trained, "round 1", "round 2", or a name in the paper's FORMS.
    """
    entries = json.loads(FILE.read_text(encoding="utf-8"))
    return [row for row in entries if paper in (None, row["paper"])]


# --- a row in words ------------------------------------------------------------------------------------------------


def system(row):
    """Which network: "BinaryConnect stochastic", "EBP binary: deterministic", "full precision"."""
    name = published.SYSTEMS[row["paper"]]
    if len(PAPERS[row["paper"]].VOCABULARIES) > 1:
        name += f" {row['variant']}"
    return f"{name}: {row['form']}" if row["form"] else name


def trained_on(row):
    """Which data: "CIFAR-10", with a note on them "CIFAR-10 (JPEG)"."""
    name = published.DATA[row["data"]]
    return f"{name} ({row['note']})" if row["note"] else name


def figure_of(row):
    """The published.Published that a row is to be compared with, None where there is none."""
    return published.find(row["paper"], row["variant"], row["form"], row["data"], row["net"])


def summary(row):
    """The error measured: "1.53 % (seed 0)", or "mean 1.53 %, 1.40 to 1.66 (seeds 0, 1, 2)"."""
    if row["kind"] == "steps":
        return f"not trained: {STEPS} steps"
    errors = row["test_errors"]
    if len(errors) == 1:
        return f"{errors[0]:.2f} % (seed {row['seeds'][0]})"
    seeds = ", ".join(map(str, row["seeds"]))
    return f"mean {statistics.mean(errors):.2f} %, {min(errors):.2f} to {max(errors):.2f} (seeds {seeds})"


def gap(row):
    """The mean error here minus the published one, in points; None where there is no such pair."""
    figure = figure_of(row)
    return statistics.mean(row["test_errors"]) - figure.error if figure and row["kind"] == "error" else None


def recipe(row):
    """Which of the paper's recipes: "quick mlp, 20 epochs"."""
    epochs = f"0 of {row['epochs']}" if row["kind"] == "steps" else row["epochs"]
    return f"{row['preset']} {row['net']}, {epochs} epochs"


def duration(row):
    """Training time of the longest run of a row, or what 20 steps took, in words."""
    if row["kind"] == "steps":
        return (f"{row['step_seconds']:.2f} s a step, so {_minutes(row['epoch_minutes'])} an epoch; "
                f"{row['peak_mib']:,} MiB at most")
    cpu = "" if row["cpu_minutes"] is None else f" (CPU {_minutes(row['cpu_minutes'])})"
    return _minutes(row["minutes"]) + cpu


def _minutes(minutes):
    if minutes >= 100:
        return f"{minutes / 60:.1f} h"
    return f"{minutes:.1f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"


# --- the table -----------------------------------------------------------------------------------------------------

HEAD = ("system", "published error", "error here", "here minus published", "recipe and time", "command")


def table():
    """All rows as Markdown, for the README: a table for each of the papers' data and, folded away, one for the digits.

    What rows of one command share is said once; below is what all were measured with.
    """
    parts = []
    for data in dict.fromkeys(map(trained_on, rows())):
        lines = _rows_as_markdown([row for row in rows() if trained_on(row) == data])
        parts.append(f"**{data}**\n\n{lines}" if data != published.DATA["digits"] else
                     "<details><summary>The 1,797 embedded digits, of which no paper has figures</summary>\n\n"
                     f"{lines}\n\n</details>")
    dates = sorted({row["date"] for row in rows()})
    versions = "; ".join(dict.fromkeys(row["versions"] for row in rows()))
    machines = "; ".join(dict.fromkeys(row["machine"] for row in rows() if "machine" in row))
    parts.append(f"Measured {' to '.join(dict.fromkeys([*dates[:1], *dates[-1:]]))} with {versions}."
                 + (f" Training steps on {machines}." if machines else ""))
    return "\n\n".join(parts)


def _rows_as_markdown(chosen):
    lines, command = [HEAD, ["---"] * len(HEAD)], None
    for row in chosen:
        figure, points = figure_of(row), gap(row)
        shared = f"{recipe(row)}, {duration(row)}", f"`{row['command']}`"
        lines.append([system(row), f"{figure} %" if figure else "-", summary(row),
                      "-" if points is None else f"{points:+.2f}",
                      *(("", "") if row["command"] == command else shared)])
        command = row["command"]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def chart():
    """[(label, published error, [errors here])] of the rows that have both, for `plots.against_published`."""
    return [(f"{system(row)}, {trained_on(row)}, {row['preset']} {row['net']}", figure_of(row).error,
             row["test_errors"]) for row in rows() if gap(row) is not None]
