"""The cache of compiled kernels: used while it is whole, done without and replaced where it is not."""

import importlib.util
import pickle
import shutil

import numpy as np
import pytest

from bnn_ref.kernels import compiled

pytestmark = pytest.mark.skipif(not compiled.COMPILED, reason="without kernels there is no cache")

SOURCE = """
from bnn_ref.kernels.compiled import jit

@jit
def first(x):
    return x + 2

@jit
def other(x):
    return x + 3
"""


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A function that runs `first` and `other` as a new process would, and its folder of cached kernels.

    It returns (first(40), first(0.5), other(40)) and how many of the three came from the cache.
    """
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", "")          # beside the source, whatever the user has
    path = tmp_path / "kernels_of_a_test.py"
    path.write_text(SOURCE)

    def run():
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        answers = module.first(40), module.first(0.5), module.other(40)
        return answers, sum(sum(kernel.stats.cache_hits.values()) for kernel in (module.first, module.other))

    assert run() == ((42, 2.5, 43), 0)
    assert run() == ((42, 2.5, 43), 3)
    return run, tmp_path / "__pycache__"


def cut(content):
    return content[:len(content) // 2]


def flipped(content):
    """One bit of the last quarter: in the machine code of a kernel, in the names of the data files of an index."""
    place = len(content) * 3 // 4
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]


class Malicious:
    def __reduce__(self):
        return exec, ("raise SystemExit('this was unpickled')",)


DAMAGE = {"empty": lambda content: b"", "cut": cut, "a bit": flipped,
          "random": lambda content: np.random.default_rng(0).bytes(len(content)),
          "another pickle": lambda content: pickle.dumps([1, 2, 3]),
          "one that acts": lambda content: pickle.dumps(Malicious()),
          "more behind it": lambda content: content + b"\0"}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_a_miss_and_is_replaced(kernels, kind, damage):
    run, folder = kernels
    files = sorted(folder.glob(f"*.{kind}"))
    assert len(files) == {"nbi": 2, "nbc": 3}[kind]
    for path in files:
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert run() == ((42, 2.5, 43), 0)
    assert run() == ((42, 2.5, 43), 3)


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_folder_in_the_place_of_a_file_is_left_alone(kernels, kind):
    run, folder = kernels
    for path in folder.glob(f"*.{kind}"):
        path.unlink()
        path.mkdir()
        (path / "mine").touch()
    for _ in range(2):
        assert run()[0] == (42, 2.5, 43)
    assert len(list(folder.glob(f"*.{kind}/mine"))) == {"nbi": 2, "nbc": 3}[kind]


def test_a_file_in_the_place_of_the_folder_is_left_alone(kernels):
    run, folder = kernels
    shutil.rmtree(folder)
    folder.touch()
    assert run()[0] == (42, 2.5, 43)
    assert folder.is_file()


def test_a_file_that_was_written_for_another_kernel_is_a_miss(kernels):
    """`first` and `other` have the same instructions, so that Numba's own index does not tell them apart."""
    run, folder = kernels
    for suffix in ("nbi", "1.nbc"):
        [first], [other] = (folder.glob(f"*{name}*.{suffix}") for name in ("first", "other"))
        shutil.copy(first, other)
    assert run()[0] == (42, 2.5, 43)
    assert run() == ((42, 2.5, 43), 3)


def test_an_index_of_one_process_and_the_code_of_another_are_a_miss(kernels, tmp_path):
    """Two processes start with an empty cache and compile `first` for other types: the second index replaces the first,
    and so does its file of machine code, in whatever order."""
    run, folder = kernels
    [index], [code] = folder.glob("*first*.nbi"), folder.glob("*first*.1.nbc")
    of_integers = code.read_bytes()
    spec = importlib.util.spec_from_file_location("kernels_of_a_test", tmp_path / "kernels_of_a_test.py")
    index.unlink()
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.first(0.5) == 2.5 and code.read_bytes() != of_integers
    code.write_bytes(of_integers)
    assert run()[0] == (42, 2.5, 43)
    assert run() == ((42, 2.5, 43), 3)
