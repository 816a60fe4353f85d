# ruff: noqa: F811, F821
"""Wrong answers to set 8."""

# %% blocks: the rest at the edges is left out
def blocks(shape, side):
    m, n = shape
    return max(1, n // side), max(1, m // side)

# %% blocks: one block too many where the side divides the size
def blocks(shape, side):
    m, n = shape
    return n // side + 1, m // side + 1

# %% blocks: rows first
def blocks(shape, side):
    m, n = shape
    return -(-m // side), -(-n // side)

# %% sign_kernel: writes past the end
@cuda.jit
def sign_kernel(x, out):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    out[i] = 1 if x[i] >= 0 else -1

# %% sign_kernel: the block's number is forgotten
@cuda.jit
def sign_kernel(x, out):
    i = cuda.threadIdx.x
    if i < x.shape[0]:
        out[i] = 1 if x[i] >= 0 else -1

# %% sign_kernel: sign(0) = -1
@cuda.jit
def sign_kernel(x, out):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < x.shape[0]:
        out[i] = 1 if x[i] > 0 else -1

# %% xnor_kernel: x along the rows
@cuda.jit
def xnor_kernel(a, b, k, out):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    j = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    if i < out.shape[0] and j < out.shape[1]:
        differ = 0
        for word in range(a.shape[1]):
            differ += cuda.popc(a[i, word] ^ b[j, word])
        out[i, j] = k - 2 * differ

# %% xnor_kernel: padding counted as agreeing
@cuda.jit
def xnor_kernel(a, b, k, out):
    i = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < out.shape[0] and j < out.shape[1]:
        agree = 0
        for word in range(a.shape[1]):
            agree += 64 - cuda.popc(a[i, word] ^ b[j, word])
        out[i, j] = 2 * agree - k

# %% xnor_kernel: writes past the edges
@cuda.jit
def xnor_kernel(a, b, k, out):
    i = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    differ = 0
    for word in range(a.shape[1]):
        differ += cuda.popc(a[i, word] ^ b[j, word])
    out[i, j] = k - 2 * differ

# %% dot_kernel: does not wait for the others
THREADS = 8


@cuda.jit
def dot_kernel(a, b, k, out):
    counts = cuda.shared.array(THREADS, np.int32)
    thread = cuda.threadIdx.x
    differ = 0
    for word in range(thread, a.shape[0], THREADS):
        differ += cuda.popc(a[word] ^ b[word])
    counts[thread] = differ
    if thread == 0:
        total = 0
        for i in range(THREADS):
            total += counts[i]
        out[0] = k - 2 * total

# %% dot_kernel: a thread takes one word only
THREADS = 8


@cuda.jit
def dot_kernel(a, b, k, out):
    counts = cuda.shared.array(THREADS, np.int32)
    thread = cuda.threadIdx.x
    counts[thread] = cuda.popc(a[thread] ^ b[thread]) if thread < a.shape[0] else 0
    cuda.syncthreads()
    if thread == 0:
        total = 0
        for i in range(THREADS):
            total += counts[i]
        out[0] = k - 2 * total
