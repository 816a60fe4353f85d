"""Costs: the kinds are what the steps really compute with, the counts are those of loops, the sums are the papers'."""

from dataclasses import replace

import numpy as np
import pytest

from bnn_ref.nets import costs, inputs, network, recipe, steps
from bnn_ref.nets.network import Step
from bnn_ref.ops import bitwise, dense, few_mult, losses
from bnn_ref.papers import PAPERS
from bnn_ref.training import loop
from tests.nets import naive_costs

MAKERS = [name for name in vars(steps) if name.endswith("_step") and not name.startswith("_")]


def rows_of(*net, shape=(1, 2, 3)):
    return costs.inference_costs(net, shape)


def counts(row):
    return row.multiplications, row.additions, row.xnor_popcounts, row.words


# --- the kinds are what the steps compute with ---------------------------------------------------------------------


def _product_steps():
    """(label, step) of every product of the vocabulary with 5 inputs and 4 units that is linear in its inputs."""
    for name in MAKERS:
        maker = getattr(steps, name)
        if name == "bitwise_dense_step":
            yield name, maker(0.5)("s", 5, 4)
        elif "dense" in name:
            yield name, maker("s", 5, 4)
        elif "conv" in name:
            yield name, maker("s", 5, 4, 1, 0, 0.0)
    for name in ("BINARY_POSTERIOR", "TERNARY_POSTERIOR", "REAL_POSTERIOR"):
        yield name, getattr(steps, name)[2]("s", 5, 4)


PRODUCTS = dict(_product_steps())


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_kind_of_weights_is_that_of_the_slopes_at_test_time(name):
    step = PRODUCTS[name]
    rng = np.random.default_rng(0)
    params, running = network.init([step], rng, np.float64)
    params = {key: rng.uniform(-1, 1, w.shape) for key, w in params.items()}
    running = network.refresh([step], params, running)
    is_conv = params["s.w" if "s.w" in params else next(iter(params))].ndim == 4
    x = np.full((6, 5), 1 / 256)                              # p = 128, and one pixel after the other p = 192
    x[1:] += np.eye(5) / 2
    out = network.predict([step], params, running, x[:, :, None, None] if is_conv else x).reshape(6, 4)
    slopes = np.unique(np.round((out[1:] - out[0]) / 0.5, 9))
    kind = "binary" if set(slopes) == {-1, 1} else "ternary" if set(slopes) == {-1, 0, 1} else "real"
    shape, flat = ((5, 1, 1), ()) if is_conv else ((5, 1, 1), (steps.flatten_step("flat"),))
    row, = rows_of(*flat, step, shape=shape)
    assert row.weights == kind
    assert (row.name, row.connections, row.weight_count, row.activations) == ("s", 20, 20, 4)


def test_the_kinds_of_products_are_all_there():
    assert len(PRODUCTS) >= 18
    kinds = {name: rows_of(*(() if "conv" in name else (steps.flatten_step("flat"),)), step, shape=(5, 1, 1))[0].weights
             for name, step in PRODUCTS.items()}
    assert kinds["dense_step"] == kinds["stochastic_binary_conv_step"] == kinds["ternary_few_mult_dense_step"] == "real"
    assert kinds["binary_dense_step"] == kinds["bit_plane_conv_step"] == kinds["BINARY_POSTERIOR"] == "binary"
    assert kinds["ternary_conv_step"] == kinds["bitwise_dense_step"] == kinds["TERNARY_POSTERIOR"] == "ternary"


ACTIVATIONS = {
    "sign": steps.sign_step("a"), "stochastic": steps.stochastic_sign_step("a"), "relu": steps.relu_step("a"),
    "tanh": steps.tanh_step("a"), "identity": steps.identity_sign_step("a"), "masked": steps.masked_sign_step(2.0)("a"),
    "scale": steps.scale_step(0.3)("a", 3), "bn": steps.batchnorm_step("a", 3), "mean": steps.mean_sign_step("a"),
    "shift": steps.shift_batchnorm_step("a", 3), "dropout": steps.dropout_step("a", 0.5),
    "pool": steps.max_pool_step("a", 1, 1), "two": inputs.two_bit_inputs((3, 4, 4))[0],
    "rounded": inputs.rounded_inputs((3, 4, 4))[0], "signs": inputs.sign_inputs((3, 4, 4))[0],
    "unit": inputs.unit_inputs((3, 4, 4))[0], "centre": inputs.centred_inputs((3, 4, 4))[0],
    "gcn": inputs.contrast_inputs((3, 4, 4))[0], "lcn": inputs.local_contrast_inputs((3, 4, 4))[0],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_kind_of_activations_is_that_of_their_values(name):
    step = ACTIVATIONS[name]
    params, running = network.init([step], np.random.default_rng(0), np.float32)
    running = {key: np.full_like(value, 0.3) for key, value in running.items()}
    p = np.random.default_rng(1).integers(256, size=(2, 3, 4, 4), dtype=np.uint8)
    p[0, 0, 0] = 0, 127, 128, 255
    out = network.predict([step], params, running, loop.scale_pixels(p))
    values = set(np.unique(out).tolist())
    # what is not real: ±1; 0 and ±1; and multiples of 1/256 below 1, except those that the rectifier lets through
    on_a_grid = {256 * value % 1 for value in values} == {0.0} and max(map(abs, values)) < 1
    kind = ("binary" if values == {-1.0, 1.0} else "ternary" if values <= {-1.0, 0.0, 1.0} else
            "8 bit" if on_a_grid and name != "relu" else "real")
    row, = rows_of(step, steps.conv_step("c", out.shape[1], 2, 1, 0, 0.0), shape=(3, 4, 4))
    assert row.inputs == kind


def test_a_step_keeps_the_kind_that_came_in():
    net = (steps.sign_step("a"), steps.max_pool_step("p", 2, 2), steps.dropout_step("d", 0.5), steps.flatten_step("f"),
           steps.binary_dense_step("one", 4, 3), steps.binary_dense_step("two", 3, 2))
    first, second = rows_of(*net, shape=(1, 4, 4))
    assert (first.inputs, second.inputs) == ("binary", "real")          # what a product sends on is no ±1


@pytest.mark.parametrize("paper", PAPERS)
def test_every_network_of_the_package(paper):
    module = PAPERS[paper]
    for key, chosen in module.RECIPES.items():
        if key[0] == "mnist" or key[2] != "quick":
            continue
        for variant, vocabulary in module.VOCABULARIES.items():
            if key[3:] not in ((), (variant,)):
                continue
            shape = {"digits": (1, 8, 8)}.get(key[0], (3, 32, 32))
            of, words = recipe.rounds(chosen, vocabulary)[-1]
            net = recipe.build(of, shape, 10, words)
            rows = costs.inference_costs(net, shape)
            assert [row.name for row in rows if row.name != "white"] == [
                step.name for step in net if any(len(param.shape) > 1 for param in step.params)]
            assert all(row.arithmetic > 0 and row.memory > 0 for row in rows)


def test_a_step_that_is_not_known():
    def odd_forward(x):
        return x, None

    odd = Step("odd", odd_forward, None)
    with pytest.raises(ValueError, match="odd: what odd_forward costs is not known here"):
        rows_of(odd)
    with pytest.raises(ValueError, match="odd: what odd_forward costs is not known here"):
        count((odd,))
    first, _, _ = steps.BINARY_POSTERIOR
    with pytest.raises(ValueError, match="e: what ebp_first_dense_forward costs is not known here"):
        count((steps.flatten_step("f"), first("e", 6, 2)))


def test_names_must_differ():
    with pytest.raises(ValueError, match="distinct names"):
        rows_of(steps.relu_step("a"), steps.relu_step("a"))


# --- what is counted -----------------------------------------------------------------------------------------------

ONE_BIT, TWO_BITS = steps.sign_step("act"), inputs.rounded_inputs((1, 10, 13))[0]


@pytest.mark.parametrize(("before", "maker", "expected"), [
    # 130 inputs, 3 units, 390 connections, 3 words a unit: multiplications, additions, XNOR-popcounts, words, bytes
    ((), steps.dense_step, (390, 390, 0, 0, 1560)),
    ((steps.relu_step("act"),), steps.dense_step, (390, 390, 0, 0, 1560)),
    ((ONE_BIT,), steps.dense_step, (0, 390, 0, 0, 1560)),
    ((TWO_BITS,), steps.dense_step, (0, 390, 0, 0, 1560)),
    ((steps.relu_step("act"),), steps.binary_dense_step, (0, 390, 0, 0, 49)),
    ((steps.relu_step("act"),), steps.ternary_dense_step, (0, 390, 0, 0, 98)),
    ((), steps.binary_dense_step, (0, 0, 8 * 390, 8 * 9, 49)),
    ((), steps.bit_plane_dense_step, (0, 0, 8 * 390, 8 * 9, 49)),
    ((), steps.ternary_dense_step, (0, 0, 16 * 390, 16 * 9, 98)),
    ((ONE_BIT,), steps.binary_dense_step, (0, 0, 390, 9, 49)),
    ((ONE_BIT,), steps.ternary_dense_step, (0, 0, 2 * 390, 2 * 9, 98)),
    ((TWO_BITS,), steps.binary_dense_step, (0, 0, 2 * 390, 2 * 9, 49)),
    ((TWO_BITS,), steps.ternary_dense_step, (0, 0, 4 * 390, 4 * 9, 98)),
    ((inputs.unit_inputs((1, 10, 13))[0],), steps.BINARY_POSTERIOR[0], (780, 780, 0, 0, 3120)),
    ((), steps.TERNARY_POSTERIOR[0], (780, 780, 0, 0, 3120)),
    ((), steps.REAL_POSTERIOR[0], (390, 390, 0, 0, 1560)),
    ((steps.mean_sign_step("act"),), steps.BINARY_POSTERIOR[1], (780, 780, 0, 0, 3120)),
    ((steps.mean_sign_step("act"),), steps.TERNARY_POSTERIOR[1], (780, 780, 0, 0, 3120)),
    ((steps.mean_sign_step("act"),), steps.REAL_POSTERIOR[1], (780, 780, 0, 0, 3120)),
    ((ONE_BIT,), steps.REAL_POSTERIOR[2], (0, 390, 0, 0, 1560)),
])
def test_a_dense_layer(before, maker, expected):
    row, = rows_of(*before, steps.flatten_step("flat"), maker("fc", 130, 3), shape=(1, 10, 13))
    assert (*counts(row), row.weight_bytes) == expected
    assert (row.connections, row.weight_count, row.activations) == (390, 390, 3)
    assert naive_costs.words(130, 3) == 9
    multiplied, added, _, words, size = expected
    assert row.arithmetic == pytest.approx(1e-12 * (3.7 * multiplied + 0.9 * added + 0.1 * words), rel=1e-12)
    assert row.memory == pytest.approx(1e-12 * 10 * -(-size // 8), rel=1e-12)


@pytest.mark.parametrize(("kernel", "pad"), [(3, 1), (1, 0), (5, 2), (3, 0)])
def test_a_convolution_is_counted_as_it_slides(kernel, pad):
    shape, m = (8, 6, 5), 3
    expected = naive_costs.conv_connections(*shape, m, kernel, pad)
    for maker, before in ((steps.conv_step, ()), (steps.binary_conv_step, (steps.sign_step("act"),))):
        step = replace(maker("conv", 8, m, kernel, pad, 0.0), settings=(1, pad, 0.0))
        row, = rows_of(*before, step, shape=shape)
        out = m * (6 + 2 * pad - kernel + 1) * (5 + 2 * pad - kernel + 1)
        assert (row.connections, row.activations, row.weight_count) == (expected, out, 8 * m * kernel**2)
        words = naive_costs.words(8 * kernel**2, out)
        assert counts(row) == ((expected, expected, 0, 0) if not before else (0, 0, expected, words))


def test_whitening_is_a_product_of_real_numbers():
    step, shape = inputs.whitened_inputs((3, 4, 2))
    white, conv1 = rows_of(step, steps.binary_conv_step("conv1", 3, 2, 3, 1, 0.0), shape=shape)
    assert (white.name, white.inputs, white.weights, conv1.inputs) == ("white", "8 bit", "real", "real")
    assert (white.connections, white.weight_count, white.activations) == (576, 576, 24)
    assert counts(white) == (576, 576, 0, 0)


@pytest.mark.parametrize(("size", "price"), [
    (8 * 1024, 10.0), (8 * 1024 + 1, 20.0), (32 * 1024, 20.0), (32 * 1024 + 1, 100.0), (1024**2, 100.0),
    (1024**2 + 1, 1950.0)])
def test_weights_are_read_from_the_smallest_memory_that_holds_them(size, price):
    row, = rows_of(steps.flatten_step("f"), steps.binary_dense_step("fc", 2, 4 * size), shape=(1, 1, 2))
    assert row.weight_bytes == size
    assert row.memory == pytest.approx(1e-12 * price * -(-size // 8), rel=1e-12)


def test_the_table_is_that_of_the_paper():
    assert costs.MULTIPLY == {"int8": 0.2, "int32": 3.1, "float16": 1.1, "float32": 3.7}
    assert costs.ADD == {"int8": 0.03, "int32": 0.1, "float16": 0.4, "float32": 0.9}
    assert costs.CACHES == ((8192, 10), (32768, 20), (1048576, 100))
    assert costs.DRAM == 1950


def test_totals_and_the_float_network():
    net = (steps.flatten_step("f"), steps.binary_dense_step("one", 6, 70), steps.sign_step("a"),
           steps.binary_dense_step("two", 70, 5))
    rows = rows_of(*net)
    whole = costs.total(rows)
    assert (whole.name, whole.inputs, whole.weights) == ("total", "", "")
    assert (whole.connections, whole.weight_count, whole.weight_bytes, whole.activations) == (770, 770, 97, 75)
    assert counts(whole) == (0, 0, 8 * 420 + 350, 8 * 70 + 10)
    assert whole.arithmetic == pytest.approx(sum(row.arithmetic for row in rows), rel=1e-12)
    assert whole.memory == pytest.approx(1e-12 * 10 * (7 + 6), rel=1e-12)
    plain = rows_of(steps.flatten_step("f"), steps.dense_step("one", 6, 70), steps.relu_step("a"),
                    steps.dense_step("two", 70, 5))
    assert costs.in_floats(rows) == tuple(replace(row, inputs="real") for row in plain)
    conv, = rows_of(steps.binary_conv_step("c", 2, 3, 3, 1, 1.0), shape=(2, 4, 5))
    real, = rows_of(steps.conv_step("c", 2, 3, 3, 1, 1.0), shape=(2, 4, 5))
    assert costs.in_floats([conv]) == (replace(real, inputs="real"),)


def test_two_products_an_input_are_one_in_floats():
    rows = rows_of(steps.flatten_step("f"), steps.BINARY_POSTERIOR[0]("one", 6, 5))
    row, = costs.in_floats(rows)
    assert (row.weight_bytes, *counts(row)) == (120, 30, 30, 0, 0)


# --- a training step -----------------------------------------------------------------------------------------------

RECIPE = recipe.Recipe("8FC", 1, 3, (1, 1))


def count(net, n=3, shape=(1, 2, 3), classes=2, seed=0, x=None):
    rng = np.random.default_rng(seed)
    params, running = network.init(net, rng)
    x = loop.scale_pixels(rng.integers(256, size=(n, *shape), dtype=np.uint8)) if x is None else x
    for array in (x, *params.values(), *running.values()):
        array.flags.writeable = False
    return costs.multiplications(net, RECIPE, params, running, x, rng.integers(classes, size=n), rng)


def by_product(charges, name):
    return {charge.what: (charge.multiplications, charge.shifts, charge.sign_changes)
            for charge in charges if charge.name == name}


def total(charges, kind="multiplications", what=("x w", "ds wᵀ", "xᵀ ds", "units", "normalization")):
    return sum(getattr(charge, kind) for charge in charges if charge.what in what)


def mlp(dense_step, normalized):
    """784-1024-1024-1024-10 with ReLU, built by hand."""
    net, sizes = [steps.flatten_step("flat")], (784, 1024, 1024, 1024, 10)
    for k in range(1, 5):
        net.append(dense_step(f"fc{k}", sizes[k - 1], sizes[k]))
        net += [steps.batchnorm_step(f"bn{k}", sizes[k])] * normalized
        net += [steps.relu_step(f"act{k}")] * (k < 4)
    return tuple(net)


WEIGHTS, UNITS = 2_910_208, 3_082


@pytest.mark.parametrize("normalized", [False, True])
def test_the_table_of_the_paper(normalized):
    """1.7480e9 and 1.7535e9, 1.8492e6 and 7.4245e6; ratios 0.001058 and 0.004234."""
    work = 3 * 200 * UNITS + (9 * 200 * UNITS + 9 * UNITS) * normalized
    full = total(count(mlp(steps.dense_step, normalized), 200, (1, 28, 28), 10))
    assert full == 3 * 200 * WEIGHTS + work == (1_753_549_338 if normalized else 1_747_974_000)
    for dense_step in (steps.ternary_few_mult_dense_step, steps.binary_few_mult_dense_step):
        charges = count(mlp(dense_step, normalized), 200, (1, 28, 28), 10)
        few = total(charges)
        assert few == work == (7_424_538 if normalized else 1_849_200)
        assert total(charges, "shifts") == 200 * WEIGHTS
        assert total(charges, "sign_changes") == 2 * 200 * WEIGHTS
        assert round(few / full, 6) == (0.004234 if normalized else 0.001058)


def small(first=steps.ternary_few_mult_dense_step):
    return (steps.flatten_step("f"), first("one", 6, 5), steps.relu_step("a"), first("two", 5, 2))


@pytest.mark.parametrize("first", [steps.ternary_few_mult_dense_step, steps.binary_few_mult_dense_step])
def test_rounding_that_does_not_happen_shows(monkeypatch, first):
    whole = count(small(first))
    assert total(whole, what=("x w", "ds wᵀ", "xᵀ ds")) == 0
    monkeypatch.setattr(few_mult, "stochastic_power_of_two", lambda x, r, low, high: x)
    broken = count(small(first))
    assert total(broken, what=("xᵀ ds",)) == 3 * 40
    assert total(broken, "shifts") == 0
    monkeypatch.undo()
    monkeypatch.setattr(few_mult, "stochastic_ternary", lambda w, u: w)
    monkeypatch.setattr(few_mult, "stochastic_sign", lambda w, u: w)
    broken = count(small(first))
    assert total(broken, what=("x w",)) == total(broken, what=("ds wᵀ",)) == 3 * 40
    assert total(broken, "shifts", ("xᵀ ds",)) == 3 * 40


def test_each_product_by_its_operands():
    net = (steps.flatten_step("f"), steps.binary_dense_step("one", 6, 5), steps.batchnorm_step("n", 5),
           steps.sign_step("a"), steps.binary_dense_step("two", 5, 4), steps.batchnorm_step("m", 4),
           steps.sign_step("b"), steps.dropout_step("drop", 0.5), steps.dense_step("three", 4, 3))
    charges = count(net)
    assert by_product(charges, "one") == {"x w": (0, 0, 90), "ds wᵀ": (0, 0, 90), "xᵀ ds": (90, 0, 0),
                                          "units": (45, 0, 0)}
    assert by_product(charges, "two") == {"x w": (0, 0, 60), "ds wᵀ": (0, 0, 60), "xᵀ ds": (0, 0, 60),
                                          "units": (36, 0, 0)}
    # dropout by one half makes ±2 and 0 of ±1: powers of two
    assert by_product(charges, "three") == {"x w": (0, 36, 0), "ds wᵀ": (36, 0, 0), "xᵀ ds": (0, 36, 0),
                                            "units": (27, 0, 0)}


def test_real_products_are_multiplications_all_three():
    charges = count(small(steps.dense_step))
    assert by_product(charges, "one") == {"x w": (90, 0, 0), "ds wᵀ": (90, 0, 0), "xᵀ ds": (90, 0, 0),
                                          "units": (45, 0, 0)}


def test_an_error_of_powers_of_two_shifts():
    doubled = losses.Loss("doubled", lambda y, labels: (y.sum(), y), lambda dloss, y: np.full_like(y, -2 * dloss))
    net = (steps.flatten_step("f"), steps.dense_step("one", 6, 5))
    params, running = network.init(net, np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).standard_normal((3, 1, 2, 3))
    charges = costs.multiplications(net, replace(RECIPE, loss=doubled), params, running, x, np.zeros(3, int), None)
    assert by_product(charges, "one") == {"x w": (90, 0, 0), "ds wᵀ": (0, 90, 0), "xᵀ ds": (0, 90, 0),
                                          "units": (45, 0, 0)}


@pytest.mark.parametrize(("value", "expected"), [
    (0.25, (0, 90, 0)), (-8.0, (0, 90, 0)), (1.0, (0, 0, 90)), (0.0, (0, 0, 90)), (3.0, (90, 0, 0)),
    (np.inf, (90, 0, 0)), (np.nan, (90, 0, 0)), (np.float32(2**-149), (0, 90, 0)), (0.75, (90, 0, 0))])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_one_entry_decides(value, expected):
    """Pixels all 1 but for one, with real weights."""
    assert naive_costs.is_power_of_two(value) == (expected[0] == 0)
    x = np.ones((3, 1, 2, 3), np.float32)
    x[1, 0, 1, 2] = value
    charges = count((steps.flatten_step("f"), steps.dense_step("one", 6, 5)), x=x)
    assert by_product(charges, "one")["x w"] == by_product(charges, "one")["xᵀ ds"] == expected


@pytest.mark.parametrize(("maker", "expected"), [
    (steps.conv_step, {"x w": "multiplications", "ds wᵀ": "multiplications", "xᵀ ds": "multiplications"}),
    (steps.binary_conv_step, {"x w": "sign_changes", "ds wᵀ": "sign_changes", "xᵀ ds": "multiplications"}),
    (steps.bit_plane_conv_step, {"x w": "sign_changes", "ds wᵀ": "sign_changes", "xᵀ ds": "multiplications"}),
    (steps.ternary_conv_step, {"x w": "sign_changes", "ds wᵀ": "sign_changes", "xᵀ ds": "multiplications"}),
    (steps.stochastic_binary_conv_step, {"x w": "sign_changes", "ds wᵀ": "sign_changes",
                                         "xᵀ ds": "multiplications"}),
    (steps.binary_few_mult_conv_step, {"x w": "sign_changes", "ds wᵀ": "sign_changes", "xᵀ ds": "shifts"}),
    (steps.ternary_few_mult_conv_step, {"x w": "sign_changes", "ds wᵀ": "sign_changes", "xᵀ ds": "shifts"})])
def test_a_convolution(maker, expected):
    net = (maker("conv", 2, 3, 3, 1, 0.0), steps.max_pool_step("pool", 2, 2), steps.batchnorm_step("bn", 3),
           steps.relu_step("a"), steps.flatten_step("f"), steps.dense_step("fc", 12, 2))
    charges = count(net, 4, (2, 4, 5))
    products = 4 * naive_costs.conv_connections(2, 4, 5, 3, 3, 1)
    for what, kind in expected.items():
        assert total([charge for charge in charges if charge.name == "conv"], kind, (what,)) == products
    assert by_product(charges, "conv")["units"] == (3 * 4 * 3 * 4 * 5, 0, 0)
    assert by_product(charges, "bn") == {"normalization": (9 * 4 * 3 * 2 * 2 + 9 * 3, 0, 0)}


def test_shift_based_normalization_shifts():
    net = (steps.flatten_step("f"), steps.dense_step("one", 6, 5), steps.shift_batchnorm_step("bn", 5))
    assert by_product(count(net), "bn") == {"normalization": (0, 9 * 15 + 9 * 5, 0)}


@pytest.mark.parametrize("dense_step", [steps.stochastic_binary_dense_step, steps.bit_plane_dense_step,
                                        steps.ternary_dense_step, steps.compressed_dense_step,
                                        steps.bitwise_dense_step(0.5)])
def test_other_dense_products(dense_step):
    """Real weights through tanh multiply; all others change signs, and the gradient multiplies real pixels."""
    net = (steps.flatten_step("f"), dense_step("one", 6, 5))
    found = by_product(count(net), "one")
    real = dense_step is steps.compressed_dense_step
    assert found["x w"] == found["ds wᵀ"] == ((90, 0, 0) if real else (0, 0, 90))
    assert found["xᵀ ds"] == (90, 0, 0)


def test_pictures_are_prepared_before():
    net = (inputs.centred_inputs((1, 2, 3))[0], inputs.whitened_inputs((1, 2, 3))[0], *small())
    charges = count(net)
    assert {charge.name for charge in charges} == {"one", "two"}


def test_the_step_is_really_made():
    """Forward and backward functions are called as in training, on the very arrays."""
    seen = []

    def spy(name, function):
        def called(*args):
            seen.append((name, [np.array(arg) for arg in args[:1]]))
            return function(*args)
        return called

    relu = steps.relu_step("a")
    net = list(small(steps.dense_step))
    net[1] = replace(net[1], backward=spy("one", dense.dense_backward))
    net[3] = replace(net[3], backward=spy("two", dense.dense_backward))
    net[2] = replace(relu, backward=spy("a", relu.backward))
    rng = np.random.default_rng(0)
    params, running = network.init(net, rng, np.float64)
    x, labels = rng.standard_normal((3, 1, 2, 3)), np.array([0, 1, 1])
    costs.multiplications(tuple(net), RECIPE, params, running, x, labels, rng)
    assert [name for name, _ in seen] == ["two", "a", "one"]
    counted = seen[:]
    seen.clear()
    y, caches, _ = network.forward(net, params, running, x, rng)
    network.backward(net, caches, RECIPE.loss.backward(1.0, RECIPE.loss.forward(y, labels)[1]))
    for (_, one), (_, other) in zip(counted, seen, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_bitwise_and_its_first_round():
    module = PAPERS["bitwise"]
    chosen = next(value for key, value in module.RECIPES.items() if key[0] == "digits")
    _, (_, words) = recipe.rounds(chosen, next(iter(module.VOCABULARIES.values())))
    net = recipe.build(chosen, (1, 8, 8), 10, words)
    assert any(step.forward is bitwise.bitwise_dense_forward for step in net)
    assert total(count(net, 3, (1, 8, 8), 10), what=("x w", "ds wᵀ")) == 0
