"""`train ebp` on a text task: cross-validation, whose result is an error and not a network."""

import contextlib
import hashlib
import platform
import sys
import time

import numpy as np

from .. import __version__, data
from ..files import array_names
from ..training import record, runs
from . import folders
from .options import UsageError, recorded
from .terminal import say, write

SETTINGS = {"preset": "paper", "net": "mlp"}                           # what the paper's Table 1 did, and all there is
VARIANTS = ("binary", "real")
UNCHANGED = ("lr", "batch", "layers", "readable")
FOLDS = 8


def is_text(source):
    """Whether --data names a text task, or a file of texts: what arrays it holds tells."""
    if source is None or source in data.NAMES:
        return False
    if source.endswith(".npz"):
        names = array_names(source)
        return "indptr" in names and "train_x" not in names
    from ..training import text_tasks  # its kernels take a while to import

    return source in text_tasks.TASKS


def is_cross_validation(record):
    """Whether a run was one, by its record."""
    return "folds" in record["recipe"]


def run_cross_validation(options):
    """Cross-validate a text task into a run folder that records the errors. Returns the exit code."""
    if options.paper != "ebp":
        raise UsageError(f"--data {options.data}: a text task, which only `train ebp` takes")
    for name, offered in {**{name: (value,) for name, value in SETTINGS.items()}, "variant": VARIANTS}.items():
        if getattr(options, name) not in (None, *offered):
            raise UsageError(f"--{name} {getattr(options, name)}: for text tasks there is {' or '.join(offered)} alone")
    for name in UNCHANGED:
        if getattr(options, name):
            raise UsageError(f"--{name}: not for text tasks, which are trained as in the paper's Table 1, by kernels "
                             "(NUMBA_DISABLE_JIT=1 makes these plain Python)")
    if options.epochs and len(options.epochs) > 1:
        raise UsageError("--epochs: a text task is trained in one round, give one number")
    source = recorded(options.data)
    settings = {"paper": "ebp", "data": source, **SETTINGS, "variant": options.variant or VARIANTS[0],
                "epochs": sum(options.epochs or (3,)), "lr": None, "batch": None, "layers": None, "first_epochs": None,
                "seed": options.seed or 0}
    from ..training import text_tasks

    task = text_tasks.load_task(source, options.data_dir)
    if len(task.x) < FOLDS:
        raise UsageError(f"--data {options.data}: has {len(task.x)} examples, expected {FOLDS} at least, for as many "
                         "folds")
    described = {"settings": settings, "recipe": {"net": "120FC", "folds": str(FOLDS), "batch": "10"},
                 "shape": [1, 1, task.x.columns], "classes": 2, "examples": len(task.x), "fingerprint": _digest(task),
                 "versions": {"bnn_ref": __version__, "numpy": np.__version__, "python": platform.python_version()}}
    with contextlib.ExitStack() as held:
        folder, run = folders.find(options, settings, held)
        if run and record.identity(run) != record.identity(described):
            raise runs.RunError(f"{folder}: another task or other settings than now; begin another run with --out")
        if run is None or "test_error" not in run:     # before the folder: who cannot be told gets none
            say(f"ebp on {settings['data']}: {task.x.columns}-120-1, {settings['variant']}, {len(task.x):,} examples, "
                f"{FOLDS} folds", flush=True)
        if run is None:
            folder, run = folders.begin(options, folder, described, held)
        if "test_error" not in run:                    # what was interrupted begins anew: it takes seconds
            asked = [(f"--{name}", str(settings[name])) for name in ("data", "variant", "epochs", "seed")]
            with folders.going_on(options, folder, *sum(asked, ())):
                say(f"run folder {folder}", flush=True)
                run = _cross_validate(folder, run, task, settings)
        else:
            say(f"{folder} is finished already")
        runs.tidy(folder)
    say(f"test error with deterministic {run['forms']['deterministic']:.2f} %")
    say(f"test error {run['test_error']:.2f} %")
    return 0


def _cross_validate(folder, run, task, settings):
    from ..training import text_tasks

    epochs, live = settings["epochs"], sys.stdout.isatty()

    def tick(fold, epoch, p, d):
        last = epoch == epochs
        if live or last:
            start, end = "\r\x1b[K" if live else "", "\n" if last else ""
            write(f"{start}fold {fold}/{FOLDS}  epoch {epoch}/{epochs}  error {p:5.2f} %  deterministic {d:5.2f} %"
                  f"{end}")

    began, cpu_began = time.perf_counter(), time.process_time()
    result = text_tasks.cross_validate(task, epochs, FOLDS, seed=settings["seed"], tick=tick,
                                       weights=settings["variant"])
    p, d = result.final
    by_epoch = [{"epoch": epoch + 1, "test_error": float(result.p[:, epoch].mean()),
                 "deterministic": float(result.d[:, epoch].mean())} for epoch in range(epochs)]
    for epoch in by_epoch:
        say(f"after epoch {epoch['epoch']}: mean over folds {epoch['test_error']:.2f} %, deterministic "
            f"{epoch['deterministic']:.2f} %")
    return runs.note(folder, run, {
        "test_error": p, "forms": {"deterministic": d}, "by_epoch": by_epoch,
        "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu_began})


def _digest(task):
    digest = hashlib.sha256()
    for array in (task.x.indptr, task.x.indices, task.x.values, task.labels):
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
