"""A run folder: what a training run leaves on disk, written so that a kill at any moment loses one epoch at most.

    run.json        settings, recipe, versions; when finished also history, test_error (percent) and seconds
    checkpoint.npz  the state after the last epoch, while the run is not finished
    params.npz      parameters and running statistics of the best epoch, when finished
    curves.png      loss and validation error by epoch; weights.png: the real weights behind binary ones

Every file is replaced in one piece or not at all. Nothing in them is ever unpickled.
"""

import itertools
import json
import os
import re

import numpy as np

from ..files import DamagedError, atomic_write, read_arrays
from ..nets import network
from .loop import State

FORMAT = 2
SETTINGS = {"paper": str, "data": str, "preset": str, "net": str, "variant": str, "epochs": int, "seed": int}
CHANGES = {"lr": (float, type(None)), "batch": (int, type(None)), "layers": (str, type(None)),
           "first_epochs": (int, type(None))}                          # None: the recipe's own, as in older runs
RECORD = {"settings": dict, "recipe": dict, "shape": list, "classes": int, "examples": int, "fingerprint": str}
ARRAY_FIELDS = ("params", "running", "best_params", "best_running")


class RunError(ValueError):
    """A run folder that cannot be used as asked; the message is one line that says what to do."""


class InUseError(RunError):
    """A place for a new run that something else has taken."""


def _has(record, types):
    return isinstance(record, dict) and all(isinstance(record.get(key), of) for key, of in types.items())


def read(folder):
    """The record in run.json, checked to be one; its settings have all of SETTINGS and CHANGES. Raises RunError."""
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{folder} is not a run folder: cannot read run.json ({error.strerror})") from None
    except ValueError:
        record = None
    whole = _has(record, RECORD) and record.get("format") == FORMAT
    if whole:
        record["settings"] = {**dict.fromkeys(CHANGES), **record["settings"]}
        whole = _has(record["settings"], SETTINGS | CHANGES) and [type(size) for size in record["shape"]] == [int] * 3
    if not whole:
        raise RunError(f"{path} is damaged or not by this version (format {FORMAT}); train again with another --out")
    return record


def _write_json(path, run):
    with atomic_write(path) as file:
        file.write((json.dumps(run, indent=1, ensure_ascii=False) + "\n").encode())


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
    if not all(re.fullmatch(r"run\.json\..+\.part", path.name) for path in folder.iterdir()):
        raise in_use
    record = {"format": FORMAT, **run}
    whole = folder / f"run.json.{os.urandom(8).hex()}.part"
    try:
        _write_json(whole, record)
        _name_first(whole, folder / "run.json")
    except FileExistsError:                            # another program was here first, a moment ago
        raise in_use from None
    finally:
        whole.unlink(missing_ok=True)
    return record


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

    The number is above those of all runs there are, so that the highest is the newest. Returns (folder, record).
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


def _load_arrays(path):
    try:
        return read_arrays(path)
    except DamagedError as error:
        raise RunError(f"{path}: {error}; train again with another --out") from None


def _check_arrays(path, arrays, expected):
    for name, like in expected.items():
        found = arrays.get(name)
        if found is None or found.shape != like.shape or found.dtype != like.dtype:
            came = "nothing" if found is None else f"{found.dtype} {found.shape}"
            raise RunError(f"{path}: expected {name} as {like.dtype} {like.shape}, got {came}; it belongs to another "
                           "run or is damaged")


def save_checkpoint(folder, state):
    """Replace checkpoint.npz by the whole of `state`. Raises OSError and then leaves the last one."""
    arrays = {f"{field}/{name}": array for field in ARRAY_FIELDS for name, array in getattr(state, field).items()}
    optimizer = {key: slot for key, slot in state.optimizer.items() if key != "t"}
    arrays |= {f"optimizer/{key}/{name}": array for key, slot in optimizer.items() for name, array in slot.items()}
    rest = {"epoch": state.epoch, "best_epoch": state.best_epoch, "history": state.history,
            "t": state.optimizer["t"]}
    arrays["json"] = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    _save_arrays(folder / "checkpoint.npz", arrays)


def note(folder, run, more):
    """Complete run.json by what is known before the run is finished. Returns the record."""
    record = {**run, **more}
    _write_json(folder / "run.json", record)
    return record


def epochs_done(folder):
    """Epochs in the checkpoint, 0 if there is none yet. Raises RunError for a file that is damaged."""
    path = folder / "checkpoint.npz"
    try:
        return int(json.loads(_load_arrays(path)["json"].tobytes())["epoch"])
    except FileNotFoundError:
        return 0
    except (KeyError, ValueError, TypeError):
        raise RunError(f"{path} is damaged; train again with another --out") from None


def load_checkpoint(folder, first):
    """The State in checkpoint.npz, or `first`, the state before the first epoch, if there is none yet.

    Raises RunError for a file that is damaged or whose arrays are not those of `first`.
    """
    path = folder / "checkpoint.npz"
    try:
        arrays = _load_arrays(path)
    except FileNotFoundError:
        return first
    fields = {field: getattr(first, field) for field in ARRAY_FIELDS}
    optimizer = {key: slot for key, slot in first.optimizer.items() if key != "t"}
    _check_arrays(path, arrays, {f"{field}/{name}": like for field, slot in fields.items()
                                 for name, like in slot.items()})
    _check_arrays(path, arrays, {f"optimizer/{key}/{name}": like for key, slot in optimizer.items()
                                 for name, like in slot.items()})
    try:
        rest = json.loads(arrays["json"].tobytes())
        return State(
            epoch=rest["epoch"], best_epoch=rest["best_epoch"], history=tuple(rest["history"]),
            optimizer={"t": rest["t"], **{key: {name: arrays[f"optimizer/{key}/{name}"] for name in slot}
                                          for key, slot in optimizer.items()}},
            **{field: {name: arrays[f"{field}/{name}"] for name in slot} for field, slot in fields.items()})
    except (KeyError, ValueError, TypeError):
        raise RunError(f"{path} is damaged; train again with another --out") from None


def finish(folder, run, state, result):
    """Write params.npz, then complete run.json by `result`, then drop the checkpoint: in this order, so that a kill
    in between leaves a run that --resume finishes."""
    _save_arrays(folder / "params.npz", state.best_params | state.best_running)
    record = {**run, **result, "history": state.history}
    _write_json(folder / "run.json", record)
    tidy(folder)
    return record


def tidy(folder):
    """Remove what a finished run does not need, also where a kill came between its last two acts."""
    for path in [folder / "checkpoint.npz", *folder.glob("*.part")]:
        path.unlink(missing_ok=True)


def load_params(folder, net):
    """(params, running statistics) of a finished run for `net`. Raises RunError."""
    path = folder / "params.npz"
    params, running = network.init(net, np.random.default_rng(0))
    try:
        arrays = _load_arrays(path)
    except FileNotFoundError:
        raise RunError(f"{folder} is not finished: go on with `train ... --out {folder} --resume`") from None
    _check_arrays(path, arrays, params | running)
    for name in params | running:
        if not np.isfinite(arrays[name]).all():
            raise RunError(f"{path}: {name} holds NaN or infinity, expected finite numbers; train again with another "
                           "--out")
    return {name: arrays[name] for name in params}, {name: arrays[name] for name in running}
