"""Checks at the door: what a public function says when it is handed the wrong array.

They live in one place so that every operation complains in the same words: the argument's name, what was
expected, what came.
"""

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class SettingError(ValueError):
    """An environment variable that says what cannot be; the message is one line that names it."""


def is_plain(x):
    """Whether `x` is an array that does what arrays do: `*` of np.matrix is another product, a masked array leaves
    entries out, and who knows what other subclasses do. np.memmap is an array in a file."""
    return type(x) in (np.ndarray, np.memmap)


def check_numbers(name, x):
    """Raise TypeError unless `x` is a NumPy array, or a NumPy scalar, of floats or signed integers."""
    if not (is_plain(x) or isinstance(x, np.generic)) or x.dtype.kind not in "fi":
        came = f"dtype {x.dtype}" if is_plain(x) else type(x).__name__
        raise TypeError(f"{name}: expected an array of floats or signed integers, got {came}")


def check_draw(name, u, x):
    """Raise TypeError or ValueError unless `u` is numbers in the shape of `x`, or in one that broadcasts with it."""
    check_numbers(name, u)
    if any(n != m and 1 not in (n, m) for n, m in zip(u.shape[::-1], x.shape[::-1])):
        raise ValueError(f"{name}: expected shape {x.shape}, a number for each entry, got {u.shape}")


def check_float(name, x):
    """Raise TypeError unless `x` is a NumPy array of float32 or float64."""
    if not is_plain(x):
        raise TypeError(f"{name}: expected a float32 or float64 array, got {type(x).__name__}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{name}: expected a float32 or float64 array, got dtype {x.dtype}")


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
