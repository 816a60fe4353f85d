"""The lessons: they run, they print what is committed, and their form is one that every viewer can show.

Sums of floats depend on the order of adding, which BLAS chooses by the processor and the number of threads; and a few
steps of training make another network of another rounding. Tags say what that does to the text of a cell. "close":
numbers may differ in their last digits. "varies": behind a training, or where numbers are nothing but rounding, all of
them may; everything but the numbers is compared. "machine": says what this machine has or reaches; the text is not
compared.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

import contents
import nbclient
import nbformat
import pytest
import run_lessons

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
REFRESH = "if that is meant, `python notebooks/run_lessons.py` writes the outputs anew"
LIMIT_NOTEBOOK, LIMIT_PICTURE = 400_000, 60_000        # bytes
NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*([eE][-+]?\d+)?|\binf\b|\bnan\b)")
FORBIDDEN_TEX = re.compile(r"\\newcommand|\\def\b|\\label|\\(eq)?ref\b|\\begin\{(align|equation|eqnarray|gather)\*?\}")
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(home|tmp|usr|root|work|opt|var|mnt|Users|private)/|\b[A-Z]:\\\\?\w")
REPOSITORY = "bnn-ref/bnn_ref"
INSTALL = f"""import sys
from importlib.util import find_spec

sys.path.append("..")  # finds bnn_ref when this notebook is opened from the repository
if find_spec("bnn_ref") is None:  # elsewhere, on Colab for instance, install it
    %pip install --quiet git+https://github.com/{REPOSITORY}"""

lessons = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def joined(text):
    return text if isinstance(text, str) else "".join(text)


def output_text(cell):
    """All text that a cell put out; of the pictures their description."""
    parts = [joined(output["text"]) if output["output_type"] == "stream" else
             joined(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"]]
    return re.sub(r"0x[0-9a-f]+>", "0x>", "\n".join(parts))


def without_spaces(text):
    """Columns are padded for the longest of their numbers: runs of blanks count as one, inside of brackets none."""
    return re.sub(r"(?<=\[) | (?=\])", "", " ".join(text.split()))


def close(one, other):
    """Whether two printed numbers agree up to a millionth or one unit of the last digit; whole ones must be equal."""
    a, b = Decimal(one.replace(",", "")), Decimal(other.replace(",", ""))
    if not (a.is_finite() and b.is_finite()):
        return one == other
    last_digit = b.as_tuple().exponent
    unit = Decimal(10) ** last_digit if last_digit else 0
    return abs(a - b) <= max(unit, Decimal("1e-6") * max(1, abs(b)))


def as_far_as_compared(text, committed, tags):
    """Both texts without what may differ in a cell with these tags; close numbers are those of the second."""
    if "machine" in tags:
        return "", ""
    if "varies" in tags:
        return tuple(without_spaces(NUMBER.sub("#", each)) for each in (text, committed))
    if "close" in tags:
        numbers = NUMBER.finditer(committed)

        def pair(match):
            other = next(numbers, match)
            return other[0] if close(match[0], other[0]) else match[0]

        return without_spaces(NUMBER.sub(pair, text)), without_spaces(committed)
    return text, committed


def markdown(notebook):
    return "\n\n".join(joined(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# --- they run ------------------------------------------------------------------------------------------------------


@lessons
def test_runs_and_prints_what_is_committed(path):
    try:
        ran = run_lessons.execute(path)
    except nbclient.exceptions.CellExecutionError as error:
        pytest.fail(f"{path.name}: {error}", pytrace=False)
    for number, (now, committed) in enumerate(zip(code_cells(ran), code_cells(read(path))), start=1):
        kinds = [(output["output_type"], output.get("name")) for output in now["outputs"]]
        assert ("stream", "stderr") not in kinds, f"{path.name} [{number}] warns: {output_text(now)}"
        text, expected = as_far_as_compared(output_text(now), output_text(committed),
                                            committed["metadata"].get("tags", ()))
        assert text == expected, f"{path.name} [{number}] prints something else than is committed; {REFRESH}"


@pytest.mark.parametrize("tag, text, committed, same", [
    ("", "loss 0.5", "loss 0.5", True), ("", "loss 0.5", "loss  0.5", False), ("", "loss 0.5", "loss 0.6", False),
    ("close", "loss  0.51", "loss 0.52", True), ("close", "loss 0.51", "loss 0.53", False),
    ("close", "3 of 4", "3 of 4", True), ("close", "3 of 4", "3 of 5", False), ("close", "3 of 4", "3 at 4", False),
    ("close", "worst 9e-12", "worst 4e-11", True), ("close", "worst 9e-06", "worst 4e-05", False),
    ("close", "-1.05155921", "-1.05155939", True), ("close", "-1.05155921", "-1.05156121", False),
    ("close", "1.05155921", "-1.05155921", False), ("close", "a 1.0", "a 1.0 1.0", False),
    ("close", "a 1.0 1.0", "a 1.0", False), ("close", "nan", "nan", True), ("close", "inf", "nan", False),
    ("varies", "[[-1.  0.87]\n [ 1. 1.]]", "[[ 0.96 0.9 ]\n [-1. 1.]]", True),
    ("varies", "loss 0.5 %", "loss inf %", True), ("varies", "loss 0.5 %", "error 0.5 %", False),
    ("varies", "errors 1 2", "errors 1 2 3", False), ("machine", "2 cores", "a GPU", True),
])
def test_what_a_tag_lets_differ(tag, text, committed, same):
    one, other = as_far_as_compared(text, committed, [tag])
    assert (one == other) == same


@lessons
def test_tags_are_known_and_needed_once(path):
    for cell in code_cells(read(path)):
        tags = {"close", "varies", "machine"} & set(cell["metadata"].get("tags", ()))
        assert len(tags) <= 1 and set(cell["metadata"].get("tags", ())) == tags, f"{path.name}, {cell['id']}"


# --- they are committed whole, and small ---------------------------------------------------------------------------


@lessons
def test_is_a_valid_notebook_with_outputs(path):
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


@lessons
def test_equation_numbers_are_those_of_the_docstrings(path):
    tags = set(re.findall(r"\\tag\{([^}]*)\}", markdown(read(path))))
    assert tags, f"{path.name}: no equation has a number"
    assert not tags - set(contents.documented_equations())


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


@lessons
def test_installs_the_package_where_it_is_missing(path):
    head, install = read(path)["cells"][:2]
    badge = f"(https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{path.name})"
    assert badge in joined(head["source"])
    assert joined(install["source"]) == INSTALL


# --- the path through them -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def books():
    return {lesson.number: contents.read(lesson) for lesson in contents.LESSONS}


def test_the_path_has_every_lesson_in_its_order():
    assert [lesson.file for lesson in contents.LESSONS] == [path.name for path in PATHS]
    assert [lesson.number for lesson in contents.LESSONS] == list(range(1, len(PATHS) + 1))
    assert sorted(number for _, numbers, _ in contents.TRACKS for number in numbers) == list(range(1, len(PATHS) + 1))
    for lesson in contents.LESSONS:
        assert all(1 <= need < lesson.number for need in lesson.needs)
        assert 10 <= lesson.minutes <= 25


def test_the_tables_are_the_generated_ones(books):
    text = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    again = "`python notebooks/contents.py` writes it anew"
    assert contents.insert(text, contents.generated(books)) == text, again
    assert (NOTEBOOKS / "path.svg").read_text(encoding="utf-8") == contents.picture(books), again


def test_every_equation_of_the_package_is_in_a_lesson(books):
    shown = {tag for book in books.values() for tag in book.tags}
    assert set(contents.documented_equations()) == shown


def test_titles_and_sections_carry_the_number_of_the_lesson(books):
    for number, book in books.items():
        assert book.title.startswith(f"{number}. ")
        assert list(book.sections) == [f"{number}.{i}" for i in range(1, len(book.sections) + 1)]
        assert book.sources, f"lesson {number} shows no source"


def test_links_of_the_contents_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", (NOTEBOOKS / "README.md").read_text(encoding="utf-8")):
        assert target.startswith("https://") or (NOTEBOOKS / target).exists(), target


def test_one_command_opens_the_first_lesson(tmp_path):
    """The README's, but for the browser: Jupyter serves the page that it would open there, and the lesson on it."""
    text = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"&& jupyter (lab notebooks/01_\w+\.ipynb)\n", text)
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    server = subprocess.Popen([sys.executable, "-m", "jupyter", *command.split(), "--no-browser", "--port=0",
                               "--allow-root"], cwd=NOTEBOOKS.parent, env={**os.environ, **folders},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        opened, end = [], time.monotonic() + 120
        while not opened and time.monotonic() < end and server.poll() is None:
            time.sleep(0.2)
            opened = list(tmp_path.glob("RUNTIME/jpserver-file-to-run-*.html"))
        url = re.search(r'url=(http://[^"]+)"', opened[0].read_text(encoding="utf-8"))[1]
        assert f"/lab/tree/{PATHS[0].name}?" in url
        with urllib.request.urlopen(url, timeout=60) as page:
            assert b"JupyterLab" in page.read()
        with urllib.request.urlopen(url.replace("/lab/tree/", "/api/contents/"), timeout=60) as lesson:
            assert json.load(lesson)["type"] == "notebook"
    finally:
        server.terminate()
        server.wait(timeout=60)
