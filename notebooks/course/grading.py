"""What nbgrader leaves open: a hand-in that breaks its rules costs the part that it breaks, and nothing else.

nbgrader stops a cell that takes too long. But a loop that ignores its interrupt, code that ends Python, a renamed cell
and a file that is no notebook cost a student everything, metadata of an old version ends the grading of all students,
a tag makes a test pass that would fail, and output has no end. Three small pieces mend that, and say in the hand-in
what they did.

A part is a cell with an answer, named `x`, and the cell that grades it, `test_x`.
"""

import asyncio

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbconvert.exporters import NotebookExporter
from nbformat.notebooknode import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from nbgrader.utils import is_grade


def part(cell):
    """The part that a cell belongs to; None for a cell without a name."""
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    return name and name.removeprefix("test_")


def cells_of_the_set(resources):
    """{name: nbgrader's metadata} of a set's own cells, from the gradebook, where `generate_assignment` put them."""
    asked = resources["nbgrader"]
    with Gradebook(asked["db_url"]) as gradebook:
        book = gradebook.find_notebook(asked["notebook"], asked["assignment"])
        points = {cell.name: cell.max_score for cell in book.grade_cells}
        answers = {cell.name for cell in book.solution_cells}
        own = {}
        for cell in book.source_cells:
            own[cell.name] = {"grade_id": cell.name, "grade": cell.name in points, "solution": cell.name in answers,
                              "locked": cell.locked, "task": False, "schema_version": 3, "cell_type": cell.cell_type,
                              "checksum": cell.checksum}
            if cell.name in points:
                own[cell.name]["points"] = points[cell.name]
    return own


class Reader(NotebookExporter):
    """Reads a hand-in. A file that is no notebook becomes an empty one, which earns nothing and says why."""

    def from_file(self, file_stream, resources=None, **kw):
        """As nbconvert's own, which would end the grading of this student with an exception."""
        try:
            notebook = nbformat.read(file_stream, as_version=4)
            nbformat.validate(notebook)
        except Exception as error:                    # nbformat raises whatever a damaged file makes it stumble over
            notebook = new_notebook(cells=[new_markdown_cell(
                f"**This file is not a notebook, so nothing in it was graded:** {type(error).__name__}: "
                f"{str(error)[:200]}")])
        return self.from_notebook_node(notebook, resources, **kw)


class Restore(NbGraderPreprocessor):
    """Gives the cells of the set their metadata again, and says which are missing and which are none of them."""

    def preprocess(self, nb, resources):
        """A part of which a cell is missing is not graded; a cell with a name that the set has not is not run.

        A missing cell that belongs to no part, the imports, comes back (`OverwriteCells` fills it).
        """
        own = cells_of_the_set(resources)
        missing = dict(own)
        for cell in reversed(nb.cells):               # of two cells with one name the last has it
            claimed = cell.metadata.get("nbgrader")
            name = claimed.get("grade_id") if isinstance(claimed, dict) else None
            cell.metadata.clear()                     # tags among it: one of them would skip a test
            if name in missing:
                cell.metadata.nbgrader = NotebookNode(missing.pop(name))
            elif claimed and name not in own:
                cell.metadata.not_run = f"This cell was not run: no cell of this set is called {name!r}."
        for name, metadata in missing.items():
            cell = new_code_cell(metadata={"nbgrader": metadata})
            if metadata["grade"] or metadata["solution"]:
                cell.metadata.not_run = f"The cell {name!r} is missing from this hand-in, so its part was not graded."
            nb.cells.insert(len(nb.cells) if "not_run" in cell.metadata else 0, cell)
        return nb, resources


class Run(Execute):
    """Runs a hand-in. A cell that is stopped costs its part; Python is then started afresh, and the others go on."""

    max_output = 100_000                              # characters that a cell may put out

    def preprocess(self, nb, resources=None, km=None):
        """As nbgrader's own, with a record of what has run and of which parts are stopped."""
        self.replay, self.written = [], 0
        self.stopped = {part(cell): cell.metadata.not_run for cell in nb.cells if "not_run" in cell.metadata}
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell, resources, index):
        """Run the cell, unless its part was stopped before; say so where it is stopped now."""
        if cell.cell_type != "code":
            return cell, resources
        message = cell.metadata.get("not_run") or (part(cell) and self.stopped.get(part(cell)))
        if not message:
            message = self._run(cell, index)
            if message:
                self.stopped[part(cell)] = message
                self._start_afresh()
            elif not is_grade(cell):
                self.replay.append(cell.source)
        if message:
            cell.outputs.append(new_output("error", ename="NotGraded", evalue=message, traceback=[message]))
        return cell, resources

    def _run(self, cell, index):
        """Run the cell; return why it was stopped, None if it was not."""
        self.written = 0
        try:
            self.execute_cell(cell, index, store_history=True)
        except DeadKernelError:
            return "This cell ended Python itself, so its part was not graded."
        except CellTimeoutError:                      # not even the interrupt stopped it
            return self._too_long()
        if self.written > self.max_output:
            return f"This cell put out more than {self.max_output:,} characters, so its part was not graded."
        if any(output.get("ename") == self.error_on_timeout["ename"] for output in cell.outputs):
            return self._too_long()
        return None

    def _too_long(self):
        return f"This cell was stopped after {self.timeout} seconds, so its part was not graded."

    def process_message(self, msg, cell, cell_index):
        """Keep a cell's output up to `max_output`; interrupt the cell that goes on."""
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "error"):
            before, self.written = self.written, self.written + len(str(msg["content"]))
            if self.written > self.max_output:
                if before <= self.max_output:
                    self.interrupt = asyncio.ensure_future(self.km.interrupt_kernel())
                return None
        return super().process_message(msg, cell, cell_index)

    def _start_afresh(self):
        """A new Python, in which all cells that were not stopped, tests aside, have run again."""
        run_sync(self.km.restart_kernel)(now=True)
        run_sync(self.kc.wait_for_ready)(timeout=self.startup_timeout)
        for source in self.replay:
            self.wait_for_reply(self.kc.execute(source, store_history=False))


# nbgrader's own lists, with the pieces in their places.
SANITIZE = [Restore, *Autograde.sanitize_preprocessors.default()]
AUTOGRADE = [Run if piece is Execute else piece for piece in Autograde.autograde_preprocessors.default()]
