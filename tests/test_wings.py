"""The house: which wing may import which, read from the sources themselves, so that nobody needs to remember it."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import bnn_ref

PACKAGE = Path(bnn_ref.__file__).parent
# From the top down: a module imports from its own wing and from those after it. Wings of one line do not know each
# other.
WINGS = (("__main__",), ("cli",), ("bench",), ("packed",), ("papers",), ("derivatives",), ("training",), ("gradcheck",),
         ("nets",), ("kernels",), ("data",), ("ops",), ("advice", "environment", "files", "lesson"), ("__init__",))
LEVEL = {wing: level for level, wings in enumerate(WINGS) for wing in wings}
MODULES = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(parts, tree):
    """The modules of the package that a module imports, wherever in it, as tuples of names."""
    package = parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ["bnn_ref", *package[:len(package) + 1 - node.level]] if node.level else []
            start += node.module.split(".") if node.module else []
            paths = [[*start, alias.name] for alias in node.names]
        else:
            continue
        for root, *names in paths:
            if root == "bnn_ref":
                yield module(tuple(names))


def module(names):
    """The module that a dotted path leads to: itself, or where what it names is."""
    for length in range(len(names), -1, -1):
        for candidate in (names[:length], (*names[:length], "__init__")):
            if candidate in MODULES:
                return candidate
    raise LookupError(names)


IMPORTS = {parts: set(imported(parts, ast.parse(path.read_text(encoding="utf-8")))) for parts, path in MODULES.items()}


def test_the_imports_are_read_as_python_reads_them():
    assert ("ops", "checks") in IMPORTS["ops", "dense"]
    assert ("kernels", "device") in IMPORTS["kernels", "ladder"]                         # inside of a function
    assert ("__init__",) in IMPORTS["cli", "main"]                                       # from .. import __version__
    assert ("packed", "__init__") in IMPORTS["cli", "evaluate"]
    assert sum(map(len, IMPORTS.values())) > 250


def test_every_module_has_its_wing():
    assert {parts[0] for parts in MODULES} == set(LEVEL)


@pytest.mark.parametrize("parts", MODULES, ids=".".join)
def test_no_module_imports_upwards(parts):
    for other in IMPORTS[parts]:
        assert other[0] == parts[0] or LEVEL[other[0]] > LEVEL[parts[0]], f"imports {'.'.join(other)}"


def test_no_two_modules_import_each_other_round_about():
    """A face hands on what its files have, so files of a wing import each other and not the face."""
    left = {parts: others - {parts} for parts, others in IMPORTS.items()}
    while free := [parts for parts, others in left.items() if not others & left.keys()]:
        for parts in free:
            del left[parts]
    assert not left


def test_few_modules_stand_outside_of_the_wings():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_every_wing_says_why_it_is_there():
    for found in pkgutil.walk_packages([str(PACKAGE)]):
        if found.ispkg:
            text = ast.get_docstring(ast.parse((PACKAGE / found.name / "__init__.py").read_text(encoding="utf-8")))
            assert text and text.count(".") >= 2, found.name


@pytest.mark.parametrize("path, names", [
    ("bnn_ref.gradcheck", "check_op check_network numeric_gradient relative_error Report"),
    ("bnn_ref.packed", "pack_network load_packed save_packed predict predict_labels describe"),
    ("bnn_ref.kernels", "xnor_matmul plane_matmul LADDER"),
    ("bnn_ref.kernels.bits", "pack unpack pack_planes unpack_planes"),
    ("bnn_ref.data", "load save Dataset"), ("bnn_ref.papers", "PAPERS"),
])
def test_what_others_import_has_a_short_path(path, names):
    found = importlib.import_module(path)
    assert all(hasattr(found, name) for name in names.split())
