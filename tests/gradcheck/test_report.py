"""What a check says when it passes: in a terminal, in a notebook, at the end of a run of pytest."""

import configparser
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.ops.dense import dense_backward, dense_forward

ROOT = Path(__file__).parents[2]
PLUGIN = "bnn_ref.gradcheck.pytest_plugin"
RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2))


def nearly(ds, cache):
    dx, dw = dense_backward(ds, cache)
    dw[2, 1] *= 1 + 1e-8
    return dx, dw


def test_a_report_is_a_table():
    report = check_op(dense_forward, nearly, X, W, skip=("adjoint",))
    lines = str(report).splitlines()
    assert lines[0].startswith("20 agree, worst relative error 1.0e-08, differences good to ")
    assert lines[1].split("  ")[0] == "the worst that agree" and len(lines) == 2 + 5
    assert lines[2].startswith("argument 1, index (2, 1) ")
    assert len({len(line) for line in lines[1:]}) == 1
    worst = report.rows[0]
    assert abs(worst.error - 1e-8) < 1e-11 and worst.error == report.worst
    assert abs(worst.analytic / worst.numeric - 1 - 1e-8) < 1e-11 and 0 < worst.estimated < 1e-8
    assert [row.error for row in report.rows] == sorted((row.error for row in report.rows), reverse=True)


def test_a_report_is_a_table_in_a_notebook():
    report = check_op(lambda x: (np.abs(x), x), lambda d, x: d * np.sign(x), np.array([0.0, 1.0]))
    html = report._repr_html_()
    assert "1 left out at a kink: argument 0, index (0,)" in html and html.count("<tr>") == 2
    assert "<td>argument 0, index (1,)</td>" in html


def test_many_names_are_cut_short():
    report = check_op(lambda x: (np.abs(x), x), lambda d, x: d * np.sign(x), np.append(np.zeros(5), 1.0))
    names = "argument 0, index (0,); argument 0, index (1,); argument 0, index (2,)"
    assert f"5 left out at a kink: {names}; and 2 more" in str(report)


def test_the_plugin_is_an_entry_point():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    name, _, module = settings["options.entry_points"]["pytest11"].strip().partition(" = ")
    assert (name, module) == ("bnn_ref", PLUGIN)
    assert importlib.import_module(module).pytest_addoption


def pytest_says(folder, code, *options):
    (folder / "test_mine.py").write_text(code, encoding="utf-8")
    run = subprocess.run([sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-c", "/dev/null",
                          "--rootdir", str(folder), *options, str(folder)], cwd=ROOT, capture_output=True, text=True,
                         env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PATH": ""})
    return run.stdout


CODE = """
import unittest
import numpy as np
from bnn_ref.gradcheck import check_op

def forward(x):
    return x * x, x

def test_right(gradcheck_rng):
    check_op(forward, lambda d, x: 2 * x * d, gradcheck_rng.standard_normal(3))

def test_wrong(gradcheck_rng):
    check_op(forward, lambda d, x: x * d, gradcheck_rng.standard_normal(3))

def test_seeded(gradcheck_rng):
    assert gradcheck_rng.integers(1000) == %d

class Mine(unittest.TestCase):
    def test_in_unittest(self):
        check_op(forward, lambda d, x: 2 * x * d, np.ones(2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/null")
def test_pytest_prints_one_line_a_check(tmp_path):
    import zlib

    code = CODE % np.random.default_rng(zlib.crc32(b"test_seeded")).integers(1000)
    said = pytest_says(tmp_path, code, "--gradcheck-report")
    lines = [line for line in said.splitlines() if line.startswith("test_mine.py::") and ": " in line]
    assert len(lines) == 3, said
    assert any(line.startswith("test_mine.py::test_right: 3 agree, worst relative error ") for line in lines)
    assert any(line.startswith("test_mine.py::test_wrong: REFUSED: argument 0, index (") for line in lines)
    assert any(line.startswith("test_mine.py::Mine::test_in_unittest: 2 agree") for line in lines)
    assert "3 passed" in said and "1 failed" in said
    assert "gradients" not in pytest_says(tmp_path, code)
