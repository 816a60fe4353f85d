"""What the data scripts share: their options, their one-line errors, and how they find and verify official files.
Each of them is then only the description of its files and their conversion.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import fetch

try:
    from bnn_ref import data, files
    from bnn_ref.cli import terminal
except ImportError as error:
    name = Path(sys.argv[0]).name
    print(f"{name}: error: {error}; run `pip install .` in the repository first", file=sys.stderr)
    raise SystemExit(2) from None


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the options in one line, like every other error here."""

    def error(self, message):
        terminal.complain(f"error: {message} (see --help)", self.prog)
        self.exit(2)


def add_options(parser, source_help, out_help):
    """Give a script's parser the options that all of them have."""
    parser.add_argument("--from", dest="source", metavar="DIR", type=Path, help=source_help)
    parser.add_argument("--out", metavar="DIR", help=f"{out_help} (default: $BNN_REF_DATA, else the user's cache "
                        "folder)")
    parser.add_argument("--force", action="store_true", help="make again, and replace, what is there already")


def main(name, source_help, shape, counts, convert, arguments):
    """Bring <name>.npz; the exit status: 0, or 2 with one line on stderr for bad files, or 130 if interrupted.

    shape (C, H, W) and counts (train, valid, test) tell a complete file. convert(source, downloads, path) writes
    `path` from the official files in the folder `source` or, where that is None, downloaded into the folder
    `downloads`, and returns the paths of the files it used; downloaded ones are removed once <name>.npz is there.
    """
    parser = Parser(prog=f"{name}.py", description=f"Brings the data set as {name}.npz.", allow_abbrev=False)
    add_options(parser, f"take {source_help} from DIR: no download", f"write {name}.npz here")
    options = parser.parse_args(arguments)

    def bring():
        path = data.data_folder(options.out) / f"{name}.npz"
        if not options.force and is_complete(path, shape, counts):
            terminal.say(f"{path} is already there and complete")
            return
        check_place(path, options.force)
        downloads = path.with_name(f"{name}_download")
        used = convert(options.source, downloads, path)
        if options.source is None:
            for file in used:
                file.unlink()
            with contextlib.suppress(OSError):  # something else is in there: not ours to remove
                downloads.rmdir()
        terminal.say(f"wrote {path}")

    return run(parser.prog, bring)


def run(program, work):
    """The exit status of work(): 0, or 2 with one line on stderr for bad files, or 130 if interrupted."""
    try:
        terminal.prepare()
        work()
        terminal.flush()
        return 0
    except KeyboardInterrupt:
        terminal.complain("interrupted; the same command goes on where it stopped", program)
        return 130
    except (data.DataError, fetch.FetchError, files.PlaceError, OSError) as error:
        said = error
    except MemoryError:
        said = "not enough memory; close other programs and run it again"
    terminal.give_up()
    terminal.complain(f"error: {said}", program)
    return 2


def check_place(path, force):
    """Raises files.PlaceError where the file cannot be written, or its folder not made: before the work."""
    if path.parent.is_dir():
        files.check_place(path, force)
    else:
        above = next(folder for folder in path.absolute().parents if folder.exists())
        try:
            tempfile.TemporaryDirectory(dir=above).cleanup()
        except OSError as error:
            raise files.PlaceError(f"{path.parent}: cannot be made in {above} ({error.strerror}); write "
                                   "elsewhere") from None


def unverified(what, sha256):
    """Say in one line that nobody vouches for these bytes. Returns the line, to be kept beside the data."""
    line = f"unverified: {what}: sha256 {sha256}, expected: none is known to compare it with"
    print(line, file=sys.stderr, flush=True)
    return line


def is_complete(path, shape, counts):
    """Whether `path` is a data file of images of this shape, with these counts of train, valid and test."""
    try:
        dataset = data.load(path)
    except data.DataError:
        return False
    return dataset.shape == shape and counts == tuple(
        len(y) for y in (dataset.train_y, dataset.valid_y, dataset.test_y))


def find(folder, names):
    """The path of the first of `names` that is a file in `folder`. Raises data.DataError if none is."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if not folder.is_dir():
        raise data.DataError(f"{folder}: no such folder; --from takes the folder of the official files")
    raise data.DataError(f"{folder}: holds none of {', '.join(names)}; --from takes the folder of the files")


def verify(path, size, sha256):
    """Raises data.DataError unless the file has this size and this sha256 (hexadecimal): the official bytes."""
    if (came := path.stat().st_size) != size:
        raise data.DataError(f"{path}: has {came} bytes, expected {size}; get the official file")
    if (came := fetch.checksum(path)) != sha256:
        raise data.DataError(f"{path}: has the sha256 {came}, expected {sha256}; get the official file")
