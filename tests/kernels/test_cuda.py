"""CUDA kernels without a GPU: their integers in Numba's simulator, their instructions by the compiler, and a warp.

The simulator must be chosen before Numba is imported, so this file runs itself a second time, in a process of its own;
there every access to shared memory is watched, and 32 threads play the tensor cores by the text of the PTX ISA.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CUDA kernels are Numba's")

from bnn_ref.bench import gpu
from bnn_ref.kernels import bits, cuda, cuda_tensor, device, ladder, reference

pytestmark = pytest.mark.task_cuda

SIMULATED = device.SIMULATED
SHAPES = ((1, 1, 1), (19, 21, 70), (5, 3, 64), (17, 33, 65), (3, 2, 130), (18, 5, 330))


def operands(m, n, k, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(bits._pack_bits(rng.random((rows, k)) < 0.5) for rows in (m, n))


# --- in the simulator -------------------------------------------------------------------------------------------------


class Watched:
    """A shared array that fails where the outcome hangs on which thread comes first, or on what lay there before."""

    def __init__(self, array):
        self.array, self.lock, self.writes, self.reads = array, threading.Lock(), {}, {}

    def now(self):
        thread = threading.current_thread()
        return (tuple(thread.blockIdx), getattr(thread, "barriers", 0)), thread.thread_id

    def __getitem__(self, index):
        with self.lock:
            index = tuple(map(int, index))
            epoch, thread = self.now()
            written, writer = self.writes.get(index, ((None, None), None))
            assert written[0] == epoch[0], f"{index} is read before anything was written there"
            assert written != epoch or writer == thread, f"{index} is read while another thread writes it"
            readers = self.reads.get(index)
            self.reads[index] = (epoch, readers[1] | {thread} if readers and readers[0] == epoch else {thread})
            return self.array[index]

    def __setitem__(self, index, value):
        with self.lock:
            index = tuple(map(int, index))
            epoch, thread = self.now()
            written, writer = self.writes.get(index, (None, None))
            assert written != epoch or writer == thread, f"two threads write {index}"
            read, readers = self.reads.get(index, (None, {thread}))
            assert read != epoch or readers == {thread}, f"{index} is written while another thread reads it"
            self.writes[index] = epoch, thread
            self.array[index] = value


@contextlib.contextmanager
def watching(monkeypatch):
    """Shared arrays are watched, and a block's threads meet at a barrier, where the simulator polls them."""
    from numba.cuda.simulator import kernel, kernelapi

    watched, lock = {}, threading.Lock()

    def array(self, shape, dtype):
        line = sys._getframe(1).f_lineno                 # the simulator's own arrays go by the line as well
        with lock:
            return watched.setdefault((id(self), line), Watched(np.empty(shape, dtype)))

    def syncthreads(self):
        self._manager.barrier.wait(60)
        self.barriers = getattr(self, "barriers", 0) + 1

    def run(self, block, *arguments):
        places = list(np.ndindex(*self._block_dim))
        self.barrier = threading.Barrier(len(places))

        def work():
            try:
                self._f(*arguments)
            except BaseException:
                self.barrier.abort()
                raise

        threads = [kernel.BlockThread(work, self, block, place, False) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        errors = [thread.exception[0] for thread in threads if thread.exception]
        for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(kernelapi.FakeCUDAShared, "array", array)
        patch.setattr(kernel.BlockThread, "syncthreads", syncthreads)
        patch.setattr(kernel.BlockManager, "run", run)
        yield watched


def isa_fragments():
    """(row, column) of bit i in thread `lane` of a (16 × 256), of b (256 × 8), and of number i of c (16 × 8).

    As the PTX ISA has it under "Matrix Fragments for mma.m16n8k256", line by line.
    """
    a, b, c = np.empty((32, 128, 2), int), np.empty((32, 64, 2), int), np.empty((32, 4, 2), int)
    for lane in range(32):
        group, thread_in_group = lane >> 2, lane % 4
        for i in range(128):
            row = group if 0 <= i < 32 or 64 <= i < 96 else group + 8
            a[lane, i] = row, thread_in_group * 32 + i % 32 + (0 if i < 64 else 128)
        for i in range(64):
            b[lane, i] = thread_in_group * 32 + i % 32 + (0 if i < 32 else 128), group
        for i in range(4):
            c[lane, i] = group if i < 2 else group + 8, thread_in_group * 2 + i % 2
    return a, b, c


class Warps:
    """The instruction, played by the threads of each warp: all of them come, then each gets its four numbers."""

    def __init__(self):
        self.a, self.b, self.c = isa_fragments()
        self.lock, self.barriers, self.held = threading.Lock(), {}, {}

    def mma(self, *registers):
        thread = threading.current_thread()
        key, lane = (tuple(thread.blockIdx), thread.thread_id // 32), thread.thread_id % 32
        with self.lock:
            barrier = self.barriers.setdefault(key, threading.Barrier(32))
            held = self.held.setdefault(key, {})
        held[lane] = registers
        if barrier.wait(30) == 0:
            held["product"] = self.product(np.array([[int(number) for number in held[lane]] for lane in range(32)]))
        barrier.wait(30)
        product = held["product"]
        return tuple(np.int32(number + product[row, column]) for number, (row, column) in zip(registers, self.c[lane]))

    def product(self, registers):
        def spread(numbers, places, shape):
            octets = np.ascontiguousarray(numbers.astype("<u4")).view(np.uint8)
            matrix = np.zeros(shape, int)
            matrix[places[..., 0], places[..., 1]] = np.unpackbits(octets, axis=1, bitorder="little")
            return matrix

        return spread(registers[:, 4:8], self.a, (16, 256)) @ spread(registers[:, 8:], self.b, (256, 8))


if SIMULATED:

    @pytest.fixture
    def small(monkeypatch):
        """Blocks of 4 × 4 threads, so that small arrays take several blocks and stages, ragged ones too."""
        for name, value in {"SIDE": 4, "TILE": 16, "DEPTH": 4, "PITCH": 5, "THREADS": 16}.items():
            monkeypatch.setattr(cuda, name, value)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("name", ["cuda_naive", "cuda_tiled", "cuda_carry_save"])
    def test_rungs_give_the_integers_of_the_identity(name, shape, small, monkeypatch):
        a, b = operands(*shape)
        with watching(monkeypatch) as watched:
            comp = getattr(cuda, name)(a, b, shape[2])
        assert comp.dtype == np.int32 and bool(watched) == (name != "cuda_naive")
        np.testing.assert_array_equal(comp, reference.identity(a, b, shape[2]))

    @pytest.mark.parametrize(("name", "shape"), [("cuda_tiled", (66, 2, 70)), ("cuda_carry_save", (2, 67, 1090))])
    def test_blocks_of_their_real_size(name, shape, monkeypatch):
        a, b = operands(*shape)
        with watching(monkeypatch):
            comp = getattr(cuda, name)(a, b, shape[2])
        np.testing.assert_array_equal(comp, reference.identity(a, b, shape[2]))

    @pytest.mark.parametrize("shape", [(130, 2, 520), (2, 133, 70)], ids=str)
    def test_the_tensor_cores_as_the_isa_describes_them(shape, monkeypatch):
        monkeypatch.setattr(cuda_tensor, "_mma", Warps().mma, raising=False)
        a, b = operands(*shape)
        with watching(monkeypatch) as watched:
            comp = cuda.cuda_tensor(a, b, shape[2])
        assert watched
        np.testing.assert_array_equal(comp, reference.identity(a, b, shape[2]))

    def test_opposite_and_equal_rows(small, monkeypatch):
        a, _ = operands(1, 1, 1100)
        opposite = a.copy()
        opposite[:, :-1] ^= ~np.uint64(0)
        opposite[:, -1] ^= np.uint64((1 << 1100 % 64) - 1)
        for rung in (cuda.cuda_tiled, cuda.cuda_carry_save):
            with watching(monkeypatch):
                comp = rung(a, np.vstack([a, opposite]), 1100)
            np.testing.assert_array_equal(comp, [[1100, -1100]])

    @pytest.mark.parametrize("name", ["cuda_naive", "cuda_tiled", "cuda_carry_save"])
    def test_operands_need_not_be_contiguous_nor_writable(name, small, monkeypatch):
        a, b = operands(10, 7, 130)
        ref = reference.identity(a[::2], b, 130)
        b = np.asfortranarray(b)
        b.flags.writeable = False
        with watching(monkeypatch):
            comp = getattr(cuda, name)(a[::2], b, np.int32(130))
        np.testing.assert_array_equal(comp, ref)
        assert getattr(cuda, name)(a[:0], b, 130).shape == (0, 7)

    @pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 8), (2, 64), (3, 65), (4, 130)], ids=str)
    def test_packing(shape, small):
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        x.flat[::5], x.flat[1::5], x.flat[2::5] = 0.0, -0.0, np.nan
        comp = cuda.cuda_pack(x)
        assert comp.dtype == bits.WORD
        np.testing.assert_array_equal(comp, bits._pack_bits(x >= 0))
        np.testing.assert_array_equal(cuda.cuda_pack(np.nan_to_num(x).astype(np.int32)), bits._pack_bits(
            np.nan_to_num(x).astype(np.int32) >= 0))
        bits.check_words("packed", comp, shape[1])

    @pytest.mark.parametrize("shape", [(1, 1, 1), (19, 21, 35), (3, 17, 16), (18, 2, 5)], ids=str)
    def test_the_float_kernel(shape, small, monkeypatch):
        m, n, k = shape
        rng = np.random.default_rng(2)
        x, w = rng.integers(-9, 9, (m, k)).astype(np.float32), rng.integers(-9, 9, (k, n)).astype(np.float32)
        with watching(monkeypatch):
            comp = cuda.float_baseline(x, np.asfortranarray(w))
        assert comp.dtype == np.float32
        np.testing.assert_array_equal(comp, x @ w)

    def test_verification_finds_what_is_wrong(small, monkeypatch):
        with watching(monkeypatch):
            assert gpu.verify([(2, 1, 65)]) == ["cuda_naive", "cuda_tiled", "cuda_carry_save"]
        monkeypatch.setattr(gpu, "RUNGS", {"cuda_naive": cuda.launch_naive})
        for name in ("cuda_naive", "float_baseline", "cuda_pack"):
            right = getattr(cuda, name)
            with watching(monkeypatch), monkeypatch.context() as patch, pytest.raises(AssertionError, match=name):
                patch.setattr(cuda, name, lambda *operands, right=right: right(*operands)[::-1])
                gpu.verify([(2, 3, 65)])

    def test_timing_runs_and_the_network_is_the_same_in_bits(small, monkeypatch):
        events = SimpleNamespace(record=lambda: None, synchronize=lambda: None, elapsed_time=lambda other: 1.0)
        monkeypatch.setattr(cuda.cuda, "event", lambda: events)
        monkeypatch.setattr(gpu, "SAMPLE", 0)
        monkeypatch.setattr(gpu, "libraries", lambda *arguments: {})
        with watching(monkeypatch):
            products, transfers = gpu.product_times(["cuda_naive", "cuda_tiled"], 5, 1)
            networks = gpu.mlp_times(["cuda_naive"], 1, images=2, layers=(5, 4, 3, 2))
        assert list(products) == ["float_baseline", "cuda_naive", "cuda_naive + packing", "cuda_tiled",
                                  "cuda_tiled + packing"]
        assert len(transfers) == 3
        assert len(networks) == 3
        text = gpu.table("title", products, 2 * 5 ** 3)
        assert products["cuda_naive"]["times_as_fast_as"] == {"float_baseline": 1.0, "cublas_float32": None}
        assert len(text.splitlines()) == 6

    def test_the_simulator_has_no_tensor_cores():
        assert device.missing("cuda_tiled") is None
        assert "simulator" in device.missing("cuda_tensor")

else:

    def test_in_the_simulator():
        environment = dict(os.environ, NUMBA_ENABLE_CUDASIM="1")
        done = subprocess.run([sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", __file__],
                              env=environment, cwd=Path(__file__).parent.parent.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    # --- what the compiler makes of them ------------------------------------------------------------------------------

    def kernels():
        from numba import types

        words, floats, octets = types.uint64[:, ::1], types.float32[:, ::1], types.uint8[:, ::1]
        out, counts = types.int32[:, ::1], types.int32[::1]
        return {
            "_naive": (cuda._naive, (words, words, types.int64, out)),
            "_tiled": (cuda._tiled, (words, words, types.int64, out)),
            "_carry_save": (cuda._carry_save, (words, words, types.int64, out)),
            "_count_ones": (cuda_tensor._count_ones, (words, counts)),
            "_tensor": (cuda_tensor._tensor, (words, words, counts, counts, types.int64, out)),
            "_pack": (cuda._pack, (floats, octets)),
            "_sign": (cuda._sign, (floats,)),
            "_float_baseline": (cuda._float_baseline, (floats, floats, floats)),
        }

    def compiled(function, arguments, capability):
        from numba import types
        from numba.cuda.cudadrv import nvvm

        if not nvvm.is_available():
            pytest.skip("CUDA's compiler library, NVVM, is not installed")
        return cuda.cuda.compile_ptx(function, types.void(*arguments), cc=capability)[0]

    MMA = r"mma\.sync\.aligned\.m16n8k256\.row\.col\.s32\.b1\.b1\.s32\.and\.popc"
    POPCOUNT = {"_naive": "popc.b64", "_tiled": "popc.b64", "_carry_save": "popc.b32", "_count_ones": "popc.b64"}
    SHARED = {"_tiled": 2 * 64 * 17 * 8, "_carry_save": 2 * 64 * 17 * 8, "_tensor": 2 * 2 * 2 * 128 * 4 * 8,
              "_count_ones": 8 * 32 * 4, "_float_baseline": 2 * 16 * 16 * 4}

    @pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=str)
    @pytest.mark.parametrize("name", ["_naive", "_tiled", "_carry_save", "_count_ones", "_tensor", "_pack", "_sign",
                                      "_float_baseline"])
    def test_kernels_compile_to_the_instructions_meant(name, capability, tmp_path):
        ptx = compiled(*kernels()[name], capability)
        assert (POPCOUNT.get(name, "popc.b") in ptx) == (name in POPCOUNT)
        assert len(re.findall(MMA, ptx)) == (16 if name == "_tensor" else 0)
        assert "f64" not in ptx, "an integer or float32 became float64 on the way"
        assert "__local_depot" not in ptx, "an array meant for registers lies in memory"
        declared = re.findall(r"\.shared [^;]*\[(\d+)\];", ptx)
        assert sum(map(int, declared)) == SHARED.get(name, 0)
        if not shutil.which("ptxas"):
            pytest.skip("compiled to PTX as meant; ptxas, which says whether it fits the registers, is not installed")
        source = tmp_path / "kernel.ptx"
        source.write_text(ptx)
        done = subprocess.run(["ptxas", "-v", f"-arch=sm_{capability[0]}{capability[1]}", str(source), "-o",
                               str(tmp_path / "kernel.cubin")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in done.stderr
        # 65,536 registers a multiprocessor: at least one block of tensor cores' 256 threads, two of the other tiles'.
        limit = {"_tensor": 255}.get(name, 128)
        assert int(re.search(r"Used (\d+) registers", done.stderr)[1]) <= limit

    def test_the_registers_of_the_instruction_are_in_the_order_of_the_isa():
        """d, a, b, c of `mma d, a, b, c` are followed to the places they were loaded from and are stored to."""
        from numba import types

        mma = cuda_tensor._mma

        def probe(c, ab, d):
            d[0], d[1], d[2], d[3] = mma(c[0], c[1], c[2], c[3], ab[0], ab[1], ab[2], ab[3], ab[4], ab[5])

        ptx = compiled(probe, (types.int32[::1], types.uint32[::1], types.int32[::1]), (9, 0))
        names = re.findall(r"%r\d+", re.search(MMA + r"([^;]*);", ptx)[1])
        loaded = dict(re.findall(r"ld\.global\.u32 \t?(%r\d+), \[%rd\d+(?:\+(\d+))?\];", ptx))
        stored = {name: at for at, name in re.findall(r"st\.global\.u32 \t?\[%rd\d+(?:\+(\d+))?\], (%r\d+);", ptx)}
        assert [int(stored[name] or 0) for name in names[:4]] == [0, 4, 8, 12]
        assert [int(loaded[name] or 0) for name in names[4:]] == [0, 4, 8, 12, 16, 20, 0, 4, 8, 12]

    # --- what is missing ----------------------------------------------------------------------------------------------

    def rung(name):
        return ladder.Rung(name=name, module="cuda", change="", reads="", xors="", popcounts="")

    @pytest.mark.parametrize("name", ["cuda_naive", "cuda_tiled", "cuda_carry_save", "cuda_tensor"])
    def test_asking_for_what_is_missing_says_so_in_one_line(name, monkeypatch):
        a, b = operands(2, 3, 65)
        for available in (lambda: False, lambda: 1 / 0):
            monkeypatch.setattr(cuda.cuda, "is_available", available)
            assert "needs an NVIDIA GPU" in device.missing(name)
            with pytest.raises(ladder.Unavailable, match=f"^rung {name}: needs an NVIDIA GPU") as raised:
                rung(name)(a, b, 65)
            assert isinstance(raised.value, ValueError) and "\n" not in str(raised.value)
        monkeypatch.setattr(device, "cuda", None)
        assert "needs Numba" in rung(name).missing()

    @pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0)], ids=str)
    def test_only_some_gpus_have_binary_tensor_cores(capability, monkeypatch):
        monkeypatch.setattr(cuda.cuda, "is_available", lambda: True)
        monkeypatch.setattr(cuda.cuda, "get_current_device", lambda: SimpleNamespace(compute_capability=capability))
        assert device.missing("cuda_tiled") is None
        lacking = device.missing("cuda_tensor")
        assert (lacking is None) == (8 <= capability[0] <= 9)
        assert lacking is None or lacking.endswith(f"this one is {capability[0]}.{capability[1]}")

    def test_the_script_says_what_it_needs_and_writes_nothing(tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(cuda.cuda, "is_available", lambda: False)
        assert gpu.main(["--json", str(tmp_path / "figures.json")]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and len(printed.err.splitlines()) == 1 and "needs an NVIDIA GPU" in printed.err
        assert not list(tmp_path.iterdir())

    def test_on_a_gpu():
        if device.missing("cuda_naive"):
            pytest.skip(f"the kernels on a GPU: {device.missing('cuda_naive')}")
        assert gpu.verify(gpu.RAGGED)
