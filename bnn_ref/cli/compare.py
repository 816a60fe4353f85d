"""The command that puts runs side by side: what became of each in a table, all of their curves in one picture.

The papers show the variants of one system so: what binarization costs is seen best beside the network without it.
"""

import textwrap
from dataclasses import dataclass

from ..files import printable, without_middle
from ..nets import network
from ..training import runs
from . import choices, text
from .options import UsageError, save_picture, table
from .progress import duration
from .terminal import say

MOST = 8                              # runs in a picture whose colours can still be told apart
NAME = 50                             # characters of a run's name in a picture


@dataclass(frozen=True)
class Run:
    """A run as far as it has come: finished, stopped, or still on its way in another process."""

    name: str                         # of its folder; with the way there, where that is not enough
    record: dict                      # run.json
    history: list                     # a dict an epoch
    best_epoch: int                   # 0: none yet
    finished: bool
    total: int                        # epochs, when finished

    @property
    def label(self):
        settings = self.record["settings"]
        stands = "" if self.finished else f", {self.epochs} epochs"
        return printable(f"{without_middle(self.name, NAME)}: {settings['paper']} {settings['variant']}{stands}")

    @property
    def epochs(self):
        return str(len(self.history)) if self.finished else f"{len(self.history)} of {self.total}"


def show_compare(options):
    """Print a table of runs and draw their curves, and their weights if asked. Returns the exit code."""
    from . import plots  # Matplotlib takes a second: only for those who draw

    if len(options.runs) > MOST:
        raise UsageError(f"expected up to {MOST} runs, whose colours can be told apart, got {len(options.runs)}")
    names = [folder.resolve().name for folder in options.runs]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in options.runs]
    found = [_read(folder, name) for folder, name in zip(options.runs, names)]
    weights = [_first_weights(folder) for folder in options.runs] if options.weights else None

    say(table([("run", "paper", "variant", "data", "epochs", "best validation error", "test error", "time"),
               *map(_cells, found)], 4))
    if len({run.record["fingerprint"] for run in found}) > 1:
        say("\nThe runs are of different data: their errors are not to be compared.")
    if any(run.history for run in found):
        curves = [(run.label, run.history, run.best_epoch, run.finished) for run in found]
        save_picture(plots.compared(curves), options.out)
    else:
        say("no epoch yet: nothing to draw")
    if options.weights:
        titles = [textwrap.fill(run.label, 24) for run in found]
        save_picture(plots.weight_histograms(weights, range(len(found)), titles), options.weights)
    return 0


def _read(folder, name):
    """The Run in a folder. Raises runs.RunError for one that is damaged or none."""
    run = runs.read(folder)
    if text.is_cross_validation(run):
        raise runs.RunError(f"{folder}: a cross-validation, which has no curves to compare")
    stands = runs.so_far(folder, run)
    total = sum(chosen.epochs for chosen, _ in choices.rounds_of(run["settings"], run["shape"]))
    return Run(name, run, stands["history"], stands["best_epoch"], "test_error" in run, total)


def _cells(run):
    settings = run.record["settings"]
    best = "-"
    if run.best_epoch:
        best = f"{run.history[run.best_epoch - 1]['valid_error']:.2f} % in epoch {run.best_epoch}"
    test = f"{run.record['test_error']:.2f} %" if run.finished else "unfinished"
    return (run.name, settings["paper"], settings["variant"], settings["data"], run.epochs, best, test,
            duration(sum(epoch["seconds"] for epoch in run.history)))


def _first_weights(folder):
    """The real weights of the first layer of a finished run."""
    _, net, params, _ = choices.finished_run(folder)
    return params[next(iter(network.param_specs(net)))]
