"""The path through the lessons, as data: `python notebooks/contents.py` writes the tables of README.md, and path.svg.

Of a lesson only what nobody can read off it stands here; its equations and sources are found in the notebook itself.
"""

import ast
import inspect
import json
import pkgutil
import re
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "bnn_ref"
TESTS = HERE.parent / "tests"
sys.path.insert(0, str(HERE.parent))                  # the package that stands here, not one that is installed
EQUATION = re.compile(r"\[([A-Z]{2,}-[A-Z]?\d[\d.]*|[A-Z]{2,}-[A-Z])\]")      # [BNN-4], [BC-A1], [EBP-4.1], [EBP-W]

PAPERS = {
    "BC": "[BinaryConnect](https://arxiv.org/abs/1511.00363)",
    "BNN": "[BNN](https://arxiv.org/abs/1602.02830)",
    "FM": "[Few Multiplications](https://arxiv.org/abs/1510.03009)",
    "EBP": "Expectation Backpropagation",
    "KS": "[Bitwise NN](https://arxiv.org/abs/1601.06071)",
    "BN": "[Batch normalization](https://arxiv.org/abs/1502.03167)",
    "ADAM": "[Adam](https://arxiv.org/abs/1412.6980)",
    "": "",
}


class Lesson(NamedTuple):
    """A lesson: its file's stem, the question it answers, its paper, its minutes, and the lessons it builds on."""

    stem: str
    question: str
    paper: str
    minutes: int
    needs: tuple

    @property
    def number(self):
        return int(self.stem[:2])

    @property
    def file(self):
        return f"{self.stem}.ipynb"


LESSONS = (
    Lesson("01_train_a_binarized_network", "What is a network of signs, and does it learn?", "BNN", 20, ()),
    Lesson("02_sign_and_stochastic_sign", "What is left of a number when only its sign is kept?", "BC", 20, (1,)),
    Lesson("03_the_dense_layer_and_its_derivative", "How does a loss reach a weight?", "", 20, (1,)),
    Lesson("04_check_a_gradient", "Is this derivative right, and how is a check fooled?", "", 25, (3,)),
    Lesson("05_differentiate_sign",
           "How can a gradient pass a function without a slope, and how do you verify it?", "BNN", 25, (2, 4)),
    Lesson("06_batch_normalization",
           "Why is it in front of every sign, and what is left of it at the end?", "BN", 25, (4,)),
    Lesson("07_squared_hinge_and_softmax",
           "What does a loss ask of ten outputs, and why does a hinge fail where softmax works?", "", 20, (4,)),
    Lesson("08_optimizers",
           "How far does a gradient move a weight, and why do binary weights want their own rate?", "ADAM", 25, (3,)),
    Lesson("09_binaryconnect", "Why keep real weights, if the network uses their signs?", "BC", 25, (5, 7, 8)),
    Lesson("10_binarized_neural_networks",
           "What does Algorithm 1 compute, line by line, and what in it is binary?", "BNN", 25, (6, 9)),
    Lesson("11_the_binary_convnet", "What lies beyond the border of a picture of +1 and −1?", "BNN", 25, (10,)),
    Lesson("12_shift_based_batch_normalization",
           "Can a batch be normalized without multiplying?", "BNN", 20, (10,)),
    Lesson("13_shift_based_adamax",
           "Can weights be updated without multiplying, and by which of two rules?", "BNN", 20, (8, 12)),
    Lesson("14_few_multiplications",
           "How does a training step get by with one multiplication in a thousand?", "FM", 25, (9,)),
    Lesson("15_expectation_backpropagation",
           "What if a weight is a coin, learnt by Bayes' rule, without a learning rate?", "EBP", 25, (4,)),
    Lesson("16_bitwise_networks",
           "What does rounding destroy, and how does a second round bring it back?", "KS", 25, (5, 7, 8)),
    Lesson("17_bits_xnor_popcount",
           "Why is a product of signs k − 2 popcount, and where does it go wrong?", "BNN", 20, (2,)),
    Lesson("18_the_cpu_ladder", "How fast can it be here, and why is \"binary\" alone not fast?", "", 25, (17,)),
    Lesson("19_the_gpu_ladder",
           "Which thread computes what, and which words does its block fetch?", "BNN", 25, (17,)),
    Lesson("20_pixels_as_bit_planes", "What does a network of bits do with 8-bit pixels?", "BNN", 20, (17,)),
    Lesson("21_a_network_on_bits",
           "Can a trained network do without floats, and not differ in one bit?", "BNN", 25, (6, 20)),
    Lesson("22_memory_energy_filters",
           "What does a network cost, and how often does it repeat itself?", "BNN", 20, (10,)),
    Lesson("23_five_papers", "What does each idea buy, and which differences are real?", "", 25, (10, 14, 15, 16)),
)
# Rows of the picture: name, lessons, column of the first. What builds on each other lies in neighbouring rows.
TRACKS = (("on bits", range(17, 22), 2), ("the equations", range(1, 9), 0), ("the papers", range(9, 17), 0),
          ("together", range(22, 24), 4))
PATHS = (("BinaryConnect", (9,)), ("Binarized Neural Networks", (10,)),
         ("... with shifts in place of products", (13,)), ("... on bits", (21,)), ("Few Multiplications", (14,)),
         ("Expectation Backpropagation", (15,)), ("Bitwise Neural Networks", (16,)), ("the kernels", (18, 19)))

# What users of other code for binarized networks keep asking, and the sections that answer it.
QUESTIONS = (
    ("Why is it not faster, and not smaller?", "18.1"),
    ("The weights are not binary! Which are used at test time, which are saved?", "1.4"),
    ("How can you differentiate sign? Is the straight-through estimator used at all?", "5.1"),
    ("Why does the gradient check fail on my binary layer?", "5.2"),
    ("Why are weights clipped to [-1, 1], and when?", "9.4"),
    ("Is sign(0) 0 or 1?", "2.2"),
    ("Why does popcount give the wrong dot product?", "17.3"),
    ("How do you pad, if zero is not a value?", "11.4"),
    ("What if the number of channels is no multiple of 64?", "17.4"),
    ("Where does batch normalization go, why is it indispensable, how does it fold into a threshold?", "6.1", "6.6"),
    ("Are the first and the last layer binarized, too?", "10.7", "20.5"),
    ("Hinge or cross-entropy? Which learning rate, and what is W_LR_scale?", "7.5", "8.5"),
    ("Stochastic or deterministic, in training and in the test?", "9.6"),
    ("What are XNOR-Net's scales α and K, and their gradients?", "21.8"),
    ("Why can I not reproduce the number?", "23.4"),
    ("Why do I get another result when I validate twice?", "9.7"),
    ("How do I export it? Is ONNX's Sign the right one?", "21.9"),
    ("The code does not run any more: Theano, Lasagne, Keras?", "23.5"),
    ("Where do the data come from, if the links are dead?", "11.8"),
    ("Is there code for Expectation Backpropagation and Bitwise networks?", "15", "16"),
)

# --- what the notebooks and the package say of themselves ----------------------------------------------------------


class Book(NamedTuple):
    """What is read off a notebook: title, headlines by section, tagged equations, files of the sources it shows."""

    title: str
    sections: dict
    tags: tuple
    sources: tuple


def _imports(tree):
    """{name in the notebook: dotted path in the package}."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bnn_ref":
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _file_of(dotted):
    """`bnn_ref.packed.predict` -> packed/inference.py: where what is shown is defined."""
    shown = inspect.unwrap(pkgutil.resolve_name(dotted))
    return Path(inspect.getsourcefile(shown)).relative_to(PACKAGE).as_posix()


def _code(cells):
    """The code of a notebook as one Python text: Jupyter's own commands (%pip) are taken out."""
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^( *)%.*$", r"\1pass", code, flags=re.M)


def read(lesson):
    """The Book of a lesson."""
    cells = json.loads((HERE / lesson.file).read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    tree = ast.parse(_code(cells))
    names, sources = _imports(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "show":
            for shown in map(ast.unparse, node.args):
                head, dot, rest = shown.partition(".")
                if head in names:
                    sources.append(_file_of(names[head] + dot + rest))
    return Book(re.match(r"# (.*)", text)[1], dict(re.findall(r"(?m)^## (\d+\.\d+) (.*)$", text)),
                _once(re.findall(r"\\tag\{([^}]*)\}", text)), _once(sources))


def documented_equations():
    """{"BNN-4": [("ops/binarize.py", "sign_backward"), ...]}: docstrings with [BNN-4]; of a module's own: no name."""
    found = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for tag in _once(EQUATION.findall(ast.get_docstring(node) or "")):
                    found[tag].append((name, getattr(node, "name", None)))
    return found


def _once(items):
    return tuple(dict.fromkeys(items))


# --- tables --------------------------------------------------------------------------------------------------------


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def lessons_table(books):
    """Lesson, question, equations, source, paper, minutes."""
    rows = []
    for lesson in LESSONS:
        book = books[lesson.number]
        sources = ", ".join(f"[{name}](../bnn_ref/{name})" for name in book.sources)
        rows.append([f"[{book.title}]({lesson.file})", lesson.question, ", ".join(book.tags), sources,
                     PAPERS[lesson.paper], str(lesson.minutes)])
    return _table(["lesson", "question", "equations", "source", "paper", "minutes"], rows)


def needed(numbers):
    """The lessons that some lessons build on, and these, in reading order."""
    found, todo = set(), list(numbers)
    while todo:
        number = todo.pop()
        if number not in found:
            found.add(number)
            todo.extend(LESSONS[number - 1].needs)
    return sorted(found)


def paths_table():
    """For readers of one paper, and of kernels: the lessons that it takes."""
    def link(number):
        return f"[{number}]({LESSONS[number - 1].file})"

    def hours(numbers):
        return f"{sum(LESSONS[number - 1].minutes for number in numbers) / 60:.1f} h"

    rows = [[who, ", ".join(map(link, needed(numbers))), hours(needed(numbers))] for who, numbers in PATHS]
    return _table(["you want", "lessons", "time"], rows)


def questions_table(books):
    """Question, and the sections that answer it."""
    rows = []
    for question, *sections in QUESTIONS:
        answers = []
        for section in sections:
            lesson = LESSONS[int(section.split(".")[0]) - 1]
            book = books[lesson.number]
            headline = f"{section} {book.sections[section]}" if "." in section else f"lesson {book.title}"
            answers.append(f"[{headline}]({lesson.file})")
        rows.append([question, "; ".join(answers)])
    return _table(["question", "answer"], rows)


def equations_table(books):
    """Equation, lessons, functions whose docstrings name it; their modules' tests, else those that name them."""
    tests = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8")
             for path in sorted(TESTS.rglob("test_*.py"))}

    def tested(file, function):
        counts = {name: len(re.findall(rf"\b{function}\b", text)) for name, text in tests.items()}
        own = Path(file).with_name(f"test_{Path(file).stem}.py").as_posix()
        best = own if counts.get(own) else max(counts, key=counts.get)
        return [best] if counts[best] else []

    rows = []
    for tag, places in sorted(documented_equations().items()):
        lessons = [f"[{lesson.number}]({lesson.file})" for lesson in LESSONS if tag in books[lesson.number].tags]
        functions = [f"[{function or file}](../bnn_ref/{file})" for file, function in places]
        names = _once(name for file, function in places if function for name in tested(file, function))
        rows.append([tag, ", ".join(lessons), ", ".join(functions),
                     ", ".join(f"[{name}](../tests/{name})" for name in names)])
    return _table(["equation", "lesson", "function", "test"], rows)


# --- the picture ---------------------------------------------------------------------------------------------------

BOX, HIGH, STEP, LINE, LEFT = 126, 64, 138, 124, 120         # a box, from box to box, from row to row, the names


def picture(books):
    """The path as SVG: a track a row, an arrow from each lesson to those in other rows that build on it."""
    where = {number: (LEFT + STEP * (first + i), 10 + LINE * row) for row, (_, numbers, first) in enumerate(TRACKS)
             for i, number in enumerate(numbers)}
    width, height = LEFT + 8 * STEP, LINE * len(TRACKS) - 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="7" markerHeight="7" '
             'orient="auto"><path d="M0,0 L6,3 L0,6 z" fill="#888"/></marker></defs>']
    for name, numbers, _ in TRACKS:
        (x, y), (end, _) = where[numbers[0]], where[numbers[-1]]
        parts.append(f'<text x="{x - 12}" y="{y + 38}" font-size="15" text-anchor="end" fill="#555">{name}</text>')
        parts.append(f'<path d="M{x},{y + HIGH // 2} H{end}" stroke="#ddd" stroke-width="10"/>')
    for lesson in LESSONS:
        x, y = where[lesson.number]
        middle = x + BOX // 2
        for need in lesson.needs:
            above = where[need][1]
            if above != y:
                start, end, bend = (above + HIGH, y, 40) if above < y else (above, y + HIGH, -40)
                from_x = where[need][0] + BOX // 2
                curve = f"M{from_x},{start} C{from_x},{start + bend} {middle},{end - bend} {middle},{end}"
                parts.append(f'<path d="{curve}" fill="none" stroke="#888" marker-end="url(#tip)"/>')
    for lesson in LESSONS:
        x, y = where[lesson.number]
        parts.append(f'<rect x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="8" fill="#fff6e5" stroke="#d9822b"/>')
        number, title = books[lesson.number].title.split(". ", 1)
        lines = [f'<tspan font-weight="bold">{number}</tspan>', *textwrap.wrap(title, 19)]
        parts += [f'<text x="{x + BOX // 2}" y="{y + 16 + 14 * i}" font-size="12" text-anchor="middle">{line}</text>'
                  for i, line in enumerate(lines)]
    return "\n".join([*parts, "</svg>"]) + "\n"


# --- into README.md ------------------------------------------------------------------------------------------------


def generated(books):
    """{marker: text} for README.md."""
    return {"lessons": lessons_table(books), "paths": paths_table(), "questions": questions_table(books),
            "equations": equations_table(books)}


def insert(readme, parts):
    """README.md with each part between its two markers."""
    for name, text in parts.items():
        before, rest = readme.split(f"<!-- {name} -->\n")
        after = rest.split(f"<!-- /{name} -->")[1]
        readme = f"{before}<!-- {name} -->\n{text}\n<!-- /{name} -->{after}"
    return readme


def write():
    """README.md and path.svg."""
    books = {lesson.number: read(lesson) for lesson in LESSONS}
    path = HERE / "README.md"
    path.write_text(insert(path.read_text(encoding="utf-8"), generated(books)), encoding="utf-8", newline="\n")
    (HERE / "path.svg").write_text(picture(books), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write()
