"""CUDA: the rungs for NVIDIA GPUs, from one thread per output to registers, and the float kernel they are measured by.

A kernel is written for one thread; `cuda.threadIdx` says which one it is. A rung takes and returns NumPy arrays; the
`launch_*` beneath it takes arrays that lie on the device already, so that transfers can be timed apart. Kernels are
plain functions, compiled at their first launch: importing this needs no GPU, and NUMBA_ENABLE_CUDASIM=1 runs all
but `cuda_tensor` in Python.
"""

import numpy as np

from ..ops.checks import check_dtype, check_numbers, check_shapes
from . import bits
from . import cuda_tensor as tensor
from .device import covering, cuda, on_device, run

# --- one thread per output --------------------------------------------------------------------------------------------

SIDE = 16                             # a block is 16 × 16 threads, as in the paper's kernels


def cuda_naive(a, b, k):
    """As `loops`, but each output has a thread of its own: m·n of them instead of two nested loops.

    Per output: 2·words read, words XORs, words popcounts. Every word comes from global memory, or from a cache by luck.
    """
    return on_device(launch_naive, a, b, k)


def launch_naive(a, b, k, out):
    """`cuda_naive` on device arrays: a uint64 (m, words), b uint64 (n, words); fills out, int32 (m, n)."""
    run(_naive, covering(out.shape, SIDE), (SIDE, SIDE), a, b, k, out)


def _naive(a, b, k, out):
    across = (out.shape[1] + SIDE - 1) // SIDE
    i0, j0 = cuda.blockIdx.x // across * SIDE, cuda.blockIdx.x % across * SIDE
    i, j = i0 + cuda.threadIdx.y, j0 + cuda.threadIdx.x          # x is the fast index: neighbours write side by side
    if i < out.shape[0] and j < out.shape[1]:
        differ = np.int32(0)
        for word in range(a.shape[1]):
            differ += np.int32(cuda.popc(a[i, word] ^ b[j, word]))
        out[i, j] = k - 2 * differ


# --- tiles in shared memory and registers -----------------------------------------------------------------------------

EACH = 4                              # outputs of a thread: 4 × 4
TILE = EACH * SIDE                    # outputs of a block: 64 × 64
DEPTH = 16                            # words of a row in shared memory at a time
PITCH = DEPTH + 1                     # one more, so that the rows begin in different banks of shared memory


def cuda_tiled(a, b, k):
    """As `cuda_naive`, but a block copies words to shared memory, and a thread makes 4 × 4 outputs from what it reads.

    A block of 64 × 64 outputs reads 128 rows, and a thread 8 words for 16 outputs. Per output: words/32 read from
    global memory instead of 2·words, words/2 from shared memory, words XORs, words popcounts. Now popcount is what is
    waited for: a multiprocessor does 64 XORs in a cycle, but counts 16 registers of 32 bits.
    """
    return on_device(launch_tiled, a, b, k)


def launch_tiled(a, b, k, out):
    """`cuda_tiled` on device arrays: a uint64 (m, words), b uint64 (n, words); fills out, int32 (m, n)."""
    run(_tiled, covering(out.shape, TILE), (SIDE, SIDE), a, b, k, out)


def _tiled(a, b, k, out):
    a_tile = cuda.shared.array((TILE, PITCH), np.uint64)
    b_tile = cuda.shared.array((TILE, PITCH), np.uint64)
    differ = cuda.local.array((EACH, EACH), np.int32)             # in registers, once the loops of 4 are unrolled
    zero = np.uint64(0)
    m, n, words = a.shape[0], b.shape[0], a.shape[1]
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    across = (out.shape[1] + TILE - 1) // TILE
    i0, j0 = cuda.blockIdx.x // across * TILE, cuda.blockIdx.x % across * TILE
    for i in range(EACH):
        for j in range(EACH):
            differ[i, j] = 0
    for word0 in range(0, words, DEPTH):
        for row in range(y, TILE, SIDE):                           # neighbours take neighbouring words: one request
            a_tile[row, x] = a[i0 + row, word0 + x] if i0 + row < m and word0 + x < words else zero
            b_tile[row, x] = b[j0 + row, word0 + x] if j0 + row < n and word0 + x < words else zero
        cuda.syncthreads()                                         # the tiles are there
        for word in range(DEPTH):
            for i in range(EACH):
                for j in range(EACH):
                    differ[i, j] += np.int32(cuda.popc(a_tile[y + SIDE * i, word] ^ b_tile[x + SIDE * j, word]))
        cuda.syncthreads()                                         # the tiles are used up
    for i in range(EACH):
        for j in range(EACH):
            row, column = i0 + y + SIDE * i, j0 + x + SIDE * j
            if row < m and column < n:
                out[row, column] = k - 2 * differ[i, j]


# --- half the popcounts -----------------------------------------------------------------------------------------------

HALF = np.uint64(32)


def cuda_carry_save(a, b, k):
    """As `cuda_tiled`, but two XORs are added bit by bit before they are counted: half the popcounts.

    A register is 32 full adders. They add the XORs of the two halves of a word, x and y, to what is left, s: the sums
    u = s ^ x ^ y stay, and only the carries, worth 2 each, are counted. With t = s ^ x the carry is s where t is 0
    (s = x, whatever y is), else y, which is then u's complement. A GPU takes any function of three registers as one
    instruction, so t and u (with x = a ^ b inside) and the carry are three of them. Per output: reads as before,
    3·words such instructions in place of XORs, words popcounts of 32 bits instead of 64.
    """
    return on_device(launch_carry_save, a, b, k)


def launch_carry_save(a, b, k, out):
    """`cuda_carry_save` on device arrays: a uint64 (m, words), b uint64 (n, words); fills out, int32 (m, n)."""
    run(_carry_save, covering(out.shape, TILE), (SIDE, SIDE), a, b, k, out)


def _carry_save(a, b, k, out):
    a_tile = cuda.shared.array((TILE, PITCH), np.uint64)
    b_tile = cuda.shared.array((TILE, PITCH), np.uint64)
    ones = cuda.local.array((EACH, EACH), np.uint32)
    twos = cuda.local.array((EACH, EACH), np.int32)
    zero = np.uint64(0)
    m, n, words = a.shape[0], b.shape[0], a.shape[1]
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    across = (out.shape[1] + TILE - 1) // TILE
    i0, j0 = cuda.blockIdx.x // across * TILE, cuda.blockIdx.x % across * TILE
    for i in range(EACH):
        for j in range(EACH):
            ones[i, j], twos[i, j] = 0, 0
    for word0 in range(0, words, DEPTH):
        for row in range(y, TILE, SIDE):
            a_tile[row, x] = a[i0 + row, word0 + x] if i0 + row < m and word0 + x < words else zero
            b_tile[row, x] = b[j0 + row, word0 + x] if j0 + row < n and word0 + x < words else zero
        cuda.syncthreads()
        for word in range(DEPTH):
            for i in range(EACH):
                row = a_tile[y + SIDE * i, word]
                for j in range(EACH):
                    column = b_tile[x + SIDE * j, word]
                    s = ones[i, j]
                    t = np.uint32(s ^ row ^ column)
                    u = np.uint32(t ^ (row >> HALF) ^ (column >> HALF))
                    ones[i, j] = u                             # the carry in s, t, u alone: one instruction
                    twos[i, j] += np.int32(cuda.popc(np.uint32(s ^ (t & ~(s ^ u)))))
        cuda.syncthreads()
    for i in range(EACH):
        for j in range(EACH):
            row, column = i0 + y + SIDE * i, j0 + x + SIDE * j
            if row < m and column < n:
                out[row, column] = k - 2 * (2 * twos[i, j] + np.int32(cuda.popc(ones[i, j])))


# --- binary tensor cores: cuda_tensor.py ------------------------------------------------------------------------------


def cuda_tensor(a, b, k):
    """As `cuda_tiled`, but 32 threads hand 16 × 8 outputs and 256 bits of each row to a unit made for that.

    It counts a AND b; `cuda_tensor.py` says how that gives the product. Per output: words/64 read from global memory,
    3/64·words from shared memory, no XOR, no popcount: one instruction of 32 threads does 512 pairs of words.
    """
    return on_device(launch_tensor, a, b, k)


def launch_tensor(a, b, k, out, ones=None):
    """`cuda_tensor` on device arrays: a uint64 (m, words), b uint64 (n, words); fills out, int32 (m, n).

    ones: int32 device arrays (m,) and (n,) to work in, whatever is in them; allocated where they are not given.
    """
    tensor.launch(a, b, k, out, ones)


# --- what surrounds the product ---------------------------------------------------------------------------------------

THREADS = 256


def cuda_pack(x):
    """`bits.pack` on the device. x: (m, k), numbers, ±1 or any others. Returns uint64 (m, words), a NumPy array.

    Raises TypeError or ValueError for anything else.
    """
    check_numbers("x", x)
    check_dtype("x", x, x.dtype, "m k")
    x = cuda.to_device(np.ascontiguousarray(x))
    packed = cuda.device_array((x.shape[0], bits.words(x.shape[1])), bits.WORD)
    if x.shape[0]:
        launch_pack(x, packed)
    return packed.copy_to_host()


def launch_pack(x, packed):
    """`cuda_pack` on device arrays: x (m, k), fills packed, uint64 (m, words), padding bits included."""
    octets = packed.view(np.uint8)                                 # bit j of word i is bit j % 8 of octet 8·i + j // 8
    run(_pack, -(-octets.shape[0] * octets.shape[1] // THREADS), THREADS, x, octets)


def _pack(x, octets):
    """A thread packs the 8 entries of one octet: neighbours read and write side by side."""
    index = cuda.grid(1)
    row, octet = index // octets.shape[1], index % octets.shape[1]
    if row < x.shape[0]:
        packed = 0
        for bit in range(8):
            entry = 8 * octet + bit
            if entry < x.shape[1] and x[row, entry] >= 0:          # NaN is not: bit 0, as everywhere
                packed |= 1 << bit
        octets[row, octet] = packed


def launch_sign(x):
    """±1 in place of each entry of a float32 device array (m, n): what a float network has in place of `cuda_pack`."""
    run(_sign, -(-x.shape[0] * x.shape[1] // THREADS), THREADS, x)


def _sign(x):
    index = cuda.grid(1)
    i, j = index // x.shape[1], index % x.shape[1]
    if i < x.shape[0]:
        x[i, j] = 1 if x[i, j] >= 0 else -1


def float_baseline(x, w):
    """x @ w in float32 by the kernel that the paper measures its own by, unoptimised but for shared memory [BNN §4].

    x: float32 (m, k), w: float32 (k, n). Returns float32 (m, n), a NumPy array. Raises TypeError or ValueError for
    anything else.
    """
    check_dtype("x", x, np.float32, "m k")
    check_shapes(("x", x, "m k"), ("w", w, "k n"))
    x, w = cuda.to_device(np.ascontiguousarray(x)), cuda.to_device(np.ascontiguousarray(w))
    out = cuda.device_array((x.shape[0], w.shape[1]), np.float32)
    launch_float_baseline(x, w, out)
    return out.copy_to_host()


def launch_float_baseline(x, w, out):
    """`float_baseline` on device arrays: x float32 (m, k), w float32 (k, n); fills out, float32 (m, n)."""
    run(_float_baseline, covering(out.shape, SIDE), (SIDE, SIDE), x, w, out)


def _float_baseline(x, w, out):
    x_tile = cuda.shared.array((SIDE, SIDE), np.float32)
    w_tile = cuda.shared.array((SIDE, SIDE), np.float32)
    column, row = cuda.threadIdx.x, cuda.threadIdx.y
    across = (out.shape[1] + SIDE - 1) // SIDE
    i0, j0 = cuda.blockIdx.x // across * SIDE, cuda.blockIdx.x % across * SIDE
    i, j = i0 + row, j0 + column
    total = np.float32(0)
    for first in range(0, x.shape[1], SIDE):
        inside = i < x.shape[0] and first + column < x.shape[1]
        x_tile[row, column] = x[i, first + column] if inside else np.float32(0)
        inside = j < w.shape[1] and first + row < w.shape[0]
        w_tile[row, column] = w[first + row, j] if inside else np.float32(0)
        cuda.syncthreads()
        for d in range(SIDE):
            total += x_tile[row, d] * w_tile[d, column]
        cuda.syncthreads()
    if i < out.shape[0] and j < out.shape[1]:
        out[i, j] = total
