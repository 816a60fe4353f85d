"""The products on vector lanes: over panels of b, in blocks that fit the caches, on several threads; and row by row
for a few rows of a.
"""

import numpy as np

from . import machine
from .compiled import jit, parallel_for, threads
from .lanes import carry_save_tile, differences, plain_tile
from .recycle import empty

PLAIN, CARRY_SAVE = machine.PLAIN, machine.CARRY_SAVE
FEW_ROWS = 12                         # of a or b: below, copying b into panels costs more than the panels save
BLOCKS_WORTH = 1 << 21                # pairs of words for which it pays to wake a thread: a quarter of a millisecond
ROWS_WORTH = 1 << 19                  # and where b comes from memory, a few of them at a time
FILL_WORTH = 1 << 17                  # and words to copy into panels
BAND = 64                             # rows of a, and pages of the output: as many as a core has addresses of at hand


@jit
def _fill(panels, b, columns, start, stop):
    """panels[p, j·columns + c] = b[p·columns + c, j] for p from start to stop; 0 past the last row of b."""
    n, words = b.shape
    for p in range(start, stop):
        panel = panels[p * columns * words:(p + 1) * columns * words]
        for c in range(columns):
            if p * columns + c < n:
                for j in range(words):
                    panel[j * columns + c] = b[p * columns + c, j]
            else:
                for j in range(words):
                    panel[j * columns + c] = 0


@jit
def _product(a, panels, n, words, k, out, planes, depth, save, rows, columns, edge, first_row, last_row, start, stop):
    """Rows first_row to last_row, panels start to stop of the product, into `out`; all arrays flat.

    a: planes·words a row; panels: from `_fill`; depth: words of a block; save: whether by carry-save adders; rows,
    columns: of that tile; edge: room for the outputs of a tile that is cut off.
    """
    width = planes * words
    for p in range(start, stop):
        column = p * columns
        valid = min(columns, n - column)
        for plane in range(planes - 1, -1, -1):                    # most significant first: out = 2 out + this plane
            for word in range(0, words, depth):
                size = min(depth, words - word)
                panel = panels[(p * words + word) * columns:(p * words + word + size) * columns]
                base = k if word == 0 else 0
                shift = 1 if word == 0 else 0
                more = plane < planes - 1 or word > 0
                row = first_row
                while row < last_row:
                    first = row * width + plane * words + word
                    whole = row + rows <= last_row
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


def _panels(b, tile):
    """b in panels, from an address that is a multiple of 64 bytes, so that no vector crosses a cache line."""
    n, words = b.shape
    count = -(-n // tile.columns)
    room = empty((count * tile.columns * words + 8,), np.uint64)
    skip = -room.ctypes.data % 64 // 8
    panels = room[skip:skip + count * tile.columns * words]
    parallel_for(lambda start, stop: _fill(panels, b, tile.columns, start, stop), count,
                 -(-FILL_WORTH // (tile.columns * words)))
    return panels, count


def _run(a, b, k, planes, tile, depth, bands, parts):
    """Cut the output into bands of rows and parts of panels, and compute them."""
    n, words = b.shape
    m = a.size // (planes * words)
    out = empty((m, n), np.int32)
    flat_a, flat_out = np.ascontiguousarray(a).reshape(-1), out.reshape(-1)
    panels, count = _panels(np.ascontiguousarray(b), tile)

    def work(start, stop):
        edge = np.empty(tile.rows * tile.columns, np.int32)
        for piece in range(start, stop):
            band, part = divmod(piece, parts)
            _product(flat_a, panels, n, words, k, flat_out, planes, depth, tile is CARRY_SAVE, tile.rows,
                     tile.columns, edge, m * band // bands, m * (band + 1) // bands,
                     count * part // parts, count * (part + 1) // parts)

    parallel_for(work, bands * parts, -(-BLOCKS_WORTH * bands * parts // (m * n * words * planes)))
    return out


def lanes(a, b, k):
    """As `tiles`, but explicit vectors: b lies in panels, its columns side by side word by word, so that one vector
    holds the same word of 8 columns, and a's word is broadcast against it.

    Nothing is summed across lanes, and a tile of 4 × 4 vectors (128 outputs with AVX-512) stays in registers. Per
    output: (1/4 + 1/32)·words read, words XORs, words popcounts, in three instructions for 8 words.
    """
    return _run(a, b, k, 1, PLAIN, b.shape[1], 1, 1)


def carry_save(a, b, k):
    """As `lanes`, but words are added as bits before they are counted: two XORs and the ones of the last sum make a new
    sum and a carry, and popcount sees the carries only.

    Per output: (1/2 + 1/32)·words read, words XORs (inside of ternary instructions), words/2 popcounts, in five
    instructions for 16 words instead of six: the limit of XOR, popcount and add is no limit any more.
    """
    return _run(a, b, k, 1, CARRY_SAVE, b.shape[1], 1, 1)


def blocks(a, b, k, planes=1):
    """As `carry_save`, but in blocks: a band of rows of a goes through all panels, in words that both stay in the
    first-level cache while they meet, and writes to pages of memory that it does not leave; threads share the bands.

    Nothing changes per output; large operands no longer come from memory. With `planes` = 8 the rows of a hold bit
    planes, and the result is the sum of the planes' products by their weight.
    """
    words = b.shape[1]
    m, panels = a.size // (planes * words), -(-len(b) // CARRY_SAVE.columns)
    bands = -(-m // BAND)
    parts = min(panels, -(-2 * threads() // bands)) if threads() > 1 else 1        # few rows: panels are shared too
    return _run(a, b, k, planes, CARRY_SAVE, machine.panel_words(CARRY_SAVE.columns, words), bands, parts)


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
