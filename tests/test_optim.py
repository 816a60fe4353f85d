"""Update rules: several steps against the papers' scalar rules, in every layout, with the caller's arrays untouched."""

import math

import naive
import numpy as np
import pytest
from naive import DTYPES, LAYOUTS, assert_agree, read_only, sample

from bnn_ref import optim

BLOCK = 32768


def _sgd(w, state, g, lr, t):
    return naive.sgd(w, g, lr), ()


def _momentum(w, state, g, lr, t, mu=0.9):
    w, v = naive.momentum(w, *(state or (0.0,)), g, lr, mu)
    return w, (v,)


def _nesterov(w, state, g, lr, t, mu=0.9):
    w, v = naive.nesterov(w, *(state or (0.0,)), g, lr, mu)
    return w, (v,)


def _adam(w, state, g, lr, t, beta1=0.9, beta2=0.999, eps=1e-8):
    w, m, u = naive.adam(w, *(state or (0.0, 0.0)), g, t, lr, beta1, beta2, eps)
    return w, (m, u)


# the rule, its scalar form, the names of its state in the order of the scalar form's
RULES = {"SGD": (optim.SGD, _sgd, ()), "momentum": (optim.MOMENTUM, _momentum, ("velocity",)),
         "Nesterov": (optim.NESTEROV, _nesterov, ("velocity",)), "Adam": (optim.ADAM, _adam, ("m", "u"))}


def run(rule, params, all_grads, lr, **settings):
    """The parameters and the state after a step for each of all_grads; refuses a rule that changes what it is given."""
    state = rule.init(params)
    for grads in all_grads:
        freeze(state)
        keys = list(params), list(grads), list(state)
        new_params, new_state = rule.step(params, grads, state, lr, **settings)
        assert keys == (list(params), list(grads), list(state))
        assert new_params is not params and new_state is not state and list(new_params) == list(params)
        for name, w in new_params.items():
            assert not np.shares_memory(w, params[name])
        params, state = new_params, new_state
        freeze(params)
    return params, state


def freeze(arrays):
    for value in arrays.values():
        if isinstance(value, dict):
            freeze(value)
        elif isinstance(value, np.ndarray):
            value.flags.writeable = False


def assert_agrees_with_scalar_rule(name, params, all_grads, lr, **settings):
    rule, scalar_step, parts = RULES[name]
    comp_params, comp_state = run(rule, params, all_grads, lr, **settings)
    assert comp_state.keys() == {"t", *parts} and comp_state["t"] == len(all_grads)
    for key, w in params.items():
        rate = lr[key] if isinstance(lr, dict) else lr
        ref_w, ref_parts = np.zeros(w.shape), [np.zeros(w.shape) for _ in parts]
        for index in np.ndindex(w.shape):
            number, state = float(w[index]), ()
            for t, grads in enumerate(all_grads, start=1):
                number, state = scalar_step(number, state, float(grads[key][index]), rate, t, **settings)
            ref_w[index] = number
            for ref_part, value in zip(ref_parts, state):
                ref_part[index] = value
        assert_agree(comp_params[key], ref_w, w.dtype)
        for part, ref_part in zip(parts, ref_parts):
            assert comp_state[part].keys() == params.keys()
            assert_agree(comp_state[part][key], ref_part, w.dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_several_steps_agree_with_the_scalar_rule(name, dtype, layout):
    rng = np.random.default_rng(0)
    shapes = {"fc1.w": (5, 3), "bn1.beta": (7,), "conv1.w": (2, 1, 3, 2), "scale": (), "none": (0, 3)}
    params = {key: sample(rng, shape, dtype, layout) for key, shape in shapes.items()}
    all_grads = [{key: sample(rng, shape, dtype, layout) for key, shape in reversed(shapes.items())} for _ in range(4)]
    assert_agrees_with_scalar_rule(name, params, all_grads, 0.03)
    assert_agrees_with_scalar_rule(name, params, all_grads, {key: 0.01 * i for i, key in enumerate(shapes)})


@pytest.mark.parametrize("name, settings", [("momentum", {"mu": 0.5}), ("Nesterov", {"mu": 0.5}),
                                            ("Adam", {"beta1": 0.6, "beta2": 0.7, "eps": 0.1})])
def test_settings_reach_the_rule(name, settings):
    rng = np.random.default_rng(1)
    params, *all_grads = ({"w": sample(rng, (3, 5))} for _ in range(4))
    assert_agrees_with_scalar_rule(name, params, all_grads, 0.1, **settings)


@pytest.mark.parametrize("order", ["C", "F"])
def test_adam_walks_arrays_of_many_blocks_and_a_ragged_rest(order):
    rng = np.random.default_rng(2)
    shape = (2 * BLOCK + 123) // 7, 7
    whole = {"w": read_only(np.array(rng.standard_normal(shape), order=order))}
    all_grads = [{"w": read_only(np.array(rng.standard_normal(shape), order=order))} for _ in range(3)]
    rows = {str(row): whole["w"][row] for row in (0, BLOCK // 7, BLOCK // 7 + 1, shape[0] - 1)}
    comp_whole, comp_state = run(optim.ADAM, whole, all_grads, 0.1)
    assert comp_whole["w"].shape == shape
    row_grads = [{row: grads["w"][int(row)] for row in rows} for grads in all_grads]
    ref_rows, ref_state = run(optim.ADAM, rows, row_grads, 0.1)
    for row, ref in ref_rows.items():
        np.testing.assert_array_equal(comp_whole["w"][int(row)], ref)
        np.testing.assert_array_equal(comp_state["u"]["w"][int(row)], ref_state["u"][row])
    assert (comp_whole["w"] != whole["w"]).all()


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_blocks_cover_every_entry_once_and_fit_the_cache(size):
    numbers, counts = np.arange(size), np.zeros(size, int)
    lengths = []
    for part, count in optim._blocks(numbers, counts):
        np.testing.assert_array_equal(part, np.arange(part[0], part[0] + len(part)))
        count += 1
        lengths.append(len(part))
    assert (counts == 1).all()
    assert lengths == [BLOCK] * (size // BLOCK) + [size % BLOCK] * (size % BLOCK > 0)


@pytest.mark.parametrize("name", RULES)
def test_state_begins_at_zero_in_the_dtype_of_the_parameters(name):
    rule, _, parts = RULES[name]
    params = {"a": np.ones((2, 3), np.float32), "b": np.ones(4)}
    state = rule.init(params)
    assert state.keys() == {"t", *parts} and state["t"] == 0
    for part in parts:
        for key, w in params.items():
            assert state[part][key].dtype == w.dtype
            np.testing.assert_array_equal(state[part][key], np.zeros(w.shape))


@pytest.mark.parametrize("name", RULES)
def test_gradients_that_do_not_fit_are_refused(name):
    rule = RULES[name][0]
    params = {"a": np.ones(3), "b": np.ones((2, 2))}
    state = rule.init(params)
    for grads, odd in (({"a": np.ones(3)}, "b"), ({**params, "z": np.ones(1)}, "z"), ({"c": np.ones(3)}, "a, b, c")):
        with pytest.raises(ValueError, match=rf"^grads: expected the names of params, got a difference in {odd}$"):
            rule.step(params, grads, state, 0.1)
    with pytest.raises(ValueError, match=r"^grads: expected shape \(2, 2\) for b, got \(4,\)$"):
        rule.step(params, {"a": np.ones(3), "b": np.ones(4)}, state, 0.1)


def test_rules_as_data():
    comp = {rule.name: (rule.init, rule.step, rule.glorot_power) for rule, *_ in RULES.values()}
    assert comp == {"SGD": (optim.sgd_init, optim.sgd_step, 2),
                    "momentum": (optim.momentum_init, optim.momentum_step, 2),
                    "Nesterov": (optim.momentum_init, optim.nesterov_step, 2),
                    "Adam": (optim.adam_init, optim.adam_step, 1)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_weights_clips_the_named_ones_alone(dtype):
    rng = np.random.default_rng(3)
    params = {"w": sample(rng, (4, 5), dtype), "beta": sample(rng, (20,), dtype)}
    comp = optim.clip_weights(params, {"w": (4, 5)})
    assert list(comp) == ["w", "beta"] and comp["beta"] is params["beta"]
    assert comp["w"].dtype == dtype
    np.testing.assert_array_equal(comp["w"], naive.hard_tanh(params["w"]))


# learning rates

TABLE = [((784, 1024), 34.718, 1205.33), ((1024, 1024), 36.950, 1365.33), ((1024, 10), 26.255, 689.33),
         ((784, 2048), 43.451, 1888.00), ((2048, 2048), 52.256, 2730.67), ((2048, 10), 37.041, 1372.00),
         ((784, 4096), 57.038, 3253.33), ((4096, 4096), 73.901, 5461.33), ((4096, 10), 52.320, 2737.33),
         ((128, 3, 3, 3), 28.036, 786.00), ((128, 128, 3, 3), 39.192, 1536.00), ((512, 512, 3, 3), 78.384, 6144.00),
         ((8192, 1024), 78.384, 6144.00)]


@pytest.mark.parametrize("shape, inverse, inverse_square", TABLE, ids=str)
def test_glorot_coefficients_of_the_papers_networks(shape, inverse, inverse_square):
    comp = optim.glorot_coefficient(shape)
    assert round(1 / comp, 3) == inverse
    assert round(1 / comp**2, 2) == inverse_square


def test_glorot_coefficient_of_a_kernel_that_is_not_square():
    ref = naive.glorot_coefficient(2 * 5 * 3, 2 * 5 * 4)          # 3 channels in, 4 out
    assert math.isclose(optim.glorot_coefficient((4, 3, 2, 5)), ref, rel_tol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (3, 3, 3)], ids=str)
def test_glorot_coefficient_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"^shape: expected that of a dense or a convolution weight, got \("):
        optim.glorot_coefficient(shape)


@pytest.mark.parametrize("power", [1, 2])
def test_learning_rates_scale_binary_weights_by_a_power_of_the_coefficient(power):
    names = ["fc1.w", "bn1.gamma", "fc2.w"]
    comp = optim.learning_rates(0.3, {"fc1.w": (784, 1024)}, names, power)
    assert list(comp) == names
    assert comp["bn1.gamma"] == comp["fc2.w"] == 0.3
    assert math.isclose(comp["fc1.w"], 0.3 / naive.glorot_coefficient(784, 1024)**power, rel_tol=1e-12)


def test_exponential_decay_begins_at_the_start_and_would_end_after_the_last_epoch():
    comp = [optim.exponential_decay(0.3, 0.01, epoch, 7) for epoch in range(1, 9)]
    ref = [naive.exponential_decay(0.3, 0.01, epoch, 7) for epoch in range(1, 9)]
    np.testing.assert_allclose(comp, ref, rtol=1e-12)
    assert comp[0] == 0.3 and math.isclose(comp[-1], 0.01, rel_tol=1e-12)
