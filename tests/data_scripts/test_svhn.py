"""svhn.py: the MAT files become one file with the papers' validation part, in hardly more memory than they take.
So does what it rests on, `data.save` of images that come in pieces.
"""

import hashlib
import io
import os
import sys
import tracemalloc
import zipfile
from dataclasses import replace

import fetch
import numpy as np
import pytest
import svhn

from bnn_ref import data
from bnn_ref.data import DataError, Pieces, load, save
from tests.data_scripts.test_mnist import InterruptedTerminal, Terminal

scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes the MAT files")
RNG = np.random.default_rng
COUNTS = {"train": 60, "extra": 130, "test": 25}  # in place of 73,257 and 531,131 and 26,032
HELD_OUT = {"train": 3, "extra": 2, "test": 0}  # in place of 400 and 200
PICTURES = {part: RNG(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
            for seed, (part, count) in enumerate(COUNTS.items())}
LABELS = {part: RNG(9).permutation(np.arange(count) % 10) for part, count in COUNTS.items()}


def variables(part):
    """X and y as the official files have them: X[row, column, channel, picture], and 10 for the digit 0."""
    x = np.empty((32, 32, 3, COUNTS[part]), np.uint8)
    for number, picture in enumerate(PICTURES[part]):
        for channel in range(3):
            x[:, :, channel, number] = picture[channel]
    y = [[label if label else 10] for label in LABELS[part].tolist()]
    return {"X": x, "y": np.array(y, np.uint8)}


def mat(values, compressed=True):
    stream = io.BytesIO()
    scipy_io.savemat(stream, values, do_compression=compressed)
    return stream.getvalue()


CONTENTS = {f"{part}_32x32.mat": mat(variables(part)) for part in COUNTS}


def declare(monkeypatch, contents):
    """Make these the official files."""
    table = [svhn.MatFile(name, COUNTS[name.partition("_")[0]], HELD_OUT[name.partition("_")[0]], len(content),
                          hashlib.sha256(content).hexdigest()) for name, content in contents.items()]
    monkeypatch.setattr(svhn, "FILES", tuple(table))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    declare(monkeypatch, CONTENTS)
    monkeypatch.setattr(svhn, "MIRRORS", ())
    monkeypatch.setattr(svhn, "STRETCH", 7)
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture
def official(tmp_path):
    folder = tmp_path / "official"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


def split():
    """(kept, drawn), each of (part, number), as Pylearn2 split them: by the labels in the files, from 1 to 10."""
    rng = np.random.RandomState(322)
    kept, drawn = [], []
    for part in ("train", "extra"):
        chosen = set()
        for label in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
            numbers = [n for n in range(COUNTS[part]) if LABELS[part][n] == label % 10]
            rng.shuffle(numbers)
            chosen.update(numbers[: HELD_OUT[part]])
        for n in range(COUNTS[part]):
            (drawn if n in chosen else kept).append((part, n))
    return kept, drawn


def check_written(out):
    dataset = load("svhn", out)
    assert (dataset.shape, dataset.classes) == ((3, 32, 32), 10)
    kept, drawn = split()
    test = [("test", n) for n in range(COUNTS["test"])]
    for which, expected in (("train", kept), ("valid", drawn), ("test", test)):
        x, y = getattr(dataset, f"{which}_x"), getattr(dataset, f"{which}_y")
        assert len(x) == len(expected)
        for picture, label, (part, number) in zip(x, y, expected, strict=True):
            assert label == LABELS[part][number]
            np.testing.assert_array_equal(picture, PICTURES[part][number])
    assert os.listdir(out) == ["svhn.npz"]


def run(*arguments):
    return svhn.main([str(argument) for argument in arguments])


def error_of(capsys, *arguments):
    """The last line on stderr, after at most the line of progress, of a run that exits with 2."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    *before, line = err.splitlines()
    assert out == "" and line.startswith("svhn.py: error: ") and len(before) <= 1
    assert not before or before[0].startswith("svhn.npz: converting ")
    return line


# svhn.py

def test_from_a_folder(official, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--from", official, "--out", out) == 0
    assert capsys.readouterr() == (f"wrote {out / 'svhn.npz'}\n",
                                   "svhn.npz: converting 140 training pictures takes minutes\n")
    check_written(out)
    assert sorted(os.listdir(official)) == sorted(CONTENTS)
    assert run("--out", out) == 0  # there is no mirror: nothing was fetched
    assert capsys.readouterr() == (f"{out / 'svhn.npz'} is already there and complete\n", "")


def test_every_digit_is_held_out_in_equal_number(official, tmp_path):
    run("--from", official, "--out", tmp_path / "out")
    assert np.bincount(load("svhn", tmp_path / "out").valid_y).tolist() == [5] * 10


def test_the_draw_never_changes():
    y = np.arange(60) % 10
    drawn = svhn.draw(y, 2, np.random.RandomState(322))
    assert drawn.dtype == bool and np.bincount(y[drawn]).tolist() == [2] * 10
    assert np.flatnonzero(drawn).tolist() == [
        0, 2, 3, 4, 5, 6, 17, 18, 21, 22, 24, 25, 31, 33, 38, 39, 47, 50, 56, 59]
    assert not svhn.draw(y, 0, np.random.RandomState(322)).any()


@pytest.mark.parametrize("stretch", [1, 60, 1000])
def test_the_stretch_does_not_matter(stretch, official, tmp_path, monkeypatch):
    monkeypatch.setattr(svhn, "STRETCH", stretch)
    run("--from", official, "--out", tmp_path / "out")
    check_written(tmp_path / "out")


@pytest.mark.parametrize("compressed, label_dtype", [(False, np.uint8), (True, np.float64)])
def test_other_kinds_of_the_same_mat_file(compressed, label_dtype, official, tmp_path, monkeypatch):
    contents = {}
    for part in COUNTS:
        values = variables(part) | {"y": variables(part)["y"].astype(label_dtype), "more": np.arange(3)}
        contents[f"{part}_32x32.mat"] = mat(values, compressed)
    declare(monkeypatch, contents)
    for name, content in contents.items():
        (official / name).write_bytes(content)
    assert run("--from", official, "--out", tmp_path / "out") == 0
    check_written(tmp_path / "out")


def test_progress_is_one_live_line_on_a_terminal(official, tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run("--from", official, "--out", tmp_path / "out") == 0
    start, *lines = terminal.getvalue().split("\r")
    assert start == "" and terminal.getvalue().count("\n") == 1
    assert lines[0] == "svhn.npz: 0 of 140 training pictures, 0 %"
    assert lines[-1] == "svhn.npz: 140 of 140 training pictures, 100 %\n" and len(lines) == 1 + 9 + 19
    amounts = [int(line.split()[1]) for line in lines]
    assert amounts == sorted(amounts) and lines[14].endswith(f" {amounts[14] * 100 // 140} %")


def test_download(server, tmp_path, monkeypatch, capsys):
    server.files = CONTENTS
    monkeypatch.setattr(svhn, "MIRRORS", (server.url("missing"), server.url("whole")))
    assert run("--out", tmp_path / "out") == 0
    check_written(tmp_path / "out")  # and no download is left there
    assert [name for kind, name, _ in server.requests if kind == "whole"] == list(CONTENTS)
    assert capsys.readouterr().err.count("\n") == 4


def test_an_interrupted_download_goes_on(server, tmp_path, monkeypatch):
    server.files = CONTENTS
    monkeypatch.setattr(svhn, "MIRRORS", (server.url("ranged"),))
    monkeypatch.setattr(fetch, "CHUNK", 1000)
    terminal = InterruptedTerminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        assert run("--out", tmp_path) == 130
    assert terminal.getvalue() == "\nsvhn.py: interrupted; the same command goes on where it stopped\n"
    assert (tmp_path / "svhn_download" / "train_32x32.mat.part").stat().st_size == 1000
    assert run("--out", tmp_path) == 0
    assert [request[2] for request in server.requests] == [None, "bytes=1000-", None, None]
    check_written(tmp_path)


def test_an_interrupted_conversion_keeps_the_downloads(server, tmp_path, monkeypatch):
    server.files = CONTENTS
    monkeypatch.setattr(svhn, "MIRRORS", (server.url("whole"),))

    def interrupted(*arguments):
        yield np.zeros((1, 3, 32, 32), np.uint8)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(svhn, "not_drawn", interrupted)
        assert run("--out", tmp_path) == 130
    assert os.listdir(tmp_path) == ["svhn_download"]
    assert sorted(os.listdir(tmp_path / "svhn_download")) == sorted(CONTENTS)
    assert run("--out", tmp_path) == 0 and len(server.requests) == 3
    check_written(tmp_path)


def test_mirrors_that_all_fail(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(svhn, "MIRRORS", (server.url("login_page"),))
    error = error_of(capsys, "--out", tmp_path)
    assert "no mirror delivered train_32x32.mat" in error and "--from DIR" in error


@pytest.mark.parametrize("name", CONTENTS)
def test_only_official_files_are_taken_and_others_not_read(name, official, tmp_path, capsys, monkeypatch):
    read = []
    mat_read = svhn.mat.read
    monkeypatch.setattr(svhn.mat, "read", lambda path, *rest: (read.append(path.name), mat_read(path, *rest))[1])
    good = CONTENTS[name]
    for content, words in ((good[:-1], f"has {len(good) - 1} bytes, expected {len(good)}"), (b"", "has 0 bytes"),
                           (good[:-1] + bytes([good[-1] ^ 1]), "has the sha256")):
        (official / name).write_bytes(content)
        error = error_of(capsys, "--from", official, "--out", tmp_path / "out")
        assert f"{official / name}: {words}" in error and "get the official file" in error
    assert name not in read and not (tmp_path / "out").exists()


def test_missing_files_and_folders(official, tmp_path, capsys):
    (official / "extra_32x32.mat").unlink()
    error = error_of(capsys, "--from", official, "--out", tmp_path / "out")
    assert f"{official}: holds none of extra_32x32.mat" in error
    error = error_of(capsys, "--from", tmp_path / "no", "--out", tmp_path / "out")
    assert f"{tmp_path / 'no'}: no such folder" in error
    assert not (tmp_path / "out").exists()


GOOD = CONTENTS["train_32x32.mat"]
TRAIN = variables("train")
X_SHAPE, Y_SHAPE = "expected uint8 of shape (32, 32, 3, 60)", "expected uint8 or float64 of shape (60, 1)"
UNREADABLE = "cannot be read as a MAT file of version 5"
BAD_MATS = {
    "empty": (b"", UNREADABLE),
    "header cut": (GOOD[:100], UNREADABLE),
    "header only": (GOOD[:128], "has as X nothing", X_SHAPE),
    "cut in X": (GOOD[: len(GOOD) // 2], UNREADABLE),
    "cut in y": (GOOD[:-10], UNREADABLE),
    "garbage in X": (GOOD[:20_000] + b"\x55" * 99 + GOOD[20_099:], UNREADABLE),
    "garbage after the header": (GOOD[:136] + b"\xff" * 99 + GOOD[235:], UNREADABLE),
    "text": (b"<html>404</html>" * 50, UNREADABLE),
    "version 7.3": (GOOD[:124] + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n", UNREADABLE, "which is HDF5"),
    "no X": (mat({"y": TRAIN["y"], "x": TRAIN["X"]}), "has as X nothing", X_SHAPE),
    "no y": (mat({"X": TRAIN["X"]}), "has as y nothing", Y_SHAPE),
    "pictures first": (mat(TRAIN | {"X": TRAIN["X"].transpose(3, 0, 1, 2)}), "X uint8 of shape (60, 32, 32, 3)"),
    "other count": (mat(TRAIN | {"X": TRAIN["X"][..., 1:]}), "X uint8 of shape (32, 32, 3, 59)", X_SHAPE),
    "float pictures": (mat(TRAIN | {"X": TRAIN["X"] / 255}), "X float64 of shape (32, 32, 3, 60)", X_SHAPE),
    "wide pictures": (mat(TRAIN | {"X": TRAIN["X"].astype(np.uint16)}), "X uint16 of shape (32, 32, 3, 60)", X_SHAPE),
    "text as X": (mat(TRAIN | {"X": "text"}), "X no real numbers of shape (1, 4)", X_SHAPE),
    "other labels": (mat(TRAIN | {"y": TRAIN["y"].T}), "y uint8 of shape (1, 60)", Y_SHAPE),
    "fewer labels": (mat(TRAIN | {"y": TRAIN["y"][1:]}), "y uint8 of shape (59, 1)", Y_SHAPE),
    "int16 labels": (mat(TRAIN | {"y": TRAIN["y"].astype(np.int16)}), "y int16 of shape (60, 1)", Y_SHAPE),
    "cells as labels": (mat(TRAIN | {"y": TRAIN["y"].astype(object)}), "y no real numbers of shape (60, 1)", Y_SHAPE),
    "labels 0 .. 9": (mat(TRAIN | {"y": TRAIN["y"] % 10}), "has labels 0 .. 9, expected 1 .. 10"),
    "label 11": (mat(TRAIN | {"y": np.where(TRAIN["y"] == 1, 11, TRAIN["y"]).astype(np.uint8)}), "has labels 2 .. 11"),
}


@pytest.mark.parametrize("case", BAD_MATS)
def test_files_of_another_content_are_one_line(case, official, tmp_path, capsys, monkeypatch):
    """Even where the checksum were right: the reader stands on its own."""
    content, *words = BAD_MATS[case]
    declare(monkeypatch, CONTENTS | {"train_32x32.mat": content})
    path = official / "train_32x32.mat"
    path.write_bytes(content)
    error = error_of(capsys, "--from", official, "--out", tmp_path / "out")
    assert error.startswith(f"svhn.py: error: {path}: ") and all(word in error for word in words), error
    assert error.endswith("; get the official file") and not (tmp_path / "out").exists()


def test_a_sparse_matrix_as_labels(official, tmp_path, capsys, monkeypatch):
    import scipy.sparse

    content = mat(TRAIN | {"y": scipy.sparse.csc_matrix(TRAIN["y"].astype(float))})
    declare(monkeypatch, CONTENTS | {"train_32x32.mat": content})
    (official / "train_32x32.mat").write_bytes(content)
    assert Y_SHAPE in error_of(capsys, "--from", official, "--out", tmp_path / "out")


def test_too_little_memory_is_one_line(official, tmp_path, capsys, monkeypatch):
    def read(*arguments):
        raise MemoryError

    monkeypatch.setattr(svhn.mat, "read", read)
    assert "not enough memory" in error_of(capsys, "--from", official, "--out", tmp_path / "out")


def test_memory_holds_the_pictures_once(tmp_path, monkeypatch):
    counts = (100, 1500, 100)
    contents = {}
    for name, count in zip(CONTENTS, counts, strict=True):
        x = RNG(0).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        contents[name] = mat({"X": x, "y": np.arange(count)[:, None] % 10 + 1.0})
        (tmp_path / name).write_bytes(contents[name])
    declare(monkeypatch, contents)
    files = tuple(replace(file, count=count) for file, count in zip(svhn.FILES, counts, strict=True))
    monkeypatch.setattr(svhn, "FILES", files)
    monkeypatch.setattr(svhn, "STRETCH", 100)
    monkeypatch.setattr(data, "STRETCH", 100)
    size = sum(counts) * 3072
    tracemalloc.start()
    try:
        svhn.convert(tmp_path, None, tmp_path / "svhn.npz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size < peak < 1.5 * size  # a second copy of the extra part alone were 1.9
    assert len(load("svhn", tmp_path).train_y) == 1600 - 50


def test_the_table_of_the_official_files(monkeypatch):
    monkeypatch.undo()
    assert [(file.name, file.count, file.held_out, file.size, file.sha256) for file in svhn.FILES] == [
        ("train_32x32.mat", 73_257, 400, 182_040_794,
         "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
        ("extra_32x32.mat", 531_131, 200, 1_329_278_602,
         "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
        ("test_32x32.mat", 26_032, 0, 64_275_384,
         "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b")]
    assert svhn.MIRRORS == ("http://ufldl.stanford.edu/housenumbers/",) and svhn.SHAPE == (3, 32, 32)
    calls = []
    monkeypatch.setattr(svhn.script, "main", lambda *arguments: calls.append(arguments))
    svhn.main(["--out", "x"])
    (name, _, shape, counts, convert, arguments), = calls
    assert (name, shape, counts, arguments) == ("svhn", (3, 32, 32), (598_388, 6_000, 26_032), ["--out", "x"])


@pytest.mark.skipif("BNN_REF_SVHN" not in os.environ, reason="BNN_REF_SVHN (a folder) is not set")
def test_the_official_files(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert svhn.main(["--from", os.environ["BNN_REF_SVHN"], "--out", str(tmp_path)]) == 0
    dataset = load("svhn", tmp_path)
    assert [len(y) for y in (dataset.train_y, dataset.valid_y, dataset.test_y)] == [598_388, 6_000, 26_032]
    assert np.bincount(dataset.valid_y).tolist() == [600] * 10


# data.save of images in pieces

def arrays(**changes):
    x, y = RNG(0).integers(0, 256, (30, 2, 3, 4), dtype=np.uint8), np.arange(30) % 3
    good = {"train_x": x, "train_y": y, "valid_x": x[:6], "valid_y": y[:6], "test_x": x[6:15], "test_y": y[6:15]}
    return good | changes


def pieces(x, *cuts):
    return Pieces(x.shape, iter(np.split(x, cuts)))


@pytest.mark.parametrize("cuts", [(), (1,), (10, 20), (0, 30), (5, 5, 5, 29), tuple(range(30))])
def test_pieces_give_the_bytes_of_the_whole(cuts, tmp_path, monkeypatch):
    save(tmp_path / "whole.npz", **arrays())
    x = np.asfortranarray(arrays()["train_x"])
    save(tmp_path / "pieces.npz", **arrays(train_x=pieces(x, *cuts), valid_x=pieces(x[:6], 2), test_x=pieces(x[6:15])))
    assert (tmp_path / "pieces.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert load(tmp_path / "pieces.npz").fingerprint == load(tmp_path / "whole.npz").fingerprint
    monkeypatch.setattr(data, "STRETCH", 7)
    save(tmp_path / "stretches.npz", **arrays())
    assert (tmp_path / "stretches.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_what_is_saved_is_what_numpy_would_save(tmp_path):
    save(tmp_path / "ours.npz", **arrays(train_y=arrays()["train_y"].astype(">u2")))
    np.savez_compressed(tmp_path / "numpy.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "ours.npz") as ours, zipfile.ZipFile(tmp_path / "numpy.npz") as theirs:
        assert ours.namelist() == theirs.namelist() == [f"{key}.npy" for key in data.KEYS]
        for name in ours.namelist():
            assert ours.read(name) == theirs.read(name)


X = arrays()["train_x"]
BROKEN = {
    "fewer": (Pieces((30, 2, 3, 4), [X[:29]]), "the pieces of train_x hold 29 images, expected 30"),
    "more": (Pieces((30, 2, 3, 4), [X, X[:1]]), "the pieces of train_x hold 31 images, expected 30"),
    "none": (Pieces((30, 2, 3, 4), []), "the pieces of train_x hold 0 images, expected 30"),
    "other image": (Pieces((30, 2, 3, 4), [X[:15], X[15:].transpose(0, 1, 3, 2)]),
                    "a piece of train_x is uint8 of shape (15, 2, 4, 3), expected uint8 images of shape (2, 3, 4)"),
    "other dtype": (Pieces((30, 2, 3, 4), [X.astype(np.int8)]), "a piece of train_x is int8 of shape (30, 2, 3, 4)"),
    "other number of labels": (Pieces((29, 2, 3, 4), [X[:29]]), "train_x has 29 images but train_y 30 labels"),
    "no channels": (Pieces((30, 3, 4), [X[:, 0]]), "train_x must be uint8 of shape N x C x H x W, got uint8 of"),
    "empty": (Pieces((0, 2, 3, 4), []), "train_x is empty"),
    "unlike valid_x": (Pieces((30, 2, 4, 3), [X.transpose(0, 1, 3, 2)]), "images of valid_x have the shape (2, 3, 4)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_promises_leave_the_old_file(case, tmp_path):
    value, words = BROKEN[case]
    path = tmp_path / "mine.npz"
    path.write_bytes(b"old")
    with pytest.raises(DataError) as caught:
        save(path, **arrays(train_x=value), replace=True)
    assert str(caught.value).startswith(f"{path}: ") and words in str(caught.value)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["mine.npz"]


def test_labels_do_not_come_in_pieces(tmp_path):
    with pytest.raises(DataError, match="test_y must be a NumPy array, got Pieces"):
        save(tmp_path / "mine.npz", **arrays(test_y=Pieces((9,), [arrays()["test_y"]])))


def test_what_is_known_before_the_pieces_is_checked_before_them(tmp_path):
    def never():
        raise AssertionError("a piece was made for nothing")
        yield

    with pytest.raises(DataError, match="class 1 has no training image"):
        save(tmp_path / "mine.npz", **arrays(train_x=Pieces(X.shape, never()), train_y=np.arange(30) % 3 * 2))


def test_an_interruption_between_pieces_leaves_the_old_file(tmp_path):
    def interrupted():
        yield X[:20]
        raise KeyboardInterrupt

    path = tmp_path / "mine.npz"
    save(path, **arrays())
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        save(path, **arrays(train_x=Pieces(X.shape, interrupted())), replace=True)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["mine.npz"]
