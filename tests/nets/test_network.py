"""The runner: which arrays each step gets, what comes back under which name, and the network frozen at a point."""

from dataclasses import replace

import numpy as np
import pytest

from bnn_ref.nets import network, steps
from bnn_ref.nets.network import Param, Step
from bnn_ref.ops import binarize, ternary
from tests.ops import naive
from tests.ops.naive import DTYPES, assert_agree


def mlp(dense=steps.binary_dense_step):
    return (steps.flatten_step("flat"), dense("fc1", 12, 5), steps.batchnorm_step("bn1", 5), steps.sign_step("act1"),
            steps.dropout_step("drop1", 0.4), dense("fc2", 5, 3), steps.batchnorm_step("bn2", 3))


def start(net, dtype=np.float64, seed=0):
    """Parameters and running statistics away from 0 and 1, and a minibatch; all read-only."""
    rng = np.random.default_rng(seed)
    params, running = network.init(net, rng, dtype)
    params = {name: (w + 0.3 * rng.standard_normal(w.shape)).astype(dtype) for name, w in params.items()}
    running = {name: rng.random(value.shape).astype(dtype) for name, value in running.items()}
    x = rng.standard_normal((6, 2, 3, 2)).astype(dtype)
    for array in (x, *params.values(), *running.values()):
        array.flags.writeable = False
    return params, running, x


# a step that only records: what it was given, and that backward's results get the right names


def recorder(name, log, draw=None, running=()):
    def forward(*args):
        log.append((name, "forward", args))
        return (f"{args[0]}>{name}", f"cache {name}", *(f"new {name}.{key}" for key, *_ in running))

    def backward(dout, cache):
        log.append((name, "backward", (dout, cache)))
        return f"{dout}<{name}", f"d{name}.a", f"d{name}.b"

    def predict(*args):
        log.append((name, "predict", args))
        return f"{args[0]}>{name}"

    return Step(name, forward, backward, predict, (Param("a", (), None), Param("b", (), None)), running, draw,
                (7, "pad"))


def test_every_step_gets_its_own_arrays_in_order():
    log = []
    net = (recorder("one", log, draw=lambda rng, x, a, b: (rng, x, a, b)),
           recorder("two", log, running=(("mean", (), 0), ("var", (), 1))))
    params = {"two.b": "2b", "two.a": "2a", "one.b": "1b", "one.a": "1a"}
    running = {"two.var": "v", "two.mean": "m", "other": "o"}

    out, caches, new_running = network.forward(net, params, running, "x", "rng")
    assert (out, caches) == ("x>one>two", ["cache one", "cache two"])
    assert new_running == {"two.var": "new two.var", "two.mean": "new two.mean", "other": "o"}
    assert running == {"two.var": "v", "two.mean": "m", "other": "o"}
    assert log == [("one", "forward", ("x", "1a", "1b", "rng", "x", "1a", "1b", 7, "pad")),
                   ("two", "forward", ("x>one", "2a", "2b", "m", "v", 7, "pad"))]

    log.clear()
    dx, grads = network.backward(net, caches, "dout")
    assert dx == "dout<two<one"
    assert list(grads.items()) == [("two.a", "dtwo.a"), ("two.b", "dtwo.b"), ("one.a", "done.a"), ("one.b", "done.b")]
    assert log == [("two", "backward", ("dout", "cache two")), ("one", "backward", ("dout<two", "cache one"))]

    log.clear()
    assert network.predict(net, params, running, "x") == "x>one>two"
    assert log == [("one", "predict", ("x", "1a", "1b", 7, "pad")),
                   ("two", "predict", ("x>one", "2a", "2b", "m", "v", 7, "pad"))]


def test_a_bare_gradient_is_a_tuple_of_one():
    assert network.as_tuple((1, 2)) == (1, 2)
    assert network.as_tuple([1, 2]) == ([1, 2],)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_have_the_names_shapes_and_dtypes_of_the_parameters(dtype):
    net = mlp()
    params, running, x = start(net, dtype)
    out, caches, new_running = network.forward(net, params, running, x, np.random.default_rng(1))
    dx, grads = network.backward(net, caches, out)
    assert out.shape == (6, 3) and out.dtype == dtype
    assert dx.shape == x.shape and dx.dtype == dtype
    assert {name: (g.shape, g.dtype) for name, g in grads.items()} == \
        {name: (w.shape, w.dtype) for name, w in params.items()}
    assert {name: (value.shape, value.dtype) for name, value in new_running.items()} == \
        {name: (value.shape, value.dtype) for name, value in running.items()}
    assert all((new_running[name] != value).all() for name, value in running.items())


@pytest.mark.task_bnn
def test_forward_and_predict_agree_with_the_composed_loops():
    net = mlp()
    params, running, x = start(net)
    rows = x.reshape(6, -1)
    s1 = naive.binary_dense(rows, params["fc1.w"])
    bn1 = params["bn1.gamma"], params["bn1.beta"], running["bn1.mean"], running["bn1.var"]
    bn2 = params["bn2.gamma"], params["bn2.beta"], running["bn2.mean"], running["bn2.var"]

    a1, ref_mean, ref_var = naive.batchnorm(s1, *bn1, 0.1, 1e-4)
    keep = (np.random.default_rng(1).random((6, 5)) >= 0.4) * 1.0
    s2 = naive.binary_dense(naive.dropout(naive.sign(a1), keep, 0.4), params["fc2.w"])
    comp_out, _, comp_running = network.forward(net, params, running, x, np.random.default_rng(1))
    assert_agree(comp_out, naive.batchnorm(s2, *bn2, 0.1, 1e-4)[0], np.float64)
    assert_agree(comp_running["bn1.mean"], ref_mean, np.float64)
    assert_agree(comp_running["bn1.var"], ref_var, np.float64)

    s2 = naive.binary_dense(naive.sign(naive.batchnorm_predict(s1, *bn1, 1e-4)), params["fc2.w"])
    comp_out = network.predict(net, params, running, x)
    assert_agree(comp_out, naive.batchnorm_predict(s2, *bn2, 1e-4), np.float64)


def test_noise_is_the_generators():
    net = mlp(steps.stochastic_binary_dense_step)
    params, running, x = start(net)
    comp_out = [network.forward(net, params, running, x, np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(comp_out[0], comp_out[1])
    assert (comp_out[0] != comp_out[2]).any()


# initial arrays, names, text


def test_init_draws_in_order_and_fills_running_statistics():
    net = (Step("a", None, None, None, (Param("w", (2, 3), lambda rng, shape: rng.random(shape)),
                                        Param("v", (1,), lambda rng, shape: rng.random(shape))),
                running=(("mean", (2,), 0.5), ("var", (1, 2), 2.0))),
           Step("b", None, None, None, (Param("w", (4,), lambda rng, shape: rng.random(shape), binary=True),)))
    params, running = network.init(net, np.random.default_rng(3), np.float64)
    rng = np.random.default_rng(3)
    assert list(params) == ["a.w", "a.v", "b.w"] and list(running) == ["a.mean", "a.var"]
    for name, shape in (("a.w", (2, 3)), ("a.v", (1,)), ("b.w", (4,))):
        np.testing.assert_array_equal(params[name], rng.random(shape))
    np.testing.assert_array_equal(running["a.mean"], [0.5, 0.5])
    np.testing.assert_array_equal(running["a.var"], [[2.0, 2.0]])
    assert {value.dtype for value in running.values()} == {np.dtype(np.float64)}
    params, running = network.init(net, np.random.default_rng(3))
    assert {value.dtype for value in (*params.values(), *running.values())} == {np.dtype(np.float32)}


def test_specs_are_under_full_path_names_and_say_which_weights_are_binary():
    specs = network.param_specs(mlp())
    assert list(specs) == ["fc1.w", "bn1.gamma", "bn1.beta", "fc2.w", "bn2.gamma", "bn2.beta"]
    assert [name for name, spec in specs.items() if spec.binary] == ["fc1.w", "fc2.w"]
    assert specs["fc1.w"].shape == (12, 5)


def test_steps_that_share_a_name_are_refused():
    message = r"^steps: expected distinct names, got \['act', 'fc', 'act'\]$"
    net = (steps.relu_step("act"), steps.dense_step("fc", 2, 2), steps.relu_step("act"))
    with pytest.raises(ValueError, match=message):
        network.param_specs(net)
    with pytest.raises(ValueError, match=message):
        network.init(net, np.random.default_rng(0))


def test_descriptions_cannot_be_changed():
    for description in (steps.sign_step("act"), Param("w", (1,), None)):
        with pytest.raises(AttributeError):
            description.name = "other"


def test_describe_prints_the_architecture():
    net = (steps.binary_conv_step("conv1", 3, 8, 3, 1, -1.0), steps.max_pool_step("pool1", 2, 2),
           steps.batchnorm_step("bn1", 8), steps.sign_step("act1"), steps.flatten_step("flat"),
           steps.stochastic_binary_dense_step("fc3", 200, 10))
    assert network.describe(net).splitlines() == [
        "conv1   binary_conv               w 8×3×3×3  1  1  -1.0",
        "pool1   max_pool                  2  2",
        "bn1     batchnorm                 gamma 8  beta 8",
        "act1    sign",
        "flat    flatten",
        "fc3     stochastic_binary_dense   w 200×10"]


# running statistics for the test-time network


@pytest.mark.parametrize("dtype", DTYPES)
def test_recompute_statistics_averages_over_batches_with_test_time_weights(dtype):
    net = mlp(steps.stochastic_binary_dense_step)
    params, running, x = start(net, dtype)
    batches = x[:2], x[2:4], x[4:]
    comp = network.recompute_statistics(net, params, running, iter(batches))

    ref = {name: [] for name in running}
    for batch in batches:
        a = batch.reshape(2, -1)
        for layer in "12":
            s = naive.dense(a, params[f"fc{layer}.w"])               # the real weights, no dropout
            ones, zeros = np.ones(s.shape[1]), np.zeros(s.shape[1])
            _, mean, var = naive.batchnorm(s, ones, zeros, zeros, zeros, 1.0, 1e-4)
            ref[f"bn{layer}.mean"].append(mean)
            ref[f"bn{layer}.var"].append(var)
            a = naive.sign(naive.batchnorm(s, params[f"bn{layer}.gamma"], params[f"bn{layer}.beta"], zeros, zeros,
                                           1.0, 1e-4)[0])
    assert comp.keys() == running.keys()
    for name, values in ref.items():
        assert_agree(comp[name], sum(values) / 3, dtype)


def test_recompute_statistics_of_a_network_without_any_is_empty():
    net = (steps.dense_step("fc", 3, 2),)
    params, running = network.init(net, np.random.default_rng(0))
    assert network.recompute_statistics(net, params, running, [np.zeros((2, 3), np.float32)]) == {}


def test_recompute_statistics_takes_the_statistics_of_each_batch_alone():
    def forward(x, w, mean, setting, *, alpha):
        assert (setting, alpha) == (5, 1.0)
        return x * w, None, 0 * mean + x.mean()

    def last(x, mean, eps=1e-4, *, alpha):
        assert (eps, alpha) == (1e-4, 1.0)                        # not at the place of a setting that has a default
        return x, None, 0 * mean + x.mean()

    net = (Step("norm", forward, None, None, (Param("w", (1,), None),), (("mean", (1,), 0.0),), settings=(5,)),
           Step("after", None, None, lambda x: x + 1),
           Step("last", last, None, None, running=(("mean", (1,), 0.0),)))
    running = {"norm.mean": np.zeros(1), "last.mean": np.zeros(1)}
    comp = network.recompute_statistics(net, {"norm.w": np.array([2.0])}, running, [np.array([1.0, 2.0]), np.ones(1)])
    assert {name: value.tolist() for name, value in comp.items()} == {"norm.mean": [1.25], "last.mean": [3.5]}


# freezing


@pytest.mark.task_bnn
@pytest.mark.parametrize("dense", [steps.dense_step, steps.binary_dense_step, steps.stochastic_binary_dense_step])
@pytest.mark.parametrize("activation", [steps.relu_step, steps.sign_step, steps.stochastic_sign_step])
def test_frozen_network_has_the_same_value_with_the_same_noise(dense, activation):
    net = (steps.dropout_step("drop0", 0.3), steps.stochastic_binary_conv_step("conv0", 2, 3, 2, 1, -1.0),
           steps.max_pool_step("pool0", 2, 1), steps.flatten_step("flat"), dense("fc1", 18, 5),
           steps.batchnorm_step("bn1", 5), activation("act1"), dense("fc2", 5, 3))
    params, running, x = start(net)
    frozen = network.freeze(net, params, running, x, np.random.default_rng(8))
    ref_out, _, ref_running = network.forward(net, params, running, x, np.random.default_rng(8))
    comp_out, _, comp_running = network.forward(frozen, params, running, x, np.random.default_rng(8))
    np.testing.assert_allclose(comp_out, ref_out, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(comp_running["bn1.mean"], ref_running["bn1.mean"], rtol=1e-12, atol=1e-12)
    assert [step.name for step in frozen] == [step.name for step in net]
    for before, after in zip(net, frozen):
        assert (after.forward is before.forward) == (before.surrogate is None)
        assert replace(after, forward=before.forward) == before


def test_surrogates_are_taken_at_the_point_with_its_arrays_noise_and_settings():
    seen = []

    def surrogate(*args):
        seen.append(args)
        return "frozen"

    net = (Step("one", lambda x, *_: (f"{x}>one", None), None, None, settings=(3,)),
           Step("two", lambda x, *_: (f"{x}>two", None), None, None, (Param("w", (), None),), (("mean", (), 0),),
                lambda rng, x, w: (rng, x, w), (5, 6), surrogate))
    frozen = network.freeze(net, {"two.w": "w"}, {"two.mean": "m"}, "x", "rng")
    assert seen == [("x>one", "w", "m", "rng", "x>one", "w", 5, 6)]
    assert frozen[0] is net[0] and frozen[1].forward == "frozen"


def test_statistics_of_no_batches_are_refused():
    with pytest.raises(ValueError, match=r"^batches: expected at least one minibatch, got none$"):
        network.recompute_statistics((steps.batchnorm_step("bn", 2),), {}, {}, [])


# the steps of the papers


@pytest.mark.parametrize("kind", ["binary", "ternary"])
def test_the_shifts_of_quantized_inputs_are_the_authors(kind):
    """In maps exponents from -4 to 3, and so powers of two from 2⁻⁴ to 2⁴; in dense layers any."""
    x = np.array([2.0**-30, 2.0**-5, 0.06, 2.0**-4, 2.0**4, 17.0, 2.0**30, -(2.0**-30), -(2.0**30)])
    step = getattr(steps, f"{kind}_few_mult_conv_step")("conv", 1, 1, 1, 0, 0.0)
    maps, w = x.reshape(1, 1, 3, 3), np.ones((1, 1, 1, 1))
    _, (quantized, *_) = step.forward(maps, w, 0 * w, 0 * maps, *step.settings)
    assert quantized.ravel().tolist() == [2**-4, 2**-4, 2**-4, 2**-4, 16, 16, 16, -(2**-4), -16]
    step = getattr(steps, f"{kind}_few_mult_dense_step")("fc", 9, 1)
    _, (quantized, *_) = step.forward(x[None], np.ones((9, 1)), np.zeros((9, 1)), 0 * x[None], *step.settings)
    assert quantized[0].tolist() == [2**-30, 2**-5, 2**-4, 2**-4, 2**4, 2**5, 2**30, -(2**-30), -(2**30)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [
    steps.binary_few_mult_dense_step, steps.ternary_few_mult_dense_step], ids=lambda make: make.__name__)
def test_weights_and_inputs_have_draws_of_their_own(make, dtype):
    """Uniform in [0, 1), each number a new one: neither the other's nor a function of it."""
    step, rng = make("fc", 200, 200), np.random.default_rng(0)
    for n in (200, 100, 300):                                      # as many inputs as weights, fewer, more
        x, w = np.zeros((n, 200), dtype), np.zeros((200, 200), dtype)
        u, r = step.draw(rng, x, w)
        assert (u.shape, r.shape) == (w.shape, x.shape) and u.dtype == r.dtype == dtype
        for draw in (u, r):
            assert 0 <= draw.min() and draw.max() < 1
            counts = np.histogram(draw, 10, (0, 1))[0] / draw.size
            assert np.abs(counts - 0.1).max() < 6 * 0.3 / draw.size**0.5
        both = min(u.size, r.size)
        for one in (u.ravel()[:both], u.ravel()[:both][::-1], u.T.ravel()[:both]):
            # of numbers without any relation 1/√both on average
            assert np.abs(np.corrcoef(one, r.ravel()[:both])[0, 1]) < 6 / both**0.5


def test_every_step_that_draws_draws_anew():
    """From one generator, twice in a row, and for two steps: four times other numbers."""
    x = np.zeros((50, 40))
    for make in (steps.stochastic_binary_dense_step, steps.binary_few_mult_dense_step):
        one, other = make("one", 40, 30), make("other", 40, 30)
        rng, w = np.random.default_rng(0), np.zeros((40, 30))
        draws = [array.ravel() for step in (one, one, other, other) for array in network.as_tuple(step.draw(rng, x, w))]
        everything = np.concatenate(draws)
        assert len(np.unique(everything)) == everything.size
    rng = np.random.default_rng(0)
    act, drop = steps.stochastic_sign_step("act"), steps.dropout_step("drop", 0.5)
    assert not np.array_equal(act.draw(rng, x), act.draw(rng, x))
    assert not np.array_equal(drop.draw(rng, x), drop.draw(rng, x))


@pytest.mark.parametrize("make", [steps.batchnorm_step, steps.shift_batchnorm_step], ids=lambda make: make.__name__)
def test_a_normalization_that_has_seen_nothing_changes_nothing(make):
    net = (make("bn", 3),)
    params, running = network.init(net, np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).standard_normal((4, 3))
    np.testing.assert_allclose(network.predict(net, params, running, x), x, rtol=1e-4)


DENSE = {"binary": binarize.sign, "stochastic_binary": lambda w: w, "bit_plane": binarize.sign,
         "ternary": ternary.ternary, "binary_few_mult": lambda w: w, "ternary_few_mult": lambda w: w}


@pytest.mark.parametrize("kind", DENSE)
def test_real_weights_behind_others_begin_in_their_whole_range_and_are_clipped(kind):
    net = (getattr(steps, f"{kind}_dense_step")("fc", 60, 50),
           getattr(steps, f"{kind}_conv_step")("conv", 20, 15, 3, 1, 0.0))
    params, _ = network.init(net, np.random.default_rng(0))
    assert params["conv.w"].shape == (15, 20, 3, 3)
    for w in params.values():
        assert 0.98 < w.max() <= 1 and -1 <= w.min() < -0.98
        assert w.std() == pytest.approx(1 / 3**0.5, rel=0.05)
    assert all(spec.binary for spec in network.param_specs(net).values())


def test_weights_of_bitwise_networks_begin_as_glorot_says_and_are_not_clipped():
    for make in (steps.compressed_dense_step, steps.bitwise_dense_step(0.1)):
        net = (make("fc", 60, 50),)
        params, _ = network.init(net, np.random.default_rng(0))
        assert 0.98 < np.abs(params["fc.w"]).max() / (6 / 110)**0.5 <= 1
        assert not params["fc.b"].any()
        assert not any(spec.binary for spec in network.param_specs(net).values())


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("pad, pad_value", [(0, 0.0), (1, -1.0), (1, 1.0), (2, 0.0)])
def test_a_convolution_has_its_border_at_test_time_too(kind, pad, pad_value):
    rng = np.random.default_rng(0)
    x, w = (2.0 * rng.integers(0, 256, (2, 3, 4, 5)) - 255) / 256, rng.uniform(-1, 1, (2, 3, 3, 3))
    step = getattr(steps, f"{kind}_conv_step")("conv", 3, 2, 3, pad, pad_value)
    out = network.predict((step,), {"conv.w": w}, {}, x)
    assert_agree(out, naive.conv(x, DENSE[kind](w), 1, pad, pad_value), np.float64)


def test_boundaries_are_those_of_the_sparsity_that_the_step_was_made_for():
    w, b = np.arange(1.0, 21.0).reshape(4, 5), np.arange(1.0, 6.0)
    for sparsity, beta_w, beta_b in ((0.0, 0, 0), (0.2, 5, 2), (0.4, 9, 3), (0.9, 19, 5)):
        step = steps.bitwise_dense_step(sparsity)("fc", 4, 5)
        assert [float(beta) for beta in step.refresh(w, b)] == [beta_w, beta_b]
