"""For pytest: `--gradcheck-report` prints one line a check at the end, and the fixture `gradcheck_rng` is a generator
seeded by the test's name, so that a test draws the same numbers wherever it runs.
"""

import zlib

import numpy as np
import pytest

from . import report


def pytest_addoption(parser):
    parser.addoption("--gradcheck-report", action="store_true", help="one line for each check of a gradient")


@pytest.fixture
def gradcheck_rng(request):
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    def note(outcome):                                   # a property of the test: pytest-xdist brings it home
        line = next(outcome.lines()) if isinstance(outcome, report.Report) else f"REFUSED: {outcome}"
        item.user_properties.append(("gradcheck", line))

    report.observers.append(note)
    try:
        return (yield)
    finally:
        report.observers.remove(note)


def pytest_terminal_summary(terminalreporter):
    if terminalreporter.config.getoption("--gradcheck-report"):
        terminalreporter.section("gradients")
        calls = (result for results in terminalreporter.stats.values() for result in results
                 if getattr(result, "when", "") == "call")
        for result in calls:
            for name, line in result.user_properties:
                if name == "gradcheck":
                    terminalreporter.line(f"{result.nodeid}: {line}")
