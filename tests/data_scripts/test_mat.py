"""MAT files, by SciPy and byte by byte: whole they give what SciPy reads, otherwise one line and nothing else."""

import re
import struct
import tracemalloc
import zlib

import ebp_text
import mat
import numpy as np
import pytest

from bnn_ref.data import DataError
from bnn_ref.training.text_tasks import Description
from tests.data_scripts.mat_files import LABELLED, LABELS, columns, dense, element, file, ints, matrix

scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes and reads the MAT files")
sparse = pytest.importorskip("scipy.sparse")

RNG = np.random.default_rng(0)
DENSE = RNG.integers(0, 9, (5, 7)) * (RNG.random((5, 7)) < 0.4)
ANY = mat.Wanted((5, 7), (*mat.NUMBERS, mat.SPARSE), 1000)
LABEL = mat.Wanted((5, 1), mat.NUMBERS)


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, **wanted):
        (tmp_path / "some.mat").write_bytes(content)
        return mat.read(tmp_path / "some.mat", wanted or {"data": ANY})
    return write_and_read


def refused(read, content, words, **wanted):
    with pytest.raises(DataError) as caught:
        read(content, **wanted)
    message = str(caught.value)
    assert re.search(words, message), message
    assert message.isprintable() and message.endswith("; get the official file")


# what is read

@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
@pytest.mark.parametrize("deflated", [True, False])
def test_numbers_of_every_type_are_what_scipy_reads(dtype, deflated, read, tmp_path):
    x = DENSE.astype(dtype)
    scipy_io.savemat(tmp_path / "its.mat", {"other": "text", "data": x, "labels": LABELS, "more": [1.5]},
                     do_compression=deflated)
    content = (tmp_path / "its.mat").read_bytes()
    came = read(content, data=ANY, labels=LABEL)
    expected = scipy_io.loadmat(tmp_path / "its.mat")
    for name in came:
        np.testing.assert_array_equal(came[name], expected[name])
        assert came[name].dtype == expected[name].dtype


@pytest.mark.parametrize("deflated", [True, False])
def test_sparse_matrices_are_what_scipy_reads(deflated, read, tmp_path):
    for x in (DENSE, np.zeros((5, 7)), np.ones((5, 7))):
        x = sparse.csc_matrix(x.astype(float))
        scipy_io.savemat(tmp_path / "its.mat", {"data": x}, do_compression=deflated)
        came = read((tmp_path / "its.mat").read_bytes())["data"]
        np.testing.assert_array_equal(came.starts, x.indptr)
        np.testing.assert_array_equal(came.rows, x.indices)
        np.testing.assert_array_equal(came.values, x.data)


def test_what_matlab_writes_in_a_tag_and_room_for_more_entries_are_read(read):
    small = b"\2\0\4\0" + bytes([9, 8, 7, 6])                             # doubles stored as four uint8, in the tag
    x = read(file(matrix("data", 6, (2, 2), small)), data=mat.Wanted((2, 2), mat.NUMBERS))["data"]
    assert x.tolist() == [[9, 7], [8, 6]]
    came = read(file(columns([4, 0, 3, 3], [0, 0, 2, 2, 2, 2, 2, 2], [1.5, 2.5, 9, 9])))["data"]
    assert (came.rows.tolist(), came.values.tolist()) == ([4, 0], [1.5, 2.5])


# what is refused

STARTS = [0, 1, 1, 1, 1, 1, 1, 2]
BAD = {
    "index too large": (columns([0, 5], STARTS, [1, 1]), "rows of a sparse matrix from 0 to 5, expected 0 to 4"),
    "index far": (columns([0, 2**31 - 1], STARTS, [1, 1]), "rows of a sparse matrix from 0 to 2147483647"),
    "index negative": (columns([-1, 0], STARTS, [1, 1]), "rows of a sparse matrix from -1"),
    "start too large": (columns([0, 1], [0, 1, 1, 1, 1, 1, 1, 9], [1, 1]), "9 entries .* are claimed, 2 there"),
    "start far": (columns([0, 1], [0, 2**31 - 1, 1, 1, 1, 1, 1, 2], [1, 1]), "do not begin one after the other"),
    "start negative": (columns([0, 1], [0, -5, 1, 1, 1, 1, 1, 2], [1, 1]), "do not begin one after the other"),
    "starts that wrap": (columns([0, 1], [0, 2**31 - 1, -2**31, -1, 0, 0, 0, 2], [1, 1]), "one after the other"),
    "start not at 0": (columns([0, 1], [1, 1, 1, 1, 1, 1, 1, 2], [1, 1]), "do not begin one after the other"),
    "a start missing": (columns([0, 1], [0, 1, 1, 1, 1, 1, 2], [1, 1]), "do not begin one after the other"),
    "a start more": (columns([0, 1], [*STARTS, 2], [1, 1]), "an element of 36 bytes, expected 32 at most"),
    "fewer values": (columns([0, 1], STARTS, [1]), "2 entries of a sparse matrix are claimed, 1 there"),
    "more values": (columns([0, 1], STARTS, [1, 1, 1]), "24 bytes of values for 2 entries"),
    "more entries than wanted": (columns([0] * 1001, STARTS, [1]), "an element of 4004 bytes, expected 4000 at most"),
    "fewer numbers": (dense("data", np.zeros((5, 6)), shape=(5, 7)), "240 bytes of float64, expected as many as"),
    "more numbers": (dense("data", np.zeros((5, 8)), shape=(5, 7)), "320 bytes of float64, expected as many as"),
    "negative shape": (dense("data", np.zeros((5, 7)), shape=(-5, -7)), r"has as data float64 of shape \(-5, -7\)"),
    "shape that wraps": (dense("data", np.zeros(4), shape=(2**30, 2**30, 16, 1)), "has as data float64 of shape"),
    "complex": (matrix("data", 6 | 1 << 11, (5, 7)), "has as data no real numbers"),
    "cells": (matrix("data", 1, (5, 7)), "has as data no real numbers"),
    "twice": (dense("data", np.zeros((5, 7))) * 2, "data is there twice"),
    "not there": (LABELLED, "has as data nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case, read):
    content, words = BAD[case]
    refused(read, file(content), words)


@pytest.mark.parametrize("deflated", [True, False])
def test_every_cut_and_every_flipped_bit_ends_in_one_line_or_the_wanted_kind(deflated, read):
    content = file(LABELLED, columns([0, 4, 2], [0, 1, 1, 3, 3, 3, 3, 3], [1, 2, 3], deflated=deflated))
    for size in range(128, len(content)):
        with pytest.raises(DataError):
            read(content[:size])
    refusals = 0
    for at in range(8 * 128, 8 * len(content)):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << at % 8
        try:
            came = read(bytes(damaged))["data"]
        except DataError:
            refusals += 1
            continue
        assert came.starts[-1] == len(came.rows) == len(came.values) and np.all(np.diff(came.starts) >= 0)
        assert not len(came.rows) or 0 <= came.rows.min() <= came.rows.max() < 5
    assert refusals > 4 * (len(content) - 128)


def bomb(kind, size, flags, shape):
    """A matrix whose content is `size` zeros, a thousandth of that in the file."""
    packer = zlib.compressobj()
    head = (element(6, struct.pack("<II", flags, 0)) + ints(*shape) + element(1, b"data")
            + struct.pack("<II", kind, size))
    content = packer.compress(struct.pack("<II", 14, len(head) + size) + head)
    for _ in range(size >> 20):
        content += packer.compress(bytes(1 << 20))
    content += packer.flush()
    return file(struct.pack("<II", 15, len(content)) + content)


@pytest.mark.parametrize("kind, flags, shape, words", [
    (5, 5, (5, 7), "an element of 209715200 bytes, expected 4000 at most"),
    (9, 6, (5, 7), "209715200 bytes of float64, expected as many as"),
    (9, 6, (5, 5 << 20), "has as data float64 of shape"),
    (9, 4, (5, 7), "has as data no real numbers"),
])
def test_a_small_file_does_not_take_much_memory(kind, flags, shape, words, read):
    content = bomb(kind, 200 << 20, flags, shape)
    assert len(content) < 1 << 20
    tracemalloc.start()
    try:
        refused(read, content, words)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_claim_that_no_deflated_bytes_can_hold_is_refused_before_they_are_inflated(read):
    wanted = mat.Wanted((1 << 20, 1 << 10), mat.NUMBERS)
    made = (element(6, struct.pack("<II", 6, 0)) + ints(1 << 20, 1 << 10) + element(1, b"data")
            + struct.pack("<II", 2, 1 << 30))
    content = zlib.compress(struct.pack("<II", 14, len(made)) + made + bytes(1000))
    refused(read, file(struct.pack("<II", 15, len(content)) + content), "1073741824 bytes are claimed of an element",
            data=wanted)


# as text tasks

TASK = Description("Some", "some", 5, 7)


@pytest.mark.parametrize("case", BAD)
def test_text_tasks_refuse_the_same(case, tmp_path):
    (tmp_path / "some.mat").write_bytes(file(BAD[case][0], LABELLED if case != "not there" else b""))
    with pytest.raises(DataError, match=r"; get the authors' file$"):
        ebp_text.read_mat(tmp_path / "some.mat", TASK)


def test_a_sparse_matrix_has_no_more_entries_than_its_file_can_tell(tmp_path):
    """A few hundred bytes can mean as many numbers as one likes; authors' files have two bytes for each."""
    task = Description("Some", "some", 1000, 1000)
    rows, starts = np.tile(np.arange(1000), 1000), np.arange(0, 1_000_001, 1000)
    (tmp_path / "some.mat").write_bytes(file(columns(rows, starts, np.ones(10**6), (1000, 1000))))
    with pytest.raises(DataError, match=r"an element of 4000000 bytes, expected \d{5,6} at most"):
        ebp_text.read_mat(tmp_path / "some.mat", task)


def test_a_matrix_too_large_to_be_dense_must_be_sparse(tmp_path):
    task = Description("Some", "some", 1 << 15, 1 << 13)
    (tmp_path / "some.mat").write_bytes(file(matrix("data", 6, (1 << 15, 1 << 13), struct.pack("<II", 9, 1 << 31))))
    with pytest.raises(DataError, match=r"has as data float64 of shape .*, expected a sparse matrix of shape"):
        ebp_text.read_mat(tmp_path / "some.mat", task)
