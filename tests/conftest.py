"""Fixtures that several test files share, and the order of files on several cores."""

from pathlib import Path

from tests.data_scripts.mirror import server

__all__ = ["server"]

TESTS = Path(__file__).parent
# The files that take longest, the longest first. Several cores (pytest-xdist) begin with them, so that no core waits
# at the end for another that is in the middle of one.
LONGEST = [TESTS / name for name in ("notebooks/test_grading.py", "notebooks/test_lessons.py", "training/test_fast.py",
                                 "kernels/test_cuda.py", "notebooks/test_site.py")]


def pytest_configure(config):
    """pytest-xdist would hand out first the files that have the most tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config, items):
    """On several cores: LONGEST, then the other files in their order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONGEST.index(item.path) if item.path in LONGEST else len(LONGEST))
