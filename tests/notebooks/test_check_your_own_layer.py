"""The page "check your own layer": every block of its code runs, and says what is printed below it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PAGE = (NOTEBOOKS / "check_your_own_layer.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python ?(\w*)\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", PAGE, re.S | re.M)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


def says(code, names):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def assert_same(comp, ref):
    assert NUMBER.sub("#", comp) == NUMBER.sub("#", ref)
    assert [float(x) for x in NUMBER.findall(comp)] == pytest.approx([float(x) for x in NUMBER.findall(ref)], rel=1e-6)


def test_it_has_ten_layers_and_each_mistake_is_refused_and_mended():
    layers = re.findall(r"^## \d+\. .*?(?=^## )", PAGE, re.S | re.M)
    assert len(layers) == 10
    names = {}
    for needs, code, printed in BLOCKS:
        if not needs:
            assert_same(says(code, names), printed)
    for layer in layers:
        assert re.search(r"^argument \d, index \(.*\): analytic \S+, numeric \S+, relative error", layer, re.M)
        assert re.search(r"^right: \d+ coordinates$|^\('argument", layer, re.M)


@pytest.mark.parametrize("needs", ["torch", "jax"])
def test_functions_of_other_packages_are_checked(needs):
    pytest.importorskip(needs)
    names = {}
    says(next(code for _, code, _ in BLOCKS), names)                   # the imports and says()
    ((code, printed),) = [(code, printed) for kind, code, printed in BLOCKS if kind == needs]
    assert_same(says(code, names), printed)
    assert "relative error" in printed


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (NOTEBOOKS / target).exists(), target
