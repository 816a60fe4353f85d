"""One file format for every data set, so that a network never needs to know where its pictures came from.
Whatever is wrong with a file is said here, in one line, before an epoch is spent on it.

The format is an .npz archive (a zip file of .npy arrays, as `numpy.savez` writes it) with these arrays:

    train_x, test_x    uint8, N x C x H x W: images, channels first, grey values 0..255; N x H x W where C is 1
    train_y, test_y    any integer dtype, (N,): class labels from 0 up
    valid_x, valid_y   the same for validation; optional, both or neither

Images have one C x H x W throughout; N is 1 at least and may differ between the parts. The classes are 0 ..
max(train_y), two at least, and each has a training image. Other arrays in the file are not read (`source` is a
line of text with data that nobody verified); pickled objects are refused. Where no validation part is given, a
tenth of the training images becomes it: of a class with n images round(n / 10), but 1 at least, drawn with the
seed SPLIT_SEED, so that one file always gives one split; this needs two training images of every class. `save`
checks arrays and writes such a file; where they do not fit, it says what to write instead, by what came:

    import numpy as np
    from bnn_ref import data
    images, labels = np.full((100, 1, 8, 8), 255, np.uint8), np.arange(100) % 10
    data.save("mine.npz", train_x=images, train_y=labels, test_x=images, test_y=labels)

`numpy.savez` writes it too. `load("mine.npz")` reads the file. The data sets of NAMES are such files in
`data_folder()`, except `digits`, which comes with the package (data_scripts/digits.py tells from where).
"""

import hashlib
import os
import sys
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from . import advice
from .files import DamagedError, atomic_write, read_arrays
from .ops.checks import check_dtype, check_integers, is_plain

SCRIPTS = ("mnist", "cifar10", "svhn")  # the names that data_scripts/<name>.py brings
NAMES = ("digits", *SCRIPTS)
PARTS = ("train", "valid", "test")
REQUIRED = ("train_x", "train_y", "test_x", "test_y")
KEYS = ("train_x", "train_y", "valid_x", "valid_y", "test_x", "test_y")
DTYPES = {"x": np.uint8, "y": np.int64}  # by the last letter of the key
SPLIT_SEED = 1998
STRETCH = 1000  # images that `save` compresses at a time
DIGITS = Path(__file__).with_name("digits.npz")
HELP = "`python -m pydoc bnn_ref.data` shows the format"


class DataError(ValueError):
    """Data that cannot be used: which file, what was expected, what came and what to do, in one line."""

    def __init__(self, message):
        super().__init__(" ".join(str(message).splitlines()))  # causes quoted from elsewhere may have several


class DataWarning(UserWarning):
    """Data of the right form that are hardly what was meant."""


@dataclass(frozen=True, eq=False)  # eq=False: == of arrays has no single truth value; compare fingerprints
class Dataset:
    """Images uint8 N x C x H x W and labels int64 (N,) in three parts; `name` is what `load` was given.

    Raises TypeError or ValueError for other arrays.
    """

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    valid_x: np.ndarray
    valid_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def __post_init__(self):
        check_parts("Dataset", self, PARTS)

    @property
    def shape(self):
        """(C, H, W) of one image."""
        return self.train_x.shape[1:]

    @property
    def classes(self):
        """The number of classes; labels are 0 .. classes - 1."""
        return int(self.train_y.max()) + 1

    @property
    def fingerprint(self):
        """sha256 of the content (names, dtypes, shapes and bytes of the arrays), hexadecimal."""
        digest = hashlib.sha256()
        for key in KEYS:
            array = getattr(self, key)
            digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def check_parts(name, data, parts):
    """Raise TypeError or ValueError unless `data` has these parts as a Dataset has them."""
    for part in parts:
        for key in (f"{part}_x", f"{part}_y"):
            if not hasattr(data, key):
                raise TypeError(f"{name}: expected a Dataset, with {key}, got {type(data).__name__}")
        x, y = getattr(data, f"{part}_x"), getattr(data, f"{part}_y")
        check_dtype(f"{part}_x", x, np.uint8, "N C H W")
        check_integers(f"{part}_y", y, "N")
        if len(x) != len(y):
            raise ValueError(f"{part}_y: expected {len(x)} labels, one for each image, got {len(y)}")


def data_folder(data_dir=None):
    """Path of the data folder: `data_dir`, else $BNN_REF_DATA, else `bnn_ref` in the user's cache folder.

    Raises DataError where that begins with the home of a user who has none.
    """
    chosen = data_dir or os.environ.get("BNN_REF_DATA")
    try:
        return Path(chosen).expanduser() if chosen else _cache_folder()
    except RuntimeError as error:
        raise DataError(f"{chosen or 'the data folder'}: no such home ({error}); give the whole path, such as "
                        "by BNN_REF_DATA") from None


def _cache_folder():
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bnn_ref"


def load(source, data_dir=None):
    """The Dataset of `source`: one of NAMES (`data_dir` goes to `data_folder`) or a path that ends in .npz.

    Raises DataError for an unknown name, an absent file, and whatever in the file differs from the format.
    """
    source = str(source)
    if source == "digits":
        path = DIGITS
    elif source in NAMES:
        path = data_folder(data_dir) / f"{source}.npz"
    elif source.lower().endswith(".npz"):
        path = Path(source)
    else:
        raise DataError(f"unknown data set {source!r}: choose {', '.join(NAMES)} or a path that ends in .npz")
    try:
        arrays = _read(path)
    except FileNotFoundError:
        raise DataError(_absence(source, path.absolute(), data_dir)) from None
    arrays = {key: _with_channel(key, array) for key, array in arrays.items()}
    _check(path, arrays)
    arrays = {key: np.ascontiguousarray(array, DTYPES[key[-1]]) for key, array in arrays.items()}
    if "valid_x" not in arrays:
        arrays = _split(arrays)
    return Dataset(source, **arrays)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Images for `save` that are made while it writes them, so that memory never holds all of them.

    shape: the N x C x H x W of all; arrays: uint8 arrays n x C x H x W, in their order, which hold N images together.
    """

    shape: tuple
    arrays: Iterable


def check_absent(path, replace):
    """Raise DataError where something is at `path` that may not be written over."""
    if not replace and os.path.lexists(path):
        raise DataError(f"{path} is there already: choose another name, or give replace=True to write over it")


def save(path, train_x, train_y, test_x, test_y, valid_x=None, valid_y=None, source=None, replace=False):
    """Check the arrays as `load` does and write them to `path` (.npz), whole or not at all; makes the folder.

    Images uint8 N x C x H x W, or N x H x W for one channel, an array or Pieces; labels any integer dtype (N,), stored
    as int64; source: a line for people that tells where they are from, stored as an array of text; replace: whether a
    file that is there is written over. Equal data give equal bytes. Warns of images that are black. Raises DataError
    for data that differ from the format or a file that is there, OSError where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: a data file's name must end in .npz")
    check_absent(path, replace)
    values = (train_x, train_y, valid_x, valid_y, test_x, test_y)
    arrays = {key: _with_channel(key, value) for key, value in zip(KEYS, values, strict=True)
              if value is not None or key in REQUIRED}
    if not isinstance(source, str | None):
        raise DataError(f"{path}: source must be a line of text, got {type(source).__name__}")
    _check(path, {key: _promise(key, value) for key, value in arrays.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, value in arrays.items():
            header = {"descr": np.dtype(DTYPES[key[-1]]).str, "fortran_order": False, "shape": value.shape}
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, header)
                for piece in _pieces(path, key, value):
                    member.write(piece.astype(DTYPES[key[-1]], copy=False).tobytes())
        if source is not None:
            with archive.open("source.npy", "w") as member:
                npy.write_array(member, np.array(source))


def _with_channel(key, value):
    """Grey images N x H x W as N x 1 x H x W; anything else as it came."""
    grey = key.endswith("x") and isinstance(value, np.ndarray) and value.ndim == 3
    return value[:, None] if grey else value


def _promise(key, value):
    """What `_check` sees of the value: in place of Pieces an array of their shape and dtype that takes no memory."""
    if isinstance(value, Pieces) and key.endswith("x"):
        return np.broadcast_to(np.uint8(255), value.shape)
    return value


def _pieces(where, key, value):
    """Yield the arrays that make up the value, in order. Raises DataError where Pieces break their promise."""
    if not isinstance(value, Pieces):
        for start in range(0, len(value), STRETCH):
            yield value[start : start + STRETCH]
        return
    promised, *image = value.shape
    held = 0
    for piece in value.arrays:
        if piece.dtype != np.uint8 or list(piece.shape[1:]) != image:
            raise DataError(f"{where}: a piece of {key} is {piece.dtype} of shape {piece.shape}, expected uint8 "
                            f"images of shape {tuple(image)}")
        held += len(piece)
        yield piece
    if held != promised:
        raise DataError(f"{where}: the pieces of {key} hold {held} images, expected {promised}")


def _absence(source, path, data_dir):
    """Why the file `path` of `source` is not there, and what brings it."""
    folder = path.parent
    if not folder.is_dir():
        problem = f"{path.name} is not there: the folder {folder} does not exist"
    elif not any(folder.iterdir()):
        problem = f"{path.name} is not there: the folder {folder} is empty"
    else:
        problem = f"{path.name} is not in the folder {folder}"
    if source in SCRIPTS:
        quoted = f'"{folder}"' if " " in str(folder) else folder
        out = f" --out {quoted}" if data_dir or os.environ.get("BNN_REF_DATA") else ""
        return f"{problem}; `python data_scripts/{source}.py{out}` brings it"
    return f"{problem}; give the path of an existing .npz file ({HELP})"


def _read(path):
    """{key: array} of the file, not yet checked. Raises FileNotFoundError, DataError for a bad archive."""
    try:
        return read_arrays(path, KEYS, REQUIRED)
    except DamagedError as error:
        raise DataError(f"{path}: {error}; make the file again, {HELP}") from error


def _check(where, arrays):
    """Raises DataError, which starts with `where`, for whatever in the arrays differs from the format."""
    if ("valid_x" in arrays) != ("valid_y" in arrays):
        raise DataError(f"{where}: only one of valid_x and valid_y is there; give both or neither")
    parts = [part for part in PARTS if f"{part}_x" in arrays]
    for part in parts:
        _check_part(where, part, arrays[f"{part}_x"], arrays[f"{part}_y"])
    labels, counts = np.unique(arrays["train_y"], return_counts=True)
    classes = int(labels[-1]) + 1
    if classes < 2:
        raise DataError(f"{where}: train_y holds one class, expected two at least; add images of class 1")
    if len(labels) < classes:
        absent = next(label for label in range(classes) if labels[label] != label)
        raise DataError(f"{where}: class {absent} has no training image, expected some of every class up to "
                        f"{classes - 1}; add images of that class or number the classes without gaps")
    if "valid_x" not in arrays and counts.min() < 2:
        raise DataError(f"{where}: class {counts.argmin()} has one training image, expected two at least to "
                        "split off a validation part; add images, or valid_x and valid_y")
    for part in parts:
        x, y = arrays[f"{part}_x"], arrays[f"{part}_y"]
        if x.shape[1:] != arrays["train_x"].shape[1:]:
            raise DataError(f"{where}: images of {part}_x have the shape {x.shape[1:]}, expected "
                            f"{arrays['train_x'].shape[1:]} as in train_x; bring them to one C x H x W")
        if y.max() >= classes:
            raise DataError(f"{where}: {part}_y holds the label {y.max()}, expected 0 .. {classes - 1} as in "
                            "train_y; add training images of that class or leave it out")
        if x.max() <= 1:
            warnings.warn(f"{where}: {part}_x holds nothing but {' and '.join(map(str, np.unique(x)))}, black among "
                          "the grey values 0 .. 255; images of 0 to 1, as they were before they became uint8, belong "
                          "here as np.rint(255 * images).astype(np.uint8)", DataWarning, stacklevel=3)


def _check_part(where, part, x, y):
    """What can be said of one part alone: types, dimensions, counts, no negative label."""
    for key, value in ((f"{part}_x", x), (f"{part}_y", y)):
        if not is_plain(value):
            raise DataError(f"{where}: {key} must be a NumPy array, got {type(value).__name__}; "
                            f"{advice.for_others(key, value)}")
    said = [one for one in (advice.for_values(f"{part}_x", x), advice.for_axes(f"{part}_x", x)) if one]
    if said:
        raise DataError(f"{where}: {part}_x must be uint8 of shape N x C x H x W, got {x.dtype} of shape "
                        f"{x.shape}; {'; then '.join(said)}")
    if x.size == 0:
        raise DataError(f"{where}: {part}_x is empty, shape {x.shape}; N, C, H and W must be 1 at least")
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise DataError(f"{where}: {part}_y must be integers of shape (N,), got {y.dtype} of shape "
                        f"{y.shape}; {advice.for_labels(f'{part}_y', y)}")
    if len(x) != len(y):
        raise DataError(f"{where}: {part}_x has {len(x)} images but {part}_y {len(y)} labels; give one each")
    if y.min() < 0:
        raise DataError(f"{where}: {part}_y holds the label {y.min()}, expected class numbers from 0 up")


def _split(arrays):
    """The arrays with a tenth of every training class moved to a validation part, both in file order."""
    x, y = arrays["train_x"], arrays["train_y"]
    rng = np.random.RandomState(SPLIT_SEED)  # its stream is promised never to change, default_rng's is not
    held_out = np.zeros(len(y), bool)
    by_class = np.split(np.argsort(y, kind="stable"), np.cumsum(np.bincount(y))[:-1])
    for members in by_class:
        held_out[rng.permutation(members)[: max(1, round(len(members) / 10))]] = True
    return arrays | {"train_x": x[~held_out], "train_y": y[~held_out],
                     "valid_x": x[held_out], "valid_y": y[held_out]}
