"""ebp_text.py with small MAT files in place of the authors': dense and sparse, local and downloaded, good and bad."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import ebp_text
import numpy as np
import pytest

from bnn_ref.files import read_arrays
from bnn_ref.training import text_tasks

scipy_io = pytest.importorskip("scipy.io")
sparse = pytest.importorskip("scipy.sparse")

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
X = np.round(RNG.standard_normal((6, 5)) * (RNG.random((6, 5)) < 0.5), 3)
X[2], X[3, 4] = 0, 2.5
LABELS = np.array([[-1], [1], [1], [-1], [1], [-1]], np.int16)
TASKS = {name: text_tasks.Description(name, f"source_{name}", 6, 5) for name in ("whole", "thin")}


def mat(path, data, labels=LABELS, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(path, {"data": data, "labels": labels, "T": 6} | more, do_compression=True)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(text_tasks, "TASKS", TASKS)
    monkeypatch.setattr(ebp_text, "KNOWN", {})
    monkeypatch.setattr(ebp_text, "MIRRORS", ())
    monkeypatch.delenv("BNN_REF_DATA", raising=False)


@pytest.fixture
def source(tmp_path):
    """Both files, one under each of the two names."""
    mat(tmp_path / "mats" / "source_whole.mat", X)
    mat(tmp_path / "mats" / "source_thin" / "processed_data.mat", sparse.csc_matrix(-X))
    return tmp_path / "mats"


THIN = "source_thin/processed_data.mat"


def unverified(path):
    """The line about a file whose checksum nobody knows."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"unverified: {path.name}: sha256 {sha256}, expected: none is known to compare it with"


def run(*arguments):
    return ebp_text.main([str(argument) for argument in arguments])


def error_of(capsys, *arguments):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    *before, line = err.splitlines(keepends=True)
    assert line.startswith("ebp_text.py: error: ") and all(text.startswith("unverified: ") for text in before)
    return line


def check(out, name, x):
    task = text_tasks.load_task(name, out)
    np.testing.assert_array_equal(task.x.rows(np.arange(6)), x.astype(np.float32))
    assert task.labels.tolist() == [0, 1, 1, 0, 1, 0]
    assert np.all(task.x.values != 0) and len(task.x.values) == np.count_nonzero(x)


def test_dense_and_sparse_files_from_a_folder(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--from", source, "--out", out) == 0
    said, lines = capsys.readouterr()
    assert said == "".join(f"wrote {out / 'ebp_text' / name}.npz\n" for name in ("whole", "thin"))
    assert lines == "".join(f"{unverified(source / path)}\n" for path in ("source_whole.mat", THIN))
    for name, path in (("whole", "source_whole.mat"), ("thin", THIN)):
        assert str(read_arrays(out / "ebp_text" / f"{name}.npz")["source"]) == unverified(source / path)
    check(out, "whole", X)
    check(out, "thin", -X)
    assert os.listdir(out) == ["ebp_text"] and sorted(os.listdir(out / "ebp_text")) == ["thin.npz", "whole.npz"]
    times = [path.stat().st_mtime_ns for path in sorted((out / "ebp_text").iterdir())]
    assert run("--from", source, "--out", out) == 0
    assert capsys.readouterr().out.count("is already there and complete") == 2
    assert times == [path.stat().st_mtime_ns for path in sorted((out / "ebp_text").iterdir())]
    (out / "ebp_text" / "thin.npz").write_bytes(b"PK")
    (out / "ebp_text" / "whole.npz").unlink()
    assert "thin.npz is there already; write elsewhere, or replace it with --force" in error_of(
        capsys, "--from", source, "--out", out)
    assert os.listdir(out / "ebp_text") == ["thin.npz"]                  # neither the other one
    assert run("--from", source, "--out", out, "--force") == 0
    check(out, "thin", -X)
    check(out, "whole", X)


def test_some_of_the_files_will_do_but_not_none(source, tmp_path, capsys, monkeypatch):
    (source / "source_whole.mat").unlink()
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path / "out"))
    assert run("--from", source) == 0
    assert capsys.readouterr().out.endswith(f"not in {source}: source_whole.mat\n")
    check(tmp_path / "out", "thin", -X)
    empty = tmp_path / "empty"
    empty.mkdir()
    error = error_of(capsys, "--from", empty, "--out", tmp_path / "other")
    assert f"{empty}: holds none of source_whole.mat, source_thin.mat" in error
    assert f"{tmp_path / 'no'}: no such folder" in error_of(capsys, "--from", tmp_path / "no", "--out", tmp_path)


def test_entries_of_one_place_are_added(tmp_path):
    twice = sparse.csc_matrix((np.array([1.0, 2, 4]), [3, 3, 1], [0, 2, 3, 3, 3, 3]), (6, 5))
    mat(tmp_path / "source_whole.mat", twice)
    assert run("--from", tmp_path, "--out", tmp_path / "out") == 0
    check(tmp_path / "out", "whole", twice.toarray())


def test_zeros_that_a_file_stores_are_dropped(tmp_path):
    stored = sparse.csc_matrix(X)
    stored.data[:2] = 0
    mat(tmp_path / "source_whole.mat", stored)
    assert run("--from", tmp_path, "--out", tmp_path / "out") == 0
    check(tmp_path / "out", "whole", stored.toarray())


@pytest.mark.parametrize("arrays, words", [
    ({"data": X[:5]}, "has as data float64 of shape (5, 5), expected numbers of shape (6, 5)"),
    ({"data": X.T}, "has as data float64 of shape (5, 6), expected numbers of shape (6, 5)"),
    ({"data": "text"}, "has as data no real numbers of shape (1, 4), expected numbers"),
    ({"data": X, "labels": LABELS[:5]}, "has as labels int16 of shape (5, 1), expected numbers of shape (6, 1)"),
    ({"data": X, "labels": (LABELS + 1) // 2}, "has labels other than -1 and 1"),
    ({"data": np.where(X == 2.5, np.nan, X)}, "values must be finite"),
])
def test_files_with_something_else_in_them(arrays, words, tmp_path, capsys):
    mat(tmp_path / "source_whole.mat", **arrays)
    assert words in error_of(capsys, "--from", tmp_path, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "ebp_text" / "whole.npz").exists()


def test_files_without_their_variables_and_damaged_ones(tmp_path, capsys):
    path = tmp_path / "source_whole.mat"
    scipy_io.savemat(path, {"x": X, "labels": LABELS})
    assert f"{path}: has as data nothing" in error_of(capsys, "--from", tmp_path, "--out", tmp_path / "out")
    content = mat(path, X)
    for damaged in (content[:len(content) // 2], b"", b"<html>404</html>", content[:200] + bytes(50) + content[250:]):
        path.write_bytes(damaged)
        assert f"{path}: cannot be read as a MAT file" in error_of(
            capsys, "--from", tmp_path, "--out", tmp_path / "out")


def test_a_known_checksum_is_verified(source, tmp_path, capsys, monkeypatch):
    content = (source / "source_whole.mat").read_bytes()
    monkeypatch.setattr(ebp_text, "KNOWN", {"whole": (len(content), hashlib.sha256(content).hexdigest())})
    assert run("--from", source, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err == f"{unverified(source / THIN)}\n"
    assert "source" not in read_arrays(tmp_path / "out" / "ebp_text" / "whole.npz")
    (source / "source_whole.mat").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    capsys.readouterr()
    assert "has the sha256" in error_of(capsys, "--from", source, "--out", tmp_path / "other")


def serve(server, source, monkeypatch, *kinds, known=()):
    """Both files at every mirror; `known` are the tasks whose checksums the script has. Returns their contents."""
    contents = {"whole": (source / "source_whole.mat").read_bytes(),
                "thin": (source / "source_thin" / "processed_data.mat").read_bytes()}
    monkeypatch.setattr(ebp_text, "TASK_PATH", "{}.mat")   # the server knows no folders
    server.files = {f"source_{name}.mat": content for name, content in contents.items()}
    monkeypatch.setattr(ebp_text, "MIRRORS", tuple(server.url(kind) for kind in kinds))
    monkeypatch.setattr(ebp_text, "KNOWN", {
        name: (len(contents[name]), hashlib.sha256(contents[name]).hexdigest()) for name in known})
    return contents


def test_download(server, source, tmp_path, capsys, monkeypatch):
    serve(server, source, monkeypatch, "missing", "whole", known=("whole",))
    assert run("--out", tmp_path / "out") == 0
    check(tmp_path / "out", "whole", X)
    check(tmp_path / "out", "thin", -X)
    assert os.listdir(tmp_path / "out") == ["ebp_text"]
    assert [request[:2] for request in server.requests] == [
        (kind, name) for name in server.files for kind in ("missing", "whole")]
    known, unknown, line = capsys.readouterr().err.splitlines()
    assert "source_whole.mat" in known and "source_thin.mat" in unknown and "sha256" not in known + unknown
    assert line == unverified(source / THIN).replace("processed_data", "source_thin")


def test_a_wrong_download_is_refused(server, source, tmp_path, capsys, monkeypatch):
    serve(server, source, monkeypatch, "wrong", known=("whole",))
    assert run("--out", tmp_path / "out") == 2
    assert "wrong sha256" in capsys.readouterr().err.splitlines()[-1]
    serve(server, source, monkeypatch, "login_page")
    assert run("--out", tmp_path / "out") == 2
    assert "cannot be read as a MAT file" in capsys.readouterr().err.splitlines()[-1]
    serve(server, source, monkeypatch, "missing", "dropped")
    error = error_of(capsys, "--out", tmp_path / "out")
    assert "no mirror delivered source_whole.mat" in error
    assert "404" in error and "the connection ended after" in error and "--from DIR" in error
    monkeypatch.setattr(ebp_text, "LARGEST", 10)
    serve(server, source, monkeypatch, "whole")
    assert "sends more than 10 bytes" in error_of(capsys, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "ebp_text").exists()


def test_an_interruption_exits_with_130(source, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(ebp_text, "read_mat", interrupted)
    assert run("--from", source, "--out", tmp_path / "out") == 130
    assert capsys.readouterr().err == "ebp_text.py: interrupted; the same command goes on where it stopped\n"


def test_the_script_runs_from_anywhere(tmp_path):
    command = [sys.executable, str(ROOT / "data_scripts" / "ebp_text.py"), "--from", "no"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                          text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("ebp_text.py: error: no: no such folder") and done.stderr.count("\n") == 1


def test_the_table_of_the_authors_files(monkeypatch):
    monkeypatch.undo()
    assert sorted(ebp_text.KNOWN) == ["amazon_books", "reuters_i6"] and set(ebp_text.KNOWN) <= set(text_tasks.TASKS)
    assert all(len(bytes.fromhex(sha256)) == 32 for _, sha256 in ebp_text.KNOWN.values())
    assert len(ebp_text.MIRRORS) == 2
    assert all(mirror.startswith("https://") and mirror.endswith("/Datasets/Classification/")
               for mirror in ebp_text.MIRRORS)
    assert ebp_text.TASK_PATH.format("domain0") == "domain0/processed_data.mat"


@pytest.mark.skipif("BNN_REF_EBP_MATS" not in os.environ, reason="BNN_REF_EBP_MATS (a folder) is not set")
def test_the_authors_files(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert ebp_text.main(["--from", os.environ["BNN_REF_EBP_MATS"], "--out", str(tmp_path)]) == 0
    task = text_tasks.load_task("amazon_books", tmp_path)
    assert len(task.x.values) == 582_462 and task.labels.sum() == 1940
    assert task.labels[:6].tolist() == [0, 1, 0, 0, 0, 0]
