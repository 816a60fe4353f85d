"""Brings SVHN (Y. Netzer and others: 630,420 house-number digits of 32 x 32 in colour) as svhn.npz, for `--data svhn`.
The official MAT files are downloaded or taken from a folder, verified, and converted a thousand pictures at a time.

    python data_scripts/svhn.py [--from DIR] [--out DIR] [--force]

The memory it takes is that of the pictures, 1.9 GB, and little more.

The validation part has 6,000 pictures, 400 of each digit from train_32x32.mat and 200 of each from extra_32x32.mat (P.
Sermanet, S. Chintala, Y. LeCun, "Convolutional Neural Networks Applied to House Numbers Digit Classification",
ICPR 2012); the other 598,388 of the two files are the training part. They are drawn as Pylearn2 did, the library of
the papers' code: one generator, seeded with 322, shuffles the pictures of every digit in turn.
"""

import sys
from dataclasses import dataclass

import mat
import numpy as np
import script
from fetch import fetch, progress

from bnn_ref import data

MIRRORS = ("http://ufldl.stanford.edu/housenumbers/",)
SHAPE = (3, 32, 32)
DIGITS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)  # in the order of their labels in the files: 1 .. 10, 10 for the digit 0
SEED = 322
STRETCH = 1000  # pictures that are turned to C x H x W at a time


@dataclass(frozen=True)
class MatFile:
    """An official file, MAT version 5: X, uint8 H x W x C x N, and y, the labels 1 .. 10, N x 1."""

    name: str
    count: int
    held_out: int  # pictures of each digit that go to the validation part
    size: int
    sha256: str


FILES = (  # training, more and easier training pictures, test
    MatFile("train_32x32.mat", 73_257, 400, 182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    MatFile("extra_32x32.mat", 531_131, 200, 1_329_278_602,
            "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
    MatFile("test_32x32.mat", 26_032, 0, 64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
)


def read_mat(path, file):
    """(x, y) of the official file: x a view, uint8 N x C x H x W, and y the digits 0 .. 9, int64 (N,).

    Raises data.DataError that says what differs.
    """
    script.verify(path, file.size, file.sha256)
    channels, height, width = SHAPE
    variables = mat.read(path, {"X": mat.Wanted((height, width, channels, file.count), ("uint8",)),
                                "y": mat.Wanted((file.count, 1), ("uint8", "float64"))})  # MATLAB's numbers are float64
    labels = variables["y"][:, 0].astype(np.int64)
    if labels.min() < 1 or labels.max() > len(DIGITS):
        raise data.DataError(f"{path}: has labels {labels.min()} .. {labels.max()}, expected 1 .. {len(DIGITS)}; "
                             "get the official file")
    return variables["X"].transpose(3, 2, 0, 1), labels % 10


def draw(y, held_out, rng):
    """(N,) bool: `held_out` pictures of each digit, drawn from y (N,) with rng, a numpy.random.RandomState."""
    drawn = np.zeros(len(y), bool)
    for digit in DIGITS:
        drawn[rng.permutation(np.flatnonzero(y == digit))[:held_out]] = True
    return drawn


def not_drawn(x, drawn, show):
    """Yield the other pictures of each x, in stretches of it; show() gets how many they are so far."""
    done = 0
    for images, mask in zip(x, drawn, strict=True):
        for start in range(0, len(images), STRETCH):
            stretch = slice(start, start + STRETCH)
            piece = images[stretch][~mask[stretch]]
            done += len(piece)
            show(done)
            yield piece


def download(file, folder):
    """The path of the downloaded and verified file in `folder`. Raises FetchError, OSError."""
    urls = [mirror + file.name for mirror in MIRRORS]
    return fetch(file.name, urls, file.sha256, file.size, folder, sys.stderr)


def convert(source, downloads, path):
    """Write svhn.npz as `path`, from the files in `source`, downloaded where that is None. Returns their paths."""
    if source is None:
        found = [download(file, downloads) for file in FILES]
    else:
        found = [script.find(source, (file.name,)) for file in FILES]
    total = sizes()[0]
    with progress(sys.stderr, f"{path.name}: converting {total} training pictures takes minutes", lambda done: (
            f"{path.name}: {done} of {total} training pictures, {done * 100 // total} %")) as show:
        show(0)
        *train, (test_x, test_y) = (read_mat(*pair) for pair in zip(found, FILES, strict=True))
        x, y = zip(*train, strict=True)
        rng = np.random.RandomState(SEED)  # its stream is promised never to change
        drawn = [draw(labels, file.held_out, rng) for labels, file in zip(y, FILES[:-1], strict=True)]
        valid_x, valid_y = (np.concatenate([values[mask] for values, mask in zip(both, drawn, strict=True)])
                            for both in (x, y))
        train_y = np.concatenate([labels[~mask] for labels, mask in zip(y, drawn, strict=True)])
        train_x = data.Pieces((total, *SHAPE), not_drawn(x, drawn, show))
        data.save(path, train_x, train_y, test_x, test_y, valid_x, valid_y, replace=True)
    return found


def sizes():
    """The numbers of training, validation and test pictures."""
    train, extra, test = (file.count for file in FILES)
    valid = len(DIGITS) * sum(file.held_out for file in FILES)
    return train + extra - valid, valid, test


def main(arguments=None):
    """The exit status, as of `script.main`."""
    return script.main("svhn", "the official files train_32x32.mat, extra_32x32.mat and test_32x32.mat", SHAPE,
                       sizes(), convert, arguments)


if __name__ == "__main__":
    sys.exit(main())
