"""Brings the eight text tasks of the expectation backpropagation paper, for `train ebp`: ebp_text/<task>.npz.
The authors' MAT files are downloaded from their repository or taken from a folder, checked and converted.

    python data_scripts/ebp_text.py [--from DIR] [--out DIR] [--force]

DIR may hold some of the eight, as <source>.mat or, as in the repository, <source>/processed_data.mat. Of two files the
sha256 is known, and verified. Of the other six it is not: those come over https, their layout, their counts (against
the paper's Table 1) and their labels are checked, and the sha256 that came is printed, and kept in the .npz.
"""

import contextlib
import http.client
import math
import sys
import urllib.request
from pathlib import Path

import mat
import numpy as np
import script
from fetch import TIMEOUT, FetchError, checksum, fetch

from bnn_ref import data, environment
from bnn_ref.cli import terminal
from bnn_ref.files import atomic_write

try:
    from bnn_ref.kernels.ebp_sparse import SparseRows
    from bnn_ref.training import text_tasks
except environment.SettingError as error:
    terminal.complain(f"error: {error}", Path(sys.argv[0]).name)
    raise SystemExit(2) from None

REPOSITORY = "https://raw.githubusercontent.com/ExpectationBackpropagation/EBP_Matlab_Code/"
MIRRORS = tuple(f"{REPOSITORY}{version}/Datasets/Classification/"
                for version in ("28de5e353f5a70560b19955ce28bedc1188776a3", "HEAD"))
TASK_PATH = "{}/processed_data.mat"
LARGEST = 100 << 20  # bytes of a file of unknown size; the known ones have fewer than 2 million
LARGEST_DENSE = 1 << 30  # bytes of a matrix that is not sparse, to be taken for one; the known one has 183 million
ENTRIES = 4  # of a sparse matrix for each byte of its file, at most; the known one has half an entry
ROWS = 100  # of a matrix that are looked through at a time
KNOWN = {  # size and sha256
    "reuters_i6": (1_690_786, "60b8e948bcbab402d5a441a4228689e5472b8bea0f53efc1303ae5481cfb894b"),
    "amazon_books": (1_230_979, "e537c44f42cb03ef5ab42919bc795402007246782a0faaf8a38b67b28b1c61b2"),
}


def read_mat(path, task):
    """(x, labels) of the authors' file: SparseRows float32, and int64 (N,), 0 for their -1 and 1 for their +1.

    task: the text_tasks.Description it must fit. Raises data.DataError that says what differs.
    """
    shape = task.examples, task.features
    kinds = (*mat.NUMBERS, mat.SPARSE) if 8 * math.prod(shape) <= LARGEST_DENSE else (mat.SPARSE,)
    variables = mat.read(path, {"data": mat.Wanted(shape, kinds, ENTRIES * min(path.stat().st_size, LARGEST)),
                                "labels": mat.Wanted((task.examples, 1), mat.NUMBERS)}, "authors'")
    labels = variables["labels"][:, 0]
    if not np.all((labels == 1) | (labels == -1)):
        raise data.DataError(f"{path}: has labels other than -1 and 1; get the authors' file")
    values = variables["data"]
    with np.errstate(over="ignore"):                      # infinity is refused where the task is saved
        rows = _of_columns(values, *shape) if isinstance(values, mat.Sparse) else _of_dense(values)
    return rows, (labels == 1).astype(np.int64)


def _of_columns(x, examples, features):
    """SparseRows of a mat.Sparse: entries of one place are added, zeros dropped."""
    order = np.argsort(x.rows, kind="stable")             # columns go on ascending within a row
    rows, columns = x.rows[order], np.repeat(np.arange(features), x.starts[1:] - x.starts[:-1])[order]
    values = x.values[order].astype(np.float32)
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    if not first.all():                                   # MATLAB writes none
        values = np.add.reduceat(values, np.flatnonzero(first))
    kept = values != 0
    counts = np.bincount(rows[first][kept], minlength=examples)
    return _sparse_rows(counts, columns[first][kept], values[kept], features)


def _of_dense(x):
    """SparseRows of a matrix, some rows at a time: it is large, and may hold no zero."""
    blocks = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
    counts = np.concatenate([np.count_nonzero(x[block].astype(np.float32), axis=1) for block in blocks])
    columns, values = np.empty(counts.sum(), np.int32), np.empty(counts.sum(), np.float32)
    end = 0
    for block in blocks:
        some = x[block].astype(np.float32)
        start, end = end, end + counts[block].sum()
        columns[start:end], values[start:end] = np.nonzero(some)[1], some[some != 0]
    return _sparse_rows(counts, columns, values, x.shape[1])


def _sparse_rows(counts, columns, values, features):
    """SparseRows of the entries of all rows, one after the other; counts: how many each row has."""
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)     # fewer than LARGEST_DENSE
    return SparseRows(indptr, columns.astype(np.int32, copy=False), values, features)


def download(name, folder):
    """The path of the downloaded file of the task in `folder`. Raises FetchError, OSError."""
    file = f"{text_tasks.TASKS[name].source}.mat"
    urls = [mirror + TASK_PATH.format(text_tasks.TASKS[name].source) for mirror in MIRRORS]
    if name in KNOWN:
        size, sha256 = KNOWN[name]
        return fetch(file, urls, sha256, size, folder, sys.stderr)
    return _fetch_unknown(file, urls, folder)


def _fetch_unknown(file, urls, folder):
    """As `fetch`, for a file whose size and checksum nobody stated; it is small, and nothing resumes."""
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in urls:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "bnn_ref"})
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                length, content = response.headers.get("Content-Length"), response.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise FetchError(f"sends more than {LARGEST} bytes")
            if length and len(content) != int(length):
                raise FetchError(f"the connection ended after {len(content)} of {length} bytes")
        except (OSError, http.client.HTTPException, FetchError) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
            continue
        with atomic_write(folder / file) as stream:
            stream.write(content)
        print(f"{file}: {len(content) / 1e6:.1f} MB from {url}", file=sys.stderr, flush=True)
        return folder / file
    raise FetchError(f"no mirror delivered {file} ({'; '.join(reasons)}); --from DIR takes local files")


def find(name, folder):
    """The path of the task's file in `folder`, verified where its checksum is known; None if it is not there."""
    source = text_tasks.TASKS[name].source
    path = next((path for path in (folder / f"{source}.mat", folder / TASK_PATH.format(source))
                 if path.is_file()), None)
    if path is not None and name in KNOWN:
        script.verify(path, *KNOWN[name])
    return path


def is_complete(name, folder):
    """Whether the task can be loaded from the data folder."""
    try:
        text_tasks.load_task(name, folder)
    except data.DataError:
        return False
    return True


def convert(source, folder, force=False):
    """Write each task that is not there yet into folder/ebp_text, from `source`, downloaded where that is None.

    force: write also those that are there, and replace what is there in their place.
    """
    if source is not None and not source.is_dir():
        raise data.DataError(f"{source}: no such folder; --from takes the folder of the authors' MAT files")
    downloads, absent = folder / "ebp_text_download", []
    paths = {name: folder / "ebp_text" / f"{name}.npz" for name in text_tasks.TASKS}
    complete = set() if force else {name for name in paths if is_complete(name, folder)}
    for name in paths.keys() - complete:
        script.check_place(paths[name], force)
    for name, path in paths.items():
        task = text_tasks.TASKS[name]
        if name in complete:
            terminal.say(f"{path} is already there and complete")
            continue
        found = download(name, downloads) if source is None else find(name, source)
        if found is None:
            absent.append(f"{task.source}.mat")
            continue
        x, labels = read_mat(found, task)
        source_line = None if name in KNOWN else script.unverified(found.name, checksum(found))
        text_tasks.save_task(path, x, labels, source_line, replace=True)
        if source is None:
            found.unlink()
        terminal.say(f"wrote {path}", flush=True)
    with contextlib.suppress(OSError):  # not there, or something else is in there: not ours to remove
        downloads.rmdir()
    if len(absent) == len(text_tasks.TASKS):
        raise data.DataError(f"{source}: holds none of {', '.join(absent)}; --from takes the folder of the files")
    if absent:
        terminal.say(f"not in {source}: {', '.join(absent)}")


def main(arguments=None):
    """The exit status: 0, or 2 with one line on stderr for bad files, or 130 after an interruption."""
    parser = script.Parser(prog="ebp_text.py", description="Brings the text tasks of the EBP paper as "
                           "ebp_text/<task>.npz.", allow_abbrev=False)
    script.add_options(parser, "take the authors' MAT files, those of the eight that are there, from DIR: no download",
                       "write ebp_text/ here")
    options = parser.parse_args(arguments)
    return script.run(parser.prog, lambda: convert(options.source, data.data_folder(options.out), options.force))


if __name__ == "__main__":
    sys.exit(main())
