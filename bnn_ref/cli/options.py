"""What all commands share: how options are read, the error for those that do not fit, tables and pictures."""

import argparse
from pathlib import Path

from ..files import PlaceError, check_place, free_place, printable
from ..nets import recipe
from .terminal import flush, say

PICTURES = (".png", ".pdf", ".svg")   # of a picture: what the end of its name says
DIGITS = 15                           # of a whole number: what every program reads as the same number


class UsageError(ValueError):
    """Options that do not go together; the message is one line."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the options in one line, like every other error here."""

    def error(self, message):
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def whole(least):
    """A type for options: a whole number from `least` up."""
    def parse(text):
        if not text.isascii() or not text.isdigit() or (number := int(text[:DIGITS + 1])) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} up, got {text!r}")
        if len(text) > DIGITS:
            raise argparse.ArgumentTypeError(f"expected a whole number of {DIGITS} digits at most, got {text!r}")
        return number

    return parse


def rate(text):
    """A type for options: a learning rate, above 0, and far from where float32 ends."""
    try:
        if 1e-30 <= float(text) <= 1e30:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number above 0 such as 0.001 (1e-30 to 1e30), got {text!r}")


def epochs(text):
    """A type for options: numbers of epochs, of all rounds together (50,), or of each of two, "40+10" (40, 10)."""
    try:
        numbers = tuple(map(whole(1), text.split("+")))
    except argparse.ArgumentTypeError:
        numbers = ()
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, or one for each of two rounds, as in "
                                         f"40+10, got {text!r}")
    return numbers


def layers(text):
    """A type for options: hidden layers in the papers' notation, written out."""
    try:
        return recipe.notation(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("net: ")) from None


def recorded(source):
    """A --data as run.json records it: a name, or the whole path. Raises UsageError for one that no text can hold."""
    source = str(Path(source).absolute()) if source.endswith(".npz") else source
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UsageError(f"--data: expected a path in UTF-8, which run.json can record, got {source}; rename the file "
                         "or folder, or set a UTF-8 locale") from None
    return source


# --- files that are written ----------------------------------------------------------------------------------------


def add_output(command, flag, help, picture=False, required=False, default=None):
    """Give a command the option `flag`, which names a file to write; with the first of them comes --force.

    default: (options) -> Path of the file without that option; where it is there already, the next free name is taken.
    """
    name = flag.removeprefix("--")
    outputs = command.get_default("outputs") or {}
    if not outputs:
        command.add_argument("--force", action="store_true", help="replace files that are there already")
    command.add_argument(flag, type=Path, metavar="FILE.png" if picture else "FILE", required=required, help=help)
    command.set_defaults(outputs={**outputs, name: (picture, default)})


def settle_outputs(options):
    """Give each file that the options name or imply its place. Raises UsageError where one cannot be written there.

    Before the work, which may take hours. Nothing that is there is replaced without --force.
    """
    taken = {}
    for name, (picture, default) in getattr(options, "outputs", {}).items():
        path = getattr(options, name)
        if path is None and default:
            path = default(options) if options.force else free_place(default(options))
            setattr(options, name, path)
        if path is not None:
            _check_output(f"--{name}", path, options.force, picture)
            other = taken.setdefault(path.parent.resolve() / path.name, name)
            if other != name:
                raise UsageError(f"--{other} and --{name}: both write {path}; give each a file of its own")


def _check_output(flag, path, force, picture):
    if picture:
        from . import plots  # noqa: F401  here, since Matplotlib, which takes a second, may refuse to start

        if path.suffix.lower() not in PICTURES and not path.is_dir():
            raise UsageError(f"{flag}: {path} is no name for a picture; end it in {' or '.join(PICTURES)}")
    try:
        check_place(path, force)
    except PlaceError as error:
        raise UsageError(f"{flag}: {error}") from None


# --- what is shown -------------------------------------------------------------------------------------------------


def table(rows, left):
    """Rows of texts as lines, in columns as wide as need be; the first `left` columns begin at the left."""
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(text.ljust(width) if place < left else text.rjust(width)
                               for place, (text, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def save_picture(figure, path):
    """Write a figure and say so. Raises OSError."""
    from . import plots

    flush()                                            # first what is shown: who cannot be told gets no file either
    plots.save(figure, path)
    say(f"picture in {path}")
