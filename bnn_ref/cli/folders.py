"""Which folder a run is in: the one that --out names, else one that is named after what the run is.

A run of the same name does not end in an error, it takes the next number; what --out names is never written over.
"""

import contextlib
import shlex
from pathlib import Path

from ..training import runs
from .options import UsageError
from .terminal import say


def _default(settings):
    parts = [settings["paper"], settings["variant"], settings["net"], Path(settings["data"]).stem, settings["preset"],
             f"seed{settings['seed']}"]
    return Path("runs") / "-".join(parts)


def find(options, settings, held):
    """(folder, the run there to go on with); the run is None without --resume, or where there is none yet.

    held: an ExitStack; until it ends nobody else trains into the folder of that run.
    """
    folder = options.out or _default(settings)
    if not options.resume:
        return folder, None
    folder = options.out or runs.newest(folder)
    if not runs.exists(folder):
        return folder, None
    held.enter_context(runs.hold(folder))
    return folder, runs.read(folder)


def begin(options, folder, run, held):
    """Begin a run in that folder or, where it is in use and nobody named it, in the next one. Returns (folder, run).

    held: as of `find`. Raises runs.RunError for a folder in use that --out names, OSError for one that cannot be made.
    """
    place, run = (folder, runs.begin(folder, run)) if options.out else runs.begin_another(folder, run)
    held.enter_context(runs.hold(place))
    if place != folder:
        say(f"{folder} is there already: this run goes to {place}")
    return place, run


@contextlib.contextmanager
def going_on(options, folder, *more):
    """Ctrl-C, a reader of the output who left and a disk that is full say how to go on with the run in the folder.

    more: words of the command that --resume does not take from the run.
    """
    words = ["bnn-ref", "train", options.paper, "--out", str(folder), "--resume", *more]
    words += ["--data-dir", options.data_dir] if options.data_dir else []
    words += ["--readable"] if options.readable else []
    again = shlex.join(words)
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        raise type(stop)(f"go on with: {again}") from None
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}; the last saved epoch is safe, go on with: "
                         f"{again}") from None
