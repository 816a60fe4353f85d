"""The command that trains: from the start, or from where a run stands, to the pictures and the test errors."""

import contextlib
import functools
import platform
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import __version__, data
from ..ops import preprocess
from ..training import arithmetic, forms, loop, record, runs
from . import choices, folders, text
from .options import UsageError
from .progress import Progress, duration
from .terminal import say


@dataclass(frozen=True)
class Job:
    """What a run trains with, from its first epoch to its last."""

    folder: Path
    settings: dict                    # as recorded
    dataset: data.Dataset
    data_folder: Path                 # where what takes long to fit to the data is kept for other runs
    rounds: list                      # [(network, its Recipe)] in order
    way: loop.Way

    def fitted(self, step, x):
        """What a step is fitted to pictures: whitening, which takes half a minute, once for all nets and seeds."""
        if step.fit is not preprocess.zca_fit:
            return step.fit(x)
        return preprocess.fitted(step.fit, x, f"{Path(self.settings['data']).stem}-whitening", self.data_folder)


def run_train(options):
    """Train a network into a run folder, from the start or from where the run stands. Returns the exit code."""
    if text.is_text(options.data):
        return text.run_cross_validation(options)
    from . import plots  # noqa: F401  what cannot be drawn at the end is said now

    if options.exact and not options.resume:
        raise UsageError("--exact: goes with --resume")
    asked = choices.choose(options)
    with contextlib.ExitStack() as held:
        folder, run = folders.find(options, asked, held)
        if run:
            _refuse_other_settings(options, asked, folder, run)
        job = _job(options, folder, run["settings"] if run else asked)
        described = _describe(job)
        if run:
            _refuse_other_origins(folder, run, described)
        if run is None or "test_error" not in run:
            _announce(job)
        if run is None:
            folder, run = folders.begin(options, folder, described, held)
            job = replace(job, folder=folder, settings=run["settings"])
        if "test_error" in run:
            runs.tidy(folder)
            say(f"{folder} is finished already")
        else:
            with folders.going_on(options, folder):
                run = _train_to_the_end(job, run, options.exact)
    _report(folder, run)
    return 0


# --- what a run is -------------------------------------------------------------------------------------------------


def _job(options, folder, settings):
    dataset = data.load(settings["data"], options.data_dir)
    rounds = [(choices.build_network(chosen, dataset.shape, dataset.classes, vocabulary), chosen)
              for chosen, vocabulary in choices.rounds_of(settings, dataset.shape)]
    way = loop.READABLE if options.readable else loop.choose_way(sum(
        loop.work(net, chosen, dataset.shape, len(dataset.train_x)) for net, chosen in rounds))
    return Job(folder, settings, dataset, data.data_folder(options.data_dir), rounds, way)


def _describe(job):
    """What run.json says of a run before its first epoch."""
    settings = {**job.settings, "epochs": sum(chosen.epochs for _, chosen in job.rounds)}
    return {"settings": settings, "recipe": job.rounds[-1][1].as_text(),
            "shape": list(job.dataset.shape), "classes": job.dataset.classes, "examples": len(job.dataset.train_x),
            "fingerprint": job.dataset.fingerprint,
            "versions": {"bnn_ref": __version__, "numpy": np.__version__, "python": platform.python_version()}}


def _refuse_other_settings(options, asked, folder, run):
    """--resume: what was given on the command line must be what the run has; what was not is taken from it."""
    has, wants = ({**settings, "epochs": choices.epochs_typed(settings) if settings["epochs"] else None}
                  for settings in (run["settings"], asked))
    if options.epochs and len(options.epochs) == 1:    # however they are shared out
        has["epochs"] = str(run["settings"]["epochs"])
    for name, own in has.items():
        if getattr(options, name, None) is not None and wants[name] != own:
            own = f"its recipe's {name}" if own is None else f"{name} {own}"
            raise runs.RunError(f"--resume: the run in {folder} has {own}, not {wants[name]}; leave that out, or begin "
                                "another run with --out")


def _refuse_other_origins(folder, run, described):
    """--resume: neither the data nor the recipe may have changed meanwhile."""
    for name, what in (("fingerprint", "data"), ("recipe", "recipe")):
        if run[name] != described[name]:
            raise runs.RunError(f"{folder}: the {what} changed since this run began; begin another with --out")
    if record.identity(run) != record.identity(described):
        raise runs.RunError(f"{folder}: run.json is not as this run began with it; begin another with --out")


# --- from here to the end ------------------------------------------------------------------------------------------


def _train_to_the_end(job, run, exact):
    """Train from the last checkpoint, or from the start; returns the finished run."""
    done = runs.so_far(job.folder, run)["epoch"]
    say(f"run folder {job.folder}", flush=True)
    run = _same_arithmetic(job, run, done, exact)
    progress = Progress(sum(chosen.epochs for _, chosen in job.rounds), done)
    state, errors, run = _train_rounds(job, run, done, progress)
    _draw(job, state)
    return runs.finish(job.folder, run, state, _results(job, state, errors, progress))


def _announce(job):
    """Say what is trained, at once: where nobody can be told, no folder is made either."""
    net, chosen = job.rounds[-1]
    count = sum(int(np.prod(param.shape)) for step in net for param in step.params)
    say(f"{job.settings['paper']} on {job.settings['data']}: {chosen.net}-{job.dataset.classes}FC, {count:,} "
        f"parameters, {job.settings['variant']}, {len(job.dataset.train_x):,} training images", flush=True)
    recipe_of, preset = choices.recipe_of(job.settings, job.dataset.shape), job.settings["preset"]
    own = "" if recipe_of == job.settings["data"] else f" for own pictures of {_shape(job.dataset)}"
    epochs = " + ".join(str(chosen.epochs) for _, chosen in job.rounds)
    say(f"recipe of {recipe_of} {preset}{own}: epochs {epochs}, batch {chosen.batch}; {job.way.name} steps", flush=True)


def _shape(dataset):
    return " × ".join(map(str, dataset.shape))


def _same_arithmetic(job, run, done, exact):
    """Record what the last bits depend on, or say where that changed since: then a resumed run ends in other bytes.

    Returns the run. Raises RunError where it changed, and `exact` refuses that.
    """
    now = arithmetic.describe(*job.rounds[0], job.dataset, job.settings["seed"], job.fitted)
    if done and "arithmetic" not in run:
        raise runs.RunError(f"{job.folder / 'run.json'} is damaged: arithmetic is missing; {runs.AGAIN}")
    began = run["arithmetic"] if done else now
    if now["first_step"] != began["first_step"]:
        changed = ", ".join(f"{what} {was}, now {now.get(what)}" for what, was in began.items()
                            if was != now.get(what) and what != "first_step") or "the processor's own kernels differ"
        said = f"{job.folder}: this run began where sums round otherwise ({changed})"
        if exact:
            raise runs.RunError(f"{said}: go on there, or without --exact")
        warnings.warn(f"{said}: it will not end in the bytes of a run in one go; --exact refuses that", stacklevel=1)
    return run if done else runs.note(job.folder, run, {"arithmetic": now})


def _train_rounds(job, run, done, progress):
    """The rounds one after another. Returns the last State, the test error of each round, and the run.

    done: epochs in the checkpoint. A round that ended before is not trained again: its error is in run.json.
    """
    state, first, errors = None, 0, run.get("rounds", [])
    for number, (net, chosen) in enumerate(job.rounds):
        if done <= first + chosen.epochs:
            if state is None:
                state = runs.load_checkpoint(job.folder, run, loop.start(net, chosen, job.settings["seed"]))
            else:
                state = loop.go_on(net, chosen, job.settings["seed"], state)
            state = _train_round(job, run, net, chosen, state, first, progress)
            errors = [*errors[:number], _test_error(job, net, state)]
            if number < len(job.rounds) - 1:
                say(f"round {number + 1} of {len(job.rounds)}: test error {errors[-1]:.2f} %", flush=True)
                run = runs.note(job.folder, run, {"rounds": errors})
        first += chosen.epochs
    return state, errors, run


def _train_round(job, run, net, chosen, state, first, progress):
    """Go on from `state` to the end of a round, saved after every epoch. first: epochs of the rounds before."""
    for after in loop.train(net, chosen, job.dataset, state, job.settings["seed"], progress.tick, first, job.fitted,
                            job.way):
        state = after
        runs.save_checkpoint(job.folder, run, state)
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


def _report(folder, run):
    best = run["history"][run["best_epoch"] - 1]
    say(f"best validation error {best['valid_error']:.2f} % in epoch {run['best_epoch']}, "
        f"{duration(run['seconds'])} of training; pictures in {folder}")
    for name, error in run.get("forms", {}).items():
        say(f"test error with {name} {error:.2f} %")
    say(f"test error {run['test_error']:.2f} %")
