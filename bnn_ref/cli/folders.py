"""Which folder a run is in: the one that --out names, else one that is named after what the run is.

A run of the same name does not end in an error, it takes the next number; what --out names is never written over.
"""

from pathlib import Path

from ..training import runs
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
