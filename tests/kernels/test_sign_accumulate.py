"""Products of real numbers with weights as bits: sums in float64, and nothing but sums."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnn_ref.kernels import bits, compiled, sign_accumulate
from bnn_ref.kernels.sign_accumulate import definition
from bnn_ref.kernels.sign_accumulate import sign_accumulate as accumulate

MODES = {"best": accumulate, "definition": definition,
         "tables": lambda x, words, k: sign_accumulate.by_tables(x, words)}


def random_case(n, k, m, seed=0):
    """(x, w_b of ±1, its words): entries of very different sizes, so that a sum's order shows in float32."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, k)) * np.exp2(rng.integers(-12, 12, (n, k)))).astype(np.float32)
    w = np.where(rng.random((m, k)) < 0.5, 1, -1).astype(np.float32)
    return x, w, bits.pack(w)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 3, 4, 5, 63, 64, 65, 130])
@pytest.mark.parametrize("n, m", [(1, 1), (7, 3), (8, 2), (9, 5), (17, 1)])
def test_sums_are_within_their_bound_of_exact_ones(mode, n, m, k):
    x, w, words = random_case(n, k, m)
    out = MODES[mode](x, words, k)
    assert out.dtype == np.float64 and out.shape == (n, m)
    for i in range(n):
        for j in range(m):
            terms = [float(x[i, d]) if w[j, d] > 0 else -float(x[i, d]) for d in range(k)]
            assert abs(out[i, j] - math.fsum(terms)) <= k * 2**-53 * math.fsum(map(abs, terms))


@pytest.mark.parametrize("mode", MODES)
def test_whole_numbers_are_summed_exactly(mode):
    rng = np.random.default_rng(1)
    x = rng.integers(-1000, 1000, (19, 200)).astype(np.float32)
    w = rng.choice([-1, 1], (33, 200))
    np.testing.assert_array_equal(MODES[mode](x, bits.pack(w), 200), x.astype(np.int64) @ w.T)


def test_by_hand():
    x = np.array([[1, 10, 100, 1000, 10000]], np.float32)
    w = bits.pack(np.array([[1, 1, 1, 1, 1], [-1, -1, -1, -1, -1], [1, -1, 1, -1, 1], [-1, -1, -1, 1, -1]]))
    assert accumulate(x, w, 5).tolist() == [[11111, -11111, 9091, -9111]]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_does_not_depend_on_the_others(mode):
    x, _, words = random_case(37, 90, 6)
    whole = MODES[mode](x, words, 90)
    for rows in (slice(0, 1), slice(3, 20), slice(30, 37)):
        assert MODES[mode](x[rows], words, 90).tobytes() == whole[rows].tobytes()
    assert MODES[mode](x[:0], words, 90).shape == (0, 6)


@pytest.mark.parametrize("mode, group", [("definition", 1), ("tables", sign_accumulate.GROUP)])
def test_the_order_of_a_sum_is_the_same_on_every_processor(mode, group):
    """Input after input; in the compiled form four at a time, whose own sum starts at -x, -x, ... and gains 2x."""
    x, w, words = random_case(5, 90, 6, seed=1)
    out = MODES[mode](x, words, 90)
    for i in range(5):
        for j in range(6):
            total = 0.0
            for start in range(0, 90, group):
                inputs = [(float(x[i, d]), w[j, d] > 0) for d in range(start, min(start + group, 90))]
                part = 0.0
                for value, _ in inputs:
                    part -= value
                for value, plus in inputs:
                    part += 2 * value if plus else 0.0
                total += part
            assert out[i, j] == total


def test_threads_and_memory_layouts_change_nothing(monkeypatch):
    x, _, words = random_case(603, 130, 40)
    monkeypatch.setattr(sign_accumulate, "WORTH", 1)
    before = x.copy(), words.copy()
    compiled.set_threads(1)
    try:
        ref = accumulate(x, words, 130).tobytes()
        compiled.set_threads(3)
        assert accumulate(x, words, 130).tobytes() == ref
    finally:
        compiled.set_threads(None)
    assert accumulate(np.asfortranarray(x), words, 130).tobytes() == ref
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(words, before[1])


def test_the_table_of_sixteen_sums():
    x = np.array([[1, 10, 100, 1000, 7], [2, 20, 200, 2000, 8]], np.float32)
    tables = np.full((sign_accumulate.GROUPS, 16, sign_accumulate.ROWS), np.nan)
    sign_accumulate._fill(x, 0, 2, 0, tables)
    for p in range(16):
        signs = [1 if p >> d & 1 else -1 for d in range(4)]
        assert tables[0, p, 0] == sum(s * 10**d for d, s in enumerate(signs))
        assert tables[0, p, 1] == 2 * tables[0, p, 0]
        assert tables[1, p, 0] == 7 * signs[0]
    assert not tables[2:].any() and not tables[:, :, 2:].any()


@pytest.mark.skipif(not compiled.COMPILED, reason="this is that mode")
def test_the_same_as_plain_python():
    """NUMBA_DISABLE_JIT=1, in which readers step through kernels: these tests once more."""
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
                         capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent,
                         env={**os.environ, "NUMBA_DISABLE_JIT": "1"})
    assert run.returncode == 0, run.stdout


ONES = np.ones((2, 3), np.float32)


@pytest.mark.parametrize("x, w, k, error, message", [
    (np.ones((2, 3)), np.zeros((1, 1), np.uint64), 3, TypeError, r"^x: expected a float32 array, got dtype float64$"),
    ([[1.0]], np.zeros((1, 1), np.uint64), 1, TypeError, r"^x: expected a float32 array, got list$"),
    (ONES, np.zeros((1, 1), np.uint64), 4, ValueError, r"^x: expected shape \(rows, 4\), got \(2, 3\)$"),
    (ONES[0], np.zeros((1, 1), np.uint64), 3, ValueError, r"^x: expected shape \(rows, 3\), got \(3,\)$"),
    (ONES, np.zeros((1, 2), np.uint64), 3, ValueError, "^w: expected 1 words in a row for k = 3"),
    (ONES, np.full((1, 1), 8, np.uint64), 3, ValueError, "^w: expected 0 in the bits past k = 3"),
    (ONES, np.zeros(1, np.uint64), 3, ValueError, r"^w: expected shape \(rows, words\)"),
    (ONES, np.zeros((1, 1)), 3, TypeError, "^w: expected packed words"),
])
def test_what_does_not_fit_is_refused(x, w, k, error, message):
    with pytest.raises(error, match=message):
        accumulate(x, w, k)
