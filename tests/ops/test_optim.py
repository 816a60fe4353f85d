"""Update rules: several steps against the papers' scalar rules, in every layout, with the caller's arrays untouched."""

import inspect
import math

import numpy as np
import pytest

from bnn_ref.ops import optim
from bnn_ref.ops.powers import ap2
from tests.ops import naive, naive_shift
from tests.ops.naive import DTYPES, LAYOUTS, assert_agree, read_only, sample

pytestmark = pytest.mark.task_optimizers

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


def _adamax(w, state, g, lr, t, beta1=0.9, beta2=0.999, eps=1e-8):
    w, m, v = naive_shift.adamax(w, *(state or (0.0, 0.0)), g, t, lr, beta1, beta2, eps)
    return w, (m, v)


def _shift_adamax(w, state, g, lr, t, beta1=0.9, beta2=0.999, eps=1 / 134217728):
    w, m, v = naive_shift.shift_adamax(w, *(state or (0.0, 0.0)), g, t, lr, beta1, beta2, eps)
    return w, (m, v)


def _shift_adamax_printed(w, state, g, lr, t, beta1=0.875, beta2=1023 / 1024):
    w, m, v = naive_shift.shift_adamax_printed(w, *(state or (0.0, 0.0)), g, t, lr, beta1, beta2)
    return w, (m, v)


# the rule, its scalar form, the names of its state in the order of the scalar form's
RULES = {"SGD": (optim.SGD, _sgd, ()), "momentum": (optim.MOMENTUM, _momentum, ("velocity",)),
         "Nesterov": (optim.NESTEROV, _nesterov, ("velocity",)), "Adam": (optim.ADAM, _adam, ("m", "u")),
         "AdaMax": (optim.ADAMAX, _adamax, ("m", "v")),
         "shift-based AdaMax": (optim.SHIFT_ADAMAX, _shift_adamax, ("m", "v")),
         "shift-based AdaMax as printed": (optim.SHIFT_ADAMAX_PRINTED, _shift_adamax_printed, ("m", "v"))}


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
                                            ("Adam", {"beta1": 0.6, "beta2": 0.7, "eps": 0.1}),
                                            ("AdaMax", {"beta1": 0.6, "beta2": 0.7, "eps": 0.1}),
                                            ("shift-based AdaMax", {"beta1": 0.6, "beta2": 0.6, "eps": 0.1}),
                                            ("shift-based AdaMax as printed", {"beta1": 0.6, "beta2": 0.7})])
def test_settings_reach_the_rule(name, settings):
    rng = np.random.default_rng(1)
    params, *all_grads = ({"w": sample(rng, (3, 5))} for _ in range(4))
    assert_agrees_with_scalar_rule(name, params, all_grads, 0.1, **settings)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rule", [optim.ADAM, optim.ADAMAX, optim.SHIFT_ADAMAX], ids=lambda rule: rule.name)
def test_rules_by_blocks_walk_arrays_of_many_blocks_and_a_ragged_rest(rule, order):
    rng = np.random.default_rng(2)
    shape = (2 * BLOCK + 123) // 7, 7
    whole = {"w": read_only(np.array(rng.standard_normal(shape), order=order))}
    all_grads = [{"w": read_only(np.array(rng.standard_normal(shape), order=order))} for _ in range(3)]
    rows = {str(row): whole["w"][row] for row in (0, BLOCK // 7, BLOCK // 7 + 1, shape[0] - 1)}
    comp_whole, comp_state = run(rule, whole, all_grads, 0.1)
    assert comp_whole["w"].shape == shape
    row_grads = [{row: grads["w"][int(row)] for row in rows} for grads in all_grads]
    ref_rows, ref_state = run(rule, rows, row_grads, 0.1)
    for row, ref in ref_rows.items():
        np.testing.assert_array_equal(comp_whole["w"][int(row)], ref)
        for part in comp_state.keys() - {"t"}:
            np.testing.assert_array_equal(comp_state[part]["w"][int(row)], ref_state[part][row])
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
                    "Adam": (optim.adam_init, optim.adam_step, 1),
                    "AdaMax": (optim.adamax_init, optim.adamax_step, 1),
                    "shift-based AdaMax": (optim.shift_adamax_init, optim.shift_adamax_step, 1),
                    "shift-based AdaMax as printed": (optim.shift_adamax_init, optim.shift_adamax_printed_step, 1)}


# AdaMax by shifts


def walk(step, gradients, lr, dtype=np.float64):
    """(w, m, v) of one weight, 0 at first, after each of its gradients."""
    params, state = {"w": np.zeros(1, dtype)}, optim.shift_adamax_init({"w": np.zeros(1, dtype)})
    path = []
    for g in gradients:
        params, state = step(params, {"w": np.array([g], dtype)}, state, lr)
        path.append((params["w"].item(), state["m"]["w"].item(), state["v"]["w"].item()))
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_steps_of_each_rule_by_hand(dtype):
    def assert_path(step, *ref):                           # to the digits that the rules' ε leave alone
        np.testing.assert_allclose(walk(step, [3, -1], 2**-6, dtype), ref, rtol=1e-8 if dtype == np.float64 else 1e-6)

    # m = 0.3, then 0.27 - 0.1; η/(1 - β₁ᵗ) = 0.16, rounded to 1/8, then 0.082, rounded to 1/16; 3 is rounded to 4
    assert_path(optim.adamax_step, (-0.015625, 0.3, 3), (-0.015625 - 2**-6 / 0.19 * 0.17 / 2.997, 0.17, 2.997))
    assert_path(optim.shift_adamax_step, (-0.3 / 32, 0.3, 4), (-0.3 / 32 - 0.17 / 64, 0.17, 4))
    # m = 3/8, then 21/64 - 8/64; 1/(1 - β₁ᵗ) = 8, then 64/15, rounded to 4
    assert_path(optim.shift_adamax_printed_step, (-3 / 256, 0.375, 3),
                (-3 / 256 - 13 / 64 / 64, 13 / 64, 3 * 1023 / 1024))


def test_defaults_are_those_of_the_authors():
    """Not to be told from a few steps: a rounded maximum does not decay, whatever β₂ (see the next test)."""
    comp = [inspect.signature(step).parameters for step in (optim.shift_adamax_step, optim.shift_adamax_printed_step)]
    assert [(of["beta1"].default, of["beta2"].default) for of in comp] == [(0.9, 0.999), (0.875, 1023 / 1024)]


def test_float32_is_computed_in_float32():
    rng = np.random.default_rng(3)
    w, g = ({"w": rng.standard_normal(1000, dtype=np.float32)} for _ in range(2))
    rate, eps = np.float32([1 / 8, 2**-27])                # AP2(η/(1 - β₁)) for both rules, with η = 2^(-6)
    power = ap2(np.abs(g["w"]))
    for step, m, v in ((optim.shift_adamax_step, np.float32(1 - 0.9) * g["w"], power + eps),
                       (optim.shift_adamax_printed_step, g["w"] / 8, power)):
        comp = step(w, g, optim.shift_adamax_init(w), 2**-6)[0]["w"]
        np.testing.assert_array_equal(comp, w["w"] - rate * m / v, strict=True)


def test_a_maximum_that_is_stored_rounded_never_decays():
    gradients = [3.0] + [0.01] * 1500
    coded, printed = ([v for _, _, v in walk(step, gradients, 2**-10)]
                      for step in (optim.shift_adamax_step, optim.shift_adamax_printed_step))
    np.testing.assert_array_equal(coded, np.full(1501, 4 + 2**-27))
    np.testing.assert_allclose(printed, 3 * (1023 / 1024) ** np.arange(1501), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_a_gradient_the_weight_stays_and_the_maximum_stops_at_five_eps(dtype):
    path = np.array(walk(optim.shift_adamax_step, [0.0] * 6, 0.1, dtype))
    np.testing.assert_array_equal(path[:, 2], np.array([1, 2, 3, 5, 5, 5]) * 2**-27)
    np.testing.assert_array_equal(path[:, :2], np.zeros((6, 2)))
    np.testing.assert_array_equal(walk(optim.shift_adamax_printed_step, [0.0] * 3, 0.1, dtype), np.zeros((3, 3)))


def test_the_printed_rule_divides_by_the_smallest_maximum_and_shows_what_is_not_a_number():
    tiny = 2.0**-1074                                      # 1/tiny would be infinite
    (w, m, v), = walk(optim.shift_adamax_printed_step, [tiny], 1.0)
    assert (w, m, v) == (0, 0, tiny)                       # β₁ is so large that m is rounded to 0
    (w, _, v), = walk(optim.shift_adamax_printed_step, [2.0**-1060], 1.0)
    assert (w, v) == (-1, 2.0**-1060)
    assert np.isnan(walk(optim.shift_adamax_printed_step, [np.nan], 1.0)).all()
    assert np.isnan(walk(optim.shift_adamax_step, [np.nan], 1.0)).all()


@pytest.mark.parametrize("factor", [1.0, 1.4, 1.5, 26.255, 34.718, 36.95, 64.0])
def test_how_far_the_steps_are_from_those_of_the_authors_models(factor):
    """One gradient all along: m / v is known, and what is left of a step is its rate."""
    eta = 2.0**-6
    path = walk(optim.shift_adamax_step, [1.0] * 400, eta * factor)
    w, m, v = (np.array(column) for column in zip(*path))
    comp = -np.diff(w, prepend=0) * v / m
    np.testing.assert_array_equal(np.frexp(comp.astype(np.float32))[0], 0.5)          # each is a power of two
    alone = np.array([naive_shift.ap2(eta / (1 - 0.9**t)) for t in range(1, 401)])
    mnist, cifar = comp / (alone * factor), comp / (alone * naive_shift.ap2(factor))
    for ratio in mnist, cifar:
        assert 0.5 - 1e-9 < ratio.min() and ratio.max() < 2 + 1e-9
    np.testing.assert_allclose(cifar[-1], 1, rtol=1e-9)
    assert 2**-0.5 < mnist[-1] < 2**0.5


# clipping


@pytest.mark.task_binaryconnect
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


@pytest.mark.task_binaryconnect
@pytest.mark.parametrize("shape, inverse, inverse_square", TABLE, ids=str)
def test_glorot_coefficients_of_the_papers_networks(shape, inverse, inverse_square):
    comp = optim.glorot_coefficient(shape)
    assert round(1 / comp, 3) == inverse
    assert round(1 / comp**2, 2) == inverse_square


@pytest.mark.task_binaryconnect
def test_glorot_coefficient_of_a_kernel_that_is_not_square():
    ref = naive.glorot_coefficient(2 * 5 * 3, 2 * 5 * 4)          # 3 channels in, 4 out
    assert math.isclose(optim.glorot_coefficient((4, 3, 2, 5)), ref, rel_tol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (3, 3, 3)], ids=str)
def test_glorot_coefficient_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"^shape: expected that of a dense or a convolution weight, got \("):
        optim.glorot_coefficient(shape)


@pytest.mark.task_binaryconnect
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


@pytest.mark.parametrize("lr_end, last", [(2**-9, 2**-9), (0.001, 2**-10), (2**-9 * 1.1, 2**-9), (2**-9 * 1.5, 2**-8)])
def test_halving_ends_at_the_power_of_two_of_the_start_that_is_nearest(lr_end, last):
    rates = [optim.halving_decay(2**-6, lr_end, epoch, 40) for epoch in range(1, 41)]
    assert (rates[0], rates[-1]) == (2**-6, last)
    assert rates == sorted(rates, reverse=True) and {math.frexp(rate)[0] for rate in rates} == {0.5}
    assert 2**-0.5 <= lr_end / last <= 2**0.5


# PyTorch's place of ε


def test_adam_has_pytorchs_steps_with_another_eps():
    """PyTorch: η/(1-β₁ᵗ) · m / (√(u/(1-β₂ᵗ)) + ε). The same ε moves the first step by 0.7 η at most."""
    eps, m, u, w = 1e-3, 0.0, 0.0, 0.5
    params, state = {"w": np.array([0.5])}, optim.adam_init({"w": np.zeros(1)})
    for t, g in enumerate([3e-3, -1e-3, 2e-4, 5e-3], start=1):
        m, u = 0.9 * m + 0.1 * g, 0.999 * u + 0.001 * g * g
        w -= 0.01 / (1 - 0.9**t) * m / (math.sqrt(u / (1 - 0.999**t)) + eps)
        params, state = optim.adam_step(params, {"w": np.array([g])}, state, 0.01, eps=eps * math.sqrt(1 - 0.999**t))
        assert params["w"][0] == pytest.approx(w, rel=1e-12)
    g = np.geomspace(1e-3, 1e3, 1001) * eps
    here = -optim.adam_step({"w": 0 * g}, {"w": g}, optim.adam_init({"w": g}), 1.0, eps=eps)[0]["w"]
    assert 0.69 < np.max(np.abs(g / (g + eps) - here)) < 0.7


def test_adamax_adds_eps_behind_the_maximum_and_pytorch_within():
    """PyTorch: v ← max(β₂ v, |g| + ε), w ← w - η/(1-β₁ᵗ) · m / v: alike until its ε decays with v."""
    eps, m, v = 1e-3, 0.0, 0.0
    params, state = {"w": np.zeros(1)}, optim.adamax_init({"w": np.zeros(1)})
    for t, (g, alike) in enumerate([(3e-3, True), (5e-3, True), (1e-4, False)], start=1):
        m, v = 0.9 * m + 0.1 * g, max(0.999 * v, g + eps)
        step = 0.01 / (1 - 0.9**t) * m / v
        new, state = optim.adamax_step(params, {"w": np.array([g])}, state, 0.01, eps=eps)
        assert (params["w"][0] - new["w"][0] == pytest.approx(step, rel=1e-12)) == alike
        params = new


# what is handed in

STEPS = [optim.SGD, optim.MOMENTUM, optim.NESTEROV, optim.ADAM, optim.ADAMAX, optim.SHIFT_ADAMAX,
         optim.SHIFT_ADAMAX_PRINTED]


@pytest.mark.parametrize("rule", STEPS, ids=lambda rule: rule.name)
@pytest.mark.parametrize("grads, error, message", [
    ({"w": np.zeros(3)}, TypeError, "grads: expected float32 for w, as it is, got float64"),
    ({"w": np.zeros(3, int)}, TypeError, "grads: expected float32 for w, as it is, got int64"),
    ({"w": np.zeros(3, ">f4")}, TypeError, "grads: expected float32 for w, as it is, got >f4"),
    ({"w": [0.0, 0.0, 0.0]}, TypeError, "grads: expected float32 for w, as it is, got list"),
    ({"w": None}, TypeError, "grads: expected float32 for w, as it is, got NoneType"),
    ({"w": np.ma.zeros(3, np.float32)}, TypeError, "grads: expected float32 for w, as it is, got MaskedArray"),
    ({"w": np.zeros(4, np.float32)}, ValueError, "grads: expected shape (3,) for w, got (4,)"),
    ({"w": np.zeros((), np.float32)}, ValueError, "grads: expected shape (3,) for w, got ()"),
    ({}, ValueError, "grads: expected the names of params, got a difference in w"),
    ({"w": np.zeros(3, np.float32), "v": np.zeros(3)}, ValueError,
     "grads: expected the names of params, got a difference in v"),
    ([np.zeros(3, np.float32)], TypeError, "grads: expected a dict of arrays by name, got list"),
])
def test_gradients_that_are_not_those_of_the_parameters(rule, grads, error, message):
    params = {"w": np.zeros(3, np.float32)}
    with pytest.raises(error) as caught:
        rule.step(params, grads, rule.init(params), 0.1)
    assert str(caught.value) == message


@pytest.mark.parametrize("w", [np.zeros(3, int), [0.0], np.zeros(3, np.float16)], ids=str)
def test_parameters_that_no_rule_moves(w):
    with pytest.raises(TypeError, match=r"^params: expected a float32 or float64 array for w, got (int|list|float16)"):
        optim.sgd_step({"w": w}, {"w": w}, {"t": 0}, 0.1)


def test_rates_that_do_not_name_all_parameters():
    params = {"w": np.zeros(3), "v": np.zeros(2)}
    with pytest.raises(ValueError, match=r"^lr: expected a rate for each of params, got none for v$"):
        optim.sgd_step(params, params, {"t": 0}, {"w": 0.1})


@pytest.mark.parametrize("rule", STEPS, ids=lambda rule: rule.name)
@pytest.mark.parametrize("rate", [np.float64(0.1), {"w": np.float64(0.1)}], ids=str)
def test_a_rate_that_is_a_numpy_scalar_widens_nothing(rule, rate):
    params = {"w": np.ones(3, np.float32)}
    new, state = rule.step(params, params, rule.init(params), rate)
    arrays = [new["w"], *(part["w"] for part in state.values() if isinstance(part, dict))]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    if rule in (optim.MOMENTUM, optim.NESTEROV):
        new, state = rule.step(params, params, state, 0.1, mu=np.float64(0.9))
        assert new["w"].dtype == state["velocity"]["w"].dtype == np.float32


def test_a_weight_of_no_dimensions_may_have_a_scalar_as_its_gradient():
    new, _ = optim.adam_step({"w": np.array(1.0)}, {"w": np.float64(2.0)}, optim.adam_init({"w": np.array(1.0)}), 0.1)
    assert new["w"] == pytest.approx(0.9)
