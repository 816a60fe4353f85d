"""Archives as they come from disks, networks and other people: whole, or refused in one line, at a cost that fits."""

import io
import os
import re
import struct
import sys
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest

from bnn_ref import data, files
from bnn_ref.files import DamagedError, check_regular, printable, read_arrays, sha256
from bnn_ref.nets import network, steps
from bnn_ref.training import runs

ARRAYS = {"train_x": np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3), "train_y": np.array([0, 1, 0, 1]),
          "valid_x": np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3), "valid_y": np.array([1]),
          "test_x": np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3), "test_y": np.array([0])}


@pytest.fixture(params=["savez", "savez_compressed", "save"])
def path(request, tmp_path):
    """An archive by each of the ways that make one."""
    write = data.save if request.param == "save" else getattr(np, request.param)
    write(tmp_path / "mine.npz", **ARRAYS)
    return tmp_path / "mine.npz"


def refusal(path, *arguments):
    with pytest.raises(DamagedError) as caught:
        read_arrays(path, *arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


# every bit counts

def test_no_bit_of_the_directory_takes_an_array_away(path):
    """A flipped bit may be one that means nothing (a date). It may not lose, rename or change an array."""
    content = path.read_bytes()
    refused = 0
    for at in range(8 * content.index(b"PK\1\2"), 8 * len(content)):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            came = read_arrays(path, data.KEYS)
        except DamagedError:
            refused += 1
            continue
        assert sorted(came) == sorted(ARRAYS)
        assert all(np.array_equal(came[name], array) for name, array in ARRAYS.items())
    assert refused > len(ARRAYS) * 8 * 10


def test_a_comment_in_the_directory_swallows_nothing(path):
    """The case that began it: a comment as long as the next entries, in the entry before them."""
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\1\2")
    second, third = (m.start() for m in list(re.finditer(b"PK\1\2", content))[1:3])
    assert struct.unpack_from("<H", content, first + 32) == (0,)
    struct.pack_into("<H", content, first + 32, third - second)
    path.write_bytes(content)
    assert "train_y.npy" not in zipfile.ZipFile(path).namelist()           # to zipfile all is well
    assert "the directory of the archive is damaged" in refusal(path)


@pytest.mark.parametrize("change, words", [
    (lambda content: content + b"more", "cannot be read|directory"),
    (lambda content: content[:-2] + b"\4\0more", "the directory of the archive is damaged"),
    (lambda content: b"more" + content, "4 bytes between the members of the archive belong to none"),
    (lambda content: content[:-12] + b"\7\0" + content[-10:], "cannot be read|6 members, 7 expected"),
])
def test_hidden_and_trailing_bytes_are_refused(change, words, path):
    path.write_bytes(change(path.read_bytes()))
    assert re.search(words, refusal(path))


def test_bytes_between_members_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("a.npy", npy(np.arange(3)))
        archive.fp.write(b"hidden")
        archive.start_dir += 6
        archive.writestr("b.npy", npy(np.arange(3)))
    assert zipfile.ZipFile(tmp_path / "mine.npz").testzip() is None
    assert "6 bytes between the members of the archive belong to none" in refusal(tmp_path / "mine.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("a.npy", npy(np.arange(3)))
        archive.writestr("a.npy", npy(np.arange(4)))
    assert "an array is there twice" in refusal(tmp_path / "mine.npz")


def test_a_name_that_only_the_directory_has_is_refused_though_nobody_wants_it(path):
    content = path.read_bytes()
    at = content.rindex(b"valid_x")
    path.write_bytes(content[:at] + b"valid_z" + content[at + 7:])
    assert "valid_z.npy has another name in the directory" in refusal(path, data.KEYS)


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


class Pipe(io.BytesIO):
    """A stream that cannot go back, so that the sizes of a member come behind it."""

    def seekable(self):
        return False

    def seek(self, *arguments):
        raise io.UnsupportedOperation

    tell = seek


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_other_programs_are_read(method, tmp_path):
    """Sizes behind the members, other members, another order of the directory."""
    stream = Pipe()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, array in ARRAYS.items():
            archive.writestr(f"{name}.npy", npy(array))
        archive.writestr("read me.txt", "hello")
        archive.filelist.reverse()
    (tmp_path / "mine.npz").write_bytes(stream.getvalue())
    came = read_arrays(tmp_path / "mine.npz")
    assert sorted(came) == sorted(ARRAYS)
    assert all(np.array_equal(came[name], array) for name, array in ARRAYS.items())


def test_an_archive_with_the_large_directory_is_read(tmp_path, monkeypatch):
    """As for more than 65,535 members or 4 GB, made small by moving the limit."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    np.savez(tmp_path / "mine.npz", **ARRAYS)
    assert b"PK\6\6" in (tmp_path / "mine.npz").read_bytes()
    assert sorted(read_arrays(tmp_path / "mine.npz")) == sorted(ARRAYS)


# what it costs

def test_an_archive_of_zeros_is_refused_before_it_costs_time_or_memory(tmp_path):
    path = tmp_path / "zeros.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (300 << 20,)}
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(300):
            member.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        message = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert message.startswith("its arrays take 314572928 bytes, ")
    assert message.endswith("if that is so, save them with numpy.savez, which does not compress")
    assert read_arrays(path, ("other",)) == {}                              # nobody asked for it


def test_what_is_not_compressed_may_have_any_size_and_zeros_up_to_200_mb(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SMALL", 1000)
    np.savez(tmp_path / "large.npz", a=np.zeros(100_000, np.uint8))
    assert read_arrays(tmp_path / "large.npz")["a"].shape == (100_000,)
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(100_000, np.uint8))
    assert "its arrays take 100128 bytes" in refusal(tmp_path / "zeros.npz")
    np.savez_compressed(tmp_path / "small.npz", a=np.zeros(800, np.uint8))
    assert read_arrays(tmp_path / "small.npz")["a"].shape == (800,)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_write_is_refused(method, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", method) as archive:
        archive.writestr("a.npy", npy(np.arange(300)))
    assert "compressed in another way" in refusal(tmp_path / "mine.npz")


# what is no file

@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.npz")
    messages = []
    reader = threading.Thread(target=lambda: messages.append(refusal(tmp_path / "mine.npz")), daemon=True)
    reader.start()
    reader.join(20)
    assert messages == ["expected a regular file, got a folder, FIFO or device"]


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there are no devices here")
def test_a_device_is_refused_and_links_are_followed(tmp_path, path):
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to(path)
    assert refusal(tmp_path / "device").startswith("expected a regular file")
    assert sorted(read_arrays(tmp_path / "link")) == sorted(ARRAYS)
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "no")


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="file names are Unicode here")
def test_a_name_that_is_not_utf_8(tmp_path, path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.npz")
    odd.write_bytes(path.read_bytes())
    assert sorted(read_arrays(odd)) == sorted(ARRAYS)
    odd.write_bytes(b"PK")
    with pytest.raises(data.DataError) as caught:
        data.load(odd)
    assert "cannot be read as an .npz file" in str(caught.value)


# what is said

@pytest.mark.parametrize("text, line", [
    ("plain", "plain"), ("two\nlines\r\nand three", "two lines and three"), ("\x1b[31mred\a", "\\x1b[31mred\\x07"),
    ("é 数", "é 数"), (os.fsdecode(b"caf\xe9") if os.name != "nt" else "caf\udce9", "caf\\udce9"),
    ("\u202eevil", "\\u202eevil")])
def test_printable(text, line):
    assert printable(text) == line == str(DamagedError(text))


def test_names_in_an_archive_do_not_reach_the_terminal(tmp_path):
    np.savez(tmp_path / "mine.npz", **{"\x1b[2J": np.arange(3)})
    assert "found \\x1b[2J" in refusal(tmp_path / "mine.npz", None, ("train_x",))


# numbers that are none

@pytest.mark.parametrize("name", ["fc.w", "bn.gamma", "bn.mean", "bn.var"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_are_refused_by_name(name, value, tmp_path):
    net = (steps.flatten_step("flat"), steps.binary_dense_step("fc", 6, 3), steps.batchnorm_step("bn", 3))
    params, running = network.init(net, np.random.default_rng(0))
    arrays = params | running
    path = tmp_path / "params.npz"
    np.savez(path, **arrays)
    assert sorted(runs.load_params(tmp_path, {"params_sha256": sha256(path)}, net)[0]) == sorted(params)
    arrays[name].flat[-1] = value
    np.savez(path, **arrays)
    with pytest.raises(runs.RunError, match=f"params.npz: {name} holds NaN or infinity, expected finite numbers"):
        runs.load_params(tmp_path, {"params_sha256": sha256(path)}, net)


def test_the_names_of_arrays_are_read_from_the_directory_alone(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, a=np.zeros(3), b=np.array([{}]))
    assert files.array_names(path) == {"a", "b"}
    path.write_bytes(path.read_bytes()[:-40])
    assert files.array_names(path) == files.array_names(tmp_path) == files.array_names(tmp_path / "no.npz") == set()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.npz")
        assert files.array_names(tmp_path / "fifo.npz") == set()


def test_what_arrays_may_take_in_any_case_is_for_the_caller_to_say(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SMALL", 1000)
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(100_000, np.uint8))
    with pytest.raises(files.DamagedError, match=r"^its arrays take 100128 bytes, "):
        files.read_arrays(tmp_path / "zeros.npz", at_least=100_127)
    assert files.read_arrays(tmp_path / "zeros.npz", at_least=100_128)["a"].shape == (100_000,)
