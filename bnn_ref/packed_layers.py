"""A network on bits as data: what each layer holds, and every size that follows from its numbers.

Packing, inference and the file format all rest on these numbers, so they are checked here, once: layers that do not
fit one another, or whose integers a float32 could not hold, do not come into being.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from .kernels import bits

EXACT = 1 << 24                       # every integer up to here is a float32, and so is every sum on the way


@dataclass(frozen=True)
class Geometry:
    """The numbers of one layer's product. Raises ValueError for numbers that make no layer.

    Maps come in and maps go out; a unit of a dense layer is a map of one point. So a dense layer is a convolution
    whose kernel is as large as the map that comes in, and there is only one kind of layer.
    """

    first: bool                       # on 8-bit pixels p that stand for (2p - 255)/256; every other layer on bits
    maps: tuple                       # (C, H, W) that come in
    units: int                        # M, the channels that go out
    kernel: tuple                     # (KH, KW), stride 1
    pad: int = 0                      # rows and columns around a map
    pad_value: int = 0                # what they hold, times `scale`
    pool: tuple = (1, 1)              # kernel and stride of the max pooling behind the product

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
        if self.bound > EXACT:
            raise ValueError(f"sums of {self.k} inputs reach {self.bound}: float32 holds integers up to 2²⁴ exactly")

    @property
    def scale(self):
        """The integers S of this layer stand for s = S / scale in the float network."""
        return 256 if self.first else 1

    @property
    def k(self):
        """Inputs of a unit."""
        return self.maps[0] * math.prod(self.kernel)

    @property
    def bound(self):
        """S is in [-bound, bound]."""
        return self.k * max(255 if self.first else 1, abs(self.pad_value))

    @property
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

        A patch is KH × KW taps of C inputs. Maps on bits have C bits a point, and padding behind them: C. Pixels are
        packed when they are a patch already, so that only its end is padded: k.
        """
        return self.k if self.first else self.maps[0]

    @property
    def words(self):
        """Words of a patch, and of a unit's weights."""
        return self.k // self.entries * bits.words(self.entries)

    @property
    def slack(self):
        """How much the product of words exceeds S on bits: padding bits within a row agree, and each counts as +1."""
        return 0 if self.first else bits.BITS * self.words - self.k

    @property
    def dense(self):
        """Whether this is a dense layer."""
        return self.kernel == self.maps[1:] and not self.pad


@dataclass(frozen=True, eq=False)     # eq=False: == of arrays has no single truth value
class Layer:
    """A hidden layer: bit = (S >= threshold) XOR flip replaces batch normalization and sign [BNN-1] [BN-3]."""

    geometry: Geometry
    weights: np.ndarray               # uint64 (M, words): bits of w_b, in the order KH KW C
    thresholds: np.ndarray            # int32 (M,), in [-bound, bound]
    flips: np.ndarray                 # uint64 (⌈M/64⌉,): a bit a unit

    @functools.cached_property
    def by_position(self):
        """Thresholds for the products of words, which are others where the patch reaches over the edge.

        (int32 (kinds, M); kinds (OH·OW,): which of them holds at a position).
        """
        g = self.geometry
        thresholds = self.thresholds + np.int32(g.slack)
        missing = g.pad_value + (255 if g.first else 1)                   # what a border lacks, for each w = 1 in it
        if not g.pad or not missing:
            return thresholds[None], np.zeros(math.prod(g.positions), np.int64)
        taps = bits.unpack(self.weights.reshape(g.units, -1, bits.words(g.entries)), g.entries)
        taps = taps.reshape(g.units, *g.kernel, -1).sum(axis=3)          # M KH KW
        (rows, row_kinds), (columns, column_kinds) = (_inside(*axis, g.pad) for axis in
                                                      zip(g.maps[1:], g.kernel, g.positions))
        beyond = taps.sum(axis=(1, 2)) - np.einsum("yi,mij,zj->yzm", rows, taps, columns)
        kinds = row_kinds[:, None] * len(columns) + column_kinds
        return (thresholds - missing * beyond).astype(np.int32).reshape(-1, g.units), kinds.ravel()


def _inside(size, kernel, positions, pad):
    """Along one axis: the distinct patterns of which taps are within the map, 0 or 1, and each position's pattern."""
    at = np.arange(positions)[:, None] + np.arange(kernel) - pad
    patterns, kinds = np.unique((at >= 0) & (at < size), axis=0, return_inverse=True)
    return patterns.astype(np.int64), kinds.ravel()


@dataclass(frozen=True, eq=False)
class Output:
    """The last layer: its integers go through batch normalization, as the float network's do [BNN Alg. 4]."""

    geometry: Geometry
    weights: np.ndarray               # uint64 (M, words), as in a Layer
    norm: np.ndarray                  # float32 (4, M): gamma, beta, running mean, running variance


@dataclass(frozen=True, eq=False, repr=False)
class PackedNetwork:
    """A trained network as bits: hidden layers, the output layer, and a line that tells people what it is."""

    layers: tuple
    output: Output
    text: str = ""

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
    """The network as text: one line a layer with its bytes, and the size against float32."""
    lines, total, floats = [], 0, 0
    for layer in (*packed.layers, packed.output):
        g = layer.geometry
        rest = [layer.norm] if layer is packed.output else [layer.thresholds, layer.flips]
        size = sum(array.nbytes for array in (layer.weights, *rest))
        total += size
        floats += 4 * g.units * (g.k + 4)                # float32: weights, gamma, beta, mean and variance
        lines.append(f"  {_text(g):<56}{size:>12,} bytes")
    shape = "×".join(map(str, packed.shape))
    head = f"{packed.text or 'network'} on bits: pictures {shape}, {packed.classes} classes"
    return "\n".join([head, *lines, f"  {total:,} bytes, 1/{floats / total:.1f} of float32"])


def _text(g):
    parts = [f"dense {g.k} -> {g.units}" if g.dense else f"conv {g.kernel[0]}×{g.kernel[1]}  {g.maps[0]} -> {g.units}"]
    if g.pad:
        parts.append(f"pad {g.pad} with {g.pad_value / g.scale:g}")
    if g.pool != (1, 1):
        parts.append(f"max pool {g.pool[0]} every {g.pool[1]}")
    return "  ".join(parts)
