"""The command that puts runs side by side: what became of each in a table, all of their curves in one picture.

The papers show the variants of one system so: what binarization costs is seen best beside the network without it.
"""

import json
import textwrap
from dataclasses import dataclass

from ..files import DamagedError, read_arrays
from ..nets import network
from ..training import runs
from . import choices, text
from .options import UsageError, save_picture, table
from .progress import duration

MOST = 8                              # runs in a picture whose colours can still be told apart
EPOCH = ("epoch", "loss", "valid_error", "seconds")


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
        return f"{self.name}: {settings['paper']} {settings['variant']}{stands}"

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

    print(table([("run", "paper", "variant", "data", "epochs", "best validation error", "test error", "time"),
                 *map(_cells, found)], 4))
    if len({run.record["fingerprint"] for run in found}) > 1:
        print("\nThe runs are of different data: their errors are not to be compared.")
    if any(run.history for run in found):
        curves = [(run.label, run.history, run.best_epoch, run.finished) for run in found]
        save_picture(plots.compared(curves), options.out)
    else:
        print("no epoch yet: nothing to draw")
    if options.weights:
        labels = [textwrap.fill(run.label, 24) for run in found]
        save_picture(plots.weight_histograms(dict(zip(labels, weights)), labels), options.weights)
    return 0


def _read(folder, name):
    """The Run in a folder. Raises runs.RunError for one that is damaged or none."""
    record = runs.read(folder)
    if text.is_cross_validation(record):
        raise runs.RunError(f"{folder}: a cross-validation, which has no curves to compare")
    finished = "test_error" in record
    stands, file = (record, "run.json") if finished else (_checkpoint(folder), "checkpoint.npz")
    try:
        history, best_epoch = list(stands["history"]), stands["best_epoch"]
        numbers = [epoch[key] for epoch in history for key in EPOCH] + [record.get("test_error", 0)]
        whole = all(isinstance(number, (int, float)) for number in numbers) and best_epoch in range(len(history) + 1)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise runs.RunError(f"{folder / file} is damaged: expected the epochs of a run, and which was the best")
    total = sum(chosen.epochs for chosen, _ in choices.rounds_of(record["settings"], record["shape"]))
    return Run(name, record, history, best_epoch, finished, total)


def _checkpoint(folder):
    """What the checkpoint of an unfinished run says in words, {"history": [...], "best_epoch": ...}."""
    try:
        arrays = read_arrays(folder / "checkpoint.npz", ("json",), ("json",))
        return json.loads(arrays["json"].tobytes())
    except FileNotFoundError:
        return {"history": [], "best_epoch": 0}
    except (DamagedError, ValueError) as error:
        raise runs.RunError(f"{folder / 'checkpoint.npz'} is damaged: {error}") from None


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
