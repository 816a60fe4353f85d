"""The product by looking nibbles up: for processors that shuffle bytes and do not count the bits of a vector.

Here is what surrounds the tile of `nibbles`: operands in its order, and blocks, bands and threads as in `panels`.
"""

import numpy as np

from . import machine
from .compiled import jit, parallel_for, threads
from .nibbles import BITS, LONGEST, PER_WORD, TRIPLE, encode, lookup_tile, spread
from .pixels import LONGEST as PIXELS_LONGEST
from .pixels import OCTET, PLANES, TABLE, pixel_tile, tabulate
from .recycle import empty

LOOKUP, PIXELS = machine.LOOKUP, machine.PIXELS
BAND = 64                             # rows of a at most, and pages of the output, see `panels`
BLOCKS_WORTH = 1 << 22                # pairs of words for which it pays to wake a thread
ENCODE_WORTH = 1 << 16                # and words to encode
SPREAD_WORTH = 1 << 16                # and words to spread over panels


@jit
def _encode(codes, a, m, words, nibbles, start, stop):
    """codes[pair, nibble]: for the rows 2·pair and 2·pair + 1 of a; where there is no such row or word, 0."""
    for pair in range(start, stop):
        at, first = pair * nibbles, 2 * pair * words
        for word in range(words):
            x = a[first + word] if 2 * pair < m else np.uint64(0)
            y = a[first + words + word] if 2 * pair + 1 < m else np.uint64(0)
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
def _product(codes, panels, m, n, k, out, nibbles, used, depth, rows, columns, edge, first_tile, last_tile, start,
             stop):
    """Tiles first_tile to last_tile of rows, panels start to stop of the product, into `out`; all arrays flat.

    used: of the nibbles those that are not all padding; depth: nibbles of a block; rows, columns: of a tile; edge: room
    for the outputs of a tile that is cut off.
    """
    for p in range(start, stop):
        column = p * columns
        valid = min(columns, n - column)
        for nibble in range(0, used, depth):
            size = min(depth, used - nibble)
            panel = panels[(p * nibbles + nibble) * columns:(p * nibbles + nibble + size) * columns]
            triples, base, more = size // TRIPLE, k if nibble == 0 else 0, nibble > 0
            for tile in range(first_tile, last_tile):
                row = tile * rows
                taken, first = min(rows, m - row), row // 2 * nibbles + nibble
                if taken == rows and valid == columns:
                    lookup_tile(out, row * n + column, n, codes, first, nibbles, panel, triples, base, 0, more)
                    continue
                _copy(edge, 0, columns, out, row * n + column, n, taken, valid)
                lookup_tile(edge, 0, columns, codes, first, nibbles, panel, triples, base, 0, more)
                _copy(out, row * n + column, n, edge, 0, columns, taken, valid)


@jit
def _copy(to, t, t_stride, source, s, s_stride, rows, columns):
    for row in range(rows):
        for column in range(columns):
            to[t + row * t_stride + column] = source[s + row * s_stride + column]


@jit
def _pixel_product(tables, a, words, panels, m, n, k, out, nibbles, octets, depth, rows, columns, edge, first_tile,
                   last_tile, start, stop):
    """As `_product`, where the rows of a hold bit planes. tables: room for those of a block; depth: octets of one."""
    for octet in range(0, octets, depth):
        size = min(depth, octets - octet)
        width = size * OCTET * TABLE
        for row in range(first_tile * rows, min(m, last_tile * rows)):
            for group in range(size * OCTET):
                nibble = octet * OCTET + group
                tabulate(tables, (row - first_tile * rows) * width + group * TABLE, a,
                         row * PLANES * words + nibble // PER_WORD, words, nibble % PER_WORD)
        base, more = 255 * k if octet == 0 else 0, octet > 0
        for p in range(start, stop):
            column = p * columns
            valid = min(columns, n - column)
            first = (p * nibbles + octet * OCTET) * columns
            panel = panels[first:first + size * OCTET * columns]
            for tile in range(first_tile, last_tile):
                row, of = tile * rows, (tile - first_tile) * rows * width
                taken = min(rows, m - row)
                if taken == rows and valid == columns:
                    pixel_tile(out, row * n + column, n, tables, of, width, panel, size, base, 0, more)
                    continue
                _copy(edge, 0, columns, out, row * n + column, n, taken, valid)
                pixel_tile(edge, 0, columns, tables, of, width, panel, size, base, 0, more)
                _copy(out, row * n + column, n, edge, 0, columns, taken, valid)


def _aligned(size):
    """Room for bytes, from an address that is a multiple of 64, so that no vector crosses a cache line."""
    room = empty((size + 64,), np.uint8)
    skip = -room.ctypes.data % 64
    return room[skip:skip + size]


def _panels(b, nibbles):
    n, words = b.shape
    columns = LOOKUP.columns
    count = -(-n // columns)
    panels = _aligned(count * columns * nibbles)
    first = (count - 1) * columns
    rest = np.zeros((columns, words), np.uint64)
    rest[:n - first] = b[first:]
    flat, flat_rest = np.ascontiguousarray(b).reshape(-1), rest.reshape(-1)
    parallel_for(lambda start, stop: _spread(panels, flat, flat_rest, n, words, nibbles, columns, LOOKUP.lanes, start,
                                             stop), count, -(-SPREAD_WORTH // (columns * words)))
    return panels


def _in_bands(tile, m, n, words, compute):
    """compute(edge, first_tile, last_tile, start, stop) for tiles of rows and panels, band by band, on several threads.

    words: of a row of a, whose planes count.
    """
    tiles, count, bands = -(-m // tile.rows), -(-n // tile.columns), -(-m // BAND)
    parts = min(count, -(-2 * threads() // bands)) if threads() > 1 else 1         # few rows: panels are shared too

    def work(start, stop):
        edge = np.empty(tile.rows * tile.columns, np.int32)
        for piece in range(start, stop):
            band, part = divmod(piece, parts)
            compute(edge, tiles * band // bands, tiles * (band + 1) // bands, count * part // parts,
                    count * (part + 1) // parts)

    parallel_for(work, bands * parts, -(-BLOCKS_WORTH * bands * parts // (m * n * words)))


def _of_bits(a, words, panels, m, n, k, out, nibbles):
    pairs = -(-m // LOOKUP.rows) * LOOKUP.rows // 2
    codes = empty((pairs * nibbles,), np.uint16)
    parallel_for(lambda start, stop: _encode(codes, a, m, words, nibbles, start, stop), pairs,
                 -(-ENCODE_WORTH // words))
    used = -(-k // (BITS * TRIPLE)) * TRIPLE
    depth = TRIPLE * min(LONGEST, machine.block_steps(TRIPLE * (LOOKUP.columns + BAND), used // TRIPLE))
    _in_bands(LOOKUP, m, n, words, lambda edge, *where: _product(
        codes, panels, m, n, k, out, nibbles, used, depth, LOOKUP.rows, LOOKUP.columns, edge, *where))


def _of_pixels(a, words, panels, m, n, k, out, nibbles):
    octets = -(-k // (BITS * OCTET))
    depth = min(PIXELS_LONGEST, machine.block_steps(BAND * OCTET * TABLE, octets))

    def compute(edge, first, last, start, stop):
        tables = _aligned((last - first) * PIXELS.rows * depth * OCTET * TABLE)
        _pixel_product(tables, a, words, panels, m, n, k, out, nibbles, octets, depth, PIXELS.rows, PIXELS.columns,
                       edge, first, last, start, stop)

    _in_bands(PIXELS, m, n, PLANES * words, compute)


def lookup(a, b, k, planes=1):
    """As `blocks`, but nothing is counted: four bits of two rows of a choose one of 256 tables, which has popcounts of
    their XOR with all 16 nibbles, and one shuffle of bytes looks up what it has for 32 columns of b.

    The popcount for the first row is in the lower half of a byte, that for the second row in the upper one. Three of
    them fit there, then they are added to bytes, and 63 of these to numbers of 16 bits. Per output, with AVX2:
    (1/2 + 1/4 + 1/32)·words read (nibbles of b, tables, places of tables), no XOR, no popcount, and eight instructions
    for 768 pairs of bits. A processor that counts the bits of a vector in one instruction does better without tables.
    With `planes` = 8 the rows of a hold bit planes, and each four pixels have a table of their own.
    """
    words = b.shape[1]
    m, n = a.size // (planes * words), len(b)
    nibbles = -(-words * PER_WORD // TRIPLE) * TRIPLE              # of a row, with padding
    panels, out = _panels(b, nibbles), empty((m, n), np.int32)
    product = _of_bits if planes == 1 else _of_pixels
    product(np.ascontiguousarray(a).reshape(-1), words, panels, m, n, k, out.reshape(-1), nibbles)
    return out
