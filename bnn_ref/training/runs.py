"""A run folder: what a training run leaves on disk, written so that a kill at any moment loses one epoch at most.

    run.json        settings, recipe, versions; when finished also history, test_error (percent) and seconds
    checkpoint.npz  the state after the last epoch, while the run is not finished
    params.npz      parameters and running statistics of the best epoch, when finished
    curves.png      loss and validation error by epoch; weights.png: the real weights behind binary ones

Every file is replaced in one piece or not at all. Nothing in them is ever unpickled.
"""

import json

import numpy as np

from ..files import DamagedError, atomic_write, read_arrays
from ..nets import network
from .loop import State

FORMAT = 2
SETTINGS = {"paper": str, "data": str, "preset": str, "net": str, "variant": str, "epochs": int, "seed": int}
RECORD = {"settings": dict, "recipe": dict, "shape": list, "classes": int, "examples": int, "fingerprint": str}
ARRAY_FIELDS = ("params", "running", "best_params", "best_running")


class RunError(ValueError):
    """A run folder that cannot be used as asked; the message is one line that says what to do."""


def _has(record, types):
    return isinstance(record, dict) and all(isinstance(record.get(key), of) for key, of in types.items())


def read(folder):
    """The record in run.json, checked to be one. Raises RunError."""
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{folder} is not a run folder: cannot read run.json ({error.strerror})") from None
    except ValueError:
        record = None
    whole = _has(record, RECORD) and _has(record["settings"], SETTINGS) and record.get("format") == FORMAT
    if not whole or [type(size) for size in record["shape"]] != [int, int, int]:
        raise RunError(f"{path} is damaged or not by this version (format {FORMAT}); train again with another --out")
    return record


def _write_json(folder, run):
    with atomic_write(folder / "run.json") as file:
        file.write((json.dumps(run, indent=1, ensure_ascii=False) + "\n").encode())


def begin(folder, run):
    """Make the folder and record in run.json what the run is; `run` needs "settings". Returns the record.

    Raises RunError for a folder that is in use, OSError for one that cannot be made.
    A folder with anything in it is left alone, except remains of a start that was killed before run.json was whole.
    """
    if folder.exists():
        if not folder.is_dir():
            raise RunError(f"{folder} is a file; choose another --out")
        remains = [path for path in folder.iterdir() if path.name.startswith("run.json.")]
        if len(remains) < len(list(folder.iterdir())):
            raise RunError(f"{folder} is there already; choose another --out, or go on with --resume if it is a run")
        for path in remains:
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, **run}
    _write_json(folder, record)
    return record


def exists(folder):
    """Whether there is a run in `folder`."""
    return (folder / "run.json").exists()


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
    _write_json(folder, record)
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
    _write_json(folder, record)
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
