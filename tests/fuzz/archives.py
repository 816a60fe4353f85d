"""Damaged archives of the official data sets, some with checksums that fit: refused, or nothing but what they hold."""

import gzip
import hashlib
import struct
import sys
import zlib
from dataclasses import replace

import numpy as np

from tests.fuzz.damage import WORDS, damage
from tests.fuzz.harness import ROOT, WrongError

sys.path.insert(0, str(ROOT / "data_scripts"))

import cifar10
import ebp_text
import mnist

from bnn_ref.data import DataError
from bnn_ref.training.text_tasks import Description
from tests.data_scripts import mat_files, test_cifar10

HONEST = 1 << 20
cifar10.COUNT = test_cifar10.COUNT
IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", 20, 5, 4) + np.random.default_rng(0).bytes(400)
TASK = Description("Some", "some", 5, 7)


def attempt(rng, folder):
    """Damage a file of one of the kinds and read it."""
    try:
        return rng.choice((_pickle, _pickle, _tar, _mat, _mat, _idx))(rng, folder / "some")
    except DataError as error:
        if not str(error).isprintable():
            raise WrongError(f"a message of several lines: {str(error)!r}") from None
        return "refused"


def _pickle(rng, path):
    content = test_cifar10.contents(test_cifar10.PY)["data_batch_1"]
    at = content.index(b"cnumpy")
    content = damage(rng, content) if rng.random() < 0.3 else _opcodes(rng, content, at)
    path.write_bytes(content)
    x, y = test_cifar10.PY.read_batch(path, len(content), lambda: open(path, "rb"))
    if x.shape != (test_cifar10.COUNT, 3, 32, 32) or x.dtype != np.uint8 or not 0 <= y.min() <= y.max() < 10:
        raise WrongError(f"pictures {x.dtype} {x.shape}, labels {y.min()} .. {y.max()}")
    if x.tobytes() not in content and x.reshape(len(x), -1).tobytes("F") not in content:
        raise WrongError("pictures that are not in the file")
    return "pictures of the file"


OPCODES = (*(bytes([code]) for code in b"012)]}(tRbsuaeQN\x81\x85\x87\x88\x93"), b"h\0", b"q\0", b"K\4", b"P1\n",
           b"U\2O8", b"cos\nsystem\n", b"cnumpy\ndtype\n", b"J\xff\xff\xff\x7f", b"T\xff\xff\xff\x7f",
           b"\x8a\x08" + b"\xff" * 8)


def _opcodes(rng, content, at):
    """Opcodes put among those from `at` on, which say what the array is, or anywhere."""
    piece = rng.choice(OPCODES)
    to = at + rng.randrange(160) if rng.random() < 0.7 else rng.randrange(len(content))
    return content[:to] + piece * rng.choice((1, 1, 2, 300)) + content[to + rng.choice((0, len(piece))):]


def _tar(rng, path):
    form = rng.choice((test_cifar10.BIN, test_cifar10.PY))
    raw = gzip.decompress(test_cifar10.tar(test_cifar10.members(form)))
    start = 512 * rng.randrange(3) if rng.random() < 0.5 else 0             # of a header, most likely
    end = start + 512 if start else len(raw)
    raw = raw[:start] + damage(rng, raw[start:end]) + raw[end:]
    content = gzip.compress(raw, 1)
    content = content if rng.random() < 0.7 else damage(rng, content)
    path.write_bytes(content)
    cifar10.read_archive(path, replace(form, size=len(content), sha256=hashlib.sha256(content).hexdigest()))
    return "pictures of the file"


def _mat(rng, path):
    """A sparse or dense matrix with numbers replaced, its checksum made anew, or bytes of the file damaged."""
    rows, starts = [0, 4, 2], [0, 1, 1, 3, 3, 3, 3, 3]
    good = mat_files.columns(rows, starts, [1, 2, 3])
    if rng.random() < 0.4:
        good = mat_files.dense("data", np.arange(35.0).reshape(5, 7))
    elements = rng.random()
    if elements < 0.4:
        numbers = rng.choice((rows, starts))
        numbers[rng.randrange(len(numbers))] = (rng.choice(WORDS) + 2**31) % 2**32 - 2**31
        data = mat_files.columns(rows, starts, [1, 2, 3], deflated=rng.random() < 0.5)
    elif elements < 0.8:
        inner = damage(rng, zlib.decompress(good[8:]))
        deflated = zlib.compress(inner)
        data = struct.pack("<II", 15, len(deflated)) + deflated
    else:
        data = good
    content = mat_files.file(mat_files.LABELLED, data)
    if data is good:
        whole = content
        content = damage(rng, content)
    path.write_bytes(content)
    x, labels = ebp_text.read_mat(path, TASK)
    if data is good and content[128:] != whole[128:]:
        path.write_bytes(whole)
        expected, right = ebp_text.read_mat(path, TASK)
        same = np.array_equal(x.rows(np.arange(5)), expected.rows(np.arange(5))) and np.array_equal(labels, right)
        if not same:
            raise WrongError("other numbers, and no checksum complained")
    return "numbers of the file"


def _idx(rng, path):
    file = mnist.IdxFile("some", (20, 5, 4), hashlib.sha256(IDX).hexdigest(), 0, "")
    content = damage(rng, IDX)
    content = rng.choice((content, gzip.compress(content), damage(rng, gzip.compress(IDX))))
    path.write_bytes(content)
    if mnist.read_idx(path, file).tobytes() != IDX[16:]:
        raise WrongError("other pictures, and no checksum complained")
    return "as it was"
