"""The product by looking nibbles up: for processors that shuffle bytes and do not count the bits of a vector."""

import numpy as np

from . import machine
from .compiled import jit, parallel_for, threads
from .nibbles import MOST, PER_WORD, TRIPLE, encode, lookup_tile, spread
from .recycle import empty

LOOKUP = machine.LOOKUP
PAIRS = LOOKUP.rows // 2              # of rows of a, in a tile
BAND = 32                             # pairs of rows, whose outputs are on 64 pages of memory
WORTH = 1 << 23                       # pairs of words for which it pays to wake a thread
ENCODE_WORTH = 1 << 16                # and words to encode
SPREAD_WORTH = 1 << 15                # and words to spread over panels


@jit
def _encode(codes, a, m, planes, words, nibbles, start, stop):
    """codes[pair, plane, nibble]: for the rows 2·pair and 2·pair + 1 of a; where there is no such row or word, 0."""
    for pair in range(start, stop):
        for plane in range(planes):
            at = (pair * planes + plane) * nibbles
            first = (2 * pair * planes + plane) * words
            for word in range(words):
                other = a[first + planes * words + word] if 2 * pair + 1 < m else np.uint64(0)
                encode(codes, at + word * PER_WORD, a[first + word], other)
            for nibble in range(words * PER_WORD, nibbles):
                codes[at + nibble] = 0


@jit
def _spread(panels, b, rest, n, words, nibbles, columns, lanes, start, stop):
    """Panels start to stop: for each nibble the columns side by side, vector by vector as `spread` has them.

    rest: the rows of b from the last panel on, with zeros past the end, unless n is a multiple of `columns`.
    """
    half = lanes // 2
    for p in range(start, stop):
        whole = (p + 1) * columns <= n
        for word in range(words):
            at = (p * nibbles + word * PER_WORD) * columns
            for vector in range(0, columns, lanes):
                for part in range(0, half, 8):
                    if whole:
                        spread(panels, at + vector + 2 * part, columns, b,
                               (p * columns + vector + part) * words + word, words, half)
                    else:
                        spread(panels, at + vector + 2 * part, columns, rest, (vector + part) * words + word, words, half)
        panels[(p * nibbles + words * PER_WORD) * columns:(p + 1) * nibbles * columns] = 0


@jit
def _product(codes, panels, m, n, k, out, planes, nibbles, depth, rows, columns, edge, first_pair, last_pair, start, stop):
    """Pairs first_pair to last_pair of rows, panels start to stop of the product, into `out`; all arrays flat.

    depth: nibbles of a block; rows, columns: of a tile; edge: room for the outputs of a tile that is cut off.
    """
    width = planes * nibbles
    for p in range(start, stop):
        column = p * columns
        valid = min(columns, n - column)
        for plane in range(planes - 1, -1, -1):                    # most significant first: out = 2 out + this plane
            for nibble in range(0, nibbles, depth):
                size = min(depth, nibbles - nibble)
                panel = panels[(p * nibbles + nibble) * columns:(p * nibbles + nibble + size) * columns]
                base = k if nibble == 0 else 0
                shift = 1 if nibble == 0 else 0
                more = plane < planes - 1 or nibble > 0
                pair = first_pair
                while pair < last_pair:
                    row = 2 * pair
                    first = pair * width + plane * nibbles + nibble
                    whole = 2 * pair + rows <= 2 * last_pair
                    taken = min(m - row, rows if whole else 2)     # at the bottom pair by pair: stride 0
                    stride = width if whole else 0
                    if taken == rows and valid == columns:
                        lookup_tile(out, row * n + column, n, codes, first, stride, panel, size // TRIPLE, base, shift, more)
                    else:
                        for r in range(taken):
                            for c in range(valid):
                                edge[r * columns + c] = out[(row + r) * n + column + c]
                        lookup_tile(edge, 0, columns, codes, first, stride, panel, size // TRIPLE, base, shift, more)
                        for r in range(taken):
                            for c in range(valid):
                                out[(row + r) * n + column + c] = edge[r * columns + c]
                    pair += rows // 2 if whole else 1


def _aligned(size):
    """Bytes from an address that is a multiple of 64."""
    room = empty((size + 64,), np.uint8)
    skip = -room.ctypes.data % 64
    return room[skip:skip + size]


def _panels(b, nibbles):
    n, words = b.shape
    columns = LOOKUP.columns
    count = -(-n // columns)
    panels = _aligned(count * columns * nibbles)
    rest = np.zeros((columns, words), np.uint64)
    rest[:n % columns] = b[n - n % columns:]
    flat_b, flat_rest = b.reshape(-1), rest.reshape(-1)
    parallel_for(lambda start, stop: _spread(panels, flat_b, flat_rest, n, words, nibbles, columns, LOOKUP.lanes, start,
                                             stop), count, -(-SPREAD_WORTH // (columns * words)))
    return panels, count


def lookup(a, b, k, planes=1):
    """As `blocks`, but nothing is counted: ...
    """
    words = b.shape[1]
    m, n = a.size // (planes * words), len(b)
    nibbles = -(-words * PER_WORD // TRIPLE) * TRIPLE
    pairs = -(-m // 2)
    codes = empty((pairs * planes * nibbles,), np.uint16)
    flat_a = np.ascontiguousarray(a).reshape(-1)
    parallel_for(lambda start, stop: _encode(codes, flat_a, m, planes, words, nibbles, start, stop), pairs,
                 -(-ENCODE_WORTH // (planes * words)))
    panels, count = _panels(np.ascontiguousarray(b), nibbles)
    out = empty((m, n), np.int32)
    flat_out = out.reshape(-1)
    bands = -(-pairs // BAND)
    parts = min(count, -(-2 * threads() // bands)) if threads() > 1 else 1         # few rows: panels are shared too
    depth = TRIPLE * min(MOST, machine.panel_steps(TRIPLE * LOOKUP.columns, nibbles // TRIPLE))

    def work(start, stop):
        edge = np.empty(LOOKUP.rows * LOOKUP.columns, np.int32)
        for piece in range(start, stop):
            band, part = divmod(piece, parts)
            _product(codes, panels, m, n, k, flat_out, planes, nibbles, depth, LOOKUP.rows, LOOKUP.columns, edge,
                     pairs * band // bands, pairs * (band + 1) // bands, count * part // parts,
                     count * (part + 1) // parts)

    parallel_for(work, bands * parts, -(-WORTH * bands * parts // (m * n * words * planes)))
    return out
