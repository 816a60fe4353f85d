"""Steps that follow the function, errors that are estimated, kinks that are found: nothing is refused for its scale,
and nothing wrong passes for it.
"""

import numpy as np
import pytest

from bnn_ref.gradcheck import check_op
from bnn_ref.gradcheck.line import Line
from bnn_ref.ops.dense import dense_backward, dense_forward
from bnn_ref.ops.relu import relu_backward, relu_forward

SEEDS = range(5)


def refused(match, forward, backward, *args, **settings):
    with pytest.raises(AssertionError, match=match):
        check_op(forward, backward, *args, **settings)


def elementwise(f, slope):
    return (lambda x: (f(x), x)), lambda dout, x: dout * slope(x)


# the step follows the size and the curvature


@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_up_to_255(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.integers(0, 256, (1, 784)).astype(float), rng.standard_normal((784, 10))
    assert check_op(dense_forward, dense_backward, x, w, sample=200).checked == 400


@pytest.mark.parametrize("scale", [1e-1, 1e-3, 1e-4, 1e-8, 1e-150])
def test_log_near_zero(scale):
    x = scale * np.array([1.0, 1.5, 4.0])
    for args in (x, np.array([scale, 1.0, 2.0])):
        forward, backward = elementwise(np.log, lambda x: 1 / x)
        assert check_op(forward, backward, args).checked == 3
        refused(r"^argument 0, index \(0,\)", forward, lambda dout, x: dout / x * [1 + 1e-5, 1, 1], args)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sum_of_squares_over_many(seed):
    x = np.random.default_rng(seed).standard_normal(1600)
    assert check_op(lambda x: (0.5 * np.sum(x * x), x), lambda dout, x: dout * x, x).checked == 1600


@pytest.mark.parametrize("size", [1e5, 1e8, 1e-8])
def test_products_of_large_and_small_numbers(size):
    rng = np.random.default_rng(0)
    x, g = size * rng.standard_normal((4, 3)), rng.standard_normal(3)
    forward = lambda x, g: (x * g, (x, g))                                            # noqa: E731
    assert check_op(forward, lambda dout, c: (dout * c[1], (dout * c[0]).sum(0)), x, g).checked == 15
    refused(r"^argument 1, index", forward, lambda dout, c: (dout * c[1], (dout * c[0]).mean(0)), x, g)


def test_waves_far_shorter_than_their_argument():
    x = 1e5 + np.random.default_rng(0).standard_normal(6)
    forward, backward = elementwise(np.sin, np.cos)
    assert check_op(forward, backward, x).checked == 6
    refused("^argument 0, index", forward, lambda dout, x: 1.0001 * backward(dout, x), x)


def test_a_column_that_is_nearly_constant():
    x = 100 + 1e-3 * np.random.default_rng(0).standard_normal((6, 3))

    def forward(x):
        centred = x - x.mean(axis=0)
        rstd = 1 / np.sqrt((centred**2).mean(axis=0))
        return centred * rstd, (centred * rstd, rstd)

    def backward(dout, cache):
        y, rstd = cache
        return rstd * (dout - dout.mean(axis=0) - y * (dout * y).mean(axis=0))

    report = check_op(forward, backward, x, tolerance=1e-5)
    assert report.checked + len(report.coarse) == 18 and report.checked > 12
    refused("^argument 0, index", forward, lambda dout, cache: cache[1] * (dout - dout.mean(axis=0)), x)


# small gradients are seen


def test_a_small_function_with_its_sign_flipped():
    x = np.random.default_rng(0).standard_normal(5)
    for size in (1e-11, 1e-100, 1e11):
        forward, backward = elementwise(lambda x, size=size: size * np.sin(x), lambda x, size=size: size * np.cos(x))
        assert check_op(forward, backward, x).checked == 5
        refused(r"relative error 2 > 1e-07 \(5 of 5", forward, lambda dout, x, b=backward: -b(dout, x), x)


def test_a_small_mean_with_a_factor_forgotten():
    x = np.random.default_rng(0).standard_normal(5000)
    forward = lambda x: (1e-6 * np.mean(x * x), x)                                    # noqa: E731
    assert check_op(forward, lambda dout, x: 2e-6 * dout * x / x.size, x, sample=500).checked == 500
    refused(r"relative error 0.5 > 1e-07 \(500 of 500", forward, lambda dout, x: 1e-6 * dout * x / x.size, x,
            sample=500)


def test_a_small_gradient_beside_large_ones():
    x = np.array([1.0, 2.0])
    forward = lambda x: (np.array([1e8 * x[0], 1e-8 * x[1]]), None)                   # noqa: E731
    assert check_op(forward, lambda d, cache: d * [1e8, 1e-8], x).checked == 2
    refused(r"^argument 0, index \(1,\)", forward, lambda d, cache: d * [1e8, -1e-8], x)


# where differences cannot tell, the verdict is neither


def test_what_rounding_hides_is_stated():
    x = np.array([1.0, 3.0])
    forward = lambda x: (np.array([1e8 + 1e-10 * x[0]**2, x[1]]), None)          # noqa: E731
    for slope in (2e-10, 1e-10, -1e-10):
        report = check_op(forward, lambda d, cache, slope=slope: d * [slope, 1], x)
        assert report.checked == 1 and [row.where for row in report.coarse] == ["argument 0, index (0,)"]
        assert "1 neither passed nor refused, too coarse here: differences are good to " in str(report)
    refused(r"^argument 0, index \(0,\)", forward, lambda d, cache: d * [1e-3, 1], x)


def test_nothing_but_what_rounding_hides_is_no_check():
    refused("^nothing was checked: 0 coordinates are kinks, and at 1 differences are too coarse",
            lambda x: (1e8 + 1e-10 * x**2, None), lambda d, cache: d * 2e-10, np.array([1.0]))


@pytest.mark.parametrize("seed", range(20))
def test_noise_of_the_function_itself_is_in_the_verdict(seed):
    """A layer that loses half of its digits: its right gradient is not refused, a wrong one is."""
    x = np.random.default_rng(seed).standard_normal((3, 4))
    forward, backward = elementwise(lambda x: (np.sin(x) + 1e7) - 1e7, np.cos)
    try:
        check_op(forward, backward, x)
    except AssertionError as error:
        assert str(error).startswith("nothing was checked: 0 coordinates are kinks")
    assert check_op(forward, backward, x, tolerance=1e-3).checked > 6
    refused(r"^argument 0, index", forward, lambda d, x: 1.01 * backward(d, x), x)


def test_the_estimated_errors_are_honest():
    """Of many slopes of known value, none is off by more than its estimate, and most are known well."""
    rng = np.random.default_rng(0)
    errors = []
    for f, slope in ((np.sin, np.cos), (np.exp, np.exp), (np.cbrt, lambda x: np.cbrt(x) / (3 * x)),
                     (lambda x: 1e3 + np.tanh(50 * x), lambda x: 50 / np.cosh(50 * x)**2)):
        for x in rng.standard_normal(50):
            line = Line(lambda h, x=x, f=f: np.array([f(x + h)]), np.array([f(x)]), np.ones(1), -10, -45, 14)
            found = line.slope()
            assert not found.kink and abs(found.value - slope(x)) <= found.error + 1e-12
            errors.append(found.error / found.size if found.size else 0)
    assert np.median(errors) < 1e-8


# kinks


def test_a_kink_nearby_is_none_of_this_point():
    for distance in (1e-2, 1e-4, 1e-6, 1e-7):
        x = np.array([distance, -distance, 0.5])
        assert check_op(relu_forward, relu_backward, x).checked == 3
        refused(r"^argument 0, index \(0,\)", relu_forward, lambda d, x: d * [0, 0, 1], x)
        x = 1 + x                                            # with rounding
        forward, backward = elementwise(lambda x: np.maximum(x, 1), lambda x: x > 1)
        report = check_op(forward, backward, x)
        assert report.checked + len(report.coarse) == 3 and not report.kinks
        refused(r"^argument 0, index", forward, lambda d, x, back=backward: 1.5 * back(d, x), x)


KINKED = {
    "relu": (elementwise(lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)), [0.0]),
    "abs": (elementwise(np.abs, np.sign), [0.0]),
    "clip": (elementwise(lambda x: np.clip(x, -1, 1), lambda x: 1.0 * (np.abs(x) < 1)), [1.0, -1.0]),
    "sign": (elementwise(np.sign, lambda x: 0 * x), [0.0]),
    "root": (elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(np.maximum(x, 1e-300))), [0.0]),
}


@pytest.mark.parametrize("name", KINKED)
def test_kinks_are_named_and_left_out_or_refused(name):
    (forward, backward), kinks = KINKED[name]
    x = np.array([0.3, *kinks, 2.3, 0.7])
    report = check_op(forward, backward, x)
    assert report.checked == 3 and report.kinks == tuple(f"argument 0, index ({1 + i},)" for i in range(len(kinks)))
    assert f"{len(kinks)} left out at a kink: argument 0, index (1,)" in str(report)
    refused(r"^argument 0, index \(1,\): a kink, with slopes \S+ and \S+ on its sides: move this point away from it$",
            forward, backward, x, kinks="refuse")
    assert check_op(forward, backward, x[len(kinks) + 1:], kinks="refuse").checked == 2


def test_a_gradient_at_a_kink_lies_between_its_sides():
    (forward, backward), _ = KINKED["abs"]
    x = np.array([0.0, 1.0])
    for at_kink in (-1, -0.3, 0, 1):
        assert check_op(forward, lambda d, x, at=at_kink: d * [at, 1], x).checked == 1
    for at_kink in (-1.01, 1.01, np.nan):
        refused(r"^argument 0, index \(0,\): analytic \S+, but here is a kink with slopes \S+ and \S+ on its sides, "
                r"and a gradient lies between them \(1 of 2", forward, lambda d, x, at=at_kink: d * [at, 1], x)


def test_two_kinks_that_cancel_in_the_sum_are_seen():
    """The mean of the two sides is the same as either, in the sum; what each output does is not."""
    x = np.array([0.0, 1.0])
    forward = lambda x: (np.stack([np.maximum(x, 0), -np.minimum(x, 0)]), x)          # noqa: E731
    report = check_op(forward, lambda d, x: d[0] * (x > 0) - d[1] * (x < 0), x)
    assert report.checked == 1 and len(report.kinks) == 1


def test_ties_of_a_maximum_are_kinks():
    x = np.array([[1.0, 1.0, 0.5], [0.1, 0.2, 0.3]])
    forward = lambda x: (x.max(axis=1), x)                                            # noqa: E731

    def first_wins(d, x):
        dx = np.zeros_like(x)
        dx[np.arange(2), x.argmax(axis=1)] = d
        return dx

    report = check_op(forward, first_wins, x)
    assert report.kinks == ("argument 0, index (0, 0)", "argument 0, index (0, 1)") and report.checked == 4


def test_a_jump_of_the_second_derivative_is_no_kink():
    """Of the squared hinge at its margin: the derivative exists there."""
    x = np.array([0.0, 1.0, -1.0])
    report = check_op(*elementwise(lambda x: np.maximum(x, 0)**2, lambda x: 2 * np.maximum(x, 0)), x)
    assert not report.kinks and report.checked >= 2


# estimators


def test_a_forward_that_is_constant_is_asked_about():
    question = "forward is constant here: is this an estimator. pass surrogate= .lesson 5"
    x = np.array([0.3, -0.4, 2.0])
    forward, backward = elementwise(np.sign, lambda x: 1.0 * (np.abs(x) <= 1))
    refused(question, forward, backward, x)
    refused(r"coordinates differ\)$", relu_forward, lambda d, x: d, x)


# settings


def test_a_step_of_your_own():
    """Of a forward that looks its results up in a table, nothing but long steps show a slope."""
    x = np.random.default_rng(0).uniform(1, 2, 5)
    forward, backward = (lambda x: (np.round(x, 3), None)), lambda d, cache: d
    refused("^argument 0, index", forward, backward, x)
    assert check_op(forward, backward, x, step=0.25, tolerance=1e-2).checked == 5
    refused("^argument 0, index", forward, lambda d, cache: 1.1 * d, x, step=0.25, tolerance=1e-2)


def test_points_outside_of_the_domain_raise_what_forward_raises():
    def forward(x):
        if np.any(x != np.round(x)):
            raise ValueError("x: expected whole numbers")
        return 2 * x, None

    with pytest.raises(ValueError, match=r"^x: expected whole numbers$"):
        check_op(forward, lambda d, cache: 2 * d, np.array([1.0, 2.0]))

    def checked(x):
        if np.any(x > 1):
            raise ValueError("x: expected a probability")
        return np.sqrt(x), x

    assert check_op(checked, lambda d, x: d / (2 * np.sqrt(x)), np.array([0.5, 0.99999])).checked == 2


def test_the_seed_draws_another_upstream_gradient():
    x = np.arange(1.0, 4.0)
    one, two = (check_op(np_square, np_square_backward, x, seed=seed) for seed in (0, 1))
    assert {row.analytic for row in one.rows}.isdisjoint(row.analytic for row in two.rows)


def np_square(x):
    return x**2, x


def np_square_backward(dout, x):
    return 2 * x * dout
