"""The course without nbgrader: each set's solutions pass its tests, each wrong answer fails its own, the form is right.

`test_grading.py` has the same answers graded by nbgrader itself.
"""

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from tests.notebooks.course_answers import COURSE, SETS, graded_by_name, points, solutions, source, text, wrong_answers

ROOT = COURSE.parent.parent
LESSONS = "https://github.com/bnn-ref/bnn_ref/blob/main/notebooks/"
FORBIDDEN_TEX = re.compile(r"\\newcommand|\\def\b|\\label|\\(eq)?ref\b|\\begin\{(align|equation|eqnarray|gather)\*?\}")

# Runs a set once for each {part: answer} of a list; prints for each the parts that failed, with the reasons.
RUN = """
import json, sys, warnings
warnings.simplefilter("error", RuntimeWarning)       # nbgrader gives no points where a test writes to stderr
cells, variants = json.load(sys.stdin)
outcomes = []
for answers in variants:
    failed, names = {}, {}
    for name, text in cells:
        try:
            exec(compile(answers.get(name, text), name, "exec"), names)
        except Exception as error:
            failed[name.removeprefix("test_")] = f"{type(error).__name__}: {error}"
    outcomes.append(failed)
print(json.dumps(outcomes))
"""

sets = pytest.mark.parametrize("name", [pytest.param(name, marks=getattr(pytest.mark, f"task_{name[3:]}"))
                                        for name in SETS])


def outcomes(name, *variants):
    """[{part that failed: why}], for each {part: answer} that is exchanged; the other answers are the solutions."""
    code = [(cell["metadata"].get("nbgrader", {}).get("grade_id", cell["id"]), text(cell))
            for cell in source(name)["cells"] if cell["cell_type"] == "code"]
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run([sys.executable, "-c", RUN], input=json.dumps([code, variants]), capture_output=True,
                         text=True, timeout=300,
                         env={**os.environ, "PYTHONPATH": python_path, "OPENBLAS_NUM_THREADS": "1",
                              "NUMBA_DISABLE_JIT": "0"})
    assert ran.returncode == 0 and ran.stdout.count("\n") == 1, f"{ran.stdout}\n{ran.stderr}"   # cells print nothing
    return json.loads(ran.stdout)


def markdown(name):
    return "\n\n".join(text(cell) for cell in source(name)["cells"] if cell["cell_type"] == "markdown")


# --- the answers ---------------------------------------------------------------------------------------------------


@sets
def test_solutions_pass_and_each_wrong_answer_fails_its_own_part(name):
    wrong = wrong_answers(name)
    assert len(wrong) >= 3 and {part for part, _, _ in wrong} <= points(name).keys()
    right, *failed = outcomes(name, {}, *({part: answer} for part, _, answer in wrong))
    assert right == {}
    for (part, what, _), parts in zip(wrong, failed):
        assert parts.keys() == {part}, f"{part}, {what}: {parts}"


@sets
def test_an_empty_hand_in_fails_in_every_part(name):
    stubs = dict.fromkeys(solutions(name), "raise NotImplementedError()")
    assert outcomes(name, stubs)[0].keys() == points(name).keys()


# --- the form ------------------------------------------------------------------------------------------------------


@sets
def test_every_answer_has_its_test_right_below(name):
    """In pairs `x` and `test_x`, 20 points in all; visible checks first, then hidden ones."""
    cells = [cell for cell in source(name)["cells"] if "nbgrader" in cell["metadata"]]
    names = [cell["metadata"]["nbgrader"]["grade_id"] for cell in cells]
    assert names[0] == "setup" and not source(name)["cells"][1]["metadata"]["nbgrader"]["solution"]
    assert names[2::2] == [f"test_{part}" for part in names[1::2]] and 3 <= len(points(name)) <= 6
    assert sum(points(name).values()) == 20
    for cell in cells:
        meta, code = cell["metadata"]["nbgrader"], "".join(cell["source"])
        kind = meta["grade"], meta["solution"], meta["locked"]
        answer = "### BEGIN SOLUTION" in code and "### END SOLUTION" in code
        tests = "### BEGIN HIDDEN TESTS" in code and code.rstrip().endswith("### END HIDDEN TESTS")
        assert (answer, tests, kind) in ((False, False, (False, False, True)), (True, False, (False, True, False)),
                                         (False, True, (True, False, True))), meta["grade_id"]
        if tests:
            visible = list(ast.walk(ast.parse(code.split("### BEGIN HIDDEN TESTS")[0])))
            messages = [node.msg for node in visible if isinstance(node, ast.Assert)]
            messages += ["err_msg" in [keyword.arg for keyword in node.keywords] for node in visible
                         if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("assert_")]
            assert messages and all(messages), f"a check in {meta['grade_id']} has no message"


@sets
def test_is_a_valid_source_without_outputs(name):
    book = source(name)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5) and book["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert len(graded_by_name(book)) == sum("nbgrader" in cell["metadata"] for cell in book["cells"])
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            long = [line for line in text(cell).split("\n") if len(line) >= 100]
            assert not long, f"{cell['id']}: {long[0]}"


@sets
def test_names_its_lessons_and_its_marker(name):
    said = markdown(name)
    assert said.startswith(f"# Set {int(name[:2])}. ") and "20 points" in said
    assert f"`pytest -m {marker(name)}`" in said
    linked = re.findall(rf"\]\({re.escape(LESSONS)}([^)]+)\)", said)
    assert linked and not [lesson for lesson in linked if not (COURSE.parent / lesson).exists()]


def marker(name):
    """The marker of the project's tests of what a set teaches: 04_optimizers -> task_optimizers."""
    return f"task_{name[3:]}"


@sets
def test_equations_show_in_every_viewer(name):
    """`$$` alone on its line, in pairs, nothing in between that a viewer on the web fails at."""
    for cell in source(name)["cells"]:
        if cell["cell_type"] == "markdown":
            assert not FORBIDDEN_TEX.search(text(cell))
            lines = text(cell).split("\n")
            assert not [line for line in lines if "$$" in line and line != "$$"] and lines.count("$$") % 2 == 0
            for equation in "\n".join(lines).split("$$\n")[1::2]:
                assert "\n\n" not in equation and not re.search(r"(?m)^\s*(=|$)", equation.rstrip("\n"))


# --- the teacher's page --------------------------------------------------------------------------------------------

PAGE = (COURSE / "README.md").read_text(encoding="utf-8")


def rows(headline):
    """The cells of the table below a headline of the teacher's page."""
    section = PAGE.split(f"## {headline}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("| ")][2:]
    return [[column.strip() for column in line.strip("|").split("|")] for line in lines]


def test_the_page_lists_every_set_with_its_points_lessons_and_marker():
    table = rows("The sets")
    assert [row[0] for row in table] == [f"[{name}](source/{name}/{name}.ipynb)" for name in SETS]
    for name, (_, hours, parts, lessons, task) in zip(SETS, table):
        assert int(hours) > 0 and task == f"`{marker(name)}`"
        assert parts == ", ".join(f"`{part}` {value}" for part, value in points(name).items())
        linked = re.findall(rf"{re.escape(LESSONS)}(\d\d)_", markdown(name))
        assert [int(number) for number in linked] == [int(number) for number in lessons.split(",")]


@pytest.mark.parametrize(("headline", "weeks", "reading"), [
    ("Twelve weeks", 12, []), ("Six weeks", 6, [12, 13, 14, 16])])
def test_a_syllabus_has_every_lesson_and_every_set_once(headline, weeks, reading):
    table = rows(headline)
    assert [int(week) for week, _, _ in table] == list(range(1, weeks + 1))
    taught = [int(number) for _, numbers, _ in table for number in numbers.split(",")]
    assert sorted(taught + reading) == list(range(1, 24))
    assert re.findall(r"\d\d_\w+", " ".join(work for _, _, work in table)) == SETS
