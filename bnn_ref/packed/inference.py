"""A trained binary network as bits, which gives the logits of its float form exactly: the run-time of [BNN Alg. 4].

Why not one bit differs. Weights and hidden inputs are ±1, pixels are multiples of 1/256 (`loop.scale_pixels`), so
every sum is a small integer over 1 or 256 and the float network computes it without rounding, in whatever order.
Normalization and sign of an integer are a comparison with a threshold, found by evaluating the float network's own
expression. The output layer evaluates that expression itself.

One expression. Batch normalization, its shift-based form, and a bias with or without a constant factor are all
(s - mean) · scale + beta at test time, with one rounding after each of the three operations.

Weights that can be 0. w = (w₁ + w₂)/2 with w₁, w₂ = ±1, so two planes of bits and any product of ±1 serve them too.

Inputs from 0. x = (c + 1)/2 with c = ±1, and p/256 = (2p - 255 + 255)/512 for pixels: the same products, and half the
sum of each unit's weights besides, known beforehand.

Borders. Bits know no 0, so a patch that reaches over the edge reads bits 0 there, and pixels 0. Each unit then misses
(pad value - that) · (the sum of its weights out there): known beforehand for each position, and taken off the
threshold. So a border of +1, -1 or 0 costs nothing.

Pooling. u = (S >= t) rises with S, so the largest S of a window passes where any of them passes: max is OR. The flip
of units whose bit falls with S comes behind it.

Real activations. Behind a rectifier inputs are real, and a product with weights of bits only adds [BC §1]. Floats round
differently in another order of adding; so there, and only there, logits agree up to rounding: here each sum is taken
in float64 and rounded to float32 once.

    packed = pack_network(net, params, running, shape)
    save_packed("net.bnn", packed)
    labels = predict_labels(load_packed("net.bnn"), images)
"""

import math

import numpy as np

from .. import advice
from ..kernels import bits, ladder, packed_conv
from ..kernels.ladder import plane_matmul
from ..kernels.recycle import empty
from ..kernels.sign_accumulate import sign_accumulate
from ..ops.checks import check_instance, is_plain
from ..training.loop import finite_logits, scale_pixels
from .convert import FRONTS
from .layers import BITS, REALS, BitLayer, PackedNetwork, normalize, scaled

CHUNK_BYTES = 1 << 23                 # of the largest array on the way, for the pictures that go through at once


def predict(packed, images, rung=None):
    """Logits, equal in every bit to those of the float network on `loop.scale_pixels(images)`; where there are real
    activations or preprocessing, equal up to rounding.

    images: (N, C, H, W) uint8; rung: the name of a rung of the ladder of products, None for the best. Products of real
    numbers have only one.
    Returns (N, classes) float32. Raises TypeError or ValueError for images of another dtype or shape, or a rung that is
    none.
    """
    check_instance("packed", packed, PackedNetwork, "a PackedNetwork")
    if not is_plain(images) or images.dtype != np.uint8:
        if not is_plain(images):
            raise TypeError(f"images: expected a uint8 array, got {type(images).__name__}")
        raise TypeError(f"images: expected a uint8 array, got dtype {images.dtype}; "
                        f"{advice.for_values('images', images)}")
    if images.ndim != 4 or images.shape[1:] != packed.shape:
        raise ValueError(f"images: expected shape (N, {', '.join(map(str, packed.shape))}), got {images.shape}")
    rung = None if rung is None else ladder.rung(rung)
    logits = np.empty((len(images), packed.classes), np.float32)
    size = _images_at_once(packed)
    for start in range(0, len(images), size):
        x = _preprocessed(packed.fronts, images[start:start + size])
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))                                         # N H W C
        for layer in packed.layers:
            x = _bits(layer, x, rung) if isinstance(layer, BitLayer) else np.maximum(_reals(layer, x, rung), 0)
        logits[start:start + size] = _reals(packed.output, x, rung).reshape(-1, packed.classes)
    return logits


def predict_labels(packed, images, rung=None):
    """The class of the largest logit, the first of equals: (N,) int64. Arguments and errors as of `predict`.

    Raises loop.TrainingError where a logit is NaN or infinite, as `loop.error_rate` does.
    """
    return finite_logits(predict(packed, images, rung)).argmax(axis=1)


def _preprocessed(fronts, images):
    """Pictures as they are, or float32 behind all preprocessing."""
    x = scale_pixels(images) if fronts else images
    for front in fronts:
        x = FRONTS[front.kind](x, *(array if array.ndim else _number(array.item()) for array in front.arrays))[0]
    return x


def _number(setting):
    """A setting, which lies in float32, as it was: a window's side is a whole number of pixels."""
    return int(setting) if setting.is_integer() else setting


def _images_at_once(packed):
    largest = 1
    for layer in (*packed.layers, packed.output):
        g = layer.geometry
        if g.coding is REALS:
            patch, result = 4 * g.k, 8 * g.units * g.planes                                       # bytes
        else:
            patch, result = 8 * g.words * (1 if g.coding is BITS else 8), 4 * g.units * g.planes
        largest = max(largest, math.prod(g.positions) * max(patch, result))
    return max(1, CHUNK_BYTES // largest)


def _sums(g, weights, x, rung):
    """The sums S over all planes, at every position; of words without what they lack, see `layers.offsets`.

    x: (N, H, W, C) pixels or real numbers, or (N, H, W, words) bits. Returns (N·OH·OW, M), int32, or float64 of real
    numbers.
    """
    if g.dense:
        patches = x.reshape(len(x), -1)
    else:
        kh, kw = g.kernel
        patches = empty((len(x), *g.positions, kh, kw * x.shape[3]), x.dtype)
        packed_conv.im2col(x.reshape(*x.shape[:2], -1), x.shape[3], g.pad, g.pad_value if g.coding is REALS else 0,
                           patches)
        patches = patches.reshape(len(x) * math.prod(g.positions), -1)
    if g.coding is REALS:
        sums = sign_accumulate(patches, weights, g.k)
    elif g.coding.largest == 255:
        sums = plane_matmul(bits.pack_planes(patches), weights, g.k, rung)
    else:
        if g.coding.leading:
            leading = bits.pack_planes(patches)[:, 8 - g.coding.leading:]
            patches = leading[:, ::-1].reshape(len(patches), -1)                  # the most significant first
        sums = (rung or ladder.xnor_matmul)(np.ascontiguousarray(patches), weights, bits.BITS * g.words)
    return sums if g.planes == 1 else sums[:, :g.units] + sums[:, g.units:]


def _bits(layer, x, rung):
    """From pixels or bits to the bits of the layer's maps: (N, OH, OW, words)."""
    g = layer.geometry
    sums = _sums(g, layer.weights, x, rung)
    u = empty((len(x), *g.positions, len(layer.flips)), np.uint64)
    packed_conv.threshold(sums, *layer.by_position, u.reshape(len(sums), -1))
    if g.pool != (1, 1):
        pooled = empty((len(x), *g.out, len(layer.flips)), np.uint64)
        packed_conv.or_pool(u, *g.pool, pooled)
        u = pooled
    u ^= layer.flips
    return u


def _reals(layer, x, rung):
    """From pixels, bits or real numbers to the real numbers of the layer's maps: float32 (N, OH, OW, M)."""
    g = layer.geometry
    sums = _sums(g, layer.weights, x, rung).reshape(len(x), -1, g.units)                          # N P M
    s = scaled(g, sums + layer.lacking).reshape(len(x), *g.positions, g.units)
    if g.pool != (1, 1):
        s = _max_pool(s, *g.pool, *g.out)
    return normalize(s, layer.affine)


def _max_pool(x, kernel, stride, oh, ow):
    """The largest number of each window [POOL-1]; channels last, unlike `conv.max_pool_forward`."""
    windows = (x[:, i:i + stride * oh:stride, j:j + stride * ow:stride] for i, j in np.ndindex(kernel, kernel))
    out = next(windows).copy()
    for entries in windows:
        np.maximum(out, entries, out=out)
    return out
