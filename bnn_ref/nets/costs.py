"""What a network costs: memory, operations and energy of one picture, and the multiplications of a training step.

The papers promise savings by factors of 32 or of a thousand; here every count is taken from the network itself, so
that a reader sees which layer saves what, and under which assumptions.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from ..ops import batchnorm as bn
from ..ops import (
    binarize,
    bit_planes,
    bitwise,
    conv,
    dense,
    dropout,
    ebp,
    ebp_real,
    ebp_ternary,
    few_mult,
    preprocess,
    relu,
    ternary,
)
from ..ops import shift_batchnorm as shift_bn
from ..ops.checks import check_sizes
from . import network

# --- one picture at test time: the model ---------------------------------------------------------------------------

# Kinds of numbers. Pixels have 8 bits; ±1 and -1, 0, +1 are what the papers make of weights and activations.
REAL, PIXELS, BINARY, TERNARY = "real", "8 bit", "binary", "ternary"
PLANES = {BINARY: 1, TERNARY: 2, PIXELS: 8}       # rows of bits that such a number is stored in
WORD = 64                                         # connections in one XNOR-popcount, bits in one access to memory

# Energy in picojoules, 45 nm: M. Horowitz, Computing's energy problem (ISSCC 2014), as quoted in BNN, Tables 2 and 3.
MULTIPLY = {"int8": 0.2, "int32": 3.1, "float16": 1.1, "float32": 3.7}
ADD = {"int8": 0.03, "int32": 0.1, "float16": 0.4, "float32": 0.9}
CACHES = ((8 * 1024, 10.0), (32 * 1024, 20.0), (1024**2, 100.0))    # (bytes, one access of 64 bits)
DRAM = (1300.0 + 2600.0) / 2                                        # the middle of the range in the table
PICO = 1e-12

# What a step's weights are at test time, and how many products it has with them. Sampled weights are real again at
# test time (`Step.predict`). Expectation backpropagation needs the variance of a unit's sum beside its mean: a second
# product, with an array of its own; in the first layer of real weights that one is a single number an example.
_PRODUCTS = {
    dense.dense_forward: (REAL, 1),
    dense.binary_dense_forward: (BINARY, 1),
    dense.stochastic_binary_dense_forward: (REAL, 1),
    bit_planes.bit_plane_dense_forward: (BINARY, 1),
    ternary.ternary_dense_forward: (TERNARY, 1),
    few_mult.binary_few_mult_dense_forward: (REAL, 1),
    few_mult.ternary_few_mult_dense_forward: (REAL, 1),
    bitwise.compressed_dense_forward: (REAL, 1),
    bitwise.bitwise_dense_forward: (TERNARY, 1),
    ebp.ebp_first_dense_forward: (REAL, 2),
    ebp.ebp_dense_forward: (REAL, 2),
    ebp.ebp_map_dense_forward: (BINARY, 1),
    ebp_ternary.ebp_ternary_first_dense_forward: (REAL, 2),
    ebp_ternary.ebp_ternary_dense_forward: (REAL, 2),
    ebp_ternary.ebp_ternary_map_dense_forward: (TERNARY, 1),
    ebp_real.ebp_real_first_dense_forward: (REAL, 1),
    ebp_real.ebp_real_dense_forward: (REAL, 2),
    ebp_real.ebp_real_map_dense_forward: (REAL, 1),
    conv.conv_forward: (REAL, 1),
    conv.binary_conv_forward: (BINARY, 1),
    conv.stochastic_binary_conv_forward: (REAL, 1),
    bit_planes.bit_plane_conv_forward: (BINARY, 1),
    ternary.ternary_conv_forward: (TERNARY, 1),
    few_mult.binary_few_mult_conv_forward: (REAL, 1),
    few_mult.ternary_few_mult_conv_forward: (REAL, 1),
    preprocess.zca_forward: (REAL, 1),            # whitening has no parameters, but is a product like any other
}

# What the other steps send on at test time; None: numbers of the kind that came in.
_SENT_ON = {
    binarize.sign_forward: BINARY,
    binarize.stochastic_sign_forward: BINARY,
    bitwise.identity_sign_forward: BINARY,
    bitwise.masked_sign_forward: BINARY,
    bitwise.two_bit_pixels_forward: BINARY,
    bitwise.rounded_pixels_forward: TERNARY,      # 1 or 0, and 0 is no input: as with weights
    bitwise.unit_pixels_forward: None,
    conv.max_pool_forward: None,
    conv.flatten_forward: None,
    dropout.dropout_forward: None,
    bn.batchnorm_forward: REAL,
    shift_bn.shift_batchnorm_forward: REAL,
    relu.relu_forward: REAL,
    bitwise.tanh_forward: REAL,
    bitwise.scale_forward: REAL,
    ebp.mean_sign_forward: REAL,
    preprocess.centre_forward: REAL,
    preprocess.gcn_forward: REAL,
    preprocess.lcn_forward: REAL,
}


@dataclass(frozen=True)
class LayerCost:
    """What one layer does for one picture at test time."""

    name: str
    inputs: str                       # the kind of its inputs
    weights: str                      # the kind of its weights
    connections: int                  # pairs of an input and a weight, one product of the two each
    weight_count: int
    weight_bytes: int                 # 32 bits a real weight, 1 a binary one, 2 a ternary one
    activations: int                  # numbers that it writes
    multiplications: int              # of float32
    additions: int                    # of float32
    xnor_popcounts: int               # of single bits
    words: int                        # the same on words of 64 bits, a unit's inputs filling whole words
    arithmetic: float                 # joules
    memory: float                     # joules


def _layer(name, inputs, weights, products, fan_in, units, count):
    connections = fan_in * units
    multiplications = additions = xnor_popcounts = words = 0
    if weights == REAL or inputs == REAL:
        additions = products * connections
        if {inputs, weights} <= {REAL, PIXELS}:
            multiplications = products * connections
    else:
        planes = PLANES[inputs] * PLANES[weights]
        xnor_popcounts = products * planes * connections
        words = products * planes * math.ceil(fan_in / WORD) * units
    weight_bytes = math.ceil(products * count * PLANES.get(weights, 32) / 8)
    picojoules = MULTIPLY["float32"] * multiplications + ADD["float32"] * additions + ADD["int32"] * words
    return LayerCost(name, inputs, weights, connections, count, weight_bytes, units, multiplications, additions,
                     xnor_popcounts, words, PICO * picojoules, PICO * _access(weight_bytes))


def _access(size):
    """Picojoules to read `size` bytes once, from the smallest memory of the table that holds them."""
    price = next((price for capacity, price in CACHES if size <= capacity), DRAM)
    return price * math.ceil(8 * size / WORD)


def _weight_shape(step):
    """The shape of the step's weights, its largest array: whitening has them among what it was fitted to."""
    shapes = [param.shape for param in step.params] or [shape for _, shape, _ in step.running]
    return max(shapes, key=math.prod)


def _fan_in(shape):
    """Inputs of a unit: of weights (D, M) or (M, C, KH, KW) for M units or channels."""
    return math.prod(shape[1:]) if len(shape) == 4 else shape[0]


def inference_costs(net, shape):
    """What each product of `net` costs for one picture of `shape` (C, H, W) at test time: a tuple of LayerCost.

    The model, in the order in which one may doubt it:

    - Counted is what grows with the connections. What is done once an activation (normalization, activation function,
      bias, pooling, contrast and centring of pictures) is left out, as in the papers' arguments; whitening, being a
      product, is a layer.
    - A product of two real numbers is a float32 multiplication and an addition. Where one of the two is ±1, or -1, 0,
      +1, the multiplication is gone. Zeros among ternary numbers are not skipped; at the border a convolution is
      charged like anywhere else.
    - Where neither is real, products are XNOR-popcounts of bits. A number is a plane of bits (binary), two (ternary)
      or eight (a pixel), and each plane of the inputs meets each of the weights. Padding with 0 costs nothing more: it
      adds a constant to each position.
    - **The table has no energy for XNOR or popcount. XNOR, popcount and accumulation of a word of 64 bits are charged
      as one int32 addition together**: an assumption of this module, not a figure of the papers.
    - Each layer's weights are read once a picture, 64 bits an access, from the smallest memory of the table that holds
      all of this layer: 8 KiB, 32 KiB, 1 MiB, else DRAM at the middle of its range. Activations are in registers.
      A batch of pictures would share these accesses; so this is the case in which binary weights save most.

    Kinds follow from the steps' functions, from the pixels up. Raises TypeError or ValueError for a net or a shape
    that is none, ValueError for a step that is not known here.
    """
    check_sizes("shape", shape, "C H W")
    params, running = network.zeros(net)
    x, kind, rows = np.full((1, *shape), 1 / 256, np.float32), PIXELS, []       # a grey picture: p = 128
    for step in net:
        out = network.predict((step,), params, running, x)
        if step.forward in _PRODUCTS:
            weights, products = _PRODUCTS[step.forward]
            size = _weight_shape(step)
            rows.append(_layer(step.name, kind, weights, products, _fan_in(size), out.size, math.prod(size)))
            kind = REAL
        else:
            kind = _known(step, _SENT_ON) or kind
        x = out
    return tuple(rows)


def _known(step, table):
    try:
        return table[step.forward]
    except KeyError:
        raise ValueError(f"{step.name}: what {step.forward.__name__} costs is not known here") from None


def in_floats(rows):
    """The costs of the float network of the same shape: every layer one product of real numbers. Returns LayerCosts."""
    return tuple(_layer(row.name, REAL, REAL, 1, row.connections // row.activations, row.activations, row.weight_count)
                 for row in rows)


def total(rows):
    """The sum over layers, a LayerCost named "total"."""
    sums = {field.name: sum(getattr(row, field.name) for row in rows) for field in fields(LayerCost)
            if field.type is not str}
    return LayerCost("total", "", "", **sums)


# --- a training step: multiplications ------------------------------------------------------------------------------

PER_UNIT = 3                          # declared, as in the paper's count: a unit's element-wise work, an example
PER_NORMALIZED = 9                    # declared: batch normalization, a unit and example, and once more a unit

# Steps whose products are x w (forward), ds wᵀ and xᵀ ds (backward), with the x and the w of the latter two in the
# cache, where the backward function finds them. Patches of a convolution repeat entries of its pictures.
_OPERANDS = dict.fromkeys((
    dense.dense_forward, dense.binary_dense_forward, dense.stochastic_binary_dense_forward,
    bit_planes.bit_plane_dense_forward, ternary.ternary_dense_forward, few_mult.binary_few_mult_dense_forward,
    few_mult.ternary_few_mult_dense_forward, bitwise.compressed_dense_forward, bitwise.bitwise_dense_forward,
    conv.conv_forward, conv.binary_conv_forward, conv.stochastic_binary_conv_forward,
    bit_planes.bit_plane_conv_forward, ternary.ternary_conv_forward, few_mult.binary_few_mult_conv_forward,
    few_mult.ternary_few_mult_conv_forward), lambda cache: cache[:2])
_NORMALIZATIONS = {bn.batchnorm_forward: "multiplications", shift_bn.shift_batchnorm_forward: "shifts"}
_PREPARED = {preprocess.zca_forward: None}        # pictures are whitened once, before training


@dataclass(frozen=True)
class Charge:
    """What one product of a training step, or the work on its units, costs in one minibatch."""

    name: str                         # of the step
    what: str                         # "x w", "ds wᵀ", "xᵀ ds", "units" or "normalization"
    multiplications: int = 0
    shifts: int = 0                   # products with a signed power of two
    sign_changes: int = 0             # products with -1, 0 or +1


def multiplications(net, recipe, params, running, x, labels, rng):
    """Multiplications of one training step: a tuple of Charge, after the count of the Few Multiplications paper [FM].

    The step is really made, forward and backward, and each product is looked at as its operands stand there: N·D·M
    multiplications, N being the minibatch (times positions, in a convolution), unless one operand holds nothing but 0
    and signed powers of two. Then these are shifts, and changes of sign where it is nothing but -1, 0 and +1. So it is
    the code that is counted, not its intention: rounding that does not happen shows.

    Not looked at but declared, as in the paper: 3 multiplications for each unit and example, and with batch
    normalization 9 more, and 9 for each unit (shifts, where it is the shift-based one). What is done once a weight and
    minibatch (drawing, rounding, the optimizer) and what is done to pictures before the first layer is not in the
    paper's count; the error of the first layer, which nobody needs, is.

    Arguments and errors as of `loop.training_step`; besides ValueError for a step that is not known here: expectation
    backpropagation is not, since it has a product for variances besides.
    """
    network.check_steps("net", net)
    charges = []
    watched = tuple(_watched(step, charges) for step in net)
    y, caches, _ = network.forward(watched, params, running, x, rng)
    _, cache = recipe.loss.forward(y, labels)
    network.backward(watched, caches, recipe.loss.backward(1.0, cache))
    return tuple(charges)


def _watched(step, charges):
    """The step, adding to `charges` what it does."""
    if step.forward in _NORMALIZATIONS:
        return replace(step, forward=_normalizing(step, charges))
    if step.forward not in _OPERANDS:
        _known(step, _SENT_ON | _PREPARED)
        return step
    operands = _OPERANDS[step.forward]

    def forward(x, *rest):
        out, cache, *new = step.forward(x, *rest)
        _, w = operands(cache)
        charges.append(_product(step, "x w", x, w, out.size * _fan_in(w.shape)))
        charges.append(Charge(step.name, "units", PER_UNIT * out.size))
        return out, cache, *new

    def backward(ds, cache):
        x, w = operands(cache)
        count = ds.size * _fan_in(w.shape)
        charges.append(_product(step, "ds wᵀ", ds, w, count))
        charges.append(_product(step, "xᵀ ds", x, ds, count))
        return step.backward(ds, cache)

    return replace(step, forward=forward, backward=backward)


def _normalizing(step, charges):
    def forward(x, gamma, *rest):
        results = step.forward(x, gamma, *rest)
        count = PER_NORMALIZED * (x.size + gamma.size)
        charges.append(Charge(step.name, "normalization", **{_NORMALIZATIONS[step.forward]: count}))
        return results

    return forward


def _product(step, what, a, b, count):
    if _are_signs(a) or _are_signs(b):
        return Charge(step.name, what, sign_changes=count)
    if _are_powers_of_two(a) or _are_powers_of_two(b):
        return Charge(step.name, what, shifts=count)
    return Charge(step.name, what, count)


def _are_signs(x):
    return bool(np.all((x == 0) | (np.abs(x) == 1)))


def _are_powers_of_two(x):
    """Whether all entries are 0 or signed powers of two, whose mantissa is ½."""
    return bool(np.all((x == 0) | (np.abs(np.frexp(x)[0]) == 0.5)))
