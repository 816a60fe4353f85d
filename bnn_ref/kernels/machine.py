"""What the kernels must know of the processor: its vector registers, and how much its caches hold.

Block sizes follow from these numbers, so no measuring is needed before the first product and every run on one machine
takes the same blocks.
"""

import functools
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from .compiled import COMPILED

if COMPILED:
    import llvmlite.binding
    import numba


class Tile(NamedTuple):
    """Outputs that are kept in registers: rows of a × vectors of `lanes` columns of b."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self):
        """Columns of b side by side in a panel."""
        return self.vectors * self.lanes


def _registers():
    """(64-bit lanes of a vector register, vector registers) of the processor that Numba compiles for."""
    host = COMPILED and (numba.config.CPU_NAME or "host") == "host"
    features = llvmlite.binding.get_host_cpu_features() if host else {}
    if features.get("avx512f"):
        return 8, 32
    if features.get("avx2"):
        return 4, 16
    return 2, 32 if features.get("neon") else 16


LANES, REGISTERS = _registers()

# XOR, popcount, add: one accumulator an output, and registers for the words of a and b beside them.
PLAIN = Tile(4, 4, LANES) if REGISTERS == 32 else Tile(2, 4, LANES)
# Carry-save adders: two registers an output.
CARRY_SAVE = Tile(2, 4, LANES) if REGISTERS == 32 else Tile(2, 2, LANES)


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


def panel_words(columns, words):
    """Words of each row of b in one block, so that a panel takes two thirds of the first-level cache at most.

    Even where there are several blocks, since carry-save adders take words in pairs; blocks are of nearly one size.
    """
    most = max(2, cache_size(1) * 2 // 3 // (8 * columns))
    blocks = -(-words // most)
    return words if blocks == 1 else -(-words // blocks) + 1 & ~1
