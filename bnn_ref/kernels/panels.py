"""The products on vector lanes: over panels of b, in blocks that fit the caches, on several threads; and row by row
for a few rows of a.
"""

import numpy as np

from . import machine
from .compiled import jit, parallel_for, threads
from .lanes import carry_save_tile, differences, plain_tile
from .recycle import empty

PLAIN, CARRY_SAVE = machine.PLAIN, machine.CARRY_SAVE
FEW_ROWS = 12                         # of a: below, copying b into panels costs more than the panels save
BLOCKS_WORTH = 1 << 21                # pairs of words for which it pays to wake a thread: a quarter of a millisecond
ROWS_WORTH = 1 << 19                  # and where b comes from memory, a few of them at a time


@jit
def _fill(panel, b, column, columns, word, size):
    """panel[j·columns + c] = b[column + c, word + j]; 0 past the last row of b."""
    n = b.shape[0]
    for c in range(columns):
        if column + c < n:
            for j in range(size):
                panel[j * columns + c] = b[column + c, word + j]
        else:
            for j in range(size):
                panel[j * columns + c] = 0


@jit
def _product(a, b, k, out, planes, depth, save, rows, columns, panel, edge, row_start, row_stop, start, stop):
    """Rows row_start to row_stop and columns start to stop of the product, into the flat `out`.

    a: flat, planes·words a row; b: (n, words); depth: words of a block; save: whether by carry-save adders;
    rows, columns: of that tile.
    panel: columns·depth words, aligned to a vector; edge: room for the outputs of a tile that is cut off.
    """
    n, words = b.shape
    width = planes * words
    for column in range(start, stop, columns):
        valid = min(columns, n - column)
        for plane in range(planes - 1, -1, -1):                    # most significant first: out = 2 out + this plane
            for word in range(0, words, depth):
                size = min(depth, words - word)
                if plane == planes - 1 or words > depth:
                    _fill(panel, b, column, columns, word, size)
                base = k if word == 0 else 0
                shift = 1 if word == 0 else 0
                more = plane < planes - 1 or word > 0
                row = row_start
                while row < row_stop:
                    first = row * width + plane * words + word
                    whole = row + rows <= row_stop
                    if whole and valid == columns:
                        if save:
                            carry_save_tile(out, row * n + column, n, a, first, width, panel, size, base, shift, more)
                        else:
                            plain_tile(out, row * n + column, n, a, first, width, panel, size, base, shift, more)
                        row += rows
                        continue
                    taken = rows if whole else 1                   # at the bottom row by row: stride 0
                    stride = width if whole else 0
                    for r in range(taken):
                        for c in range(valid):
                            edge[r * columns + c] = out[(row + r) * n + column + c]
                    if save:
                        carry_save_tile(edge, 0, columns, a, first, stride, panel, size, base, shift, more)
                    else:
                        plain_tile(edge, 0, columns, a, first, stride, panel, size, base, shift, more)
                    for r in range(taken):
                        for c in range(valid):
                            out[(row + r) * n + column + c] = edge[r * columns + c]
                    row += taken


def _aligned(size):
    """That many words, from an address that is a multiple of 64 bytes, so that no vector crosses a cache line."""
    room = np.empty(size + 8, np.uint64)
    skip = -room.ctypes.data % 64 // 8
    return room[skip:skip + size]


def _run(a, b, k, planes, save, depth, bands, parts):
    """Cut the output into bands of rows and parts of columns, whole panels each, and compute them."""
    m, n = a.size // (planes * b.shape[1]), len(b)
    tile = CARRY_SAVE if save else PLAIN
    out = empty((m, n), np.int32)
    flat_a, flat_out, b = np.ascontiguousarray(a).reshape(-1), out.reshape(-1), np.ascontiguousarray(b)
    panels = -(-n // tile.columns)

    def work(start, stop):
        panel, edge = _aligned(tile.columns * depth), np.empty(tile.rows * tile.columns, np.int32)
        for piece in range(start, stop):
            band, part = divmod(piece, parts)
            _product(flat_a, b, k, flat_out, planes, depth, save, tile.rows, tile.columns, panel, edge,
                     m * band // bands, m * (band + 1) // bands,
                     panels * part // parts * tile.columns, min(n, panels * (part + 1) // parts * tile.columns))

    parallel_for(work, bands * parts, 1 if bands * parts > 1 else 2)
    return out


def lanes(a, b, k):
    """As `tiles`, but explicit vectors: b lies in panels, its columns side by side word by word, so that one vector
    holds the same word of 8 columns, and a's word is broadcast against it.

    Nothing is summed across lanes, and a tile of 4 × 4 vectors (128 outputs with AVX-512) stays in registers. Per
    output: (1/4 + 1/32)·words read, words XORs, words popcounts, in three instructions for 8 words.
    """
    return _run(a, b, k, 1, False, b.shape[1], 1, 1)


def carry_save(a, b, k):
    """As `lanes`, but words are added as bits before they are counted: two XORs and the ones of the last sum make a new
    sum and a carry, and popcount sees the carries only.

    Per output: (1/2 + 1/32)·words read, words XORs (inside of ternary instructions), words/2 popcounts, in five
    instructions for 16 words instead of six: the limit of XOR, popcount and add is no limit any more.
    """
    return _run(a, b, k, 1, True, b.shape[1], 1, 1)


def blocks(a, b, k, planes=1):
    """As `carry_save`, but in blocks of words whose panel stays in the first-level cache while rows of a go by, and
    bands of rows that stay in the second-level cache while panels go by; bands and panels are shared among threads.

    Nothing changes per output; large operands no longer come from memory. With `planes` = 8 the rows of a hold bit
    planes, and the result is the sum of the planes' products by their weight.
    """
    words, tile = b.shape[1], CARRY_SAVE
    m, n = a.size // (planes * words), len(b)
    depth = machine.panel_words(tile.columns, words)
    bands = -(-m // machine.band_rows(8 * planes * words))
    pieces = min(4 * threads(), m * n * words * planes // BLOCKS_WORTH) if threads() > 1 else 1
    panels = -(-n // tile.columns)
    parts = max(1, min(-(-pieces // bands), panels))
    if bands * parts < pieces:                                     # few panels: more bands
        bands = max(bands, min(pieces, m // 64))
    return _run(a, b, k, planes, True, depth, bands, parts)


@jit
def _rows(a, b, k, out, planes, m, start, stop):
    n, words = out.size // m, b.size // (out.size // m)
    for j in range(start, stop):
        for i in range(m):
            total = 0
            for plane in range(planes - 1, -1, -1):
                total = 2 * total + k - 2 * differences(a, (i * planes + plane) * words, b, j * words, words)
            out[i * n + j] = total


def rows(a, b, k, planes=1):
    """For few rows of a, one above all: b is read once, as it lies, while the rows of a wait in the cache.

    Lanes run along the words, and are summed across at the end of each output. Per output: 2·words read of which
    words/m from memory, words XORs, words popcounts. Copying b into panels would cost more than it saves.
    """
    words = b.shape[1]
    m, n = a.size // (planes * words), len(b)
    out = empty((m, n), np.int32)
    flat_a, flat_b, flat_out = np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1), out.reshape(-1)
    parallel_for(lambda start, stop: _rows(flat_a, flat_b, k, flat_out, planes, m, start, stop), n,
                 -(-ROWS_WORTH // (m * words * planes)))
    return out
