"""What the checker asks of a forward and a backward before it compares any number: results of the agreed form, the
same ones each time, and nobody else's arrays written to. Each breach has its own sentence.

Whatever a function hands out may be written to later, so all results are copied at once.
"""

import copy
from dataclasses import dataclass

import numpy as np

from ..ops.checks import is_plain

SAME = 1e-10          # two calls, or two ways to one number, differ by no more than this part of the largest entry


@dataclass(frozen=True)
class Outputs:
    """What forward returned: its outputs as one flat float64 vector, their shapes, and whether it was a tuple."""

    flat: np.ndarray
    shapes: tuple
    several: bool


def call(function, args, who="forward"):
    """function(*args) -> (Outputs, copied; cache as it is; what to say if the cache may be none, or "")."""
    results = function(*args)
    narrow = [place for place, arg in enumerate(args) if getattr(arg, "dtype", None) in (np.float32, np.float16)]
    if not isinstance(results, tuple) or len(results) < 2:
        came = f"a tuple of {len(results)}" if isinstance(results, tuple) else kind(results)
        raise AssertionError(f"{who} returned {came}; expected a tuple: out, cache")
    out, cache, *more = results
    doubt = ""
    if more and isinstance(cache, np.ndarray):
        doubt = (f"{who} returned {len(results)} results, and the second, an array of shape {cache.shape}, was taken "
                 "for the cache: if it is an output, return (y1, y2), cache")
    if narrow and getattr(out, "dtype", None) in (np.float32, np.float16):
        argument(args[narrow[0]], narrow[0])                         # not forward's doing: say what to do about it
    return outputs(out, who), cache, doubt


def outputs(out, who):
    """An array, a number or a tuple of them as Outputs. Raises AssertionError for anything else."""
    parts = out if isinstance(out, tuple) else (out,)
    for place, part in enumerate(parts):
        name = f"output {place} of {who}" if isinstance(out, tuple) else f"the output of {who}"
        if not isinstance(part, np.ndarray | float | np.floating):
            raise AssertionError(f"{name} is {kind(part)}; expected a float64 array, a number or a tuple of them")
        dtype = np.asarray(part).dtype
        if dtype != np.float64:
            raise AssertionError(f"{name} is {kind(part)}, and the arguments are float64: remove what converts it, "
                                 "since differences of anything else are too coarse")
        bad = np.argwhere(~np.isfinite(part))
        if len(bad):
            raise AssertionError(f"{name} is not finite at index {_index(bad[0])}: choose a point inside its domain")
    flat = np.concatenate([np.array(part, np.float64).ravel() for part in parts]) if parts else np.zeros(0)
    return Outputs(flat, tuple(np.shape(part) for part in parts), isinstance(out, tuple))


def upstream(flat, made):
    """A flat vector in the form of forward's outputs, all new: what backward takes as dout. A number for a number."""
    parts, start = [], 0
    for shape in made.shapes:
        size = int(np.prod(shape))
        part = flat[start:start + size].reshape(shape).copy()
        parts.append(part if shape else float(part))
        start += size
    return tuple(parts) if made.several else parts[0]


def gradients_of(backward, dout, cache, args):
    """backward(dout, cache) -> a list, a float64 array (copied) or None for each of the first arguments.

    Raises AssertionError that names what else came: a list, too many gradients, another shape, another dtype.
    """
    results = backward(dout, cache)
    if isinstance(results, list | dict):
        raise AssertionError(f"backward returned a {type(results).__name__} of {len(results)}; expected a tuple in the "
                             "order of forward's arguments")
    results = results if isinstance(results, tuple) else (results,)
    if len(results) > len(args):
        raise AssertionError(f"backward returned {len(results)} gradients for {len(args)} arguments")
    return [None if gradient is None else _gradient(gradient, args[place], place)
            for place, gradient in enumerate(results)]


def _gradient(gradient, arg, place):
    argument(arg, place)
    shape = np.shape(arg)
    if not isinstance(gradient, np.ndarray | float | np.floating):
        raise AssertionError(f"argument {place}: expected a gradient of shape {shape}, an array, got {kind(gradient)}")
    if np.shape(gradient) != shape:
        raise AssertionError(f"argument {place}: expected a gradient of shape {shape}, got {np.shape(gradient)}")
    if np.asarray(gradient).dtype != np.float64:
        raise AssertionError(f"argument {place}: expected a float64 gradient, as the argument is, got "
                             f"{np.asarray(gradient).dtype}")
    return np.array(gradient, np.float64)


def argument(arg, place):
    """Raises TypeError if this is no argument that differences can be taken of."""
    if (is_plain(arg) or isinstance(arg, float | np.floating)) and np.asarray(arg).dtype == np.float64:
        return
    came = arg.dtype if is_plain(arg) or isinstance(arg, np.generic) else type(arg).__name__
    advice = ""
    if came in (np.float32, np.float16):
        advice = "; float32 is too coarse to check a derivative: pass dtype=np.float64, which converts the arguments"
    elif isinstance(came, np.dtype):
        advice = ": convert it, x.astype(np.float64)"
    raise TypeError(f"argument {place}: expected a float64 array, got {came}{advice}")


class Watch:
    """Remembers things as they are, to say later which of them has been changed."""

    def __init__(self, **things):
        self.things = things
        self.before = {name: _copy(thing) for name, thing in things.items()}
        self.drawn = np.random.get_state()[1:3]                      # noqa: NPY002

    def assert_unchanged(self, who="forward or backward"):
        """Raises AssertionError that names the first thing that is not what it was."""
        for name, thing in self.things.items():
            if not _same(thing, self.before[name]):
                raise AssertionError(f"{name} was changed in place by {who}")
        if not _same(np.random.get_state()[1:3], self.drawn):        # noqa: NPY002
            raise AssertionError(f"NumPy's global random numbers were drawn by {who}: draw outside and pass the "
                                 "numbers as an argument")


def _copy(thing):
    if isinstance(thing, np.ndarray):
        return thing.copy()
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    if isinstance(thing, tuple | list):
        return [_copy(part) for part in thing]
    try:
        return copy.deepcopy(thing)
    except Exception:       # a file, a lock: what cannot be copied is not watched
        return thing


def _same(thing, before):
    if isinstance(thing, np.ndarray):
        return thing.shape == before.shape and np.array_equal(thing, before, equal_nan=thing.dtype.kind in "fc")
    if isinstance(thing, np.random.Generator):
        return _same(thing.bit_generator.state, before)
    if isinstance(thing, tuple | list):
        return len(thing) == len(before) and all(map(_same, thing, before))
    if isinstance(thing, dict):
        return thing.keys() == before.keys() and all(_same(thing[key], before[key]) for key in thing)
    if hasattr(thing, "__dict__") and not callable(thing):
        return _same(vars(thing), vars(before))
    try:
        return thing is before or bool(thing == before) or thing != thing or type(thing).__eq__ is object.__eq__
    except Exception:       # comparisons of foreign arrays have no one truth value
        return True


def differ(one, other):
    """Index of the entry in which two results of the same call differ most, or None if they are the same."""
    if one.shape != other.shape:
        return (0,) * one.ndim
    difference = np.abs(one - other)
    largest = max(np.abs(one).max(initial=0), np.abs(other).max(initial=0))
    if not difference.size or not np.isfinite(largest) or difference.max() <= SAME * largest:
        return None
    return _index(np.unravel_index(difference.argmax(), difference.shape))


def _index(index):
    return tuple(int(i) for i in index)


def kind(thing):
    """A thing in words: "a list of 2", "a float32 array"."""
    if isinstance(thing, np.ndarray | np.generic):
        return f"{'an' if thing.dtype.kind in 'iu' else 'a'} {thing.dtype} array"
    if isinstance(thing, list | tuple | dict):
        return f"a {type(thing).__name__} of {len(thing)}"
    return "None" if thing is None else f"{'an' if type(thing).__name__[0] in 'aeiou' else 'a'} {type(thing).__name__}"
