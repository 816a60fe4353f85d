"""What the README and the pages beside it show is what happens."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import front_page
import numpy as np
import pytest

import bnn_ref
from bnn_ref import data
from bnn_ref.cli import choices, main, text
from bnn_ref.gradcheck import check_op
from bnn_ref.kernels import LADDER, bits
from bnn_ref.nets import network, recipe
from bnn_ref.papers import PAPERS, bnn, measured
from tests.test_wings import LEVEL

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in (
    "README.md", "notebooks/results.md", "notebooks/speed.md", "notebooks/contributing.md",
    "notebooks/site/history.md")}
README, RESULTS, SPEED = list(PAGES.values())[:3]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)


def between(page, marker):
    (shown,) = re.findall(rf"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", page, re.S)
    return shown


# --- the first screen ----------------------------------------------------------------------------------------------


def test_the_first_screen_is_one_sentence_a_picture_links_code_and_two_commands():
    title, sentence, picture, caption, links, code = re.split(r"\n\n(?!x = )", README.split("\n## ")[0].strip())
    assert title == "# bnn_ref"
    assert sentence.count(". ") == 0 and sentence.endswith(".") and len(sentence) < 250
    description, file = re.fullmatch(r"!\[(.*)\]\((.*)\)", picture).groups()
    assert (ROOT / file) == front_page.PICTURE
    assert 100 < len(description) < 400
    runs = front_page.drawn()["runs"]
    for shown, drawn in zip(re.findall(r"`bnn-ref (.*?)`", caption), (runs["BNN"], runs["BinaryConnect"]), strict=True):
        asked, done = (main._parser().parse_args(shlex.split(command)) for command in (
            shown, drawn["command"].removeprefix("bnn-ref ")))
        assert choices.choose(asked) == choices.choose(done)
    assert len(re.findall(r"\[[^]]+\]\([^)]+\)", links)) == 5
    lines = [line for line in code.splitlines()[1:-1] if line]
    assert len(lines) == 8
    for shown in ("_forward(", "_backward(", "check_op("):
        assert shown in code
    section = README.split("\n## ")[1]
    assert section.startswith("Two commands")
    assert [block.count("bnn-ref train") + block.count("pytest") for block in re.findall(
        r"```sh\n(.*?)```", section, re.S)] == [1, 1, 0]


def test_the_eight_lines_print_what_they_say():
    code, said = blocks("python")[0], io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    printed, comment = re.search(r"^print\((.*)\) +# (.*)$", code, re.M).groups()
    assert printed == "x_b, dx"
    assert said.getvalue().strip() == comment


def test_the_readme_is_small():
    assert len((ROOT / "README.md").read_bytes()) <= 12_288


# --- the picture ---------------------------------------------------------------------------------------------------


def test_the_picture_is_drawn_from_the_numbers_that_it_holds():
    text = front_page.PICTURE.read_text(encoding="utf-8")
    assert text == front_page.picture(front_page.drawn())
    assert len(text.encode()) < 150_000
    assert "prefers-color-scheme: dark" in text
    ElementTree.fromstring(text)                                                     # well-formed, so browsers show it


def test_the_numbers_of_the_picture_are_of_whole_runs():
    """Other processors train other networks: errors are compared with the table's as far as such runs differ."""
    runs = front_page.drawn()["runs"]
    assert list(runs) == list(front_page.RUNS)
    for name, (paper, variant) in front_page.RUNS.items():
        options = main._parser().parse_args(shlex.split(runs[name]["command"])[1:])
        settings = choices.choose(options)
        (chosen, _), = choices.rounds_of(settings, (1, 8, 8))
        assert (settings["paper"], settings["variant"], settings["seed"]) == (paper, variant, 0)
        errors, shares = runs[name]["valid_error"], runs[name]["weights"]
        assert len(errors) == chosen.epochs + 1
        assert errors[0] > 50 and max(errors[-10:]) < 5                              # it learnt
        (row,) = [row for row in measured.rows(paper) if (row["data"], row["variant"], row["form"])
                  == ("digits", variant, "")]
        assert runs[name]["test_error"] == pytest.approx(np.mean(row["test_errors"]), abs=1.5)
        assert {int(epoch) for epoch in shares} == {epoch for epoch in front_page.EPOCHS if epoch <= chosen.epochs}
        assert all(sum(part) == pytest.approx(1, abs=2e-3) for part in shares.values())
    ends = [part[0] + part[-1] for part in runs["BinaryConnect"]["weights"].values()]
    assert ends == sorted(ends) and ends[-1] > 3 * ends[0]                           # "Weights go to ±1"


def test_the_digit_of_the_picture_is_the_data_set_s_first():
    digit = front_page.drawn()["digit"]
    first = data.load("digits").train_x[0, 0]
    assert digit["pixels"] == first.tolist()
    signs = np.where(2 * first.reshape(-1).astype(int) - 255 >= 0, 1, -1)
    assert bits.unpack(np.array([int(digit["word"], 16)], np.uint64), 64).tolist() == signs.tolist()


def test_the_picture_can_be_drawn_anew():
    """With fewer epochs, so that it takes seconds; the same kinds of numbers as in the picture that is there."""
    found, kept = front_page.numbers(epochs=1), front_page.drawn()
    assert found["digit"] == kept["digit"]
    assert list(found["runs"]) == list(kept["runs"])
    for name, run in found["runs"].items():
        assert run.keys() == kept["runs"][name].keys()
        assert (run["command"], len(run["valid_error"])) == (kept["runs"][name]["command"], 2)
        # Before any training: drawn from the seed, on every processor alike.
        assert run["weights"] == {"0": kept["runs"][name]["weights"]["0"]}
    ElementTree.fromstring(front_page.picture(found))


# --- tables --------------------------------------------------------------------------------------------------------


def test_the_table_of_results_is_the_measured_one():
    assert between(RESULTS, "measured") == measured.table() + "\n"
    assert measured.rows()


def test_the_short_tables_are_those_of_the_pages():
    for marker, shown in front_page.tables().items():
        assert between(README, marker) == shown + "\n"
        rows = [line for line in shown.splitlines() if line.startswith("| ")]
        assert len(rows) == 2 + 5


def test_the_short_table_of_timings_repeats_cells_of_the_page():
    """Read here by hand: the fastest rung on one core at the largest size, and four rows beside it."""
    page = """
<!-- bench matmul -->
| rung | threads | 64³ | 128³ | of the register limit | what changes |
| --- | --- | --- | --- | --- | --- |
| `loops` | 1 | 9.9 × | 9.0 × | 1 % | c |
| `lanes` | 1 | 2.0 × | 11.5 × | 1 % | c |
| `rows` | 1 | 1.0 × |  | 1 % | c |
| PyTorch int8 | 1 | 50.0 × | 50.0 × | 1 % |  |
| `lanes` | 2 | 3.0 × | 70.0 × | 1 % | c |

| rows of a | `rows` | `blocks` |
| --- | --- | --- |
| 1 | 40.0 × | 7.0 × |
<!-- /bench matmul -->
<!-- bench mlp -->
| what | threads | times faster |
| --- | --- | --- |
| 10,000 pictures at once | 2 | 8.0 × |
| 10,000 pictures at once | 1 | 7.0 × |
<!-- /bench mlp -->
<!-- bench convnet -->
| what | threads | times faster |
| --- | --- | --- |
| 100 pictures at once | 1 | 12.0 × |
<!-- /bench convnet -->
<!-- bench train -->
| net | threads | of readable | of PyTorch eager, fused Adam |
| --- | --- | --- | --- |
| `1024FC-1024FC-1024FC` | 1 | 0.30 | 0.40 |
<!-- /bench train -->
"""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in front_page.speed(page).splitlines()[2:]]
    assert [row[2] for row in rows] == ["11.5 ×", "40.0 ×", "7.0 ×", "12.0 ×", "2.5 ×"]
    assert rows[0][0] == "product of ±1, 128³, rung `lanes`"


def test_the_slower_rungs_are_said_to_be_slower():
    """On one core, at the smallest size, where all are timed; some of them on some processors alone."""
    rows = front_page._table(SPEED, "bench matmul", "rung")
    times = {row["rung"].strip("`"): float(row["1024³"].split()[0]) for row in rows if row["threads"] == "1"}
    ladder = [rung.name for rung in LADDER if rung.name in times and rung.name != "rows"]
    slower = [name for before, name in pairwise(ladder) if times[name] < times[before]]
    said = re.search(r"^Two rungs are no faster.*?\n\n", SPEED, re.S | re.M)[0]
    assert re.findall(r": `(\w+)` is the idea|`(\w+)` is what", said) == [("identity", ""), ("", "tiles")]
    somewhere = re.findall(r"`(\w+)` spares popcounts|`(\w+)` is for those", said)
    assert somewhere == [("carry_save", ""), ("", "lookup")]
    assert [name for name in slower if name not in ("carry_save", "lookup")] == ["identity", "tiles"]


def test_the_multiplications_shown_are_those_counted(capsys):
    command = re.search(r"`bnn-ref (costs few_multiplications [^`]*)`", RESULTS)[1]
    assert main.main(shlex.split(command)) == 0
    counted = capsys.readouterr().out
    shown = re.findall(r"\d{1,3}(?:,\d{3})+", RESULTS.split("## Multiplications")[1])
    assert len(shown) == 4
    for number in shown:
        assert number in counted, number


# --- commands and code ---------------------------------------------------------------------------------------------


def test_the_commands_measured_are_commands_and_lead_to_recipes():
    for row in measured.rows():
        words = shlex.split(row["command"])
        assert words[:2] == ["bnn-ref", "measure" if row["kind"] == "steps" else "train"]
        options = main._parser().parse_args(words[1:])
        if row["kind"] == "error":
            assert len(row["seeds"]) == len(row["test_errors"]) > 0
        if text.is_text(row["data"]):
            assert {name: getattr(options, name) for name in text.SETTINGS} == text.SETTINGS
            assert (options.paper, options.data, options.epochs) == (row["paper"], row["data"], (row["epochs"],))
            continue
        settings = choices.choose(options)
        assert all(settings[name] == row[name] for name in ("paper", "data", "preset", "net", "variant"))
        assert sum(chosen.epochs for chosen, _ in choices.rounds_of(settings, (1, 28, 28))) == row["epochs"]


@pytest.mark.parametrize(("name", "least"), [*zip(PAGES, (10, 40, 4, 0, 4))])
def test_every_command_shown_parses(name, least):
    shown = re.findall(r"(?:\bbnn-ref|-m bnn_ref) ([^`\n&]+)", PAGES[name])
    assert len(shown) >= least
    for command in shown:
        main._parser().parse_args(shlex.split(re.sub(r" \[.*?\]", "", command)))


def test_the_network_shown_is_the_default_one():
    printed = network.describe(recipe.build(bnn.RECIPES["digits", "mlp", "quick"], (1, 8, 8), 10,
                                            bnn.VOCABULARIES["deterministic"]))
    shown = next(block for block in blocks("python") if block.startswith(">>>"))
    lines = [line.rstrip() for line in shown.splitlines() if not line.startswith(">>>")]
    assert lines[-1] == "..."
    assert printed.splitlines()[:len(lines) - 1] == lines[:-1]
    code = "\n".join(line[4:] for line in shown.splitlines() if line.startswith(">>> "))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    assert said.getvalue().strip() == printed.strip()


def test_the_check_shown_says_what_is_shown():
    code = next(block for block in blocks("python") if "scale_forward" in block)
    message = re.search(r"^```\nAssertionError: (.*)\n```$", README, re.M)[1]
    with pytest.raises(AssertionError) as error:
        exec(code, {})
    numbers = re.compile(r"-?\d+\.\d+")
    assert numbers.sub("#", str(error.value)) == numbers.sub("#", message)
    assert [float(x) for x in numbers.findall(str(error.value))] == pytest.approx(
        [float(x) for x in numbers.findall(message)], rel=1e-6)
    fixed = code.replace(".mean(axis=0)", ".sum(axis=0)")
    assert fixed != code
    exec(fixed, {"check_op": check_op})


def test_the_steps_through_it_lead_into_the_equation(tmp_path):
    """What is shown for pdb, typed into it."""
    command = next(block for block in blocks("sh") if "pdb" in block).split()
    (shown,) = blocks("text")
    typed = re.findall(r"^\(Pdb\) (.*)$", shown, re.M)
    answer = shown.splitlines()[-1]
    assert command[0] == "python"
    run = subprocess.run([sys.executable, *command[1:]], input="\n".join([*typed, "quit"]), cwd=tmp_path, text=True,
                         capture_output=True, timeout=300, encoding="utf-8",
                         env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"})
    assert "binarize.py" in run.stdout and "sign_backward()" in run.stdout, run.stderr
    assert f"(Pdb) {answer}" in run.stdout


# --- links, names and the map --------------------------------------------------------------------------------------


def headings(path):
    return {re.sub(r"[^\w\- ]", "", line).strip().replace(" ", "-").lower()
            for line in re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)}


@pytest.mark.parametrize("name", list(PAGES))
def test_links_lead_to_files_and_their_sections(name):
    folder = (ROOT / name).parent
    targets = re.findall(r"\]\(([^)]+)\)", PAGES[name])
    assert len(targets) > 30 or name != "README.md"
    for target in targets:
        if not target.startswith("https://"):
            file, _, section = target.partition("#")
            path = folder / file if file else ROOT / name
            assert path.exists(), target
            assert not section or section in headings(path), target


def test_the_repository_has_one_address():
    """In badges, links and install commands, wherever they stand."""
    files = [ROOT / "README.md", *(path for kind in ("md", "py", "ipynb", "rst") for part in ("notebooks", "tests")
                                   for path in (ROOT / part).rglob(f"*.{kind}"))]
    owners = {owner: path.name for path in files for owner in re.findall(
        r"(?:github\.com|/gh|/github)/([\w-]+)/bnn_ref\b", path.read_text(encoding="utf-8"))}
    assert len(owners) == 1, owners


def test_every_wing_is_on_the_map():
    shown = re.findall(r"\]\(bnn_ref/([\w.]+)\)", README.split("## Map")[1].split("\n## ")[0])
    wings = [wing for wing in LEVEL if wing not in ("__main__", "__init__")]
    assert [name.removesuffix(".py") for name in shown] == wings            # from the top down, each in one place


def test_every_paper_is_in_the_table():
    assert [f"train {paper}" for paper in PAPERS if paper != "float"] == sorted(
        re.findall(r"\| `(train \w+)` \|", README), key=lambda shown: list(PAPERS).index(shown.split()[1]))


def test_there_are_six_rows_on_which_system_is_for_what():
    rows = re.findall(r"^\| .*", README.split("## Which system for what")[1].split("\n## ")[0], re.M)
    assert len(rows) == 2 + 6
    for name in ("bnn_ref", "larq", "brevitas", "minitorch", "authors' code", "torchao"):
        assert sum(name in row for row in rows) == 1, name


def test_the_citation_is_the_one_of_the_file():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    shown = next(iter(blocks("bibtex")))
    for key in ("title", "version"):
        value = re.search(rf'^{key}: "?(.*?)"?$', citation, re.M)[1]
        assert f"{key} = {{{value}}}" in shown
    assert f"version = {{{bnn_ref.__version__}}}" in shown
    assert f"\n## {bnn_ref.__version__}" in PAGES["notebooks/site/history.md"]


# --- the rest ------------------------------------------------------------------------------------------------------


def test_the_style_is_kept():
    subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", str(ROOT)], check=True)


def test_the_installed_program_runs_outside_of_the_repository(tmp_path):
    """What the wheel lacks would be missed here: the data set, the measured results, the entry point."""
    code = "from bnn_ref import data; from bnn_ref.cli import main; data.load('digits'); main.main(['papers'])"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
                         env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert run.returncode == 0, f"bnn_ref is not installed here (pip install .): {run.stderr}"
    assert "float: " in run.stdout
