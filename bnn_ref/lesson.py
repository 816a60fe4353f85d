"""What the lessons need besides the library: the source of a function, as it runs here.

A copy of code in prose goes stale; this prints what was imported.
"""

import inspect


def show(*functions):
    """Print the source of the given functions, classes or modules; of a compiled kernel the Python it came from."""
    for function in functions:
        print(inspect.getsource(function))
