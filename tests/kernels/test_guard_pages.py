"""Compiled kernels touch their arrays alone: not one entry before them or behind."""

import sys

import pytest

from bnn_ref.kernels import compiled
from tests.kernels.test_ladder import process

pytestmark = [
    pytest.mark.skipif(not compiled.COMPILED, reason="plain Python refuses a wrong index by itself"),
    pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="no mprotect on this system"),
]


@pytest.mark.parametrize("what", ["products", "rows", "maps"])
def test_no_kernel_reads_or_writes_beyond_its_arrays(what):
    code = f"from tests.kernels import guard_pages; guard_pages.check(guard_pages.{what})"
    assert process(code) == "no page touched\n"


def test_the_pages_are_really_forbidden():
    """The first entry beyond either end, read in a process of its own: it is killed, and prints nothing."""
    for at_end, index in ((True, 5), (False, -1)):
        code = ("import ctypes\nfrom tests.kernels import guard_pages\n"
                f"array = guard_pages.empty(5, 'f4', {at_end})\n"
                f"ctypes.c_float.from_address(array.ctypes.data + 4 * {index}).value\nprint('alive')")
        with pytest.raises(AssertionError):
            process(code)
        process(code.replace(f"4 * {index}", f"4 * {min(max(index, 0), 4)}"))
