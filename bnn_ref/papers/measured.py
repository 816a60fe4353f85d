"""What the recipes reached here, beside what is published: rows of finished runs, each with the command to repeat it.

They are data, in `measured.json`; `bnn-ref measure` puts them there, a page of results and `bnn-ref papers` show them.
"""

import json
import re
import statistics
from pathlib import Path

from ..nets.recipe import choose
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


def layers(row):
    """The hidden layers of the network, in the papers' notation."""
    if "layers" in row:                          # that is not the recipe's
        return row["layers"]
    try:
        return choose(PAPERS[row["paper"]].RECIPES, row["data"], row["net"], row["preset"], row["variant"]).net
    except KeyError:                             # of a text task, for which there is one network alone
        return "120FC"


def in_words(notation):
    """Layers for those who do not know the notation: "1024FC-1024FC" is "2 × 1024 units"."""
    maps, units = (re.findall(rf"(\d+){kind}", notation) for kind in ("C", "FC"))
    words = [f"{len(maps)} convolutions of {maps[0]} to {maps[-1]} maps"] if maps else []
    if len(units) == 1 or len(set(units)) > 1:
        words.append(f"{' and '.join(units)} units")
    elif units:
        words.append(f"{len(units)} × {units[0]} units")
    return ", ".join(words)


def comparable(row):
    """Whether the network, its epochs and the data are those of the published figure, as far as these are known."""
    figure = figure_of(row)
    return bool(figure) and not row["note"] and (figure.layers, figure.epochs) == (layers(row), row["epochs"])


def difference(row):
    """The gap in words: "+1.88", "not comparable", or "-" where nothing is published, or nothing was trained."""
    points = gap(row)
    if points is None:
        return "-"
    return f"{points:+.2f}" if comparable(row) else "not comparable"


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

HEAD = ("system", "error here", "published error", "here minus published", "hidden layers", "epochs", "time", "command")


def table():
    """All rows as Markdown, for the page of results: a table for each of the papers' data and, folded away, one for the
    digits.

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
    lines, command = [], None
    for row in chosen:
        figure, first = figure_of(row), row["command"] != command
        command = row["command"]
        of = next(filter(None, (figure_of(other) for other in chosen if other["command"] == command)), None)
        shared = (*_trained(row, of), duration(row), f"`{command}`") if first else ("",) * 4
        lines.append([system(row), _error(row), f"{figure} %" if figure else "-", difference(row), *shared])
    return _markdown(HEAD, lines)


def _error(row):
    """As `summary`, in fewer words: "1.53 % (3 seeds: 1.40 to 1.66)"."""
    if row["kind"] == "steps":
        return summary(row)
    errors = row["test_errors"]
    spread = f"{len(errors)} seeds: {min(errors):.2f} to {max(errors):.2f}" if len(errors) > 1 else "1 seed"
    return f"{statistics.mean(errors):.2f} % ({spread})"


def _trained(row, figure):
    """(hidden layers, epochs) in words, beside those of the published figure where there is one; "?": not known."""
    here, epochs = in_words(layers(row)), str(0 if row["kind"] == "steps" else row["epochs"])
    if figure is None:
        return here, epochs
    return here + _beside(layers(row), figure.layers), f"{epochs} of {figure.epochs or '?'}"


def _beside(here, there):
    """What a stranger is told of the paper's layers: nothing where they are these."""
    if here == there:
        return ""
    for factor, fraction in ((2, "half"), (4, "a quarter of")):
        if re.sub(r"\d+(?=F?C)", lambda width, factor=factor: str(factor * int(width[0])), here) == there:
            return f", {fraction} the paper's width"
    return f"; the paper's: {in_words(there) if there else '?'}"


def _markdown(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def short_table():
    """The longest run of each paper on MNIST, five rows of Markdown for the README; full precision in a sentence."""
    def longest(paper):
        return max((row for row in rows(paper) if row["data"] == "mnist" and figure_of(row)
                    and row["form"] in ("", "round 2")), key=lambda row: row["epochs"])

    head = ("on MNIST", "error here", "hidden layers", "epochs", "published error, and of what network")
    lines = [[system(row), _error(row), in_words(layers(row)), str(row["epochs"]), _published(figure_of(row))]
             for row in map(longest, list(PAPERS)[1:])]
    row = longest("float")
    return (f"{_markdown(head, lines)}\n\nFull precision, {in_words(layers(row))}, {row['epochs']} epochs: "
            f"{_error(row)}; published {_published(figure_of(row))}.")


def _published(figure):
    """A published error with what was trained: "0.96 % (3 × 4096 units, 1000 epochs)"."""
    how = [in_words(figure.layers) if figure.layers else "network not known"]
    how += [f"{figure.epochs} epochs"] if figure.epochs else []
    return f"{figure} % ({', '.join(how)})"


def chart():
    """[(label, published error, [errors here])] of the rows that have both, for `plots.against_published`."""
    return [(f"{system(row)}, {trained_on(row)}, {row['preset']} {row['net']}", figure_of(row).error,
             row["test_errors"]) for row in rows() if gap(row) is not None]
