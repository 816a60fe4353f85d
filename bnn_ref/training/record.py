"""What a run folder says in words, in run.json and beside the arrays of a checkpoint: one schema, checked in one place.

Whoever reads such a file later, in whatever command, finds numbers where numbers belong; anything else is refused with
the name of the field.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from ..nets import recipe

FORMAT = 3
LARGEST = 2**53                       # of whole numbers: beyond, other programs than Python round them


class RecordError(ValueError):
    """Words that are not as they should be; the message names the field, what was expected and what came."""


# --- kinds of values -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What a field may hold."""

    expected: str                     # in the words of a message
    fits: Callable                    # value -> bool


@dataclass(frozen=True)
class Each:
    """A list of values of one kind; `count`: how many, where that is settled."""

    of: object
    count: int | None = None


@dataclass(frozen=True)
class Names:
    """A dict under any names, of values of one kind."""

    of: object


@dataclass(frozen=True)
class Optional:
    """A field that may be absent."""

    of: object


def whole(least):
    """A whole number from `least` up."""
    return Kind(f"a whole number from {least} up", lambda value: type(value) is int and least <= value <= LARGEST)


def _is_number(value):
    return (type(value) is int and abs(value) <= LARGEST) or (type(value) is float and math.isfinite(value))


def _is_text(value):
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:        # half of a surrogate pair
        return False


def _is_notation(value):
    try:
        return isinstance(value, str) and recipe.notation(value) == value
    except ValueError:
        return False


TEXT = Kind("a text", _is_text)
NUMBER = Kind("a finite number", _is_number)
AMOUNT = Kind("a number from 0 up", lambda value: _is_number(value) and value >= 0)
PERCENT = Kind("a number from 0 to 100", lambda value: _is_number(value) and 0 <= value <= 100)
RATE = Kind("a number above 0 or null", lambda value: value is None or (_is_number(value) and value > 0))
SIZE = Kind("a whole number from 1 up or null", lambda value: value is None or whole(1).fits(value))
LAYERS = Kind("layers such as 512FC-512FC, or null", lambda value: value is None or _is_notation(value))
DIGEST = Kind("a sha256 of 64 hexadecimal digits",
              lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value)))


# --- the schema ----------------------------------------------------------------------------------------------------

SETTINGS = {"paper": TEXT, "data": TEXT, "preset": TEXT, "net": TEXT, "variant": TEXT, "epochs": whole(1),
            "seed": whole(0)}
CHANGES = {"lr": RATE, "batch": SIZE, "layers": LAYERS, "first_epochs": SIZE}      # null: the recipe's own
EPOCH = {"epoch": whole(1), "lr": AMOUNT, "loss": NUMBER, "valid_error": PERCENT, "seconds": AMOUNT,
         "cpu_seconds": AMOUNT}
ORIGIN = {"settings": {**SETTINGS, **CHANGES}, "recipe": Names(TEXT), "shape": Each(whole(1), 3), "classes": whole(1),
          "examples": whole(1), "fingerprint": TEXT}
ARITHMETIC = {"machine": TEXT, "numpy": TEXT, "blas": TEXT, "threads": TEXT, "first_step": DIGEST}
RUN = {"format": Kind(str(FORMAT), lambda value: value == FORMAT), **ORIGIN, "versions": Optional(Names(TEXT)),
       "arithmetic": Optional(ARITHMETIC), "rounds": Optional(Each(PERCENT))}
FINISHED = {"test_error": PERCENT, "forms": Optional(Names(PERCENT)), "seconds": AMOUNT, "cpu_seconds": AMOUNT}
TRAINED = {"history": Each(EPOCH), "best_epoch": whole(1), "params_sha256": DIGEST}
CROSS_VALIDATED = {"forms": {"deterministic": PERCENT},
                   "by_epoch": Each({"epoch": whole(1), "test_error": PERCENT, "deterministic": PERCENT})}
CHECKPOINT = {"of": DIGEST, "epoch": whole(1), "t": whole(0), "best_epoch": whole(0), "history": Each(EPOCH)}


def check_run(run):
    """Raise RecordError unless `run` is what run.json may say of a run: as far as it has come, or all of it."""
    _check(run, RUN)
    results = CROSS_VALIDATED if "folds" in run["recipe"] else TRAINED
    if any(name in run for name in FINISHED | results):            # all of them, or none
        _check(run, FINISHED | results)
        if results is TRAINED:
            _check_epochs(run, least=1)
    first, epochs = (run["settings"][name] for name in ("first_epochs", "epochs"))
    if first is not None and first >= epochs:
        raise RecordError(f"settings.first_epochs: expected less than epochs, {epochs}, got {first}")


def check_checkpoint(words):
    """Raise RecordError unless `words` are what a checkpoint says beside its arrays."""
    _check(words, CHECKPOINT)
    _check_epochs(words, least=0)
    if words["epoch"] != len(words["history"]):
        raise RecordError(f"epoch: expected {len(words['history'])}, the epochs in history, got {words['epoch']}")


def _check_epochs(words, least):
    numbers = [epoch["epoch"] for epoch in words["history"]]
    if numbers != list(range(1, len(numbers) + 1)):
        raise RecordError("history: expected the epochs 1, 2, 3, ... in order")
    if not least <= words["best_epoch"] <= len(numbers):
        raise RecordError(f"best_epoch: expected an epoch of history, {least} to {len(numbers)}, got "
                          f"{words['best_epoch']}")


def _check(value, kind, field=""):
    """Raise RecordError, naming the field, unless the value is of the kind."""
    match kind:
        case Kind():
            fits, expected = kind.fits(value), kind.expected
        case Each():
            fits = isinstance(value, list) and kind.count in (None, len(value))
            expected = f"a list of {kind.count}" if kind.count else "a list"
        case _:
            fits, expected = isinstance(value, dict), "names and values"
    if not fits:
        raise RecordError(f"{field or 'all of it'}: expected {expected}, got {_short(value)}")
    if isinstance(kind, Each | Names):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check(item, kind.of, f"{field}[{_short(name)}]")
    elif isinstance(kind, dict):
        for name, of in kind.items():
            optional = isinstance(of, Optional)
            if name in value:
                _check(value[name], of.of if optional else of, f"{field}.{name}" if field else name)
            elif not optional:
                raise RecordError(f"{field}.{name} is missing" if field else f"{name} is missing")


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# --- as bytes ------------------------------------------------------------------------------------------------------


def write(words):
    """The words as bytes of JSON. NaN and infinity, which JSON does not have, raise ValueError."""
    return (json.dumps(words, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read(content):
    """What bytes of JSON say. Raises RecordError."""
    def refuse(constant):
        raise RecordError(f"{constant} is no number")

    try:
        return json.loads(content, parse_constant=refuse)
    except RecordError:
        raise
    except RecursionError:
        raise RecordError("nested too deeply") from None
    except ValueError as error:       # not JSON, not UTF-8, or a number of thousands of digits
        raise RecordError(f"not JSON ({error})") from None


def identity(run):
    """The sha256 of what a run is: settings, recipe, data. Equal for two runs that give the same bytes."""
    return hashlib.sha256(json.dumps([run[name] for name in ORIGIN], sort_keys=True).encode()).hexdigest()
