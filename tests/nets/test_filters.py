"""Distinct slices of signs: against sets of tuples, and chance against its formula and against drawing."""

import numpy as np
import pytest

from bnn_ref.nets import filters
from tests.nets import naive_costs


def weights(seed=0, shape=(40, 3, 2, 2), dtype=np.float32):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape).astype(dtype)
    w[0] = 0                                          # sign(0) = +1
    w[1, :, 0] = -0.0
    return w


def test_a_code_is_a_number_whose_bit_j_is_the_sign_of_entry_j():
    w = -np.ones((3, 2, 3, 3), np.float32)
    w[0, 1, 0, 0] = 0.5
    w[1, 0, 2, 2] = 0
    w[2] = 1
    w[2, 1, 0, 1] = -1
    codes = filters.slice_codes(w)
    np.testing.assert_array_equal(codes, [[0, 1], [256, 0], [511, 509]])
    assert codes.dtype == np.int64


@pytest.mark.parametrize("shape", [(40, 3, 2, 2), (5, 2, 1, 1), (9, 1, 3, 2), (7, 4, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_are_those_of_sets(shape, dtype):
    w = weights(shape=shape, dtype=dtype)
    w.flags.writeable = False
    found = filters.unique_filters(w)
    m, c = shape[:2]
    assert found.codes.tolist() == [[naive_costs.code(w[i, j]) for j in range(c)] for i in range(m)]
    for merged, name in ((False, "plain"), (True, "merged")):
        channels = [naive_costs.distinct_fraction(w[:, j], merged) for j in range(c)]
        assert getattr(found.by_channel, name) == pytest.approx(sum(channels) / c, rel=1e-12)
        everything = [w[i, j] for i in range(m) for j in range(c)]
        assert getattr(found.by_layer, name) == pytest.approx(naive_costs.distinct_fraction(everything, merged),
                                                              rel=1e-12)


def test_by_hand():
    a = np.array([[1, 1], [-1, -1.0]])
    b = np.array([[1, -1], [1, -1.0]])
    w = np.stack([np.stack([a, b]), np.stack([-a, b]), np.stack([a, a]), np.stack([b, -b])])       # M 4, C 2
    found = filters.unique_filters(w)
    # on input 0: a, -a, a, b; on input 1: b, b, a, -b; in the layer a, -a, b, -b
    assert (found.by_channel.plain, found.by_channel.merged) == (0.75, 0.5)
    assert (found.by_layer.plain, found.by_layer.merged) == (0.5, 0.25)
    assert found.by_layer.plain_chance == pytest.approx(16 * (1 - (15 / 16) ** 8) / 8, rel=1e-12)
    assert found.by_layer.merged_chance == pytest.approx(8 * (1 - (7 / 8) ** 8) / 8, rel=1e-12)
    assert found.by_channel.plain_chance == pytest.approx(16 * (1 - (15 / 16) ** 4) / 4, rel=1e-12)
    assert found.by_channel.merged_chance == pytest.approx(8 * (1 - (7 / 8) ** 4) / 4, rel=1e-12)


@pytest.mark.parametrize(("m", "plain", "merged"), [(128, 88.6, 78.8), (256, 78.8, 63.3), (512, 63.2, 43.3)])
def test_chance_of_3_by_3(m, plain, merged):
    found = filters.unique_filters(np.ones((m, 1, 3, 3)))
    assert found.by_channel.plain_chance == pytest.approx(512 * (1 - (511 / 512) ** m) / m, rel=1e-12)
    assert found.by_channel.merged_chance == pytest.approx(256 * (1 - (255 / 256) ** m) / m, rel=1e-12)
    assert 100 * found.by_channel.plain_chance == pytest.approx(plain, abs=0.05)
    assert 100 * found.by_channel.merged_chance == pytest.approx(merged, abs=0.05)
    assert found.by_channel.plain == found.by_channel.merged == 1 / m


def test_random_slices_are_at_the_chance_level():
    # 400 channels of 100 slices: the mean fraction has a standard deviation below 0.0016 (measured over 20 seeds
    # 0.0012), so 0.01 is more than 6 of them: a false alarm in 10^8 seeds.
    found = filters.unique_filters(np.random.default_rng(3).standard_normal((100, 400, 3, 3)))
    assert found.by_channel.plain == pytest.approx(found.by_channel.plain_chance, abs=0.01)
    assert found.by_channel.merged == pytest.approx(found.by_channel.merged_chance, abs=0.01)
    assert abs(found.by_channel.plain_chance - found.by_channel.merged_chance) > 0.05


def test_chance_of_one_kind_and_of_very_many():
    assert filters.chance(5, 1) == 0.2
    assert filters.chance(1, 512) == pytest.approx(1, rel=1e-12)
    assert filters.chance(1000, 2**62) == pytest.approx(1, rel=1e-12)


def test_the_largest_slices():
    w = np.ones((2, 1, 2, 31), np.float32)
    w[1, 0, 1, 30] = -1
    assert filters.slice_codes(w).tolist() == [[2**62 - 1], [2**61 - 1]]


@pytest.mark.parametrize(("w", "error", "message"), [
    (np.ones((3, 3), np.float32), ValueError, r"w: expected shape \(M, C, KH, KW\), got \(3, 3\)"),
    (np.ones((2, 2, 3, 3), np.int32), TypeError, "w: expected a float32 or float64 array, got dtype int32"),
    (np.ones((2, 2, 7, 9)), ValueError, r"w: expected slices of 1 to 62 entries, .*got shape \(2, 2, 7, 9\)"),
    (np.ones((0, 2, 3, 3)), ValueError, r"at least one of them, got shape \(0, 2, 3, 3\)"),
    (np.ones((2, 0, 3, 3)), ValueError, r"at least one of them, got shape \(2, 0, 3, 3\)"),
])
def test_what_does_not_fit(w, error, message):
    with pytest.raises(error, match=message):
        filters.unique_filters(w)
