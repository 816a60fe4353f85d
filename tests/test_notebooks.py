"""The lessons: they run, they print what is committed, and their form is one that every viewer can show.

`python tests/test_notebooks.py [LESSON.ipynb ...]` runs them, or all, and writes their outputs back: do that after a
change of a lesson or of a function that one shows. A cell with the tag "varies" prints numbers that differ in their last digits (or, behind a
training, in all) between processors; of its text everything but the numbers is compared. One with the tag "machine"
says what this machine has or reaches; its text is not compared.
"""

import ast
import base64
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest

import bnn_ref

try:
    import ipykernel  # noqa: F401
    import nbclient
    import nbformat
except ImportError:
    nbclient = None

PACKAGE = Path(bnn_ref.__file__).resolve().parent
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
REFRESH = "if that is meant, `python tests/test_notebooks.py` writes the outputs anew"
LIMIT_NOTEBOOK, LIMIT_PICTURE = 400_000, 60_000        # bytes
NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*([eE][-+]?\d+)?|\binf\b|\bnan\b)")
EQUATION_NUMBER = re.compile(r"\[([A-Z]{2,}-[A-Z]?\d[\d.]*|[A-Z]{2,}-[A-Z])\]")
FORBIDDEN_TEX = re.compile(r"\\newcommand|\\def\b|\\label|\\(eq)?ref\b|\\begin\{(align|equation|eqnarray|gather)\*?\}")
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(home|tmp|usr|root|work|opt|var|mnt|Users|private)/|\b[A-Z]:\\\\?\w")

lessons = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def execute(path):
    """The notebook, run by this very interpreter, in an empty folder, with nobody's settings."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        work, spec = folder / "empty" / "work", folder / "kernels" / "bnn-ref-lessons"
        work.mkdir(parents=True)
        spec.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.joinpath("kernel.json").write_text(
            json.dumps({"argv": command, "display_name": "lessons", "language": "python"}), encoding="utf-8")
        python_path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        # One thread: matrices as small as these are slower with more, and much slower on a busy machine.
        settings = {"JUPYTER_PATH": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
                    "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": python_path,
                    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with mock.patch.dict(os.environ, settings):
            nbclient.NotebookClient(notebook, kernel_name=spec.name, timeout=300, record_timing=False,
                                    coalesce_streams=True, resources={"metadata": {"path": str(work)}}).execute()
        left = sorted(entry.name for entry in work.rglob("*"))
    assert not left, f"{path.name} wrote to the reader's folder: {left}"
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def joined(text):
    return text if isinstance(text, str) else "".join(text)


def output_text(cell):
    """All text that a cell put out; of the pictures their description."""
    parts = [joined(output["text"]) if output["output_type"] == "stream" else
             joined(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]]
    text = re.sub(r"0x[0-9a-f]+>", "0x>", "\n".join(parts))
    tags = cell["metadata"].get("tags", ())
    if "machine" in tags:
        return ""
    if "varies" in tags:
        text = " ".join(NUMBER.sub("#", text).split())
    return text


def markdown(notebook):
    return "\n\n".join(joined(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# --- they run ------------------------------------------------------------------------------------------------------


def test_there_are_lessons():
    assert len(PATHS) >= 3, f"no lessons in {NOTEBOOKS}"


@lessons
def test_runs_and_prints_what_is_committed(path):
    if nbclient is None:
        pytest.fail("the lessons need Jupyter: pip install \".[test]\"")
    try:
        ran = execute(path)
    except nbclient.exceptions.CellExecutionError as error:
        pytest.fail(f"{path.name}: {error}", pytrace=False)
    for number, (now, committed) in enumerate(zip(code_cells(ran), code_cells(read(path))), start=1):
        kinds = [(output["output_type"], output.get("name")) for output in now["outputs"]]
        assert ("stream", "stderr") not in kinds, f"{path.name} [{number}] warns: {output_text(now)}"
        assert output_text(now) == output_text(committed), \
            f"{path.name} [{number}] prints something else than is committed; {REFRESH}"


# --- they are committed whole, and small ---------------------------------------------------------------------------


@lessons
def test_is_a_valid_notebook_with_outputs(path):
    if nbclient is None:
        pytest.fail("the lessons need Jupyter: pip install \".[test]\"")
    nbformat.validate(nbformat.read(path, as_version=nbformat.NO_CONVERT))
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), f"{path.name}: not run from above once; {REFRESH}"
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    assert outputs, f"{path.name}: committed without outputs; {REFRESH}"
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [cell["id"] for cell in notebook["cells"] if "execution" in cell["metadata"]]


@lessons
def test_is_small(path):
    assert path.stat().st_size <= LIMIT_NOTEBOOK, f"{path.name}: {path.stat().st_size} bytes"
    for number, cell in enumerate(code_cells(read(path)), start=1):
        for output in cell["outputs"]:
            picture = joined(output.get("data", {}).get("image/png", ""))
            size = len(base64.b64decode(picture))
            assert size <= LIMIT_PICTURE, f"{path.name} [{number}]: a picture of {size} bytes"


@lessons
def test_names_no_folder_of_the_machine_it_ran_on(path):
    for number, cell in enumerate(code_cells(read(path)), start=1):
        found = ABSOLUTE_PATH.search(output_text(cell))
        assert not found, f"{path.name} [{number}]: an absolute path: {found[0]}"


# --- their form ----------------------------------------------------------------------------------------------------


@lessons
def test_equations_show_in_every_viewer(path):
    """`$$` alone on its line, in pairs, no environment or macro that a viewer on the web fails at."""
    for cell in read(path)["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        inside = False
        for line in joined(cell["source"]).split("\n"):
            where = f"{path.name}, {cell['id']}: {line}"
            assert not FORBIDDEN_TEX.search(line), where
            if "$$" in line:
                assert line == "$$", f"$$ belongs alone on its line: {where}"
                inside = not inside
                continue
            assert not (inside and not line.strip()), f"an empty line ends the equation: {where}"
            assert not (inside and line.lstrip().startswith("=")), f"becomes a headline on nbviewer: {where}"
            assert inside or r"\tag" not in line, f"a tag outside of an equation: {where}"
        assert not inside, f"{path.name}, {cell['id']}: $$ is not closed"


def documented_equations():
    """Every [BNN-1] in a docstring of the package."""
    found = set()
    for source in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found.update(EQUATION_NUMBER.findall(ast.get_docstring(node) or ""))
    return found


@lessons
def test_equation_numbers_are_those_of_the_docstrings(path):
    tags = set(re.findall(r"\\tag\{([^}]*)\}", markdown(read(path))))
    assert tags, f"{path.name}: no equation has a number"
    assert not tags - documented_equations()


@lessons
def test_has_the_sections_of_a_lesson(path):
    text = markdown(read(path))
    assert text.startswith("# ")
    assert "## What you learnt" in text
    questions = text.count("### Change this and predict")
    assert questions >= 1
    assert text.count("<details><summary>Answer</summary>\n\n") == text.count("\n\n</details>") == questions


@lessons
def test_code_fits_the_page(path):
    for cell in code_cells(read(path)):
        long = [line for line in joined(cell["source"]).split("\n") if len(line) >= 100]
        assert not long, f"{path.name}, {cell['id']}: {long[0]}"


@lessons
def test_links_between_lessons_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", markdown(read(path))):
        assert target.startswith("https://") or (NOTEBOOKS / target).exists(), f"{path.name}: {target}"


def test_the_table_of_contents_is_complete():
    text = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in PATHS if f"({path.name})" not in text]


if __name__ == "__main__":
    if nbclient is None:
        sys.exit("the lessons need Jupyter: pip install \".[test]\"")
    for lesson in [Path(name).resolve() for name in sys.argv[1:]] or PATHS:
        refreshed = execute(lesson)
        refreshed.metadata = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python",
                                             "name": "python3"}, "language_info": {"name": "python"}}
        lesson.write_text(nbformat.writes(refreshed) + "\n", encoding="utf-8", newline="\n")
        print(f"{lesson.name}: {lesson.stat().st_size:,} bytes")
