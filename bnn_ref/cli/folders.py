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


def find(options, settings):
    """(folder, record of the run to go on with); the record is None without --resume, or where there is none yet."""
    folder = options.out or _default(settings)
    if not options.resume:
        return folder, None
    folder = options.out or runs.newest(folder)
    return folder, runs.read(folder) if runs.exists(folder) else None


def begin(options, folder, run):
    """Begin a run in that folder or, where it is in use and nobody named it, in the next one. Returns (folder, record).

    Raises runs.RunError for a folder in use that --out names, OSError for one that cannot be made.
    """
    if options.out:
        return folder, runs.begin(folder, run)
    place, record = runs.begin_another(folder, run)
    if place != folder:
        say(f"{folder} is there already: this run goes to {place}")
    return place, record
