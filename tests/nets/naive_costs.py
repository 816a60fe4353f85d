"""Costs and filters one product and one slice at a time: loops and sets, sharing nothing with the package."""

import math


def conv_connections(c, h, w, m, kernel, pad):
    """Pairs of a weight and a number under it, the border included, for one picture: by sliding the kernel."""
    count = 0
    for _ in range(m):
        for top in range(-pad, h + pad - kernel + 1):
            for left in range(-pad, w + pad - kernel + 1):
                count += sum(1 for _ in range(c) for i in range(kernel) for j in range(kernel)
                             if -pad <= top + i < h + pad and -pad <= left + j < w + pad)
    return count


def words(fan_in, units):
    """Words of 64 bits that are filled for so many units, each beginning a new word."""
    return sum(len(range(0, fan_in, 64)) for _ in range(units))


def is_power_of_two(x):
    """Whether one number is 0 or ± a power of two: by halving and doubling until 1."""
    x = abs(float(x))
    if x == 0:
        return True
    if not math.isfinite(x):
        return False
    while x > 1:
        x /= 2
    while x < 1:
        x *= 2
    return x == 1


def signs(slice_):
    """The signs of one slice, as a tuple in reading order."""
    return tuple(1 if entry >= 0 else -1 for row in slice_ for entry in row)


def code(slice_):
    """Σ 2^j over the positive entries j of one slice (j from 0, in reading order)."""
    return sum(2**j for j, entry in enumerate(signs(slice_)) if entry > 0)


def distinct_fraction(slices, merged):
    """Of these slices, the fraction that is distinct; merged: a slice and its negative are one."""
    seen = set()
    for one in slices:
        s = signs(one)
        negative = tuple(-entry for entry in s)
        if s not in seen and not (merged and negative in seen):
            seen.add(s)
    return len(seen) / len(slices)
