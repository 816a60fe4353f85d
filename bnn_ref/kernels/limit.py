"""How fast XOR, popcount and add can be on this processor: a loop of the three on registers alone.

No kernel that spends three instructions on a vector of words can pass it, so rungs are shown as fractions of it; the
carry-save rungs spend two and a half.
"""

import time

import numpy as np

from .compiled import COMPILED, jit
from .machine import LANES

CHAINS = 12                           # enough to hide the latency of each
STEPS = 1 << 20

if COMPILED:
    import numba
    from llvmlite import ir
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .lanes import I64, _constant, _popcount

    @intrinsic
    def _spin(typing, seed, steps):
        signature = numba.uint64(numba.uint64, numba.int64)

        def generate(context, builder, signature, arguments):
            start = builder.insert_element(_constant(3, LANES), arguments[0], ir.IntType(32)(0))
            words = [builder.add(start, _constant(chain, LANES)) for chain in range(4)]
            counts = [cgutils.alloca_once_value(builder, builder.add(start, _constant(17 * chain, LANES)))
                      for chain in range(CHAINS)]
            with cgutils.for_range(builder, arguments[1], intp=I64):
                for chain, count in enumerate(counts):
                    value = builder.load(count)        # the count is also the word: nothing can leave the loop
                    differ = _popcount(builder, builder.xor(value, words[chain % 4]))
                    builder.store(builder.add(value, differ), count)
            total = builder.load(counts[0])
            for count in counts[1:]:
                total = builder.xor(total, builder.load(count))
            return builder.extract_element(total, ir.IntType(32)(0))

        return signature, generate

    @jit
    def _loop(seed, steps):
        return _spin(seed, steps)


def seconds(operations):
    """Seconds that one core would take for a product of that many operations (2 m n k), at the limit; one sample.

    Raises ValueError where kernels are not compiled.
    """
    if not COMPILED:
        raise ValueError("the register limit needs compiled kernels: install Numba, unset NUMBA_DISABLE_JIT")
    _loop(np.uint64(1), 1)
    began = time.perf_counter()
    _loop(np.uint64(1), STEPS)
    spent = time.perf_counter() - began
    return spent * operations / (2 * 64 * LANES * CHAINS * STEPS)
