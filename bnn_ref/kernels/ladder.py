"""The ladder: one operation, the product of rows of ±1 packed as bits, from its definition to the fastest kernels.

Tests, timings, the tables of speeds and the lesson all read LADDER. Every rung takes (a, b, k) and returns the same
integers; a rung's module is imported when it is first asked for, so that CUDA concerns those alone who use it.
"""

import importlib
from dataclasses import dataclass

import numpy as np

from ..ops.checks import check_instance, check_whole, is_plain
from . import bits, compiled, limit, machine, panels

LARGEST_K = 2**31 - 1                 # entries in a row: the products are int32
LARGEST_PLANE_K = LARGEST_K // 255    # and of 8-bit pixels, which weigh up to 255: 8,421,504


class Unavailable(ValueError):
    """A rung that this machine cannot run; the message is one line that says what it needs."""


@dataclass(frozen=True)
class Rung:
    """A way to compute xnor_matmul. rung(a, b, k) checks the operands and runs it."""

    name: str
    module: str                       # of this package, and its function of the rung's name
    change: str                       # against the rung before, in a line; and why, where it is slower
    reads: str                        # words read per output, of `words` in a row
    xors: str                         # XORs per output
    popcounts: str                    # popcounts per output
    limit: str = limit.COUNT          # the register limit that it cannot pass

    @property
    def function(self):
        """The rung itself, for operands that have been checked. Raises Unavailable where it cannot run."""
        missing = self.missing()
        if missing:
            raise Unavailable(f"rung {self.name}: {missing}")
        return getattr(importlib.import_module(f".{self.module}", __package__), self.name)

    def missing(self):
        """What the rung needs that this machine lacks, in one line; None where it can run."""
        if self.name == "lookup" and compiled.COMPILED and not machine.PROCESSOR.shuffle:
            return ("needs an instruction that shuffles bytes (SSSE3, AVX2, NEON), which this processor lacks or "
                    "NUMBA_CPU_NAME or NUMBA_CPU_FEATURES leave out")
        if self.module != "cuda":
            return None
        from . import device  # here, because CUDA concerns those alone who use it

        return device.missing(self.name)

    def __call__(self, a, b, k):
        check_operands(a, b, k)
        return self.function(a, b, k) if len(a) and len(b) else np.empty((len(a), len(b)), np.int32)


LADDER = (
    Rung("definition", "reference", "products of ±1, as floats", "2·words, as 128·words floats", "0", "0"),
    Rung("identity", "reference", "64 entries are a word, in NumPy; slower: each operation is a pass over memory",
         "2·words", "words", "words"),
    Rung("loops", "loops", "compiled loops: nothing in between is stored", "2·words", "words", "words"),
    Rung("tiles", "loops", "2 × 4 outputs at a time share words; slower: no registers left to unroll the loop",
         "3/4·words", "words", "words"),
    Rung("lanes", "panels", "explicit vectors over panels of b, 4 × 4 of them in registers", "9/32·words", "words",
         "words"),
    Rung("carry_save", "panels", "words are added as bits; only carries are counted", "17/32·words", "words",
         "words/2"),
    Rung("blocks", "panels", "blocks that stay in the caches; threads", "17/32·words", "words", "words/2"),
    Rung("lookup", "lookup", "four bits at a time are looked up, for two rows at once; slower where vectors have a "
         "popcount", "25/32·words", "0", "0", limit.LOOK_UP),
    Rung("rows", "panels", "for a few rows of a: b as it lies, lanes along the words", "2·words", "words", "words"),
    Rung("cuda_naive", "cuda", "a GPU: a thread for each output", "2·words", "words", "words"),
    Rung("cuda_tiled", "cuda", "tiles in shared memory, 4 × 4 outputs in a thread's registers", "words/32", "words",
         "words"),
    Rung("cuda_carry_save", "cuda", "full adders: only the carries are counted", "words/32", "words", "words/2"),
    Rung("cuda_tensor", "cuda", "binary tensor cores count a AND b", "words/64", "0", "0"),
)


def check_operands(a, b, k, largest=LARGEST_K):
    """Raise TypeError or ValueError unless a and b are packed rows of k entries, at most `largest`."""
    check_whole("k", k, "a whole number of entries")
    if k > largest:
        raise ValueError(f"k: expected at most {largest} entries, whose sums an int32 holds, got {k}")
    for name, operand in (("a", a), ("b", b)):
        bits.check_words(name, operand, k)
        if operand.ndim != 2:
            raise ValueError(f"{name}: expected shape (rows, words), got {operand.shape}")


def rung(name):
    """The rung of that name. Raises ValueError for an unknown one."""
    for candidate in LADDER:
        if candidate.name == name:
            return candidate
    raise ValueError(f"rung: expected one of {', '.join(rung.name for rung in LADDER)}, got {name!r}")


WITH_PLANES = ("rows", "blocks", "lookup")       # these take bit planes, and weigh them while they add


def chosen(m, n, planes=1):
    """The rung for m rows of a, each of so many planes, and n of b, by what the processor has.

    Where an instruction counts the bits of a vector, that is best; else to look them up, where one shuffles bytes.
    Operands in the host's memory stay on the CPU; CUDA is there for whoever names it.
    """
    if not compiled.COMPILED:
        return rung("identity")
    if min(m * planes, n) < panels.FEW_ROWS:
        return rung("rows")
    return rung("lookup" if machine.PROCESSOR.shuffle and not machine.PROCESSOR.popcount else "blocks")


def xnor_matmul(a, b, k):
    """The product of rows of ±1, packed as bits: out[i, j] = Σ_d a[i, d] b[j, d], by the best rung for these sizes.

    a: uint64 (m, words), b: uint64 (n, words), from `bits.pack`; k: entries in a row, 2,147,483,647 at most.
    Returns int32 (m, n). Raises TypeError or ValueError where the operands are not packed rows of k entries.
    """
    sizes = (len(x) if is_plain(x) and x.ndim else 1 for x in (a, b))  # whatever they are, the rung says what it wants
    return chosen(*sizes)(a, b, k)


def plane_matmul(planes, b, k, rung=None):
    """The product of centred 8-bit pixels with ±1: out[i, j] = Σ_d (2 x[i, d] - 255) b[j, d] [BNN-6].

    planes: uint64 (m, 8, words), from `bits.pack_planes`; b: uint64 (n, words); k: entries in a row, 8,421,504 at
    most; rung: a Rung, or None for the best. Returns int32 (m, n), every sum within ±255 k. Raises TypeError or
    ValueError for operands that do not fit.
    """
    if not is_plain(planes) or planes.ndim != 3 or planes.shape[1] != 8:
        came = planes.shape if is_plain(planes) else type(planes).__name__
        raise ValueError(f"planes: expected shape (rows, 8, words), got {came}")
    bits.check_words("planes", planes, k)
    check_operands(planes[:, 0], b, k, LARGEST_PLANE_K)
    check_instance("rung", rung, Rung | None, "a Rung of LADDER or None")
    rung = rung or chosen(len(planes), len(b), 8)
    if not len(planes) or not len(b):
        return np.empty((len(planes), len(b)), np.int32)
    if rung.name in WITH_PLANES:
        return rung.function(planes, b, k, 8)
    return sum(rung.function(planes[:, plane], b, k) << plane for plane in range(8))
