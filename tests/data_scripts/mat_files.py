"""MAT files byte by byte, right or wrong ones, from the description of the format; importing nothing of the project."""

import struct
import zlib

import numpy as np

LABELS = np.array([[1], [-1], [1], [1], [-1]], np.int16)


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def ints(*values):
    return element(5, np.array(values, "<i4").tobytes())


def matrix(name, flags, shape, *parts, deflated=True):
    content = element(6, struct.pack("<II", flags, 0)) + ints(*shape) + element(1, name.encode()) + b"".join(parts)
    made = element(14, content)
    return struct.pack("<II", 15, len(zlib.compress(made))) + zlib.compress(made) if deflated else made


def file(*matrices):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(matrices)


def columns(rows, starts, values, shape=(5, 7), deflated=True):
    """A sparse matrix `data` with these entries, right or wrong."""
    return matrix("data", 5, shape, ints(*rows), ints(*starts), element(9, np.array(values, "<f8").tobytes()),
                  deflated=deflated)


def dense(name, array, kind=9, shape=None, deflated=True):
    return matrix(name, 6, shape or array.shape, element(kind, array.tobytes("F")), deflated=deflated)


LABELLED = matrix("labels", 10, (5, 1), element(3, LABELS.tobytes()))
