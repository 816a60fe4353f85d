"""Vector lanes: the inner loops that are written as LLVM vectors, not left to the vectorizer.

LLVM's vectorizer prefers short vectors and keeps few outputs in registers. Here a tile of outputs stays in registers by
construction: `write_tile` writes the LLVM code by Python loops over the tile's rows and vectors, so that one text makes
tiles of every shape. Without Numba, or with NUMBA_DISABLE_JIT=1, NumPy stands in for what is generated, and the loops
around it run as they are.
"""

import functools

import numpy as np

from .compiled import COMPILED
from .machine import CARRY_SAVE, LANES, PLAIN, PROCESSOR

if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    I1, I8, I32, I64 = (ir.IntType(width) for width in (1, 8, 32, 64))

    def _constant(value, count, integer=I64):
        return ir.Constant(ir.VectorType(integer, count), [value] * count)

    def _broadcast(builder, value, count):
        """A number in every lane."""
        vector = ir.VectorType(value.type, count)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), _constant(0, count, I32))

    def _data(context, builder, kind, array):
        """A pointer to the first item of an array."""
        return context.make_array(kind)(context, builder, array).data

    def _vector_at(builder, data, index, count):
        """A pointer to `count` items from `index` on, as one vector."""
        kind = ir.VectorType(data.type.pointee, count)
        return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())

    def _at(context, builder, kind, array, index, count):
        return _vector_at(builder, _data(context, builder, kind, array), index, count)

    def _load(builder, pointer, align):
        vector = builder.load(pointer)
        vector.align = align
        return vector

    def _store(builder, vector, pointer, align):
        builder.store(vector, pointer).align = align

    def _low_halves(builder, first, second):
        """The low 32 bits of every lane of two vectors, side by side (on little-endian machines)."""
        count = first.type.count
        halves = [builder.bitcast(vector, ir.VectorType(I32, 2 * count)) for vector in (first, second)]
        even = ir.Constant(ir.VectorType(I32, 2 * count), list(range(0, 4 * count, 2)))
        return builder.shuffle_vector(*halves, even)

    def _popcount(builder, vector):
        kind = ir.FunctionType(vector.type, [vector.type])
        name = f"llvm.ctpop.v{vector.type.count}i64"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])

    def _ternary(builder, processor, table, x, y, z):
        """Any function of three bits, in one instruction where there is AVX-512; else None.

        table: its value for x y z = 000, 001, ..., 111, the lowest bit first.
        """
        if not processor.ternary:
            return None
        kind = ir.FunctionType(x.type, [x.type] * 3 + [I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.pternlog.q.512")
        return builder.call(function, [x, y, z, I32(table)])

    def _xor3(builder, processor, x, y, z):
        return _ternary(builder, processor, 0b10010110, x, y, z) or builder.xor(builder.xor(x, y), z)

    def _select(builder, processor, condition, if_one, if_zero):
        """Bit by bit: condition ? not if_one : if_zero."""
        return (_ternary(builder, processor, 0b00111010, condition, if_one, if_zero)
                or builder.or_(builder.and_(condition, builder.not_(if_one)),
                               builder.and_(builder.not_(condition), if_zero)))

    class _Plain:
        """popcount(x XOR w), added to the count: three instructions for a vector of words."""

        step = 1

        def __init__(self, builder, processor, zero):
            self.builder, self.processor = builder, processor
            self.count = cgutils.alloca_once_value(builder, zero)

        def add(self, x, w):
            builder = self.builder
            differ = _popcount(builder, builder.xor(x[0], w[0]))
            builder.store(builder.add(builder.load(self.count), differ), self.count)

        def total(self):
            return self.builder.load(self.count)

    class _CarrySave:
        """Two XORs are summed bit by bit with the last sum's ones, and only the carries, worth 2, are counted.

        With t = ones ^ x₀ ^ w₀ the sum is t ^ x₁ ^ w₁, and a carry arises where t ? not sum : ones. So two vectors of
        words take three ternary instructions, one popcount and one addition: five in place of six.
        """

        step = 2

        def __init__(self, builder, processor, zero):
            self.builder, self.processor = builder, processor
            self.ones = cgutils.alloca_once_value(builder, zero)
            self.carries = cgutils.alloca_once_value(builder, zero)

        def add(self, x, w):
            builder, processor = self.builder, self.processor
            ones = builder.load(self.ones)
            t = _xor3(builder, processor, ones, x[0], w[0])
            total = _xor3(builder, processor, t, x[1], w[1]) if len(x) == 2 else t
            carry = (_select(builder, processor, t, total, ones) if len(x) == 2
                     else builder.and_(ones, builder.not_(t)))
            builder.store(total, self.ones)
            builder.store(builder.add(builder.load(self.carries), _popcount(builder, carry)), self.carries)

        def total(self):
            builder = self.builder
            carries = builder.load(self.carries)
            return builder.add(builder.add(carries, carries), _popcount(builder, builder.load(self.ones)))

    def write_tile(builder, processor, out, o, stride, a, i, a_stride, panel, words, base, shift, accumulate, counter):
        """The code of a tile; see `_python_tile` for what it does. out, a, panel: pointers to their first items."""
        tile = processor.plain if counter is _Plain else processor.carry_save
        lanes, vectors = tile.lanes, range(tile.vectors)
        firsts = [builder.add(i, builder.mul(a_stride, I64(row))) for row in range(tile.rows)]
        counters = [[counter(builder, processor, _constant(0, lanes)) for _ in vectors] for _ in firsts]

        def advance(indices):
            w = [[_load(builder, _vector_at(builder, panel, builder.add(builder.mul(j, I64(tile.columns)),
                                                                        I64(v * lanes)), lanes), 8 * lanes)
                  for j in indices] for v in vectors]
            for first, row in zip(firsts, counters):
                x = [_broadcast(builder, builder.load(builder.gep(a, [builder.add(first, j)])), lanes)
                     for j in indices]
                for v in vectors:
                    row[v].add(x, w[v])

        step = counter.step
        whole = builder.and_(words, I64(-step))
        with cgutils.for_range_slice(builder, I64(0), whole, I64(step), intp=I64) as (j, _):
            advance([builder.add(j, I64(part)) for part in range(step)])
        if step == 2:
            with builder.if_then(builder.icmp_signed("<", whole, words)):
                advance([whole])

        store = Results(builder, 2 * lanes, base, shift, accumulate)
        for number, row in enumerate(counters):
            for v in range(0, tile.vectors, 2):                        # two vectors of counts make one of results
                where = builder.add(builder.add(o, builder.mul(stride, I64(number))), I64(v * lanes))
                store(_vector_at(builder, out, where, 2 * lanes),
                      _low_halves(builder, row[v].total(), row[v + 1].total()))

    class Results:
        """Stores base - 2 counts, `count` of them at a time, plus what was there << shift where `accumulate`."""

        def __init__(self, builder, count, base, shift, accumulate):
            self.builder, self.accumulate = builder, cgutils.is_not_null(builder, accumulate)
            self.base, self.shift = (_broadcast(builder, builder.trunc(number, I32), count) for number in (base, shift))

        def __call__(self, pointer, counts):
            builder = self.builder
            value = builder.sub(self.base, builder.add(counts, counts))
            with builder.if_else(self.accumulate) as (more, begin):
                with more:
                    before = builder.shl(_load(builder, pointer, 4), self.shift)
                    _store(builder, builder.add(before, value), pointer, 4)
                with begin:
                    _store(builder, value, pointer, 4)

    def _tile(write):
        """The intrinsic of the tile whose code `write` writes, for the processor that Numba compiles for."""

        @intrinsic
        def compute(typing, out, o, stride, a, i, a_stride, panel, words, base, shift, accumulate):
            signature = types.void(out, o, stride, a, i, a_stride, panel, words, base, shift, accumulate)

            def generate(context, builder, signature, arguments):
                arguments = [_data(context, builder, kind, argument) if isinstance(kind, types.Array) else argument
                             for kind, argument in zip(signature.args, arguments)]
                write(builder, PROCESSOR, *arguments)
                return context.get_dummy_value()

            return signature, generate

        return compute

    plain_tile = _tile(functools.partial(write_tile, counter=_Plain))
    carry_save_tile = _tile(functools.partial(write_tile, counter=_CarrySave))

    @intrinsic
    def differences(typing, a, i, b, j, words):
        """popcount(a[i:i+words] XOR b[j:j+words]) of flat arrays: lanes along the words."""
        signature = types.int64(a, i, b, j, words)

        def generate(context, builder, signature, arguments):
            a, i, b, j, words = arguments
            count = cgutils.alloca_once_value(builder, _constant(0, LANES))
            rest = cgutils.alloca_once_value(builder, I64(0))
            whole = builder.and_(words, I64(-LANES))
            with cgutils.for_range_slice(builder, I64(0), whole, I64(LANES), intp=I64) as (word, _):
                x, w = (_load(builder, _at(context, builder, signature.args[position], array,
                                           builder.add(first, word), LANES), 8)
                        for position, array, first in ((0, a, i), (2, b, j)))
                builder.store(builder.add(builder.load(count), _popcount(builder, builder.xor(x, w))), count)
            with cgutils.for_range_slice(builder, whole, words, I64(1), intp=I64) as (word, _):
                x, w = (builder.load(builder.gep(_data(context, builder, signature.args[position], array),
                                                 [builder.add(first, word)]))
                    for position, array, first in ((0, a, i), (2, b, j)))
                builder.store(builder.add(builder.load(rest), builder.ctpop(builder.xor(x, w))), rest)
            total = builder.load(rest)
            vector = builder.load(count)
            for lane in range(LANES):
                total = builder.add(total, builder.extract_element(vector, I32(lane)))
            return total

        return signature, generate

    @intrinsic
    def signs64(typing, x, i):
        """The word of x[i:i+64] of a flat float array: bit 1 where x >= 0, so 0 for NaN."""
        signature = types.uint64(x, i)

        def generate(context, builder, signature, arguments):
            align = signature.args[0].dtype.bitwidth // 8
            entries = _load(builder, _at(context, builder, signature.args[0], *arguments, 64), align)
            zero = ir.Constant(entries.type, [0.0] * 64)
            return builder.bitcast(builder.fcmp_ordered(">=", entries, zero), I64)

        return signature, generate

    @intrinsic
    def plane64(typing, x, i, plane):
        """The word of bit `plane` of x[i:i+64] of a flat uint8 array."""
        signature = types.uint64(x, i, plane)

        def generate(context, builder, signature, arguments):
            x, i, plane = arguments
            entries = _load(builder, _at(context, builder, signature.args[0], x, i, 64), 1)
            mask = _broadcast(builder, builder.shl(I8(1), builder.trunc(plane, I8)), 64)
            return builder.bitcast(builder.icmp_unsigned("!=", builder.and_(entries, mask), _constant(0, 64, I8)), I64)

        return signature, generate

    @intrinsic
    def at_least64(typing, s, i, t, j):
        """The word of s[i:i+64] >= t[j:j+64] of flat int32 arrays."""
        signature = types.uint64(s, i, t, j)

        def generate(context, builder, signature, arguments):
            s, i, t, j = arguments
            left = _load(builder, _at(context, builder, signature.args[0], s, i, 64), 4)
            right = _load(builder, _at(context, builder, signature.args[2], t, j, 64), 4)
            return builder.bitcast(builder.icmp_signed(">=", left, right), I64)

        return signature, generate

else:

    def _python_tile(tile):
        """What a tile is, in NumPy."""

        def compute(out, o, stride, a, i, a_stride, panel, words, base, shift, accumulate):
            """out[o + r·stride + c] = base - 2 Σ_j popcount(a[i + r·a_stride + j] XOR panel[j·columns + c]), for each
            row r and column c of the tile, plus what was there << shift where `accumulate`; all arrays flat."""
            w = panel[:words * tile.columns].reshape(words, tile.columns)
            for row in range(tile.rows):
                x = a[i + row * a_stride:i + row * a_stride + words, None]
                value = base - 2 * np.bitwise_count(x ^ w).sum(axis=0, dtype=np.int32)
                where = slice(o + row * stride, o + row * stride + tile.columns)
                out[where] = (out[where] << shift) + value if accumulate else value

        return compute

    plain_tile, carry_save_tile = _python_tile(PLAIN), _python_tile(CARRY_SAVE)

    def differences(a, i, b, j, words):
        return int(np.bitwise_count(a[i:i + words] ^ b[j:j + words]).sum())

    def _word(bits):
        return np.packbits(bits, bitorder="little").view("<u8")[0]

    def signs64(x, i):
        return _word(x[i:i + 64] >= 0)

    def plane64(x, i, plane):
        return _word(x[i:i + 64] >> plane & 1)

    def at_least64(s, i, t, j):
        return _word(s[i:i + 64] >= t[j:j + 64])
