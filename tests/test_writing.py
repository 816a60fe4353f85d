"""Where files are written: whole or not at all, nothing left behind, nobody's file touched."""

import contextlib
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnn_ref import files
from bnn_ref.files import PlaceError, atomic_write, brief, check_place, free_place

ROOT = Path(__file__).resolve().parents[1]
PART = "net.bnn.0123456789abcdef.part"
needs_locks = pytest.mark.skipif(files.fcntl is None, reason="Windows has no such locks")


def put(path, content):
    with atomic_write(path) as file:
        file.write(content)


def names(folder):
    return sorted(os.listdir(folder))


# --- parts ---------------------------------------------------------------------------------------------------------


@needs_locks
def test_what_a_killed_program_left_is_removed_by_the_next_that_writes_this_file(tmp_path):
    code = ("import os, sys; from bnn_ref.files import atomic_write\n"
            "with atomic_write(sys.argv[1]) as file:\n"
            "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "net.bnn")], cwd=ROOT)
        (left,) = names(tmp_path)
        assert left.startswith("net.bnn.") and left.endswith(".part")
    put(tmp_path / "other.bnn", b"whole")
    assert names(tmp_path) == [left, "other.bnn"]
    put(tmp_path / "net.bnn", b"whole")
    assert names(tmp_path) == ["net.bnn", "other.bnn"]


@needs_locks
def test_what_somebody_is_writing_is_left_alone(tmp_path):
    with atomic_write(tmp_path / "net.bnn") as first:
        first.write(b"first")
        put(tmp_path / "net.bnn", b"second")
        assert len(names(tmp_path)) == 2 and (tmp_path / "net.bnn").read_bytes() == b"second"
    assert names(tmp_path) == ["net.bnn"] and (tmp_path / "net.bnn").read_bytes() == b"first"


def test_what_this_program_did_not_make_is_left_alone(tmp_path):
    mine = ["net.bnn.part", "net.bnn.0123.part", "net.bnn.0123456789ABCDEF.part", f"{PART}.txt", f"my{PART}",
            "netxbnn.0123456789abcdef.part", "net.bnn.0123456789abcdefg.part"]
    for name in mine:
        (tmp_path / name).write_text("years of work")
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / PART).mkdir()
    put(tmp_path / "net.bnn", b"whole")
    assert names(tmp_path) == sorted([*mine, PART, "net.bnn"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_or_link_of_such_a_name_is_not_even_opened(tmp_path):
    os.mkfifo(tmp_path / PART)
    (tmp_path / PART.replace("f", "e")).symlink_to(tmp_path / "thesis.txt")
    (tmp_path / "thesis.txt").write_text("years of work")
    put(tmp_path / "net.bnn", b"whole")
    assert len(names(tmp_path)) == 4


@needs_locks
def test_who_tidies_up_just_then_takes_nothing_away(tmp_path, monkeypatch):
    """Between the making of the file and its lock another program removes it, or has it locked to do so."""
    removed, lock = [], files._lock

    def late(file):
        removed.append(file.name)
        if len(removed) == 1:
            os.unlink(file.name)
        return lock(file) if len(removed) != 2 else False

    monkeypatch.setattr(files, "_lock", late)
    put(tmp_path / "net.bnn", b"whole")
    assert len(removed) == 3 and (tmp_path / "net.bnn").read_bytes() == b"whole"


@needs_locks
def test_where_there_are_no_locks_files_are_written_and_nothing_is_removed(tmp_path, monkeypatch):
    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    (tmp_path / PART).write_text("another's")
    put(tmp_path / "net.bnn", b"whole")
    assert names(tmp_path) == ["net.bnn", PART] and (tmp_path / "net.bnn").read_bytes() == b"whole"


def test_on_windows_what_is_old_and_not_open_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    (tmp_path / PART).write_text("left")
    put(tmp_path / "net.bnn", b"whole")
    assert names(tmp_path) == ["net.bnn", PART]
    os.utime(tmp_path / PART, (time.time() - 4000,) * 2)
    put(tmp_path / "net.bnn", b"whole again")
    assert names(tmp_path) == ["net.bnn"] and (tmp_path / "net.bnn").read_bytes() == b"whole again"


def test_an_error_leaves_the_old_file_and_no_part(tmp_path):
    put(tmp_path / "net.bnn", b"whole")
    with contextlib.suppress(KeyboardInterrupt), atomic_write(tmp_path / "net.bnn") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["net.bnn"] and (tmp_path / "net.bnn").read_bytes() == b"whole"


# --- places --------------------------------------------------------------------------------------------------------


def refusal(path, force=False):
    before = names(Path(path).parent) if Path(path).parent.is_dir() else None
    with pytest.raises(PlaceError) as caught:
        check_place(path, force)
    assert before is None or names(Path(path).parent) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_free_place_is_good_and_stays_as_it_is(tmp_path):
    check_place(tmp_path / "new.png")
    check_place(tmp_path / "new.png", force=True)
    assert names(tmp_path) == []


def test_what_is_there_is_replaced_by_force_alone(tmp_path):
    (tmp_path / "old.png").write_text("years of work")
    assert refusal(tmp_path / "old.png").endswith("is there already; write elsewhere, or replace it with --force")
    check_place(tmp_path / "old.png", force=True)
    assert (tmp_path / "old.png").read_text() == "years of work"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", [*files.RUN_FILES, "Params.npz"])
def test_a_runs_own_files_are_never_replaced(name, force, tmp_path):
    check_place(tmp_path / name)                                            # of no run: a name like any other
    (tmp_path / "run.json").write_text("{}")
    assert "the run's own file, which nothing replaces" in refusal(tmp_path / name, force)
    check_place(tmp_path / "net.bnn", force)


@pytest.mark.parametrize("force", [False, True])
def test_where_no_file_can_be_written(force, tmp_path):
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path, force).endswith("is a folder: name a file to write")
    assert "nowhere is no folder that is there; make it" in refusal(tmp_path / "nowhere" / "x.png", force)
    assert "file is no folder that is there; make it" in refusal(tmp_path / "file" / "x.png", force)
    assert "cannot be written there (" in refusal(tmp_path / ("x" * 250), force)


@pytest.mark.skipif(os.name == "nt", reason="Windows makes no such files")
@pytest.mark.parametrize("force", [False, True])
def test_devices_fifos_and_links_to_nothing_are_never_replaced(force, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for path in (Path(os.devnull), tmp_path / "fifo", tmp_path / "link"):
        assert "is a device, a FIFO or a link to nothing" in refusal(path, force)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever runs this may write everywhere")
def test_a_folder_that_is_not_to_be_written(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written there (Permission denied)" in refusal(tmp_path / "x.png")


def test_the_next_free_name(tmp_path):
    for name, free in (("a.png", "a.png"), ("a.png", "a-2.png"), ("a.png", "a-3.png"), ("b", "b"), ("b", "b-2")):
        assert free_place(tmp_path / name) == tmp_path / free
        (tmp_path / free).touch()


# --- what is said --------------------------------------------------------------------------------------------------


def test_the_middle_is_left_out_of_what_is_very_long():
    assert brief("a few words") == "a few words"
    assert brief("x" * 200 + " " + "y" * 200) == "x" * 200 + " " + "y" * 200
    cut = brief("no file " + "/folder" * 1000 + "/end.npz; what to do")
    assert len(cut) < 240 and cut.startswith("no file /folder") and cut.endswith("/end.npz; what to do")
    assert cut.count(" ... ") == 1
    many = brief("word " * 10_000 + "end")
    assert 1900 < len(many) <= 2000 and many.endswith("word end")
    assert brief("\x1b[2J" + "\n") == "\\x1b[2J"
