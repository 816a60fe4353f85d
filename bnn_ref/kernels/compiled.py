"""Numba, where there is Numba: one decorator for every CPU kernel, and threads that survive what users do.

Kernels release the GIL and are cached on disk. Threads are Python's own, not Numba's: Numba's layers abort the process
when it forks after a parallel call (OpenMP) or when two threads call at once (workqueue).
"""

import collections
import functools
import hashlib
import itertools
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np

from .. import environment
from ..ops.checks import check_whole

numba = environment.import_numba()    # WebAssembly has none: kernels run as plain Python, and NumPy's rung is the best
COMPILED = numba is not None and not numba.config.DISABLE_JIT
SEAL_BYTES = hashlib.sha256().digest_size


if COMPILED:
    from numba.core.caching import FunctionCache, IndexDataCacheFile

    @functools.cache
    def _sources(folder):
        """Of all code that may be compiled into a kernel in this folder: its own files, and those here."""
        files = sorted({*Path(__file__).parent.glob("*.py"), *Path(folder).glob("*.py")})
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    class _SealedFiles(IndexDataCacheFile):
        """The files of one kernel's cache, an index and the machine code it names, each behind a digest.

        Numba's own are bare pickles: one that was cut short ends the program, and one flipped bit can be machine code
        that runs. What is not as it was written, or was written for another file, is not even unpickled: a miss.
        """

        def _read(self, path):
            """What was written there, or None."""
            try:
                seal, content = (data := Path(path).read_bytes())[:SEAL_BYTES], data[SEAL_BYTES:]
                return pickle.loads(content) if seal == self._seal(path, content) else None
            except Exception:         # absent or unreadable; and a pickle of other versions may raise whatever it likes
                return None

        def _write(self, path, value):
            content = self._dump(value)
            with self._open_for_write(path) as file:
                file.write(self._seal(path, content) + content)

        def _seal(self, path, content):
            said = repr((self._version, self._source_stamp, Path(path).name))
            return hashlib.sha256(said.encode() + content).digest()

        def _load_index(self):
            return self._read(self._index_path) or {}

        def _save_index(self, overloads):
            self._write(self._index_path, overloads)

        def _load_data(self, name):
            return self._read(self._data_path(name))

        def _save_data(self, name, data):
            self._write(self._data_path(name), data)

        def save(self, key, data):
            super().save(key, (key, data))

        def load(self, key):
            found, data = super().load(key) or (None, None)
            return data if found == key else None      # else two processes wrote at once, one the index, one the data

    class _Cache(FunctionCache):
        """Numba's cache on disk. Its own would keep a kernel when another file changed whose code is compiled into it;
        a damaged file would end the program, and where the disk is full it would fail."""

        def __init__(self, function):
            super().__init__(function)
            files = self._cache_file
            self._cache_file = _SealedFiles(self._cache_path, self._impl.filename_base, files._source_stamp)

        def _index_key(self, sig, codegen):
            return (*super()._index_key(sig, codegen), _sources(Path(self._py_func.__code__.co_filename).parent))

        def save_overload(self, sig, data):
            try:
                super().save_overload(sig, data)
            except OSError:           # compiled all the same, and once more in the next process
                pass


def jit(function):
    """Compile for the CPU, without the GIL, cached on disk; where no cache can be written, compile in each process.

    Without Numba, or with NUMBA_DISABLE_JIT=1, the function stays plain Python, to be stepped through.
    """
    if not COMPILED:
        return function
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    try:
        dispatcher._cache = _Cache(function)
    except RuntimeError:              # "no locator available": neither beside the source nor in the user's cache
        pass
    return dispatcher


def popcount(word):
    """How many bits of a uint64 are 1; in a kernel it is LLVM's ctpop, since Numba has no np.bitwise_count."""
    return int(np.bitwise_count(word))


if COMPILED:
    from numba.extending import intrinsic, overload

    @intrinsic
    def _ctpop(typing, word):
        return numba.int64(numba.uint64), lambda context, builder, signature, args: builder.ctpop(args[0])

    @overload(popcount)
    def _popcount(word):
        return lambda word: _ctpop(word)


# --- threads -------------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_pool = None
_count = None


def threads():
    """How many threads kernels use: what `set_threads` said, else BNN_REF_THREADS, else the cores of this process."""
    chosen = environment.threads() if _count is None else _count
    if chosen is not None:
        return chosen
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count):
    """Use that many threads from now on; None: as at first. Raises ValueError below 1, TypeError for what is no
    whole number."""
    global _count
    _count = None if count is None else check_whole("count", count, "at least 1 thread", lambda count: count >= 1)


def _forget():
    """In a forked child the pool's threads are gone, and the lock may have been held."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def parallel_for(work, size, least):
    """work(start, stop) over range(size), in pieces of at least `least`, on several threads; returns when all is done.

    The calling thread takes pieces like the others, so that it never waits for a thread to wake up while there is work.
    An exception in any piece is raised here.
    """
    global _pool
    count = threads()
    number = min(4 * count, size // max(1, least))
    if count == 1 or number < 2:
        return work(0, size)
    with _lock:
        if _pool is None or _pool._max_workers != count - 1:
            _pool = ThreadPoolExecutor(count - 1, thread_name_prefix="bnn_ref")
        pool = _pool
    edges = [size * piece // number for piece in range(number + 1)]
    pieces = collections.deque(itertools.pairwise(edges))

    def take():
        while pieces:
            try:
                piece = pieces.popleft()
            except IndexError:        # another thread was quicker
                return
            work(*piece)

    others = [pool.submit(take) for _ in range(min(count, number) - 1)]
    try:
        take()
    finally:
        pieces.clear()
        for other in wait([other for other in others if not other.cancel()]).done:
            other.result()
