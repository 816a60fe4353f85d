"""A network on bits as data: what each layer holds, and every size that follows from its numbers.

Packing, inference and the file format all rest on these numbers, so they are checked here, once: layers that do not
fit one another, or whose integers a float32 could not hold, do not come into being.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from ..kernels import bits
from ..ops.checks import check_dtype, check_instance

EXACT = 1 << 24                       # every integer up to here is a float32, and so is every sum on the way
LARGEST_WORDS = 1 << 24               # of a unit, all planes: products of 2³⁰ bits, padding too, stay far inside int32


@dataclass(frozen=True)
class Coding:
    """What the inputs x of a layer are: x = (c + origin) / unit, and a product of words is one of the integers c."""

    name: str
    largest: int                      # |c|: 255 where c = 2p - 255 for a pixel p, 1 where c = ±1; 0: no integers
    origin: int
    unit: int
    leading: int = 0                  # how many of a pixel's leading bits are inputs, each of its own


# By their numbers in the file.
CODINGS = (
    Coding("bits", 1, 0, 1),                           # ±1, from the layer below
    Coding("pixels", 255, 0, 256),                     # (2p - 255)/256
    Coding("pixels from 0", 255, 255, 512),            # p/256
    Coding("signs of pixels", 1, 0, 1, 1),             # ±1
    Coding("rounded pixels", 1, 1, 2, 1),              # 0 or 1
    Coding("two bits of pixels", 1, 0, 1, 2),          # ±1, twice as many
    Coding("real numbers", 0, 0, 1),                   # float32, from the layer below or from preprocessing
)
BITS, PIXELS, UNIT_PIXELS, SIGNS, ROUNDED, TWO_BITS, REALS = CODINGS


@dataclass(frozen=True)
class Geometry:
    """The numbers of one layer's product. Raises ValueError for numbers that make no layer.

    Maps come in and maps go out; a unit of a dense layer is a map of one point. So a dense layer is a convolution
    whose kernel is as large as the map that comes in, and there is only one kind of product.
    """

    coding: Coding                    # of what comes in
    maps: tuple                       # (C, H, W) that come in
    units: int                        # M, the channels that go out
    kernel: tuple                     # (KH, KW), stride 1
    pad: int = 0                      # rows and columns around a map
    pad_value: int = 0                # what they hold, times the coding's unit
    pool: tuple = (1, 1)              # kernel and stride of the max pooling behind the product
    planes: int = 1                   # of ±1, the weights being their mean: 2 where some are 0

    def __post_init__(self):
        sizes = (*self.maps, self.units, *self.kernel, *self.pool)
        if min(sizes) < 1:
            raise ValueError(f"sizes: expected at least 1, got {sizes}")
        if not 0 <= self.pad < min(self.kernel):
            raise ValueError(f"pad: expected less than the kernel {self.kernel}, got {self.pad}")
        if self.pad_value and not self.pad:
            raise ValueError(f"pad_value: expected 0 without a border, got {self.pad_value}")
        if min(self.positions) < 1 or min(self.out) < 1:
            raise ValueError(f"kernel: {self.kernel} and pooling {self.pool} do not fit maps of {self.maps[1:]}")
        if self.planes not in (1, 2):
            raise ValueError(f"planes: expected 1 or 2, got {self.planes}")
        if self.coding is not REALS and self.bound > EXACT * self.planes:
            raise ValueError(f"sums of {self.k} inputs reach {self.bound // self.planes}: float32 holds integers up to "
                             "2²⁴ exactly")
        if self.coding is not REALS and self.planes * self.words > LARGEST_WORDS:
            raise ValueError(f"a unit takes {self.planes * self.words} words, with padding bits: expected at most 2²⁴")

    @property
    def scale(self):
        """The sums S of this layer, over all planes of weights, stand for s = S / scale in the float network."""
        return self.coding.unit * self.planes

    @property
    def k(self):
        """Inputs of a unit."""
        return self.groups * self.maps[0] * math.prod(self.kernel)

    @property
    def groups(self):
        """How many inputs a number of the maps makes."""
        return max(1, self.coding.leading)

    @property
    def bound(self):
        """S is in [-bound, bound]."""
        return self.planes * self.k * max(self.coding.largest + self.coding.origin, abs(self.pad_value))

    @functools.cached_property
    def positions(self):
        """(OH, OW) of the product, before pooling."""
        return tuple(size + 2 * self.pad - kernel + 1 for size, kernel in zip(self.maps[1:], self.kernel))

    @property
    def out(self):
        """(OH, OW) behind the pooling; windows that are not whole are left out."""
        kernel, stride = self.pool
        return tuple((size - kernel) // stride + 1 for size in self.positions)

    @property
    def entries(self):
        """How many inputs lie side by side in words before padding bits follow.

        A patch is KH × KW taps of C inputs. Maps on bits have C bits a point, and padding behind them: C. Pixels and
        real numbers are a patch before they meet words, so that only its end is padded, or that of each group.
        """
        return self.maps[0] if self.coding is BITS else self.k // self.groups

    @functools.cached_property
    def words(self):
        """Words of a patch, and of a plane of a unit's weights."""
        return self.k // self.entries * bits.words(self.entries)

    @property
    def dense(self):
        """Whether this is a dense layer."""
        return self.kernel == self.maps[1:] and not self.pad


def offsets(g, weights):
    """What a product of words lacks of S: (int32 (kinds, M), kinds (OH·OW,)), which of them holds at a position.

    Three things, all known beforehand. Padding bits agree, and each has counted as +1. Inputs from 0 are half of c and
    half of `origin`, times each weight. Beyond the edge words hold c = -largest, but the border is `pad_value`.
    """
    c = g.coding
    agreeing = 0 if c.largest == 255 else bits.BITS * g.words - g.k      # a product of pixels knows where they end
    beyond_is = g.pad_value + c.largest - c.origin if g.pad else 0
    if not c.origin and not beyond_is:
        return np.full((1, g.units), -agreeing * g.planes, np.int32), np.zeros(math.prod(g.positions), np.int64)
    w = bits.unpack(weights.reshape(len(weights), -1, bits.words(g.entries)), g.entries)
    taps = w.reshape(g.planes, g.units, g.groups, *g.kernel, -1).sum(axis=(0, 2, 5))      # M KH KW
    (rows, row_kinds), (columns, column_kinds) = (_inside(*axis, g.pad) for axis in
                                                  zip(g.maps[1:], g.kernel, g.positions))
    everywhere = taps.sum(axis=(1, 2))
    beyond = everywhere - np.einsum("yi,mij,zj->yzm", rows, taps, columns)
    lacking = c.origin * everywhere + beyond_is * beyond - agreeing * g.planes
    kinds = row_kinds[:, None] * len(columns) + column_kinds
    return lacking.astype(np.int32).reshape(-1, g.units), kinds.ravel()


def _inside(size, kernel, positions, pad):
    """Along one axis: the distinct patterns of which taps are within the map, 0 or 1, and each position's pattern."""
    at = np.arange(positions)[:, None] + np.arange(kernel) - pad
    patterns, kinds = np.unique((at >= 0) & (at < size), axis=0, return_inverse=True)
    return patterns.astype(np.int64), kinds.ravel()


@dataclass(frozen=True, eq=False)     # eq=False: == of arrays has no single truth value
class BitLayer:
    """A hidden layer that sends on bits: bit = (S >= threshold) XOR flip is normalization and sign [BNN-1] [BN-3].

    Raises TypeError or ValueError for arrays that do not fit: kernels trust what is here.
    """

    geometry: Geometry
    weights: np.ndarray               # uint64 (planes·M, words): bits of w_b, plane by plane, in the order KH KW C
    thresholds: np.ndarray            # int32 (M,), in [-bound, bound]
    flips: np.ndarray                 # uint64 (⌈M/64⌉,): a bit a unit

    def __post_init__(self):
        _check_weights(self.geometry, self.weights)
        check_dtype("thresholds", self.thresholds, np.int32, "M")
        _check_shape("thresholds", self.thresholds, (self.geometry.units,))
        bits.check_words("flips", self.flips, self.geometry.units)
        _check_shape("flips", self.flips, (bits.words(self.geometry.units),))
        low, high, bound = self.thresholds.min(), self.thresholds.max(), self.geometry.bound
        if low < -bound or high > bound:
            raise ValueError(f"thresholds: expected at most ±{bound}, the sums' range, got {low} to {high}")

    @functools.cached_property
    def by_position(self):
        """Thresholds for the products of words: (int32 (kinds, M); kinds (OH·OW,), as of `offsets`)."""
        lacking, kinds = offsets(self.geometry, self.weights)
        return self.thresholds - lacking, kinds


@dataclass(frozen=True, eq=False)
class RealLayer:
    """A layer that sends on real numbers, (s - mean) · scale + beta: the last one, and those before a rectifier.

    Raises TypeError or ValueError for arrays that do not fit.
    """

    geometry: Geometry
    weights: np.ndarray               # as in a BitLayer
    affine: np.ndarray                # float32 (3, M): mean, scale, beta

    def __post_init__(self):
        _check_weights(self.geometry, self.weights)
        check_affine(self.geometry, self.affine)

    @functools.cached_property
    def lacking(self):
        """What its products of words lack, at each position: int32 (OH·OW or 1, M). Products of real numbers: 0."""
        if self.geometry.coding is REALS:
            return np.zeros((1, 1), np.int32)
        by_kind, kinds = offsets(self.geometry, self.weights)
        return by_kind if len(by_kind) == 1 else by_kind[kinds]


def _check_shape(name, x, shape):
    if x.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {x.shape}")


def _check_weights(geometry, weights):
    check_instance("geometry", geometry, Geometry, "a Geometry")
    check_dtype("weights", weights, bits.WORD, "planes·M words")
    _check_shape("weights", weights, (geometry.planes * geometry.units, geometry.words))
    bits.check_words("weights", weights.reshape(len(weights), -1, bits.words(geometry.entries)), geometry.entries)


def check_affine(geometry, affine):
    """Raise TypeError or ValueError unless affine is float32 (3, M): mean, scale, beta; the scale may be infinite."""
    check_dtype("affine", affine, np.float32, "3 M")
    _check_shape("affine", affine, (3, geometry.units))
    mean, scale, beta = affine
    if not (np.isfinite(mean).all() and np.isfinite(beta).all()) or np.isnan(scale).any():
        raise ValueError("affine: expected finite numbers, got NaN or infinity")


# What pictures go through first, by numbers in the file: the shapes of the arrays, for pictures of (C, H, W).
FRONTS = {
    "centre": lambda maps: (maps,),                                        # mean
    "contrast": lambda maps: ((),),                                        # scale
    "white": lambda maps: (maps, (math.prod(maps), math.prod(maps))),      # mean, P
    "local": lambda maps: ((),),                                           # size of the window
}


@dataclass(frozen=True, eq=False)
class Front:
    """A preprocessing of pictures, in floats. Raises ValueError for numbers that it cannot have."""

    kind: str                         # of FRONTS
    arrays: tuple                     # float32; those of shape () are settings

    def __post_init__(self):
        if not all(np.isfinite(array).all() for array in self.arrays):
            raise ValueError(f"{self.kind}: expected finite numbers, got NaN or infinity")
        if self.kind == "contrast" and not self.arrays[0] > 0:
            raise ValueError(f"contrast: expected a scale above 0, got {self.arrays[0]}")
        if self.kind == "local" and not (self.arrays[0] > 0 and self.arrays[0] % 2 == 1):
            raise ValueError(f"local: expected an odd number of pixels, got {self.arrays[0]}")


@dataclass(frozen=True, eq=False, repr=False)
class PackedNetwork:
    """A trained network as bits: hidden layers, the output layer, a line that tells people what it is, and the
    preprocessing of pictures if there is any. Raises TypeError for what is none of these."""

    layers: tuple                     # of BitLayer and RealLayer
    output: RealLayer
    text: str = ""
    fronts: tuple = ()

    def __post_init__(self):
        for name, parts, kinds in (("layers", self.layers, BitLayer | RealLayer), ("fronts", self.fronts, Front),
                                   ("output", (self.output,), RealLayer)):
            check_instance(name, parts, tuple, "a tuple")
            for part in parts:
                check_instance(name, part, kinds, str(kinds))
        check_instance("text", self.text, str, "a line of text")

    @property
    def shape(self):
        """(C, H, W) of a picture."""
        return (*self.layers, self.output)[0].geometry.maps

    @property
    def classes(self):
        """How many logits."""
        return self.output.geometry.units

    def __repr__(self):
        return describe(self)


def check_output(geometry):
    """Raise ValueError unless the layer gives one number a class."""
    if geometry.positions != (1, 1) or geometry.pad:
        raise ValueError(f"the last layer: expected a dense one, got one with {geometry.positions} positions")


def describe(packed):
    """The network as text: one line a layer with its bytes, and the size against weights in float32."""
    check_instance("packed", packed, PackedNetwork, "a PackedNetwork")
    layers = *packed.layers, packed.output
    parts = [(front.kind, front.arrays) for front in packed.fronts]
    for layer in layers:
        rest = (layer.affine,) if isinstance(layer, RealLayer) else (layer.thresholds, layer.flips)
        parts.append((_text(layer.geometry), (layer.weights, *rest)))
    sizes = [sum(array.nbytes for array in arrays) for _, arrays in parts]
    width = max(len(text) for text, _ in parts)
    shape = "×".join(map(str, packed.shape))
    head = f"{packed.text or 'network'} on bits: pictures {shape}, {packed.classes} classes"
    lines = [f"  {text:<{width}}{size:>14,} bytes" for (text, _), size in zip(parts, sizes)]
    floats = sum(4 * layer.geometry.units * layer.geometry.k for layer in layers)
    last = f"  {sum(sizes):,} bytes, 1/{floats / sum(sizes):.1f} of its weights as float32"
    return "\n".join([head, *lines, last])


def _text(g):
    parts = [f"dense {g.k} -> {g.units}" if g.dense else f"conv {g.kernel[0]}×{g.kernel[1]}  {g.maps[0]} -> {g.units}"]
    if g.planes == 2:
        parts.append("weights -1, 0, +1")
    if g.coding is not BITS:
        parts.append(f"of {g.coding.name}")
    if g.pad:
        parts.append(f"pad {g.pad} with {g.pad_value / g.coding.unit:g}")
    if g.pool != (1, 1):
        parts.append(f"max pool {g.pool[0]} every {g.pool[1]}")
    return "  ".join(parts)


def scaled(geometry, sums):
    """s of the float network, float32, from sums S over all planes: (N, M) integers, or float64 of real inputs."""
    return (sums / geometry.scale).astype(np.float32)


def normalize(s, affine):
    """(s - mean) · scale + beta, as the float network computes it. s: float32 (..., M). Returns float32 (..., M)."""
    mean, scale, beta = affine
    return (s - mean) * scale + beta
