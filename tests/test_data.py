"""The data format: what is accepted, what is refused and how; and files are written whole or not at all."""

import dataclasses
import errno
import io
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bnn_ref import advice, data, files
from bnn_ref.cli import main
from bnn_ref.data import DataError, load, save
from bnn_ref.files import atomic_write, read_arrays
from bnn_ref.training import loop

ROOT = Path(__file__).resolve().parent.parent
DIGITS_FINGERPRINT = "9b3c803f62d0606754275702dbc5f8866c0481a72dd7f842e27d559413b55200"


@pytest.fixture(autouse=True)
def no_user_folders(monkeypatch, tmp_path):
    monkeypatch.delenv("BNN_REF_DATA", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)


def images(n, shape=(2, 3, 4), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def arrays(**changes):
    """A good file's arrays: 24 training, 6 validation, 9 test images, 3 classes; None removes one."""
    good = {"train_x": images(24), "train_y": np.arange(24) % 3, "valid_x": images(6, seed=1),
            "valid_y": np.arange(6) % 3, "test_x": images(9, seed=2), "test_y": np.arange(9) % 3}
    return {key: value for key, value in (good | changes).items() if value is not None}


def write(path, **changes):
    np.savez(path, **arrays(**changes))
    return path


def failure(call, *args, **kwargs):
    """The message of the DataError that the call raises, which must be one line."""
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message and len(message.splitlines()) == 1
    return message


# what is accepted

def test_load_gives_the_arrays_of_the_file(tmp_path):
    path = write(tmp_path / "mine.npz")
    dataset = load(path)
    for key, value in arrays().items():
        loaded = getattr(dataset, key)
        np.testing.assert_array_equal(loaded, value)
        assert loaded.dtype == (np.uint8 if key.endswith("x") else np.int64)
        assert loaded.flags.c_contiguous and loaded.flags.writeable
    assert (dataset.name, dataset.shape, dataset.classes) == (str(path), (2, 3, 4), 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"
    assert dataset == dataset and dataset != load(path)  # by identity: == of arrays would raise


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i4", "u4", "i8", ">u8"])
def test_labels_of_any_integer_dtype(tmp_path, dtype):
    dataset = load(write(tmp_path / "mine.npz", train_y=(np.arange(24) % 3).astype(dtype)))
    assert dataset.train_y.dtype == np.int64 and dataset.train_y.dtype.isnative
    assert dataset.train_y.tolist() == [0, 1, 2] * 8


def test_compressed_fortran_ordered_and_version_2_arrays_are_read(tmp_path):
    np.savez_compressed(tmp_path / "f.npz", **arrays(train_x=np.asfortranarray(images(24))))
    np.testing.assert_array_equal(load(tmp_path / "f.npz").train_x, images(24))
    assert load(tmp_path / "f.npz").train_x.flags.c_contiguous
    with zipfile.ZipFile(tmp_path / "v2.npz", "w") as archive:
        for key, value in arrays().items():
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, value, version=(2, 0))
    np.testing.assert_array_equal(load(tmp_path / "v2.npz").test_x, arrays()["test_x"])


def test_other_arrays_in_the_file_are_not_read(tmp_path):
    path = write(tmp_path / "mine.npz", notes=np.array([{"pickled": "object"}], dtype=object))
    assert len(load(path).train_y) == 24


def test_the_lines_of_the_docstring_write_a_good_file(tmp_path, monkeypatch):
    lines = [line[4:] for line in data.__doc__.splitlines()]
    start = lines.index("import numpy as np")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(lines[start : start + 4]))
    dataset = load("mine.npz")
    assert (dataset.shape, dataset.classes, len(dataset.valid_y)) == ((1, 8, 8), 10, 10)


def test_digits_are_embedded():
    digits = load("digits")
    assert (digits.name, digits.shape, digits.classes) == ("digits", (1, 8, 8), 10)
    assert [len(y) for y in (digits.train_y, digits.valid_y, digits.test_y)] == [1257, 180, 360]
    assert [len(x) for x in (digits.train_x, digits.valid_x, digits.test_x)] == [1257, 180, 360]
    assert set(np.bincount(digits.test_y)) == {35, 36, 37}
    assert set(np.bincount(digits.valid_y)) == {17, 18, 19}
    levels = np.rint(np.arange(17) * 255 / 16)
    assert np.array_equal(np.unique(digits.train_x), levels)
    assert digits.fingerprint == DIGITS_FINGERPRINT  # tests and figures elsewhere rest on this content
    assert data.DIGITS.stat().st_size < 60_000


# the validation part

def test_a_tenth_of_every_class_is_split_off(tmp_path):
    y = np.repeat([0, 1, 2], [30, 16, 2])[np.random.default_rng(0).permutation(48)]
    x = np.arange(48, dtype=np.uint8).reshape(48, 1, 1, 1)
    path = write(tmp_path / "mine.npz", train_x=x, train_y=y, test_x=x, test_y=y, valid_x=None, valid_y=None)
    dataset = load(path)
    assert np.bincount(dataset.valid_y).tolist() == [3, 2, 1]
    assert np.bincount(dataset.train_y).tolist() == [27, 14, 1]
    train, valid = dataset.train_x.ravel().tolist(), dataset.valid_x.ravel().tolist()
    assert sorted(train + valid) == list(range(48))
    assert train == sorted(train) and valid == sorted(valid)
    assert dataset.train_y.tolist() == y[train].tolist() and dataset.valid_y.tolist() == y[valid].tolist()
    assert len(dataset.test_y) == 48
    assert load(path).fingerprint == dataset.fingerprint


def test_the_split_never_changes(tmp_path):
    x = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    y = np.arange(60) % 2
    path = write(tmp_path / "mine.npz", train_x=x, train_y=y, test_x=x, test_y=y, valid_x=None, valid_y=None)
    assert load(path).valid_x.ravel().tolist() == [17, 32, 37, 42, 51, 54]


# the fingerprint

def test_fingerprint_depends_on_the_content_alone(tmp_path):
    one, other = load(write(tmp_path / "one.npz")), load(write(tmp_path / "other.npz"))
    assert one.fingerprint == other.fingerprint and len(one.fingerprint) == 64
    for key in data.KEYS:
        changed = getattr(one, key).copy()
        changed.reshape(-1)[-1] ^= 1
        assert dataclasses.replace(one, **{key: changed}).fingerprint != one.fingerprint, key
    reshaped = dataclasses.replace(one, train_x=one.train_x.reshape(24, 2, 4, 3))
    assert reshaped.fingerprint != one.fingerprint
    retyped = dataclasses.replace(one, train_y=one.train_y.view(np.uint64))
    assert retyped.fingerprint != one.fingerprint
    fewer = dataclasses.replace(one, test_x=one.test_x[:6], test_y=one.test_y[:6])
    swapped = dataclasses.replace(fewer, valid_x=fewer.test_x, test_x=fewer.valid_x)
    assert swapped.fingerprint != fewer.fingerprint


# where the files are

def test_data_folder(monkeypatch, tmp_path):
    home = tmp_path / "home"
    for platform, cache in (("linux", home / ".cache"), ("darwin", home / "Library" / "Caches"),
                            ("win32", home / "AppData" / "Local")):
        monkeypatch.setattr(sys, "platform", platform)
        assert data.data_folder() == cache / "bnn_ref"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert data.data_folder() == tmp_path / "local" / "bnn_ref"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data.data_folder() == tmp_path / "xdg" / "bnn_ref"
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path / "env"))
    assert data.data_folder() == tmp_path / "env"
    assert data.data_folder(str(tmp_path / "argument")) == tmp_path / "argument"


def test_named_sets_come_from_the_data_folder(monkeypatch, tmp_path):
    write(tmp_path / "cifar10.npz")
    assert load("cifar10", tmp_path).name == "cifar10"
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path))
    assert load("cifar10").shape == (2, 3, 4)


def test_an_absent_mnist_names_its_script(monkeypatch, tmp_path):
    folder = tmp_path / "data"
    command = f"`python data_scripts/mnist.py --out {folder}`"
    message = failure(load, "mnist", folder)
    assert "mnist.npz" in message and f"the folder {folder} does not exist" in message and command in message
    folder.mkdir()
    message = failure(load, "mnist", folder)
    assert "mnist.npz" in message and f"the folder {folder} is empty" in message and command in message
    write(folder / "svhn.npz")
    message = failure(load, "mnist", folder)
    assert f"mnist.npz is not in the folder {folder}" in message and command in message
    assert "`python data_scripts/mnist.py`" in failure(load, "mnist")
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path / "with space"))
    assert f'mnist.py --out "{tmp_path / "with space"}"`' in failure(load, "mnist")


def test_an_absent_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"mine.npz is not there: the folder {tmp_path} is empty" in failure(load, "mine.npz")
    assert "does not exist" in failure(load, tmp_path / "no" / "mine.npz")
    write(tmp_path / "other.npz")
    message = failure(load, tmp_path / "mine.npz")
    assert f"mine.npz is not in the folder {tmp_path}" in message and "path of an existing .npz" in message


@pytest.mark.parametrize("source", ["MNIST", "imagenet", "", "mine.npy", None])
def test_an_unknown_source_names_the_choices(source):
    message = failure(load, source)
    assert repr(str(source)) in message and "digits, mnist, cifar10, svhn" in message and ".npz" in message


# what is refused: by load when it is in a file, by save before a file is written

BAD_ARRAYS = {
    "float images": ({"train_x": images(24) / 255}, "train_x must be uint8", "float64"),
    "int images": ({"test_x": images(9).astype(np.int64)}, "test_x must be uint8", "int64"),
    "images of the other way round": ({"train_x": np.float32(images(24, (9, 8, 3))), "test_x": images(9, (9, 8, 3))},
                                      "np.rint(train_x).astype(np.uint8); then the channels are last"),
    "images as rows": ({"valid_x": images(6, (12,))}, "valid_x", "N x C x H x W", "(6, 12)"),
    "no training images": ({"train_x": images(0), "train_y": np.arange(0)}, "train_x is empty", "(0, 2,"),
    "no validation images": ({"valid_x": images(0), "valid_y": np.arange(0)}, "valid_x is empty"),
    "no test images": ({"test_x": images(0), "test_y": np.arange(0)}, "test_x is empty"),
    "no pixels": ({"train_x": images(24, (1, 0, 8))}, "train_x is empty", "(24, 1, 0, 8)"),
    "float labels": ({"train_y": np.arange(24) % 3 * 1.0}, "train_y must be integers", "float64"),
    "bool labels": ({"train_y": np.arange(24) % 2 == 0}, "train_y must be integers", "bool"),
    "dates as labels": ({"train_y": (np.arange(24) % 3).astype("m8[s]")}, "train_y must be integers"),
    "text labels": ({"test_y": np.array(list("012345678"))}, "test_y must be integers", "<U1"),
    "one-hot labels": ({"train_y": np.eye(24, dtype=int)}, "train_y", "of shape (N,)", "(24, 24)"),
    "more labels": ({"train_y": np.arange(25) % 3}, "train_x has 24 images but train_y 25 labels"),
    "fewer labels": ({"test_y": np.arange(8) % 3}, "test_x has 9 images but test_y 8 labels"),
    "other test shape": ({"test_x": images(9, (2, 4, 3))}, "test_x", "(2, 4, 3)", "(2, 3, 4)"),
    "other validation shape": ({"valid_x": images(6, (1, 3, 4))}, "valid_x", "(1, 3, 4)", "(2, 3, 4)"),
    "negative label": ({"train_y": np.arange(24) % 3 - 1}, "train_y holds the label -1", "from 0 up"),
    "negative test label": ({"test_y": np.arange(9) % 3 - 2}, "test_y holds the label -2"),
    "labels from 1": ({"train_y": np.arange(24) % 3 + 1}, "class 0 has no training image", "up to 3"),
    "a gap": ({"train_y": np.arange(24) % 3 * 2}, "class 1 has no training image", "up to 4"),
    "a huge label": ({"train_y": np.append(np.arange(23) % 3, 2**62)}, "class 3 has no training image"),
    "an unsigned huge label": ({"train_y": np.array([0, 1, 2] * 7 + [2**64 - 1] * 3, np.uint64)},
                               "class 3 has no training image"),
    "one class": ({"train_y": np.zeros(24, int)}, "one class", "two at least"),
    "unknown test class": ({"test_y": np.arange(9) % 4}, "test_y holds the label 3", "0 .. 2"),
    "unknown validation class": ({"valid_y": np.arange(6) + 2}, "valid_y holds the label 7", "0 .. 2"),
    "valid_x alone": ({"valid_y": None}, "only one of valid_x and valid_y"),
    "valid_y alone": ({"valid_x": None}, "only one of valid_x and valid_y"),
    "too few to split": ({"train_y": np.append(np.arange(23) % 2, 2), "valid_x": None, "valid_y": None},
                         "class 2 has one training image", "valid_x and valid_y"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused(case, tmp_path):
    changes, *words = BAD_ARRAYS[case]
    path = write(tmp_path / "mine.npz", **changes)
    message = failure(load, path)
    assert message.startswith(f"{path}: ") and all(word in message for word in words), message
    target = tmp_path / "new" / "mine.npz"
    message = failure(save, target, **arrays(**changes))
    assert message.startswith(f"{target}: ") and all(word in message for word in words), message
    assert not target.parent.exists()


def test_one_training_image_of_a_class_is_enough_beside_a_validation_part(tmp_path):
    assert load(write(tmp_path / "mine.npz", train_y=np.append(np.arange(23) % 2, 2))).classes == 3


# what to write in place of what came

PICTURES = images(40, (3, 9, 8))
COLOURS = PICTURES / np.float32(255)
FORMS = {  # how pictures are brought, and how far off the grey levels may be that they come back to
    "floats to 1": (COLOURS, 0), "float16": (COLOURS.astype(np.float16), 0), "floats to 255": (np.float64(PICTURES), 0),
    "int64": (PICTURES.astype(np.int64), 0), "big-endian": (PICTURES.astype(">i2"), 0),
    "from -1 to 1": (2 * COLOURS - 1, 0), "as training scales them": (loop.scale_pixels(PICTURES), 1),
    "16 bits": (PICTURES.astype(np.uint16) * 257, 0), "12 bits": (np.rint(PICTURES * 16.0588), 0.5),
    "to 16": (np.rint(PICTURES * (16 / 255)), 8.5), "resized": (COLOURS * 1.06 - 0.03, 8),
    "resized to 255": (PICTURES * 1.06 - 8, 8), "masks": (PICTURES > 127, 128),
    "0 and 1": ((PICTURES > 127).astype(int), 128), "-1 and 1": (np.where(PICTURES > 127, 1, -1), 128),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_advised_brings_the_pictures_back(form):
    train_x, off = FORMS[form]
    [advised] = re.findall(r"write (.*?\.astype\(np\.uint8\))", message := advice.for_values("train_x", train_x))
    back = eval(advised, {"np": np, "train_x": train_x})
    assert back.dtype == np.uint8 and np.abs(back.astype(int) - PICTURES).max() <= off, message
    assert failure(save, "mine.npz", **arrays(train_x=train_x, train_y=np.arange(40) % 3)).endswith(f"; {message}")
    assert ("the largest value that a picture can have" in message) == (form in ("16 bits", "12 bits", "to 16"))


def test_advice_for_values_that_come_back_by_no_formula():
    for x, words in ((np.array([0.5, np.nan]), "NaN or infinity"), (np.array([0, np.inf]), "NaN or infinity"),
                     (np.random.default_rng(0).standard_normal(99), "255 * (train_x * std + mean)"),
                     (np.array([-128, 127], np.int8), "undo what made them negative"),
                     (np.array(["a"]), "from 0, black, to 255"), (np.zeros(0), "from 0, black, to 255"),
                     (np.array([1j]), "from 0, black, to 255")):
        assert words in advice.for_values("train_x", x)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_last_are_recognised(channels, tmp_path):
    x = images(24, (channels, 6, 5))
    last = {key: value.transpose(0, 2, 3, 1) for key, value in
            (("train_x", x), ("valid_x", x[:6]), ("test_x", x[:9]))}
    message = failure(load, write(tmp_path / "mine.npz", **last))
    [advised] = re.findall(r"write (train_x\.transpose\(.*?\))", message)
    assert np.array_equal(eval(advised, last), x)
    assert ("pictures 5 x 1 in 6 channels" in message) == (channels == 1)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (64, 3, 3), (64, 4, 4), (3, 5, 4), (2, 9, 1),
                                   (12, 1, 100)])
def test_channels_first_are_left_alone(shape):
    assert advice.for_axes("train_x", np.zeros((5, *shape), np.uint8)) == ""


def test_rows_are_told_how_to_become_pictures():
    rows = images(24, (64,))
    assert "train_x.reshape(-1, 1, 8, 8)" in advice.for_axes("train_x", rows)
    assert "for example" not in advice.for_axes("train_x", images(24, (60,)))
    assert "np.stack" in advice.for_axes("train_x", np.zeros(5, object))


def test_grey_pictures_need_no_channel(tmp_path):
    grey = {"train_x": images(24, (6, 5)), "valid_x": images(6, (6, 5)), "test_x": images(9, (1, 6, 5))}
    save(tmp_path / "saved.npz", **arrays(**grey))
    for path in (write(tmp_path / "mine.npz", **grey), tmp_path / "saved.npz"):
        dataset = load(path)
        assert dataset.shape == (1, 6, 5)
        np.testing.assert_array_equal(dataset.train_x[:, 0], grey["train_x"])
        np.testing.assert_array_equal(dataset.test_x, grey["test_x"])


Y = np.arange(24) % 3


@pytest.mark.parametrize("train_y", [Y[:, None], np.eye(3)[Y], np.eye(3, dtype=bool)[Y], Y.astype(float),
                                     np.array(["cat", "dog", "eel"])[Y]], ids=str)
def test_what_is_advised_brings_the_labels_back(train_y):
    message = failure(save, "mine.npz", **arrays(train_y=train_y))
    [advised] = re.findall(r"write (.*)", message)
    assert eval(advised, {"np": np, "train_y": train_y}).tolist() == Y.tolist()


@pytest.mark.parametrize("train_y", [np.full(24, 0.5), np.full(24, np.nan), np.ones((24, 3)), np.zeros((24, 0))],
                         ids=str)
def test_labels_that_come_back_by_no_formula(train_y):
    assert "give the number of its class for each image" in failure(save, "mine.npz", **arrays(train_y=train_y))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_what_is_no_plain_array_is_told_how_to_become_one():
    masked = np.ma.masked_less(images(24), 9)
    for changes, words in (({"train_x": list(images(24))}, "got list; write np.stack(train_x)"),
                           ({"train_y": Y.tolist()}, "got list; write np.array(train_y)"),
                           ({"train_x": masked}, "got MaskedArray; write train_x.filled(0)"),
                           ({"train_y": np.matrix(Y)}, "got matrix; write np.asarray(train_y)"),
                           ({"train_x": memoryview(b"")}, "got memoryview; write np.asarray(train_x)")):
        assert words in failure(save, "mine.npz", **arrays(**changes))


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_pictures_that_are_all_but_black_are_warned_about(part, tmp_path):
    black = images({"train": 24, "valid": 6, "test": 9}[part]) // 128
    path = write(tmp_path / "mine.npz", **{f"{part}_x": black})
    for call in (lambda: load(path), lambda: save(path, **arrays(**{f"{part}_x": black}), replace=True)):
        with pytest.warns(data.DataWarning, match=rf"{part}_x holds nothing but 0 and 1, black among .*255 \* images"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(write(path, **{f"{part}_x": black * 2}))


def test_the_program_warns_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.npz", train_x=images(24) // 128)
    assert main.main(["train", "bnn", "--data", "mine.npz", "--epochs", "1"]) == 0
    assert re.fullmatch(r"bnn-ref: warning: \S*mine\.npz: train_x holds [^\n]+\n", capsys.readouterr().err)


@pytest.mark.parametrize("key", data.REQUIRED)
def test_missing_arrays(key, tmp_path):
    message = failure(load, write(tmp_path / "mine.npz", **{key: None}, x_train=np.arange(3)))
    assert f"{key} missing" in message and "x_train" in message and "pydoc bnn_ref.data" in message


def test_an_empty_archive_and_one_of_many_names_make_short_messages(tmp_path):
    zipfile.ZipFile(tmp_path / "empty.npz", "w").close()
    assert "train_x, train_y, test_x, test_y missing, found nothing" in failure(load, tmp_path / "empty.npz")
    np.savez(tmp_path / "many.npz", **{f"array_{i}": np.arange(2) for i in range(300)})
    assert len(failure(load, tmp_path / "many.npz").removeprefix(str(tmp_path))) < 250


def test_pickled_objects_are_refused_and_never_unpickled(tmp_path):
    marker = tmp_path / "marker"
    path = write(tmp_path / "mine.npz", train_y=np.array([Evil(marker)] * 24, dtype=object))
    message = failure(load, path)
    assert "train_y.npy" in message and "pickled objects" in message
    assert not marker.exists()
    np.load(path, allow_pickle=True)["train_y"]
    assert marker.exists()  # the file does what it would do


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_pickle_in_place_of_the_archive_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(np.array([Evil(tmp_path / "marker")], dtype=object).dumps())
    assert "BadZipFile" in failure(load, path)
    assert not (tmp_path / "marker").exists()


# files that are no .npz files or were damaged

@pytest.mark.parametrize("content", [b"", b"PK", b"text\n" * 100, b"\x93NUMPY\1\0", b"PK\5\6" + bytes(17)])
def test_files_that_are_no_archives(content, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    message = failure(load, path)
    assert message.startswith(f"{path}: cannot be read as an .npz file (BadZipFile")
    assert "pydoc bnn_ref.data" in message


def test_a_folder_in_place_of_the_file(tmp_path):
    (tmp_path / "mine.npz").mkdir()
    assert "expected a regular file, got a folder" in failure(load, tmp_path / "mine.npz")


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "data").touch()
    assert "mnist.npz" in failure(load, "mnist", tmp_path / "data")


def test_members_that_are_no_arrays(tmp_path):
    path = write(tmp_path / "mine.npz", test_y=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("test_y.npy", "0 1 2\n")
    assert "cannot be read as an .npz file (ValueError" in failure(load, path)


@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_every_damage_is_a_data_error(savez, tmp_path):
    """Flipped bytes and cuts anywhere: an error in one line, or equal data where the byte does not matter."""
    path = tmp_path / "mine.npz"
    savez(path, **arrays())
    content, fingerprint, errors = path.read_bytes(), load(path).fingerprint, 0
    for position in range(0, len(content), 5):
        for damaged in (content[:position], flipped(content, position)):
            path.write_bytes(damaged)
            try:
                assert load(path).fingerprint == fingerprint
            except DataError as error:
                errors += 1
                assert len(str(error).splitlines()) == 1
    assert errors > len(content) / 5  # every cut and much more


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


def test_a_wrong_checksum_is_found(tmp_path):
    path = write(tmp_path / "mine.npz")
    content = path.read_bytes()
    path.write_bytes(flipped(content, content.index(images(24).tobytes()) + 100))
    assert "BadZipFile: Bad CRC-32 for file 'train_x.npy'" in failure(load, path)


def npy(shape, content):
    """A .npy file whose header claims `shape` of uint8."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def peak_memory(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(10**12, 1, 8, 8), (10**8, 1, 1, 1), (1, 1, 1, 1), (-1, -1, 5, 1)])
def test_headers_that_claim_another_size_are_refused_before_they_cost_memory(shape, tmp_path):
    path = write(tmp_path / "mine.npz", train_x=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_x.npy", npy(shape, bytes(10)))
    messages = []
    assert peak_memory(lambda: messages.append(failure(load, path))) < 2**20
    assert "train_x.npy claims" in messages[0] and str(shape) in messages[0]


@pytest.mark.parametrize("size, words", [(10**8, "cannot be read as an .npz file"), (10**9, "its arrays take 10000")])
def test_an_archive_that_lies_about_the_size_too_costs_no_memory(size, words, tmp_path):
    path = write(tmp_path / "mine.npz", train_x=None)
    member = npy((size, 1, 1, 1), bytes(10))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_x.npy", member)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"train_x.npy"))
    assert struct.unpack_from("<I", content, entry + 24) == (len(member),)
    struct.pack_into("<I", content, entry + 24, len(member) - 10 + size)
    path.write_bytes(content)
    messages = []
    assert peak_memory(lambda: messages.append(failure(load, path))) < 2**20
    assert words in messages[0]


def test_messages_of_several_lines_become_one():
    assert str(DataError("one\ntwo\r\nthree")) == "one two three"


# save

@pytest.mark.parametrize("changes", [{}, {"valid_x": None, "valid_y": None}])
def test_save_and_load_round_trip(changes, tmp_path):
    path = tmp_path / "new" / "folder" / "mine.npz"
    save(str(path), **arrays(**changes))
    assert load(path).fingerprint == load(write(tmp_path / "direct.npz", **changes)).fingerprint
    assert ("valid_x.npy" in zipfile.ZipFile(path).namelist()) == (not changes)
    assert os.listdir(path.parent) == ["mine.npz"]


def test_save_takes_labels_of_any_integer_dtype_and_strided_images(tmp_path):
    wide = images(24, (2, 3, 8))
    save(tmp_path / "a.npz", **arrays(train_x=wide[..., ::2], train_y=(np.arange(24) % 3).astype(">u2")))
    save(tmp_path / "b.npz", **arrays(train_x=wide[..., ::2].copy()))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_saved_bytes_do_not_depend_on_the_time(tmp_path):
    save(tmp_path / "mine.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "mine.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_save_refuses_what_load_could_not_find(tmp_path):
    assert "must end in .npz" in failure(save, tmp_path / "mine", **arrays())
    message = failure(save, tmp_path / "mine.npz", **arrays(train_y=[0, 1]))
    assert "train_y must be a NumPy array, got list" in message
    assert os.listdir(tmp_path) == []


def test_save_writes_over_nothing_unless_it_is_told_to(tmp_path):
    path = tmp_path / "mine.npz"
    save(path, **arrays())
    before = path.read_bytes()
    (tmp_path / "nowhere.npz").symlink_to(tmp_path / "not there")
    for taken in (path, tmp_path / "nowhere.npz"):
        with pytest.raises(DataError) as caught:
            save(taken, **arrays(train_x=images(24, seed=7)))
        assert str(caught.value) == (
            f"{taken} is there already: choose another name, or give replace=True to write over it")
    assert path.read_bytes() == before
    save(path, **arrays(train_x=images(24, seed=7)), replace=True)
    np.testing.assert_array_equal(load(path).train_x, images(24, seed=7))


class FailingFile(io.FileIO):
    """A file on a disk that is full, or with a user who presses Ctrl-C, after some bytes."""

    error = None

    def write(self, content):
        if self.tell() > 500:
            raise self.error
        return super().write(content)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file(error, tmp_path, monkeypatch):
    path = tmp_path / "mine.npz"
    save(path, **arrays())
    before = path.read_bytes()
    monkeypatch.setattr(FailingFile, "error", error)
    monkeypatch.setattr(files, "open", FailingFile, raising=False)
    with pytest.raises(type(error)):
        save(path, **arrays(train_x=images(24, seed=7)), replace=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["mine.npz"]


# atomic_write

def test_atomic_write_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(str(path)) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert [name.endswith(".part") for name in sorted(os.listdir(tmp_path))] == [False, True]
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_write_leaves_nothing_of_a_failure(error, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_atomic_write_syncs_then_replaces(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("fsync"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert calls == ["fsync", "replace"]


def test_a_failed_replace_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == ["folder"]


def test_atomic_write_needs_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "no" / "file"):
        pass


def test_two_writers_do_not_meet(tmp_path):
    with atomic_write(tmp_path / "file") as one, atomic_write(tmp_path / "file") as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "file").read_bytes() == b"one" and os.listdir(tmp_path) == ["file"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "file"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_import_is_light():
    code = "import sys, bnn_ref.data; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"numba", "matplotlib", "sklearn", "scipy", "urllib.request", "http.client"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_reading_holds_an_array_once(write, tmp_path):
    write(tmp_path / "a.npz", a=np.random.default_rng(0).integers(0, 256, 20_000_000, np.uint8))
    assert peak_memory(lambda: read_arrays(tmp_path / "a.npz")) < 1.6 * 20_000_000
    read_arrays(tmp_path / "a.npz")["a"][0] = 7                                # it is the reader's own
    empty = tmp_path / "empty.npz"
    write(empty, a=np.zeros((0, 3)), b=np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    assert read_arrays(empty)["a"].shape == (0, 3)
    np.testing.assert_array_equal(read_arrays(empty)["b"], np.arange(6.0).reshape(2, 3))
