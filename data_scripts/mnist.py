"""Brings MNIST (Y. LeCun, C. Cortes, C. Burges: 70,000 digits of 28 x 28) as mnist.npz, for `--data mnist`.
The official IDX files are downloaded or taken from a folder, and their uncompressed content is verified.

    python data_scripts/mnist.py [--from DIR] [--out DIR] [--force]
"""

import gzip
import hashlib
import math
import struct
import sys
import zlib
from dataclasses import dataclass

import numpy as np
import script
from fetch import fetch

from bnn_ref import data

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
VALIDATION = 10_000  # the last of the training file: the split of the papers


@dataclass(frozen=True)
class IdxFile:
    """An official file: 4 magic bytes, the dimensions as big-endian 32-bit integers, then uint8 values."""

    name: str
    shape: tuple
    sha256: str  # of the uncompressed file
    gz_size: int
    gz_sha256: str

    @property
    def header(self):
        return struct.pack(f">4B{len(self.shape)}I", 0, 0, 8, len(self.shape), *self.shape)

    @property
    def size(self):
        return len(self.header) + math.prod(self.shape)


FILES = (  # training images and labels, test images and labels
    IdxFile("train-images-idx3-ubyte", (60_000, 28, 28),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    IdxFile("train-labels-idx1-ubyte", (60_000,),
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    IdxFile("t10k-images-idx3-ubyte", (10_000, 28, 28),
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    IdxFile("t10k-labels-idx1-ubyte", (10_000,),
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)


def read_idx(path, file):
    """The uint8 array, shape file.shape, of the official file at `path`, gzip-compressed or not.

    Raises data.DataError that says what differs; never reads more than one byte beyond the expected size.
    """
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
        with (gzip.open if compressed else open)(path, "rb") as stream:
            content = stream.read(file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise data.DataError(f"{path}: cannot be read to its end ({error}); get the file again") from None
    header = file.header
    if content[:4] != header[:4]:
        raise data.DataError(f"{path}: starts with the bytes '{content[:4].hex()}', expected "
                             f"'{header[:4].hex()}', the magic number of {file.name}; get the official file")
    if content[4 : len(header)] != header[4:]:
        came = [int.from_bytes(content[i : i + 4], "big") for i in range(4, len(header), 4)]
        raise data.DataError(f"{path}: has the dimensions {came}, expected {list(file.shape)} of "
                             f"{file.name}; get the official file")
    if len(content) != file.size:
        came = "more" if len(content) > file.size else len(content)
        raise data.DataError(f"{path}: has {came} bytes uncompressed, expected {file.size}; get it again")
    if (came := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise data.DataError(f"{path}: has the sha256 {came} uncompressed, expected {file.sha256}; "
                             "get the official file")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(file.shape)


def download(file, folder):
    """The path of the downloaded and verified .gz of the file in `folder`. Raises FetchError, OSError."""
    name = f"{file.name}.gz"
    urls = [mirror + name for mirror in MIRRORS]
    return fetch(name, urls, file.gz_sha256, file.gz_size, folder, sys.stderr)


def names(file):
    """The four names under which the file is found in a folder."""
    dotted = file.name.replace("-idx", ".idx")
    return file.name, f"{file.name}.gz", dotted, f"{dotted}.gz"


def convert(source, downloads, path):
    """Write mnist.npz as `path`, from the files in `source`, downloaded where that is None. Returns their paths."""
    if source is None:
        found = [download(file, downloads) for file in FILES]
    else:
        found = [script.find(source, names(file)) for file in FILES]
    train_x, train_y, test_x, test_y = (read_idx(*pair) for pair in zip(found, FILES, strict=True))
    train_x, test_x = train_x[:, None], test_x[:, None]  # one channel
    data.save(path, train_x[:-VALIDATION], train_y[:-VALIDATION], test_x, test_y,
              train_x[-VALIDATION:], train_y[-VALIDATION:], replace=True)
    return found


def main(arguments=None):
    """The exit status, as of `script.main`."""
    train, test = FILES[0].shape, FILES[2].shape
    counts = (train[0] - VALIDATION, VALIDATION, test[0])
    return script.main("mnist", "the four official IDX files, compressed or not,", (1, *train[1:]), counts, convert,
                       arguments)


if __name__ == "__main__":
    sys.exit(main())
