"""A run folder: what a training run leaves on disk, written so that a kill at any moment loses one epoch at most.

    run.json        settings, recipe, versions; when finished also history, test_error (percent) and seconds
    run.lock        there while a program trains into the folder; the next one is refused
    checkpoint.npz  the state after the last epoch, while the run is not finished
    params.npz      parameters and running statistics of the best epoch, when finished
    curves.png      loss and validation error by epoch; weights.png: the real weights behind binary ones

Every file is replaced in one piece or not at all. Nothing in them is ever unpickled.
"""

import contextlib
import itertools
import math
import os
import re

import numpy as np

from ..files import PART, RUN_FILES, BusyError, DamagedError, atomic_write, check_regular, lock, read_arrays, sha256
from ..nets import network
from . import record
from .loop import State

ARRAY_FIELDS = ("params", "running", "best_params", "best_running")
LEFT = re.compile(rf"(?:{'|'.join(map(re.escape, RUN_FILES))})(?:{PART})+")       # what a killed program left
AGAIN = "train again with another --out"


class RunError(ValueError):
    """A run folder that cannot be used as asked; the message is one line that says what to do."""


class InUseError(RunError):
    """A place for a new run that something else has taken."""


def read(folder):
    """What run.json says, checked by `record.check_run`. Raises RunError."""
    path = folder / "run.json"
    try:
        check_regular(path)
        run = record.read(path.read_bytes())
        record.check_run(run)
        return run
    except OSError as error:
        raise RunError(f"{folder} is not a run folder: cannot read run.json ({error.strerror})") from None
    except (DamagedError, record.RecordError) as error:
        raise RunError(f"{path} is damaged, or of another version: {error}; {AGAIN}") from None


@contextlib.contextmanager
def hold(folder):
    """Nobody else trains into the folder meanwhile. Raises RunError where somebody does, and says who."""
    try:
        with lock(folder / "run.lock"):
            yield
    except BusyError as error:
        raise RunError(f"{folder}: {error} trains there; wait for it or stop it") from None


def _write_json(path, run):
    with atomic_write(path) as file:
        file.write(record.write(run))


# --- a folder to begin in ------------------------------------------------------------------------------------------


def begin(folder, run):
    """Make the folder and record in run.json what the run is; `run` needs "settings". Returns the record.

    A folder with anything in it is left alone, unless it is what a start left that was killed before run.json was
    whole; `tidy` removes that. Of two programs that begin in one folder at the same moment, one gets it.
    Raises InUseError for a folder that is in use, OSError for one that cannot be made.
    """
    in_use = InUseError(f"{folder} is there already; choose another --out, or go on with --resume if it is a run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InUseError(f"{folder} is a file; choose another --out") from None
    if not all(path.name.startswith("run.json.") and LEFT.fullmatch(path.name) for path in folder.iterdir()):
        raise in_use
    run = {"format": record.FORMAT, **run}
    whole = folder / f"run.json.{os.urandom(8).hex()}.part"
    try:
        _write_json(whole, run)
        _name_first(whole, folder / "run.json")
    except (FileExistsError, FileNotFoundError):       # another program was here first, a moment ago, and tidied up
        raise in_use from None
    finally:
        whole.unlink(missing_ok=True)
    return run


def _name_first(file, name):
    """Give a file a second name, which nothing has yet. Raises FileExistsError."""
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:                                    # a file system without hard links, such as that of a USB stick
        os.replace(file, name)


def exists(folder):
    """Whether there is a run in `folder`."""
    return (folder / "run.json").exists()


def _series(folder):
    """{number: folder} of the runs in `folder` (1), `folder`-2, `folder`-3, ..., the highest number first."""
    if not folder.parent.is_dir():
        return {}
    found = {}
    for path in folder.parent.iterdir():
        match = re.fullmatch(rf"{re.escape(folder.name)}(?:-([2-9]|[1-9]\d+))?", path.name)
        if match and exists(path):
            found[int(match[1] or 1)] = path
    return dict(sorted(found.items(), reverse=True))


def begin_another(folder, run):
    """As `begin`, in `folder` or, where there are such runs or anything else, in `folder`-2, `folder`-3, and so on.

    The number is above those of all runs there are, so that the highest is the newest. Returns (folder, run).
    """
    for number in itertools.count(max(_series(folder), default=0) + 1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            return place, begin(place, run)
        except InUseError:
            continue


def newest(folder):
    """Of the runs in `folder`, `folder`-2, ...: the newest that is not finished, else the newest, else `folder`."""
    found = list(_series(folder).values())
    return next((place for place in found if "test_error" not in read(place)), [*found, folder][0])


# --- arrays --------------------------------------------------------------------------------------------------------


def _save_arrays(path, arrays):
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def _load_arrays(path, wanted=None, required=()):
    try:
        return read_arrays(path, wanted, required)
    except DamagedError as error:
        raise RunError(f"{path}: {error}; {AGAIN}") from None


def _check_arrays(path, arrays, expected):
    """Raise RunError unless the arrays have the shapes of the dict, in float32 or what it says, and are finite."""
    for name, (shape, dtype) in expected.items():
        found = arrays.get(name)
        if found is None or (found.shape, found.dtype) != (shape, dtype):
            came = "nothing" if found is None else f"{found.dtype} {found.shape}"
            raise RunError(f"{path}: expected {name} as {dtype} {shape}, got {came}; it belongs to another "
                           "run or is damaged")
        if not np.isfinite(found).all():
            raise RunError(f"{path}: {name} holds NaN or infinity, expected finite numbers; {AGAIN}")


def save_checkpoint(folder, run, state):
    """Replace checkpoint.npz by the whole of `state`, and what run it is of. Raises OSError and leaves the last one."""
    arrays = {f"{field}/{name}": array for field in ARRAY_FIELDS for name, array in getattr(state, field).items()}
    optimizer = {key: slot for key, slot in state.optimizer.items() if key != "t"}
    arrays |= {f"optimizer/{key}/{name}": array for key, slot in optimizer.items() for name, array in slot.items()}
    words = {"of": record.identity(run), "epoch": state.epoch, "best_epoch": state.best_epoch,
             "history": state.history, "t": state.optimizer["t"]}
    arrays["json"] = np.frombuffer(record.write(words), np.uint8)
    _save_arrays(folder / "checkpoint.npz", arrays)


def note(folder, run, more):
    """Complete run.json by what is known before the run is finished. Returns the run."""
    run = {**run, **more}
    _write_json(folder / "run.json", run)
    return run


def _words(path, run, array):
    """What the checkpoint's array of bytes says. Raises RunError for a damaged one, and for one of another run."""
    try:
        words = record.read(array.tobytes())
        record.check_checkpoint(words)
    except record.RecordError as error:
        raise RunError(f"{path} is damaged: {error}; {AGAIN}") from None
    if words["of"] != record.identity(run):
        raise RunError(f"{path} is of another run than run.json beside it; bring its own back, or {AGAIN}")
    return words


def so_far(folder, run):
    """{"epoch": epochs done, "best_epoch", "history"} of a run, from its checkpoint while it is not finished.

    Raises RunError for a checkpoint that is damaged or of another run.
    """
    if "history" in run:
        return {"epoch": len(run["history"]), "best_epoch": run["best_epoch"], "history": run["history"]}
    path = folder / "checkpoint.npz"
    try:
        return _words(path, run, _load_arrays(path, ("json",), ("json",))["json"])
    except FileNotFoundError:
        return {"epoch": 0, "best_epoch": 0, "history": []}


def load_checkpoint(folder, run, first):
    """The State in checkpoint.npz, or `first`, the state before the first epoch, if there is none yet.

    Raises RunError for a file that is damaged, of another run, or whose arrays are not those of `first`.
    """
    path = folder / "checkpoint.npz"
    try:
        arrays = _load_arrays(path, required=("json",))
    except FileNotFoundError:
        return first
    words = _words(path, run, arrays["json"])
    fields = {field: getattr(first, field) for field in ARRAY_FIELDS}
    slots = {key: slot for key, slot in first.optimizer.items() if key != "t"}
    _check_arrays(path, arrays, {f"{prefix}/{name}": (like.shape, like.dtype)
                                 for prefix, slot in [*fields.items(), *((f"optimizer/{key}", slot)
                                                                         for key, slot in slots.items())]
                                 for name, like in slot.items()})
    return State(
        epoch=words["epoch"], best_epoch=words["best_epoch"], history=tuple(words["history"]),
        optimizer={"t": words["t"], **{key: {name: arrays[f"optimizer/{key}/{name}"] for name in slot}
                                       for key, slot in slots.items()}},
        **{field: {name: arrays[f"{field}/{name}"] for name in slot} for field, slot in fields.items()})


def finish(folder, run, state, result):
    """Write params.npz, then complete run.json by `result`, then drop the checkpoint: in this order, so that a kill
    in between leaves a run that --resume finishes. Returns the run."""
    path = folder / "params.npz"
    _save_arrays(path, state.best_params | state.best_running)
    run = note(folder, run, {**result, "history": list(state.history), "params_sha256": sha256(path)})
    tidy(folder)
    return run


def tidy(folder):
    """Remove what a finished run does not need, also where a kill came between its last two acts.

    Only for who holds the folder: whatever a program left that was killed while it wrote goes too, nothing else.
    """
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    for path in folder.iterdir():
        if LEFT.fullmatch(path.name):
            path.unlink(missing_ok=True)


def check_size(folder, net):
    """Raise RunError where run.json claims a larger network than the arrays beside it, before it takes memory."""
    claimed = 4 * sum(math.prod(shape) for shapes in network.shapes(net) for shape in shapes.values())
    sizes = [path.stat().st_size for path in (folder / "params.npz", folder / "checkpoint.npz") if path.exists()]
    if sizes and claimed > max(sizes):
        raise RunError(f"{folder / 'run.json'} is damaged: a network of {claimed:,} bytes, but arrays of "
                       f"{max(sizes):,}; {AGAIN}")


def load_params(folder, run, net):
    """(params, running statistics) of a finished run for `net`; only what the run itself wrote. Raises RunError."""
    path = folder / "params.npz"
    if "params_sha256" not in run:
        raise RunError(f"{folder} is not finished: go on with `train ... --out {folder} --resume`")
    try:
        check_regular(path)
        if sha256(path) != run["params_sha256"]:
            raise DamagedError("not the file that this run wrote: damaged, or of another run")
        arrays = _load_arrays(path)
    except FileNotFoundError:
        raise RunError(f"{path} is not there, though the run is finished; bring it back, or {AGAIN}") from None
    except DamagedError as error:
        raise RunError(f"{path}: {error}; bring it back, or {AGAIN}") from None
    params, running = network.shapes(net)
    _check_arrays(path, arrays, {name: (shape, np.dtype(np.float32)) for name, shape in (params | running).items()})
    return {name: arrays[name] for name in params}, {name: arrays[name] for name in running}
