"""Fixtures that several test files share, and the order of files on several cores."""

from tests.data_scripts.mirror import server

__all__ = ["server"]


def pytest_configure(config):
    """Several cores take files in alphabetical order: in the one of pytest-xdist the longest, the grading, is last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
