"""Every rung returns the same integers: on ragged shapes, from several threads, in every mode; no tolerance."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bnn_ref.kernels import (
    LADDER,
    bits,
    compiled,
    ladder,
    lookup,
    machine,
    packing,
    panels,
    plane_matmul,
    xnor_matmul,
)
from tests.ops import naive

pytestmark = pytest.mark.task_xnor

ROOT = Path(__file__).resolve().parents[2]
CPU = [rung for rung in LADDER if rung.module != "cuda" and not rung.missing()]
SIZES = [1, 63, 64, 65, 130] if compiled.COMPILED else [1, 2, 65]
if compiled.COMPILED:
    SIZES.append(1000)


@pytest.fixture(params=[1, 2, 5])
def threads(request, monkeypatch):
    """One thread, two, and more than this machine has; and pieces so small that all of them are used."""
    for module, name in ((panels, "BLOCKS_WORTH"), (panels, "ROWS_WORTH"), (lookup, "BLOCKS_WORTH"),
                         (lookup, "ENCODE_WORTH"), (lookup, "SPREAD_WORTH")):
        monkeypatch.setattr(module, name, 1)
    compiled.set_threads(request.param)
    yield request.param
    compiled.set_threads(None)


def signs(rng, m, k):
    return rng.choice(np.array([-1, 1], np.int8), (m, k))


# --- bits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 130, 1000])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64])
def test_pack_is_the_convention_padding_included(k, dtype):
    x = signs(np.random.default_rng(k), 3, k).astype(dtype)
    packed = bits.pack(x)
    assert packed.dtype == np.uint64
    assert packed.tolist() == naive.words_of_signs(x)
    np.testing.assert_array_equal(bits.unpack(packed, k), x)
    assert bits.unpack(packed, k, np.float32).dtype == np.float32


@pytest.mark.parametrize("k", [5, 64, 70])
def test_pack_takes_zero_for_plus_and_nan_for_minus_one_as_sign_does(k):
    x = np.random.default_rng(0).standard_normal((4, k)).astype(np.float32)
    x[0, :5] = 0.0, -0.0, np.nan, np.inf, -np.inf
    x[1, -1] = np.nan
    for dtype in (np.float32, np.float64):
        assert bits.pack(x.astype(dtype)).tolist() == naive.words_of_signs(x)


def test_pack_reads_any_layout_and_any_number_of_axes():
    x = np.random.default_rng(0).standard_normal((6, 10, 140)).astype(np.float32)
    for view in (x, x[::2], x[:, ::-1], x[..., ::2], x.transpose(2, 1, 0), x[0, 0], np.asfortranarray(x)):
        kept = view.copy()
        expected = np.array(naive.words_of_signs(view.reshape(-1, view.shape[-1])), np.uint64)
        np.testing.assert_array_equal(bits.pack(view), expected.reshape(*view.shape[:-1], -1))
        np.testing.assert_array_equal(view, kept)


@pytest.mark.parametrize("k", [1, 7, 63, 64, 65, 200])
def test_planes_hold_the_bits_of_each_pixel(k):
    x = np.random.default_rng(k).integers(0, 256, (3, 2, k), np.uint8)
    x[0, 0, 0], x[-1, -1, -1] = 255, 128
    planes = bits.pack_planes(x)
    assert planes.shape == (3, 2, 8, bits.words(k))
    for plane in range(8):
        ones = np.where(x.reshape(6, k) // 2**plane % 2, 1, -1)
        assert planes[:, :, plane].reshape(6, -1).tolist() == naive.words_of_signs(ones)
    np.testing.assert_array_equal(bits.unpack_planes(planes, k), x)
    np.testing.assert_array_equal(bits.pack_planes(np.asfortranarray(x)), planes)


@pytest.mark.parametrize("k", [1, 64, 70])
def test_the_packing_kernels_stay_within_their_arrays(k):
    """Straight, so that plain Python, which checks every index, runs them too."""
    rng = np.random.default_rng(0)
    x, pixels = rng.standard_normal((3, k), np.float32), rng.integers(0, 256, (3, k), np.uint8)
    x[0, 0], x[1, -1], x[2, 0] = 0, 0, np.nan
    np.testing.assert_array_equal(packing.pack_float(x, bits.words(x.shape[-1])), bits._pack_bits(x >= 0))
    np.testing.assert_array_equal(bits.unpack_planes(packing.pack_pixels(pixels, bits.words(k)), k), pixels)
    np.testing.assert_array_equal(bits.unpack_planes(bits.pack_planes(pixels[0]), k), pixels[0])


def test_pack_of_no_rows():
    assert bits.pack(np.ones((0, 65), np.float32)).shape == (0, 2)
    assert bits.pack_planes(np.ones((0, 65), np.uint8)).shape == (0, 8, 2)


@pytest.mark.parametrize(("function", "argument", "error", "message"), [
    (bits.pack, np.ones((2, 3), np.uint8), TypeError, "uint8.*pack_planes"),
    (bits.pack, np.ones((2, 3), bool), TypeError, "bool"),
    (bits.pack, [[1, -1]], TypeError, "x: .*got list"),
    (bits.pack, np.float32(1), TypeError, "got float32"),
    (bits.pack, np.ones((), np.float32), ValueError, r"\(\.\.\., k\)"),
    (bits.pack, np.ones((2, 0), np.float32), ValueError, r"k >= 1"),
    (bits.pack_planes, np.ones((2, 3), np.int8), TypeError, "uint8"),
    (bits.pack_planes, np.ones((2, 0), np.uint8), ValueError, "k >= 1"),
    (bits.words, 0, ValueError, "at least 1"),
])
def test_what_cannot_be_packed_is_refused(function, argument, error, message):
    with pytest.raises(error, match=message):
        function(argument)


# --- products ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", CPU, ids=lambda rung: rung.name)
def test_rungs_count_agreeing_signs(rung):
    rng = np.random.default_rng(0)
    for m, n, k in ((1, 1, 1), (2, 3, 5), (3, 2, 64), (5, 4, 65), (4, 6, 130)):
        x, w = signs(rng, m, k), signs(rng, n, k)
        out = rung(bits.pack(x), bits.pack(w), k)
        assert out.dtype == np.int32
        np.testing.assert_array_equal(out, naive.matmul_of_signs(x, w))


@pytest.mark.parametrize("rung", CPU, ids=lambda rung: rung.name)
@pytest.mark.parametrize("k", SIZES)
def test_rungs_agree_on_ragged_shapes(rung, k, threads):
    if threads != 1 and rung.name not in ladder.WITH_PLANES:
        pytest.skip("this rung runs on one thread")
    rng = np.random.default_rng(k)
    for m, n in itertools.product(SIZES, SIZES):
        if m * n * k > 10_000_000 or (m * n > 300 and not compiled.COMPILED):
            continue
        x, w = signs(rng, m, k), signs(rng, n, k)
        out = rung(bits.pack(x), bits.pack(w), k)
        np.testing.assert_array_equal(out, x.astype(np.float32) @ w.T.astype(np.float32), f"{m}, {n}, {k}")


@pytest.mark.parametrize("rung", CPU, ids=lambda rung: rung.name)
def test_rungs_at_the_extremes(rung):
    """All signs equal, all opposite, one that differs in the last place: where a counter or a mask would show."""
    for k in (1, 64, 65, 1999):
        x = np.ones((3, k), np.int8)
        w = np.stack([x[0], -x[0], x[0]])
        w[2, -1] = -1
        np.testing.assert_array_equal(rung(bits.pack(x), bits.pack(w), k), [[k, -k, k - 2]] * 3)


def test_rows_longer_than_float32_can_count():
    """2²⁴ + 1 is no float32: the definition takes float64 from 2²⁴ on, all others count in integers."""
    k = 2**24 + 1
    ones = np.full((1, bits.words(k)), 2**64 - 1, np.uint64)
    ones[0, -1] = 1
    for product in (ladder.rung("definition"), ladder.rung("identity"), xnor_matmul):
        assert product(ones, ones, k).tolist() == [[k]]


@pytest.mark.parametrize("rung", CPU, ids=lambda rung: rung.name)
def test_rungs_read_any_layout_and_leave_operands_alone(rung):
    rng = np.random.default_rng(0)
    x, w = signs(rng, 14, 200), signs(rng, 18, 200)
    a, b = bits.pack(x), bits.pack(w)
    expected = naive.matmul_of_signs(x, w)
    kept = a.copy(), b.copy()
    np.testing.assert_array_equal(rung(a[::2], b[::-1], 200), expected[::2, ::-1])
    np.testing.assert_array_equal(rung(np.asfortranarray(a), np.asfortranarray(b), 200), expected)
    wide = np.zeros((14, 9), np.uint64)
    wide[:, 1::2] = a
    np.testing.assert_array_equal(rung(wide[:, 1::2], b, 200), expected)
    a.flags.writeable = b.flags.writeable = False
    np.testing.assert_array_equal(rung(a, b, 200), expected)
    np.testing.assert_array_equal(a, kept[0])
    np.testing.assert_array_equal(b, kept[1])
    assert rung(a[:0], b, 200).shape == (0, 18)
    assert rung(a, b[:0], 200).shape == (14, 0)


def test_the_rung_that_is_chosen_is_right_for_every_number_of_rows(threads):
    rng = np.random.default_rng(0)
    for m, n in itertools.product((1, 2, 11, 12, 13, 16, 40), (1, 11, 12, 70)):
        x, w = signs(rng, m, 300), signs(rng, n, 300)
        np.testing.assert_array_equal(xnor_matmul(bits.pack(x), bits.pack(w), 300),
                                      x.astype(int) @ w.T.astype(int))


@pytest.mark.parametrize("rung", [None, *CPU], ids=lambda rung: rung.name if rung else "chosen")
def test_planes_weigh_pixels_exactly(rung, threads):
    rng = np.random.default_rng(0)
    for m, n, k in ((1, 3, 5), (3, 2, 64), (2, 5, 65), (13, 4, 130)):
        x, w = rng.integers(0, 256, (m, k), np.uint8), signs(rng, n, k)
        out = plane_matmul(bits.pack_planes(x), bits.pack(w), k, rung)
        assert out.dtype == np.int32
        np.testing.assert_array_equal(out, naive.matmul_of_pixels(x, w))
        np.testing.assert_array_equal(out, (2 * x.astype(int) - 255) @ w.T)
    assert plane_matmul(bits.pack_planes(x[:0]), bits.pack(w), k, rung).shape == (0, 4)


@pytest.mark.skipif(not compiled.COMPILED, reason="plain Python takes too long for several blocks")
@pytest.mark.parametrize("cache", [256, 1 << 12, 1 << 20])
def test_blocks_of_any_size_give_the_same(monkeypatch, threads, cache):
    """Blocks of a few words, odd ones among them, and bands of a few rows; also with bit planes."""
    monkeypatch.setattr(machine, "cache_size", lambda level: cache)
    rng = np.random.default_rng(0)
    for m, n, k in ((200, 70, 64 * 37), (67, 33, 64 * 40 - 5), (130, 1, 64 * 5)):
        x, w = rng.integers(0, 256, (m, k), np.uint8), signs(rng, n, k)
        a, b = bits.pack(x.astype(np.int16) - 128), bits.pack(w)
        for rung in (rung for rung in CPU if rung.name in ("blocks", "lookup")):
            np.testing.assert_array_equal(rung.function(a, b, k),
                                          np.where(x >= 128, 1, -1).astype(np.float32) @ w.T.astype(np.float32))
            np.testing.assert_array_equal(rung.function(bits.pack_planes(x), b, k, 8),
                                          (2 * x.astype(np.float64) - 255) @ w.T.astype(np.float64))


@pytest.mark.skipif(not compiled.COMPILED, reason="plain Python counts in 32 bits")
@pytest.mark.parametrize("rung", [rung for rung in CPU if rung.name in ladder.WITH_PLANES], ids=lambda rung: rung.name)
def test_rows_that_a_large_cache_holds_whole_are_counted_right(rung, monkeypatch):
    """More bits that differ than 16 bits can count, in one block."""
    monkeypatch.setattr(machine, "cache_size", lambda level: 1 << 26)
    k = 70_000
    x = np.ones((3, k), np.int8)
    np.testing.assert_array_equal(rung(bits.pack(x), bits.pack(-x), k), np.full((3, 3), -k))
    white = bits.pack_planes(np.full((3, k), 255, np.uint8))
    np.testing.assert_array_equal(plane_matmul(white, bits.pack(-x), k, rung), np.full((3, 3), -255 * k))


def test_block_sizes_follow_the_caches(monkeypatch):
    for level_1, level_2 in ((32 << 10, 256 << 10), (48 << 10, 2 << 20), (128 << 10, 12 << 20)):
        monkeypatch.setattr(machine, "cache_size", {1: level_1, 2: level_2}.get)
        for words in (1, 2, 63, 64, 65, 128, 129, 1000, 5001):
            depth = machine.panel_words(32, words)
            assert depth == words or (depth % 2 == 0 and depth < words)
            assert depth <= 2 or 32 * 8 * depth <= level_1 * 2 // 3 + 32 * 8 * 2
            steps = machine.block_steps(192, words)
            assert 192 * steps <= level_2 * 2 // 3
            assert -(-words // steps) == -(-words // (level_2 * 2 // 3 // 192))


@pytest.mark.parametrize("features", ["+avx512bw", "+avx512f", "+avx2", "+ssse3", "+neon"])
def test_what_surrounds_a_tile_fits_the_tiles_of_every_processor(features):
    """In plain Python, with NumPy in the place of the tile; for the tiles themselves see test_assembly."""
    code = ("import importlib\nfrom bnn_ref.kernels import lanes, lookup, machine, nibbles, panels, pixels\n"
            f"found = machine.processor(machine.switched({{'sse2'}}, '{features}'))\n"
            "machine.PROCESSOR, machine.LANES, machine.REGISTERS = found, found.lanes, found.registers\n"
            "machine.PLAIN, machine.CARRY_SAVE = found.plain, found.carry_save\n"
            "machine.LOOKUP, machine.PIXELS = found.lookup, found.pixels\n"
            "for module in (lanes, nibbles, pixels, panels, lookup): importlib.reload(module)\n"
            "assert lookup.LOOKUP == found.lookup and panels.CARRY_SAVE == found.carry_save\n"
            "from tests.kernels.test_ladder import check_surroundings; check_surroundings()")
    assert process(code, NUMBA_DISABLE_JIT="1") == "right\n"


def check_surroundings():
    """For other processes: rungs with tiles, on shapes that these do not divide."""
    rng = np.random.default_rng(0)
    for m, n, k in ((1, 1, 1), (7, 130, 70), (13, 5, 300)):
        x, w, pixels = signs(rng, m, k), signs(rng, n, k), rng.integers(0, 256, (m, k), np.uint8)
        for name in ("lanes", "carry_save", "blocks", "lookup"):
            rung = ladder.rung(name)
            assert np.array_equal(rung(bits.pack(x), bits.pack(w), k), x.astype(int) @ w.T.astype(int)), (name, m, n, k)
            found = plane_matmul(bits.pack_planes(pixels), bits.pack(w), k, rung)
            assert np.array_equal(found, (2 * pixels.astype(int) - 255) @ w.T), (name, m, n, k)
    print("right")


def check_products():
    """For other processes: all compiled rungs on shapes that have every kind of edge."""
    rng = np.random.default_rng(0)
    for m, n, k in ((1, 1, 1), (3, 5, 64), (9, 33, 130), (37, 70, 1000), (65, 64, 64 * 9)):
        x, w = signs(rng, m, k), signs(rng, n, k)
        expected = x.astype(int) @ w.T.astype(int)
        for rung in CPU:
            assert np.array_equal(rung(bits.pack(x), bits.pack(w), k), expected), (rung.name, m, n, k)
        pixels = rng.integers(0, 256, (m, k), np.uint8)
        assert np.array_equal(plane_matmul(bits.pack_planes(pixels), bits.pack(w), k),
                              (2 * pixels.astype(int) - 255) @ w.T)
    print("right")


# --- bad input -----------------------------------------------------------------------------------------------------

GOOD = bits.pack(np.ones((3, 70), np.int8))


@pytest.mark.parametrize(("a", "b", "k", "error", "message"), [
    (GOOD.astype(np.int64), GOOD, 70, TypeError, "a: expected packed words.*int64"),
    (GOOD, GOOD.astype(np.float32), 70, TypeError, "b: expected packed words.*float32"),
    (GOOD.tolist(), GOOD, 70, TypeError, "a: .*list"),
    (GOOD, GOOD, 0, ValueError, "k: "),
    (GOOD, GOOD, -5, ValueError, "k: "),
    (GOOD, GOOD, 70.0, TypeError, r"k: expected a whole number of entries, got 70\.0"),
    (GOOD, GOOD, True, TypeError, "k: expected a whole number of entries, got True"),
    (GOOD, GOOD, 64, ValueError, r"a: expected 1 words .* \(3, 2\)"),
    (GOOD, GOOD, 129, ValueError, r"a: expected 3 words"),
    (GOOD, GOOD[:, :1], 70, ValueError, r"b: expected 2 words"),
    (GOOD, GOOD, 69, ValueError, "a: expected 0 in the bits past k = 69"),
    (GOOD & np.uint64(1), GOOD, 69, ValueError, "b: expected 0 in the bits past k = 69"),
    (GOOD[0], GOOD, 70, ValueError, r"a: expected shape \(rows, words\)"),
    (GOOD[None], GOOD, 70, ValueError, r"a: expected shape \(rows, words\)"),
])
def test_operands_that_do_not_fit_are_refused(a, b, k, error, message):
    for product in (xnor_matmul, *CPU):
        with pytest.raises(error, match=message):
            product(a, b, k)


def test_planes_that_do_not_fit_are_refused():
    planes = bits.pack_planes(np.full((2, 70), 255, np.uint8))
    for wrong, k, message in ((planes[:, :7], 70, "8, words"), (GOOD, 70, "8, words"), (planes, 69, "bits past"),
                              (planes, 64, "words")):
        with pytest.raises(ValueError, match=message):
            plane_matmul(wrong, GOOD, k)
    planes[1, 3, 1] = np.uint64(1) << np.uint64(63)                # padding of one plane alone
    with pytest.raises(ValueError, match="bits past"):
        plane_matmul(planes, GOOD, 70)
    with pytest.raises(ValueError, match="bits past"):
        bits.unpack_planes(planes, 70)
    with pytest.raises(TypeError, match="uint64"):
        plane_matmul(planes.astype(np.int64), GOOD, 70)


def test_an_unknown_rung_is_refused_by_name():
    with pytest.raises(ValueError, match=r"expected one of definition, identity, .*got 'fastest'"):
        ladder.rung("fastest")
    assert ladder.rung("identity") in LADDER


def test_threads_are_counted_and_refused(monkeypatch):
    with pytest.raises(ValueError, match="at least 1"):
        compiled.set_threads(0)
    monkeypatch.setenv("BNN_REF_THREADS", "3")
    assert compiled.threads() == 3
    for wrong in ("0", "-1", "many", "²"):
        monkeypatch.setenv("BNN_REF_THREADS", wrong)
        with pytest.raises(ValueError, match="BNN_REF_THREADS"):
            compiled.threads()


def test_the_pool_follows_the_number_of_threads(threads):
    for count in (3, 2, 4):
        compiled.set_threads(count)
        compiled.parallel_for(lambda start, stop: None, 100, 1)
        assert compiled._pool._max_workers == count - 1                       # the caller is one of them


def test_an_exception_in_a_piece_is_raised():
    def work(start, stop):
        raise RuntimeError(f"piece {start} {stop}")

    compiled.set_threads(2)
    with pytest.raises(RuntimeError, match="piece 0"):
        compiled.parallel_for(work, 100, 1)
    compiled.set_threads(None)


def test_no_piece_still_runs_when_an_exception_is_raised():
    """The other threads write to arrays that their caller may be about to give away."""
    here, running = threading.get_ident(), []

    def work(start, stop):
        running.append(start)
        if threading.get_ident() == here:
            while len(running) < 2:                                # until another thread has a piece
                time.sleep(0.001)
            raise RuntimeError("mine")
        time.sleep(0.1)
        running.append("done")

    compiled.set_threads(2)
    with pytest.raises(RuntimeError, match="mine"):
        compiled.parallel_for(work, 100, 1)
    compiled.set_threads(None)
    assert running[2:] == ["done"]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_pieces_cover_the_range_once(size, threads):
    seen, lock = [], threading.Lock()

    def work(start, stop):
        with lock:
            seen.extend(range(start, stop))

    compiled.parallel_for(work, size, 1)
    assert sorted(seen) == list(range(size))


# --- what users do to processes ------------------------------------------------------------------------------------


def test_several_threads_may_call_at_once(threads):
    rng = np.random.default_rng(0)
    x, w = signs(rng, 70, 500), signs(rng, 90, 500)
    a, b, expected = bits.pack(x), bits.pack(w), x.astype(int) @ w.T.astype(int)
    wrong = []

    def call():
        for _ in range(5):
            if not np.array_equal(xnor_matmul(a, b, 500), expected):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_after_a_parallel_call(threads):
    x = signs(np.random.default_rng(0), 70, 500)
    a = bits.pack(x)
    expected = xnor_matmul(a, a, 500)
    child = os.fork()
    if child == 0:
        os._exit(0 if compiled._pool is None and np.array_equal(xnor_matmul(a, a, 500), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(xnor_matmul(a, a, 500), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_another_thread_holds_the_lock(threads):
    """The thread does not exist in the child, so nobody there would ever release it: the child must not wait."""
    a = bits.pack(signs(np.random.default_rng(0), 70, 500))
    expected = xnor_matmul(a, a, 500)
    held, forked = threading.Event(), threading.Event()

    def hold():
        with compiled._lock:
            held.set()
            forked.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)                                           # a child that waits for ever is killed
        os._exit(0 if np.array_equal(xnor_matmul(a, a, 500), expected) else 1)
    forked.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0


def process(code, *arguments, **environment):
    """What Python prints for that code in a process of its own, which must succeed."""
    run = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True,
                         text=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert run.returncode == 0, run.stderr
    return run.stdout


CHECK = "from tests.kernels.test_ladder import check_products; check_products()"


@pytest.mark.skipif(not compiled.COMPILED, reason="tested with compiled kernels")
@pytest.mark.parametrize("environment", [
    {"NUMBA_THREADING_LAYER": "workqueue", "BNN_REF_THREADS": "3"}, {"NUMBA_CPU_NAME": "generic"},
    {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+ssse3"}, {"NUMBA_CPU_FEATURES": "-avx2"},
    {"NUMBA_CPU_FEATURES": "-avx512f"}, {"NUMBA_CPU_FEATURES": "-avx512vpopcntdq"},
], ids=str)
def test_other_settings_of_numba(environment, tmp_path):
    """With other features the kernels are those of other processors, as far as this one can run them."""
    import llvmlite.binding as llvm

    named = environment.get("NUMBA_CPU_FEATURES", "")
    if named and not llvm.get_host_cpu_features().get(named[1:]):
        pytest.skip(f"this processor has no {named[1:]} to begin with")
    assert process(CHECK, NUMBA_CACHE_DIR=str(tmp_path), **environment) == "right\n"


@pytest.mark.skipif(not compiled.COMPILED, reason="without kernels there is no cache")
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    """Neither beside the sources nor in the user's cache folder: as on a read-only installation."""
    code = ("import numba.core.caching as caching\n"
            "def refuse(self): raise OSError('read-only')\n"
            "caching._CacheLocator.ensure_cache_path = refuse\n"
            "from bnn_ref.kernels import panels\nassert type(panels._product._cache).__name__ == 'NullCache'\n")
    assert process(code + CHECK) == "right\n"


@pytest.mark.skipif(not compiled.COMPILED, reason="without kernels there is no cache")
def test_a_cache_on_a_full_disk_is_done_without(tmp_path):
    code = ("import numba.core.caching as caching, errno\n"
            "def full(*args): raise OSError(errno.ENOSPC, 'No space left on device')\n"
            "caching.IndexDataCacheFile.save = full\n")
    assert process(code + CHECK, NUMBA_CACHE_DIR=str(tmp_path)) == "right\n"
    assert not list(tmp_path.rglob("*.nbc"))


@pytest.mark.skipif(not compiled.COMPILED, reason="without kernels there is no cache")
def test_the_cache_is_used_and_forgets_kernels_whose_sources_changed(tmp_path):
    code = ("from bnn_ref.kernels import compiled, panels\nimport sys\n"
            "if len(sys.argv) > 1: compiled._sources = lambda folder: 'changed'\n"
            "import numpy; panels.blocks(*[numpy.ones((20, 3), numpy.uint64)] * 2, 192)\n"
            "print(sum(panels._product.stats.cache_hits.values()), sum(panels._product.stats.cache_misses.values()))")
    counts = [process(code, *arguments, NUMBA_CACHE_DIR=str(tmp_path)).strip()
              for arguments in ([], [], ["changed"])]
    assert counts[0].startswith("0 ") and counts[0] != "0 0"
    assert counts[1] == "1 0"
    assert counts[2] == counts[0]


@pytest.mark.skipif(not compiled.COMPILED, reason="this is that mode")
@pytest.mark.parametrize("tests", ["kernels/test_ladder.py", "training/test_fast.py", "packed/test_inference.py"])
def test_without_compiling_kernels_are_plain_python(tests):
    """NUMBA_DISABLE_JIT=1, in which readers step through kernels: these tests once more."""
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{tests}"],
                         capture_output=True, text=True, cwd=ROOT,
                         env={**os.environ, "NUMBA_DISABLE_JIT": "1"})
    assert run.returncode == 0, run.stdout


def test_without_numba_products_still_work():
    assert process("import sys; sys.modules['numba'] = None\n" + CHECK) == "right\n"


# --- the ladder as data --------------------------------------------------------------------------------------------


def test_the_ladder_climbs_from_the_definition():
    names = [rung.name for rung in LADDER]
    assert names[:8] == ["definition", "identity", "loops", "tiles", "lanes", "carry_save", "blocks", "lookup"]
    assert len(set(names)) == len(names)
    for rung in LADDER:
        assert rung.change and rung.reads and rung.xors and rung.popcounts


@pytest.mark.parametrize("rung", CPU, ids=lambda rung: rung.name)
def test_every_rung_says_what_it_changes_and_counts(rung):
    text = " ".join(rung.function.__doc__.split())
    for word in ("Per output", "XOR", "popcount") if rung.name not in ("definition", "blocks") else ("output",):
        assert word in text, word


# how many entries an int32 can add up

@pytest.mark.parametrize("rung", LADDER, ids=lambda rung: rung.name)
def test_more_entries_than_an_int32_counts_are_refused_before_they_are_read(rung):
    words = np.broadcast_to(np.uint64(0), (1, 1 << 25))                    # 2³¹ entries that take no memory
    with pytest.raises(ValueError, match=r"^k: expected at most 2147483647 entries, whose sums an int32 holds, got 21"):
        rung(words, words, 1 << 31)
    ladder.check_operands(words, words, (1 << 31) - 1)


def test_the_sums_of_pixels_are_exact_up_to_the_largest_k_and_refused_beyond():
    """255 · 8,421,505 is 2,147,483,775, which an int32 holds as -2,147,483,521."""
    k = 8_421_504
    white, plus, minus = (np.full((1, k), value, dtype) for value, dtype in ((255, np.uint8), (1, "i1"), (-1, "i1")))
    planes, b = bits.pack_planes(white), np.concatenate([bits.pack(plus), bits.pack(minus)])
    rungs = [rung for rung in CPU if rung.name == "identity" or (rung.name in ladder.WITH_PLANES and compiled.COMPILED)]
    for rung in (None, *rungs):
        np.testing.assert_array_equal(ladder.plane_matmul(planes, b, k, rung), [[255 * k, -255 * k]])
    planes, b = (np.full((*shape, 131_587), ~np.uint64(0)) for shape in ((1, 8), (1,)))
    planes[..., -1] = b[..., -1] = 1
    with pytest.raises(ValueError, match=r"^k: expected at most 8421504 entries, .*, got 8421505$"):
        ladder.plane_matmul(planes, b, k + 1)
