"""What the README shows is what happens."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bnn_ref.cli import choices, main, text
from bnn_ref.gradcheck import check_op
from bnn_ref.nets import network, recipe
from bnn_ref.papers import bnn, measured

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)


def test_the_table_of_results_is_the_measured_one():
    (shown,) = re.findall(r"<!-- measured -->\n(.*?)<!-- /measured -->", README, re.S)
    assert shown == measured.table() + "\n"
    assert measured.rows()


def test_the_repository_has_one_address():
    """In badges, links and install commands, wherever they stand."""
    files = [ROOT / "README.md", *(path for kind in ("md", "py", "ipynb", "rst") for part in ("notebooks", "tests")
                                   for path in (ROOT / part).rglob(f"*.{kind}"))]
    owners = {owner: path.name for path in files for owner in re.findall(
        r"(?:github\.com|/gh|/github)/([\w-]+)/bnn_ref\b", path.read_text(encoding="utf-8"))}
    assert len(owners) == 1, owners


def test_the_commands_measured_are_commands_and_lead_to_recipes():
    for row in measured.rows():
        words = shlex.split(row["command"])
        assert words[:2] == ["bnn-ref", "measure" if row["kind"] == "steps" else "train"]
        options = main._parser().parse_args(words[1:])
        if row["kind"] == "error":
            assert len(row["seeds"]) == len(row["test_errors"]) > 0
        if text.is_text(row["data"]):
            assert {name: getattr(options, name) for name in text.SETTINGS} == text.SETTINGS
            assert (options.paper, options.data, options.epochs) == (row["paper"], row["data"], row["epochs"])
            continue
        settings = choices.choose(options)
        assert all(settings[name] == row[name] for name in ("paper", "data", "preset", "net", "variant"))
        assert sum(chosen.epochs for chosen, _ in choices.rounds_of(settings, 50_000)) == row["epochs"]


def test_every_command_shown_parses():
    shown = re.findall(r"bnn-ref [^`\n&]+", README)
    assert len(shown) > 5
    for command in shown:
        main._parser().parse_args(shlex.split(command)[1:])


def test_the_network_shown_is_the_default_one():
    printed = network.describe(recipe.build(bnn.RECIPES["digits", "mlp", "quick"], (1, 8, 8), 10,
                                            bnn.VOCABULARIES["deterministic"]))
    shown = next(block for block in blocks("python") if block.startswith(">>>"))
    lines = [line.rstrip() for line in shown.splitlines() if not line.startswith(">>>")]
    assert lines[-1] == "..."
    assert printed.splitlines()[:len(lines) - 1] == lines[:-1]


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


def test_links_lead_to_files():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 20
    for target in targets:
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_module_is_on_the_map():
    for path in (ROOT / "bnn_ref").glob("[a-z]*.py"):
        assert f"(bnn_ref/{path.name})" in README, path.name


def test_the_style_is_kept():
    subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", str(ROOT)], check=True)


def test_the_installed_program_runs_outside_of_the_repository(tmp_path):
    """What the wheel lacks would be missed here: the data set, the measured results, the entry point."""
    code = "from bnn_ref import data; from bnn_ref.cli import main; data.load('digits'); main.main(['papers'])"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
                         env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert run.returncode == 0, f"bnn_ref is not installed here (pip install .): {run.stderr}"
    assert "float: " in run.stdout
