"""The plain differences of the textbook, and how two derivatives are compared."""

import math

import numpy as np
import pytest

from bnn_ref import gradcheck
from tests.ops.naive import read_only

X = read_only(np.array([[-2.0, -0.6, 0.3, 1.4], [0.2, 1.7, -0.4, -1.3], [0.7, -0.1, 2.2, 0.5]]))


def test_central_difference_is_exact_for_polynomials_of_degree_four():
    for power, slope in ((0, 0), (1, 1), (2, 0), (3, 0), (4, 0)):
        assert gradcheck.central_difference(lambda h, power=power: h**power, 0.5) == slope
    # of degree five it misses by h⁴/30 · 5!
    assert math.isclose(gradcheck.central_difference(lambda h: h**5, 0.5), -4 * 0.5**4, rel_tol=1e-12)
    np.testing.assert_allclose(gradcheck.central_difference(lambda h: np.array([math.sin(h), math.exp(3 * h)])),
                               [1, 3], rtol=1e-10)


def test_one_step_sees_a_kink_within_two_steps():
    """Why the checks choose their own: of relu at 1.99e-4 the plain differences at STEP are no derivative."""
    assert gradcheck.STEP == 1e-4
    near, far = np.array([1.99e-4]), np.array([2.01e-4])
    for x, off in ((near, True), (far, False)):
        comp = gradcheck.numeric_gradient(lambda x: np.maximum(x, 0), x, np.ones(1))
        assert (abs(comp[0] - 1) > 1e-6) == off


def test_numeric_gradient_is_weighted_by_dout_and_leaves_the_argument_alone():
    dout = np.array([2.0, -3.0, 0.5])
    comp = gradcheck.numeric_gradient(lambda w: X @ w, read_only(np.ones((4,))), dout)
    np.testing.assert_allclose(comp, X.T @ dout, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("analytic, numeric, ref", [
    (1.0, 1.0, 0), (2.0, 1.0, 0.5), (1.0, 2.0, 0.5), (-1.0, 1.0, 2), (-4.0, -1.0, 0.75), (0.0, 1e-3, 1),
    (0.0, 1e-4, 0.1), (2e-5, 0.0, 0.02), (np.nan, 1.0, np.inf), (1.0, np.nan, np.inf), (np.inf, np.inf, np.inf),
    (np.inf, 1.0, np.inf)])
def test_relative_error(analytic, numeric, ref):
    comp = gradcheck.relative_error(np.array([analytic]), np.array([numeric]))
    np.testing.assert_allclose(comp, [ref], rtol=1e-12)


def test_the_floor_of_a_comparison_may_be_an_array():
    comp = gradcheck.relative_error(np.array([2e-5, 2e-5, 0.0]), np.zeros(3), np.array([1e-4, 1e-9, 1e-300]))
    np.testing.assert_allclose(comp, [0.2, 1, 0], rtol=1e-12)
