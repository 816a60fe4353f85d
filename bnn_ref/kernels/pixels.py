"""Looking up for pixels of 8 bits: as `nibbles`, but a table has what the eight planes of four pixels give together.

Four pixels x and a nibble v of b give Σₙ 2ⁿ popcount(xⁿ XOR v), which is 1020 at most: two bytes. So a table of 16 such
numbers is made for every four pixels of a row, and serves all columns; eight passes over b become one.
"""

import numpy as np

from .compiled import COMPILED
from .machine import LOOKUP, PIXELS
from .nibbles import COUNTS

PLANES = 8
OCTET = 255 // 31                     # tables whose numbers of five bits a byte can add up
LONGEST = (2**16 - 1) // 31 // OCTET  # octets, and 16 bits
TABLE = 32                            # bytes of a table: the lower five bits of its 16 numbers, then the upper five

if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .lanes import I8, I32, I64, Results, _constant, _data, _load, _store, _tile, _vector_at
    from .nibbles import I16, add, add_found, constant_table, in_all_lanes, shifted

    def write_tile(builder, processor, out, o, stride, tables, i, i_stride, panel, octets, base, shift, accumulate):
        """The code of a tile; see `pixel_tile` in plain Python. out, tables, panel: pointers to their first items."""
        tile = processor.pixels
        count, half = tile.lanes, tile.lanes // 2
        outputs = [(row, v) for row in range(tile.rows) for v in range(tile.vectors)]
        words = ir.VectorType(I16, half)
        totals = {output: cgutils.alloca_once(builder, ir.ArrayType(words, 4)) for output in outputs}

        def place_of(output, upper, odd):
            return builder.gep(totals[output], [I32(0), I32(2 * upper + odd)])

        for output in outputs:
            builder.store(ir.Constant(totals[output].type.pointee, None), totals[output])
        with cgutils.for_range_slice(builder, I64(0), octets, I64(1), intp=I64) as (octet, _):
            sums = {(output, upper): None for output in outputs for upper in range(2)}
            for part in range(OCTET):
                group = builder.add(builder.mul(octet, I64(OCTET)), I64(part))
                at = builder.mul(group, I64(tile.columns))
                w = [_load(builder, _vector_at(builder, panel, builder.add(at, I64(v * count)), count), count)
                     for v in range(tile.vectors)]
                for row in range(tile.rows):
                    first = builder.add(builder.add(i, builder.mul(i_stride, I64(row))), builder.mul(group, I64(TABLE)))
                    for upper in range(2):
                        half_table = _vector_at(builder, tables, builder.add(first, I64(16 * upper)), 16)
                        table = in_all_lanes(builder, _load(builder, half_table, 16), count)
                        for v in range(tile.vectors):
                            key = (row, v), upper
                            sums[key] = add_found(builder, processor, table, w[v], sums[key])
            for (output, upper), total in sums.items():
                total = builder.bitcast(total, words)
                add(builder, builder.and_(total, _constant(255, half, I16)), place_of(output, upper, 0))
                add(builder, shifted(builder, total, 8), place_of(output, upper, 1))

        store, numbers = Results(builder, half, base, shift, accumulate), ir.VectorType(I32, half)
        for row, v in outputs:
            for odd in range(2):
                lower, upper = (builder.zext(builder.load(place_of((row, v), which, odd)), numbers)
                                for which in range(2))
                where = builder.add(builder.add(o, builder.mul(stride, I64(row))), I64(v * count + odd * half))
                total = builder.add(lower, builder.shl(upper, _constant(5, half, I32)))
                store(_vector_at(builder, out, where, half), total)

    pixel_tile = _tile(write_tile)

    @intrinsic
    def tabulate(typing, tables, at, a, i, words, nibble):
        """See `tabulate` in plain Python."""
        signature = types.void(tables, at, a, i, words, nibble)

        def generate(context, builder, signature, arguments):
            tables, at, a, i, words, nibble = arguments
            tables, a = (_data(context, builder, kind, array)
                         for kind, array in ((signature.args[0], tables), (signature.args[2], a)))
            counts = constant_table(builder.module, "popcounts_of_a_nibble", COUNTS)
            move = builder.mul(nibble, I64(4))
            numbers = ir.VectorType(I16, 16)
            table = None
            for plane in range(PLANES - 1, -1, -1):
                word = builder.load(builder.gep(a, [builder.add(i, builder.mul(words, I64(plane)))]))
                row = builder.shl(builder.and_(builder.lshr(word, move), I64(15)), I64(4))
                counted = builder.zext(_load(builder, _vector_at(builder, counts, row, 16), 16), numbers)
                table = builder.add(builder.add(table, table), counted) if table else counted
            for upper, part in enumerate((builder.and_(table, _constant(31, 16, I16)), shifted(builder, table, 5))):
                where = builder.add(at, I64(16 * upper))
                octets = builder.trunc(part, ir.VectorType(I8, 16))
                _store(builder, octets, _vector_at(builder, tables, where, 16), 16)
            return context.get_dummy_value()

        return signature, generate

else:

    def pixel_tile(out, o, stride, tables, i, i_stride, panel, octets, base, shift, accumulate):
        """out[o + r·stride + c] = base - 2 Σ_g table[r, g][b[c, g]], for each row r and column c of the tile and each
        group g of four pixels, plus what was there << shift where `accumulate`; all arrays flat.

        tables[i + r·i_stride + 32·g] begins the table of a row and a group; panel: as of `lookup_tile`. There are
        8·octets groups.
        """
        count, groups = LOOKUP.lanes, OCTET * octets
        w = panel[:groups * PIXELS.columns].reshape(groups, PIXELS.columns)
        for row in range(PIXELS.rows):
            first = i + row * i_stride
            table = tables[first:first + TABLE * groups].reshape(groups, 2, 16).astype(np.int32)
            total = (table[:, 0] + 32 * table[:, 1])[np.arange(groups)[:, None], w].sum(axis=0, dtype=np.int32)
            total = total.reshape(-1, count // 2, 2).transpose(0, 2, 1).reshape(-1)
            where = slice(o + row * stride, o + row * stride + PIXELS.columns)
            out[where] = (out[where] << shift) + base - 2 * total if accumulate else base - 2 * total

    def tabulate(tables, at, a, i, words, nibble):
        """tables[at:at + 32] = the table for four pixels: in plane n their bits are that nibble of a[i + n·words]."""
        rows = [int(a[i + plane * words]) >> 4 * int(nibble) & 15 for plane in range(PLANES)]
        table = sum(COUNTS.reshape(16, 16)[row].astype(np.int64) << plane for plane, row in enumerate(rows))
        tables[at:at + TABLE] = np.concatenate([table & 31, table >> 5])
