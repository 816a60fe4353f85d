"""What the options of all commands share: how they are read, and the error for those that do not fit."""

import argparse


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
