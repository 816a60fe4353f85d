"""nbgrader's settings for this course; `grading.py` beside it says why three of them differ from nbgrader's own."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import grading  # noqa: E402

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "bnn_ref"
c.CourseDirectory.root = str(HERE)
c.ExecutePreprocessor.timeout = 30                    # seconds a cell; the slowest answer here takes three
c.Autograde.exporter_class = grading.Reader
c.Autograde.sanitize_preprocessors = grading.SANITIZE
c.Autograde.autograde_preprocessors = grading.AUTOGRADE
# `nbgrader zip_collect`: downloaded/01_dense/archive/ada_01_dense.ipynb is what ada hands in for 01_dense.
c.FileNameCollectorPlugin.named_regexp = r".*[/\\](?P<student_id>[^_/\\]+)_(?P<file_id>[^/\\]+)$"
