"""What to write so that somebody's pictures and labels fit the format of `data`, as a clause of a message.

It goes by the values that came. A conversion that is right for some ruins others without a word: pictures from 0 to 1
that are turned to uint8 as they are are black, and a network does learn a little from what is left of them.
"""

import math

import numpy as np


def for_values(name, x):
    """What to write so that pictures of any dtype become uint8 from 0 to 255, one clause; "" where they are uint8."""
    if x.dtype == np.uint8:
        return ""
    if x.dtype == bool:
        return f"write 255 * {name}.astype(np.uint8)"
    if x.dtype.kind not in "iuf" or not x.size:
        return "give numbers from 0, black, to 255, white"
    low, high = float(x.min()), float(x.max())
    if not math.isfinite(low + high):
        return "it holds NaN or infinity: find where they come from first"
    came = f"for values from {low:.4g} to {high:.4g}"
    if low < -0.1 * high:
        if -1 <= low and high <= 1:
            return f"{came} write np.rint(127.5 * ({name} + 1)).astype(np.uint8)"
        return (f"{came} undo what made them negative, with the same numbers in all parts, until 0 is black and 255 "
                f"white; what was normalized by mean and std: np.rint(255 * ({name} * std + mean)).astype(np.uint8)")
    over = 1.1 if x.dtype.kind == "f" else 1             # pictures that were resized overshoot a little
    if high <= over:
        top, scaled, guess = 1, f"255 * {name}", ""
    elif 128 <= high <= 255 * over:
        top, scaled, guess = 255, name, ""
    else:
        top, scaled = high, f"{name} * (255 / {high:.17g})"
        guess = f", in place of {high:.17g} the largest value that a picture can have, the same in all parts"
    clip = ".clip(0, 255)" if low < 0 or high > top else ""
    return f"{came} write np.rint({scaled}){clip}.astype(np.uint8){guess}"


def for_axes(name, x):
    """What to write so that pictures have the axes N x C x H x W; "" where they have."""
    if x.ndim == 4:
        _, height, width, channels = x.shape
        if channels not in (1, 3, 4) or min(height, width) < 5:
            return ""
        narrow = f" (or, of pictures {width} x 1 in {height} channels, {name}.transpose(0, 1, 3, 2))"
        return f"the channels are last, write {name}.transpose(0, 3, 1, 2){narrow if channels == 1 else ''}"
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        example = f", for example {name}.reshape(-1, 1, {side}, {side})" if side**2 == x.shape[1] > 0 else ""
        return f"write {name}.reshape(-1, C, H, W) with the C, H and W that the rows are made of{example}"
    return "bring all images to one C x H x W, np.stack makes one array of them"


def for_labels(name, y):
    """What to write so that labels are the integers (N,) that they stand for."""
    if y.ndim == 2 and y.shape[1] == 1:
        return f"write {name}.reshape(-1)"
    if y.ndim == 2 and y.size and y.dtype.kind in "biuf" and (np.sort(y, axis=1) == [0] * (y.shape[1] - 1) + [1]).all():
        return f"write {name}.argmax(axis=1)"
    if y.ndim == 1 and y.dtype.kind in "US":
        return f"write np.searchsorted(np.unique(train_y), {name})"
    whole = y.dtype == bool or (y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.rint(y)).all())
    if y.ndim == 1 and whole:
        return f"write {name}.astype(np.int64)"
    return "give the number of its class for each image"


def for_others(name, value):
    """What to write so that something else becomes a plain array."""
    if isinstance(value, np.ma.MaskedArray):
        return f"write {name}.filled(0), or what else the masked entries shall be"
    if isinstance(value, list | tuple):
        return f"write np.stack({name}) of images of one size" if name.endswith("x") else f"write np.array({name})"
    return f"write np.asarray({name})"
