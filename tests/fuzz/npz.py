"""Damaged data files of people's own, some with checksums that fit: refused, or the same pictures."""

import functools
import io
import re
import struct
import zipfile

import numpy as np

from bnn_ref import data
from tests.fuzz.damage import damage
from tests.fuzz.harness import WrongError

HONEST = 1 << 16
RNG = np.random.default_rng(0)
ARRAYS = {f"{part}_{letter}": RNG.integers(0, 256, (n, 1, 4, 5), np.uint8) if letter == "x" else np.arange(n) % 3
          for part, n in (("train", 12), ("valid", 3), ("test", 6)) for letter in "xy"}


@functools.cache
def _good(write, with_valid, folder):
    """(bytes, fingerprint) of the whole file."""
    (folder / "good.npz").unlink(missing_ok=True)
    write(folder / "good.npz", **{name: x for name, x in ARRAYS.items() if with_valid or name[0] != "v"})
    return (folder / "good.npz").read_bytes(), data.load(folder / "good.npz").fingerprint


def attempt(rng, folder):
    """Damage a file written in one of the ways, in its bytes or in the arrays inside, and load it."""
    path = folder / "mine.npz"
    good, expected = _good(rng.choice((np.savez, np.savez_compressed, data.save)), rng.random() < 0.7, folder)
    inside = rng.random() < 0.4
    content = _damage_inside(rng, good) if inside else _damage_directory(rng, good)
    path.write_bytes(content)
    try:
        loaded = data.load(path)
    except data.DataError as error:
        if not str(error).isprintable():
            raise WrongError(f"a message of several lines: {str(error)!r}") from None
        return "refused"
    if loaded.fingerprint == expected:
        return "as it was"
    if not inside:
        raise WrongError("other data, and no checksum complained")
    with np.load(io.BytesIO(content), allow_pickle=False) as read:          # NumPy's own word for what is in there
        for name in set(read.files) & set(data.KEYS):
            if "valid_x" in read.files or not name.startswith("train"):     # else a part of it is for validation now
                if not np.array_equal(getattr(loaded, name), read[name]):
                    raise WrongError(f"{name} is not what NumPy reads")
    return "other data, whole"


def _damage_directory(rng, content):
    """Much of the damage to where it hurts most: the directory, with names, sizes and places of the arrays."""
    if rng.random() < 0.4:
        return damage(rng, content)
    entries = [found.start() for found in re.finditer(b"PK\1\2|PK\5\6", content)]
    if rng.random() < 0.7:
        return content[:entries[0]] + damage(rng, content[entries[0]:])
    content, at = bytearray(content), rng.randrange(len(entries) - 2)       # a comment swallows the entries behind it
    swallowed = rng.choice(entries[at + 2:]) - entries[at + 1]
    struct.pack_into("<H", content, entries[at] + 32, swallowed)
    return bytes(content)


def _damage_inside(rng, content):
    """An array's header or content damaged, left out, or under another name, in an archive that is whole."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as made:
        chosen = rng.choice(archive.namelist())
        for name in archive.namelist():
            array = archive.read(name)
            if name == chosen:
                match rng.randrange(5):
                    case 0:
                        continue
                    case 1:
                        name = rng.choice(("train_x", "other", "\x1b[2J", "valid_y")) + ".npy"
                    case 2:
                        array = damage(rng, array[:128]) + array[128:]
                    case 3:
                        array = array[:128] + bytes(rng.choice((0, 1, 2, 9)) for _ in range(len(array) - 128))
                    case _:
                        array = _other(rng)
            made.writestr(zipfile.ZipInfo(name), array)
    return stream.getvalue()


def _other(rng):
    """A whole array of another shape, dtype or content."""
    n = rng.choice((0, 1, 3, 6, 12))
    shape = rng.choice(((n,), (n, 1, 4, 5), (n, 1, 5, 4), (n, 20), (), (0, 0), (1, n, 1, 1)))
    dtype = rng.choice(("u1", "i1", ">i2", "u8", "f4", "f8", "c8", "?", "U3", "S2", "V5", "M8[s]", "u1,f4", "(2,2)u1"))
    array = np.zeros(shape, dtype)
    if array.dtype.kind in "iuf" and array.size:
        array.flat = [rng.choice((0, 1, 2, 3, 100)) for _ in range(array.size)]
        array.flat[-1] = rng.choice((0, 1, np.iinfo(array.dtype).max if array.dtype.kind in "iu" else np.inf))
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()
