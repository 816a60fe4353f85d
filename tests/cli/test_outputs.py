"""Files that commands write: a place for each before the work, and nothing of anybody's replaced without --force."""

import shutil
import sys
from pathlib import Path

import pytest

from bnn_ref.cli import main, plots
from bnn_ref.files import RUN_FILES
from tests.cli.command import contents, refused
from tests.cli.made import made_run, save_greys

HEX = "0123456789abcdef"
# Each option that names a file, in a command that ends well in a folder with two runs; FILE is its value.
WRITERS = {"pack": ["pack", "run", "--out", "FILE"],
           "features": ["features", "run", "--out", "FILE"],
           "exponents": ["exponents", "run", "--out", "FILE"],
           "costs": ["costs", "run", "--picture", "FILE"],
           "filters": ["filters", "convnet", "--picture", "FILE"],
           "papers": ["papers", "--picture", "FILE"],
           "compare": ["compare", "run", "--out", "FILE"],
           "weights": ["compare", "run", "--out", "compare.png", "--weights", "FILE"],
           "json": ["bench", "matmul", "--json", "FILE", "--picture", "bench.png"],
           "bench": ["bench", "matmul", "--picture", "FILE"]}
PICTURES = [name for name in WRITERS if name not in ("pack", "json")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run of an MLP and one of a convolutional network."""
    folder = tmp_path_factory.mktemp("made")
    save_greys(folder / "own.npz", 10, 250, [0, 1])
    made_run(folder / "run", "bnn", "deterministic", folder / "own.npz")
    made_run(folder / "convnet", "bnn", "deterministic", "digits", net="convnet")
    return folder


@pytest.fixture(autouse=True)
def _there(made, tmp_path, monkeypatch):
    for name in ("run", "convnet"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _timed_at_once(monkeypatch):
    """Timing takes minutes: in its place one result of few numbers."""
    report = pytest.importorskip("bnn_ref.bench.report")
    contests = pytest.importorskip("bnn_ref.bench.contests")
    monkeypatch.setitem(contests.BENCHES, "matmul", lambda tick, thorough: {"bench": "matmul"})
    monkeypatch.setattr(report, "tables", lambda result: "a table")
    monkeypatch.setattr(report, "figures", lambda result: [])
    monkeypatch.setattr(report, "bars", lambda result: ("a title", [("one", 2.0, True)]))


def command(name, file):
    return [str(file) if word == "FILE" else word for word in WRITERS[name]]


def suffix(name):
    return ".png" if name in PICTURES else ".bin"


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_there_is_replaced_by_force_alone(name, capsys):
    old = Path(f"old{suffix(name)}")
    old.write_text("years of work")
    error = refused(capsys, *command(name, old))
    assert f"{old} is there already; write elsewhere, or replace it with --force" in error
    assert main.main([*command(name, old), "--force"]) == 0
    assert old.read_bytes() != b"years of work"


@pytest.mark.parametrize("name", WRITERS)
def test_a_runs_own_files_are_replaced_by_nothing(name, capsys):
    for own in RUN_FILES:
        path = Path("convnet", own)
        if name in PICTURES and path.suffix != ".png":
            continue
        for force in ([], ["--force"]):
            assert "is the run's own file, which nothing replaces" in refused(capsys, *command(name, path), *force)


@pytest.mark.parametrize("name", WRITERS)
def test_the_place_is_looked_at_before_the_work(name, capsys):
    """Even before the run is opened: there is none, and what is said is of the place."""
    shutil.rmtree("run")
    shutil.rmtree("convnet")
    Path("folder").mkdir()
    assert "folder is a folder: name a file to write" in refused(capsys, *command(name, "folder"))
    assert "nowhere is no folder that is there" in refused(capsys, *command(name, f"nowhere/x{suffix(name)}"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_a_name_that_says_what_it_is(name, capsys):
    for ending in (".jpeg", "", ".bnn"):
        error = refused(capsys, *command(name, f"x{ending}"))
        assert "is no name for a picture; end it in .png or .pdf or .svg" in error


@pytest.mark.parametrize("name, begins", [("x.png", b"\x89PNG"), ("x.PDF", b"%PDF"), ("x.svg", b"<?xml")])
def test_a_picture_is_what_its_name_says(name, begins):
    plots.save(plots.bars("a title", [("one", 2.0, True)]), Path(name))
    assert Path(name).read_bytes().startswith(begins)


def test_two_options_name_two_files(capsys):
    error = refused(capsys, "compare", "run", "--out", "x.png", "--weights", "run/../x.png")
    assert "--out and --weights: both write run/../x.png" in error
    error = refused(capsys, "compare", "run", "--weights", "compare.png")
    assert "--out and --weights: both write compare.png" in error
    error = refused(capsys, "bench", "matmul", "--json", "x.png")
    assert "--json and --picture: both write x.png" in error


def test_without_an_option_the_next_free_name_is_taken(capsys):
    for number in ("", "-2", "-3"):
        assert main.main(["compare", "run"]) == 0
        assert capsys.readouterr().out.endswith(f"\npicture in compare{number}.png\n")
    assert main.main(["bench", "matmul", "--json", "x.json"]) == 0
    assert main.main(["bench", "matmul"]) == 0
    assert main.main(["bench", "matmul"]) == 0
    assert {"x.json", "x.png", "bench-matmul.png", "bench-matmul-2.png"} < set(contents("."))
    before = Path("compare.png").read_bytes()
    Path("compare.png").write_bytes(b"another")
    assert main.main(["compare", "run", "--force"]) == 0
    assert Path("compare.png").read_bytes() == before


def test_what_a_killed_pack_left_is_gone_after_the_next(capsys):
    Path(f"net.bnn.{HEX}.part").write_bytes(b"half")
    if sys.platform == "win32":
        import os

        os.utime(f"net.bnn.{HEX}.part", (0, 0))
    assert main.main(["pack", "run", "--out", "net.bnn"]) == 0
    assert [name for name in contents(".") if name.startswith("net.bnn")] == ["net.bnn"]


def test_a_page_that_cannot_be_written_is_said_before_the_timing(capsys):
    Path("folder").mkdir()
    assert "folder is a folder" in refused(capsys, "bench", "matmul", "--readme", "folder", "--picture", "x.png")
    Path("page.md").write_bytes(b"caf\xe9 <!-- bench matmul --><!-- /bench matmul -->")
    assert "page.md: expected a text in UTF-8" in refused(capsys, "bench", "matmul", "--readme", "page.md")
    assert "nowhere.md: No such file" in refused(capsys, "measure", "--readme", "nowhere.md")
