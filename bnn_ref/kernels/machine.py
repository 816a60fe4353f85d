"""What the kernels must know of the processor: its vector instructions, and how much its caches hold.

Tiles and block sizes follow from these, so no measuring is needed before the first product and every run on one machine
takes the same. What counts is what a processor has, never its name.
"""

import functools
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from ..environment import SettingError
from .compiled import COMPILED

if COMPILED:
    import llvmlite.binding
    import numba
    from numba.core import codegen


class Tile(NamedTuple):
    """Outputs that are kept in registers: rows of a × vectors of `lanes` columns of b."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self):
        """Columns of b side by side in a panel."""
        return self.vectors * self.lanes


# The instruction that looks each byte of a vector up in a table of 16 bytes, by LLVM's name: bytes of the vector.
SHUFFLES = {"llvm.x86.avx512.pshuf.b.512": 64, "llvm.x86.avx2.pshuf.b": 32, "llvm.x86.ssse3.pshuf.b.128": 16,
            "llvm.aarch64.neon.tbl1.v16i8": 16}


class Processor(NamedTuple):
    """The vector instructions that kernels may use, and the tiles that fit its registers."""

    lanes: int                        # 64-bit lanes of a vector register
    registers: int                    # how many of them there are
    ternary: bool = False             # any function of three bits is an instruction
    popcount: bool = False            # so is the popcount of all lanes
    shuffle: str = ""                 # one of SHUFFLES; "" where there is none

    @property
    def plain(self):
        """XOR, popcount, add: an accumulator an output, and registers for the words of a and b beside them."""
        return Tile(4, 4, self.lanes) if self.registers == 32 else Tile(2, 4, self.lanes)

    @property
    def carry_save(self):
        """Two registers an output."""
        return Tile(2, 4, self.lanes) if self.registers == 32 else Tile(2, 2, self.lanes)

    @property
    def lookup(self):
        """Lanes of a byte, and three registers for the outputs of two rows."""
        return Tile(6 if self.registers == 32 else 4, 2, SHUFFLES.get(self.shuffle, 16))

    @property
    def pixels(self):
        """The same columns; two registers an output."""
        return Tile(4 if self.registers == 32 else 2, *self.lookup[1:])


# What LLVM switches on with a feature; so it switches the feature off with any of these.
IMPLIED = {"sse3": ["sse2"], "ssse3": ["sse3"], "sse4.1": ["ssse3"], "sse4.2": ["sse4.1"], "avx": ["sse4.2"],
           "avx2": ["avx"], "fma": ["avx"], "f16c": ["avx"], "avx512f": ["avx2", "fma", "f16c"],
           "avx512bw": ["avx512f"], "avx512vpopcntdq": ["avx512f"]}


def _with_implied(name):
    return {name}.union(*map(_with_implied, IMPLIED.get(name, [])))


def processor(features):
    """The Processor with these features, a set of LLVM's names."""
    def has(name):
        return _with_implied(name) <= features

    if has("avx512f"):
        return Processor(8, 32, ternary=True, popcount=has("avx512vpopcntdq"),
                         shuffle="llvm.x86.avx512.pshuf.b.512" if has("avx512bw") else "llvm.x86.avx2.pshuf.b")
    if has("avx2"):
        return Processor(4, 16, shuffle="llvm.x86.avx2.pshuf.b")
    if has("neon"):
        return Processor(2, 32, shuffle="llvm.aarch64.neon.tbl1.v16i8")
    return Processor(2, 16, shuffle="llvm.x86.ssse3.pshuf.b.128" if has("ssse3") else "")


def switched(features, changes):
    """The set of features after changes like "+avx2,-avx512f", from left to right, as LLVM makes them."""
    features = set(features)
    for change in filter(None, changes.split(",")):
        if change[0] == "+":
            features |= _with_implied(change[1:])
        else:
            features.discard(change[1:])
    return features


def check_changes(changes, there):
    """Raise SettingError unless all changes are of features that are known, and the processor has those switched on.

    there: {LLVM's name: whether the processor has it}.
    """
    for change in filter(None, changes.split(",")):
        if change[0] not in "+-" or change[1:] not in there:
            raise SettingError("NUMBA_CPU_FEATURES: expected +NAME or -NAME of features that LLVM finds in a processor "
                               f"like this one, with a comma between, got {change!r}")
        if change[0] == "+" and not there[change[1:]]:
            raise SettingError(f"NUMBA_CPU_FEATURES: this processor has no {change[1:]}, so what is compiled for it "
                               "could not run here; leave it out")


def _features():
    """The features that Numba compiles for: what LLVM finds in this processor, or what NUMBA_CPU_NAME and
    NUMBA_CPU_FEATURES say. Of a name alone, but for Numba's `host` and `generic`, nothing is concluded."""
    if not COMPILED:
        return set()
    baseline = {"neon"} if llvmlite.binding.get_process_triple().startswith(("aarch64", "arm64")) else {"sse2"}
    host = codegen.get_host_cpu_features()
    changes = numba.config.CPU_FEATURES
    if changes is None:
        return switched(baseline, host)
    check_changes(changes, llvmlite.binding.get_host_cpu_features())
    named = (numba.config.CPU_NAME or "host") != "host"
    return switched(baseline if named else switched(baseline, host), changes)


PROCESSOR = processor(_features())
LANES, REGISTERS = PROCESSOR.lanes, PROCESSOR.registers
PLAIN, CARRY_SAVE, LOOKUP, PIXELS = PROCESSOR.plain, PROCESSOR.carry_save, PROCESSOR.lookup, PROCESSOR.pixels


def _linux_cache(level):
    folder = Path("/sys/devices/system/cpu/cpu0/cache")
    for index in folder.glob("index*"):
        kind, found, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        if kind != "Instruction" and int(found) == level:
            return int(size.removesuffix("K")) * 1024
    raise OSError(f"no cache of level {level} in {folder}")


def _mac_cache(level):
    name = {1: "hw.l1dcachesize", 2: "hw.l2cachesize"}[level]
    return int(subprocess.run(["sysctl", "-n", name], capture_output=True, check=True, text=True).stdout)


@functools.cache
def cache_size(level):
    """Bytes of a core's data cache of level 1 or 2; 32 KiB and 512 KiB where the system does not say."""
    try:
        return (_mac_cache if sys.platform == "darwin" else _linux_cache)(level)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {1: 32 << 10, 2: 512 << 10}[level]


def block_steps(size, steps):
    """Steps of `size` bytes in one block, so that it takes two thirds of the second-level cache at most; blocks are of
    nearly one size. Where bytes are looked up, the first level gains nothing: longer blocks save more."""
    most = max(1, cache_size(2) * 2 // 3 // size)
    return -(-steps // -(-steps // most))


def panel_words(columns, words):
    """Words of each row of b in one block, so that a panel takes two thirds of the first-level cache at most.

    Even where there are several blocks, since carry-save adders take words in pairs; blocks are of nearly one size.
    """
    most = max(2, cache_size(1) * 2 // 3 // (8 * columns))
    blocks = -(-words // most)
    return words if blocks == 1 else -(-words // blocks) + 1 & ~1
