"""What all commands share: how options are read, the error for those that do not fit, tables and pictures."""

import argparse

from ..nets import recipe


class UsageError(ValueError):
    """Options that do not go together; the message is one line."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the options in one line, like every other error here."""

    def error(self, message):
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def whole(least):
    """A type for options: a whole number from `least` up."""
    def parse(text):
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} up, got {text!r}")
        return int(text)

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


def table(rows, left):
    """Rows of texts as lines, in columns as wide as need be; the first `left` columns begin at the left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(text.ljust(width) if place < left else text.rjust(width)
                               for place, (text, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def save_picture(figure, path):
    """Write a figure where the user wants it, and say so. Raises UsageError for a folder, OSError."""
    from . import plots

    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file to write, for example {path / 'picture.png'}")
    plots.save(figure, path)
    print(f"picture in {path}")
