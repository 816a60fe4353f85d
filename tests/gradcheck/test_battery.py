"""Sixty right pairs pass and the same with a mistake each do not, at two points each; battery.py takes twenty."""

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.ops.dense import dense_backward, dense_forward
from tests.gradcheck.battery import PAIRS, named

SEEDS = (0, 11)


def test_there_are_sixty():
    assert len({pair.name for pair in PAIRS}) == 60


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_right_ones_are_accepted_and_wrong_ones_named(pair):
    for seed in SEEDS:
        args = pair.make(np.random.default_rng(seed))
        assert pair.check(args) == ""
        refusal = pair.check(args, pair.spoiled)
        assert refusal and named(pair, args, refusal), refusal or "passed"


def test_a_coordinate_costs_few_passes():
    """What the time of a check is made of: passes through forward; two seconds are enough for 1e5 weights, sampled."""
    passes = []

    def counted(x, w):
        passes.append(1)
        return dense_forward(x, w)

    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 400)), rng.standard_normal((400, 250))
    report = check_op(counted, dense_backward, x, w, sample=50)
    assert report.checked == 100
    assert 6 * report.checked <= len(passes) <= 9 * report.checked
