"""Checks at the door: what a public function says when it is handed the wrong array.

They live in one place so that every operation complains in the same words: the argument's name, what was
expected, what came.
"""

import math

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
WHOLE, REAL = (int, np.integer), (int, float, np.integer, np.floating)


def is_plain(x):
    """Whether `x` is an array that does what arrays do: `*` of np.matrix is another product, a masked array leaves
    entries out, and who knows what other subclasses do. np.memmap is an array in a file."""
    return type(x) in (np.ndarray, np.memmap)


def came(x):
    """What came, in words: the dtype of an array, of anything else the name of its type."""
    return f"dtype {x.dtype}" if is_plain(x) else type(x).__name__


def check_plain(name, x):
    """Raise TypeError unless `x` is a plain array, of any dtype."""
    if not is_plain(x):
        raise TypeError(f"{name}: expected a NumPy array, got {came(x)}")


def check_numbers(name, x):
    """Raise TypeError unless `x` is a NumPy array, or a NumPy scalar, of floats or signed integers."""
    if not (is_plain(x) or isinstance(x, np.generic)) or x.dtype.kind not in "fi":
        raise TypeError(f"{name}: expected an array of floats or signed integers, got {came(x)}")


def check_draw(name, u, x):
    """Raise TypeError or ValueError unless `u` is numbers in the shape of `x`, or in one that broadcasts with it."""
    check_numbers(name, u)
    if any(n != m and 1 not in (n, m) for n, m in zip(u.shape[::-1], x.shape[::-1])):
        raise ValueError(f"{name}: expected shape {x.shape}, a number for each entry, got {u.shape}")


def check_float(name, x):
    """Raise TypeError unless `x` is a NumPy array of float32 or float64."""
    if not is_plain(x) or x.dtype not in FLOATS:
        raise TypeError(f"{name}: expected a float32 or float64 array, got {came(x)}")


def check_shapes(*rules):
    """Check arrays against shapes written in letters; one letter stands for one size wherever it appears.

    Each rule is `(name, array, letters)`, for example `("x", x, "N D"), ("w", w, "D M")`.
    Returns {letter: size}. Raises TypeError for anything but float32 or float64 arrays, all of one dtype, and
    ValueError for a shape that does not fit.
    """
    first, sizes = rules[0], {}
    for name, x, letters in rules:
        check_float(name, x)
        if x.dtype != first[1].dtype:
            raise TypeError(f"{name}: expected {first[1].dtype} like {first[0]}, got {x.dtype}")
        axes = letters.split()
        expected = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
        fits = len(axes) == x.ndim
        fits = fits and all(sizes.setdefault(axis, n) == n for axis, n in zip(axes, x.shape))
        if not fits:
            raise ValueError(f"{name}: expected shape ({expected}), got {x.shape}")
    return sizes


def check_not_empty(name, x):
    """Raise ValueError for an array without entries."""
    if not x.size:
        raise ValueError(f"{name}: expected at least one entry, got shape {x.shape}")


def check_like(name, x, other_name, other):
    """Raise TypeError or ValueError unless `x` is a float array of the dtype and the shape of `other`."""
    check_float(name, x)
    if x.dtype != other.dtype:
        raise TypeError(f"{name}: expected {other.dtype} like {other_name}, got {x.dtype}")
    if x.shape != other.shape:
        raise ValueError(f"{name}: expected shape {other.shape} like {other_name}, got {x.shape}")


def check_dtype(name, x, dtype, letters=None):
    """Raise TypeError or ValueError unless `x` is an array of that dtype, with as many axes as there are letters.

    letters: None for any shape.
    """
    if not is_plain(x) or x.dtype != dtype:
        raise TypeError(f"{name}: expected an array of {np.dtype(dtype)}, got {came(x)}")
    if letters is not None and x.ndim != letters.count(" ") + 1:
        raise ValueError(f"{name}: expected shape ({', '.join(letters.split())}), got {x.shape}")


def check_writable(name, x):
    """Raise ValueError for a plain array that is read-only."""
    if not x.flags.writeable:
        raise ValueError(f"{name}: expected an array to write to, got one that is read-only")


def check_integers(name, x, letters=None):
    """Raise TypeError or ValueError unless `x` is an array of integers, with as many axes as there are letters."""
    if not is_plain(x) or x.dtype.kind not in "iu" or not x.dtype.isnative:
        raise TypeError(f"{name}: expected an array of integers, got {came(x)}")
    check_dtype(name, x, x.dtype, letters)


def check_whole(name, value, expected="a whole number", fits=lambda value: True):
    """The number as an int. Raises TypeError unless it is a whole one, ValueError where it does not fit."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, WHOLE)):
        raise TypeError(f"{name}: expected {expected}, got {_thing(value)}")
    if not fits(value):
        raise ValueError(f"{name}: expected {expected}, got {value}")
    return int(value)


def check_number(name, value, expected="a finite number", fits=lambda value: True):
    """The number as a float: a NumPy scalar of float64 would turn float32 arrays into float64.

    Raises TypeError unless it is a number, ValueError for NaN and infinity or where it does not fit.
    """
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, REAL)):
        raise TypeError(f"{name}: expected {expected}, got {_thing(value)}")
    if not (math.isfinite(value) and fits(value)):
        raise ValueError(f"{name}: expected {expected}, got {value}")
    return float(value)


def check_instance(name, value, kind, expected):
    """Raise TypeError unless `value` is of that kind, or of one of a tuple of kinds; expected: it in words."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {expected}, got {_thing(value)}")


def _thing(value):
    """A thing in words; a number as it is."""
    return repr(value) if isinstance(value, int | float | complex) else type(value).__name__


def check_generator(name, rng):
    """Raise TypeError unless `rng` is a numpy.random.Generator."""
    check_instance(name, rng, np.random.Generator, "a numpy.random.Generator, such as np.random.default_rng(0)")


def check_names(name, names, arrays):
    """Raise TypeError unless `names` is a set, tuple, list or dict of names, ValueError for one not in arrays."""
    check_instance(name, names, set | frozenset | tuple | list | dict, "a set of names of arrays")
    odd = [one for one in names if one not in arrays]
    if odd:
        raise ValueError(f"{name}: expected some of {', '.join(arrays)}, got {', '.join(map(str, odd))}")


def as_dtype(name, dtype, expected, fits):
    """The np.dtype. Raises TypeError unless it is one that fits; expected: it in words."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not fits(found):
        raise TypeError(f"{name}: expected {expected}, got {dtype!r}")
    return found


def check_sizes(name, sizes, letters):
    """Raise TypeError or ValueError unless `sizes` is a tuple of whole numbers from 1 up, one for each letter."""
    expected = f"({', '.join(letters.split())}), whole numbers from 1 up"
    check_instance(name, sizes, tuple | list, expected)
    if len(sizes) != len(letters.split()):
        raise ValueError(f"{name}: expected {expected}, got {tuple(sizes)}")
    for size in sizes:
        check_whole(name, size, expected, lambda size: size >= 1)
