# ruff: noqa: E402, F811, F821
"""Wrong answers to set 7."""

# %% pack: the highest bit first
def pack(x):
    rows, k = x.shape
    octets = np.zeros((rows, -(-k // 64) * 8), np.uint8)
    octets[:, :-(-k // 8)] = np.packbits(x >= 0, axis=1)
    return octets.view("<u8").astype(np.uint64)

# %% pack: 0 packed as -1
def pack(x):
    rows, k = x.shape
    octets = np.zeros((rows, -(-k // 64) * 8), np.uint8)
    octets[:, :-(-k // 8)] = np.packbits(x > 0, axis=1, bitorder="little")
    return octets.view("<u8").astype(np.uint64)

# %% pack: padding bits are 1
def pack(x):
    rows, k = x.shape
    padded = np.ones((rows, -(-k // 64) * 64))
    padded[:, :k] = x
    return np.packbits(padded >= 0, axis=1, bitorder="little").view("<u8").astype(np.uint64)

# %% popcount: the number of bits, not of ones
def popcount(word):
    return word.bit_length()

# %% popcount: ends when the lowest bit is 0
def popcount(word):
    count = 0
    while word & 1:
        word >>= 1
        count += 1
    return count

# %% xnor_matmul: 2p - k with the padding counted as agreeing
def xnor_matmul(a, b, k):
    agree = np.bitwise_count(~(a[:, None] ^ b[None])).sum(axis=2, dtype=np.int32)
    return 2 * agree - k

# %% xnor_matmul: the number of agreeing entries, from 0 to k
def xnor_matmul(a, b, k):
    return k - np.bitwise_count(a[:, None] ^ b[None]).sum(axis=2, dtype=np.int32)

# %% xnor_matmul: 64 entries in every word
def xnor_matmul(a, b, k):
    return 64 * a.shape[1] - 2 * np.bitwise_count(a[:, None] ^ b[None]).sum(axis=2, dtype=np.int32)

# %% xnor_loops: the count is never set back
import numba

from bnn_ref.kernels.compiled import popcount as count_ones


@numba.njit
def xnor_loops(a, b, k, out):
    differ = 0
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            for word in range(a.shape[1]):
                differ += count_ones(a[i, word] ^ b[j, word])
            out[i, j] = k - 2 * differ

# %% xnor_loops: only the first word
import numba

from bnn_ref.kernels.compiled import popcount as count_ones


@numba.njit
def xnor_loops(a, b, k, out):
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            out[i, j] = k - 2 * count_ones(a[i, 0] ^ b[j, 0])

# %% xnor_loops: not compiled
from bnn_ref.kernels.compiled import popcount as count_ones


def xnor_loops(a, b, k, out):
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            differ = 0
            for word in range(a.shape[1]):
                differ += count_ones(a[i, word] ^ b[j, word])
            out[i, j] = k - 2 * differ
