"""The course as its tests read it: the source notebooks, their points, and answers that are wrong.

A wrong answer is a piece of `NN_name.py` here, headed `# %% part: what is wrong with it`. It is the whole text of that
answer's cell, and must lose the points of its part and no others.
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
COURSE = HERE.parents[2] / "notebooks" / "course"
SETS = sorted(path.parent.name for path in COURSE.glob("source/*/*.ipynb"))
MARKS = re.compile(r"^ *### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\n?", re.MULTILINE)


def source(name):
    """The source notebook of a set."""
    return json.loads((COURSE / "source" / name / f"{name}.ipynb").read_text(encoding="utf-8"))


def text(cell):
    """What is in a cell, without the marks of solutions and hidden tests."""
    return MARKS.sub("", "".join(cell["source"]))


def graded_by_name(book):
    """{name: cell} of the cells that nbgrader knows."""
    return {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in book["cells"] if "nbgrader" in cell["metadata"]}


def solutions(name):
    """{part: its solution}."""
    return {part: text(cell) for part, cell in graded_by_name(source(name)).items()
            if cell["metadata"]["nbgrader"]["solution"]}


def points(name):
    """{part: its points}."""
    return {part.removeprefix("test_"): cell["metadata"]["nbgrader"]["points"]
            for part, cell in graded_by_name(source(name)).items() if cell["metadata"]["nbgrader"]["grade"]}


def wrong_answers(name):
    """[(part, what is wrong, answer)]."""
    pieces = re.split(r"(?m)^# %% (\w+): (.+)\n", (HERE / f"{name}.py").read_text(encoding="utf-8"))[1:]
    return list(zip(pieces[::3], pieces[1::3], pieces[2::3]))
