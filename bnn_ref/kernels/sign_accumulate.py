"""Real inputs against ±1 weights: a product that only adds, weights being bits [BC §1].

Four inputs have 16 signed sums. They are made once for all units, and four bits of a unit's weights name the one that
it adds: so a product of k inputs takes k/4 additions and no multiplication. Rows of x lie side by side in the vectors.
"""

import numpy as np

from ..ops.checks import came, check_whole, is_plain
from . import bits
from .compiled import COMPILED, jit, parallel_for
from .recycle import empty

ROWS = 8                              # of x at a time: float64 in one vector
GROUP = 4                             # inputs whose signed sums are in a table
GROUPS = bits.BITS // GROUP           # tables of a word, 16 KiB together: they stay in the first-level cache
WORTH = 1 << 16                       # words against rows for which it pays to wake a thread


def definition(x, w, k):
    """out[i, j] = Σ_d x[i, d] · (±1), + where bit d of w[j] is 1, in NumPy. Arguments as of `sign_accumulate`.

    One input after the other. A product by `@` would be sooner there, but BLAS chooses the order of a row's sum by the
    number of rows and by the processor, and another order has other last bits.
    """
    out = np.zeros((len(x), len(w)))
    for x_d, signs in zip(x.T.astype(np.float64), bits.unpack(w, k, np.float64).T):
        out += np.multiply.outer(x_d, signs)
    return out


def sign_accumulate(x, w, k):
    """out[i, j] = Σ_d ± x[i, d], + where bit d of w[j] is 1, added up in float64 [BC-A1].

    x: float32 (n, k), finite; w: uint64 (m, words), from `bits.pack`. Returns float64 (n, m). Each sum has an error of
    at most k · 2⁻⁵³ Σ|x|: none at all for whole numbers. It does not depend on the other rows.
    Raises TypeError or ValueError for operands that do not fit.
    """
    if not is_plain(x) or x.dtype != np.float32:
        raise TypeError(f"x: expected a float32 array, got {came(x)}")
    check_whole("k", k)
    if x.ndim != 2 or x.shape[1] != k:
        raise ValueError(f"x: expected shape (rows, {k}), got {x.shape}")
    bits.check_words("w", w, k)
    if w.ndim != 2:
        raise ValueError(f"w: expected shape (rows, words), got {w.shape}")
    return by_tables(np.ascontiguousarray(x), np.ascontiguousarray(w)) if COMPILED else definition(x, w, k)


def by_tables(x, w):
    """The product, rows of x shared among threads. Contiguous operands, checked by `sign_accumulate`."""
    out = empty((len(x), len(w)), np.float64)
    parallel_for(lambda start, stop: _accumulate(x, w, out, start, stop), -(-len(x) // ROWS),
                 -(-WORTH // (ROWS * max(1, w.size))))
    return out


if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def _add_chosen(typing, sums, j, tables, signs):
        """See `_add_chosen` in plain Python: here the rows of a sum are one vector, which LLVM's vectorizer misses."""
        signature = types.void(sums, j, tables, signs)

        def generate(context, builder, signature, arguments):
            sums, j, tables, signs = arguments
            integer, lanes = ir.IntType(64), ir.VectorType(ir.DoubleType(), ROWS)

            def vector(position, array, index):
                data = context.make_array(signature.args[position])(context, builder, array).data
                return builder.bitcast(builder.gep(data, [builder.mul(index, integer(ROWS))]), lanes.as_pointer())

            where = vector(0, sums, j)
            total = builder.load(where, align=8)
            for group in range(GROUPS):
                pattern = builder.and_(builder.lshr(signs, integer(group * GROUP)), integer((1 << GROUP) - 1))
                chosen = vector(2, tables, builder.add(pattern, integer(group << GROUP)))
                total = builder.fadd(total, builder.load(chosen, align=8))
            builder.store(total, where, align=8)
            return context.get_dummy_value()

        return signature, generate

else:

    def _add_chosen(sums, j, tables, signs):
        """sums[j] += for each group of a word the sums that its bits in `signs` choose; both arrays flat."""
        for group in range(GROUPS):
            chosen = (group << GROUP) + (int(signs) >> group * GROUP) % (1 << GROUP)
            sums[j * ROWS:(j + 1) * ROWS] += tables[chosen * ROWS:(chosen + 1) * ROWS]


@jit
def _accumulate(x, w, out, start, stop):
    """Rows start·ROWS to stop·ROWS of the product."""
    m, words = w.shape
    sums, tables = np.empty((m, ROWS)), np.empty((GROUPS, 1 << GROUP, ROWS))
    flat_sums, flat_tables = sums.reshape(-1), tables.reshape(-1)
    for block in range(start, stop):
        first = block * ROWS
        rows = min(ROWS, len(x) - first)
        sums[:] = 0
        for word in range(words):
            _fill(x, first, rows, word * bits.BITS, tables)
            for j in range(m):
                _add_chosen(flat_sums, j, flat_tables, w[j, word])
        for row in range(rows):
            for j in range(m):
                out[first + row, j] = sums[j, row]


@jit
def _fill(x, first, rows, start, tables):
    """tables[g, p, r]: the sum of the four inputs start + 4g of row first + r, with the signs that are p's bits.

    All minus at first; then each sum without an input's bit gives the one with it. Past the end inputs are 0.
    """
    for group in range(GROUPS):
        table = tables[group]
        table[0] = 0
        for d in range(GROUP):
            at = start + group * GROUP + d
            for row in range(rows):
                table[0, row] -= x[first + row, at] if at < x.shape[1] else 0
        for d in range(GROUP):
            at = start + group * GROUP + d
            for row in range(ROWS):
                twice = 2 * np.float64(x[first + row, at]) if row < rows and at < x.shape[1] else 0.0
                for p in range(1 << d):
                    table[p + (1 << d), row] = table[p, row] + twice
