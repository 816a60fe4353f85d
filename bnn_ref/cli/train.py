"""The command that trains: from the start, or from where a run stands, to the pictures and the test errors."""

import functools
import platform
import shlex
import sys
from pathlib import Path

import numpy as np

from .. import __version__, data
from ..ops import preprocess
from ..training import forms, loop, runs
from . import choices, text
from .options import UsageError
from .progress import Progress, duration


def _default_folder(settings):
    parts = [settings["paper"], settings["variant"], settings["net"], Path(settings["data"]).stem, settings["preset"],
             f"seed{settings['seed']}"]
    return Path("runs") / "-".join(parts)


def _refuse_other_settings(options, asked, settings):
    """--resume: what was given on the command line must be what the run has; what was not is taken from it."""
    for name in ("paper", "data", "preset", "net", "variant", "epochs", "seed"):
        if getattr(options, name) is not None and asked[name] != settings[name]:
            raise runs.RunError(f"--resume: the run has {name} {settings[name]}, not {asked[name]}; leave that out, "
                                "or begin another run with --out")


def run_train(options):
    """Train a network into a run folder, from the start or from where the run stands. Returns the exit code."""
    if text.is_text(options.data):
        return text.run_cross_validation(options)
    settings = choices.choose(options)
    folder = options.out or _default_folder(settings)
    record = runs.read(folder) if options.resume and runs.exists(folder) else None
    if record:
        _refuse_other_settings(options, settings, record["settings"])
        settings = record["settings"]
    dataset = data.load(settings["data"], options.data_dir)
    rounds = choices.rounds_of(settings, len(dataset.train_x))
    nets = [choices.build_network(chosen, dataset.shape, dataset.classes, vocabulary)
            for chosen, vocabulary in rounds]
    last = rounds[-1][0]
    described = {"settings": {**settings, "epochs": last.epochs}, "recipe": last.as_text(),
                 "shape": list(dataset.shape), "classes": dataset.classes, "examples": len(dataset.train_x),
                 "fingerprint": dataset.fingerprint,
                 "versions": {"bnn_ref": __version__, "numpy": np.__version__, "python": platform.python_version()}}
    if record:
        for name, what in (("fingerprint", "data"), ("recipe", "recipe")):
            if record.get(name) != described[name]:
                raise runs.RunError(f"{folder}: the {what} changed since this run began; begin another with --out")
    else:
        record = runs.begin(folder, described)
    if "test_error" in record:
        runs.tidy(folder)
        print(f"{folder} is finished already")
        return _report(folder, record)
    return _go_on(options, folder, record, [(net, chosen) for net, (chosen, _) in zip(nets, rounds)], dataset)


def _go_on(options, folder, record, rounds, dataset):
    """Train from the last checkpoint, or from the start, to the end; say how to go on if that is not reached."""
    again = ["bnn-ref", "train", options.paper, "--out", str(folder), "--resume"]
    again = shlex.join(again + (["--data-dir", options.data_dir] if options.data_dir else []))
    settings, (net, chosen) = record["settings"], rounds[-1]
    try:
        done = runs.epochs_done(folder)
        count = sum(int(np.prod(param.shape)) for step in net for param in step.params)
        print(f"{options.paper} on {settings['data']}: {chosen.net}-{dataset.classes}FC, {count:,} parameters, "
              f"{settings['variant']}, {len(dataset.train_x):,} training images -> {folder}", flush=True)
        cache = data.data_folder(options.data_dir), Path(settings["data"]).stem
        return _run_rounds(folder, record, rounds, dataset, done, cache)
    except KeyboardInterrupt:
        print(f"\nbnn-ref: stopped; go on with: {again}", file=sys.stderr)
        return 130
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}; the last saved epoch is safe, go on with: "
                         f"{again}") from None


def _run_rounds(folder, record, rounds, dataset, done, cache):
    """The rounds one after another, each saved after every epoch; then the pictures and the test errors.

    done: epochs in the checkpoint. A round that ended before is not trained again. cache: folder and name for what
    takes long to fit to the data.
    """
    from . import plots  # Matplotlib takes a second: only for those who draw

    def fitted(step, x):
        if step.fit is not preprocess.zca_fit:         # half a minute, and the same for every net and seed
            return step.fit(x)
        return preprocess.fitted(step.fit, x, f"{cache[1]}-whitening", cache[0])

    seed, state, first = record["settings"]["seed"], None, 0
    progress = Progress(sum(chosen.epochs for _, chosen in rounds), done)
    errors = record.get("rounds", [])
    for number, (net, chosen) in enumerate(rounds):
        if done > first + chosen.epochs:
            first += chosen.epochs
            continue
        begun = loop.start(net, chosen, seed) if state is None else loop.go_on(net, chosen, seed, state)
        state = runs.load_checkpoint(folder, begun) if state is None else begun
        for after in loop.train(net, chosen, dataset, state, seed, progress.tick, first, fitted):
            state = after
            runs.save_checkpoint(folder, state)
            progress.epoch(state.history[-1], state.best_epoch)
        first += chosen.epochs
        error = loop.error_rate(net, state.best_params, state.best_running, dataset.test_x, dataset.test_y)
        errors = [*errors[:number], error]
        if number < len(rounds) - 1:
            print(f"round {number + 1} of {len(rounds)}: test error {error:.2f} %", flush=True)
            record = runs.note(folder, record, {"rounds": errors})
    return _finish(folder, record, rounds[-1], dataset, state, errors, plots, progress)


def _finish(folder, record, last, dataset, state, errors, plots, progress):
    """Pictures, the test errors, and the run folder complete. last: network and recipe of the last round."""
    net, chosen = last
    plots.save(plots.curves(state.history), folder / "curves.png")
    binary = list(loop.binary_shapes(net))
    if binary:
        plots.save(plots.weight_histograms(state.best_params, binary), folder / "weights.png")
    result = {"test_error": errors[-1], "best_epoch": state.best_epoch,
              **{key: sum(epoch[key] for epoch in state.history) for key in ("seconds", "cpu_seconds")}}
    if len(errors) > 1:
        result["rounds"] = errors
    offered = choices.forms(record["settings"])
    if offered:
        result["forms"] = {name: forms.error_rate(form, chosen, binary, dataset, state.best_params,
                                                      state.best_running, functools.partial(progress.testing, name))
                           for name, form in offered.items()}
    return _report(folder, runs.finish(folder, record, state, result))


def _report(folder, record):
    best = record["history"][record["best_epoch"] - 1]
    print(f"best validation error {best['valid_error']:.2f} % in epoch {record['best_epoch']}, "
          f"{duration(record['seconds'])} of training; pictures in {folder}")
    for name, error in record.get("forms", {}).items():
        print(f"test error with {name} {error:.2f} %")
    print(f"test error {record['test_error']:.2f} %")
    return 0
