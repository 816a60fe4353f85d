"""Damaged networks on bits, some with a checksum that fits: refused, or whole in what they say."""

import functools
import struct

import numpy as np

from bnn_ref import packed
from bnn_ref.nets import inputs
from tests.fuzz.damage import WORDS, damage
from tests.fuzz.harness import WrongError
from tests.packed.test_file import SHAPE, pictures, preprocessed, random_network, sealed

HONEST = 1 << 16
FRONTS = (inputs.centred_inputs, inputs.contrast_inputs, inputs.whitened_inputs, inputs.local_contrast_inputs)
NETWORKS = (random_network("3C3-MP2-5C3-70FC", SHAPE), random_network("65FC", SHAPE, pad_value=-1.0),
            preprocessed(*FRONTS), preprocessed())
NUMBERS = (12, *range(56, 240, 4))    # where in a header they are, or text


@functools.cache
def _good(number, folder):
    packed.save_packed(folder / "good.bnn", NETWORKS[number])
    return (folder / "good.bnn").read_bytes()


def attempt(rng, folder):
    """Damage one of the files and load it."""
    path, again = folder / "net.bnn", folder / "again.bnn"
    good = _good(rng.randrange(len(NETWORKS)), folder)
    content = damage(rng, good) if rng.random() < 0.6 else _numbers(rng, good)
    fits = rng.random() < 0.6 and len(content) >= 56
    path.write_bytes(sealed(content) if fits else content)
    content = path.read_bytes()
    try:
        loaded = packed.load_packed(path)
    except packed.PackedError as error:
        if not str(error).isprintable():
            raise WrongError(f"a message of several lines: {str(error)!r}") from None
        return "refused"
    if content == good:
        return "as it was"
    if not fits:
        raise WrongError("a file was taken whose checksum cannot fit")
    packed.save_packed(again, loaded)
    if again.read_bytes() != content:
        raise WrongError("what was read is not all that the file says")
    if np.prod(loaded.shape, dtype=float) < 1e4:
        with np.errstate(all="ignore"):
            logits = packed.predict(loaded, pictures(loaded.shape, 2))
        if logits.shape != (2, loaded.classes):
            raise WrongError(f"gives logits of shape {logits.shape}")
    return "another network, whole"


def _numbers(rng, content):
    """Some numbers of the header replaced."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.choice(NUMBERS)
        old, = struct.unpack_from("<I", content, at)
        struct.pack_into("<I", content, at, (rng.choice((*WORDS, old + 1, old - 1, rng.getrandbits(32)))) % 2**32)
    return bytes(content)
