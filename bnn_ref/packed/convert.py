"""From a trained network to one on bits: which steps have a form there, in which order, and the thresholds.

`inference` says why not one bit differs; what a layer holds is in `layers`.
"""

import contextlib
import math

import numpy as np

from ..kernels import bits
from ..nets import network
from ..ops import (
    batchnorm,
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
from ..ops.checks import check_instance, check_sizes, is_plain
from .layers import (
    BITS,
    PIXELS,
    REALS,
    ROUNDED,
    SIGNS,
    TWO_BITS,
    UNIT_PIXELS,
    BitLayer,
    Front,
    Geometry,
    PackedNetwork,
    RealLayer,
    check_affine,
    normalize,
    scaled,
)

# --- what there is on bits -----------------------------------------------------------------------------------------


def _signs(w):
    return binarize.sign(w), None


def _ternary(w):
    return ternary.ternary(w), None


def _most_probable(h, b):
    return binarize.sign(h), b


def _most_probable_of_three(hp, hm, b):
    return ebp_ternary.most_probable(hp, hm), b


def _bitwise(w, b, beta_w, beta_b):
    return bitwise.bitwise_weights(w, beta_w), bitwise.bitwise_weights(b, beta_b)


# The products: from their arrays to weights of -1, 0 and +1, and a bias or None.
WEIGHTS = {
    dense.binary_dense_forward: _signs, conv.binary_conv_forward: _signs,
    bit_planes.bit_plane_dense_forward: _signs, bit_planes.bit_plane_conv_forward: _signs,
    ternary.ternary_dense_forward: _ternary, ternary.ternary_conv_forward: _ternary,
    ebp.ebp_map_dense_forward: _most_probable, ebp_ternary.ebp_ternary_map_dense_forward: _most_probable_of_three,
    bitwise.bitwise_dense_forward: _bitwise,
}
CONVOLUTIONS = (conv.binary_conv_forward, bit_planes.bit_plane_conv_forward, ternary.ternary_conv_forward)

# The first step, if it codes pictures. What is not coded is scaled pixels.
CODINGS = {binarize.sign_forward: SIGNS, bitwise.unit_pixels_forward: UNIT_PIXELS,
           bitwise.rounded_pixels_forward: ROUNDED, bitwise.two_bit_pixels_forward: TWO_BITS}

# Preprocessing, in floats: by the names in `layers.FRONTS`.
FRONTS = {"centre": preprocess.centre_forward, "contrast": preprocess.gcn_forward, "white": preprocess.zca_forward,
          "local": preprocess.lcn_forward}

# What kind of step an operation is, and which kinds may follow; behind an activation comes whatever fits its maps.
KINDS = {
    **dict.fromkeys(WEIGHTS, "dense"), **dict.fromkeys(CONVOLUTIONS, "conv"),
    **dict.fromkeys(CODINGS, "coding"), **dict.fromkeys(FRONTS.values(), "front"),
    conv.flatten_forward: "flatten", conv.max_pool_forward: "pool",
    batchnorm.batchnorm_forward: "norm", shift_bn.shift_batchnorm_forward: "norm", bitwise.scale_forward: "scale",
    binarize.sign_forward: "sign", binarize.stochastic_sign_forward: "sign", bitwise.identity_sign_forward: "sign",
    bitwise.masked_sign_forward: "sign", relu.relu_forward: "relu",
}
FOLLOWERS = {"front": ("front", "flatten", "conv"), "coding": ("flatten", "conv"), "flatten": ("dense",),
             "dense": ("norm", "scale", "sign", "relu"), "conv": ("pool", "norm", "scale", "sign", "relu"),
             "pool": ("norm", "scale", "sign", "relu"), "norm": ("sign", "relu"), "scale": ("sign", "relu")}

# How many settings of a step are used here, or make no difference to pictures; any other number is refused.
SETTINGS = {**dict.fromkeys(CONVOLUTIONS, (3,)), conv.max_pool_forward: (2,), bitwise.scale_forward: (1,),
            batchnorm.batchnorm_forward: (0, 1), shift_bn.shift_batchnorm_forward: (0, 1),
            preprocess.gcn_forward: (1,), preprocess.lcn_forward: (1,), bitwise.masked_sign_forward: (1,)}

_REAL, _REAL_LATER = "weights are real numbers", "weights are real numbers at test time"
_UNKNOWN = "weights are known as distributions"
REFUSED = {
    dense.dense_forward: _REAL, conv.conv_forward: _REAL, ebp_real.ebp_real_map_dense_forward: _REAL,
    bitwise.compressed_dense_forward: _REAL,
    dense.stochastic_binary_dense_forward: _REAL_LATER, conv.stochastic_binary_conv_forward: _REAL_LATER,
    few_mult.binary_few_mult_dense_forward: _REAL_LATER, few_mult.binary_few_mult_conv_forward: _REAL_LATER,
    few_mult.ternary_few_mult_dense_forward: _REAL_LATER, few_mult.ternary_few_mult_conv_forward: _REAL_LATER,
    ebp.ebp_first_dense_forward: _UNKNOWN, ebp_ternary.ebp_ternary_first_dense_forward: _UNKNOWN,
    ebp_real.ebp_real_first_dense_forward: _UNKNOWN,
}


# --- from a trained network ----------------------------------------------------------------------------------------


def pack_network(net, params, running, shape, text=""):
    """The network as bits.

    net: steps, of preprocessing or one coding of pictures if there is any, then of products with weights of -1, 0 and
    +1, each followed by max pooling (behind a convolution, if any), normalization or a constant factor (if any) and,
    but for the last, sign, stochastic sign, which is sign at test time, or the rectifier; dropout is nothing at test
    time. params, running: float32. shape: (C, H, W) of a picture; text: a line for people.
    Raises ValueError naming the step that has no form on bits or the array that does not fit or holds NaN or
    infinity, TypeError naming the array that is not float32, or what is no net, shape or text.
    """
    network.check_steps("net", net)
    for name, arrays in (("params", params), ("running", running)):
        check_instance(name, arrays, dict, "a dict of arrays by full-path name")
    check_sizes("shape", shape, "C H W")
    check_instance("text", text, str, "a line of text")
    maps, layers = tuple(shape), []
    fronts, coding, blocks = _blocks(net)
    fronts = tuple(_front(step, params, running) for step in fronts)
    for block in blocks:
        geometry, weights, bias = _product(block, params, running, maps, coding)
        affine = _affine(block, params, running, bias, geometry.units)
        if "sign" in block:
            if coding is REALS:
                raise ValueError(f"{block['sign'].name}: no form on bits, it is the sign of sums of real numbers")
            thresholds, flips = find_thresholds(geometry, affine)
            layers.append(BitLayer(geometry, weights, thresholds, bits.pack(np.where(flips, 1, -1))))
        else:
            layers.append(RealLayer(geometry, weights, affine))
        maps, coding = (geometry.units, *geometry.out), BITS if "sign" in block else REALS
    return PackedNetwork(tuple(layers[:-1]), layers[-1], text, fronts)


def _blocks(net):
    """(steps of preprocessing, Coding of the first product's inputs, [{kind: step}], a dict a layer).

    Raises ValueError for a step that has no form on bits, or not in its place.
    """
    fronts, coding, blocks = [], PIXELS, [{}]
    rows, last, allowed = False, "the start", ("front", "coding", "flatten", "conv")
    for step in net:
        if step.forward is dropout.dropout_forward:
            continue
        kind = KINDS.get(step.forward)
        if kind is None:
            raise ValueError(f"{step.name}: no form on bits, its {REFUSED.get(step.forward, 'operation is unknown')}")
        expected = SETTINGS.get(step.forward, (0,))
        if len(step.settings) not in expected:
            raise ValueError(f"{step.name}: expected {' or '.join(map(str, expected))} settings for a form on bits, "
                             f"got {step.settings}")
        if step.forward in CODINGS and "coding" in allowed:
            kind, coding = "coding", CODINGS[step.forward]
        if kind not in allowed:
            why = "; pooling belongs right behind a convolution" if kind == "pool" else ""
            raise ValueError(f"{step.name}: expected {' or '.join(allowed)} behind {last}, got {kind}{why}")
        if kind == "front":
            fronts.append(step)
            coding = REALS
        elif kind != "coding":
            blocks[-1][kind] = step
        rows = rows or kind == "flatten"
        if kind in ("sign", "relu"):
            blocks.append({})
        last = step.name
        allowed = FOLLOWERS.get(kind) or (("dense",) if rows else ("conv", "flatten"))
    if "dense" not in blocks[-1]:
        raise ValueError(f"net: expected a dense product at its end, with or without normalization, got {last} there")
    return fronts, coding, blocks


@contextlib.contextmanager
def _naming(step):
    """Put the step's name in front of what a ValueError says."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{step.name}: {error}") from None


def _front(step, params, running):
    kind = next(name for name, forward in FRONTS.items() if forward is step.forward)
    arrays = _arrays(step, params, running, [shape for _, shape, _ in step.running])
    with _naming(step):
        return Front(kind, (*arrays, *(np.array(setting, np.float32) for setting in step.settings)))


def _product(block, params, running, maps, coding):
    """(Geometry, packed weights, bias or None) of a block's product on maps (C, H, W)."""
    step = block.get("conv") or block["dense"]
    shape = step.params[0].shape
    channels = max(1, coding.leading) * maps[0]
    if "dense" in block:
        units, kernel, settings = shape[-1], maps[1:], (1, 0, 0.0)
        expected = channels * math.prod(kernel), units
    else:
        units, kernel, settings = shape[0], shape[2:], step.settings
        expected = units, channels, *kernel
    shapes = [expected if len(param.shape) > 1 else (units,) for param in step.params]
    w, bias = WEIGHTS[step.forward](*_arrays(step, params, running, shapes + [shape for _, shape, _ in step.running]))
    stride, pad, pad_value = settings
    pool = block["pool"].settings if "pool" in block else (1, 1)
    value = float(np.float32(pad_value)) * coding.unit
    with _naming(step):
        if stride != 1:
            raise ValueError(f"stride: only 1 is supported, got {stride}")
        if pad and not value.is_integer():
            over = f" over {coding.unit}" if coding.unit > 1 else ""
            raise ValueError(f"pad_value: expected an integer{over}, got {pad_value}")
        geometry = Geometry(coding, maps, units, tuple(kernel), pad, int(value) if pad else 0, pool,
                            2 if (w == 0).any() else 1)
    w = (w.T if "dense" in block else w).reshape(units, geometry.groups, maps[0], *kernel).transpose(0, 1, 3, 4, 2)
    w = np.ascontiguousarray(w).reshape(units, -1, geometry.entries)                      # M, then G KH KW C
    planes = [w, np.where(w > 0, np.float32(1), np.float32(-1))][:geometry.planes]        # 0 is +1 in one, -1 in two
    return geometry, np.concatenate([bits.pack(plane).reshape(units, -1) for plane in planes]), bias


def _affine(block, params, running, bias, units):
    """(mean, scale, beta), float32 (3, M): (s - mean) · scale + beta is the float network's a in every bit."""
    zero = np.zeros(units, np.float32)
    if "norm" not in block:
        factors = np.ones(units, np.float32)
        if "scale" in block:
            with _naming(block["scale"]):
                factors, _ = block["scale"].forward(factors, *block["scale"].settings)
        return np.stack([zero if bias is None else -bias, factors, zero])
    norm = block["norm"]
    if bias is not None:
        raise ValueError(f"{norm.name}: no form on bits behind a product with a bias, got normalization")
    gamma, beta, mean, spread = _arrays(norm, params, running, [(units,)] * 4)
    name = norm.running[1][0]
    if spread.min() < 0:
        said = "variances" if name == "var" else "reciprocal standard deviations"
        raise ValueError(f"{norm.name}.{name}: expected {said} of at least 0, got {spread.min()}")
    with np.errstate(over="ignore", invalid="ignore"), _naming(norm):
        # (1 - 0) · scale + -0 is the scale, also where that is -0.
        scale = norm.predict(np.ones((1, units), np.float32), gamma, -zero, zero, spread, *norm.settings)[0]
    if np.isnan(scale).any():
        raise ValueError(f"{norm.name}: expected a scale, got infinity times 0 of gamma and {name}")
    return np.stack([mean, scale, beta])


def _arrays(step, params, running, shapes):
    """The step's arrays in order, checked."""
    names = [(params, param.name) for param in step.params] + [(running, name) for name, _, _ in step.running]
    arrays = []
    for (source, name), shape in zip(names, shapes):
        name = f"{step.name}.{name}"
        array = source.get(name)
        came = f"{array.dtype} {array.shape}" if is_plain(array) else f"a {type(array).__name__}"
        if name not in source:
            came = "nothing"
        if not is_plain(array) or array.shape != shape:
            raise ValueError(f"{name}: expected float32 {shape}, got {came}")
        if array.dtype != np.float32:
            raise TypeError(f"{name}: expected float32, in which the network was trained, got {came}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        arrays.append(array)
    return arrays


def find_thresholds(geometry, affine):
    """(t, flip) with sign(a) = +1 exactly where (S >= t) XOR flip, for each unit and every integer S it can have.

    Rounding keeps the order of numbers, so a, computed in floats, still rises or falls with S, and bisection finds
    where its sign changes. It goes by the signs at both ends, not by the scale's: a scale of 0, or so small that
    nothing changes between the ends, is a unit whose bit is always the same. affine: float32 (3, M), as in a RealLayer.
    Returns t: int32 (M,), in [-bound, bound]; flip: bool (M,). Raises TypeError or ValueError for a geometry or an
    affine that is none.
    """
    check_instance("geometry", geometry, Geometry, "a Geometry")
    check_affine(geometry, affine)
    def is_plus(sums):
        return normalize(scaled(geometry, sums), affine) >= 0

    with np.errstate(over="ignore", invalid="ignore"):       # NaN, at one S if at any, compares as False: as in sign
        high = np.full(geometry.units, geometry.bound)
        low = -high - 1
        flip = ~is_plus(high)
        while (high - low > 1).any():                        # the bit XOR flip is 1 from `high` on, not up to `low`
            middle = (low + high + 1) // 2
            passes = is_plus(middle) ^ flip
            low, high = np.where(passes, low, middle), np.where(passes, middle, high)
    return high.astype(np.int32), flip
