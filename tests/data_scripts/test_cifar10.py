"""cifar10.py: both official forms, from archives and folders, give one file; whatever is in them, none of it is run."""

import gzip
import hashlib
import io
import os
import pickle
import pickletools
import struct
import sys
import tarfile
import zlib
from dataclasses import replace

import batch_pickle
import cifar10
import fetch
import numpy as np
import pytest

from bnn_ref.data import DataError, load
from bnn_ref.files import read_arrays
from tests.data_scripts.test_mnist import InterruptedTerminal

COUNT = 20  # pictures of a batch, in place of 10,000
PIXELS = np.random.default_rng(0).integers(0, 256, (6, COUNT, 3072), dtype=np.uint8)
LABELS = np.random.default_rng(1).permuted(np.tile(np.arange(COUNT) % 10, (6, 1)), axis=1)
BIN, PY = cifar10.FORMS


# The stand-ins, written byte by byte from the description of the two forms

def records(pixels, labels):
    return b"".join(bytes([label]) + row.tobytes() for row, label in zip(pixels, labels, strict=True))


def text(string):
    """The opcodes of a Python 2 str."""
    return b"U" + bytes([len(string)]) + string.encode()


def integer(value):
    return b"J" + struct.pack("<i", value)


def array(pixels, dtype="u1"):
    """The opcodes by which NumPy of Python 2 restores a 2-d array."""
    shape = b"(" + b"".join(map(integer, pixels.shape)) + b"t"
    content = pixels.tobytes()
    order = "|" if dtype == "u1" else "<"
    restored = b"cnumpy\ndtype\n" + text(dtype) + b"K\0K\1\x87R(K\3" + text(order) + b"NNN" + 2 * integer(-1) + b"K\0tb"
    return (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text("b") + b"\x87R"
            + b"(K\1" + shape + restored + b"\x89T" + struct.pack("<I", len(content)) + content + b"tb")


def numbers(values):
    return b"](" + b"".join(map(integer, values)) + b"e"


def pickled(**opcodes):
    """A dict as cPickle of Python 2 writes it, protocol 2."""
    items = b"".join(text(key) + value for key, value in opcodes.items())
    return b"\x80\x02}(" + items + b"u."


def batch(pixels, labels):
    return pickled(batch_label=text("training batch"), labels=numbers(labels), data=array(pixels),
                   filenames=b"](" + b"".join(text(f"picture_{i}.png") for i in range(len(labels))) + b"e")


def contents(form):
    """{name: bytes} of the six batches and of the other files beside them."""
    write = records if form.folder == BIN.folder else batch
    batches = {name: write(PIXELS[i], LABELS[i].tolist()) for i, name in enumerate(form.batches)}
    return {"readme.html": b"<html>", **dict(reversed(batches.items())), "batches.meta": b"cos\nsystem\n."}


def tar(members):
    """A .tar.gz of [(TarInfo, bytes)]."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def info(name, size=0, type=tarfile.REGTYPE, linkname=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, type, linkname
    return member


def members(form, **changes):
    """The members of an official archive; content of a batch by its position: b0=..., None removes it."""
    files = contents(form)
    for key, value in changes.items():
        files[form.batches[int(key[1:])]] = value
    entries = [(info(f"{form.folder}/{name}", len(content)), content)
               for name, content in files.items() if content is not None]
    return [(info(form.folder, type=tarfile.DIRTYPE), b""), *entries]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar10, "COUNT", COUNT)
    monkeypatch.setattr(cifar10, "VALIDATION", 7)
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture
def official(monkeypatch):
    """A function that makes the bytes the official archive of a form."""
    def declare(form, content):
        declared = replace(form, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        forms = tuple(declared if other.archive == form.archive else other for other in cifar10.FORMS)
        monkeypatch.setattr(cifar10, "FORMS", forms)
        return content
    return declare


def unpack(form, folder):
    folder.mkdir(parents=True)
    for name, content in contents(form).items():
        (folder / name).write_bytes(content)


def check_written(out, others=()):
    dataset = load("cifar10", out)
    assert (dataset.shape, dataset.classes) == ((3, 32, 32), 10)
    x = PIXELS.reshape(6 * COUNT, 3, 32, 32)
    for part, span in (("train", slice(93)), ("valid", slice(93, 100)), ("test", slice(100, 120))):
        np.testing.assert_array_equal(getattr(dataset, f"{part}_x"), x[span])
        np.testing.assert_array_equal(getattr(dataset, f"{part}_y"), LABELS.reshape(-1)[span])
    assert sorted(os.listdir(out)) == sorted(["cifar10.npz", *others])


def run(*arguments):
    return cifar10.main([str(argument) for argument in arguments])


def error_of(capsys, *arguments):
    """The one line of the error, which is the last on stderr, of a run that exits with 2."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    *before, line = err.splitlines()
    assert out == "" and line.startswith("cifar10.py: error: ") and len(before) <= 1
    assert not before or before[0].startswith("unverified: ")
    return line


# what is accepted

def test_a_picture_by_hand(tmp_path):
    """One record in the paper's words: a label, then 1024 red, 1024 green and 1024 blue bytes, row by row."""
    unpack(BIN, tmp_path / "in")
    first = bytes([LABELS[0, 0]]) + bytes(range(32)) + bytes(992) + b"\7" * 1024 + b"\x09" * 1023 + b"\xff"
    path = tmp_path / "in" / "data_batch_1.bin"
    path.write_bytes(first + path.read_bytes()[3073:])
    assert run("--from", tmp_path / "in", "--out", tmp_path / "out") == 0
    red, green, blue = load("cifar10", tmp_path / "out").train_x[0]
    assert red[0].tolist() == list(range(32)) and not red[1:].any()
    assert (green == 7).all() and blue[31, 31] == 255 and (blue.ravel()[:-1] == 9).all()


@pytest.mark.parametrize("form", [BIN, PY], ids=["binary", "python"])
def test_from_an_archive(form, official, tmp_path, capsys):
    (tmp_path / form.archive).write_bytes(official(form, tar(members(form))))
    assert run("--from", tmp_path, "--out", tmp_path / "out") == 0
    assert capsys.readouterr() == (f"wrote {tmp_path / 'out' / 'cifar10.npz'}\n", "")
    check_written(tmp_path / "out")
    assert "source" not in read_arrays(tmp_path / "out" / "cifar10.npz")
    assert sorted(os.listdir(tmp_path)) == sorted([form.archive, "out"])  # nothing was unpacked or removed


@pytest.mark.parametrize("inside", [True, False], ids=["its folder", "the folder around"])
@pytest.mark.parametrize("form", [BIN, PY], ids=["binary", "python"])
def test_from_an_unpacked_folder_is_said_to_be_unverified(form, inside, tmp_path, capsys):
    folder = tmp_path / form.folder
    unpack(form, folder)
    assert run("--from", folder if inside else tmp_path, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert out == f"wrote {tmp_path / 'out' / 'cifar10.npz'}\n" and err.count("\n") == 1
    sums = "".join(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in form.batches)
    assert err == (f"unverified: {form.batches[0]} to {form.batches[-1]}: sha256 "
                   f"{hashlib.sha256(sums.encode()).hexdigest()}, expected: none is known to compare it with\n")
    check_written(tmp_path / "out")
    assert str(read_arrays(tmp_path / "out" / "cifar10.npz")["source"]) == err.strip()
    assert sorted(os.listdir(folder)) == sorted(contents(form))


def test_archives_come_before_folders_and_records_before_pickles(official, tmp_path):
    wanted = [BIN.archive, PY.archive, f"{BIN.folder}/data_batch_1.bin", "data_batch_1.bin",
              f"{PY.folder}/data_batch_1", "data_batch_1"]
    for name in wanted:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in wanted:
        assert cifar10.find(tmp_path) == tmp_path / name
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"holds none of {BIN.archive}, {PY.archive}, {BIN.folder}/data_batch_1.bin"):
        cifar10.find(tmp_path)


def test_labels_0_and_9_of_either_form_pass_and_int64_is_stored(tmp_path):
    unpack(PY, tmp_path / "in")
    run("--from", tmp_path / "in", "--out", tmp_path / "out")
    dataset = load("cifar10", tmp_path / "out")
    assert dataset.train_y.dtype == np.int64 and set(dataset.train_y) == set(range(10))


def test_a_complete_file_is_left_alone(tmp_path, capsys):
    unpack(BIN, tmp_path / "in")
    run("--from", tmp_path / "in", "--out", tmp_path / "out")
    capsys.readouterr()
    assert run("--out", tmp_path / "out") == 0  # there is no mirror: nothing was fetched
    assert capsys.readouterr() == (f"{tmp_path / 'out' / 'cifar10.npz'} is already there and complete\n", "")


# downloads

def test_download_takes_the_python_archive_and_leaves_nothing(server, official, tmp_path, monkeypatch, capsys):
    server.files = {PY.archive: official(PY, tar(members(PY)))}
    monkeypatch.setattr(cifar10, "MIRRORS", (server.url("missing"), server.url("whole")))
    monkeypatch.setattr(cifar10, "OFFICIAL", server.url("silent"))
    assert run("--out", tmp_path / "out") == 0
    check_written(tmp_path / "out")
    assert [request[:2] for request in server.requests] == [("missing", PY.archive), ("whole", PY.archive)]
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and server.url("whole") in err


def test_the_slow_official_server_is_said_to_be_slow(server, official, tmp_path, monkeypatch, capsys):
    server.files = {PY.archive: official(PY, tar(members(PY)))}
    monkeypatch.setattr(cifar10, "OFFICIAL", server.url("whole"))
    monkeypatch.setattr(cifar10, "MIRRORS", (server.url("dropped"), cifar10.OFFICIAL))
    assert run("--out", tmp_path / "out") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and server.url("dropped") in lines[0] and server.url("whole") in lines[2]
    assert lines[1].startswith(f"{PY.archive}: the official server sends about 60 kB/s")


def test_an_interrupted_download_goes_on(server, official, tmp_path, monkeypatch):
    server.files = {PY.archive: official(PY, tar(members(PY)))}
    monkeypatch.setattr(cifar10, "MIRRORS", (server.url("ranged"),))
    monkeypatch.setattr(fetch, "CHUNK", 1000)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", InterruptedTerminal())
        assert run("--out", tmp_path) == 130
    assert (tmp_path / "cifar10_download" / f"{PY.archive}.part").stat().st_size == 1000
    assert run("--out", tmp_path) == 0
    assert [request[2] for request in server.requests] == [None, "bytes=1000-"]
    check_written(tmp_path)


def test_mirrors_that_all_fail(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cifar10, "MIRRORS", (server.url("missing"), server.url("login_page")))
    error = error_of(capsys, "--out", tmp_path)
    assert "no mirror delivered cifar-10-python.tar.gz" in error and "404" in error and "--from DIR" in error


# what is refused

@pytest.mark.parametrize("form", [BIN, PY], ids=["binary", "python"])
def test_an_archive_that_is_not_the_official_one_is_not_opened(form, official, tmp_path, capsys, monkeypatch):
    good = official(form, tar(members(form)))
    monkeypatch.setattr(cifar10.tarfile, "open", None)
    for content, words in ((good[:-1], f"has {len(good) - 1} bytes, expected {len(good)}"),
                           (good[:-1] + bytes([good[-1] ^ 1]), "has the sha256"), (b"", "has 0 bytes")):
        (tmp_path / form.archive).write_bytes(content)
        error = error_of(capsys, "--from", tmp_path, "--out", tmp_path / "out")
        assert f"{tmp_path / form.archive}: {words}" in error and "get the official file" in error
    assert not (tmp_path / "out").exists()


FIRST = f"{BIN.folder}/data_batch_1.bin"
GOOD = contents(BIN)["data_batch_1.bin"]
BAD_MEMBERS = {
    "symbolic link": ([(info(FIRST, type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")], "expected only plain files"),
    "hard link": ([(info(FIRST, type=tarfile.LNKTYPE, linkname="readme.html"), b"")], "expected only plain files"),
    "fifo": ([(info(FIRST, type=tarfile.FIFOTYPE), b"")], "expected only plain files"),
    "folder as a batch": ([(info(FIRST, type=tarfile.DIRTYPE), b"")], "expected only plain files"),
    "link beside": ([(info(f"{BIN.folder}/x", type=tarfile.SYMTYPE, linkname="/"), b"")], "expected only plain files"),
    "out of the folder": ([(info("../evil"), b"")], "'../evil', expected only plain files"),
    "out of the folder behind it": ([(info(f"{BIN.folder}/../data_batch_1.bin"), b"")], "expected only plain files"),
    "absolute": ([(info(f"/{FIRST}"), b"")], "expected only plain files"),
    "other folder": ([(info("other/data_batch_1.bin", len(GOOD)), GOOD)], "'other/data_batch_1.bin', expected only"),
    "deeper": ([(info(f"{BIN.folder}/{FIRST}", len(GOOD)), GOOD)], "expected only plain files"),
    "a file as the folder": ([(info(BIN.folder), b"")], "expected only plain files"),
    "twice": ([(info(FIRST, len(GOOD)), GOOD)], "twice; get the official file"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_archives_with_odd_members_are_refused(case, official, tmp_path, capsys):
    added, words = BAD_MEMBERS[case]
    first = [] if case == "twice" else [entry for entry in members(BIN) if entry[0].name != FIRST]
    content = official(BIN, tar([*(first or members(BIN)), *added]))
    (tmp_path / BIN.archive).write_bytes(content)
    error = error_of(capsys, "--from", tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path / BIN.archive}: has the member {added[0][0].name!r}" in error and words in error
    assert os.listdir(tmp_path) == [BIN.archive]


def garbage_in_a_batch(raw):
    packer = zlib.compressobj(wbits=31)
    return packer.compress(raw[:30_000]) + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 99


@pytest.mark.parametrize("damage, words", [
    (garbage_in_a_batch, "cannot be read to its end (Error -3 while decompressing data: invalid block type)"),
    (lambda raw: gzip.compress(raw)[:-30], "cannot be read to its end"),
    (lambda raw: gzip.compress(raw[: len(raw) // 2 // 512 * 512 + 100]), "cannot be read to its end"),
    (lambda raw: gzip.compress(raw)[:2000] + bytes(99) + gzip.compress(raw)[2099:], "; get the "),
    (lambda raw: b"no gzip at all", "cannot be read to its end"),
    (lambda raw: gzip.compress(b"no tar at all" * 100), "cannot be read to its end"),
    (lambda raw: gzip.compress(bytes(10240)), "lacks data_batch_1.bin, data_batch_2.bin"),
], ids=["garbage", "cut gzip", "cut tar", "damaged", "text", "gzip of text", "empty tar"])
def test_damaged_archives_are_refused(damage, words, official, tmp_path, capsys):
    content = official(BIN, damage(gzip.decompress(tar(members(BIN)))))
    (tmp_path / BIN.archive).write_bytes(content)
    error = error_of(capsys, "--from", tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path / BIN.archive}: " in error and words in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize("position", range(6))
def test_every_batch_must_be_there(position, official, tmp_path, capsys):
    content = official(BIN, tar(members(BIN, **{f"b{position}": None})))
    (tmp_path / BIN.archive).write_bytes(content)
    assert f"lacks {BIN.batches[position]}; get the official" in error_of(capsys, "--from", tmp_path, "--out", tmp_path)
    if position:  # the first one is how a folder is recognised
        unpack(BIN, tmp_path / "in")
        (tmp_path / "in" / BIN.batches[position]).unlink()
        error = error_of(capsys, "--from", tmp_path / "in", "--out", tmp_path)
        assert f"{tmp_path / 'in'}: holds none of {BIN.batches[position]}" in error


def other_labels(*labels):
    return [*LABELS[0, : COUNT - len(labels)].tolist(), *labels]


BAD_RECORDS = {
    "empty": (b"", "has 0 bytes, expected 61460"),
    "one byte less": (GOOD[:-1], "has 61459 bytes, expected 61460"),
    "one record less": (GOOD[:-3073], "has 58387 bytes, expected 61460"),
    "one byte more": (GOOD + b"\0", "has 61461 bytes, expected 61460 at most"),
    "label 10": (records(PIXELS[0], other_labels(10)), "has labels 0 .. 10, expected 0 .. 9"),
    "label 255": (records(PIXELS[0], other_labels(255, 0)), "has labels 0 .. 255, expected 0 .. 9"),
}
DATA, NUMBERS = array(PIXELS[0]), numbers(LABELS[0].tolist())
UNREADABLE, NO_LABELS = "cannot be read as a pickled batch (", "has as labels something else than a list of 20 integers"
BAD_PICKLES = {
    "empty": (b"", UNREADABLE), "text": (b"<html>404</html>", UNREADABLE),
    "cut": (contents(PY)["data_batch_1"][:-1], UNREADABLE),
    "cut in the pixels": (contents(PY)["data_batch_1"][:5000], UNREADABLE),
    "no dict": (b"\x80\x02" + NUMBERS + b".", UNREADABLE + "holds no dict with data and labels)"),
    "no data": (pickled(labels=NUMBERS), UNREADABLE + "holds no dict with data and labels)"),
    "no labels": (pickled(data=DATA), UNREADABLE + "holds no dict with data and labels)"),
    "two values": (b"\x80\x02N" + contents(PY)["data_batch_1"][2:], UNREADABLE),
    "no value": (b"\x80\x02.", UNREADABLE),
    "no array": (pickled(data=NUMBERS, labels=NUMBERS), UNREADABLE + "expected a two-dimensional array, got list)"),
    "nothing": (pickled(data=b"N", labels=NUMBERS), UNREADABLE + "expected a two-dimensional array, got NoneType)"),
    "fewer pictures": (pickled(data=array(PIXELS[0, 1:]), labels=NUMBERS), "has as data uint8 of shape (19, 3072)"),
    "fewer pixels": (pickled(data=array(PIXELS[0, :, 1:]), labels=NUMBERS), "has as data uint8 of shape (20, 3071)"),
    "wider pixels": (pickled(data=array(PIXELS[0, :, 1536:].astype("<u2"), "u2"), labels=NUMBERS),
                     UNREADABLE + "expected an array of 'u1', got 'u2')"),
    "signed pixels": (pickled(data=array(PIXELS[0], "i1"), labels=NUMBERS), "expected an array of 'u1', got 'i1'"),
    "objects": (pickled(data=array(PIXELS[0], "O8"), labels=NUMBERS), "expected an array of 'u1', got 'O8'"),
    "fewer labels": (pickled(data=DATA, labels=numbers([1] * 19)), NO_LABELS),
    "one label": (pickled(data=DATA, labels=b"K\1"), NO_LABELS),
    "text labels": (pickled(data=DATA, labels=b"](" + text("1") * 20 + b"e"), NO_LABELS),
    "bool labels": (pickled(data=DATA, labels=b"](" + b"\x88\x89" * 10 + b"e"), NO_LABELS),
    "float labels": (pickled(data=DATA, labels=b"](" + (b"G" + bytes(8)) * 20 + b"e"), "has the opcode BINFLOAT"),
    "ragged labels": (pickled(data=DATA, labels=b"](K\1" + numbers([1, 2]) + b"e"), NO_LABELS),
    "label 10": (pickled(data=DATA, labels=numbers(other_labels(10))), "has labels 0 .. 10, expected 0 .. 9"),
    "label -1": (pickled(data=DATA, labels=numbers(other_labels(-1))), "has labels -1 .. 9, expected 0 .. 9"),
    "too long": (contents(PY)["data_batch_1"] + bytes(21000), "bytes, expected 81920 at most"),
}
BAD_BATCHES = [(BIN, *case) for case in BAD_RECORDS.values()] + [(PY, *case) for case in BAD_PICKLES.values()]


@pytest.mark.parametrize("form, content, words", BAD_BATCHES, ids=[*BAD_RECORDS, *BAD_PICKLES])
def test_bad_batches_are_refused_in_folders_and_archives(form, content, words, official, tmp_path, capsys):
    unpack(form, tmp_path / "in")
    path = tmp_path / "in" / form.batches[0]
    path.write_bytes(content)
    error = error_of(capsys, "--from", tmp_path / "in", "--out", tmp_path / "out")
    assert error.startswith(f"cifar10.py: error: {path}: ") and words in error and "; get the official file" in error
    archive = tmp_path / form.archive
    archive.write_bytes(official(form, tar(members(form, b0=content))))
    error = error_of(capsys, "--from", tmp_path, "--out", tmp_path / "out")
    assert error.startswith(f"cifar10.py: error: {archive}: {form.folder}/{form.batches[0]}: ") and words in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("form", [BIN, PY], ids=["binary", "python"])
def test_every_batch_is_checked(form, position, tmp_path, capsys):
    unpack(form, tmp_path / "in")
    path = tmp_path / "in" / form.batches[position]
    path.write_bytes(path.read_bytes()[:-2])
    assert f"{path}: " in error_of(capsys, "--from", tmp_path / "in", "--out", tmp_path / "out")


def test_a_file_that_is_too_long_is_not_read(tmp_path, capsys):
    unpack(BIN, tmp_path / "in")
    os.truncate(tmp_path / "in" / "data_batch_1.bin", 1 << 40)  # a hole: no disk, but a terabyte of memory
    assert f"has {1 << 40} bytes" in error_of(capsys, "--from", tmp_path / "in", "--out", tmp_path / "out")


# pickles that want to do something

class Evil:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_pickle_that_runs_code_is_refused_before_it_does(tmp_path, capsys):
    unpack(PY, tmp_path / "in")
    marker = tmp_path / "marker"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps({"data": Evil(marker)}, protocol)
        (tmp_path / "in" / "data_batch_1").write_bytes(content)
        error = error_of(capsys, "--from", tmp_path / "in", "--out", tmp_path / "out")
        assert UNREADABLE in error and "get the official file" in error
        assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()  # the file does what it would do


@pytest.mark.parametrize("module, name", [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("__builtin__", "eval"), ("builtins", "getattr"),
    ("numpy", "load"), ("numpy", "memmap"), ("numpy.core.multiarray", "fromfile"), ("subprocess", "Popen"),
    ("numpy", "ndarray.tofile"), ("numpy", "os.system"), ("copyreg", "_reconstructor")])
def test_only_three_names_can_be_asked_for(module, name, tmp_path, capsys):
    unpack(PY, tmp_path / "in")
    (tmp_path / "in" / "data_batch_1").write_bytes(b"\x80\x02c" + f"{module}\n{name}\n.".encode())
    error = error_of(capsys, "--from", tmp_path / "in", "--out", tmp_path / "out")
    assert f"{UNREADABLE}asks for '{module} {name}', which is never loaded); get the official file" in error


READ = set("\x80.JKMUTXN\x88\x89}])qrhj(\x85\x86\x87taesucRb")


@pytest.mark.parametrize("opcode", sorted(set(pickletools.code2op) - READ))
def test_opcodes_that_these_files_do_not_have_are_refused(opcode):
    """Among them all that names, calls or makes objects in another way, and long numbers, which cost much."""
    argument = b"1\n1\n" + bytes(8)
    with pytest.raises(ValueError):
        batch_pickle.parse(b"\x80\x02](" + opcode.encode("latin-1") + argument + b".", 100)


FORGED = b"cnumpy\ndtype\n" + text("V8") + b"K\0K\1\x87R(K\4" + text("|") + b"NNNK\x08K\1J\x3f\0\0\0tb"


def test_bytes_do_not_become_pointers_to_objects():
    """A dtype whose state says that eight bytes are an object: NumPy believes it, and the process ends."""
    content = bytes(range(8)) * 384 * COUNT
    shape = b"(" + integer(COUNT) + integer(384) + b"t"
    made = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text("b") + b"\x87R(K\1" + shape
            + FORGED + b"\x89T" + struct.pack("<I", len(content)) + content + b"tb")
    with pytest.raises(DataError, match="expected an array of 'u1', got 'V8'"):
        cifar10.read_pickle(pickled(data=made, labels=NUMBERS))


@pytest.mark.parametrize("claim", [(1 << 30, 1 << 30), (-20, -3072), (0, 0), (-1, 3072), (2**31 - 1, 2**31 - 1)])
def test_a_shape_is_believed_only_where_the_bytes_are_there(claim):
    made = array(PIXELS[0]).replace(integer(COUNT) + integer(3072), b"".join(map(integer, claim)))
    with pytest.raises(DataError, match=f"claims {claim[0]} x {claim[1]} pixels and has {COUNT * 3072}"):
        cifar10.read_pickle(pickled(data=made, labels=NUMBERS))


def test_few_bytes_do_not_cost_much():
    """A byte can ask for a list, and lists that hold one another are as large as one likes to whom walks through."""
    with pytest.raises(ValueError, match="has more than 1000 opcodes"):
        batch_pickle.parse(b"\x80\x02" + b"]" * 1001, 1000)
    lists = numbers([1] * 20)
    for note in range(40):  # a list of twenty times the one before: 20⁴⁰ numbers
        lists = b"](" + lists + b"q" + bytes([note]) + (b"h" + bytes([note])) * 19 + b"e"
    with pytest.raises(DataError, match=NO_LABELS):
        cifar10.read_pickle(pickled(data=DATA, labels=lists))
    deep = b"}" + b")" + b"\x85" * 900 + b"K\1s."
    with pytest.raises(ValueError, match="has a key that is no text but tuple"):
        batch_pickle.parse(b"\x80\x02" + deep, 1000)


def test_what_else_python_2_wrote_is_read():
    """Protocol 2 with its notes, column order, and every form of a number, a list and a pair: the same values."""
    pixels, labels = PIXELS[0], LABELS[0].tolist()
    dtype = (b"cnumpy\ndtype\nq\x06" + text("u1") + b"q\x07K\0K\1\x87q\x08Rq\x09(K\3" + text("|") + b"NNN"
             + 2 * integer(-1) + b"K\0tb")
    shape = b"M" + struct.pack("<H", COUNT) + b"M" + struct.pack("<H", 3072) + b"\x86q\x0a"
    made = (b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\0\x85" + text("b")
            + b"\x87q\x03Rq\x04(K\1" + shape + dtype + b"\x88T" + struct.pack("<I", pixels.size) + pixels.tobytes("F")
            + b"q\x0btb")
    first = integer(labels[0]) + b"a(" + b"".join(b"K" + bytes([label]) for label in labels[1:]) + b"e"
    content = (b"\x80\x02}q\x05" + text("data") + b"q\x0c" + made + b"s(" + text("labels") + b"r\0\1\0\0]q\x0d" + first
               + text("batch_label") + b"h\x0c" + b"X\1\0\0\0x" + b"j\0\1\0\0u.")
    came, numbers_ = cifar10.read_pickle(content)
    np.testing.assert_array_equal(came, pixels)
    assert numbers_.tolist() == labels


# the official numbers

def test_the_table_of_the_official_files(monkeypatch):
    monkeypatch.undo()
    assert (cifar10.COUNT, cifar10.VALIDATION, cifar10.SHAPE, cifar10.CLASSES) == (10_000, 5_000, (3, 32, 32), 10)
    assert [(form.archive, form.size, form.folder) for form in cifar10.FORMS] == [
        ("cifar-10-binary.tar.gz", 170_052_171, "cifar-10-batches-bin"),
        ("cifar-10-python.tar.gz", 170_498_071, "cifar-10-batches-py")]
    assert [form.sha256 for form in cifar10.FORMS] == [
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"]
    assert BIN.batches == (*(f"data_batch_{i}.bin" for i in (1, 2, 3, 4, 5)), "test_batch.bin")
    assert PY.batches == (*(f"data_batch_{i}" for i in (1, 2, 3, 4, 5)), "test_batch")
    assert cifar10.MIRRORS[-1] == cifar10.OFFICIAL and cifar10.OFFICIAL.startswith("https://www.cs.toronto.edu/")
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in cifar10.MIRRORS)


def test_complete_is_45000_5000_10000(monkeypatch, tmp_path):
    monkeypatch.undo()
    calls = []
    monkeypatch.setattr(cifar10.script, "main", lambda *arguments: calls.append(arguments))
    cifar10.main(["--out", "x"])
    (name, _, shape, counts, convert, arguments), = calls
    assert (name, shape, counts, arguments) == ("cifar10", (3, 32, 32), (45_000, 5_000, 10_000), ["--out", "x"])


@pytest.mark.parametrize("name", ["cifar10", "svhn"])
def test_an_absent_file_names_its_script(name, tmp_path):
    with pytest.raises(DataError, match=f"{name}.npz is not there.*`python data_scripts/{name}.py --out {tmp_path}`"):
        load(name, tmp_path)


@pytest.mark.skipif("BNN_REF_CIFAR10" not in os.environ, reason="BNN_REF_CIFAR10 (a folder) is not set")
def test_the_official_files(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert cifar10.main(["--from", os.environ["BNN_REF_CIFAR10"], "--out", str(tmp_path)]) == 0
    dataset = load("cifar10", tmp_path)
    assert [len(y) for y in (dataset.train_y, dataset.valid_y, dataset.test_y)] == [45_000, 5_000, 10_000]
    everything = np.concatenate([dataset.train_y, dataset.valid_y])
    assert np.bincount(everything).tolist() == [5_000] * 10 and np.bincount(dataset.test_y).tolist() == [1_000] * 10
