"""What a training run is made of: a recipe, and the network that its notation stands for.

Architectures are written as the papers write them, "128C3-128C3-MP2-1024FC": 128 channels by 3 × 3 convolution,
max pooling by 2, 1024 units fully connected. "256C2V" is a 2 × 2 convolution without a border ("valid"), whose map is
smaller by 1. The output layer, one unit a class, goes without saying.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields

from ..ops import losses, optim
from ..ops.checks import check_instance, check_sizes, check_whole
from . import network, steps

PRESETS = ("quick", "long", "paper")               # recipes of minutes, of an hour or two, and the papers' own
NETS = ("mlp", "convnet")


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
    inputs: tuple = ()                             # what pictures go through first: functions shape -> step, new shape
    decay: Callable = optim.exponential_decay      # of the learning rate: decay(first, last, epoch, epochs)
    glorot_rates: bool = True                      # whether rates of real weights behind binary ones are scaled by 1/c
    clip: str = "weights"                          # what is clipped to [-1, 1]: "weights" behind binary ones, or "all"
    choices: object = None                         # what the paper leaves open: for a vocabulary that is a function
    before: "Recipe | None" = None                 # the round before this one, whose best parameters it goes on from

    def clipped(self, net):
        """Names of the parameters that are clipped to [-1, 1]: real weights behind binary ones, or all [BNN-A2]."""
        return {name for name, spec in network.param_specs(net).items() if spec.binary or self.clip == "all"}

    def as_text(self):
        """{field: text}: how a run folder records the recipe, to notice later that it changed."""
        return {field.name: _text(getattr(self, field.name)) for field in fields(self)}


def _text(value):
    if isinstance(value, Recipe):
        return str(value.as_text())
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    if isinstance(value, tuple) and not hasattr(value, "name"):
        return f"({', '.join(map(_text, value))})"
    return getattr(value, "name", str(value))


@dataclass(frozen=True)
class Vocabulary:
    """The step functions that make one paper's networks: its products, its activation, its normalization."""

    dense: Callable
    conv: Callable | None
    activation: Callable
    norm: Callable | None = steps.batchnorm_step   # None: products bring a bias of their own
    last_norm: Callable | None = None              # of the output layer, where it is another
    first_dense: Callable | None = None            # the product with pictures, where it is another
    first_conv: Callable | None = None
    last: Callable | None = None                   # a step behind the output layer: last(name, its units)
    before: "Vocabulary | None" = None             # of the round before


def rounds(recipe, vocabulary):
    """[(Recipe, Vocabulary)] of a run in order: one, or several where each goes on from the one before.

    vocabulary: a Vocabulary, or a function that makes one of the recipe's choices.
    """
    words = vocabulary if isinstance(vocabulary, Vocabulary) else vocabulary(recipe.choices)
    last = [(recipe, words)]
    return [*rounds(recipe.before, words.before), *last] if recipe.before else last


def choose(recipes, data, net, preset, variant):
    """The Recipe for this key. Raises KeyError where the variant is not offered one."""
    return recipes[(data, net, preset, *own_key(recipes, variant))]


def offered(recipes, variant):
    """[(data, net, preset)] that a variant has recipes for."""
    return [key[:3] for key in recipes if key[3:] == own_key(recipes, variant)]


def own_key(recipes, variant):
    """What keys of the variant end in. One with recipes of its own takes no other: they are for other update rules."""
    return (variant,) if any(key[3:] == (variant,) for key in recipes) else ()


def build(recipe, shape, classes, vocabulary):
    """The network of a recipe, as a tuple of steps.

    Every product is followed by its pooling if there is one, normalization and the activation, in this order; the
    output layer by normalization alone. Convolutions but "valid" ones keep the size of their map.
    shape: (C, H, W) of a picture. Raises ValueError for a notation that cannot be read or that does not fit, TypeError
    or ValueError for a recipe, a vocabulary, a shape or classes that are none.
    """
    check_instance("recipe", recipe, Recipe, "a Recipe")
    check_instance("vocabulary", vocabulary, Vocabulary, "a Vocabulary")
    check_sizes("shape", shape, "C H W")
    check_whole("classes", classes, "a number of classes", lambda classes: classes >= 1)
    blocks = _parse(recipe.net)
    drop_in, drop_hidden = recipe.dropout
    net = []
    for maker in recipe.inputs:
        step, shape = maker(shape)
        net.append(step)
    channels, height, width = shape
    if drop_in:
        net.append(steps.dropout_step("drop0", drop_in))
    flat = None                                    # units, once pictures have become rows
    for number, (kind, size, kernel, pad, pool) in enumerate([*blocks, ("FC", classes, 0, 0, 0)], start=1):
        last = number > len(blocks)
        dense, conv = vocabulary.dense, vocabulary.conv
        if number == 1:
            dense, conv = vocabulary.first_dense or dense, vocabulary.first_conv or conv
        if kind == "C":
            if conv is None:
                raise ValueError(f"net: no convolutions in this paper, got {recipe.net!r}")
            if flat is not None:
                raise ValueError(f"net: a convolution behind a fully connected layer in {recipe.net!r}")
            net.append(conv(f"conv{number}", channels, size, kernel, pad, recipe.pad_value))
            channels = size
            height, width = (side + 2 * pad - kernel + 1 for side in (height, width))
            if pool:
                net.append(steps.max_pool_step(f"pool{number}", pool, pool))
                height, width = height // pool, width // pool
            if min(height, width) < 1:
                raise ValueError(f"net: pictures of {shape[1]} × {shape[2]} are too small for {recipe.net!r}")
        else:
            if flat is None:
                net.append(steps.flatten_step("flat"))
                flat = channels * height * width
            net.append(dense(f"fc{number}", flat, size))
            flat = size
        norm = (last and vocabulary.last_norm) or vocabulary.norm
        if norm:
            net.append(norm(f"bn{number}", size))
        if not last:
            net.append(vocabulary.activation(f"act{number}"))
            if drop_hidden:
                net.append(steps.dropout_step(f"drop{number}", drop_hidden))
        elif vocabulary.last:
            net.append(vocabulary.last(f"out{number}", size))
    return tuple(net)


def notation(text):
    """Hidden layers as recipes write them, "512FC-512FC". A number before an x repeats what follows: "3x512FC", and of
    a number alone FC goes without saying, "3x512". Raises ValueError for what cannot be read."""
    layers = []
    for token in text.split("-"):
        times, layer = re.fullmatch(r"(?:([1-9]\d?)x)?(.*)", token, re.S).groups()
        layers += int(times or 1) * [f"{layer}FC" if layer.isascii() and layer.isdigit() else layer]
    net = "-".join(layers)
    _parse(net)
    return net


def kind(net):
    """Which of NETS a notation is: a convnet begins with a convolution."""
    return "convnet" if _parse(net)[0][0] == "C" else "mlp"


def _parse(net):
    """"128C3-MP2-1024FC" -> [("C", 128, 3, 1, 2), ("FC", 1024, 0, 0, 0)]: kind, size, kernel, border, pooling."""
    blocks = []
    for token in net.split("-"):
        if match := re.fullmatch(r"([1-9]\d*)C([135])", token):
            blocks.append(("C", int(match[1]), int(match[2]), int(match[2]) // 2, 0))
        elif match := re.fullmatch(r"([1-9]\d*)C([1-9])V", token):
            blocks.append(("C", int(match[1]), int(match[2]), 0, 0))
        elif match := re.fullmatch(r"([1-9]\d*)FC", token):
            blocks.append(("FC", int(match[1]), 0, 0, 0))
        elif (match := re.fullmatch(r"MP([2-9])", token)) and blocks and blocks[-1][0] == "C" and not blocks[-1][4]:
            blocks[-1] = (*blocks[-1][:4], int(match[1]))
        else:
            raise ValueError(f"net: cannot read {token!r} in {net!r}; for example 32C3-MP2-256FC")
    return blocks
