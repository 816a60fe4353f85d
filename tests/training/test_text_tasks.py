"""Sparse rows: kernels against the dense equations, the file format, folds, and cross-validation of small tasks."""

import inspect
import itertools
import math
import os
import re

import numpy as np
import pytest

from bnn_ref import data, files
from bnn_ref.kernels import ebp_sparse
from bnn_ref.kernels.ebp_sparse import SparseRows
from bnn_ref.ops import ebp, ebp_real, losses
from bnn_ref.ops.binarize import sign
from bnn_ref.training import text_tasks
from tests.ops import naive_ebp
from tests.ops.naive import DTYPES, assert_agree

KERNELS = ("_moments", "descend", "_signed_sums")


@pytest.fixture(params=["compiled", "plain Python"])
def form(request, monkeypatch):
    """Kernels as they come, and as they are without Numba."""
    if request.param == "plain Python":
        for name in KERNELS:
            kernel = getattr(ebp_sparse, name)
            monkeypatch.setattr(ebp_sparse, name, getattr(kernel, "py_func", kernel))


def sparse(dense):
    """SparseRows of a dense array, entry by entry."""
    indptr, indices, values = [0], [], []
    for row in dense:
        for column, value in enumerate(row):
            if value != 0:
                indices.append(column)
                values.append(value)
        indptr.append(len(indices))
    return SparseRows(np.array(indptr, np.int32), np.array(indices, np.int32), np.array(values, dense.dtype),
                      dense.shape[1])


def rows_with_zeros(rng, shape, dtype=np.float64):
    """Two thirds zeros; an empty row and columns that all, one, and none have, where there is room."""
    x = (rng.standard_normal(shape) * (rng.random(shape) < 1 / 3)).astype(dtype)
    x[:, 0] = 1.5
    if shape[0] > 2 and shape[1] > 3:
        x[:, 2:4] = 0
        x[0, 3] = -2
        x[1] = 0
    return x


# rows

def test_rows_are_what_they_were():
    dense = rows_with_zeros(np.random.default_rng(0), (6, 9))
    x = sparse(dense)
    assert len(x) == 6 and x.columns == 9
    chosen = np.array([5, 1, 1, 0])
    np.testing.assert_array_equal(x.rows(chosen), dense[chosen])
    assert x.rows(chosen).dtype == np.float64 and sparse(dense.astype(np.float32)).rows(chosen).dtype == np.float32


GOOD = {"indptr": [0, 2, 2, 3], "indices": [1, 4, 0], "values": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize("change, message", [
    ({"indptr": [0, 2, 2, 4]}, "indptr: expected to rise from 0 to 3, for one row at least"),
    ({"indptr": [1, 2, 2, 3]}, "indptr: expected to rise from 0 to 3"),
    ({"indptr": [0, 3, 2, 3]}, "indptr: expected to rise from 0 to 3"),
    ({"indptr": [0]}, "indptr: expected to rise from 0 to 3"),
    ({"indptr": []}, "indptr: expected to rise from 0 to 3"),
    ({"indices": [1, 5, 0]}, "indices: expected from 0 to 4, got 0 to 5"),
    ({"indices": [-1, 4, 0]}, "indices: expected from 0 to 4, got -1 to 4"),
    ({"indices": [4, 1, 0]}, "indices: expected ascending columns, none twice, within each row"),
    ({"indices": [1, 1, 0]}, "indices: expected ascending columns, none twice, within each row"),
    ({"indptr": [0, 0, 3], "indices": [0, 2, 1]}, "indices: expected ascending columns"),
    ({"indices": [1, 4]}, "indices: expected 3, one for each value, got 2"),
])
def test_rows_that_a_kernel_must_not_see(change, message):
    arrays = {name: np.array(value, np.float64 if name == "values" else np.int32)
              for name, value in (GOOD | change).items()}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        SparseRows(**arrays, columns=5)


def test_a_difference_that_wraps_is_no_rise():
    """In int32 each step of this indptr looks like one upwards; a kernel would read far outside."""
    indptr = np.array([0, 2**31 - 1, -2**31, -1, 3], np.int32)
    assert np.all(np.diff(indptr) >= 0)
    with pytest.raises(ValueError, match=r"^indptr: expected to rise from 0 to 3"):
        SparseRows(indptr, np.arange(3, dtype=np.int32), np.ones(3), 5)


@pytest.mark.parametrize("columns", [0, -1, 2**31, 2**62])
def test_columns_that_no_index_can_name(columns):
    empty = np.zeros(0, np.int32)
    with pytest.raises(ValueError, match=f"^columns: expected from 1 to 2147483647, got {columns}"):
        SparseRows(np.zeros(2, np.int32), empty, np.zeros(0), columns)
    SparseRows(np.zeros(2, np.int32), empty, np.zeros(0), 2**31 - 1)


def test_rows_of_other_types():
    good = {"indptr": np.array([0, 1], np.int32), "indices": np.array([0], np.int32), "values": np.ones(1)}
    for name in ("indptr", "indices"):
        for bad, came in (good[name].astype(np.int64), "dtype int64"), (good[name].tolist(), "list"):
            with pytest.raises(TypeError, match=f"^{name}: expected an array of int32, got {came}$"):
                SparseRows(**(good | {name: bad}), columns=1)
        with pytest.raises(ValueError, match=rf"^{name}: expected shape \(K\), got \(1, \d\)$"):
            SparseRows(**(good | {name: good[name][None]}), columns=1)
    with pytest.raises(TypeError, match=r"^values: expected a float32 or float64 array, got list$"):
        SparseRows(**(good | {"values": [1.0]}), columns=1)
    empty = SparseRows(np.zeros(3, np.int32), np.zeros(0, np.int32), np.zeros(0), 4)
    np.testing.assert_array_equal(empty.rows(np.arange(2)), np.zeros((2, 4)))


@pytest.mark.parametrize("indptr", [[0, 0, 1, 3, 3, 5, 5], [0, 5], [0, 0, 5, 5], [0, 1, 2, 3, 4, 5]])
def test_columns_need_not_ascend_from_one_row_to_the_next(indptr):
    indices = np.zeros(5, np.int32)
    for start, end in itertools.pairwise(indptr):
        indices[start:end] = np.arange(end - start)
    SparseRows(np.array(indptr, np.int32), indices, np.ones(5), 9)
    if max(np.diff(indptr)) > 1:
        with pytest.raises(ValueError, match="ascending"):
            SparseRows(np.array(indptr, np.int32), np.full(5, 3, np.int32), np.ones(5), 9)


@pytest.mark.parametrize("shape", [(1, 1), (6, 9), (9, 6)], ids=str)
def test_transposed_twice_they_are_as_before(shape):
    dense = rows_with_zeros(np.random.default_rng(0), shape, np.float32)
    x = sparse(dense)
    turned = x.transposed()
    np.testing.assert_array_equal(turned.rows(np.arange(shape[1])), dense.T)
    again = turned.transposed()
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(again, name), getattr(x, name), strict=True)
    assert again.columns == x.columns


# kernels

def layer(rng, d, m, dtype=np.float64):
    h = rng.standard_normal((d, m)).astype(dtype)
    h[0, 0] = 0                                           # sign(0) = +1
    return h, np.tanh(h), rng.standard_normal(m).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 9, 4), (5, 40, 7)], ids=str)
def test_forward_agrees_with_the_equations(shape, dtype, form):
    n, d, m = shape
    rng = np.random.default_rng(1)
    dense, (h, w_mean, b) = rows_with_zeros(rng, (n, d), dtype), layer(rng, d, m, dtype)
    chosen = rng.integers(0, n, 4)
    before = [array.copy() for array in (h, w_mean, b)]
    z, _ = ebp_sparse.ebp_first_dense_forward(sparse(dense), chosen, w_mean, b)
    assert_agree(z, ebp.ebp_first_dense_forward(dense[chosen], h, b)[0], dtype)
    mu, sigma = naive_ebp.layer(True, naive_ebp.binary, dense[chosen], (h,), b)
    assert_agree(z, mu / sigma, dtype)
    s, cache = ebp_sparse.ebp_map_dense_forward(sparse(dense), chosen, h, b)
    assert cache is None
    assert_agree(s, ebp.ebp_map_dense_forward(dense[chosen], h, b)[0], dtype)
    for array, old in zip((h, w_mean, b), before):
        np.testing.assert_array_equal(array, old)


def test_steps_agree_with_the_equations_on_every_weight(form):
    """Five minibatches, in which examples share columns and one occurs twice: each step starts from the old tanh h."""
    rng = np.random.default_rng(2)
    dense, (h, w_mean, b) = rows_with_zeros(rng, (8, 12)), layer(rng, 12, 5)
    x, ref_h, ref_b = sparse(dense), h.copy(), b.copy()
    for _ in range(5):
        chosen = rng.integers(0, 8, 4)
        chosen[1] = chosen[0]
        dz = rng.standard_normal((4, 5))
        old_dz = dz.copy()
        _, cache = ebp_sparse.ebp_first_dense_forward(x, chosen, w_mean, b)
        assert ebp_sparse.ebp_first_dense_step_in_place(h, w_mean, b, dz, cache) is None
        np.testing.assert_array_equal(dz, old_dz)
        _, dh, db = ebp.ebp_first_dense_backward(dz, ebp.ebp_first_dense_forward(dense[chosen], ref_h, ref_b)[1])
        ref_h, ref_b = ref_h - dh, ref_b - db
        np.testing.assert_allclose(h, ref_h, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(b, ref_b, rtol=1e-10, atol=1e-13)
        np.testing.assert_array_equal(w_mean, np.tanh(h))
    np.testing.assert_array_equal(x.rows(np.arange(8)), dense)


def test_weights_of_absent_inputs_are_not_even_read():
    rng = np.random.default_rng(3)
    dense = rows_with_zeros(rng, (4, 9), np.float32)
    dense[:, 6] = 0
    h, w_mean, b = layer(rng, 9, 5, np.float32)
    absent = ~np.any(dense[[0, 3]], axis=0)
    assert 2 < absent.sum() < 8
    h[absent], w_mean[absent] = np.nan, np.inf
    z, cache = ebp_sparse.ebp_first_dense_forward(sparse(dense), np.array([0, 3]), w_mean, b)
    ebp_sparse.ebp_first_dense_step_in_place(h, w_mean, b, np.ones_like(z), cache)
    s, _ = ebp_sparse.ebp_map_dense_forward(sparse(dense), np.array([0, 3]), h, b)
    assert np.isfinite(z).all() and np.isfinite(s).all() and np.isfinite(b).all()
    assert np.isfinite(h[~absent]).all() and np.isnan(h[absent]).all() and np.isinf(w_mean[absent]).all()
    np.testing.assert_array_equal(w_mean[~absent], np.tanh(h[~absent]))
    assert h.dtype == w_mean.dtype == b.dtype == z.dtype == s.dtype == np.float32


def test_kernel_doors():
    rng = np.random.default_rng(4)
    x, (h, w_mean, b) = sparse(rows_with_zeros(rng, (4, 9))), layer(rng, 9, 5)
    chosen = np.array([0, 3])
    for function, name, weights in ((ebp_sparse.ebp_first_dense_forward, "w_mean", w_mean),
                                    (ebp_sparse.ebp_map_dense_forward, "h", h)):
        for bad, error, message in (
                (weights[:8], ValueError, f"{name}: expected 9 rows, one for each column of x, got 8"),
                (np.asfortranarray(weights), ValueError, f"{name}: expected a C-contiguous array, got another order"),
                (weights.astype(np.float32), TypeError, f"{name}: expected float64 like values, got float32"),
                (weights[0], ValueError, rf"{name}: expected shape \(D, M\), got \(5,\)")):
            with pytest.raises(error, match=f"^{message}$"):
                function(x, chosen, bad, b)
        with pytest.raises(ValueError, match=r"^b: expected shape \(M=5\), got \(4,\)$"):
            function(x, chosen, weights, b[:4])
        for bad, came in (np.array([0, 4]), "0 to 4"), (np.array([-1, 0]), "-1 to 0"):
            with pytest.raises(ValueError, match=rf"^chosen: expected row numbers from 0 to 3, got {came}$"):
                function(x, bad, weights, b)
        for bad, came in ([0, 1], "list"), (chosen.astype(np.int32), "dtype int32"):
            with pytest.raises(TypeError, match=f"^chosen: expected an array of int64, got {came}$"):
                function(x, bad, weights, b)
        with pytest.raises(ValueError, match=r"^chosen: expected shape \(N\), got \(1, 2\)$"):
            function(x, chosen[None], weights, b)
    z, cache = ebp_sparse.ebp_first_dense_forward(x, chosen, w_mean, b)
    step = ebp_sparse.ebp_first_dense_step_in_place
    for arguments, message in (
            ((h[:8], w_mean, b, z), "h: expected 9 rows"), ((h, w_mean[:8], b, z), "w_mean: expected shape"),
            ((np.asfortranarray(h), w_mean, b, z), "h: expected a C-contiguous"),
            ((h, w_mean, b[:4], z), "b: expected shape"), ((h, w_mean, b, z[:1]), r"dz: expected shape \(N=2, M=5\)")):
        with pytest.raises(ValueError, match=f"^{message}"):
            step(*arguments, cache)


# the file format

@pytest.fixture
def small(monkeypatch):
    """A known task of five examples and six features."""
    monkeypatch.setattr(text_tasks, "TASKS", {"small": text_tasks.Description("Small", "small_source", 5, 6)})


def write(folder, **changes):
    """folder/ebp_text/small.npz as the format wants it, but for the changes; None leaves an array out."""
    x = sparse(rows_with_zeros(np.random.default_rng(5), (5, 6), np.float32).T)
    arrays = {"indptr": x.indptr, "indices": x.indices, "values": x.values, "examples": np.int64(5),
              "labels": np.array([0, 1, 1, 0, 1])} | changes
    path = folder / "ebp_text" / "small.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_save_and_load(tmp_path, small):
    dense = rows_with_zeros(np.random.default_rng(5), (5, 6), np.float32)
    path = tmp_path / "new" / "ebp_text" / "small.npz"
    text_tasks.save_task(path, sparse(dense), np.array([0, 1, 1, 0, 1], np.uint8))
    assert os.listdir(path.parent) == ["small.npz"]
    first = path.read_bytes()
    for source, folder in (("small", tmp_path / "new"), (path, None)):
        task = text_tasks.load_task(source, folder)
        assert task.name == str(source) and len(task.x) == 5
        np.testing.assert_array_equal(task.x.rows(np.arange(5)), dense)
        assert task.x.values.dtype == np.float32 and task.labels.dtype == np.int64
        assert task.labels.tolist() == [0, 1, 1, 0, 1]
    assert message_of(text_tasks.save_task, path, task.x, task.labels) == (
        f"{path} is there already: choose another name, or give replace=True to write over it")
    text_tasks.save_task(path, task.x, task.labels, replace=True)
    assert path.read_bytes() == first
    with np.load(write(tmp_path), allow_pickle=False) as arrays:
        assert sorted(arrays) == sorted(text_tasks.KEYS)          # what the docstring says, written without save_task
    assert text_tasks.load_task("small", tmp_path).labels.tolist() == [0, 1, 1, 0, 1]


def message_of(function, *arguments):
    with pytest.raises(data.DataError) as caught:
        function(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


X = sparse(rows_with_zeros(np.random.default_rng(5), (5, 6), np.float32).T)
ONE_MORE = {"indptr": np.append(X.indptr, X.indptr[-1])}               # of which nothing is known


@pytest.mark.parametrize("changes, words", [
    ({"labels": None}, "labels missing, found"),
    ({"labels": np.array([0, 1, 2, 0, 1])}, "labels must be 5 integers 0 or 1, got int64 of shape (5,)"),
    ({"labels": np.array([-1, 1, 1, -1, 1])}, "labels must be 5 integers 0 or 1"),
    ({"labels": np.zeros(4, int)}, "labels must be 5 integers 0 or 1, got int64 of shape (4,)"),
    ({"labels": np.zeros(5)}, "labels must be 5 integers 0 or 1, got float64 of shape (5,)"),
    ({"values": np.zeros(1)}, "values must be finite numbers, float32, got float64"),
    ({"values": np.full(1, np.nan, np.float32)}, "values must be finite"),
    ({"values": np.array([{}])}, "pickled objects, which are never read"),
    ({"indices": np.zeros(1, np.int32)}, "indices: expected"),
    ({"indptr": np.zeros(7)}, "indptr must be integers from 0 to 2147483647, got float64"),
    ({"indptr": np.full(7, 2**32)}, "indptr must be integers from 0 to 2147483647, got int64"),
    ({"indptr": np.full(7, -1)}, "indptr must be integers from 0 to 2147483647, got int64"),
    ({"indptr": np.zeros((1, 7), int)}, "indptr: expected "),
    ({"indices": np.full(12, 2**32)}, "indices must be integers from 0 to 2147483647, got int64"),
    ({"examples": np.array([5])}, "examples must be one integer, got int64 of shape (1,)"),
    ({"examples": np.float64(5)}, "examples must be one integer, got float64 of shape ()"),
    ({"examples": np.int64(2**40)}, "labels must be 1099511627776 integers 0 or 1"),
    ({"examples": np.int64(1), "labels": np.array([1])}, "indices: expected from 0 to 0, got 0 to "),
    ({"indptr": np.array([0]), "indices": np.zeros(0, int), "values": np.zeros(0, np.float32)}, "for one row at least"),
    (ONE_MORE, "has 5 examples of 7 features, expected 5 of 6; delete it and run `python data_scripts/ebp_text.py` "
               "again"),
])
def test_files_that_are_not_in_the_format(changes, words, tmp_path, small):
    path = write(tmp_path, **changes)
    message = message_of(text_tasks.load_task, "small", tmp_path)
    assert message.startswith(f"{path}: ") and words in message
    if "7 features" in words:
        assert text_tasks.load_task(path).x.columns == 7           # of a file of one's own nothing is known
    else:
        assert text_tasks.HELP in message


def test_a_known_task_may_be_as_large_as_if_nothing_were_0(tmp_path, monkeypatch):
    """Its file is small, for a feature is the same in nearly all examples; of one's own file nobody knows."""
    monkeypatch.setattr(files, "SMALL", 1000)
    monkeypatch.setattr(text_tasks, "TASKS", {"dense": text_tasks.Description("Dense", "dense", 300, 400)})
    path = tmp_path / "ebp_text" / "dense.npz"
    text_tasks.save_task(path, sparse(np.ones((300, 400), np.float32)), np.arange(300) % 2)
    assert 20 * path.stat().st_size < 4 * 300 * 400
    assert len(text_tasks.load_task("dense", tmp_path).x.values) == 300 * 400
    assert "times the file's" in message_of(text_tasks.load_task, path)


def test_absent_unknown_and_damaged(tmp_path, small, monkeypatch):
    path = tmp_path / "ebp_text" / "small.npz"
    assert message_of(text_tasks.load_task, "small", tmp_path) == (
        f"{path} is not there; `python data_scripts/ebp_text.py --out {tmp_path}` brings it")
    assert message_of(text_tasks.load_task, tmp_path / "no.npz") == f"{tmp_path / 'no.npz'} is not there"
    assert message_of(text_tasks.load_task, "mnist") == (
        "unknown text task 'mnist': choose small or a path that ends in .npz")
    write(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    assert message_of(text_tasks.load_task, "small", tmp_path).startswith(f"{path}: cannot be read as an .npz file")
    monkeypatch.setenv("BNN_REF_DATA", str(tmp_path))
    write(tmp_path)
    assert text_tasks.load_task("small").name == "small"


def test_pictures_are_not_texts_and_texts_not_pictures(tmp_path, small):
    path = write(tmp_path)
    message = message_of(data.load, path)
    assert "train_x" in message and "indptr" in message
    images, labels = np.zeros((100, 1, 8, 8), np.uint8), np.arange(100) % 10
    np.savez(tmp_path / "pictures.npz", train_x=images, train_y=labels, test_x=images, test_y=labels)
    message = message_of(text_tasks.load_task, tmp_path / "pictures.npz")
    assert "indptr" in message and "train_x" in message and "not a text task" in message


def test_save_refuses_what_load_would(tmp_path):
    x = sparse(rows_with_zeros(np.random.default_rng(5), (5, 6), np.float32))
    labels = np.array([0, 1, 1, 0, 1])
    path = tmp_path / "new" / "mine.npz"
    assert "labels must be 5 integers 0 or 1" in message_of(text_tasks.save_task, path, x, labels + 1)
    double = SparseRows(x.indptr, x.indices, x.values.astype(float), 6)
    assert "values must be" in message_of(text_tasks.save_task, path, double, labels)
    assert message_of(text_tasks.save_task, tmp_path / "mine.txt", x, labels).endswith("must end in .npz")
    assert not path.parent.exists()


def test_the_table_of_tasks():
    assert [(task.title, task.examples, task.features) for task in text_tasks.TASKS.values()] == [
        ("Reuters I6", 2000, 11463), ("Reuters I8", 2000, 12167), ("Spam d0", 2500, 26580), ("Spam d1", 2500, 27523),
        ("20News comp vs HW", 1943, 29409), ("20News elec vs med", 1971, 38699), ("Amazon books", 3880, 221972),
        ("Amazon DVD", 3880, 238739)]
    assert list(text_tasks.TASKS) == ["reuters_i6", "reuters_i8", "spam_d0", "spam_d1", "news_comp_hw", "news_elec_med",
                                "amazon_books", "amazon_dvd"]
    assert [task.source for task in text_tasks.TASKS.values()] == [
        "reuters_I654_I65", "reuters_I81_I83", "domain0", "domain1", "20News_comp", "20News_elec", "apparel_books",
        "apparel_dvd"]


# training

def two_topics(rng, n, features=40, common=30):
    """Counts of words: the last ten tell the label, five each; every example has some of them."""
    labels = rng.integers(0, 2, n)
    x = rng.poisson(0.2, (n, features)).astype(np.float32)
    x[:, common:] = 0
    for i, label in enumerate(labels):
        x[i, common + 5 * label + rng.choice(5, 2, replace=False)] = 1
    return text_tasks.TextTask("topics", sparse(x), labels)


def test_a_step_is_that_of_the_dense_network():
    rng = np.random.default_rng(6)
    dense = rows_with_zeros(rng, (9, 14))
    task = text_tasks.TextTask("", sparse(dense), rng.integers(0, 2, 9))
    h1, h2 = rng.standard_normal((14, 4)), rng.standard_normal((4, 1))
    net = text_tasks.Network(h1.copy(), np.tanh(h1), np.ones(4), h2.copy(), np.full(1, 0.5))
    hs, biases = [h1, h2], [np.ones(4), np.full(1, 0.5)]
    for _ in range(4):
        chosen = rng.permutation(9)[:3]
        z1 = ebp.ebp_first_dense_forward(dense[chosen], hs[0], biases[0])[0]
        z2 = ebp.ebp_dense_forward(ebp.mean_sign_forward(z1)[0], hs[1], biases[1])[0]
        loss, net = text_tasks.train_step(net, task, chosen)
        np.testing.assert_allclose(loss, naive_ebp.log_likelihood(z2, task.labels[chosen]), rtol=1e-10)
        hs, biases = naive_ebp.ebp_step(dense[chosen], [[2 * label - 1] for label in task.labels[chosen]], hs, biases)
        for comp, ref in zip((net.h1, net.h2, net.b1, net.b2, net.w1), (*hs, *biases, np.tanh(hs[0]))):
            np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-12)


def test_a_step_and_answers_with_real_weights_are_those_of_the_dense_network():
    rng = np.random.default_rng(6)
    dense = rows_with_zeros(rng, (9, 14))
    task = text_tasks.TextTask("", sparse(dense), rng.integers(0, 2, 9))
    h1, h2, b1, b2 = rng.standard_normal((14, 4)), rng.standard_normal((4, 1)), np.ones(4), np.full(1, 0.5)
    own = h1.copy()
    net = text_tasks.Network(own, own, b1.copy(), h2.copy(), b2.copy(), text_tasks.WEIGHTS["real"])
    for _ in range(4):
        chosen = rng.permutation(9)[:3]
        z1, cache1 = ebp_real.ebp_real_first_dense_forward(dense[chosen], h1, b1)
        a1, cache_a1 = ebp.mean_sign_forward(z1)
        z2, cache2 = ebp_real.ebp_real_dense_forward(a1, h2, b2)
        expected, cache = losses.log_likelihood_forward(z2, task.labels[chosen])
        da1, dh2, db2 = ebp_real.ebp_real_dense_backward(losses.log_likelihood_backward(1.0, cache), cache2)
        _, dh1, db1 = ebp_real.ebp_real_first_dense_backward(ebp.mean_sign_backward(da1, cache_a1), cache1)
        h1, b1, h2, b2 = h1 - dh1, b1 - db1, h2 - dh2, b2 - db2
        loss, net = text_tasks.train_step(net, task, chosen)
        np.testing.assert_allclose(loss, expected, rtol=1e-10)
        for comp, ref in zip((net.h1, net.w1, net.b1, net.h2, net.b2), (h1, h1, b1, h2, b2)):
            np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-12)
    z1 = ebp_real.ebp_real_first_dense_forward(dense, h1, b1)[0]
    z2 = ebp_real.ebp_real_dense_forward(ebp.mean_sign_forward(z1)[0], h2, b2)[0]
    s2 = sign(dense @ h1 + b1) @ h2 + b2
    p, d = text_tasks.answers(net, task, np.arange(9))
    assert p.tolist() == (z2[:, 0] >= 0).tolist() and d.tolist() == (s2[:, 0] >= 0).tolist()


def test_init_is_small_random_and_float32():
    net = text_tasks.init(np.random.default_rng(7), 300, 50)
    arrays = net.h1, net.w1, net.b1, net.h2, net.b2
    assert [array.shape for array in arrays] == [(300, 50), (300, 50), (50,), (50, 1), (1,)]
    assert all(array.dtype == np.float32 for array in arrays)
    assert np.abs(net.h1).max() <= math.sqrt(3 / 300) and np.abs(net.h2).max() <= math.sqrt(3 / 50)
    assert len(np.unique(net.h1)) > 14_000 and not net.b1.any() and not net.b2.any()
    np.testing.assert_array_equal(net.w1, np.tanh(net.h1))


def test_answers_and_error_rates_by_hand(monkeypatch):
    """Two features, two units, one output. P and D disagree where a mean is far from its sign."""
    dense = np.array([[1.0, 0], [0, 1], [1, 1], [-1, 0]])
    h1 = np.array([[2.0, 0.1], [-1, 2]])
    net = text_tasks.Network(h1, np.tanh(h1), np.array([0.0, -0.5]), np.array([[1.5], [0.01]]), np.array([0.2]))
    task = text_tasks.TextTask("", sparse(dense), np.array([1, 1, 0, 0]))
    z1 = ebp.ebp_first_dense_forward(dense, h1, net.b1)[0]
    z2 = ebp.ebp_dense_forward(ebp.mean_sign_forward(z1)[0], net.h2, net.b2)[0][:, 0]
    s2 = (sign(dense @ sign(h1) + net.b1) @ np.ones((2, 1)) + 0.2)[:, 0]
    p, d = text_tasks.answers(net, task, np.arange(4))
    assert p.dtype == d.dtype == np.int64
    assert p.tolist() == (z2 >= 0).tolist() == [True, False, True, False]
    assert d.tolist() == (s2 >= 0).tolist() == [True, True, True, False]
    assert text_tasks.error_rates(net, task, np.arange(4)) == (50, 25)
    assert text_tasks.error_rates(net, task, np.array([3, 1, 2])) == pytest.approx((200 / 3, 100 / 3))
    monkeypatch.setattr(text_tasks, "EVALUATION_BATCH", 2)
    assert text_tasks.error_rates(net, task, np.array([3, 1, 2])) == pytest.approx((200 / 3, 100 / 3))


def test_a_tie_is_answered_with_one():
    net = text_tasks.Network(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1), np.zeros((1, 1)), np.zeros(1))
    task = text_tasks.TextTask("", sparse(np.ones((1, 1))), np.array([1]))
    assert text_tasks.answers(net, task, np.array([0]))[0] == [1]
    tied = text_tasks.Network(np.ones((1, 1)), np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), -np.ones(1))
    assert text_tasks.answers(tied, task, np.array([0]))[1] == [1]


@pytest.mark.parametrize("examples, folds, edges", [
    (16, 8, [0, 2, 4, 6, 8, 10, 12, 14, 16]), (2500, 8, [0, 313, 625, 938, 1250, 1563, 1875, 2188, 2500]),
    (1943, 8, [0, 243, 486, 729, 972, 1214, 1457, 1700, 1943]), (3, 3, [0, 1, 2, 3])])
def test_folds_are_those_of_the_authors(examples, folds, edges):
    for fold in range(folds):
        training, test = text_tasks.fold_examples(examples, folds, fold)
        assert test.tolist() == list(range(edges[fold], edges[fold + 1]))
        assert training.tolist() == [i for i in range(examples) if not edges[fold] <= i < edges[fold + 1]]


def test_cross_validation_learns_reports_and_repeats(monkeypatch):
    task = two_topics(np.random.default_rng(8), 240)
    ticks = []
    result = text_tasks.cross_validate(task, epochs=3, folds=4, hidden=30, seed=1,
                                       tick=lambda *args: ticks.append(args))
    assert result.p.shape == result.d.shape == (4, 3)
    assert ticks == [(fold + 1, epoch + 1, result.p[fold, epoch], result.d[fold, epoch])
                     for fold in range(4) for epoch in range(3)]
    assert result.final == (result.p[:, 2].mean(), result.d[:, 2].mean())
    assert result.final[0] < 5 and result.final[1] < 20      # chance is 50
    again = text_tasks.cross_validate(task, epochs=3, folds=4, hidden=30, seed=1)
    np.testing.assert_array_equal(again.p, result.p)
    np.testing.assert_array_equal(again.d, result.d)
    other = text_tasks.cross_validate(task, epochs=1, folds=4, hidden=30, seed=2)
    assert not np.array_equal(other.d[:, 0], result.d[:, 0])


def test_every_fold_draws_for_itself(monkeypatch):
    """Its first weights, and the order of the examples in each of its epochs; and so does every seed."""
    weights, orders = [], []
    init = text_tasks.init
    monkeypatch.setattr(text_tasks, "init", lambda *args: weights.append(init(*args).h1.tobytes()) or init(*args))
    monkeypatch.setattr(text_tasks, "train_step", lambda net, task, chosen: orders.append(chosen) or (0.0, net))
    task = two_topics(np.random.default_rng(9), 20)
    for seed in (0, 1):
        text_tasks.cross_validate(task, epochs=2, folds=4, batch=20, hidden=3, seed=seed)
    assert len(weights) == len(set(weights)) == 8
    # The folds have other examples each: compared are the places that they were moved to.
    moves = {tuple(np.argsort(np.argsort(order)).tolist()) for order in orders}
    assert len(orders) == len(moves) == 16


def test_the_result_is_the_last_epoch_and_the_best_stands_beside_it():
    result = text_tasks.CrossValidation(np.array([[9.0, 1, 4], [2, 6, 4]]), np.array([[8.0, 6, 9], [8, 10, 9]]))
    assert result.final == (4, 9)
    assert result.best == (3.5, 8)


def test_no_test_example_is_ever_trained_on(monkeypatch):
    task = two_topics(np.random.default_rng(9), 21)
    seen, sizes, networks = [], [], []
    step, errors, init = text_tasks.train_step, text_tasks.error_rates, text_tasks.init

    def recorded_step(net, task, chosen):
        seen.append(set(chosen.tolist()))
        sizes.append(len(chosen))
        return step(net, task, chosen)

    def recorded_errors(net, task, chosen):
        trained = set().union(*seen)
        assert trained.isdisjoint(chosen) and trained | set(chosen.tolist()) == set(range(21))
        assert sum(sizes) == len(trained)                    # each once
        order = [sorted(part) for part in seen]
        assert order != sorted(order)                        # shuffled
        seen.clear()
        sizes.clear()
        return errors(net, task, chosen)

    def recorded_init(*args):
        networks.append(args[1:])
        return init(*args)

    for name, function in (("train_step", recorded_step), ("error_rates", recorded_errors), ("init", recorded_init)):
        monkeypatch.setattr(text_tasks, name, function)
    text_tasks.cross_validate(task, epochs=2, folds=3, batch=4, hidden=6)
    assert networks == [(40, 6, "binary")] * 3
    monkeypatch.setattr(text_tasks, "train_step", lambda net, task, chosen: (sizes.append(len(chosen)), step(
        net, task, chosen))[1])
    monkeypatch.setattr(text_tasks, "error_rates", errors)
    text_tasks.cross_validate(task, epochs=1, folds=2)
    assert sizes == [10, 10, 1]                            # 10 and 11 training examples
    assert networks[-1] == (40, 120, "binary")


def test_defaults_are_those_of_the_paper():
    defaults = inspect.signature(text_tasks.cross_validate).parameters
    assert [defaults[name].default for name in ("epochs", "folds", "batch", "hidden")] == [3, 8, 10, 120]


@pytest.mark.parametrize("folds", [1, 22])
def test_too_few_examples(folds):
    task = two_topics(np.random.default_rng(9), 21)
    with pytest.raises(ValueError, match=f"^folds: expected from 2 to 21, the number of examples, got {folds}$"):
        text_tasks.cross_validate(task, folds=folds)


@pytest.mark.skipif("BNN_REF_EBP_TEXT" not in os.environ, reason="BNN_REF_EBP_TEXT (a data folder) is not set")
def test_amazon_books_reaches_the_paper():
    """Published, the best of three epochs: P 2.01, D 2.45."""
    p, d = text_tasks.cross_validate(text_tasks.load_task("amazon_books", os.environ["BNN_REF_EBP_TEXT"])).final
    assert p < 2.5 and d < 3
