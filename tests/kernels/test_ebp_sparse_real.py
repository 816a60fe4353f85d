"""The first layer of real weights on sparse rows, against the dense equations."""

import numpy as np
import pytest

from bnn_ref.kernels import ebp_sparse, ebp_sparse_real
from bnn_ref.ops import ebp_real
from tests.ops.naive import DTYPES, assert_agree
from tests.training.test_text_tasks import rows_with_zeros, sparse


@pytest.fixture(params=["compiled", "plain Python"])
def form(request, monkeypatch):
    """Kernels as they come, and as they are without Numba."""
    if request.param == "plain Python":
        for module, name in ((ebp_sparse_real, "_moments"), (ebp_sparse_real, "descend"), (ebp_sparse, "_transpose")):
            kernel = getattr(module, name)
            monkeypatch.setattr(module, name, getattr(kernel, "py_func", kernel))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 9, 4), (5, 40, 7)], ids=str)
def test_forward_step_and_map_agree_with_the_equations(shape, dtype, form):
    n, d, m = shape
    rng = np.random.default_rng(1)
    dense, h, b = rows_with_zeros(rng, (n, d), dtype), rng.standard_normal((d, m)).astype(dtype), np.ones(m, dtype)
    chosen, dz = rng.integers(0, n, 4), rng.standard_normal((4, m)).astype(dtype)
    z, cache = ebp_sparse_real.ebp_real_first_dense_forward(sparse(dense), chosen, h, b)
    ref, ref_cache = ebp_real.ebp_real_first_dense_forward(dense[chosen], h, b)
    assert_agree(z, ref, dtype)
    s, nothing = ebp_sparse_real.ebp_real_map_dense_forward(sparse(dense), chosen, h, b)
    assert nothing is None
    assert_agree(s, ebp_real.ebp_real_map_dense_forward(dense[chosen], h, b)[0], dtype)
    _, dh, db = ebp_real.ebp_real_first_dense_backward(dz, ref_cache)
    expected = h - dh, b - db
    assert ebp_sparse_real.ebp_real_first_dense_step_in_place(h, b, dz, cache) is None
    assert_agree(h, expected[0], dtype)
    assert_agree(b, expected[1], dtype)


def test_weights_of_absent_inputs_are_not_even_read():
    rng = np.random.default_rng(3)
    dense = rows_with_zeros(rng, (4, 9), np.float32)
    h, b = rng.standard_normal((9, 5)).astype(np.float32), np.ones(5, np.float32)
    absent = ~np.any(dense[[0, 3]], axis=0)
    assert 2 < absent.sum() < 8
    h[absent] = np.nan
    z, cache = ebp_sparse_real.ebp_real_first_dense_forward(sparse(dense), np.array([0, 3]), h, b)
    ebp_sparse_real.ebp_real_first_dense_step_in_place(h, b, np.ones_like(z), cache)
    assert np.isfinite(z).all() and np.isfinite(h[~absent]).all() and np.isnan(h[absent]).all()


def test_doors():
    rng = np.random.default_rng(4)
    x, h, b = sparse(rows_with_zeros(rng, (4, 9))), rng.standard_normal((9, 5)), np.ones(5)
    chosen = np.array([0, 3])
    for function in (ebp_sparse_real.ebp_real_first_dense_forward, ebp_sparse_real.ebp_real_map_dense_forward):
        with pytest.raises(ValueError, match=r"^h: expected 9 rows, one for each column of x, got 8$"):
            function(x, chosen, h[:8].copy(), b)
        with pytest.raises(ValueError, match=r"^chosen: expected row numbers from 0 to 3"):
            function(x, np.array([4]), h, b)
    z, cache = ebp_sparse_real.ebp_real_first_dense_forward(x, chosen, h, b)
    for arguments, message in (((h[:8].copy(), b, z), "h: expected 9 rows"), ((h, b[:4], z), "b: expected shape"),
                               ((h, b, z[:1]), r"(dz|rstd): expected shape")):
        with pytest.raises(ValueError, match=f"^{message}"):
            ebp_sparse_real.ebp_real_first_dense_step_in_place(*arguments, cache)
