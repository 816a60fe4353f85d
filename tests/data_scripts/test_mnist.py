"""The data scripts: downloads resume, are verified and try the next mirror; only official files are taken."""

import errno
import gzip
import hashlib
import io
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path

import digits
import fetch
import mnist
import numpy as np
import pytest
import script

from bnn_ref import files
from bnn_ref.data import DataError, load, save
from tests.data_scripts.mirror import CONTENT

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "data_scripts"

SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(server, folder, *kinds, progress=None):
    urls = [server.url(kind) + "data.bin" for kind in kinds]
    return fetch.fetch("data.bin", urls, SHA256, len(CONTENT), folder, progress or io.StringIO())


def refused(server, folder, *kinds):
    """The one line of the FetchError, which names every mirror and the way without any."""
    with pytest.raises(fetch.FetchError) as caught:
        get(server, folder, *kinds)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("no mirror delivered data.bin") and "--from DIR takes local files" in message
    assert all(f"{server.url(kind)}data.bin: " in message for kind in kinds)
    return message


class Terminal(io.StringIO):
    def isatty(self):
        return True


class InterruptedTerminal(Terminal):
    """Stands for Ctrl-C after the first bytes were written."""

    def write(self, text):
        if "\r" in text:
            raise KeyboardInterrupt
        return super().write(text)


# fetch

def test_fetch_makes_the_folder_and_leaves_only_the_file(server, tmp_path):
    path = get(server, tmp_path / "new" / "folder", "whole")
    assert path == tmp_path / "new" / "folder" / "data.bin"
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["data.bin"]
    assert server.requests == [("whole", "data.bin", None)]


def test_a_verified_file_is_not_downloaded_again_but_another_is(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT)
    get(server, tmp_path, "whole")
    assert server.requests == []
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1])
    assert get(server, tmp_path, "whole").read_bytes() == CONTENT and len(server.requests) == 1


def test_resume_appends_to_what_is_there(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    assert get(server, tmp_path, "ranged").read_bytes() == CONTENT
    assert server.requests == [("ranged", "data.bin", "bytes=1000-")]
    assert os.listdir(tmp_path) == ["data.bin"]


def test_a_server_without_ranges_restarts_from_zero(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    assert get(server, tmp_path, "whole").read_bytes() == CONTENT
    assert server.requests == [("whole", "data.bin", "bytes=1000-")]


def test_a_complete_part_needs_no_request(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert get(server, tmp_path, "missing").read_bytes() == CONTENT and server.requests == []


def test_a_part_that_is_too_long_restarts_from_zero(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path, "ranged").read_bytes() == CONTENT
    assert server.requests == [("ranged", "data.bin", None)]


@pytest.mark.parametrize("size", [1000, len(CONTENT)])
def test_a_bad_part_costs_one_more_download_from_the_same_mirror(size, server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(bytes(size))
    assert get(server, tmp_path, "ranged").read_bytes() == CONTENT
    assert server.requests[-1] == ("ranged", "data.bin", None)


def test_a_dropped_connection_keeps_the_bytes_for_the_next_mirror(server, tmp_path):
    assert get(server, tmp_path, "dropped", "ranged").read_bytes() == CONTENT
    assert server.requests == [("dropped", "data.bin", None), ("ranged", "data.bin", "bytes=150000-")]


def test_a_dropped_connection_keeps_the_bytes_for_the_next_call(server, tmp_path):
    assert "the connection ended after 150000 of 300000 bytes" in refused(server, tmp_path, "dropped")
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:150_000]
    assert os.listdir(tmp_path) == ["data.bin.part"]


def test_a_wrong_file_is_removed_and_the_next_mirror_tried(server, tmp_path):
    assert get(server, tmp_path, "wrong", "whole").read_bytes() == CONTENT
    assert [kind for kind, *_ in server.requests] == ["wrong", "whole"]
    assert server.requests[1][2] is None  # nothing of the wrong file is gone on with


def test_only_wrong_files_leave_nothing(server, tmp_path):
    assert "wrong sha256" in refused(server, tmp_path, "wrong")
    assert os.listdir(tmp_path) == [] and len(server.requests) == 1


def test_a_page_of_another_size_leaves_the_part_alone(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    assert "has 20 bytes, expected 300000" in refused(server, tmp_path, "login_page")
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]


def test_another_range_than_asked_for_is_refused(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    assert "asked for the bytes from 1000" in refused(server, tmp_path, "other_range")
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]


def test_an_endless_body_is_stopped(server, tmp_path):
    assert "sends more than the expected 300000 bytes" in refused(server, tmp_path, "endless")
    assert os.listdir(tmp_path) == []
    assert server.sent_in_vain < 30 << 20  # of 62 MB: what fits into the sockets' buffers


def test_a_silent_server_times_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1)
    assert "timed out" in refused(server, tmp_path, "silent")
    assert get(server, tmp_path, "silent", "whole").read_bytes() == CONTENT


def test_all_mirrors_and_their_reasons_are_listed(server, tmp_path):
    message = refused(server, tmp_path, "missing", "wrong", "dropped")
    assert "404" in message and "wrong sha256" in message and "the connection ended" in message


def test_a_server_that_is_not_there(server, tmp_path):
    url = "http://127.0.0.1:1/data.bin"
    with pytest.raises(fetch.FetchError, match=f"{url}: .*refused"):
        fetch.fetch("data.bin", [url], SHA256, len(CONTENT), tmp_path, io.StringIO())


def test_an_interruption_keeps_the_part_and_the_next_call_goes_on(server, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, "whole", "whole", progress=InterruptedTerminal())
    assert len(server.requests) == 1
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[: fetch.CHUNK]
    assert get(server, tmp_path, "ranged").read_bytes() == CONTENT
    assert server.requests[1] == ("ranged", "data.bin", f"bytes={fetch.CHUNK}-")


def test_progress_is_one_live_line_on_a_terminal_and_one_plain_line_elsewhere(server, tmp_path):
    terminal, log = Terminal(), io.StringIO()
    get(server, tmp_path / "a", "whole", progress=terminal)
    lines = terminal.getvalue().split("\r")[1:]
    assert len(lines) == 5 and terminal.getvalue().count("\n") == 1
    assert lines[0] == "data.bin: 0.1 of 0.3 MB, 21 %" and lines[-1] == "data.bin: 0.3 of 0.3 MB, 100 %\n"
    get(server, tmp_path / "b", "whole", progress=log)
    assert log.getvalue() == f"data.bin: 0.3 MB from {server.url('whole')}data.bin\n"


def test_a_note_is_said_when_its_mirror_delivers(server, tmp_path):
    urls = [server.url(kind) + "data.bin" for kind in ("missing", "ranged", "whole")]
    notes = dict(zip(urls, ("not reached", "a slow one", "not needed"), strict=True))
    for stream, end in ((io.StringIO(), f"data.bin: 0.3 MB from {urls[1]}\n"), (Terminal(), " 100 %\n")):
        folder = tmp_path / type(stream).__name__
        fetch.fetch("data.bin", urls, SHA256, len(CONTENT), folder, stream, notes)
        assert stream.getvalue().startswith("data.bin: a slow one\n") and stream.getvalue().endswith(end)
        assert "not" not in stream.getvalue()


# script

def test_verify(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(CONTENT)
    script.verify(path, len(CONTENT), SHA256)
    for size in (299_999, 300_001):
        with pytest.raises(DataError, match=f"{path}: has 300000 bytes, expected {size}; get the official file"):
            script.verify(path, size, SHA256)
    path.write_bytes(bytes(len(CONTENT)))
    other = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    with pytest.raises(DataError, match=f"{path}: has the sha256 {other}, expected {SHA256}; get the official file"):
        script.verify(path, len(CONTENT), SHA256)


def test_find_takes_the_first_name_that_is_a_file(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("c", "b", "a/d"):
        (tmp_path / name).touch()
    assert script.find(tmp_path, ("x", "a", "b", "c")) == tmp_path / "b"
    assert script.find(tmp_path, ("a/d", "b")) == tmp_path / "a" / "d"
    with pytest.raises(DataError, match=f"{tmp_path}: holds none of x, a; --from takes the folder"):
        script.find(tmp_path, ("x", "a"))


def bring(tmp_path, convert, *arguments):
    return script.main("some", "the files", (1, 2, 2), (5, 3, 2), convert, ["--out", str(tmp_path), *arguments])


def test_main_gives_convert_its_folders_and_removes_only_what_was_downloaded(tmp_path, capsys):
    calls = []

    def convert(source, downloads, path):
        calls.append((source, downloads, path))
        downloads.mkdir(exist_ok=True)
        (downloads / "official").touch()
        (downloads / "other").touch()
        return [downloads / "official"]

    expected = tmp_path / "some_download", tmp_path / "some.npz"
    assert bring(tmp_path, convert, "--from", "mine") == 0
    assert (tmp_path / "some_download" / "official").exists()
    assert bring(tmp_path, convert) == 0
    assert calls == [(Path("mine"), *expected), (None, *expected)]
    assert os.listdir(tmp_path / "some_download") == ["other"]  # not ours to remove
    assert capsys.readouterr() == (f"wrote {tmp_path / 'some.npz'}\n" * 2, "")


@pytest.mark.parametrize("error, status, line", [
    (KeyboardInterrupt(), 130, "interrupted; the same command goes on where it stopped"),
    (DataError("bad data"), 2, "error: bad data"), (fetch.FetchError("no mirror"), 2, "error: no mirror"),
    (OSError("disk"), 2, "error: disk"),
    (MemoryError(), 2, "error: not enough memory; close other programs and run it again")])
def test_main_says_what_went_wrong_in_one_line(error, status, line, tmp_path, capsys):
    def convert(source, downloads, path):
        raise error

    assert bring(tmp_path, convert) == status
    assert capsys.readouterr() == ("", f"some.py: {line}\n")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode here")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_folders_whose_names_cannot_be_printed(encoding, official, tmp_path):
    """Bytes that are no UTF-8, and a terminal that has no word for what it is to show: escaped, and no traceback."""
    out = tmp_path / os.fsdecode(b"caf\xe9 \xe6\x95\xb0")
    command = [sys.executable, str(SCRIPTS / "mnist.py"), "--from", str(official / "no"), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
    x, y = np.full((9, 1, 2, 2), 255, np.uint8), np.arange(9) % 2
    save(out / "some.npz", x[:5], y[:5], x[:2], y[:2], x[:3], y[:3])
    code = "import script, sys; sys.exit(script.main('some', '', (1, 2, 2), (5, 3, 2), None, ['--out', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-c", code, str(out)], env=environment, cwd=SCRIPTS, capture_output=True)
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.endswith(b"is already there and complete\n")


def test_help_names_the_options_and_their_defaults(capsys):
    with pytest.raises(SystemExit) as caught:
        bring("", None, "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0 and "take the files from DIR: no download" in text
    assert "write some.npz here (default: $BNN_REF_DATA" in text


@pytest.mark.parametrize("count, valid, test, height, complete", [
    (5, 3, 2, 2, True), (6, 3, 2, 2, False), (5, 4, 2, 2, False), (5, 3, 3, 2, False), (5, 3, 2, 3, False)])
def test_complete_is_a_file_of_the_counts_and_the_shape(count, valid, test, height, complete, tmp_path, capsys):
    x, y = np.full((9, 1, height, 2), 255, np.uint8), np.arange(9) % 2
    save(tmp_path / "some.npz", x[:count], y[:count], x[:test], y[:test], x[:valid], y[:valid])
    assert script.is_complete(tmp_path / "some.npz", (1, 2, 2), (5, 3, 2)) == complete
    assert bring(tmp_path, lambda *_: []) == (0 if complete else 2)
    said, error = capsys.readouterr()
    assert ("complete" in said, "--force" in error) == (complete, not complete)


# mnist.py, with small files in place of the official ones

def idx(shape, seed, high):
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return header + np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8).tobytes()


CONTENTS = {
    "train-images-idx3-ubyte": idx((40, 5, 4), 0, 256),
    "train-labels-idx1-ubyte": idx((40,), 1, 3),
    "t10k-images-idx3-ubyte": idx((20, 5, 4), 2, 256),
    "t10k-labels-idx1-ubyte": idx((20,), 3, 3),
}
SHAPES = ((40, 5, 4), (40,), (20, 5, 4), (20,))
TRAIN = "train-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    table = []
    for (name, content), shape in zip(CONTENTS.items(), SHAPES, strict=True):
        packed = gzip.compress(content, mtime=0)
        table.append(mnist.IdxFile(name, shape, hashlib.sha256(content).hexdigest(),
                                   len(packed), hashlib.sha256(packed).hexdigest()))
    monkeypatch.setattr(mnist, "FILES", tuple(table))
    monkeypatch.setattr(mnist, "VALIDATION", 10)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture
def official(tmp_path):
    """A folder with the four files, compressed, under their official names."""
    folder = tmp_path / "official"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


def check_written(out):
    dataset = load("mnist", out)
    assert dataset.shape == (1, 5, 4) and dataset.classes == 3
    pixels = np.frombuffer(CONTENTS[TRAIN], np.uint8, offset=16).reshape(40, 1, 5, 4)
    labels = np.frombuffer(CONTENTS["train-labels-idx1-ubyte"], np.uint8, offset=8)
    np.testing.assert_array_equal(dataset.train_x, pixels[:30])
    np.testing.assert_array_equal(dataset.valid_x, pixels[30:])
    np.testing.assert_array_equal(dataset.train_y, labels[:30])
    np.testing.assert_array_equal(dataset.valid_y, labels[30:])
    assert dataset.test_x.tobytes() == CONTENTS["t10k-images-idx3-ubyte"][16:]
    assert bytes(dataset.test_y.tolist()) == CONTENTS["t10k-labels-idx1-ubyte"][8:]
    assert os.listdir(out) == ["mnist.npz"]


def error_of(capsys, *arguments):
    """The one line on stderr of a run with bad input, which exits with 2."""
    assert mnist.main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("mnist.py: error: ") and err.count("\n") == 1 and err.endswith("\n")
    return err


def test_from_a_folder(official, tmp_path, capsys):
    out = tmp_path / "out"
    before = sorted(os.listdir(official))
    assert mnist.main(["--from", str(official), "--out", str(out)]) == 0
    assert capsys.readouterr() == (f"wrote {out / 'mnist.npz'}\n", "")
    check_written(out)
    assert sorted(os.listdir(official)) == before


@pytest.mark.parametrize("rename", [
    lambda name: name, lambda name: f"{name}.gz", lambda name: name.replace("-idx", ".idx"),
    lambda name: name.replace("-idx", ".idx") + ".gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_name_compressed_or_not(rename, pack, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / rename(name)).write_bytes(pack(content))
    assert mnist.main(["--from", str(folder), "--out", str(tmp_path / "out")]) == 0
    check_written(tmp_path / "out")


def test_the_default_folder_is_the_data_folder(official, tmp_path, monkeypatch):
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path / "data"))
    assert mnist.main(["--from", str(official)]) == 0
    check_written(tmp_path / "data")


def test_download(server, tmp_path, monkeypatch, capsys):
    server.files = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
    monkeypatch.setattr(mnist, "MIRRORS", (server.url("missing"), server.url("whole")))
    assert mnist.main(["--out", str(tmp_path / "out")]) == 0
    check_written(tmp_path / "out")  # and no download is left there
    assert [name for kind, name, _ in server.requests if kind == "whole"] == list(server.files)
    assert capsys.readouterr().err.count("\n") == 4


def test_an_interrupted_download_goes_on(server, tmp_path, monkeypatch, capsys):
    server.files = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
    monkeypatch.setattr(mnist, "MIRRORS", (server.url("ranged"),))
    monkeypatch.setattr(fetch, "CHUNK", 100)
    terminal = InterruptedTerminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        assert mnist.main(["--out", str(tmp_path)]) == 130
    assert terminal.getvalue() == "\nmnist.py: interrupted; the same command goes on where it stopped\n"
    assert (tmp_path / "mnist_download" / f"{TRAIN}.gz.part").stat().st_size == 100
    assert mnist.main(["--out", str(tmp_path)]) == 0
    assert server.requests[:2] == [("ranged", f"{TRAIN}.gz", None), ("ranged", f"{TRAIN}.gz", "bytes=100-")]
    check_written(tmp_path)


def test_mirrors_that_all_fail(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mnist, "MIRRORS", (server.url("missing"), server.url("login_page")))
    assert mnist.main(["--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mnist.py: error: no mirror delivered") and error.count("\n") == 1
    assert server.url("missing") in error and server.url("login_page") in error and "--from DIR" in error


def test_a_download_with_the_right_gz_but_another_content_is_refused(server, tmp_path, monkeypatch, capsys):
    packed = gzip.compress(CONTENTS[TRAIN][:-1] + b"\x00", mtime=0)
    first = mnist.FILES[0]
    swapped = mnist.IdxFile(first.name, first.shape, first.sha256,
                            len(packed), hashlib.sha256(packed).hexdigest())
    server.files = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
    server.files[f"{TRAIN}.gz"] = packed
    monkeypatch.setattr(mnist, "FILES", (swapped, *mnist.FILES[1:]))
    monkeypatch.setattr(mnist, "MIRRORS", (server.url("whole"),))
    assert mnist.main(["--out", str(tmp_path)]) == 2
    assert "sha256" in capsys.readouterr().err.splitlines()[-1] and not (tmp_path / "mnist.npz").exists()


def test_a_complete_file_is_left_alone(official, tmp_path, capsys):
    arguments = ["--from", str(official), "--out", str(tmp_path / "out")]
    mnist.main(arguments)
    path = tmp_path / "out" / "mnist.npz"
    before = path.stat()
    capsys.readouterr()
    assert mnist.main(["--out", str(tmp_path / "out")]) == 0  # there is no mirror: nothing was fetched
    assert capsys.readouterr().out == f"{path} is already there and complete\n"
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def other_counts(path):
    x, y = np.full((40, 1, 5, 4), 255, np.uint8), np.arange(40) % 3
    save(path, x, y, x[:20], y[:20])  # 36 training images and 4 split off


def other_images(path):
    x, y = np.full((40, 1, 4, 5), 255, np.uint8), np.arange(40) % 3
    save(path, x[:30], y[:30], x[:20], y[:20], x[30:], y[30:])


@pytest.mark.parametrize("spoil", [other_counts, other_images, lambda path: path.write_bytes(b"PK")])
def test_another_file_is_replaced_by_force_alone(spoil, official, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    spoil(out / "mnist.npz")
    before = (out / "mnist.npz").read_bytes()
    with monkeypatch.context() as patch:                     # it is said before anything is read or fetched
        patch.setattr(mnist, "convert", None)
        assert mnist.main(["--from", str(official), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{out / 'mnist.npz'} is there already; write elsewhere, or replace it with --force" in error
    assert os.listdir(out) == ["mnist.npz"] and (out / "mnist.npz").read_bytes() == before
    assert mnist.main(["--from", str(official), "--out", str(out), "--force"]) == 0
    check_written(out)


def test_where_nothing_can_be_written_is_said_before_the_work(official, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mnist, "convert", None)
    (tmp_path / "file").write_text("")
    (tmp_path / "out" / "mnist.npz").mkdir(parents=True)
    for out, words in ((tmp_path / "file" / "out", "cannot be made in"), (tmp_path / "file", "cannot be made in"),
                       (tmp_path / "out", "mnist.npz is a folder: name a file to write"),
                       ("~nobody at all/out", "no such home")):
        assert mnist.main(["--from", str(official), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("mnist.py: error: ") and error.count("\n") == 1 and words in error
    assert sorted(os.listdir(tmp_path)) == ["file", "official", "out"] and os.listdir(tmp_path / "out") == ["mnist.npz"]


def test_a_complete_file_is_made_again_by_force(official, tmp_path, capsys):
    arguments = ["--from", str(official), "--out", str(tmp_path / "out"), "--force"]
    for _ in range(2):
        assert mnist.main(arguments) == 0
        assert capsys.readouterr().out.startswith("wrote ")
    check_written(tmp_path / "out")


GOOD = CONTENTS[TRAIN]
BAD_FILES = {
    "empty": (b"", "starts with the bytes ''", "00000803"),
    "text": (b"<html>404</html>", "starts with the bytes '3c68746d'", "00000803"),
    "labels as images": (CONTENTS["train-labels-idx1-ubyte"], "'00000801'", "'00000803'"),
    "gzip of labels": (gzip.compress(CONTENTS["train-labels-idx1-ubyte"]), "'00000801'", "'00000803'"),
    "test as training": (CONTENTS["t10k-images-idx3-ubyte"], "dimensions [20, 5, 4], expected [40, 5, 4]"),
    "header only": (GOOD[:16], "has 16 bytes uncompressed, expected 816"),
    "truncated": (GOOD[:-1], "has 815 bytes uncompressed, expected 816"),
    "longer": (GOOD + b"\x00", "has more bytes uncompressed, expected 816"),
    "truncated gzip": (gzip.compress(GOOD)[:-30], "cannot be read to its end"),
    "gzip without its end": (gzip.compress(GOOD)[:-8], "cannot be read to its end"),
    "damaged gzip": (gzip.compress(GOOD)[:40] + bytes(99) + gzip.compress(GOOD)[139:], "cannot be read"),
    "no deflate data": (gzip.compress(GOOD)[:10] + b"\xff" * 99, "cannot be read", "invalid block type"),
    "gzip magic only": (b"\x1f\x8b", "cannot be read to its end"),
    "one pixel": (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "sha256", hashlib.sha256(GOOD).hexdigest()),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused(case, official, tmp_path, capsys):
    content, *words = BAD_FILES[case]
    path = official / f"{TRAIN}.gz"
    path.write_bytes(content)
    error = error_of(capsys, "--from", official, "--out", tmp_path / "out")
    assert str(path) in error and all(word in error for word in words), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", CONTENTS)
def test_every_file_is_verified(name, official, tmp_path, capsys):
    content = CONTENTS[name]
    (official / f"{name}.gz").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{name}.gz: has the sha256" in error_of(capsys, "--from", official, "--out", tmp_path / "out")


def test_a_decompression_bomb_is_read_no_further_than_needed(tmp_path, monkeypatch):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50 << 20), 1))
    counts = []

    class Counting(gzip.GzipFile):
        def read(self, size=-1):
            content = super().read(size)
            counts.append(len(content))
            return content

    monkeypatch.setattr(mnist.gzip, "open", Counting)
    with pytest.raises(DataError, match="has more bytes"):
        mnist.read_idx(path, mnist.FILES[0])
    assert counts == [817]


def test_missing_files_and_folders(official, tmp_path, capsys):
    out = tmp_path / "out"
    (official / f"{TRAIN}.gz").unlink()
    error = error_of(capsys, "--from", official, "--out", out)
    assert str(official) in error and TRAIN in error and "train-images.idx3-ubyte.gz" in error
    error = error_of(capsys, "--from", tmp_path / "no", "--out", out)
    assert f"{tmp_path / 'no'}: no such folder" in error
    assert not out.exists()


def test_an_out_that_is_a_file(official, tmp_path, capsys):
    (tmp_path / "out").touch()
    assert str(tmp_path / "out") in error_of(capsys, "--from", official, "--out", tmp_path / "out")


def test_a_full_disk_is_one_line_and_leaves_nothing(official, tmp_path, capsys, monkeypatch):
    class Full(io.FileIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "open", Full, raising=False)
    assert "No space left" in error_of(capsys, "--from", official, "--out", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("option", ["--form", "--fro"])
def test_unknown_options_exit_with_2(option, capsys):
    with pytest.raises(SystemExit) as caught:
        mnist.main([option, "x"])
    assert caught.value.code == 2 and "mnist.py: error: " in capsys.readouterr().err


def test_the_script_runs_from_anywhere(tmp_path):
    command = [sys.executable, str(SCRIPTS / "mnist.py"), "--from", "no"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("mnist.py: error: no: no such folder") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["mnist.py", "cifar10.py", "svhn.py", "digits.py"])
def test_without_the_package_one_line_says_how_to_install_it(name, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "script")
    monkeypatch.setitem(sys.modules, "bnn_ref", None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPTS / name))
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1
    assert error.startswith(f"{name}: error: ") and "run `pip install .` in the repository first" in error


@pytest.mark.skipif("BNN_REF_MNIST" not in os.environ, reason="BNN_REF_MNIST (a folder) is not set")
def test_the_official_files(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert mnist.main(["--from", os.environ["BNN_REF_MNIST"], "--out", str(tmp_path)]) == 0
    dataset = load("mnist", tmp_path)
    assert (dataset.shape, dataset.classes) == ((1, 28, 28), 10)
    assert [len(y) for y in (dataset.train_y, dataset.valid_y, dataset.test_y)] == [50_000, 10_000, 10_000]
    assert dataset.test_y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert dataset.train_y[:5].tolist() == [5, 0, 4, 1, 9] and dataset.valid_y[-3:].tolist() == [5, 6, 8]


def test_the_table_of_the_official_files(monkeypatch):
    monkeypatch.undo()
    assert [file.size for file in mnist.FILES] == [47_040_016, 60_008, 7_840_016, 10_008]
    checksums = [checksum for file in mnist.FILES for checksum in (file.sha256, file.gz_sha256)]
    assert len({checksum for checksum in checksums if len(bytes.fromhex(checksum)) == 32}) == 8
    assert mnist.VALIDATION == 10_000


# digits.py

def test_digits_are_scaled_and_split_in_proportion(tmp_path, monkeypatch, capsys):
    labels = np.random.default_rng(0).permutation(np.arange(1797) % 10)
    values = np.random.default_rng(1).integers(0, 17, (1797, 64)).astype(float)
    values[:, :3] = np.arange(1797)[:, None] // [1, 17, 289] % 17  # the number of the image, to find it again
    source = types.SimpleNamespace(load_digits=lambda return_X_y: (values, labels))
    monkeypatch.setitem(sys.modules, "sklearn", types.ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", source)
    monkeypatch.setattr(digits, "TARGET", tmp_path / "digits.npz")
    digits.main()
    dataset = load(tmp_path / "digits.npz")
    seen = []
    for x, y, count in ((dataset.train_x, dataset.train_y, 1257), (dataset.valid_x, dataset.valid_y, 180),
                        (dataset.test_x, dataset.test_y, 360)):
        numbers = np.rint(x.reshape(-1, 64)[:, :3] * (16 / 255)).astype(int) @ [1, 17, 289]
        assert len(x) == count and np.all(np.diff(numbers) > 0)
        np.testing.assert_array_equal(y, labels[numbers])
        np.testing.assert_array_equal(x.reshape(-1, 64), np.rint(values[numbers] * 255 / 16))
        assert np.ptp(np.bincount(y)) <= 2
        seen.extend(numbers)
    assert sorted(seen) == list(range(1797))
    assert 800 < np.mean(seen[-360:]) < 1000  # test images from everywhere, not the first of every class
