"""The course is graded as a teacher would: answers, an empty hand-in and wrong answers get the points they should.

`course_answers/` holds the wrong answers, each the replacement of one answer; it must lose that answer's points and no
others. One more set of hand-ins is broken in ways that must not touch the other parts or the other students.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebooks.course_answers import COURSE, SETS, graded_by_name, points, solutions, wrong_answers

try:
    from nbgrader.api import Gradebook
except ImportError:
    pytest.skip("the course is graded by nbgrader (Python >= 3.11): pip install nbgrader", allow_module_level=True)

ROOT = COURSE.parent.parent


class Course:
    """A copy of the course in a folder of its own, where nbgrader may write."""

    def __init__(self, folder):
        self.root = folder / "course"
        shutil.copytree(COURSE, self.root, ignore=shutil.ignore_patterns(*generated()))
        kernel = folder / "kernels" / "python3"
        kernel.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.joinpath("kernel.json").write_text(
            json.dumps({"argv": command, "display_name": "course", "language": "python"}), encoding="utf-8")
        self.environment = {**os.environ, "JUPYTER_PATH": str(folder), "JUPYTER_CONFIG_DIR": str(folder / "config"),
                            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython"),
                            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
                            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                            "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
                            "NUMBA_DISABLE_JIT": "0"}

    def nbgrader(self, *arguments, rc=0):
        """Run a command of nbgrader's; return what it said."""
        ran = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=self.root, env=self.environment,
                             capture_output=True, text=True)
        assert ran.returncode == rc, f"nbgrader {' '.join(arguments)}: {ran.stdout}\n{ran.stderr}"
        return ran.stdout + ran.stderr

    def release(self, name):
        """Generate the release of a set; return the notebook that students get."""
        self.nbgrader("generate_assignment", name)
        return json.loads(self.path("release", name).read_text(encoding="utf-8"))

    def path(self, folder, name, student="", file=None):
        return self.root / folder / student / name / (file or f"{name}.ipynb")

    def hand_in(self, name, student, text, file=None):
        """Put a student's file, a notebook or any text, where nbgrader collects them."""
        path = self.path("submitted", name, student, file)
        path.parent.mkdir(parents=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")

    def scores(self, name):
        """{student: {part: points}} of a set that was graded."""
        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}") as gradebook:
            return {submission.student.id: {grade.name.removeprefix("test_"): grade.score
                                            for book in submission.notebooks for grade in book.grades}
                    for submission in gradebook.assignment_submissions(name)}


def generated():
    """What the course's .gitignore names, without the slashes."""
    lines = (COURSE / ".gitignore").read_text(encoding="utf-8").splitlines()
    return [line.strip("/") for line in lines if line and not line.startswith("#")] + ["__pycache__"]


def answered(release, answers):
    """The release with these answers written into it."""
    book = json.loads(json.dumps(release))
    for part, text in answers.items():
        graded_by_name(book)[part]["source"] = text
    return book


def rounds(name):
    """The wrong answers as few hand-ins: [{part: (what is wrong, answer)}], the n-th of each part in the n-th."""
    found = []
    for part, what, answer in wrong_answers(name):
        free = next((wrong for wrong in found if part not in wrong), None)
        if free is None:
            found.append(free := {})
        free[part] = what, answer
    return found


def grade(name, folder):
    """{student: {part: points}}: the solutions, an empty hand-in and the rounds of wrong answers, by nbgrader."""
    course, right = Course(folder), solutions(name)
    release = course.release(name)
    course.hand_in(name, "solution", answered(release, right))
    course.hand_in(name, "empty", release)
    for number, wrong in enumerate(rounds(name)):
        course.hand_in(name, f"wrong_{number}",
                       answered(release, right | {part: answer for part, (_, answer) in wrong.items()}))
    course.nbgrader("autograde", name)
    return course.scores(name)


@pytest.mark.parametrize("name", SETS)
def test_points_are_what_the_answers_deserve(name, tmp_path):
    """Full marks for the solutions, zero for an empty hand-in, and each wrong answer loses its points, no others."""
    scores, full = grade(name, tmp_path), points(name)             # one after another: two would fight for ports
    assert scores.pop("solution") == full
    assert scores.pop("empty") == dict.fromkeys(full, 0)
    assert len(scores) == len(rounds(name)) >= 1
    for number, wrong in enumerate(rounds(name)):
        assert scores[f"wrong_{number}"] == full | dict.fromkeys(wrong, 0), wrong


# --- hand-ins that break the rules ---------------------------------------------------------------------------------

LOOP = """
def bias_backward(dout):
    while True:
        pass
"""
STUBBORN_LOOP = """
import signal


def numeric_gradient(f, x, dout, h=1e-5):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pass
"""
ENDS_PYTHON = """
import os


def dense_backward(ds, cache):
    os._exit(3)
"""
TALKS = """
def relative_error(a, b, floor=1e-3):
    while True:
        print("relative error" * 100)
"""


def test_a_broken_hand_in_costs_the_part_that_it_breaks(tmp_path):
    """Zero and a message for that part; the other parts, and the other students, keep their points."""
    name = "01_dense"
    course, right, full = Course(tmp_path), solutions(name), points(name)
    release = course.release(name)
    good = answered(release, right)

    def hand_in(student, lost, said, answers=(), change=None):
        book = answered(good, dict(answers))
        if change:
            change(book)
        course.hand_in(name, student, book)
        expected[student] = full | dict.fromkeys(lost, 0)
        messages[student] = said

    def rename(book):
        graded_by_name(book)["dense_backward"]["metadata"]["nbgrader"]["grade_id"] = "mine"
        graded_by_name(book)["relative_error"]["metadata"]["nbgrader"]["grade_id"] = "setup"      # a copied name

    def delete(book):
        kept = graded_by_name(book)
        gone = [kept[cell]["id"] for cell in ("setup", "test_bias_backward", "dense_forward")]
        book["cells"] = [cell for cell in book["cells"] if cell["id"] not in gone]

    def skip_and_regrade(book):
        test = graded_by_name(book)["test_relative_error"]
        test["metadata"]["tags"] = ["skip-execution"]
        test["metadata"]["nbgrader"]["points"] = 1000
        graded_by_name(book)["test_dense_forward"]["source"] = "pass"

    def age_and_copy(book):
        for cell in graded_by_name(book).values():
            cell["metadata"]["nbgrader"]["schema_version"] = 1
        draft = {**graded_by_name(book)["dense_forward"], "id": "draft", "source": "def dense_forward(x, w):\n    pass"}
        book["cells"].insert(2, draft)

    expected, messages = {"good": full}, {}
    course.hand_in(name, "good", good)
    hand_in("syntax_and_loop", ["dense_forward", "bias_backward"], ["SyntaxError", "stopped after 4 seconds"],
            {"dense_forward": "def dense_forward(x, w)\n    return x @ w", "bias_backward": LOOP})
    hand_in("stubborn_and_dead", ["numeric_gradient", "dense_backward"],
            ["stopped after 4 seconds", "ended Python itself"],
            {"numeric_gradient": STUBBORN_LOOP, "dense_backward": ENDS_PYTHON})
    hand_in("talks", ["relative_error"], ["put out more than 100,000 characters"], {"relative_error": TALKS})
    hand_in("renamed", ["dense_backward", "relative_error"],
            ["no cell of this set is called 'mine'", "The cell 'dense_backward' is missing",
             "The cell 'relative_error' is missing"], change=rename)
    hand_in("deleted", ["dense_forward", "bias_backward"],
            ["The cell 'dense_forward' is missing", "The cell 'test_bias_backward' is missing"], change=delete)
    hand_in("cheats", ["dense_forward", "relative_error"], ["NotImplementedError"], change=skip_and_regrade,
            answers={part: "".join(graded_by_name(release)[part]["source"])
                     for part in ("dense_forward", "relative_error")})
    hand_in("old_and_copied", [], [], change=age_and_copy)
    for student, text in (("torn", json.dumps(good)[:2000]), ("no_notebook", '{"a": 1}'), ("bytes", "\x00\x01")):
        course.hand_in(name, student, text)
        expected[student] = dict.fromkeys(full, 0)
        messages[student] = ["This file is not a notebook, so nothing in it was graded"]

    course.nbgrader("autograde", name, "--ExecutePreprocessor.timeout=4")
    scores = course.scores(name)
    assert scores == expected
    for student, said in messages.items():
        path = course.path("autograded", name, student)
        text = path.read_text(encoding="utf-8")
        assert not [message for message in said if message not in text], student
        assert path.stat().st_size < 1_000_000, student
    assert course.path("submitted", name, "torn").read_text(encoding="utf-8") == json.dumps(good)[:2000]

    course.hand_in(name, "misnamed", good, file="my answers.ipynb")
    said = course.nbgrader("autograde", name, rc=1)                # says so, and has graded all others
    assert "error processing assignment '01_dense' for student 'misnamed'" in said
    assert course.scores(name) == {**expected, "misnamed": dict.fromkeys(full, 0)}


# --- the teacher's page --------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell")
def test_the_commands_of_the_teachers_page_run_as_printed(tmp_path):
    """Its three blocks, in a copy of the folder; Ada, who hands in what she was given, gets 0 points and a page."""
    course = Course(tmp_path)
    page = (COURSE / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?ms)^```sh\n(.*?)^```", page)
    assert len(commands) == 3
    for block in commands:
        ran = subprocess.run(["sh", "-e", "-c", block], cwd=course.root, env=course.environment, capture_output=True,
                             text=True)
        assert ran.returncode == 0, f"{block}{ran.stdout}\n{ran.stderr}"
    assert "SOLUTION" not in course.path("release", "01_dense").read_text(encoding="utf-8")
    assert course.scores("01_dense") == {"ada": dict.fromkeys(points("01_dense"), 0)}
    assert "NotImplementedError" in course.path("feedback", "01_dense", "ada", "01_dense.html").read_text("utf-8")
    header, line = (course.root / "grades.csv").read_text(encoding="utf-8").splitlines()
    grade = dict(zip(header.split(","), line.split(",")))
    assert (grade["student_id"], grade["score"], grade["max_score"]) == ("ada", "0.0", "20.0")
    made = {path.name for path in course.root.iterdir()} - {path.name for path in COURSE.iterdir()}
    assert made <= set(generated()), f"not in .gitignore: {made - set(generated())}"
