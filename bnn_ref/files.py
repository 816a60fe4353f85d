"""A file is either there whole or not there at all, and nothing read from one is ever executed.

Runs and data sets take minutes to make: a failed write must not destroy the last good one, and a damaged or hostile
file must end in a clear error.
"""

import contextlib
import datetime
import hashlib
import itertools
import math
import os
import platform
import re
import stat
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

try:
    import fcntl
except ImportError:                   # Windows
    fcntl = None

RUN_FILES = ("run.json", "run.lock", "checkpoint.npz", "params.npz", "curves.png", "weights.png")
PART = r"\.[0-9a-f]{16}\.part"        # behind the name of a file while it is written
OLD = 3600                            # seconds
LONG_WORD, LONG_LINE = 200, 2000      # characters: what nobody reads to its end
CHUNK = 1 << 20                       # bytes read at a time
SMALL = 200 << 20                     # bytes that the arrays of any archive may take,
RATIO = 20                            # or this many times the file's size: pictures take 5 times, zeros 1000


# --- writing -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def atomic_write(path):
    """Yield a binary file object; what was written to it replaces `path` at the end, whole.

    The bytes go to `<name>.<16 hexadecimal digits>.part` in the same folder, because os.replace is atomic only within
    one file system. Any exception, KeyboardInterrupt included, removes that file, leaves `path` as it was and
    goes on to the caller; a program that is killed leaves it, and the next that writes `path` removes it. Raises
    OSError where the folder does not exist or cannot be written.
    """
    path = Path(path)
    _remove_left(path)
    file, part = _begin_part(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl:                                  # while it is locked: nobody may take it for one that was left
                os.replace(part, path)
        if not fcntl:                                  # Windows moves no file that is open
            os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _begin_part(path):
    """(the open file, its path) that is to become `path`, locked until it is closed, also by the end of the process."""
    while True:
        part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")  # random: two processes never share one
        file = open(part, "xb")                        # no tempfile, whose files only their owner can read
        if _lock(file) and part.exists():              # else one who tidies up was here just between
            return file, part
        file.close()


def _lock(file):
    """Lock an open file; False where another process has. True too where there are no locks, as on some networks."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _remove_left(path):
    """Remove what programs left that were killed while they wrote `path`."""
    with contextlib.suppress(OSError):                 # a folder that cannot be listed may still be written to
        for name in os.listdir(path.parent):
            if re.fullmatch(re.escape(path.name) + PART, name):
                with contextlib.suppress(OSError):
                    _remove_if_left(path.with_name(name))


def _remove_if_left(part):
    """Remove a part that no process writes to. Raises OSError where it cannot be removed, or nobody knows."""
    if not stat.S_ISREG(os.lstat(part).st_mode):
        return
    if fcntl:
        with open(part, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    elif time.time() - part.stat().st_mtime > OLD:     # Windows removes none that is open; it is closed for a moment
        part.unlink()                                  # before it gets its name


class PlaceError(ValueError):
    """A place where a file cannot be written; the message is one line that names it and says what to do."""


def check_place(path, force=False):
    """Raise PlaceError unless a file can be written to `path`: before the work that makes it, which may take hours.

    What is there already is replaced by `force` alone, and a run's own files, folders and devices not even then.
    """
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise PlaceError(f"{path} is a folder: name a file to write")
    if path.name.casefold() in RUN_FILES and (folder / "run.json").exists():
        raise PlaceError(f"{path} is the run's own file, which nothing replaces; name another")
    if os.path.lexists(path):
        if not path.is_file():
            raise PlaceError(f"{path} is a device, a FIFO or a link to nothing; name a file to write")
        if not force:
            raise PlaceError(f"{path} is there already; write elsewhere, or replace it with --force")
    try:
        file, part = _begin_part(path)
        file.close()
        part.unlink()
    except OSError as error:
        if not folder.is_dir():
            raise PlaceError(f"{path}: {folder} is no folder that is there; make it, or name another") from None
        raise PlaceError(f"{path}: cannot be written there ({error.strerror}); name another place") from None


def free_place(path):
    """`path` or, where that is there already, the same name with -2, -3, ... behind it: the first that is not."""
    path = Path(path)
    places = (path.with_stem(f"{path.stem}-{number}") if number > 1 else path for number in itertools.count(1))
    return next(place for place in places if not os.path.lexists(place))


# --- one process at a time ---------------------------------------------------------------------------------------


class BusyError(RuntimeError):
    """A file that another process holds; the message says which, since when."""


@contextlib.contextmanager
def lock(path):
    """Hold `path` alone until the end: a small file that says who does, and is gone afterwards.

    The system itself lets go of it when a process ends, however that ends, so no lock is left behind by a kill. Raises
    BusyError where another process holds it, OSError where no file can be written. On Windows, and on file systems
    that know no locks, everybody gets it.
    """
    file = _locked(path)
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}, since {datetime.datetime.now():%Y-%m-%d %H:%M},")
        file.flush()
        yield
    finally:
        with contextlib.suppress(OSError):             # before it is let go, so that nobody's newer file is removed
            os.unlink(path)
        file.close()


def _locked(path):
    """The open file that this process holds now, and that still has its name."""
    while True:
        file = open(path, "a+", encoding="utf-8")
        if not _lock(file):
            file.seek(0)
            said = printable(file.read(200)) or "another process"
            file.close()
            raise BusyError(said)
        with contextlib.suppress(FileNotFoundError):   # who held it has just removed it
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        file.close()


# --- what is read, and what is said of it --------------------------------------------------------------------------


def sha256(path):
    """The sha256 of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class DamagedError(ValueError):
    """A file that cannot be read as what it should be; the message says why, in one line."""

    def __init__(self, message):
        super().__init__(printable(message))


def printable(text):
    """The text in one line; what a terminal obeys or cannot show, say in a name that comes from a file, is escaped."""
    line = " ".join(str(text).splitlines())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def brief(text):
    """The text as `printable` has it; of what is very long the middle is left out, in words and in all of it."""
    line = re.sub(rf"\S{{{LONG_WORD + 1},}}", lambda word: without_middle(word[0], LONG_WORD), printable(text))
    return without_middle(line, LONG_LINE)


def without_middle(text, most):
    """The text, if it has `most` characters or fewer, else its two ends."""
    half = most // 2 - 3
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def check_regular(path):
    """Raise DamagedError unless `path` leads to a regular file, OSError where it leads nowhere.

    Opening a FIFO waits for a writer, maybe for ever, and reading a device may never end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise DamagedError("expected a regular file, got a folder, FIFO or device")


# --- arrays --------------------------------------------------------------------------------------------------------


def array_names(path):
    """The names of the arrays in an .npz archive, by its directory alone; none where it cannot be read."""
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except Exception:                 # what is wrong is said where the arrays are read
        return set()


def read_arrays(path, wanted=None, required=(), at_least=0):
    """{name: array} of an .npz archive, or of those of its arrays that are `wanted`; `required` ones must be there.

    Pickled objects are refused. numpy.load allocates what an array's header claims; here the header must first fit
    the array's real size, and that the file's; at_least: bytes that they may take in any case. Each byte of the file
    must belong to a member or to their directory. Raises FileNotFoundError, DamagedError.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            _check_directory(file, archive)
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            absent = [name for name in required if name not in names]
            if absent:
                raise DamagedError(f"{', '.join(absent)} missing, found {', '.join(names[:8]) or 'nothing'}")
            chosen = [f"{name}.npy" for name in names if wanted is None or name in wanted]
            _check_sizes([archive.getinfo(name) for name in chosen], os.fstat(file.fileno()).st_size, at_least)
            return {name.removesuffix(".npy"): _read_array(archive, name) for name in chosen}
    except (DamagedError, FileNotFoundError):
        raise
    except Exception as error:  # damage raises BadZipFile, zlib.error, EOFError, struct.error, OSError, ...
        raise DamagedError(f"cannot be read as an .npz file ({type(error).__name__}: {error})") from error


MEMBER = struct.Struct("<4s22xHH")    # what stands before a member: signature, lengths of its name and extra field
ENTRY = struct.Struct("<4s24xHHH12x")     # its entry in the directory: the same, and the length of a comment
END = struct.Struct("<4s6xH8xH")      # behind the directory: signature, number of members, length of a comment
END_64 = 56 + 20                      # bytes before that in an archive which is too large for it
DESCRIBED = 1 << 3                    # the flag of a member behind which its sizes stand once more,
DESCRIPTIONS = (12, 16, 20, 24)       # in so many bytes


def _check_directory(file, archive):
    """Raise DamagedError unless the members fill the file up to the directory, and the directory the rest.

    zipfile believes the directory. With one wrong bit there an array is gone, and nobody would be told.
    """
    members, at, names = archive.infolist(), archive.start_dir, []
    for _ in members:
        file.seek(at)
        _, length, extra, comment = ENTRY.unpack(file.read(ENTRY.size))
        names.append(file.read(length))
        at += ENTRY.size + length + extra + comment
        if comment:
            raise DamagedError("the directory of the archive is damaged: it has a comment")
    file.seek(at)
    end = file.read(END_64 + END.size + 1)
    large = len(end) == END_64 + END.size and end.startswith(b"PK\6\6")
    _, count, comment = END.unpack(end[-END.size:])
    if comment or not (large or (len(end) == END.size and count == len(members))):
        raise DamagedError(f"the directory of the archive is damaged: {len(members)} members, {count} expected, or "
                           "more bytes than theirs")
    if len(set(names)) < len(names):
        raise DamagedError("an array is there twice")

    at, described = 0, 0
    for member, name in sorted(zip(members, names), key=lambda pair: pair[0].header_offset):
        _check_gap(member.header_offset - at, described)
        file.seek(member.header_offset)
        _, length, extra = MEMBER.unpack(file.read(MEMBER.size))
        if file.read(length) != name:
            raise DamagedError(f"{member.filename} has another name in the directory of the archive")
        at = member.header_offset + MEMBER.size + length + extra + member.compress_size
        described = member.flag_bits & DESCRIBED
    _check_gap(archive.start_dir - at, described)


def _check_gap(gap, described):
    if gap and not (described and gap in DESCRIPTIONS):
        raise DamagedError(f"{gap} bytes between the members of the archive belong to none")


def _check_sizes(members, size, at_least):
    """Raise DamagedError for members that only other programs than NumPy compress, or that an honest file has not."""
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise DamagedError("compressed in another way than numpy.savez_compressed does")
    claimed = sum(member.file_size for member in members)
    if claimed > max(SMALL, at_least, RATIO * size):
        raise DamagedError(f"its arrays take {claimed} bytes, {claimed // size} times the file's {size}; if that is "
                           "so, save them with numpy.savez, which does not compress")


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
