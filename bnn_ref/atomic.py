"""A file is either there whole or not there at all.

Runs, data sets and packed networks take minutes to make: a failed write must not destroy the last good one.
"""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path):
    """Yield a binary file object; what was written to it replaces `path` at the end, whole.

    The bytes go to `<name>.<random>.part` in the same folder, because os.replace is atomic only within one
    file system. Any exception, KeyboardInterrupt included, removes that file, leaves `path` as it was and
    goes on to the caller. Raises OSError where the folder does not exist or cannot be written.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")  # random: two processes never share one
    try:
        with open(part, "xb") as file:  # open(), because tempfile makes files that only their owner can read
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
