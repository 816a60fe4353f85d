"""A file is either there whole or not there at all, and nothing read from one is ever executed.

Runs and data sets take minutes to make: a failed write must not destroy the last good one, and a damaged or hostile
file must end in a clear error.
"""

import contextlib
import math
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

CHUNK = 1 << 20                       # bytes read at a time


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


class DamagedError(ValueError):
    """A file that cannot be read as what it should be; the message says why, in one line."""


def read_arrays(path, wanted=None, required=()):
    """{name: array} of an .npz archive, or of those of its arrays that are `wanted`; `required` ones must be there.

    Pickled objects are refused. numpy.load allocates what an array's header claims; here the header must first fit
    the real size. Raises FileNotFoundError, DamagedError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            absent = [name for name in required if name not in names]
            if absent:
                raise DamagedError(f"{', '.join(absent)} missing, found {', '.join(names[:8]) or 'nothing'}")
            wanted = names if wanted is None else wanted
            return {name: _read_array(archive, f"{name}.npy") for name in names if name in wanted}
    except (DamagedError, FileNotFoundError):
        raise
    except Exception as error:  # damage raises BadZipFile, zlib.error, EOFError, struct.error, OSError, ...
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise DamagedError(f"cannot be read as an .npz file ({cause})") from error


def _read_array(archive, name):
    with archive.open(name) as member:
        version = npy.read_magic(member)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read_header(member)
        if dtype.hasobject:
            raise DamagedError(f"{name} holds pickled objects, which are never read")
        claimed = member.tell() + math.prod(shape) * dtype.itemsize
        stored = archive.getinfo(name).file_size
        if claimed != stored:
            raise DamagedError(f"{name} claims {claimed} bytes (shape {shape}, {dtype}) but has {stored}")
        content = bytearray()    # grows with what is really there, and becomes the array: not a second copy of 2 GB
        while chunk := member.read(CHUNK):       # to the end, where zipfile compares the checksum
            content += chunk
    order = "F" if fortran_order else "C"
    return np.ndarray(shape, dtype, content, order=order)
