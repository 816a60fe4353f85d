"""From a call that works to calls that should not, and what may come of each."""

import dataclasses
import inspect
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bnn_ref.kernels.ladder import Unavailable
from bnn_ref.training.loop import TrainingError


class Made:
    """An argument that is made anew for each call, because the function may write to what is in it."""

    def __init__(self, make):
        self.make = make


@dataclass(frozen=True)
class Call:
    """A public function and arguments that it takes, by name."""

    name: str
    function: Callable
    arguments: dict
    any_shape: tuple = ()             # arguments of any shape, which the shape of the result does not show
    silent: tuple = ()                # those in which NaN and infinity are numbers like others
    writes: tuple = ()                # those that it says it writes to
    others: tuple = ()                # names that a message may have besides: what lies in a cache
    allowed: tuple = ()               # (argument, misuse) that is none here; "*" for all misuses
    raises: tuple = ()                # exceptions that it is documented to raise besides TypeError and ValueError

    def but(self, **changes):
        """The same call with other fields."""
        return dataclasses.replace(self, **changes)

    def fresh(self):
        """The arguments, all of their arrays and generators new."""
        return _copy(self.arguments)

    def run(self, arguments):
        """The result, as a list of plain things; warnings are left to the caller."""
        return parts(self.function(**arguments), arguments if self.writes else None)


def _copy(value):
    if isinstance(value, Made):
        return value.make()
    if isinstance(value, np.random.Generator):
        return np.random.default_rng(0)
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    if type(value) is dict:
        return {key: _copy(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_copy, value))
    return value


def parts(result, written=None):
    """Arrays, numbers and texts that a result is made of, in order; of a function that writes, what it wrote to too."""
    if isinstance(result, dict):
        found = [part for value in result.values() for part in parts(value)]
    elif isinstance(result, list | tuple):
        found = [part for value in result for part in parts(value)]
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        found = [part for field in dataclasses.fields(result) for part in parts(getattr(result, field.name))]
    elif isinstance(result, np.ndarray | np.generic | float | int | str | bool) or result is None:
        found = [result]
    else:
        found = []
    return found + (parts(written) if written else [])


def arrays_of(value):
    """Every array that is an argument or lies in one."""
    return [part for part in parts(value) if isinstance(part, np.ndarray)]


# --- what people hand in by mistake --------------------------------------------------------------------------------


class Own(np.ndarray):
    """A subclass that does who knows what."""


def matrix(x):
    """What MATLAB's users take for an array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.matrix(x) if x.ndim == 2 else np.matrix(x.reshape(1, -1))


def other_float(x):
    """float64 for float32, and the other way round."""
    return x.astype(np.float32 if x.dtype == np.float64 else np.float64)


def _with(x, entry):
    x = x.copy()
    x.reshape(-1)[x.size // 2] = entry
    return x


def _axis(x, axis, index):
    return np.take(x, index, axis)


# The values stay what they are: where such a thing is taken, the answer has to be that for the plain array.
KINDS = {
    "a list": lambda x: x.tolist(), "an array of objects": lambda x: x.astype(object),
    "complex": lambda x: x.astype(complex), "float16": lambda x: x.astype(np.float16),
    "int64": lambda x: x.astype(np.int64), "uint8": lambda x: x.astype(np.uint8), "bool": lambda x: x.astype(bool),
    "another float": other_float, "text of numbers": lambda x: x.astype(str),
    "dates": lambda x: x.astype(np.int64).astype("M8[s]"),
    "other bytes": lambda x: x.astype(x.dtype.newbyteorder(">")), "a matrix": matrix,
    "a masked array": lambda x: np.ma.masked_array(x), "a subclass": lambda x: x.view(Own),
}
OTHERS = {"None": None, "a text": "x", "a number": 3.0, "a dict": {}}
SHAPES = {
    "an axis more": lambda x: x[None], "no dimensions": lambda x: x.reshape(-1)[0:1].reshape(()),
    "an axis less": lambda x: x[0],
}
AXES = {"longer": lambda x, axis: _axis(x, axis, [*range(x.shape[axis]), 0]),
        "shorter": lambda x, axis: _axis(x, axis, range(x.shape[axis] - 1)),
        "of one": lambda x, axis: _axis(x, axis, [0])}
NUMBERS = {"None": lambda v: None, "a text": lambda v: "x", "a list": lambda v: [v], "complex": lambda v: v + 0j,
           "two numbers": lambda v: np.array([v, v]), "NaN": lambda v: float("nan"), "infinity": lambda v: float("inf")}
SMALL = {"-1": -1, "0": 0}            # perhaps right, perhaps not: a clear word or an answer
GENERATORS = {"None": None, "a seed": 3, "RandomState": np.random.RandomState(0), "a text": "x"}
TEXTS = {"None": None, "a number": 3, "bytes": b"x"}
THINGS = {"None": None, "a text": "x", "a dict": {}, "an array": np.ones(3), "a list of None": [None]}
DTYPES = {"nonsense": "nonsense", "complex": complex, "text": "U3", "None": None}
NAMES = {"None": None, "a number": 3}

RIGHT = {
    "read-only": lambda x: _read_only(x.copy(order="K")), "another order": lambda x: x.copy(order="F"),
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "backwards": lambda x: x[::-1].copy()[::-1] if x.ndim else x,
}


def _read_only(x):
    x.flags.writeable = False
    return x


def leaves(value, path=()):
    """(path, value) of everything in the arguments that can be wrong by itself."""
    if type(value) is dict:
        if path:
            yield path, value
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif type(value) in (list, tuple) and value and all(isinstance(part, np.ndarray) for part in value):
        for place, part in enumerate(value):
            yield from leaves(part, (*path, place))
    else:
        yield path, value


def replaced(value, path, new):
    """The arguments with another thing at the end of the path."""
    if not path:
        return new
    key, *rest = path
    if type(value) is dict:
        return {**value, key: replaced(value[key], rest, new)}
    return type(value)(replaced(part, rest, new) if place == key else part for place, part in enumerate(value))


def misuses(value):
    """(name, group, wrong value, what it stands for or None) of one argument."""
    if isinstance(value, np.ndarray):
        yield from _of_arrays(value)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float | np.integer | np.floating):
        for name, make in NUMBERS.items():
            yield name, "number", make(value), None
        for name, small in SMALL.items():
            yield name, "small", small, None
        if isinstance(value, int | np.integer):
            yield "a fraction", "number", value + 0.5, None
    elif isinstance(value, np.random.Generator):
        yield from ((name, "number", wrong, None) for name, wrong in GENERATORS.items())
    elif isinstance(value, str) and "/" not in value:            # a path: the system says what is wrong with it
        yield from ((name, "number", wrong, None) for name, wrong in TEXTS.items())
    elif isinstance(value, dict):
        yield from ((name, "number", wrong, None) for name, wrong in (
            ("None", None), ("a list", list(value.values())), ("a text", "x"), ("an array", np.ones(3))))
        for key in value:
            yield f"without {key}", "number", {name: part for name, part in value.items() if name != key}, None
    elif type(value) is tuple and value and all(isinstance(part, int) for part in value):
        yield from ((name, "number", wrong, None) for name, wrong in (
            ("None", None), ("a text", "x"), ("a number", value[0]), ("shorter", value[:-1]), ("longer", (*value, 1)),
            ("a fraction", (*value[:-1], value[-1] + 0.5)), ("0", (*value[:-1], 0)), ("-1", (*value[:-1], -1))))
    elif type(value) in (set, frozenset, tuple, list) and value and all(isinstance(part, str) for part in value):
        yield from ((name, "number", wrong, None) for name, wrong in NAMES.items())
        yield "a text", "number", next(iter(value)), None
    elif isinstance(value, type) and issubclass(value, np.generic):
        yield from ((name, "number", wrong, None) for name, wrong in DTYPES.items())
    elif (dataclasses.is_dataclass(value) and not isinstance(value, type)) or type(value) in (tuple, list):
        yield from ((name, "number", wrong, None) for name, wrong in THINGS.items())


def _of_arrays(x):
    for name, make in KINDS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = make(x)
            if isinstance(wrong, np.ndarray) and wrong.dtype == x.dtype and type(wrong) is np.ndarray:
                continue                                       # uint8 for what is uint8
            stands_for = np.array(wrong if name != "dates" else wrong.astype(np.int64)).astype(x.dtype)
        yield name, "kind", wrong, stands_for
    yield from ((name, "number", wrong, None) for name, wrong in OTHERS.items())
    if x.dtype.kind == "f":
        yield "NaN", "not finite", _with(x, np.nan), None
        yield "infinity", "not finite", _with(x, np.inf), None
    if x.dtype.kind == "i" and x.size:
        yield "an entry of -1", "number", _with(x, -1), None
        yield "a large entry", "number", _with(x, 1 << 30), None
    for name, make in SHAPES.items():
        if x.ndim:
            yield name, "shape", make(x), None
    for axis in range(x.ndim):
        for name, make in AXES.items():
            if not (name == "of one" and x.shape[axis] <= 2) and not (name == "shorter" and x.shape[axis] == 1):
                yield f"axis {axis} {name}", "shape", make(x, axis), None
        yield f"axis {axis} empty", "empty", _axis(x, axis, []), None
    if not x.ndim:
        yield "an axis more", "shape", x[None], None
        yield "two", "shape", np.array([x, x]), None


# --- what may come of it -------------------------------------------------------------------------------------------


def clear(error, call, path):
    """Whether the message is one line that names an argument, what was expected and what came."""
    said = str(error)
    names = [str(key) for key in path] + list(call.arguments) + list(call.others)
    names += [key for value in call.arguments.values() if type(value) is dict for key in value]
    names += [name.rpartition(".")[2] for name in names]
    named = any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", said) for name in names if not name.isdigit())
    return "\n" not in said and named and re.search(r"\b(expected|must|give)\b", said) and re.search(
        r"\b(got|holds?|has|have|not|is|are|unknown)\b", said)


def fault(call, path, name, group, wrong, stands_for, shapes):
    """What is wrong with what comes of a misuse, in a line; None where it is right. shapes: of the right answer."""
    given = replaced(call.fresh(), path, wrong)
    kept = [array.copy() for array in arrays_of(given)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            came, error = call.run(given), None
        except (TypeError, ValueError, TrainingError, *call.raises) as raised:
            came, error = None, raised
        except Exception as raised:
            return f"{type(raised).__name__}: {_short(raised)}"
    if not (error is None and call.writes):
        for array, before in zip(arrays_of(given), kept):
            if not (array.shape == before.shape and array.tobytes() == before.tobytes()):
                return "an argument was changed"
    if isinstance(error, (Unavailable, TrainingError, *call.raises)):
        return None
    if error is not None:
        return None if clear(error, call, path) else f"{type(error).__name__}: {_short(error)}"
    if _default(call, path) is None and wrong is None:
        return None
    if group == "number":
        return "taken"
    if group == "kind":
        return _other_answer(call, path, came, stands_for)
    if group == "empty":
        return _nothing(came, warned)
    argument = path[0]
    if group == "shape" and argument not in call.any_shape and _shapes(came) == shapes:
        return "taken, and the result has the shape that it had"
    if group == "not finite" and argument not in call.silent and _finite(came):
        return "taken, and nothing of it is seen in the result"
    return None


def _default(call, path):
    try:
        parameter = inspect.signature(call.function).parameters[path[0]]
    except (KeyError, ValueError):
        return inspect.Parameter.empty
    return parameter.default if len(path) == 1 else inspect.Parameter.empty


def _short(error):
    said = str(error)
    return repr(said if len(said) < 160 else f"{said[:160]}...")


def _other_answer(call, path, came, stands_for):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = call.run(replaced(call.fresh(), path, stands_for))
    except Exception as error:
        return f"taken, and the plain array with its values is not: {_short(error)}"
    return differs(came, expected, 2e-3)


def differs(came, expected, tolerance):
    """Where two results differ, in words; None where they are the same."""
    if len(came) != len(expected):
        return f"another answer: {len(came)} parts, not {len(expected)}"
    for one, other in zip(came, expected):
        if isinstance(other, str) or other is None:
            if not (one is other or one == other):
                return f"another answer: {one!r}, not {other!r}"
        elif np.shape(one) != np.shape(other):
            return f"another answer: of shape {np.shape(one)}, not {np.shape(other)}"
        elif not _close(np.asarray(one), np.asarray(other), tolerance):
            return "another answer"
    return None


def _close(one, other, tolerance):
    if one.dtype.kind in "biufc" and other.dtype.kind in "fc":
        return np.allclose(one, other, tolerance, tolerance, equal_nan=True)
    return np.array_equal(one, other)


def _nothing(came, warned):
    if not _finite(came):
        return "taken empty, and the result is not finite"
    found = [str(warning.message) for warning in warned if issubclass(warning.category, RuntimeWarning)]
    return f"taken empty, with a warning: {found[0]}" if found else None


def _finite(came):
    return all(np.isfinite(part).all() for part in came
               if isinstance(part, np.ndarray | np.generic | float) and np.asarray(part).dtype.kind in "fc")


def _right_shapes(call):
    """Of the right answer; None of what this machine cannot run."""
    try:
        return _shapes(call.run(call.fresh()))
    except (Unavailable, *call.raises):
        return None


def _shapes(came):
    return [np.shape(part) for part in came]


# --- a walk --------------------------------------------------------------------------------------------------------


def faults(call):
    """(how many misuses, [(argument, misuse, what is wrong)]) of one call."""
    count, found, shapes = 0, [], _right_shapes(call)
    for path, value in leaves(call.fresh()):
        wrongs = list(misuses(value))
        if path[0] in call.writes and isinstance(value, np.ndarray):
            wrongs.append(("read-only, and to be written to", "number", _read_only(value.copy()), None))
        for name, group, wrong, stands_for in wrongs:
            if (path[0], name) in call.allowed or (path[0], "*") in call.allowed:
                continue
            count += 1
            what = fault(call, path, name, group, wrong, stands_for, shapes)
            if what:
                found.append((".".join(map(str, path)), name, what))
    return count, found


def unlike(call):
    """[(argument, form, what is wrong)] of the same values in other forms: they give the same answer, and dtypes.

    All arrays at once, because a compiled kernel is compiled anew for each mixture of forms.
    """
    found, expected = [], call.run(call.fresh())
    numbers = [(path, value) for path, value in leaves(call.fresh()) if type(value) in (int, float)]
    arrays = [path for path, value in leaves(call.fresh()) if isinstance(value, np.ndarray)]
    for name, make in RIGHT.items():
        given = call.fresh()
        for path, value in leaves(call.fresh()):
            if path in arrays and (path[0], name) not in call.allowed:
                given = replaced(given, path, make(value))
        found.append(("arrays", name, _other_form(call, given, expected)))
    for path, value in numbers:
        given = replaced(call.fresh(), path, (np.int64 if type(value) is int else np.float64)(value))
        found.append((".".join(map(str, path)), "a NumPy scalar", _other_form(call, given, expected)))
    return [fault for fault in found if fault[2]]


def _other_form(call, given, expected):
    try:
        came = call.run(given)
    except Exception as error:
        return f"{type(error).__name__}: {_short(error)}"
    return differs(came, expected, 1e-5) or next(
        (f"{one.dtype}, not {other.dtype}" for one, other in zip(came, expected)
         if isinstance(other, np.ndarray) and one.dtype != other.dtype), None)
