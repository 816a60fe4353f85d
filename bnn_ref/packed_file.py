"""The file of a network on bits: read where it lies, not copied, and only when every byte of it is accounted for.

Version 1. Integers and floats are little-endian; every section begins at a multiple of 64 bytes, and what lies between
sections is 0. Nothing in the file says where a section is: all sizes follow from the records, in `packed_layers`.

    offset  bytes  what
    0       8      magic: 89 42 4E 4E 0D 0A 1A 0A, which is \\x89 BNN \\r \\n \\x1a \\n
    8       4      version, uint32: 1
    12      4      header length, uint32: where the first section begins
    16      8      total length, uint64: of the file
    24      32     SHA-256 of all other bytes: 0..23, then 56 to the end
    56      12     C, H, W of a picture, uint32 each
    68      4      number of layers L, uint32: 1 at least, the last is the output layer
    72      4      bytes of text T, uint32: 0 to 1000
    76      4      0
    80      32·L   a record a layer, 8 numbers of 4 bytes:
                     units M, KH, KW, pad (uint32), pad value (int32), pooling kernel, pooling stride (uint32), 0
    ...     T      text: one line of printable UTF-8

The sections follow in the order of the layers. A layer's input is the output of the one before, C = its M; a dense
layer's kernel is the whole map that comes in. The pad value is in 256ths in the first layer, and 0 without a border.

    hidden  8·M·words  weights, uint64 M × words: bit j of word i is entry 64·i + j of a row, 1 for +1, 0 for -1 and
                       past the end; a row is KH·KW taps of C entries, each tap in ⌈C/64⌉ words of its own, but in
                       the first layer all KH·KW·C entries in ⌈KH·KW·C/64⌉ words
            4·M        thresholds, int32: a unit's bit is (S >= threshold) XOR flip
            8·⌈M/64⌉   flips, uint64: a bit a unit
    output  8·M·words  weights, as above
            16·M       float32 4 × M: gamma, beta, running mean, running variance
"""

import hashlib
import math
import mmap
import os
import struct

import numpy as np

from .files import DamagedError, atomic_write
from .kernels import bits
from .packed_layers import Geometry, Layer, Output, PackedNetwork, check_output

MAGIC = b"\x89BNN\r\n\x1a\n"
VERSION = 1
START = struct.Struct("<8sIIQ")       # magic, version, header length, total length
DIGEST_END = START.size + hashlib.sha256().digest_size
SHAPE = struct.Struct("<6I")          # C, H, W, layers, bytes of text, 0
RECORD = struct.Struct("<4Ii3I")      # units, KH, KW, pad, pad value, pooling kernel and stride, 0
RECORDS = DIGEST_END + SHAPE.size
ALIGNMENT = 64
MAX_TEXT = 1000


class PackedError(DamagedError):
    """A file that is no packed network, or none that can be used; the message is one line that names it."""


def _aligned(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


# --- writing -------------------------------------------------------------------------------------------------------


def save_packed(path, packed):
    """Write a network to `path`, whole or not at all; the same network gives the same bytes.

    Raises ValueError for a text that is not one printable line of at most 1000 bytes, OSError.
    """
    text = packed.text.encode()
    if len(text) > MAX_TEXT or not packed.text.isprintable():
        raise ValueError(f"text: expected one printable line of at most {MAX_TEXT} bytes, got {packed.text!r}")
    layers = *packed.layers, packed.output
    header = SHAPE.pack(*packed.shape, len(layers), len(text), 0)
    for layer in layers:
        g = layer.geometry
        header += RECORD.pack(g.units, *g.kernel, g.pad, g.pad_value, *g.pool, 0)
    header += text
    header_length = _aligned(DIGEST_END + len(header))
    parts = [header.ljust(header_length - DIGEST_END, b"\0")]
    for layer in layers:
        for name, dtype, _ in _sections(layer.geometry, layer is packed.output):
            section = getattr(layer, name).astype(dtype, copy=False).tobytes()
            parts.append(section.ljust(_aligned(len(section)), b"\0"))
    body = b"".join(parts)
    start = START.pack(MAGIC, VERSION, header_length, DIGEST_END + len(body))
    with atomic_write(path) as file:
        file.write(start + hashlib.sha256(start + body).digest() + body)


def _sections(g, last):
    """(name, dtype, shape) of the arrays of a layer, as they lie in the file."""
    weights = "weights", "<u8", (g.units, g.words)
    if last:
        return weights, ("norm", "<f4", (4, g.units))
    return weights, ("thresholds", "<i4", (g.units,)), ("flips", "<u8", (bits.words(g.units),))


# --- reading -------------------------------------------------------------------------------------------------------


def load_packed(path):
    """The network in the file. Its arrays are read-only views of the file, mapped into memory.

    Nothing larger than the file is allocated, whatever it claims. Raises PackedError for a file that is not a packed
    network, truncated, damaged, by a newer version or not consistent in itself; OSError.
    """
    with open(path, "rb") as file:
        empty = os.fstat(file.fileno()).st_size == 0                   # which cannot be mapped
        data = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        _check_whole(data)
        return _read(data)
    except ValueError as error:
        raise PackedError(f"{path}: {error}") from None


def _check_whole(data):
    """Raise ValueError unless the bytes are those that were written, by this version."""
    if data[:len(MAGIC)] != MAGIC:
        raise ValueError("not a packed network" + ("" if len(data) else " (empty)"))
    if len(data) < RECORDS:
        raise ValueError(f"truncated: {len(data)} bytes, less than any header")
    _, version, _, total = START.unpack_from(data)
    if version != VERSION:
        newer = f": version {version}, this is bnn_ref with version {VERSION}: upgrade"
        raise ValueError("from a newer version" + newer if version > VERSION else f"damaged: version {version}")
    if len(data) != total:
        raise ValueError(f"{'truncated' if len(data) < total else 'damaged'}: {len(data)} bytes, {total} expected")
    with memoryview(data) as view:
        digest = hashlib.sha256(view[:START.size])
        digest.update(view[DIGEST_END:])
    if digest.digest() != data[START.size:DIGEST_END]:
        raise ValueError("damaged: its checksum does not fit")


def _read(data):
    """The network in the bytes of a whole file. Raises ValueError where they are not consistent."""
    header_length = START.unpack_from(data)[2]
    *maps, count, text_length, zero = SHAPE.unpack_from(data, DIGEST_END)
    text_at = RECORDS + RECORD.size * count
    if zero or count < 1 or text_length > MAX_TEXT or header_length != _aligned(text_at + text_length):
        raise ValueError(f"header: {count} layers and {text_length} bytes of text in {header_length} bytes")
    if header_length > len(data):
        raise ValueError(f"header: {header_length} bytes, beyond the {len(data)} of the file")
    text = data[text_at:text_at + text_length].decode()
    if not text.isprintable():
        raise ValueError("text: not one printable line")
    _check_zeros(data, text_at + text_length, header_length)

    layers, at, maps = [], header_length, tuple(maps)
    for number in range(count):
        units, kh, kw, pad, pad_value, *pool, zero = RECORD.unpack_from(data, RECORDS + RECORD.size * number)
        last = number == count - 1
        try:
            if zero:
                raise ValueError(f"record: expected 0 at its end, got {zero}")
            geometry = Geometry(number == 0, maps, units, (kh, kw), pad, pad_value, tuple(pool))
            if last:
                check_output(geometry)
            arrays = []
            for name, dtype, shape in _sections(geometry, last):
                array, at = _section(data, at, name, dtype, shape)
                arrays.append(array)
            layers.append(_output(geometry, *arrays) if last else _layer(geometry, *arrays))
        except ValueError as error:
            raise ValueError(f"layer {number + 1}: {error}") from None
        maps = units, *geometry.out
    if at != len(data):
        raise ValueError(f"layers take {at} bytes, the file has {len(data)}")
    return PackedNetwork(tuple(layers[:-1]), layers[-1], text)


def _section(data, at, name, dtype, shape):
    """A read-only view of the section at `at`, and where the next one begins."""
    dtype = np.dtype(dtype)
    count = math.prod(shape)                                           # of Python's integers: claims overflow nothing
    end = at + count * dtype.itemsize
    if _aligned(end) > len(data):
        raise ValueError(f"{name}: {shape} take the bytes up to {end}, beyond the {len(data)} of the file")
    _check_zeros(data, end, _aligned(end))
    array = np.frombuffer(data, dtype, count, at).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False), _aligned(end)


def _check_zeros(data, start, stop):
    if any(data[start:stop]):
        raise ValueError(f"bytes {start} to {stop - 1}: expected 0")


def _weights(geometry, weights):
    bits.check_words("weights", weights.reshape(geometry.units, -1, bits.words(geometry.entries)), geometry.entries)
    return weights


def _layer(geometry, weights, thresholds, flips):
    bits.check_words("flips", flips, geometry.units)
    if thresholds.min() < -geometry.bound or thresholds.max() > geometry.bound:
        raise ValueError(f"thresholds: expected at most ±{geometry.bound}, the sums' range")
    return Layer(geometry, _weights(geometry, weights), thresholds, flips)


def _output(geometry, weights, norm):
    if not np.isfinite(norm).all():
        raise ValueError("normalization: expected finite numbers, got NaN or infinity")
    if norm[3].min() < 0:
        raise ValueError("normalization: expected variances of at least 0")
    return Output(geometry, _weights(geometry, weights), norm)
