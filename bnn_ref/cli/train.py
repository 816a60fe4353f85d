"""The command that trains: from the start, or from where a run stands, to the pictures and the test errors."""

import functools
import platform
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import __version__, data
from ..ops import preprocess
from ..training import forms, loop, runs
from . import choices, folders, text
from .options import UsageError
from .progress import Progress, duration


@dataclass(frozen=True)
class Job:
    """What a run trains with, from its first epoch to its last."""

    folder: Path
    settings: dict                    # as recorded
    dataset: data.Dataset
    data_folder: Path                 # where what takes long to fit to the data is kept for other runs
    rounds: list                      # [(network, its Recipe)] in order
    way: loop.Way


def run_train(options):
    """Train a network into a run folder, from the start or from where the run stands. Returns the exit code."""
    if text.is_text(options.data):
        return text.run_cross_validation(options)
    asked = choices.choose(options)
    folder, record = folders.find(options, asked)
    if record:
        _refuse_other_settings(options, asked, folder, record)
    settings = record["settings"] if record else asked
    dataset = data.load(settings["data"], options.data_dir)
    rounds = [(choices.build_network(chosen, dataset.shape, dataset.classes, vocabulary), chosen)
              for chosen, vocabulary in choices.rounds_of(settings, dataset.shape)]
    described = _describe(settings, dataset, [chosen for _, chosen in rounds])
    if record:
        _refuse_other_origins(folder, record, described)
    else:
        folder, record = folders.begin(options, folder, described)
    if "test_error" in record:
        runs.tidy(folder)
        print(f"{folder} is finished already")
    else:
        way = loop.READABLE if options.readable else loop.choose_way(sum(
            loop.work(net, chosen, dataset.shape, len(dataset.train_x)) for net, chosen in rounds))
        job = Job(folder, record["settings"], dataset, data.data_folder(options.data_dir), rounds, way)
        record = _train_to_the_end(job, record, _command_to_go_on(options, folder))
    _report(folder, record)
    return 0


# --- what a run is -------------------------------------------------------------------------------------------------


def _describe(settings, dataset, recipes):
    """What run.json says of a run before its first epoch. recipes: the Recipe of each round."""
    settings = {**settings, "epochs": sum(chosen.epochs for chosen in recipes)}
    return {"settings": settings, "recipe": recipes[-1].as_text(), "shape": list(dataset.shape),
            "classes": dataset.classes, "examples": len(dataset.train_x), "fingerprint": dataset.fingerprint,
            "versions": {"bnn_ref": __version__, "numpy": np.__version__, "python": platform.python_version()}}


def _refuse_other_settings(options, asked, folder, record):
    """--resume: what was given on the command line must be what the run has; what was not is taken from it."""
    has, wants = ({**settings, "epochs": choices.epochs_typed(settings) if settings["epochs"] else None}
                  for settings in (record["settings"], asked))
    if options.epochs and len(options.epochs) == 1:    # however they are shared out
        has["epochs"] = str(record["settings"]["epochs"])
    for name, own in has.items():
        if getattr(options, name, None) is not None and wants[name] != own:
            own = f"its recipe's {name}" if own is None else f"{name} {own}"
            raise runs.RunError(f"--resume: the run in {folder} has {own}, not {wants[name]}; leave that out, or begin "
                                "another run with --out")


def _refuse_other_origins(folder, record, described):
    """--resume: neither the data nor the recipe may have changed meanwhile."""
    for name, what in (("fingerprint", "data"), ("recipe", "recipe")):
        if record.get(name) != described[name]:
            raise runs.RunError(f"{folder}: the {what} changed since this run began; begin another with --out")


def _command_to_go_on(options, folder):
    words = ["bnn-ref", "train", options.paper, "--out", str(folder), "--resume"]
    words += ["--data-dir", options.data_dir] if options.data_dir else []
    words += ["--readable"] if options.readable else []
    return shlex.join(words)


# --- from here to the end ------------------------------------------------------------------------------------------


def _train_to_the_end(job, record, again):
    """Train from the last checkpoint, or from the start; returns the finished run's record.

    Ctrl-C and a disk that is full say how to go on: by the command `again`.
    """
    try:
        done = runs.epochs_done(job.folder)
        _announce(job)
        progress = Progress(sum(chosen.epochs for _, chosen in job.rounds), done)
        state, errors, record = _train_rounds(job, record, done, progress)
        _draw(job, state)
        return runs.finish(job.folder, record, state, _results(job, state, errors, progress))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with: {again}") from None
    except OSError as error:
        raise UsageError(f"{error.filename or job.folder}: {error.strerror}; the last saved epoch is safe, go on with: "
                         f"{again}") from None


def _announce(job):
    net, chosen = job.rounds[-1]
    count = sum(int(np.prod(param.shape)) for step in net for param in step.params)
    print(f"{job.settings['paper']} on {job.settings['data']}: {chosen.net}-{job.dataset.classes}FC, {count:,} "
          f"parameters, {job.settings['variant']}, {len(job.dataset.train_x):,} training images -> {job.folder}")
    recipe_of, preset = choices.recipe_of(job.settings, job.dataset.shape), job.settings["preset"]
    own = "" if recipe_of == job.settings["data"] else f" for own pictures of {_shape(job.dataset)}"
    epochs = " + ".join(str(chosen.epochs) for _, chosen in job.rounds)
    print(f"recipe of {recipe_of} {preset}{own}: epochs {epochs}, batch {chosen.batch}; {job.way.name} steps",
          flush=True)


def _shape(dataset):
    return " × ".join(map(str, dataset.shape))


def _train_rounds(job, record, done, progress):
    """The rounds one after another. Returns the last State, the test error of each round, and the record.

    done: epochs in the checkpoint. A round that ended before is not trained again: its error is in the record.
    """
    state, first, errors = None, 0, record.get("rounds", [])
    for number, (net, chosen) in enumerate(job.rounds):
        if done <= first + chosen.epochs:
            if state is None:
                state = runs.load_checkpoint(job.folder, loop.start(net, chosen, job.settings["seed"]))
            else:
                state = loop.go_on(net, chosen, job.settings["seed"], state)
            state = _train_round(job, net, chosen, state, first, progress)
            errors = [*errors[:number], _test_error(job, net, state)]
            if number < len(job.rounds) - 1:
                print(f"round {number + 1} of {len(job.rounds)}: test error {errors[-1]:.2f} %", flush=True)
                record = runs.note(job.folder, record, {"rounds": errors})
        first += chosen.epochs
    return state, errors, record


def _train_round(job, net, chosen, state, first, progress):
    """Go on from `state` to the end of a round, saved after every epoch. first: epochs of the rounds before."""
    def fitted(step, x):
        if step.fit is not preprocess.zca_fit:         # half a minute, and the same for every net and seed
            return step.fit(x)
        return preprocess.fitted(step.fit, x, f"{Path(job.settings['data']).stem}-whitening", job.data_folder)

    for after in loop.train(net, chosen, job.dataset, state, job.settings["seed"], progress.tick, first, fitted,
                            job.way):
        state = after
        runs.save_checkpoint(job.folder, state)
        progress.epoch(state.history[-1], state.best_epoch)
    return state


def _test_error(job, net, state):
    return loop.error_rate(net, state.best_params, state.best_running, job.dataset.test_x, job.dataset.test_y)


# --- what remains of it --------------------------------------------------------------------------------------------


def _draw(job, state):
    """The pictures: curves.png, and weights.png where real weights stand behind binary ones."""
    from . import plots  # Matplotlib takes a second: only for those who draw

    plots.save(plots.curves(state.history, state.best_epoch), job.folder / "curves.png")
    binary = list(loop.binary_shapes(job.rounds[-1][0]))
    if binary:
        plots.save(plots.weight_histograms(state.best_params, binary), job.folder / "weights.png")


def _results(job, state, errors, progress):
    """What a finished run records besides its history: the test errors of its rounds and forms, best epoch, times."""
    results = {"test_error": errors[-1], "best_epoch": state.best_epoch,
               **{key: sum(epoch[key] for epoch in state.history) for key in ("seconds", "cpu_seconds")}}
    if len(errors) > 1:
        results["rounds"] = errors
    net, chosen = job.rounds[-1]
    binary = list(loop.binary_shapes(net))
    offered = {name: forms.error_rate(form, chosen, binary, job.dataset, state.best_params, state.best_running,
                                      functools.partial(progress.testing, name), job.way)
               for name, form in choices.forms(job.settings).items()}
    return {**results, "forms": offered} if offered else results


def _report(folder, record):
    best = record["history"][record["best_epoch"] - 1]
    print(f"best validation error {best['valid_error']:.2f} % in epoch {record['best_epoch']}, "
          f"{duration(record['seconds'])} of training; pictures in {folder}")
    for name, error in record.get("forms", {}).items():
        print(f"test error with {name} {error:.2f} %")
    print(f"test error {record['test_error']:.2f} %")
