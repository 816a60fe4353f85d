"""What reaches the terminal: nothing there that comes from a file, a folder or an argument can give it commands.

Every line of a command goes through here, so whatever standard output may be, closed, full, without a reader or of
an encoding that lacks a letter, is dealt with once.
"""

import contextlib
import io
import os
import sys

from ..files import brief, printable


def prepare():
    """Make the standard streams usable. Raises OSError where standard output is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:               # closed: the next file to be opened would get the number, and all that is printed
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        raise OSError("standard output is closed; send it to a file, or to nowhere with > /dev/null")


def say(text="", flush=False):
    """Print lines. Raises OSError that names standard output where it cannot be written."""
    write("\n".join(map(printable, text.split("\n"))) + "\n", flush=flush)


def write(text, stream=None, flush=True):
    """Write text as it is to standard output, or another stream: this program's own, such as a line to be rewritten.

    Raises OSError that names the stream where it cannot be written.
    """
    stream = stream or sys.stdout
    try:
        stream.write(text)
        if flush:
            stream.flush()
    except OSError as error:
        error.filename = "standard error" if stream is sys.stderr else "standard output"
        raise


def flush():
    """Write now what was printed. Raises as `write`: a reader who left is noticed here, and not at exit."""
    write("")


def give_up():
    """Send standard output nowhere, if it cannot be written: at exit Python would try again, and fail again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except AttributeError:            # it is closed
        pass


def complain(text, program="bnn-ref", start="", whole=False):
    """Print one line on standard error; of what is very long the middle is left out, unless `whole` is wanted."""
    line = printable(text) if whole else brief(" ".join(str(text).split()))
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print(f"{start}{program}: {line}", file=sys.stderr)
