"""Reads matrices from MAT files of version 5, MATLAB's own, as data: no claim of a file is believed unchecked.

SciPy reads them too, but hands the indices of a sparse matrix to compiled code as they are, so that a damaged file ends
the process, and makes room for whatever is claimed.

    header      128 bytes; the last four are the version, 0x0100, and the letters IM (little-endian)
    elements    each a type and a number of bytes (uint32 both), then those and zeros up to a multiple of 8; up to four
                bytes lie in the tag itself
    matrix      is an element of elements: flags, dimensions, name, then the values, column by column; of a sparse one
                the rows of its entries, for each column where its entries begin, and their values
    compressed  is an element that holds a deflated one
"""

import math
import os
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from script import data  # it says what to do where the package is not installed

TAG, HEADER, VERSION = struct.Struct("<II"), 128, b"\0\1IM"
MATRIX, COMPRESSED = 14, 15
DTYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
NUMBERS, SPARSE = tuple(np.dtype(dtype).name for dtype in DTYPES.values()), "a sparse matrix"
SPARSE_CLASS, NUMBER_CLASSES, COMPLEX = 5, range(6, 16), 1 << 11         # in the flags of a matrix
SHORT = 1024                          # bytes of dimensions and of a name, at most
CHUNK = 1 << 16                       # bytes made at a time
INFLATION = 1032                      # bytes that deflate makes of one, at most


class Unfit(Exception):
    """A variable that is not what is wanted; the message says what it is."""


@dataclass(frozen=True)
class Wanted:
    """What a variable must be: its shape, and in which of these kinds: of NUMBERS, or SPARSE."""

    shape: tuple
    kinds: tuple
    entries: int = 0                  # of a sparse matrix, at most

    def check(self, name, came, shape):
        """Raise Unfit unless `came`, a kind or what else there is, and the shape are what is wanted."""
        if came not in self.kinds or shape != self.shape:
            said = " or ".join(self.kinds) if len(self.kinds) < 3 else "numbers"
            raise Unfit(f"has as {name} {came} of shape {shape}, expected {said} of shape {self.shape}")


@dataclass(frozen=True, eq=False)
class Sparse:
    """Column j of a matrix has values[starts[j]:starts[j + 1]] in rows[the same], in any order, some maybe twice."""

    starts: np.ndarray                # int64 (columns + 1,), from 0 to K, never falling
    rows: np.ndarray                  # int64 (K,), each a row of the matrix
    values: np.ndarray                # (K,)


def read(path, wanted, whose="official"):
    """{name: array or Sparse} of the variables in `wanted`, a dict of Wanted.

    Sizes are compared with what is wanted before any room is made. whose: file to get in place of a wrong one.
    Raises data.DataError that says what differs, OSError.
    """
    found = {}
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = file.read(HEADER)
            if header[124:] != VERSION:
                raise ValueError("version 7.3, which is HDF5" if header[126:] == b"IM" else "another header")
            while (start := file.tell()) < size:
                kind, length = _tag(file.read(TAG.size))
                if kind not in (MATRIX, COMPRESSED) or length > size - start - TAG.size:
                    raise ValueError(f"an element of type {kind} claims {length} bytes at {start} of {size}")
                source = _Element(file, length, kind == COMPRESSED)
                name, value = _variable(source, wanted)
                if name in found:
                    raise ValueError(f"{name} is there twice")
                if value is not None:
                    source.finish()
                    found[name] = value
                file.seek(start + TAG.size + length)
        for name, want in wanted.items():
            if name not in found:
                want.check(name, "nothing", ())
    except Unfit as error:
        raise data.DataError(f"{path}: {error}; get the {whose} file") from None
    except (ValueError, zlib.error, struct.error) as error:
        raise data.DataError(f"{path}: cannot be read as a MAT file of version 5 ({error}); get the {whose} "
                             "file") from None
    return found


def _tag(content):
    """(type, number of bytes) of an element."""
    if len(content) != TAG.size:
        raise ValueError("ends within an element")
    return TAG.unpack(content)


class _Element:
    """The content of an element, inflated if need be, and only as much of it as was asked for."""

    def __init__(self, file, length, deflated):
        self.file, self.left = file, length
        self.inflater = zlib.decompressobj() if deflated else None
        self.most = length * INFLATION if deflated else length
        if deflated and (came := _tag(self.take(TAG.size)))[0] != MATRIX:
            raise ValueError(f"a deflated element of type {came[0]}")

    def take(self, count):
        """The next bytes, a bytearray that grows with what is really there."""
        if count > self.most:
            raise ValueError(f"{count} bytes are claimed of an element that can hold {self.most}")
        content = bytearray()
        while len(content) < count:
            if not (piece := self._some(min(CHUNK, count - len(content)))):
                raise ValueError("ends within an element")
            content += piece
        return content

    def _some(self, most):
        if not self.inflater:
            return self._stored(most)
        while not self.inflater.eof:
            deflated = self.inflater.unconsumed_tail or self._stored(CHUNK)
            piece = self.inflater.decompress(deflated, most)
            if piece or not deflated:
                return piece
        return b""

    def _stored(self, most):
        content = self.file.read(min(most, self.left))
        self.left -= len(content)
        return content

    def tag(self, *types):
        """(type, number of bytes, those themselves if they lie in the tag, else None) of the next element within."""
        kind, length, content = *_tag(tag := self.take(TAG.size)), None
        if kind >> 16:
            kind, length, content = kind & 0xFFFF, kind >> 16, tag[4:]
        if kind not in types or (content and length > len(content)):
            raise ValueError(f"an element of type {kind} and {length} bytes, expected types {types}")
        return kind, length, content

    def part(self, largest, *types):
        """The content of the next element within, which has `largest` bytes at most."""
        _, length, content = self.tag(*types)
        if length > largest:
            raise ValueError(f"an element of {length} bytes, expected {largest} at most")
        return self.rest(length, content)

    def rest(self, length, content):
        """The bytes of the element whose tag was read, and what fills it up."""
        if content is not None:
            return content[:length]
        content = self.take(length)
        self.take(-length % 8)
        return content

    def finish(self):
        """Raise ValueError unless this was all, and its checksum fits."""
        if self._some(1) or self.left or (self.inflater and not self.inflater.eof):
            raise ValueError("an element is longer than its matrix, or its checksum is missing")


def _variable(element, wanted):
    """(name, array or Sparse) of a matrix; None in place of what is not wanted, which is not read."""
    flags, = struct.unpack("<I4x", element.part(8, 6))
    shape = tuple(_array(element.part(SHORT, 5), "<i4").tolist())
    name = element.part(SHORT, 1).decode("latin-1")
    if name not in wanted:
        return name, None
    want, kind = wanted[name], flags & 0xFF
    if flags & COMPLEX or kind not in (SPARSE_CLASS, *NUMBER_CLASSES):
        want.check(name, "no real numbers", shape)
    if kind == SPARSE_CLASS:
        want.check(name, SPARSE, shape)
        return name, _sparse(element, shape, want.entries)
    number, length, content = element.tag(*DTYPES)
    dtype = np.dtype(DTYPES[number])
    want.check(name, dtype.name, shape)
    if length != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{length} bytes of {dtype}, expected as many as {shape} take")
    return name, np.ndarray(shape, dtype, element.rest(length, content), order="F")


def _sparse(element, shape, entries):
    rows = _array(element.part(4 * entries, 5), "<i4").astype(np.int64)
    starts = _array(element.part(4 * (shape[1] + 1), 5), "<i4").astype(np.int64)
    number, length, content = element.tag(*DTYPES)
    if length > 8 * len(rows):
        raise ValueError(f"{length} bytes of values for {len(rows)} entries")
    values = _array(element.rest(length, content), DTYPES[number])
    if len(starts) != shape[1] + 1 or starts[0] != 0 or (starts[1:] < starts[:-1]).any():
        raise ValueError("columns of a sparse matrix do not begin one after the other")
    count = starts[-1]                                               # there may be room for more
    if count > min(len(rows), len(values)):
        raise ValueError(f"{count} entries of a sparse matrix are claimed, {min(len(rows), len(values))} there")
    rows, values = rows[:count], values[:count]
    if count and not 0 <= rows.min() <= rows.max() < shape[0]:
        raise ValueError(f"rows of a sparse matrix from {rows.min()} to {rows.max()}, expected 0 to {shape[0] - 1}")
    return Sparse(starts, rows, values)


def _array(content, dtype):
    """All of the content, one number after the other."""
    count, rest = divmod(len(content), np.dtype(dtype).itemsize)
    if rest:
        raise ValueError(f"{len(content)} bytes of {np.dtype(dtype)}")
    return np.ndarray(count, dtype, content)
