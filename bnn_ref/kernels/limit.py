"""How fast this processor can be at all: loops on registers alone, which read nothing.

A kernel that spends the same instructions on a vector cannot pass its loop, so each rung is shown as a share of one:
those that count of XOR, popcount and add, three instructions for a vector of words (the carry-save rungs spend two and
a half); those that look up of shuffle and add, eight instructions for three nibbles of two rows. Which of the two is
faster depends on the processor: without a popcount for vectors, counting takes ten instructions and not one.
"""

import time

import numpy as np

from .compiled import COMPILED, jit
from .machine import LANES, LOOKUP, PROCESSOR, REGISTERS
from .nibbles import BITS, TRIPLE

COUNT, LOOK_UP = "count", "look up"   # the two limits
LABEL = "register limit, "            # before their names, beside timings of rungs
STEPS = 1 << 20
COUNTS = 12                           # chains side by side, enough to hide the latency of each
LOOK_UPS = REGISTERS // 3             # and as many as two sums each leave registers for

if COMPILED:
    import numba
    from llvmlite import ir
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .lanes import I8, I32, I64, _constant, _popcount
    from .nibbles import add_found, add_triple

    def _spin(write):
        """The loop `steps` times around what `write` writes: (builder, seed) -> (registers, function of one turn)."""

        @intrinsic
        def spin(typing, seed, steps):
            signature = numba.uint64(numba.uint64, numba.int64)

            def generate(context, builder, signature, arguments):
                registers, turn = write(builder, arguments[0])
                with cgutils.for_range(builder, arguments[1], intp=I64):
                    turn()
                total = builder.load(registers[0])
                for register in registers[1:]:
                    total = builder.xor(total, builder.load(register))
                words = total.type.count * total.type.element.width // 64
                return builder.extract_element(builder.bitcast(total, ir.VectorType(I64, words)), I32(0))

            return signature, generate

        return spin

    def _write_counts(builder, seed):
        start = builder.insert_element(_constant(3, LANES), seed, I32(0))
        words = [builder.add(start, _constant(chain, LANES)) for chain in range(4)]
        counts = [cgutils.alloca_once_value(builder, builder.add(start, _constant(17 * chain, LANES)))
                  for chain in range(COUNTS)]

        def turn():
            for chain, count in enumerate(counts):
                value = builder.load(count)            # the count is also the word: nothing can leave the loop
                differ = _popcount(builder, builder.xor(value, words[chain % 4]))
                builder.store(builder.add(value, differ), count)

        return counts, turn

    def _write_look_ups(builder, seed):
        count = LOOKUP.lanes
        start = builder.insert_element(_constant(3, count // 8), seed, I32(0))
        start = builder.bitcast(start, ir.VectorType(I8, count))
        tables = [builder.add(start, _constant(part, count, I8)) for part in range(TRIPLE)]
        sums, uppers = ([cgutils.alloca_once_value(builder, builder.add(start, _constant(17 * chain + more, count, I8)))
                         for chain in range(LOOK_UPS)] for more in (0, 5))

        def turn():
            for total, upper in zip(sums, uppers):
                x = None
                w = builder.load(upper)                # the sum is also what is looked up
                for table in tables:
                    x = add_found(builder, PROCESSOR, table, w, x)
                add_triple(builder, x, total, upper)

        return sums + uppers, turn

    _count, _look_up = _spin(_write_counts), _spin(_write_look_ups)

    @jit
    def _counting(seed, steps):
        return _count(seed, steps)

    @jit
    def _looking_up(seed, steps):
        return _look_up(seed, steps)


def available():
    """The limits that can be measured on this processor."""
    return (COUNT, LOOK_UP) if PROCESSOR.shuffle else (COUNT,)


def seconds(operations, limit=COUNT):
    """Seconds that one core would take for a product of that many operations (2 m n k), at the limit; one sample.

    limit: COUNT or LOOK_UP. Raises ValueError where kernels are not compiled, or the processor shuffles no bytes.
    """
    if not COMPILED:
        raise ValueError("a register limit needs compiled kernels: install Numba, unset NUMBA_DISABLE_JIT")
    if limit == LOOK_UP and not PROCESSOR.shuffle:
        raise ValueError(f"the limit of {LOOK_UP} needs an instruction that shuffles bytes; this processor has none")
    loop = _counting if limit == COUNT else _looking_up
    entries = 64 * LANES * COUNTS if limit == COUNT else 2 * TRIPLE * BITS * LOOKUP.lanes * LOOK_UPS     # of a turn
    loop(np.uint64(1), 1)
    began = time.perf_counter()
    loop(np.uint64(1), STEPS)
    spent = time.perf_counter() - began
    return spent * operations / (2 * entries * STEPS)
