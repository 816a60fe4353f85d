"""The product by looking nibbles up: for processors that shuffle bytes and do not count the bits of a vector.

Here is what surrounds the tile of `nibbles`: operands in its order, and blocks, bands and threads as in `panels`.
"""

import numpy as np

from . import machine
from .compiled import jit, parallel_for, threads
from .nibbles import BITS, LONGEST, PER_WORD, TRIPLE, encode, lookup_tile, spread
from .recycle import empty

LOOKUP = machine.LOOKUP
PAIRS = LOOKUP.rows // 2              # of rows of a, in a tile
BAND = 64                             # rows of a at most, and pages of the output, see `panels`
BLOCKS_WORTH = 1 << 22                # pairs of words for which it pays to wake a thread
ENCODE_WORTH = 1 << 16                # and words to encode
SPREAD_WORTH = 1 << 16                # and words to spread over panels


@jit
def _encode(codes, a, m, planes, words, nibbles, start, stop):
    """codes[pair, plane, nibble]: for the rows 2·pair and 2·pair + 1 of a; where there is no such row or word, 0."""
    for pair in range(start, stop):
        for plane in range(planes):
            at = (pair * planes + plane) * nibbles
            for word in range(words):
                first = (2 * pair * planes + plane) * words + word
                x = a[first] if 2 * pair < m else np.uint64(0)
                y = a[first + planes * words] if 2 * pair + 1 < m else np.uint64(0)
                encode(codes, at + word * PER_WORD, x, y)
            for nibble in range(words * PER_WORD, nibbles):
                codes[at + nibble] = 0


@jit
def _spread(panels, b, rest, n, words, nibbles, columns, lanes, start, stop):
    """Panels start to stop: for each nibble the columns side by side, vector by vector as `spread` has them.

    rest: the rows of b that the last panel has, with rows of 0 past the end.
    """
    half = lanes // 2
    for p in range(start, stop):
        whole = (p + 1) * columns <= n
        for word in range(words):
            at = (p * nibbles + word * PER_WORD) * columns
            for vector in range(0, columns, lanes):
                for part in range(0, half, 8):
                    to, row = at + vector + 2 * part, vector + part
                    if whole:
                        spread(panels, to, columns, b, (p * columns + row) * words + word, words, half)
                    else:
                        spread(panels, to, columns, rest, row * words + word, words, half)
        panels[(p * nibbles + words * PER_WORD) * columns:(p + 1) * nibbles * columns] = 0


@jit
def _product(codes, panels, m, n, k, out, planes, nibbles, used, depth, rows, columns, edge, first_tile, last_tile,
             start, stop):
    """Tiles first_tile to last_tile of rows, panels start to stop of the product, into `out`; all arrays flat.

    used: of the nibbles those that are not all padding; depth: nibbles of a block; rows, columns: of a tile; edge: room
    for the outputs of a tile that is cut off.
    """
    width = planes * nibbles
    for p in range(start, stop):
        column = p * columns
        valid = min(columns, n - column)
        for plane in range(planes - 1, -1, -1):                    # most significant first: out = 2 out + this plane
            for nibble in range(0, used, depth):
                size = min(depth, used - nibble)
                panel = panels[(p * nibbles + nibble) * columns:(p * nibbles + nibble + size) * columns]
                triples = size // TRIPLE
                base = k if nibble == 0 else 0
                shift = 1 if nibble == 0 else 0
                more = plane < planes - 1 or nibble > 0
                for tile in range(first_tile, last_tile):
                    row = tile * rows
                    taken = min(rows, m - row)
                    first = row // 2 * width + plane * nibbles + nibble
                    if taken == rows and valid == columns:
                        lookup_tile(out, row * n + column, n, codes, first, width, panel, triples, base, shift, more)
                        continue
                    for r in range(taken):
                        for c in range(valid):
                            edge[r * columns + c] = out[(row + r) * n + column + c]
                    lookup_tile(edge, 0, columns, codes, first, width, panel, triples, base, shift, more)
                    for r in range(taken):
                        for c in range(valid):
                            out[(row + r) * n + column + c] = edge[r * columns + c]


def _encoded(a, m, planes, words, nibbles, tiles):
    """The rows of a, two by two, as places of tables; rows of 0 until tiles are whole."""
    pairs = tiles * PAIRS
    codes = empty((pairs * planes * nibbles,), np.uint16)
    flat = np.ascontiguousarray(a).reshape(-1)
    parallel_for(lambda start, stop: _encode(codes, flat, m, planes, words, nibbles, start, stop), pairs,
                 -(-ENCODE_WORTH // (planes * words)))
    return codes


def _panels(b, nibbles, count):
    """b in so many panels, from an address that is a multiple of 64 bytes, so that no vector crosses a cache line."""
    n, words = b.shape
    columns = LOOKUP.columns
    size = count * columns * nibbles
    room = empty((size + 64,), np.uint8)
    skip = -room.ctypes.data % 64
    panels = room[skip:skip + size]
    first = (count - 1) * columns
    rest = np.zeros((columns, words), np.uint64)
    rest[:n - first] = b[first:]
    flat, flat_rest = np.ascontiguousarray(b).reshape(-1), rest.reshape(-1)
    parallel_for(lambda start, stop: _spread(panels, flat, flat_rest, n, words, nibbles, columns, LOOKUP.lanes, start,
                                             stop), count, -(-SPREAD_WORTH // (columns * words)))
    return panels


def lookup(a, b, k, planes=1):
    """As `blocks`, but nothing is counted: four bits of two rows of a choose one of 256 tables, which has popcounts of
    their XOR with all 16 nibbles, and one shuffle of bytes looks up what it has for 32 columns of b.

    The popcount for the first row is in the lower half of a byte, that for the second row in the upper one. Three of
    them fit there, then they are added to bytes, and 63 of these to numbers of 16 bits. Per output, with AVX2:
    (1/2 + 1/4 + 1/32)·words read (nibbles of b, tables, places of tables), no XOR, no popcount, and eight instructions
    for 768 pairs of bits. A processor that counts the bits of a vector in one instruction does better without tables.
    """
    words = b.shape[1]
    m, n = a.size // (planes * words), len(b)
    nibbles, used = (-(-count // TRIPLE) * TRIPLE for count in (words * PER_WORD, -(-k // BITS)))    # of a row
    tiles, count = -(-m // LOOKUP.rows), -(-n // LOOKUP.columns)
    codes, panels = _encoded(a, m, planes, words, nibbles, tiles), _panels(b, nibbles, count)
    depth = TRIPLE * min(LONGEST, machine.panel_steps(TRIPLE * LOOKUP.columns, used // TRIPLE))
    bands = -(-m // BAND)
    parts = min(count, -(-2 * threads() // bands)) if threads() > 1 else 1         # few rows: panels are shared too
    out = empty((m, n), np.int32)
    flat_out = out.reshape(-1)

    def work(start, stop):
        edge = np.empty(LOOKUP.rows * LOOKUP.columns, np.int32)
        for piece in range(start, stop):
            band, part = divmod(piece, parts)
            _product(codes, panels, m, n, k, flat_out, planes, nibbles, used, depth, LOOKUP.rows, LOOKUP.columns, edge,
                     tiles * band // bands, tiles * (band + 1) // bands, count * part // parts,
                     count * (part + 1) // parts)

    parallel_for(work, bands * parts, -(-BLOCKS_WORTH * bands * parts // (m * n * words * planes)))
    return out
