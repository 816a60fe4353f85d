"""Binary tensor cores: 16 × 8 outputs, 256 bits of each row, one instruction of a warp (32 threads).

The instruction counts the ones of a AND b. With p = popcount, and 2·bit - 1 for each sign, the product is

    a · b = Σ (2a - 1)(2b - 1) = k - 2 (p(a) + p(b)) + 4 p(a AND b)                              [XNOR-1]

(padding bits are 0 in p(a AND b), as in p(a) and p(b)). The tensor cores count a XOR b as well, but those of compute
capability 9.0 in two instructions.
"""

import numpy as np

from .device import SIMULATED, covering, cuda, run

# The instruction [PTX ISA, mma.m16n8k256]: rows of a × rows of b, and words of each.
ROWS, COLUMNS, STEP = 16, 8, 4
TILES = 4                             # a warp makes 4 × 4 such tiles, 64 × 32 outputs, in 64 registers of each thread
WARP_ROWS, WARP_COLUMNS = TILES * ROWS, TILES * COLUMNS
WARPS = 4                             # warps across a block, in two rows of them
SIDE = WARPS * WARP_COLUMNS           # outputs of a block: 128 × 128
THREADS = 256
STRIDE = THREADS // STEP              # rows that the block brings to shared memory at once, STEP words of each
STEPS = 2                             # steps in shared memory at a time
DEPTH = STEPS * STEP
LOADS = SIDE * DEPTH // THREADS       # words of each operand that a thread brings at a time
HALF = np.uint64(32)

COUNT_ROWS, COUNT_LANES = 8, 32


def launch(a, b, k, out, ones=None):
    """The product on device arrays; see `cuda.launch_tensor`."""
    ones_a, ones_b = ones or [cuda.device_array(rows.shape[0], np.int32) for rows in (a, b)]
    for rows, counts in ((a, ones_a), (b, ones_b)):
        run(_count_ones, -(-rows.shape[0] // COUNT_ROWS), (COUNT_LANES, COUNT_ROWS), rows, counts)
    run(_tensor, covering(out.shape, SIDE), THREADS, a, b, ones_a, ones_b, k, out)


def _count_ones(rows, counts):
    """counts[i] = p(rows[i]): 32 threads a row, each every 32nd word."""
    partial = cuda.shared.array((COUNT_ROWS, COUNT_LANES), np.int32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    i = cuda.blockIdx.x * COUNT_ROWS + y
    count = np.int32(0)
    if i < rows.shape[0]:
        for word in range(x, rows.shape[1], COUNT_LANES):
            count += np.int32(cuda.popc(rows[i, word]))
    partial[y, x] = count
    cuda.syncthreads()
    if x == 0 and i < rows.shape[0]:
        for lane in range(1, COUNT_LANES):
            count += partial[y, lane]
        counts[i] = count


def _tensor(a, b, ones_a, ones_b, k, out):
    """Two buffers in shared memory: while the tensor cores use one, the words for the other are on their way.

    A fragment is what a thread holds of an operand. By the ISA, thread 4·group + member of a warp holds of a the rows
    `group` and `group + 8`, of b the row `group`, and of each of these rows two registers of 32 bits: number `member`
    of the row's first four and of its last four. Which bits of a row stand where is free, if it is the same for a and
    b: here the two registers are the halves of word `member`, so that they are one read. Of the outputs it holds, in
    rows `group` and `group + 8`, columns 2·member and 2·member + 1.
    """
    a_tile = cuda.shared.array((2, STEPS, SIDE, STEP), np.uint64)  # rows of 4 words: no two threads meet in a bank
    b_tile = cuda.shared.array((2, STEPS, SIDE, STEP), np.uint64)
    a_next = cuda.local.array(LOADS, np.uint64)
    b_next = cuda.local.array(LOADS, np.uint64)
    columns = cuda.local.array(TILES, np.uint64)
    both = cuda.local.array((TILES, TILES, 4), np.int32)           # p(a AND b)
    zero = np.uint64(0)
    m, n, words = a.shape[0], b.shape[0], a.shape[1]
    thread = cuda.threadIdx.x
    warp, group, member = thread // 32, thread % 32 // 4, thread % 4
    warp_i, warp_j = warp // WARPS * WARP_ROWS, warp % WARPS * WARP_COLUMNS
    across = (out.shape[1] + SIDE - 1) // SIDE
    i0, j0 = cuda.blockIdx.x // across * SIDE, cuda.blockIdx.x % across * SIDE
    for i in range(TILES):
        for j in range(TILES):
            for register in range(4):
                both[i, j, register] = 0

    for word0 in range(-DEPTH, words, DEPTH):                      # the first time round there is only fetching
        buffer = word0 // DEPTH % 2
        for load in range(LOADS):
            row, word = load // STEPS * STRIDE + thread // STEP, word0 + DEPTH + load % STEPS * STEP + thread % STEP
            a_next[load] = a[i0 + row, word] if i0 + row < m and word < words else zero
            b_next[load] = b[j0 + row, word] if j0 + row < n and word < words else zero
        for step in range(STEPS if word0 >= 0 else 0):
            for j in range(TILES):
                columns[j] = b_tile[buffer, step, warp_j + COLUMNS * j + group, member]
            for i in range(TILES):
                top = a_tile[buffer, step, warp_i + ROWS * i + group, member]
                bottom = a_tile[buffer, step, warp_i + ROWS * i + group + 8, member]
                for j in range(TILES):
                    both[i, j, 0], both[i, j, 1], both[i, j, 2], both[i, j, 3] = _mma(
                        both[i, j, 0], both[i, j, 1], both[i, j, 2], both[i, j, 3],
                        np.uint32(top), np.uint32(bottom), np.uint32(top >> HALF), np.uint32(bottom >> HALF),
                        np.uint32(columns[j]), np.uint32(columns[j] >> HALF))
        for load in range(LOADS):
            a_tile[1 - buffer, load % STEPS, load // STEPS * STRIDE + thread // STEP, thread % STEP] = a_next[load]
            b_tile[1 - buffer, load % STEPS, load // STEPS * STRIDE + thread // STEP, thread % STEP] = b_next[load]
        cuda.syncthreads()                                         # the one buffer is used up, the other is there

    for i in range(TILES):
        for j in range(TILES):
            for register in range(4):
                row = i0 + warp_i + ROWS * i + group + register // 2 * 8
                column = j0 + warp_j + COLUMNS * j + 2 * member + register % 2
                if row < m and column < n:
                    out[row, column] = k - 2 * (ones_a[row] + ones_b[column]) + 4 * both[i, j, register]


if cuda is not None and not SIMULATED:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def _mma(typing, c0, c1, c2, c3, a0, a1, a2, a3, b0, b1):
        """The instruction: the four c of this thread, plus p(a AND b) by what all 32 threads hold of a and b."""
        register = ir.IntType(32)
        result = ir.LiteralStructType([register] * 4)

        def generate(context, builder, signature, arguments):
            text = ("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
                    "{$0, $1, $2, $3}, {$8, $9, $10, $11}, {$12, $13}, {$4, $5, $6, $7};")
            # side_effect: the threads of a warp come here together, and LLVM must not move it to where they may not.
            assembly = ir.InlineAsm(ir.FunctionType(result, [register] * 10), text,
                                    ",".join(["=r"] * 4 + ["r"] * 10), side_effect=True)
            struct = builder.call(assembly, arguments)
            return context.make_tuple(builder, signature.return_type,
                                      [builder.extract_value(struct, index) for index in range(4)])

        c, word = types.int32, types.uint32
        return types.UniTuple(c, 4)(*[c] * 4, *[word] * 6), generate
