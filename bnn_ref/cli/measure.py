"""Puts what was measured into the table of results, `papers/measured.json`, and the table into the README.

`bnn-ref measure RUN [RUN ...]` puts runs that differ in the seed alone into the file, in place of older rows
for the same command. `--steps PAPER --data NAME` does so for a network too large to be trained in a day: it times 20
training steps, and claims no error. `--readme FILE` puts the table between the markers of a Markdown file.
"""

import datetime
import json
import statistics
import sys
import time
from dataclasses import replace

import numpy as np

from .. import __version__, data
from ..files import atomic_write
from ..nets import recipe
from ..papers import PAPERS, measured, published
from ..training import loop, runs
from . import choices, markdown
from .options import UsageError
from .terminal import say

TRAINING = {"mnist": ((1, 28, 28), 50_000), "cifar10": ((3, 32, 32), 45_000), "svhn": ((3, 32, 32), 598_388)}
CLASSES = 10                                     # of each: shape and number of training pictures


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
    cpu = [record["cpu_seconds"] for record in records]
    shared = {
        "epochs": len(records[0]["history"]) if "rounds" in records[0] else one["epochs"],
        "minutes": round(max(record["seconds"] for record in records) / 60, 2),
        "cpu_minutes": round(max(cpu) / 60, 2),
        **_sources(records[0].get("versions", {})),
    }
    described = {name: one[name] for name in ("paper", "variant", "data", "preset", "net")}
    described |= {"layers": one["layers"]} if one["layers"] else {}
    return [{"kind": "error", **described, "form": form, "note": note, "command": _command(one), "seeds": seeds,
             "test_errors": [round(by_form[form], 4) for by_form in errors], **shared} for form in errors[0]]


def _errors(folder, record):
    """{form: test error} of a finished run."""
    if "test_error" not in record:
        raise runs.RunError(f"{folder}: expected finished runs that differ in the seed alone; this one is not finished")
    rounds = {f"round {number}": error for number, error in enumerate(record.get("rounds", []), 1)}
    return {**(rounds or {"": record["test_error"]}), **record.get("forms", {})}


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
    for name in ("lr", "batch", "layers"):
        if settings[name] is not None:
            command += f" --{name} {settings[name]}"
    epochs = choices.epochs_typed(settings)
    try:
        own = choices.rounds_of({**settings, "epochs": None}, ())
        return command if epochs == str(sum(chosen.epochs for chosen, _ in own)) else f"{command} --epochs {epochs}"
    except runs.RunError:                        # a text task, or a recipe that is gone
        return f"{command} --epochs {epochs}"


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
    way = replace(loop.choose_way(loop.work(net, chosen, shape, examples)), warm=None)    # from the first step on

    def tick(epoch, done, total, loss):
        moments.append(time.perf_counter())
        totals.append(total)
        if len(moments) > measured.STEPS:
            raise _Enough

    try:
        list(loop.train(net, chosen, noise, loop.start(net, chosen, 0), 0, tick, way=way))
    except _Enough:
        pass
    return np.diff(moments).tolist(), totals[0]


def steps_row(settings, net, chosen, note=""):
    """The row of 20 training steps: how long an epoch takes, how much memory this process had at most; no error."""
    try:
        import resource
    except ImportError:
        raise UsageError("--steps: expected Python's module resource, which counts memory; Windows has none") from None

    from ..bench import timing  # here, because Numba takes a while to import
    from ..kernels import compiled

    shape, examples = TRAINING[settings["data"]]
    seconds, total = time_steps(net, chosen, shape, examples)
    median = statistics.median(seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)  # MiB
    described = {name: settings[name] for name in ("paper", "variant", "data", "preset", "net")}
    return {
        "kind": "steps", **described, "form": "", "note": note, "epochs": chosen.epochs,
        "command": f"bnn-ref measure --steps {settings['paper']} {_options(settings)}",
        "step_seconds": round(median, 4), "epoch_minutes": round(median * total / 60, 2), "peak_mib": round(peak),
        "machine": f"{timing.processor()}, {timing.on(compiled.threads())}",
        **_sources({"bnn_ref": __version__, "numpy": np.__version__, "python": sys.version.split()[0]}),
    }


# --- the tool ------------------------------------------------------------------------------------------------------


def add(new):
    """Put rows into the file, in place of all that are there for the same command on the same data."""
    replaced = {(row["command"], row["note"]) for row in new}
    kept = [row for row in measured.rows() if (row["command"], row["note"]) not in replaced]
    with atomic_write(measured.FILE) as file:
        file.write((json.dumps(sorted([*kept, *new], key=_place), indent=1, ensure_ascii=False) + "\n").encode())


def _place(row):
    """Where a row stands in the table: data, papers and variants in the package's order, the shortest recipe first."""
    return (list(published.DATA).index(row["data"]), row["kind"] == "steps", row["note"],
            list(PAPERS).index(row["paper"]), list(PAPERS[row["paper"]].VOCABULARIES).index(row["variant"]),
            recipe.NETS.index(row["net"]), recipe.PRESETS.index(row["preset"]), row["command"])


def _timed(options):
    """The row that --steps asks for."""
    options.data, options.preset = options.data or "cifar10", options.preset or "paper"
    settings = choices.choose(options)
    shape, _ = TRAINING[options.data]
    chosen, vocabulary = choices.rounds_of(settings, shape)[-1]
    return steps_row(settings, choices.build_network(chosen, shape, CLASSES, vocabulary), chosen,
                     options.note)


def run_measure(options):
    """Add what the options name to the file, print the table. Returns the exit code."""
    choice = [name for name in ("data", "preset", "net", "variant") if getattr(options, name)]
    if choice and not options.paper:
        raise UsageError(f"--{choice[0]} goes with --steps; runs have their own")
    asked = [options.runs, options.paper]
    if all(asked) or not any([*asked, options.readme]):
        raise UsageError("expected finished runs, or --steps PAPER, or --readme FILE alone")
    try:
        if options.readme:
            markdown.around(options.readme, "measured")        # before anything is changed
    except ValueError as error:
        raise UsageError(error) from None
    if options.runs:
        add(rows_of(options.runs, options.note))
    elif options.paper:
        add([_timed(options)])
    say(measured.table(), flush=True)
    if options.readme:
        markdown.write_part(options.readme, "measured", measured.table())
    return 0
