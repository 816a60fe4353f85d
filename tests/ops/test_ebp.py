"""Expectation backpropagation: special functions, moments of weights and sums, layers, likelihood, whole steps."""

import itertools
import math

import numpy as np
import pytest

from bnn_ref.gradcheck import check_network, check_op
from bnn_ref.nets.network import Param, Step
from bnn_ref.ops import ebp, ebp_real, ebp_ternary, gaussian, losses
from bnn_ref.ops.binarize import sign_forward
from tests.ops import naive_ebp
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, expected, read_only, sample, spoiled

pytestmark = pytest.mark.task_ebp

# the normal distribution

Z = np.concatenate([np.linspace(-60, 60, 1201), np.linspace(-1.2, 1.2, 241), [-1e3, -300, 300, 1e3],
                    *(sign * np.logspace(-18, 2.9, 150) for sign in (-1, 1))])
REFERENCES = {
    gaussian.phi: naive_ebp.phi, gaussian.cdf: naive_ebp.cdf, gaussian.log_cdf: naive_ebp.log_cdf,
    gaussian.phi_over_cdf: naive_ebp.phi_over_cdf,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("function", REFERENCES, ids=lambda function: function.__name__)
def test_special_functions_are_accurate_relative_to_their_value(function, dtype, tolerance):
    z = read_only(Z.astype(dtype))
    comp = function(z)
    ref = np.array([REFERENCES[function](float(one)) for one in z])
    assert comp.dtype == dtype and comp.shape == z.shape
    normal = np.abs(ref) > np.finfo(dtype).tiny                    # below, floats themselves have few digits
    assert normal.sum() > len(Z) / 5
    np.testing.assert_allclose(comp[normal], ref[normal], rtol=tolerance)
    np.testing.assert_allclose(comp[~normal], ref[~normal], atol=2 * np.finfo(dtype).tiny)


@pytest.mark.parametrize("z, density, probability, log_probability, ratio", [
    (0.0, 0.398942280401432678, 0.5, -0.693147180559945309, 0.797884560802865356),
    (1.0, 0.241970724519143365, 0.841344746068542949, -0.172753779023449871, 0.287599970939178361),
    (-1.0, 0.241970724519143365, 0.158655253931457051, -1.84102164500926394, 1.52513527616098121),
    (-5.0, 1.48671951473429771e-06, 2.86651571879193912e-07, -15.0649983939887269, 5.18650396712584212),
    (-40.0, 0.0, 0.0, -804.608442013753788, 40.0249688472072637),
])
def test_special_functions_at_known_points(z, density, probability, log_probability, ratio):
    functions = gaussian.phi, gaussian.cdf, gaussian.log_cdf, gaussian.phi_over_cdf
    for function, value in zip(functions, (density, probability, log_probability, ratio), strict=True):
        np.testing.assert_allclose(function(np.array([z])), [value], rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 5e-14), (np.float32, 5e-7)])
def test_the_ratio_of_mills_to_the_last_digits(dtype, tolerance):
    """Where the naive one has them too."""
    x = np.concatenate([np.linspace(0, 5, 101), np.geomspace(20, 1e4, 50)]).astype(dtype)
    np.testing.assert_allclose(gaussian.mills_ratio(x), [1 / naive_ebp.phi_over_cdf(-one) for one in x.tolist()],
                               rtol=tolerance)


def test_the_ratio_of_mills_at_both_ends():
    np.testing.assert_allclose(gaussian.mills_ratio(np.array([0.0, 1e8])), [math.sqrt(math.pi / 2), 1e-8], rtol=1e-13)
    assert len(gaussian.COEFFICIENTS[np.dtype(np.float32)]) < 16 < len(gaussian.COEFFICIENTS[np.dtype(np.float64)])


# what is known of a weight

BIG = np.array([[0.0, -0.0, 1.0, -1.0, 0.3], [20, -20, 90, -90, 800]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_of_weights_are_those_of_their_probabilities(dtype):
    h = read_only(BIG.astype(dtype))
    for comp, ref in zip(ebp.binary_moments(h), _each(naive_ebp.binary, h), strict=True):
        assert_agree(comp, ref, dtype)
    pairs = np.array(list(itertools.product(BIG.ravel(), repeat=2)), dtype)
    hp, hm = read_only(pairs[:, :1]), read_only(pairs[:, 1:])
    for comp, ref in zip(ebp_ternary.ternary_moments(hp, hm), _each(naive_ebp.ternary, hp, hm), strict=True):
        assert_agree(comp, ref, dtype)
    mean, var = ebp_real.real_moments(h)
    assert_agree(mean, h, dtype)
    assert_agree(var, np.ones((2, 1)), dtype)


def _each(moments, *params):
    pairs = [moments(*(float(p[index]) for p in params)) for index in np.ndindex(params[0].shape)]
    return [np.reshape(column, params[0].shape) for column in zip(*pairs)]


@pytest.mark.parametrize("shape", [(1, 3), (50, 400)], ids=str)
def test_init_h_is_uniform_with_variance_one_over_the_inputs(shape):
    h = ebp.init_h(np.random.default_rng(0), shape)
    edge = 0.5 * math.sqrt(12 / shape[0])
    assert h.shape == shape and np.abs(h).max() <= edge
    if h.size > 100:                                       # 20,000 numbers: standard error 0.7 % and 0.6 %
        assert abs(h.mean()) < 0.04 / math.sqrt(shape[0])
        assert abs(h.var() * shape[0] - 1) < 0.03 and np.abs(h).max() > 0.99 * edge
    np.testing.assert_array_equal(h, ebp.init_h(np.random.default_rng(0), shape))


# layers

NAIVE_WEIGHTS = {"ebp": naive_ebp.binary, "ebp_ternary": naive_ebp.ternary, "ebp_real": naive_ebp.real}
MODULES = {"ebp": ebp, "ebp_ternary": ebp_ternary, "ebp_real": ebp_real}
LAYERS = [(kind, place) for kind in NAIVE_WEIGHTS for place in ("first_dense", "dense")]
SIZES = ((1, 1, 1), (1, 7, 3), (5, 3, 2), (4, 4, 4))       # N D M


def functions(kind, place):
    return [getattr(MODULES[kind], f"{kind}_{place}_{what}") for what in ("forward", "backward", "surrogate")]


def arguments(rng, sizes, kind, place, dtype=np.float64, layout="contiguous"):
    """x with ±1 and 0 among it, of any size in a first layer; the parameters of a kind of weights; b."""
    n, d, m = sizes
    x = sample(rng, (n, d), dtype, layout)
    x = x if place == "first_dense" else read_only(np.clip(x, -1, 1))
    params = [sample(rng, (d, m), dtype, layout) for _ in range(2 if kind == "ebp_ternary" else 1)]
    return x, *params, sample(rng, (m,), dtype, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind, place", LAYERS)
def test_layers_agree_with_the_loops(kind, place, sizes, dtype, layout):
    rng = np.random.default_rng(1)
    x, *params, b = args = arguments(rng, sizes, kind, place, dtype, layout)
    dz = sample(rng, (sizes[0], sizes[2]), dtype, layout)
    first, weight = place == "first_dense", NAIVE_WEIGHTS[kind]
    forward, backward, _ = functions(kind, place)
    comp_z, cache = forward(*args)
    mu, sigma = naive_ebp.layer(first, weight, x, params, b)
    assert_agree(comp_z, mu / sigma, dtype)
    dx, dw, db = naive_ebp.layer_backward(dz, first, weight, x, params, b)
    dparams = (dw, -dw) if kind == "ebp_ternary" else (dw,)
    for comp, ref in zip(backward(dz, cache), (dx, *dparams, db), strict=True):
        assert_agree(comp, ref, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind, place", LAYERS)
def test_surrogates_freeze_the_variance_and_move_the_mean_weight_with_the_parameter(kind, place, dtype):
    rng = np.random.default_rng(2)
    x0, *params0, b0 = args0 = arguments(rng, (4, 5, 3), kind, place, dtype)
    x, *params, b = (sample(rng, arg.shape, dtype) for arg in args0)      # x beyond 1 also where it is a mean
    forward, _, surrogate = functions(kind, place)
    _, sigma = naive_ebp.layer(place == "first_dense", NAIVE_WEIGHTS[kind], x0, params0, b0)
    move = params[0].astype(float) - params0[0]
    if kind == "ebp_ternary":
        move -= params[1].astype(float) - params0[1]
    w = _each(NAIVE_WEIGHTS[kind], *params0)[0] + move
    out, cache = surrogate(*args0)(x, *params, b)
    assert cache is None
    assert_agree(out, (x.astype(float) @ w + b) / (math.sqrt(6) * sigma), dtype)
    assert_agree(surrogate(*args0)(*args0)[0], forward(*args0)[0], dtype)


@pytest.mark.parametrize("kind, place", LAYERS)
def test_backward_is_the_derivative_of_the_surrogate_but_not_of_the_layer(kind, place):
    rng = np.random.default_rng(3)
    args = [0.9 * np.tanh(rng.standard_normal(arg.shape)) for arg in arguments(rng, (4, 7, 3), kind, place)]
    forward, backward, surrogate = functions(kind, place)
    count = sum(arg.size for arg in args)
    assert check_op(forward, backward, *args, surrogate=surrogate).checked == count
    with pytest.raises(AssertionError, match="argument 0"):
        check_op(forward, lambda dz, cache: backward(dz, cache)[:1], *args)


def test_a_layer_by_hand():
    """Two inputs and tanh h = 0.6, -0.8: by eq. 4.1, K drops out of μ/σ."""
    h, b = np.arctanh([[0.6], [-0.8]]), np.array([0.5])
    z, _ = ebp.ebp_first_dense_forward(np.array([[2.0, -3.0]]), h, b)
    np.testing.assert_allclose(z, [[(1.2 + 2.4 + 0.5) / math.sqrt(4 * 0.64 + 9 * 0.36 + 1)]], rtol=1e-14)
    z, _ = ebp.ebp_dense_forward(np.array([[0.5, -1.0]]), h, b)
    np.testing.assert_allclose(z, [[(0.3 + 0.8 + 0.5) / math.sqrt(3 - 0.25 * 0.36 - 0.64)]], rtol=1e-14)
    z, _ = ebp_real.ebp_real_dense_forward(np.array([[0.5, -1.0]]), np.array([[2.0], [3.0]]), b)
    np.testing.assert_allclose(z, [[(1 - 3 + 0.5) / math.sqrt(3 + 4 * 0.75)]], rtol=1e-14)
    half = np.array([[math.log(2)], [-800.0]])              # 1/2, 1/4, 1/4 for +1, 0, -1; then never +1 and half 0
    z, _ = ebp_ternary.ebp_ternary_dense_forward(np.array([[0.5, -1.0]]), half, np.array([[0.0], [0.0]]), b)
    np.testing.assert_allclose(z, [[(0.125 + 0.5 + 0.5) / math.sqrt(0.75 - 1 / 64 + 0.5 - 0.25 + 1)]], rtol=1e-14)


@pytest.mark.parametrize("kind, place", LAYERS)
def test_layers_agree_with_sampled_weights(kind, place):
    """Mean and variance of the sum over 200,000 sampled networks, 6 sums; each off by at most 5 standard errors.

    A correct layer fails for one seed in 140,000: 12 numbers, 6e-7 each. The standard error of a variance is taken
    for a normal sum, which has a larger one than sums of bounded signs.
    """
    count = 200_000
    rng = np.random.default_rng(4)
    params, b = rng.standard_normal((2, 4, 3)), rng.standard_normal(3)
    x = rng.uniform(-1, 1, (2, 4)) * (3 if place == "first_dense" else 1)
    moments = {"ebp": ebp.binary_moments, "ebp_ternary": ebp_ternary.ternary_moments, "ebp_real": ebp_real.real_moments}
    w, w_var = moments[kind](*(params if kind == "ebp_ternary" else params[:1]))
    mu, var = (ebp.known_inputs if place == "first_dense" else ebp.random_signs)(x, w, w_var, b)
    assert mu.shape == (2, 3) and np.broadcast_to(var, (2, 3)).shape == (2, 3)

    u = rng.random((count, 4, 3))
    if kind == "ebp":
        drawn = np.where(u < 1 / (1 + np.exp(-2 * params[0])), 1, -1)
    elif kind == "ebp_ternary":
        odds = np.exp(params)
        plus, minus = odds / (1 + odds.sum(axis=0))
        drawn = np.where(u < plus, 1, np.where(u < plus + minus, -1, 0))
    else:
        drawn = params[0] + rng.standard_normal((count, 4, 3))
    for n in range(2):
        inputs = x[n, None] if place == "first_dense" else np.where(rng.random((count, 4)) < (1 + x[n]) / 2, 1, -1)
        sums = (inputs[:, :, None] * drawn).sum(axis=1) + b + rng.standard_normal((count, 3))
        for m in range(3):
            sd = sums[:, m].std()
            assert abs(sums[:, m].mean() - mu[n, m]) < 5 * sd / math.sqrt(count)
            assert abs(sd**2 - np.broadcast_to(var, (2, 3))[n, m]) < 5 * sd**2 * math.sqrt(2 / count)


def test_the_input_below_the_first_layer_must_be_means():
    b = np.zeros(2)
    for kind in NAIVE_WEIGHTS:
        params = [np.zeros((3, 2))] * (2 if kind == "ebp_ternary" else 1)
        forward = getattr(MODULES[kind], f"{kind}_dense_forward")
        forward(np.array([[1.0, -1.0, 0.0]]), *params, b)
        for bad in (1.001, -1.001, np.inf):
            with pytest.raises(ValueError, match=r"^x: expected means of signs, within \[-1, 1\], got (1.001|inf)"):
                forward(np.array([[np.nan, bad, 0.0]]), *params, b)
        assert np.isnan(forward(np.array([[0.0, np.nan, 0.0]]), *params, b)[0]).all()
        getattr(MODULES[kind], f"{kind}_first_dense_forward")(np.array([[0.0, 1e3, 0.0]]), *params, b)


@pytest.mark.parametrize("kind, place", [*LAYERS, *((kind, "map_dense") for kind in NAIVE_WEIGHTS)])
def test_doors(kind, place):
    rng = np.random.default_rng(5)
    names = ("x", "hp", "hm", "b") if kind == "ebp_ternary" else ("x", "h", "b")
    good = dict(zip(names, arguments(rng, (4, 3, 5), kind, "dense"), strict=True))
    forward = getattr(MODULES[kind], f"{kind}_{place}_forward")
    first = names[1]
    for name in names:
        axes, shape = {"x": ((), "N, D"), first: ((0,), "D=3, M"), "b": ((0,), "M=5")}.get(
            name, ((0, 1), "D=3, M=5"))
        for error, bad in spoiled(good[name], alone=name == "x", axes=axes):
            with pytest.raises(error, match=expected(name, rf"shape \({shape}\)")):
                forward(*(good | {name: bad}).values())
    if place != "map_dense":
        _, cache = forward(*good.values())
        for error, bad in spoiled(sample(rng, (4, 5)), axes=(0, 1)):
            with pytest.raises(error, match=expected("dz", r"shape \(N=4, M=5\)")):
                functions(kind, place)[1](bad, cache)


# EBP-D

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_most_probable_weights_agree_with_the_loops(sizes, dtype):
    rng = np.random.default_rng(6)
    x, hp, hm, b = arguments(rng, sizes, "ebp_ternary", "first_dense", dtype)
    for comp, ref in (
            (ebp.ebp_map_dense_forward(x, hp, b), naive_ebp.map_layer(naive_ebp.map_binary, x, (hp,), b)),
            (ebp_ternary.ebp_ternary_map_dense_forward(x, hp, hm, b),
             naive_ebp.map_layer(naive_ebp.map_ternary, x, (hp, hm), b)),
            (ebp_real.ebp_real_map_dense_forward(x, hp, b), naive_ebp.map_layer(float, x, (hp,), b))):
        assert comp[1] is None
        assert_agree(comp[0], ref, dtype)


@pytest.mark.parametrize("hp, hm, weight", [(0, 0, 1), (-0.0, -1, 1), (-1, 0, -1), (-1, -1, 0), (-1e-9, -2, 0),
                                            (3, 3, 1), (1, 2, -1), (2, 1, 1), (-3, 1e-9, -1), (2, -2, 1)])
def test_the_most_probable_ternary_weight(hp, hm, weight):
    args = (np.array([[float(value)]], np.float32) for value in (1, hp, hm))
    assert ebp_ternary.ebp_ternary_map_dense_forward(*args, np.zeros(1, np.float32))[0] == weight


def test_the_deterministic_network_is_the_limit_of_the_probabilistic_one():
    """Weights that are certain and biases large against their variance: every sign is known, P and D agree."""
    rng = np.random.default_rng(7)
    x, h1, h2 = rng.standard_normal((40, 9)), rng.choice([-50.0, 50.0], (9, 7)), rng.choice([-50.0, 50.0], (7, 1))
    b1, b2 = rng.standard_normal(7), np.array([0.5])
    scale = 1e4                                            # a common factor of x and b: against it the 1 is nothing
    z1, _ = ebp.ebp_first_dense_forward(scale * x, h1, scale * b1)
    z2, _ = ebp.ebp_dense_forward(ebp.mean_sign_forward(z1)[0], h2, b2)
    a1, _ = sign_forward(ebp.ebp_map_dense_forward(x, h1, b1)[0])
    s2, _ = ebp.ebp_map_dense_forward(a1, h2, b2)
    assert_agree(z2, s2, np.float64)


# the mean of a unit

@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (6,), (3, 5), (2, 3, 2, 2)], ids=str)
def test_mean_sign_agrees_with_the_loop(shape, dtype, layout):
    rng = np.random.default_rng(8)
    z, dout = read_only(2 * sample(rng, shape, dtype, layout)), sample(rng, shape, dtype, layout)
    comp, cache = ebp.mean_sign_forward(z)
    assert_agree(comp, naive_ebp.mean_sign(z), dtype)
    assert_agree(ebp.mean_sign_backward(dout, cache), naive_ebp.mean_sign_backward(dout, z), dtype)


def test_mean_sign_by_hand_and_its_derivative():
    z = np.array([0.0, 1.0, -1.0, 40.0, -40.0, 1e3])
    means, cache = ebp.mean_sign_forward(z)
    np.testing.assert_allclose(means, [0, 0.682689492137085898, -0.682689492137085898, 1, -1, 1], rtol=1e-12,
                               atol=1e-13)
    slopes = ebp.mean_sign_backward(np.full(6, 3.0), cache)
    np.testing.assert_allclose(slopes[:2], [3 * 0.797884560802865356, 3 * 2 * 0.241970724519143365], rtol=1e-12)
    assert np.all(np.abs(ebp.mean_sign_forward(np.linspace(-9, 9, 5001, dtype=np.float32))[0]) <= 1)
    check_op(ebp.mean_sign_forward, ebp.mean_sign_backward, np.linspace(-3, 3, 13))


def test_mean_sign_doors():
    z = sample(np.random.default_rng(9), (3, 2))
    for error, bad in spoiled(z, alone=True):
        with pytest.raises(error, match=expected("z")):
            ebp.mean_sign_forward(bad)
    _, cache = ebp.mean_sign_forward(z)
    for error, bad in spoiled(z, axes=(0, 1)):
        with pytest.raises(error, match=expected("dout", "shape .* like z", "z")):
            ebp.mean_sign_backward(bad, cache)


# the likelihood of the labels

@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (1, 4), (7, 2), (5, 10)], ids=str)
def test_log_likelihood_agrees_with_the_loop(shape, label_dtype, dtype, layout):
    rng = np.random.default_rng(10)
    z = sample(rng, shape, dtype, layout)
    labels = read_only(LAYOUTS[layout](rng.integers(0, max(2, shape[1]), shape[0]).astype(label_dtype)))
    comp_loss, cache = losses.log_likelihood_forward(z, labels)
    assert_agree(comp_loss, naive_ebp.log_likelihood(z, labels), dtype)
    for dloss in (1.0, -2.5):
        assert_agree(losses.log_likelihood_backward(dloss, cache), naive_ebp.log_likelihood_backward(dloss, z, labels),
                     dtype)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label", [0, 1])
def test_log_likelihood_far_out(label, dtype):
    """±40 and ±1000 standard deviations: Φ is 0 or 1 in floats, the loss and its derivative are not."""
    values = [-1e3, -40.0, 40.0, 1e3]
    losses_of_1 = [500007.826694, 804.608442013754, 0, 0]
    slopes_of_1 = [-1000.000999998, -40.024968847207, 0, 0]
    for z, loss_of_1, slope_of_1 in zip(values, losses_of_1, slopes_of_1, strict=True):
        comp_loss, cache = losses.log_likelihood_forward(np.array([[z if label else -z]], dtype), np.array([label]))
        assert comp_loss.dtype == dtype
        np.testing.assert_allclose(comp_loss, loss_of_1, rtol=1e-6, atol=1e-300)
        slope = losses.log_likelihood_backward(1.0, cache)
        assert slope.dtype == dtype
        np.testing.assert_allclose(slope, [[slope_of_1 if label else -slope_of_1]], rtol=1e-6, atol=1e-300)


def test_log_likelihood_is_a_sum_and_its_probabilities_add_up():
    z = np.array([[0.7], [-1.3]])
    both = [[math.exp(-losses.log_likelihood_forward(z[n:n + 1], np.array([label]))[0]) for label in (0, 1)]
            for n in (0, 1)]
    np.testing.assert_allclose(np.sum(both, axis=1), [1, 1], rtol=1e-14)
    np.testing.assert_allclose(both[0][1], 0.758036347776927, rtol=1e-12)        # Φ(0.7)
    joint, _ = losses.log_likelihood_forward(z, np.array([1, 0]))
    np.testing.assert_allclose(joint, -math.log(both[0][1]) - math.log(both[1][0]), rtol=1e-14)


def test_log_likelihood_derivative_and_name():
    rng = np.random.default_rng(11)
    for z, labels in ((rng.standard_normal((3, 4)), np.array([3, 0, 1])), (rng.standard_normal((3, 1)),
                                                                        np.array([1, 0, 0]))):
        assert check_op(losses.log_likelihood_forward, losses.log_likelihood_backward, z, labels).checked == z.size
    assert isinstance(losses.LOG_LIKELIHOOD, losses.Loss)
    assert losses.LOG_LIKELIHOOD == ("log-likelihood", losses.log_likelihood_forward, losses.log_likelihood_backward)


@pytest.mark.parametrize("outputs", [1, 4])
def test_log_likelihood_doors(outputs):
    z, labels = np.zeros((3, outputs)), np.array([0, 1, 1])
    for error, bad in spoiled(z, alone=True, axes=()):
        with pytest.raises(error, match=expected("z", r"shape \(N, C\)")):
            losses.log_likelihood_forward(bad, labels)
    top = max(outputs, 2)
    for bad in (np.array([0, top, 1]), np.array([0, -1, 1])):
        with pytest.raises(ValueError, match=f"^labels: expected at least one, from 0 to {top - 1}, got"):
            losses.log_likelihood_forward(z, bad)
    with pytest.raises(ValueError, match=r"^labels: expected shape \(3,\), got \(2,\)$"):
        losses.log_likelihood_forward(z, labels[:2])
    with pytest.raises(TypeError, match=r"^labels: expected an array of integers, got dtype float64$"):
        losses.log_likelihood_forward(z, labels.astype(float))


# whole networks

def one_step(x, labels, hs, biases, rate=1.0):
    """The same in the package's words: forward, backward, SGD."""
    means, caches = x, []
    for level, (h, b) in enumerate(zip(hs, biases)):
        z, cache = (ebp.ebp_dense_forward if level else ebp.ebp_first_dense_forward)(means, h, b)
        means, mean_cache = ebp.mean_sign_forward(z)
        caches.append((cache, mean_cache))
    _, cache = losses.log_likelihood_forward(z, labels)
    dz, new_hs, new_biases = losses.log_likelihood_backward(1.0, cache), [], []
    for level in reversed(range(len(hs))):
        dmeans, dh, db = (ebp.ebp_dense_backward if level else ebp.ebp_first_dense_backward)(dz, caches[level][0])
        new_hs.insert(0, hs[level] - rate * dh)
        new_biases.insert(0, biases[level] - rate * db)
        if level:
            dz = ebp.mean_sign_backward(dmeans, caches[level - 1][1])
    return new_hs, new_biases


@pytest.mark.parametrize("widths", [(5, 1), (5, 4, 1), (3, 4, 5, 3)], ids=str)
def test_sgd_at_the_rate_one_is_the_algorithm_of_the_paper(widths):
    """Four minibatches one after another, so that the second sees what the first has learned."""
    rng = np.random.default_rng(12)
    shapes = list(itertools.pairwise(widths))
    hs, biases = [rng.standard_normal(shape) for shape in shapes], [rng.standard_normal(m) for _, m in shapes]
    ref_hs, ref_biases = hs, biases
    for _ in range(4):
        x, labels = rng.standard_normal((3, widths[0])), rng.integers(0, max(2, widths[-1]), 3)
        hs, biases = one_step(x, labels, hs, biases)
        y = [[1 if label == c else -1 for c in range(widths[-1])] for label in labels]
        if widths[-1] == 1:
            y = [[2 * label - 1] for label in labels]
        ref_hs, ref_biases = naive_ebp.ebp_step(x, y, ref_hs, ref_biases)
        for comp, ref in zip(hs + biases, ref_hs + ref_biases, strict=True):
            np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-12)


def test_a_sure_right_answer_teaches_nothing_and_a_sure_wrong_one_teaches_both_signs_alike():
    x, h, b = np.array([[1.0]]), np.array([[0.0]]), np.array([60.0])
    for sign in (1, -1):
        for right in (True, False):
            labels = np.array([int((sign == 1) == right)])
            (new_h,), (new_b,) = one_step(x, labels, [h], [sign * b])
            if right:
                assert new_h == h and new_b == sign * b
            else:
                assert sign * (new_b - sign * b) < -20 and np.sign(new_h) == -sign


@pytest.mark.parametrize("kind", NAIVE_WEIGHTS)
def test_a_network_of_three_layers_agrees_with_differences(kind):
    """Frozen variances, all layers and the loss at once."""
    steps, widths = [], (6, 5, 4, 3)
    for level, (d, m) in enumerate(itertools.pairwise(widths)):
        forward, backward, surrogate = functions(kind, "dense" if level else "first_dense")
        names = ("hp", "hm") if kind == "ebp_ternary" else ("h",)
        params = (*(Param(name, (d, m), None) for name in names), Param("b", (m,), None))
        steps.append(Step(f"fc{level}", forward, backward, params=params, surrogate=surrogate))
        if level < 2:
            steps.append(Step(f"act{level}", ebp.mean_sign_forward, ebp.mean_sign_backward))
    rng = np.random.default_rng(13)
    params = {f"{step.name}.{param.name}": rng.standard_normal(param.shape) for step in steps for param in step.params}
    report = check_network(tuple(steps), params, {}, rng.standard_normal((7, 6)), rng.integers(0, 3, 7),
                           *losses.LOG_LIKELIHOOD[1:])
    assert report.checked == 3 * (1 + len(params)) and report.worst < 1e-6


@pytest.mark.parametrize("kind", NAIVE_WEIGHTS)
def test_it_learns_parity_without_any_rate(kind):
    """XOR of two signs, which no single layer can tell."""
    rng = np.random.default_rng(14)
    x = rng.choice([-1.0, 1.0], (64, 2))
    labels = (x[:, 0] != x[:, 1]).astype(np.int64)
    count = 2 if kind == "ebp_ternary" else 1
    layers = [[*(ebp.init_h(rng, shape) for _ in range(count)), np.zeros(shape[1])] for shape in ((2, 30), (30, 1))]
    (forward1, backward1, _), (forward2, backward2, _) = functions(kind, "first_dense"), functions(kind, "dense")
    for _ in range(30):
        for chosen in np.split(rng.permutation(64), 16):
            z1, cache1 = forward1(x[chosen], *layers[0])
            a1, cache_a = ebp.mean_sign_forward(z1)
            z2, cache2 = forward2(a1, *layers[1])
            dz = losses.log_likelihood_backward(1.0, losses.log_likelihood_forward(z2, labels[chosen])[1])
            da, *grads2 = backward2(dz, cache2)
            _, *grads1 = backward1(ebp.mean_sign_backward(da, cache_a), cache1)
            layers = [[p - g for p, g in zip(*pair)] for pair in zip(layers, (grads1, grads2))]
    z2, _ = forward2(ebp.mean_sign_forward(forward1(x, *layers[0])[0])[0], *layers[1])
    np.testing.assert_array_equal(z2[:, 0] >= 0, labels == 1)
