"""Signs as bits. The convention of every packed array in this package is stated here, once.

A word is a uint64. Bit 1 means +1 (x >= 0), bit 0 means -1. Bit j of word i is entry 64·i + j of a row; a row of k
entries has ⌈k/64⌉ words, and the bits past k are 0, in every operand, so that they cancel in an XOR by themselves:

    a · b = k - 2 popcount(a XOR b)                                                              [XNOR-1]

8-bit pixels are eight such rows, their bit planes: x = Σₙ 2ⁿ xⁿ with xⁿ in {0, 1} and n = 0 the least significant.
Read as ±1 the planes stand for Σₙ 2ⁿ (2xⁿ - 1) = 2x - 255, the pixel centred, so that their XNOR products give
Σ_d (2 x_d - 255) w_d exactly [BNN-6].
"""

import numpy as np

from ..ops.checks import as_dtype, check_whole, is_plain
from .compiled import COMPILED
from .packing import BITS, pack_float, pack_pixels

WORD = np.dtype(np.uint64)


def words(k):
    """How many words a row of k entries takes: ⌈k/64⌉. Raises ValueError for k < 1, TypeError for no whole number."""
    if type(k) is not int or k < 1:                            # asked once a layer and more: it must cost nothing
        check_whole("k", k, "at least 1 entry in a row", lambda k: k >= 1)
    return -(-k // BITS)


def _pack_bits(bits):
    """bool (..., k) -> uint64 (..., words): the convention itself, in NumPy."""
    *rows, k = bits.shape
    octets = np.zeros((*rows, 8 * words(k)), np.uint8)
    octets[..., :-(-k // 8)] = np.packbits(bits, axis=-1, bitorder="little")
    return octets.view("<u8").astype(WORD, copy=False)         # little-endian by definition, native in memory


def pack(x):
    """Signs to words: x >= 0 is bit 1, anything else (NaN too) bit 0, as in `binarize.sign` [XNOR-1].

    x: (..., k), float32, float64 or signed integers, ±1 or any others. Returns uint64 (..., words).
    Raises TypeError for other dtypes (pixels go to `pack_planes`), ValueError for no axis or k = 0.
    """
    if not is_plain(x) or x.dtype.kind not in "fi":
        came = x.dtype if is_plain(x) else type(x).__name__
        raise TypeError(f"x: expected an array of floats or signed integers, got {came}; "
                        "unsigned pixels go to pack_planes, bits to 2·x - 1")
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ValueError(f"x: expected shape (..., k) with k >= 1, got {x.shape}")
    if COMPILED and x.dtype == np.float32:
        return pack_float(x, words(x.shape[-1]))
    return _pack_bits(x >= 0)


def unpack(packed, k, dtype=np.int8):
    """Words to ±1: the inverse of `pack`. packed: uint64 (..., words). Returns (..., k) of `dtype`.

    Raises TypeError or ValueError where dtype or width do not fit k, or where padding bits are not 0, TypeError for a
    dtype that has no -1.
    """
    check_words("packed", packed, k)
    dtype = as_dtype("dtype", dtype, "a dtype that has -1 and +1", lambda found: found.kind in "fi")
    octets = np.ascontiguousarray(packed).astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, count=k, bitorder="little")
    return (2 * bits.astype(np.int8) - 1).astype(dtype)


def pack_planes(x):
    """8-bit pixels to bit planes [BNN-6]. x: uint8 (..., k). Returns uint64 (..., 8, words), least significant first.

    Raises TypeError for another dtype, ValueError for no axis or k = 0.
    """
    if not is_plain(x) or x.dtype != np.uint8:
        came = x.dtype if is_plain(x) else type(x).__name__
        raise TypeError(f"x: expected an array of uint8 pixels, got {came}")
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ValueError(f"x: expected shape (..., k) with k >= 1, got {x.shape}")
    if COMPILED:
        return pack_pixels(x, words(x.shape[-1]))
    planes = np.arange(8, dtype=np.uint8)[:, None]
    return _pack_bits((x[..., None, :] >> planes & 1).astype(bool))


def unpack_planes(packed, k):
    """Bit planes to pixels: the inverse of `pack_planes`. packed: uint64 (..., 8, words). Returns uint8 (..., k)."""
    check_words("packed", packed, k)
    if packed.ndim < 2 or packed.shape[-2] != 8:
        raise ValueError(f"packed: expected shape (..., 8, words), got {packed.shape}")
    bits = unpack(packed, k) > 0
    return np.packbits(bits, axis=-2, bitorder="little")[..., 0, :]


def check_words(name, packed, k):
    """Raise TypeError or ValueError unless `packed` is uint64, ⌈k/64⌉ wide, with padding bits 0."""
    if not is_plain(packed) or packed.dtype != WORD:
        came = packed.dtype if is_plain(packed) else type(packed).__name__
        raise TypeError(f"{name}: expected packed words (uint64, from bits.pack), got {came}")
    if packed.ndim < 1 or packed.shape[-1] != words(k):
        raise ValueError(f"{name}: expected {words(k)} words in a row for k = {k}, got shape {packed.shape}")
    if k % BITS and (packed[..., -1] >> np.uint64(k % BITS)).any():
        raise ValueError(f"{name}: expected 0 in the bits past k = {k}, got ones (pack with bits.pack)")
