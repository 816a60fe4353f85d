"""What a training run is made of: a recipe, and the network that its notation stands for.

Architectures are written as the papers write them, "128C3-128C3-MP2-1024FC": 128 channels by 3 × 3 convolution,
max pooling by 2, 1024 units fully connected. The output layer, one unit a class, goes without saying.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields

from . import losses, optim, steps


@dataclass(frozen=True)
class Recipe:
    """All that, with the data and a seed, determines a run."""

    net: str                                       # hidden layers, in the papers' notation
    epochs: int
    batch: int
    lr: tuple                                      # learning rate of the first epoch, and where its decay ends
    optimizer: optim.Optimizer = optim.ADAM
    loss: losses.Loss = losses.SQUARED_HINGE
    dropout: tuple = (0.0, 0.0)                    # probability for the input, for hidden activations
    pad_value: float = 0.0                         # around pictures and maps; a network on bits wants +1 or -1

    def as_text(self):
        """{field: text}: how a run folder records the recipe, to notice later that it changed."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: getattr(value, "name", str(value)) for name, value in values.items()}


@dataclass(frozen=True)
class Vocabulary:
    """The step functions that make one paper's networks: its products and its activation."""

    dense: Callable
    conv: Callable
    activation: Callable


def build(recipe, shape, classes, vocabulary):
    """The network of a recipe, as a tuple of steps.

    Every product is followed by its pooling if there is one, batch normalization and the activation, in this order;
    the output layer by batch normalization alone. 3 × 3 and 5 × 5 convolutions keep the size of their map.
    shape: (C, H, W) of a picture. Raises ValueError for a notation that cannot be read or that does not fit.
    """
    blocks = _parse(recipe.net)
    channels, height, width = shape
    drop_in, drop_hidden = recipe.dropout
    net = [steps.dropout_step("drop0", drop_in)] if drop_in else []
    flat = None                                    # units, once pictures have become rows
    for number, (kind, size, kernel, pool) in enumerate([*blocks, ("FC", classes, 0, 0)], start=1):
        last = number > len(blocks)
        if kind == "C":
            if flat is not None:
                raise ValueError(f"net: a convolution behind a fully connected layer in {recipe.net!r}")
            net.append(vocabulary.conv(f"conv{number}", channels, size, kernel, kernel // 2, recipe.pad_value))
            channels = size
            if pool:
                net.append(steps.max_pool_step(f"pool{number}", pool, pool))
                height, width = height // pool, width // pool
                if min(height, width) < 1:
                    raise ValueError(f"net: pictures of {shape[1]} × {shape[2]} are too small for {recipe.net!r}")
        else:
            if flat is None:
                net.append(steps.flatten_step("flat"))
                flat = channels * height * width
            net.append(vocabulary.dense(f"fc{number}", flat, size))
            flat = size
        net.append(steps.batchnorm_step(f"bn{number}", size))
        if not last:
            net.append(vocabulary.activation(f"act{number}"))
            if drop_hidden:
                net.append(steps.dropout_step(f"drop{number}", drop_hidden))
    return tuple(net)


def _parse(net):
    """"128C3-MP2-1024FC" -> [("C", 128, 3, 2), ("FC", 1024, 0, 0)]: kind, size, kernel, pooling behind it."""
    blocks = []
    for token in net.split("-"):
        if match := re.fullmatch(r"([1-9]\d*)C([135])", token):
            blocks.append(("C", int(match[1]), int(match[2]), 0))
        elif match := re.fullmatch(r"([1-9]\d*)FC", token):
            blocks.append(("FC", int(match[1]), 0, 0))
        elif (match := re.fullmatch(r"MP([2-9])", token)) and blocks and blocks[-1][0] == "C" and not blocks[-1][3]:
            blocks[-1] = (*blocks[-1][:3], int(match[1]))
        else:
            raise ValueError(f"net: cannot read {token!r} in {net!r}; for example 32C3-MP2-256FC")
    return blocks
