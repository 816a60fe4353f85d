"""The file of a network on bits: read in one piece, and only when every byte of it is accounted for.

It is copied into memory, not mapped. A mapped file that somebody cuts short ends the process, one that is overwritten
in place gives other labels though its checksum was right; mapping is for files that nobody ever writes to. Bits are
few: what would be mapped is a thirtieth of the network.

Version 2. Integers and floats are little-endian; every section begins at a multiple of 64 bytes, and what lies between
sections is 0. Nothing in the file says where a section is: all sizes follow from the records, in `layers`.

    offset  bytes  what
    0       8      magic: 89 42 4E 4E 0D 0A 1A 0A, which is \\x89 BNN \\r \\n \\x1a \\n
    8       4      version, uint32: 2
    12      4      header length, uint32: where the first section begins
    16      8      total length, uint64: of the file
    24      32     SHA-256 of all other bytes: 0..23, then 56 to the end
    56      12     C, H, W of a picture, uint32 each
    68      4      number of layers L, uint32: 1 at least, the last is the output layer
    72      4      number of preprocessings F, uint32
    76      4      bytes of text T, uint32: 0 to 1000
    80      36·L   a record a layer, 9 numbers of 4 bytes:
                     units M, KH, KW, pad (uint32), pad value (int32), pooling kernel, pooling stride, coding of what
                     comes in, planes P (uint32)
    ...     4·F    what pictures go through first, uint32 each: their places in `layers.FRONTS`
    ...     T      text: one line of printable UTF-8

A coding is a place in `layers.CODINGS`: 1 to 5 are codings of pixels, for the first layer; 6 are real numbers,
behind preprocessing or a layer that sends them on; 0 are bits, behind a layer that sends those. So a layer's coding
says what the one before it does. A layer's input is the output of the one before, C = its M; a dense layer's kernel is
the whole map that comes in. The pad value counts in the coding's unit, and is 0 without a border.

The sections follow: those of each preprocessing, then those of each layer, in order.

    centre  4·C·H·W    float32: the mean picture
    contrast      4    float32: the norm
    white   4·C·H·W    float32: the mean picture
            4·D²       float32 D × D, D = C·H·W: P
    local         4    float32: the side of the window
    layer   8·P·M·words  weights, uint64 P·M × words, plane by plane: bit j of word i is entry 64·i + j of a row, 1 for
                       +1, 0 for -1 and past the end; a weight is the mean of its planes. A row on bits is KH·KW taps of
                       C entries, each tap in ⌈C/64⌉ words of its own; otherwise all KH·KW·C entries together, those of
                       the pixels' second bits behind them, in words of their own
    then, if it sends on bits (the layer after has coding 0)
            4·M        thresholds, int32: a unit's bit is (S >= threshold) XOR flip
            8·⌈M/64⌉   flips, uint64: a bit a unit
    and if it sends on real numbers, as the last one does
            12·M       float32 3 × M: mean, scale, beta of (s - mean) · scale + beta
"""

import contextlib
import hashlib
import itertools
import math
import os
import struct

import numpy as np

from ..files import DamagedError, atomic_write, check_regular
from ..kernels import bits
from ..ops.checks import check_instance
from .layers import BITS, CODINGS, FRONTS, REALS, BitLayer, Front, Geometry, PackedNetwork, RealLayer, check_output

MAGIC = b"\x89BNN\r\n\x1a\n"
VERSION = 2
START = struct.Struct("<8sIIQ")       # magic, version, header length, total length
DIGEST_END = START.size + hashlib.sha256().digest_size
SHAPE = struct.Struct("<6I")          # C, H, W, layers, preprocessings, bytes of text
RECORD = struct.Struct("<4Ii4I")      # units, KH, KW, pad, pad value, pooling kernel and stride, coding, planes
KIND = struct.Struct("<I")            # of a preprocessing
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

    Raises ValueError for a text that is not one printable line of at most 1000 bytes, TypeError for what is no
    PackedNetwork, OSError.
    """
    check_instance("packed", packed, PackedNetwork, "a PackedNetwork")
    text = packed.text.encode()
    if len(text) > MAX_TEXT or not packed.text.isprintable():
        raise ValueError(f"text: expected one printable line of at most {MAX_TEXT} bytes, got {len(text)} bytes: "
                         f"{packed.text[:80]!r}")
    layers = *packed.layers, packed.output
    header = SHAPE.pack(*packed.shape, len(layers), len(packed.fronts), len(text))
    for layer in layers:
        g = layer.geometry
        header += RECORD.pack(g.units, *g.kernel, g.pad, g.pad_value, *g.pool, CODINGS.index(g.coding), g.planes)
    for front in packed.fronts:
        header += KIND.pack(list(FRONTS).index(front.kind))
    header += text
    header_length = _aligned(DIGEST_END + len(header))
    parts = [header.ljust(header_length - DIGEST_END, b"\0")]
    sections = [(array, "<f4") for front in packed.fronts for array in front.arrays]
    for layer in layers:
        of_layer = _sections(layer.geometry, isinstance(layer, BitLayer))
        sections += [(getattr(layer, name), dtype) for name, dtype, _ in of_layer]
    for array, dtype in sections:
        section = array.astype(dtype, copy=False).tobytes()
        parts.append(section.ljust(_aligned(len(section)), b"\0"))
    body = b"".join(parts)
    start = START.pack(MAGIC, VERSION, header_length, DIGEST_END + len(body))
    with atomic_write(path) as file:
        file.write(start + hashlib.sha256(start + body).digest() + body)


def _sections(g, sends_bits):
    """(name, dtype, shape) of the arrays of a layer, as they lie in the file."""
    weights = "weights", "<u8", (g.planes * g.units, g.words)
    if sends_bits:
        return weights, ("thresholds", "<i4", (g.units,)), ("flips", "<u8", (bits.words(g.units),))
    return weights, ("affine", "<f4", (3, g.units))


# --- reading -------------------------------------------------------------------------------------------------------


def load_packed(path):
    """The network in the file. Its arrays are read-only views of the file's bytes, which are read once.

    Nothing larger than the file is allocated, whatever it claims. Raises PackedError for a file that is not a packed
    network, truncated, damaged, by another version or not consistent in itself; OSError.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(START.size)
            _check_start(start, size)
            data = _aligned_room(size)
            data[:START.size] = start
            file.readinto(data[START.size:])                           # cut meanwhile: the checksum will not fit
        data = data.toreadonly()
        _check_digest(data)
        return _read(data)
    except ValueError as error:
        raise PackedError(f"{path}: {error}") from None


def _aligned_room(size):
    """Room for a file in memory, where its sections begin at multiples of 64 too: no vector crosses a cache line."""
    room = np.empty(size + ALIGNMENT, np.uint8)
    skip = -room.ctypes.data % ALIGNMENT
    return memoryview(room[skip:skip + size])


def _check_start(start, size):
    """Raise ValueError unless a file of that size may begin with these bytes, by this version."""
    if start[:len(MAGIC)] != MAGIC:
        raise ValueError("not a packed network" + ("" if size else " (empty)"))
    if size < RECORDS:
        raise ValueError(f"truncated: {size} bytes, less than any header")
    _, version, _, total = START.unpack(start)
    if version != VERSION:
        age, what = ("a newer", "upgrade") if version > VERSION else ("an older", "pack the run again")
        said = f"from {age} version: version {version}, this is bnn_ref with version {VERSION}: {what}"
        raise ValueError(said if version else "damaged: version 0")
    if size != total:
        raise ValueError(f"{'truncated' if size < total else 'damaged'}: {size} bytes, {total} expected")


def _check_digest(data):
    """Raise ValueError unless the bytes are those that were written."""
    digest = hashlib.sha256(data[:START.size])
    digest.update(data[DIGEST_END:])
    if digest.digest() != data[START.size:DIGEST_END]:
        raise ValueError("damaged: its checksum does not fit")


def _read(data):
    """The network in the bytes of a whole file. Raises ValueError where they are not consistent."""
    header_length = START.unpack_from(data)[2]
    *maps, count, front_count, text_length = SHAPE.unpack_from(data, DIGEST_END)
    fronts_at = RECORDS + RECORD.size * count
    text_at = fronts_at + KIND.size * front_count
    if count < 1 or text_length > MAX_TEXT or header_length != _aligned(text_at + text_length):
        raise ValueError(f"header: {count} layers, {front_count} preprocessings and {text_length} bytes of text in "
                         f"{header_length} bytes")
    if header_length > len(data):
        raise ValueError(f"header: {header_length} bytes, beyond the {len(data)} of the file")
    text = bytes(data[text_at:text_at + text_length]).decode()
    if not text.isprintable():
        raise ValueError("text: not one printable line")
    _check_zeros(data, text_at + text_length, header_length)

    maps, at, fronts, layers = tuple(maps), header_length, [], []
    for number in range(front_count):
        with _naming(f"preprocessing {number + 1}"):
            front, at = _front(data, at, *KIND.unpack_from(data, fronts_at + KIND.size * number), maps)
        fronts.append(front)
    geometries = _geometries(data, count, maps, bool(fronts))
    for number, (g, after) in enumerate(itertools.pairwise(itertools.chain(geometries, [None])), start=1):
        with _naming(f"layer {number}"):
            layer, at = _layer(data, at, g, after is not None and after.coding is BITS)
        layers.append(layer)
    if at != len(data):
        raise ValueError(f"layers take {at} bytes, the file has {len(data)}")
    return PackedNetwork(tuple(layers[:-1]), layers[-1], text, tuple(fronts))


@contextlib.contextmanager
def _naming(part):
    """Put the part's name in front of what a ValueError says."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from None


def _front(data, at, number, maps):
    """A preprocessing, and where the next section begins."""
    if number >= len(FRONTS):
        raise ValueError(f"kind: expected one below {len(FRONTS)}, got {number}")
    kind, arrays = list(FRONTS)[number], []
    for shape in FRONTS[kind](maps):
        array, at = _section(data, at, kind, "<f4", shape)
        arrays.append(array)
    return Front(kind, tuple(arrays)), at


def _geometries(data, count, maps, preprocessed):
    """The Geometry of each layer, one by one, for pictures of shape `maps`."""
    of_pixels = [number for number, coding in enumerate(CODINGS) if coding not in (BITS, REALS)]
    later = [CODINGS.index(BITS), CODINGS.index(REALS)]
    expected = [CODINGS.index(REALS)] if preprocessed else of_pixels
    for number in range(count):
        record = RECORD.unpack_from(data, RECORDS + RECORD.size * number)
        units, kh, kw, pad, pad_value, pool, stride, coding, planes = record
        with _naming(f"layer {number + 1}"):
            if coding not in expected:
                raise ValueError(f"coding: expected one of {expected}, got {coding}")
            g = Geometry(CODINGS[coding], maps, units, (kh, kw), pad, pad_value, (pool, stride), planes)
            if number == count - 1:
                check_output(g)
        yield g
        maps, expected = (g.units, *g.out), later


def _layer(data, at, g, sends_bits):
    """A layer, and where the next section begins."""
    if g.coding is REALS and sends_bits:
        raise ValueError("no bits are made of sums of real numbers")
    arrays = []
    for name, dtype, shape in _sections(g, sends_bits):
        array, at = _section(data, at, name, dtype, shape)
        arrays.append(array)
    return (BitLayer if sends_bits else RealLayer)(g, *arrays), at


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
