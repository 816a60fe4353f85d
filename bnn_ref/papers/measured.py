"""What the recipes reached here, beside what is published: rows taken from finished runs, each with the command that
repeats it. They are data, in `measured.json`; the README and `bnn-ref papers` show them.

`python -m bnn_ref.papers.measured RUN [RUN ...]` puts runs that differ in the seed alone into the file, in place of
older rows for the same command. `--steps PAPER --data NAME` does so for a network too large to be trained in a day: it
times 20 training steps, and claims no error. `--readme FILE` puts the table between the markers of a Markdown file.
"""

import datetime
import json
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from .. import data, recipe, runs, train
from ..files import atomic_write
from . import PAPERS, published

FILE = Path(__file__).with_name("measured.json")
MARKERS = re.compile(r"(<!-- measured\b[^>]*-->\n).*?(<!-- /measured -->)", re.DOTALL)

STEPS = 20                                       # that are timed, after one that is not: it compiles the kernels
TRAINING = {"mnist": ((1, 28, 28), 50_000), "cifar10": ((3, 32, 32), 45_000), "svhn": ((3, 32, 32), 598_388)}
CLASSES = 10                                     # of each: shape and number of training pictures


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

HEAD = ("system", "data", "published error", "error here", "here minus published", "recipe", "epochs", "time", "date",
        "command")


def table():
    """All rows as Markdown, for the README: a table of the papers' data and one, folded away, of the digits; below them
    what they were measured with. What rows of one command share is said once.
    """
    digits = [row for row in rows() if row["data"] == "digits"]
    parts = [_rows_as_markdown([row for row in rows() if row not in digits])]
    if digits:
        parts.append("<details><summary>On the 1,797 embedded digits, of which no paper has figures</summary>\n\n"
                     f"{_rows_as_markdown(digits)}\n\n</details>")
    versions = "; ".join(dict.fromkeys(row["versions"] for row in rows()))
    machines = "; ".join(dict.fromkeys(row["machine"] for row in rows() if "machine" in row))
    parts.append(f"Measured with {versions}." + (f" Training steps on {machines}." if machines else ""))
    return "\n\n".join(parts)


def _rows_as_markdown(chosen):
    lines, command = [HEAD, ["---"] * len(HEAD)], None
    for row in chosen:
        shared = [f"{row['preset']} {row['net']}",
                  f"0 of {row['epochs']}" if row["kind"] == "steps" else str(row["epochs"]), duration(row), row["date"],
                  f"`{row['command']}`"]
        figure, points = figure_of(row), gap(row)
        lines.append([system(row), trained_on(row), f"{figure} %" if figure else "-", summary(row),
                      "-" if points is None else f"{points:+.2f}",
                      *([""] * len(shared) if (row["command"], row["note"]) == command else shared)])
        command = row["command"], row["note"]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def chart():
    """[(label, published error, [errors here])] of the rows that have both, for `plots.against_published`."""
    return [(f"{system(row)}, {trained_on(row)}, {row['preset']} {row['net']}", figure_of(row).error,
             row["test_errors"]) for row in rows() if gap(row) is not None]


def write_readme(path):
    """Put the table between `<!-- measured ... -->` and `<!-- /measured -->` of a Markdown file.

    Raises ValueError where it has no such markers, OSError where it cannot be read or written.
    """
    text = Path(path).read_text(encoding="utf-8")
    if len(MARKERS.findall(text)) != 1:
        raise ValueError(f"{path}: expected one pair of markers, <!-- measured ... --> and <!-- /measured -->, "
                         "each on a line of its own")
    with atomic_write(path) as file:
        file.write(MARKERS.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", text).encode())


# --- rows of runs --------------------------------------------------------------------------------------------------


def rows_of(folders, note=""):
    """The rows for finished runs of one command: its own form first, or its rounds, then its other forms.

    note: on the data, if they are not quite what their name says. Raises runs.RunError for folders that are no finished
    runs, that differ in more than the seed, have one seed twice, or are of data that others do not have.
    """
    records = [runs.read(folder) for folder in folders]
    one = records[0]["settings"]
    errors = [_errors(folder, record) for folder, record in zip(folders, records)]
    seeds = [record["settings"]["seed"] for record in records]
    if len({_but_the_seed(record) for record in records}) > 1 or len({tuple(by_form) for by_form in errors}) > 1:
        raise runs.RunError("expected finished runs that differ in the seed alone")
    if len(set(seeds)) < len(seeds):
        raise runs.RunError(f"expected runs of different seeds, got {', '.join(map(str, seeds))}")
    if one["data"] not in published.DATA or one["paper"] not in PAPERS:
        raise runs.RunError(f"{folders[0]}: {one['paper']} on {one['data']} is nothing that others could repeat; the "
                            f"table has runs on {', '.join(published.DATA)}")
    cpu = [record.get("cpu_seconds") for record in records]
    shared = {
        "epochs": len(records[0]["history"]) if "rounds" in records[0] else one["epochs"],
        "minutes": round(max(record["seconds"] for record in records) / 60, 2),
        "cpu_minutes": None if None in cpu else round(max(cpu) / 60, 2),
        **_sources(records[0].get("versions", {})),
    }
    described = {name: one[name] for name in ("paper", "variant", "data", "preset", "net")}
    return [{"kind": "error", **described, "form": form, "note": note, "command": _command(one), "seeds": seeds,
             "test_errors": [round(by_form[form], 4) for by_form in errors], **shared} for form in errors[0]]


def _errors(folder, record):
    """{form: test error} of a finished run."""
    if "test_error" not in record:
        raise runs.RunError(f"{folder}: expected finished runs that differ in the seed alone; this one is not finished")
    try:
        rounds = {f"round {number}": error for number, error in enumerate(record.get("rounds", []), 1)}
        errors = {**(rounds or {"": record["test_error"]}), **record.get("forms", {})}
        if all(isinstance(number, (int, float)) for number in [*errors.values(), record["seconds"]]):
            return errors
    except (TypeError, KeyError):
        pass
    raise runs.RunError(f"{folder}: run.json is damaged: expected errors and seconds as numbers")


def _but_the_seed(record):
    """All that must be equal in runs of one row, as text."""
    settings = {**record["settings"], "seed": None}
    return json.dumps([settings, record["recipe"], record["fingerprint"], record.get("versions")], sort_keys=True)


def _sources(versions):
    return {"date": datetime.date.today().isoformat(),
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items())}


def _options(settings):
    """The options that name a recipe."""
    options = f"--data {settings['data']} --preset {settings['preset']} --net {settings['net']}"
    if len(PAPERS[settings["paper"]].VOCABULARIES) > 1:
        options += f" --variant {settings['variant']}"
    return options


def _command(settings):
    """What repeats a run, but for its seed."""
    command = f"bnn-ref train {settings['paper']} {_options(settings)}"
    try:
        epochs = recipe.choose(PAPERS[settings["paper"]].RECIPES, settings["data"], settings["net"],
                               settings["preset"], settings["variant"]).epochs
    except KeyError:                             # a text task, or a recipe that is gone
        epochs = None
    return command if epochs == settings["epochs"] else f"{command} --epochs {settings['epochs']}"


# --- a row of 20 steps ---------------------------------------------------------------------------------------------


class _Enough(Exception):
    """Ends training after the steps that are timed."""


def time_steps(net, chosen, shape, examples):
    """(seconds of each of 20 training steps, steps of an epoch), in the training loop as it is, on noise.

    net, chosen: network and Recipe; shape: (C, H, W) of a picture; examples: how many are in memory. A step is all that
    the loop does for a minibatch. What comes once an epoch, statistics and validation, is not in it.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(examples, *shape), dtype=np.uint8)
    labels = np.arange(examples) % CLASSES
    noise = data.Dataset("noise", images, labels, images[:1], labels[:1], images[:1], labels[:1])
    moments, totals = [], []

    def tick(epoch, done, total, loss):
        moments.append(time.perf_counter())
        totals.append(total)
        if len(moments) > STEPS:
            raise _Enough

    try:
        list(train.train(net, chosen, noise, train.start(net, chosen, 0), 0, tick))
    except _Enough:
        pass
    return np.diff(moments).tolist(), totals[0]


def steps_row(settings, net, chosen, note=""):
    """The row of 20 training steps: how long an epoch takes, how much memory this process had at most; no error."""
    import resource  # not on Windows

    from .. import __version__, timing
    from ..kernels import compiled

    shape, examples = TRAINING[settings["data"]]
    seconds, total = time_steps(net, chosen, shape, examples)
    median = statistics.median(seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # MiB
    described = {name: settings[name] for name in ("paper", "variant", "data", "preset", "net")}
    return {
        "kind": "steps", **described, "form": "", "note": note, "epochs": chosen.epochs,
        "command": f"python -m bnn_ref.papers.measured --steps {settings['paper']} {_options(settings)}",
        "step_seconds": round(median, 4), "epoch_minutes": round(median * total / 60, 2), "peak_mib": round(peak),
        "machine": f"{timing.processor()}, {timing.on(compiled.threads())}",
        **_sources({"bnn_ref": __version__, "numpy": np.__version__, "python": sys.version.split()[0]}),
    }


# --- the tool ------------------------------------------------------------------------------------------------------


def add(new):
    """Put rows into the file, in place of all that are there for the same command on the same data."""
    replaced = {(row["command"], row["note"]) for row in new}
    kept = [row for row in rows() if (row["command"], row["note"]) not in replaced]
    with atomic_write(FILE) as file:
        file.write((json.dumps(sorted([*kept, *new], key=_place), indent=1, ensure_ascii=False) + "\n").encode())


def _place(row):
    """Where a row stands in the table: data, papers and variants in the package's order, the shortest recipe first."""
    return (list(published.DATA).index(row["data"]), list(PAPERS).index(row["paper"]),
            list(PAPERS[row["paper"]].VOCABULARIES).index(row["variant"]), row["net"] != "mlp",
            recipe.PRESETS.index(row["preset"]), row["command"], row["note"])


def _parser():
    from ..cli_options import Parser

    parser = Parser(prog="python -m bnn_ref.papers.measured", allow_abbrev=False,
                    description="Put measured results into the package's table, and print it.")
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="finished runs that differ in the seed alone")
    parser.add_argument("--note", default="", metavar="TEXT", help="on the data: what is shown beside their name")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the table between the markers of this file")
    parser.add_argument("--steps", dest="paper", choices=PAPERS, metavar="PAPER",
                        help=f"time {STEPS} training steps of its recipe, on noise; the options below say which")
    parser.add_argument("--data", choices=TRAINING, help="default: cifar10")
    parser.add_argument("--preset", choices=recipe.PRESETS, help="default: paper")
    parser.add_argument("--net", choices=recipe.NETS, help="default: what the preset has for the data")
    parser.add_argument("--variant", metavar="NAME", help="default: the paper's first")
    return parser


def _timed(options):
    """The row that --steps asks for."""
    from .. import cli_runs

    options.data, options.preset = options.data or "cifar10", options.preset or "paper"
    options.epochs = options.seed = None
    settings = cli_runs.choose_settings(options)
    shape, examples = TRAINING[options.data]
    chosen, vocabulary = cli_runs.rounds_of(settings, examples)[-1]
    return steps_row(settings, recipe.build(chosen, shape, CLASSES, vocabulary), chosen, options.note)


def main(argv):
    """Add what the arguments name to the file, print the table. Returns the exit code."""
    from ..cli_options import UsageError

    try:
        options = _parser().parse_args(argv)
        choice = [name for name in ("data", "preset", "net", "variant") if getattr(options, name)]
        if choice and not options.paper:
            raise UsageError(f"--{choice[0]} goes with --steps; runs have their own")
        asked = [options.runs, options.paper]
        if all(asked) or not any([*asked, options.readme]):
            raise UsageError("expected finished runs, or --steps PAPER, or --readme FILE alone")
        if options.runs:
            add(rows_of(options.runs, options.note))
        elif options.paper:
            add([_timed(options)])
        if options.readme:
            write_readme(options.readme)
    except (ValueError, OSError, ImportError, train.TrainingError) as error:
        print(f"measured: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
