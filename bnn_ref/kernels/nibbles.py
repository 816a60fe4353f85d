"""Looking up instead of counting: the inner loops of the rung `lookup`, written as LLVM vectors like those of `lanes`.

A nibble w, four bits of a row of a, selects a table of 16 bytes, popcount(v XOR w) for every v, and one shuffle of
bytes looks up in it the nibbles v of all columns that lie in a vector. Tables are for the nibbles of *two* rows: a byte
holds the popcount for one row, and 16 times that for the other, so that one shuffle and one addition serve both.
"""

import numpy as np

from .compiled import COMPILED
from .machine import LOOKUP

BITS = 4                              # of a nibble
PER_WORD = 64 // BITS                 # nibbles of a word
TRIPLE = 15 // BITS                   # nibbles whose popcounts half a byte can add up
CHUNK = 255 // (BITS * TRIPLE)        # triples whose popcounts a byte can add up
LONGEST = (2**16 - 1) // (BITS * TRIPLE)    # and 16 bits

_nibbles = np.arange(1 << BITS)
_counts = np.bitwise_count(_nibbles[:, None] ^ _nibbles)           # [w, v]
COUNTS = _counts.astype(np.uint8).reshape(-1)
TABLES = (_counts + (_counts[:, None] << 4)).astype(np.uint8).reshape(-1)    # [w of the second row, w of the first, v]

if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .lanes import I8, I32, I64, Results, _constant, _data, _load, _tile, _vector_at

    I16 = ir.IntType(16)

    def constant_table(module, name, octets):
        """A pointer to these bytes, a constant of the module."""
        constant = cgutils.global_constant(module, name, ir.Constant(ir.ArrayType(I8, octets.size), octets.tolist()))
        constant.align = 64
        return constant.bitcast(I8.as_pointer())

    def in_all_lanes(builder, table, count):
        """A table of 16 bytes as often as it fits into `count`, for a shuffle works on 16 bytes each."""
        order = ir.Constant(ir.VectorType(I32, count), [octet % 16 for octet in range(count)])
        return builder.shuffle_vector(table, table, order)

    def shifted(builder, vector, amount):
        """x >> amount of numbers of 16 bits, << where it is negative."""
        move = builder.lshr if amount > 0 else builder.shl
        return move(vector, _constant(abs(amount), vector.type.count, I16))

    def add(builder, value, place):
        builder.store(builder.add(builder.load(place), value), place)

    def add_found(builder, processor, table, nibbles, x):
        """x and what the table has for each nibble; x is None for the first of a triple."""
        kind = ir.FunctionType(table.type, [table.type] * 2)
        look_up = cgutils.get_or_insert_function(builder.module, kind, processor.shuffle)
        found = builder.call(look_up, [table, nibbles])
        return builder.add(x, found) if x else found

    def add_triple(builder, x, total, upper):
        """Add x to the bytes of `total`, and to those of `upper` x >> 4 as numbers of 16 bits."""
        words = ir.VectorType(I16, x.type.count // 2)
        add(builder, x, total)
        add(builder, builder.bitcast(shifted(builder, builder.bitcast(x, words), 4), x.type), upper)

    def _split(builder, total, upper):
        """The counts of 16 bits in the two sums: (first row's in the even bytes, in the odd ones, the second row's)."""
        words = ir.VectorType(I16, total.type.count // 2)
        total, upper = (builder.bitcast(vector, words) for vector in (total, upper))

        def low(vector, other):
            """The lower bytes of vector - 16 · other."""
            return builder.and_(builder.sub(vector, shifted(builder, other, -4)), _constant(255, words.count, I16))

        second_odd = shifted(builder, upper, 8)
        first_odd = low(shifted(builder, total, 8), second_odd)
        second_even = low(upper, first_odd)
        return low(total, second_even), first_odd, second_even, second_odd

    def write_tile(builder, processor, out, o, stride, codes, i, i_stride, panel, triples, base, shift, accumulate):
        """The code of a tile; see `lookup_tile` in plain Python. out, codes, panel: pointers to their first items.

        Three popcounts are added up in a nibble, x. It goes into two sums of bytes: one of x, and one of x >> 4 as
        numbers of 16 bits, so that in the lower byte x >> 4 has bits of its neighbour above it. Both sums are right but
        for multiples of 256; the four counts in them are less, and so they follow one from the other, see `_split`.
        """
        tile = processor.lookup
        count, half = tile.lanes, tile.lanes // 2
        outputs = [(pair, v) for pair in range(tile.rows // 2) for v in range(tile.vectors)]
        tables = constant_table(builder.module, "popcounts_of_two_nibbles", TABLES)
        octets, words = ir.VectorType(I8, count), ir.VectorType(I16, half)
        totals, sums, uppers = ({output: cgutils.alloca_once(builder, kind) for output in outputs}
                                for kind in (ir.ArrayType(words, 4), octets, octets))

        def advance(triple):
            first = builder.mul(triple, I64(TRIPLE))
            x = dict.fromkeys(outputs)
            for part in range(TRIPLE):
                nibble = builder.add(first, I64(part))
                at = builder.mul(nibble, I64(tile.columns))
                w = [_load(builder, _vector_at(builder, panel, builder.add(at, I64(v * count)), count), count)
                     for v in range(tile.vectors)]
                for pair in range(tile.rows // 2):
                    where = builder.add(builder.add(i, builder.mul(i_stride, I64(pair))), nibble)
                    code = builder.zext(builder.load(builder.gep(codes, [where])), I64)
                    table = in_all_lanes(builder, _load(builder, _vector_at(builder, tables, code, 16), 16), count)
                    for v in range(tile.vectors):
                        x[pair, v] = add_found(builder, processor, table, w[v], x[pair, v])
            for output in outputs:
                add_triple(builder, x[output], sums[output], uppers[output])

        def place_of(output, number):
            return builder.gep(totals[output], [I32(0), I32(number)])

        for output in outputs:
            builder.store(ir.Constant(totals[output].type.pointee, None), totals[output])
        with cgutils.for_range_slice(builder, I64(0), triples, I64(CHUNK), intp=I64) as (chunk, _):
            for output in outputs:
                for place in (sums, uppers):
                    builder.store(_constant(0, count, I8), place[output])
            stop = builder.add(chunk, I64(CHUNK))
            stop = builder.select(builder.icmp_signed("<", stop, triples), stop, triples)
            with cgutils.for_range_slice(builder, chunk, stop, I64(1), intp=I64) as (triple, _):
                advance(triple)
            for output in outputs:
                found = _split(builder, *(builder.load(place[output]) for place in (sums, uppers)))
                for number, counts in enumerate(found):
                    add(builder, counts, place_of(output, number))

        store = Results(builder, half, base, shift, accumulate)
        for pair, v in outputs:
            for number in range(4):
                row, odd = 2 * pair + number // 2, number % 2
                where = builder.add(builder.add(o, builder.mul(stride, I64(row))), I64(v * count + odd * half))
                counts = builder.zext(builder.load(place_of((pair, v), number)), ir.VectorType(I32, half))
                store(_vector_at(builder, out, where, half), counts)

    lookup_tile = _tile(write_tile)

    def _interleaved(builder, first, second, upper):
        """first[0] second[0] first[1] second[1] ... of the lower halves of two vectors, or of the upper ones."""
        count = first.type.count
        start = upper * count // 2
        order = [index for at in range(start, start + count // 2) for index in (at, at + count)]
        return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(I32, count), order))

    def _halves(builder, octets):
        """(lower, upper) nibbles of a vector of bytes."""
        four = _constant(4, octets.type.count, I8)
        return builder.and_(octets, _constant(15, octets.type.count, I8)), builder.lshr(octets, four)

    @intrinsic
    def encode(typing, codes, at, x, y):
        """See `encode` in plain Python."""
        signature = types.void(codes, at, x, y)

        def generate(context, builder, signature, arguments):
            codes, at, x, y = arguments
            octets = ir.VectorType(I8, 8)
            rows = []
            for word in (x, y):
                lower, upper = _halves(builder, builder.bitcast(word, octets))
                order = ir.Constant(ir.VectorType(I32, 16), [at for octet in range(8) for at in (octet, octet + 8)])
                rows.append(builder.zext(builder.shuffle_vector(lower, upper, order), ir.VectorType(I16, 16)))
            first, second = (builder.shl(row, _constant(bits, 16, I16)) for row, bits in zip(rows, (4, 8)))
            data = _data(context, builder, signature.args[0], codes)
            builder.store(builder.or_(first, second), _vector_at(builder, data, at, 16)).align = 2
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def spread(typing, panel, at, stride, b, i, i_stride, half):
        """See `spread` in plain Python. Bytes change places by interleaving vectors, four times."""
        signature = types.void(panel, at, stride, b, i, i_stride, half)

        def generate(context, builder, signature, arguments):
            panel, at, stride, b, i, i_stride, half = arguments
            panel, b = (_data(context, builder, kind, array)
                        for kind, array in ((signature.args[0], panel), (signature.args[3], b)))
            rows = []
            for column in range(8):
                pair = ir.Constant(ir.VectorType(I64, 2), ir.Undefined)
                for place in range(2):
                    row = builder.add(I64(column), builder.mul(half, I64(place)))
                    word = builder.load(builder.gep(b, [builder.add(i, builder.mul(i_stride, row))]))
                    pair = builder.insert_element(pair, word, I32(place))
                rows.append(builder.bitcast(pair, ir.VectorType(I8, 16)))
            # A byte has four numbers of one bit for its place in the vector, and three for the vector, the row. Each
            # turn moves the first of the four to the row, in the place of one that becomes the last of the four.
            for bit in (4, 2, 1, 4):
                turned = list(rows)
                for row in range(8):
                    if not row & bit:
                        for upper in range(2):
                            turned[row | bit * upper] = _interleaved(builder, rows[row], rows[row | bit], upper)
                rows = turned
            for row, octets in enumerate(rows):
                octet = (row >> 1 & 1) << 2 | (row & 1) << 1 | row >> 2            # of the word
                for upper, nibbles in enumerate(_halves(builder, octets)):
                    where = builder.add(at, builder.mul(stride, I64(2 * octet + upper)))
                    builder.store(nibbles, _vector_at(builder, panel, where, 16)).align = 16
            return context.get_dummy_value()

        return signature, generate

else:

    def lookup_tile(out, o, stride, codes, i, i_stride, panel, triples, base, shift, accumulate):
        """out[o + r·stride + c] = base - 2 Σ_g popcount(a[r, g] XOR b[c, g]), for each row r and column c of the tile
        and each nibble g, plus what was there << shift where `accumulate`; all arrays flat.

        codes[i + p·i_stride + g] is where TABLES has the table for a[2p, g] and a[2p + 1, g]; panel has b[c, g], for
        each g the columns side by side, in the order of `spread`. There are 3·triples nibbles.
        """
        count, nibbles = LOOKUP.lanes, TRIPLE * triples
        w = panel[:nibbles * LOOKUP.columns].reshape(nibbles, LOOKUP.columns)
        for pair in range(LOOKUP.rows // 2):
            first = i + pair * i_stride
            found = TABLES[codes[first:first + nibbles, None] + w]
            for number, counts in enumerate((found & 15, found >> 4)):
                # [vector, column of a half, half] -> [vector, half, column of a half]
                total = counts.sum(axis=0, dtype=np.int32).reshape(-1, count // 2, 2).transpose(0, 2, 1).reshape(-1)
                where = o + (2 * pair + number) * stride
                where = slice(where, where + LOOKUP.columns)
                out[where] = (out[where] << shift) + base - 2 * total if accumulate else base - 2 * total

    def _nibbles_of(word):
        return int(word) >> BITS * np.arange(PER_WORD, dtype=object) & 15

    def encode(codes, at, x, y):
        """codes[at + g] = where TABLES has the table for the nibbles g of x, a word of one row, and y, of the next."""
        codes[at:at + PER_WORD] = _nibbles_of(x) + (_nibbles_of(y) << 4) << 4

    def spread(panel, at, stride, b, i, i_stride, half):
        """panel[at + g·stride + 2c + h] = nibble g of b[i + (c + h·half)·i_stride], for 8 columns c of both halves h of
        a vector's columns; flat arrays.

        A vector has the columns of its upper half between those of the lower one, so that counts of 16 bits, of which
        the even bytes give one vector and the odd bytes another, are in the order of the columns.
        """
        for column in range(8):
            for h in range(2):
                first = at + 2 * column + h
                panel[first:first + PER_WORD * stride:stride] = _nibbles_of(b[i + (column + h * half) * i_stride])
