"""Runs lessons and writes their outputs back, then what README.md says of them: `run_lessons.py [FILE ...]`.

Do that after a change of a lesson, or of a function that one shows; without a file it runs them all.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import contents
import nbclient
import nbformat

ROOT = contents.HERE.parent


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
        python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
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


def main(files):
    """Run the notebooks given, or all lessons."""
    for path in map(Path, files or [contents.HERE / lesson.file for lesson in contents.LESSONS]):
        notebook = execute(path)
        notebook.metadata = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python",
                                            "name": "python3"}, "language_info": {"name": "python"}}
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    contents.write()


if __name__ == "__main__":
    main(sys.argv[1:])
