"""A trained binary network as bits, which gives the logits of its float form exactly: the run-time of [BNN Alg. 4].

Why not one bit differs. Inputs and weights are ±1, pixels are multiples of 1/256 (`train.scale_pixels`), so every
sum is a small integer over 1 or 256 and the float network computes it without rounding, in whatever order. Batch
normalization and sign of an integer are a comparison with a threshold, found by evaluating the float network's own
expression. The output layer evaluates that expression itself.

Borders. Bits know no 0, so a patch that reaches over the edge reads bits 0 there, and pixels 0. Each unit then misses
(pad value - that) · (the sum of its weights out there): known beforehand for each position, and taken off the
threshold. So a border of +1, -1 or 0 costs nothing.

Pooling. u = (S >= t) rises with S, so the largest S of a window passes where any of them passes: max is OR. The flip
of units whose bit falls with S comes behind it.

    packed = pack_network(net, params, running, shape)
    save_packed("net.bnn", packed)
    labels = predict_labels(load_packed("net.bnn"), images)
"""

import math

import numpy as np

from . import batchnorm, binarize, conv, dense, dropout, relu
from .batchnorm import batchnorm_predict
from .kernels import bits, ladder, packed_conv
from .kernels.ladder import plane_matmul
from .kernels.recycle import empty
from .packed_file import PackedError, load_packed, save_packed
from .packed_layers import Geometry, Layer, Output, PackedNetwork, describe

__all__ = ["PackedError", "PackedNetwork", "describe", "load_packed", "pack_network", "predict", "predict_labels",
           "save_packed"]

CHUNK_BYTES = 1 << 23                 # of the largest array on the way, for the pictures that go through at once

KINDS = {dense.binary_dense_forward: "dense", conv.binary_conv_forward: "conv", conv.max_pool_forward: "pool",
         conv.flatten_forward: "flatten", batchnorm.batchnorm_forward: "norm", binarize.sign_forward: "sign",
         binarize.stochastic_sign_forward: "sign"}
FOLLOWERS = {"flatten": ("dense",), "dense": ("norm",), "conv": ("pool", "norm"), "pool": ("norm",),
             "norm": ("sign",)}       # behind a sign: what fits its rows or maps
REFUSED = {dense.dense_forward: "weights are real numbers",
           conv.conv_forward: "weights are real numbers",
           dense.stochastic_binary_dense_forward: "weights are real numbers at test time",
           conv.stochastic_binary_conv_forward: "weights are real numbers at test time",
           relu.relu_forward: "activations are real numbers"}


# --- from a trained network ----------------------------------------------------------------------------------------


def pack_network(net, params, running, shape, text=""):
    """The network as bits.

    net: steps of binary products, each followed by max pooling (behind a convolution, if any), batch normalization
    and, but for the last, sign or stochastic sign, which is sign at test time; dropout is nothing at test time.
    params, running: float32. shape: (C, H, W) of a picture; text: a line for people.
    Raises ValueError naming the step that has no form on bits or the array that does not fit or holds NaN or
    infinity, TypeError naming the array that is not float32.
    """
    maps, layers = tuple(shape), []
    blocks = _blocks(net)
    for block in blocks:
        geometry, weights = _product(block, params, maps, first=not layers)
        norm = _arrays(block["norm"], params, running, [(geometry.units,)] * 4)
        if norm[3].min() < 0:
            raise ValueError(f"{block['norm'].name}.var: expected variances of at least 0, got {norm[3].min()}")
        if block is blocks[-1]:
            return PackedNetwork(tuple(layers), Output(geometry, weights, np.stack(norm)), text)
        thresholds, flips = find_thresholds(geometry, *norm)
        layers.append(Layer(geometry, weights, thresholds, bits.pack(np.where(flips, 1, -1))))
        maps = geometry.units, *geometry.out


def _blocks(net):
    """[{kind: step}], a dict a layer. Raises ValueError for a step that has no form on bits, or not in its place."""
    blocks, rows, last, allowed = [{}], False, "the start", ("flatten", "conv")
    for step in net:
        if step.forward is dropout.dropout_forward:
            continue
        kind = KINDS.get(step.forward)
        if kind is None:
            raise ValueError(f"{step.name}: no form on bits, its {REFUSED.get(step.forward, 'operation is unknown')}")
        if kind not in allowed:
            why = "; max is OR only on a product's integers" if kind == "pool" else ""
            raise ValueError(f"{step.name}: expected {' or '.join(allowed)} behind {last}, got {kind}{why}")
        blocks[-1][kind] = step
        rows = rows or kind == "flatten"
        if kind == "sign":
            blocks.append({})
        last = step.name
        allowed = FOLLOWERS.get(kind) or (("dense",) if rows else ("conv", "flatten"))
    if "norm" not in blocks[-1] or "dense" not in blocks[-1]:
        raise ValueError(f"net: expected a dense product and batch normalization at its end, got {last} there")
    return blocks


def _product(block, params, maps, first):
    """(Geometry, packed weights) of a block's product on maps (C, H, W)."""
    step = block.get("conv") or block["dense"]
    shape = step.params[0].shape
    if "dense" in block:
        units, kernel, settings = shape[-1], maps[1:], (1, 0, 0.0)
        expected = math.prod(maps), units
    else:
        units, kernel, settings = shape[0], shape[2:], step.settings
        expected = units, maps[0], *kernel
    [w] = _arrays(step, params, {}, [expected])
    stride, pad, pad_value = settings
    pool = block["pool"].settings if "pool" in block else (1, 1)
    value = float(np.float32(pad_value)) * (256 if first else 1)
    try:
        if stride != 1:
            raise ValueError(f"stride: only 1 is supported, got {stride}")
        if pad and not value.is_integer():
            raise ValueError(f"pad_value: expected an integer{' over 256' if first else ''}, got {pad_value}")
        geometry = Geometry(first, maps, units, tuple(kernel), pad, int(value) if pad else 0, pool)
    except ValueError as error:
        raise ValueError(f"{step.name}: {error}") from None
    w = (w.T if "dense" in block else w).reshape(units, maps[0], *kernel).transpose(0, 2, 3, 1)     # M KH KW C
    return geometry, bits.pack(w.reshape(units, -1, geometry.entries)).reshape(units, -1)


def _arrays(step, params, running, shapes):
    """The step's arrays in order, checked."""
    names = [(params, param.name) for param in step.params] + [(running, name) for name, _, _ in step.running]
    arrays = []
    for (source, name), shape in zip(names, shapes):
        name = f"{step.name}.{name}"
        array = source.get(name)
        came = "nothing" if array is None else f"{array.dtype} {array.shape}"
        if array is None or array.shape != shape:
            raise ValueError(f"{name}: expected float32 {shape}, got {came}")
        if array.dtype != np.float32:
            raise TypeError(f"{name}: expected float32, in which the network was trained, got {came}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        arrays.append(array)
    return arrays


def normalize(geometry, s, norm):
    """The float network's batch normalization of integers: s: (N, M) integers; norm: as in Output. (N, M) float32."""
    return batchnorm_predict(s.astype(np.float32) / np.float32(geometry.scale), *norm)


def find_thresholds(geometry, *norm):
    """(t, flip) with sign(a) = +1 exactly where (S >= t) XOR flip, for each unit and every integer S it can have.

    Rounding keeps the order of numbers, so a, computed in floats, still rises or falls with S, and bisection finds
    where its sign changes. It goes by the signs at both ends, not by gamma: a gamma of 0, or so small that nothing
    changes between the ends, is a unit whose bit is always the same. norm: gamma, beta, mean, variance: float32 (M,).
    Returns t: int32 (M,), in [-bound, bound]; flip: bool (M,).
    """
    with np.errstate(over="ignore", invalid="ignore"):       # NaN, at one S if at any, compares as False: as in sign
        high = np.full(geometry.units, geometry.bound)
        low = -high - 1
        flip = ~(normalize(geometry, high[None], norm)[0] >= 0)
        while (high - low > 1).any():                        # the bit XOR flip is 1 from `high` on, not up to `low`
            middle = (low + high + 1) // 2
            passes = (normalize(geometry, middle[None], norm)[0] >= 0) ^ flip
            low, high = np.where(passes, low, middle), np.where(passes, middle, high)
    return high.astype(np.int32), flip


# --- inference -----------------------------------------------------------------------------------------------------


def predict(packed, images, rung=None):
    """Logits, equal in every bit to those of the float network on `train.scale_pixels(images)`.

    images: (N, C, H, W) uint8; rung: the name of a rung of the ladder of products, None for the best.
    Returns (N, classes) float32. Raises TypeError or ValueError for images of another dtype or shape.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        came = f"dtype {images.dtype}" if isinstance(images, np.ndarray) else type(images).__name__
        raise TypeError(f"images: expected a uint8 array, got {came}")
    if images.ndim != 4 or images.shape[1:] != packed.shape:
        raise ValueError(f"images: expected shape (N, {', '.join(map(str, packed.shape))}), got {images.shape}")
    rung = None if rung is None else ladder.rung(rung)
    output, g = packed.output, packed.output.geometry
    logits = np.empty((len(images), packed.classes), np.float32)
    size = _images_at_once(packed)
    for start in range(0, len(images), size):
        x = np.ascontiguousarray(images[start:start + size].transpose(0, 2, 3, 1))            # N H W C
        for layer in packed.layers:
            x = _hidden(layer, x, rung)                                                           # N OH OW words
        s = _matmul(g, output.weights, x, rung) - g.slack
        logits[start:start + size] = normalize(g, s, output.norm)
    return logits


def predict_labels(packed, images, rung=None):
    """The class of the largest logit, the first of equals: (N,) int64. Arguments and errors as of `predict`."""
    return predict(packed, images, rung).argmax(axis=1)


def _images_at_once(packed):
    largest = 1
    for layer in (*packed.layers, packed.output):
        g = layer.geometry
        patch = 8 * g.words * (8 if g.first else 1)                                           # bytes
        largest = max(largest, math.prod(g.positions) * max(patch, 4 * g.units))
    return max(1, CHUNK_BYTES // largest)


def _matmul(g, weights, x, rung):
    """S + slack at every position, borders as they are in bits.

    x: (N, H, W, C) pixels or (N, H, W, words) bits. Returns int32 (N·OH·OW, M).
    """
    if g.dense:
        patches = x.reshape(len(x), -1)
    else:
        kh, kw = g.kernel
        patches = empty((len(x), *g.positions, kh, kw * x.shape[3]), x.dtype)
        packed_conv.im2col(x.reshape(*x.shape[:2], -1), x.shape[3], g.pad, patches)
        patches = patches.reshape(len(x) * math.prod(g.positions), -1)
    if g.first:
        return plane_matmul(bits.pack_planes(patches), weights, g.k, rung)
    return (rung or ladder.xnor_matmul)(patches, weights, bits.BITS * g.words)


def _hidden(layer, x, rung):
    """From pixels or bits to the bits of the layer's maps: (N, OH, OW, words)."""
    g = layer.geometry
    s = _matmul(g, layer.weights, x, rung)
    u = empty((len(x), *g.positions, len(layer.flips)), np.uint64)
    packed_conv.threshold(s, *layer.by_position, u.reshape(len(s), -1))
    if g.pool != (1, 1):
        pooled = empty((len(x), *g.out, len(layer.flips)), np.uint64)
        packed_conv.or_pool(u, *g.pool, pooled)
        u = pooled
    u ^= layer.flips
    return u
