"""Training: one minibatch against Algorithm 1 written out, and what the loop around it promises."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bnn_ref.nets import network, recipe, steps
from bnn_ref.ops import losses, optim
from bnn_ref.papers import PAPERS
from bnn_ref.training import loop

RNG = np.random.default_rng


def small_data(n=60, seed=0):
    """Two kinds of noisy 4 × 3 pictures that a network can tell apart."""
    rng = RNG(seed)
    y = np.arange(n) % 2
    x = rng.integers(0, 100, (n, 1, 4, 3)).astype(np.uint8)
    x[y == 1, :, :2] += 100
    return SimpleNamespace(train_x=x, train_y=y, valid_x=x[:20], valid_y=y[:20], test_x=x[20:40], test_y=y[20:40])


def bnn_by_hand(x, labels, w1, gamma1, beta1, w2, gamma2, beta2):
    """Algorithm 1 of BNN for one hidden layer, matrix by matrix; returns the loss and six gradients."""
    def bn(s, gamma, beta):
        mu, v = s.mean(0), s.var(0)
        s_hat = (s - mu) / np.sqrt(v + 1e-4)
        return s_hat, gamma * s_hat + beta, v

    def bn_back(g, s_hat, gamma, v):
        ds = gamma / np.sqrt(v + 1e-4) * (g - g.mean(0) - s_hat * (g * s_hat).mean(0))
        return ds, (g * s_hat).sum(0), g.sum(0)

    w1_b, w2_b = np.where(w1 >= 0, 1.0, -1.0), np.where(w2 >= 0, 1.0, -1.0)
    s1_hat, a1, v1 = bn(x @ w1_b, gamma1, beta1)
    a1_b = np.where(a1 >= 0, 1.0, -1.0)
    s2_hat, a2, v2 = bn(a1_b @ w2_b, gamma2, beta2)
    t = np.where(labels[:, None] == np.arange(a2.shape[1]), 1.0, -1.0)
    hinge = np.maximum(0, 1 - t * a2)
    g = -2 * t * hinge / hinge.size
    ds2, dgamma2, dbeta2 = bn_back(g, s2_hat, gamma2, v2)
    g1 = ds2 @ w2_b.T * (np.abs(a1) <= 1)
    ds1, dgamma1, dbeta1 = bn_back(g1, s1_hat, gamma1, v1)
    return (hinge**2).mean(), (x.T @ ds1, dgamma1, dbeta1, a1_b.T @ ds2, dgamma2, dbeta2)


@pytest.mark.task_binaryconnect
@pytest.mark.parametrize("optimizer", [optim.SGD, optim.ADAM])
def test_a_step_is_algorithm_1(optimizer):
    net = (steps.flatten_step("flat"), steps.binary_dense_step("fc1", 12, 6), steps.batchnorm_step("bn1", 6),
           steps.sign_step("act1"), steps.binary_dense_step("fc2", 6, 3), steps.batchnorm_step("bn2", 3))
    chosen = recipe.Recipe("6FC", 1, 8, (0.1, 0.1), optimizer)
    rng = RNG(1)
    params, running = network.init(net, rng, np.float64)
    params = {name: w if name.endswith(".w") else w + 0.3 * rng.standard_normal(w.shape)
              for name, w in params.items()}
    x, labels = rng.standard_normal((8, 1, 4, 3)), rng.integers(0, 3, 8)
    ref_loss, ref_grads = bnn_by_hand(x.reshape(8, 12), labels, *params.values())
    rates = optim.learning_rates(0.1, loop.binary_shapes(net), params, optimizer.glorot_power)
    comp_loss, comp, _, state = loop.training_step(net, chosen, params, running, optimizer.init(params), x, labels,
                                                    rates, rng)
    assert comp_loss == pytest.approx(ref_loss, rel=1e-12)
    assert state["t"] == 1
    for (name, w), g in zip(params.items(), ref_grads):
        n_in, n_out = w.shape if w.ndim == 2 else (0, 0)
        c = np.sqrt(1.5 / (n_in + n_out)) if w.ndim == 2 else 1
        update = 0.1 / c**2 * g if optimizer is optim.SGD else 0.1 / c * g / (np.abs(g) + 1e-8 / np.sqrt(1e-3))
        ref = np.clip(w - update, -1, 1) if w.ndim == 2 else w - update
        np.testing.assert_allclose(comp[name], ref, rtol=1e-6, atol=1e-9, err_msg=name)
    assert np.any(np.abs(comp["fc1.w"]) == 1)                     # some were clipped: the test saw it
    assert np.any(np.abs(comp["bn1.gamma"]) > 1)                  # and what is no weight is not


def test_pixels():
    x = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(loop.scale_pixels(x) * 256, [2 * int(pixel) - 255 for pixel in x])
    assert loop.scale_pixels(x).dtype == np.float32


def test_sums_of_pixels_are_exact_in_any_order():
    """So that a picture alone gives what it gives in a batch, and bits what floats give."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, 60_000).astype(np.uint8)
    x, w = loop.scale_pixels(pixels), rng.choice(np.array([-1, 1], np.float32), 60_000)
    expected = int((2 * pixels.astype(np.int64) - 255) @ w.astype(np.int64))
    for order in (np.arange(60_000), np.argsort(x * w), rng.permutation(60_000)):
        assert np.cumsum((x * w)[order], dtype=np.float32)[-1] * 256 == expected


def test_batches():
    assert [len(part) for part in loop.batches(np.arange(10), 4)] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(loop.batches(np.arange(10), 4)), np.arange(10))


def run(paper="bnn", weights=None, seed=0, data=None, state=None, **changes):
    chosen = replace(recipe.Recipe("8FC", 4, 16, (0.01, 0.001)), **changes)
    module = PAPERS[paper]
    net = recipe.build(chosen, (1, 4, 3), 2, module.VOCABULARIES[weights or next(iter(module.VOCABULARIES))])
    return net, list(loop.train(net, chosen, data or small_data(), state or loop.start(net, chosen, seed), seed))


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_the_history_of_a_run():
    seen = []
    net, states = run()
    chosen = recipe.Recipe("8FC", 4, 16, (0.01, 0.001))
    list(loop.train(net, chosen, small_data(), loop.start(net, chosen, 0), 0, lambda *args: seen.append(args)))
    assert [state.epoch for state in states] == [1, 2, 3, 4]
    history = states[-1].history
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert history[0]["lr"] == 0.01
    assert history[1]["lr"] == pytest.approx(0.01 * 0.1 ** (1 / 4))
    assert [call[:3] for call in seen[:4]] == [(1, 1, 3), (1, 2, 3), (1, 3, 3), (2, 1, 3)]   # 60 // 16 full batches
    assert seen[2][3] == pytest.approx(history[0]["loss"])
    assert states[-1].optimizer["t"] == 12


def test_going_on_from_any_epoch_is_the_same_run():
    for paper in ("bnn", "binaryconnect"):
        states = run(paper, dropout=(0.1, 0.3))[1]
        for state in states[:-1]:
            _, rest = run(paper, state=state, dropout=(0.1, 0.3))
            assert same(rest[-1].params, states[-1].params)
            assert same(rest[-1].best_params, states[-1].best_params)
            assert same(rest[-1].running, states[-1].running)
            assert same(rest[-1].optimizer["m"], states[-1].optimizer["m"])
            assert [r["loss"] for r in rest[-1].history] == [r["loss"] for r in states[-1].history]


def test_seeds_matter_and_epochs_are_shuffled_differently():
    assert not same(run(seed=0)[1][-1].params, run(seed=1)[1][-1].params)
    chosen = recipe.Recipe("8FC", 2, 60, (1e-30, 1e-30))           # nothing moves: only the order could
    net = recipe.build(chosen, (1, 4, 3), 2, PAPERS["bnn"].VOCABULARIES["deterministic"])
    orders = []
    original = loop.scale_pixels
    loop.scale_pixels = lambda x: orders.append(x[:, 0, 0, 0].copy()) or original(x)
    try:
        list(loop.train(net, chosen, small_data(), loop.start(net, chosen, 0), 0))
    finally:
        loop.scale_pixels = original
    epochs = [order for order in orders if len(order) == 60][::2]          # each is followed by the statistics' own
    assert len(epochs) == 2
    assert not np.array_equal(*epochs)
    np.testing.assert_array_equal(np.sort(epochs[0]), np.sort(epochs[1]))


def test_no_epoch_of_a_later_round_replays_one_of_an_earlier():
    """Neither its noise nor its order of pictures; an epoch is one step here."""
    chosen, noise, pictures = recipe.Recipe("8FC", 3, 60, (0.01, 0.001)), [], []

    def draw(rng, x):
        noise.append(rng.random())
        pictures.append(x[:, 0, 0, 0].tolist())
        return noise[-1]

    noisy = network.Step("noise", lambda x, u: (x, None), lambda dout, cache: dout, lambda x: x, draw=draw)
    net = (noisy, *recipe.build(chosen, (1, 4, 3), 2, PAPERS["bnn"].VOCABULARIES["deterministic"]))
    *_, state = loop.train(net, chosen, small_data(), loop.start(net, chosen, 0), 0)
    for first in (3, 6):
        *_, state = loop.train(net, chosen, small_data(), loop.go_on(net, chosen, 0, state), 0, first=first)
    assert len(noise) == len(set(noise)) == 9
    assert len(set(map(tuple, pictures))) == 9
    assert len(set(map(tuple, map(sorted, pictures)))) == 1


def test_what_is_drawn_at_first_is_not_what_an_epoch_draws(monkeypatch):
    """Parameters have a stream of their own, and so do the epochs of every seed."""
    seeds, draw = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: seeds.append(tuple(seed)) or draw(seed))
    for seed in (0, 1):
        run(seed=seed)
    assert len(seeds) == len(set(seeds)) == 2 * (1 + 4)


def test_the_best_epoch_is_the_later_of_equals(monkeypatch):
    errors = iter([3.0, 1.0, 1.0, 2.0])
    monkeypatch.setattr(loop, "error_rate", lambda *args: next(errors))
    _, states = run()
    assert states[-1].best_epoch == 3
    assert same(states[-1].best_params, states[2].params)
    assert same(states[-1].best_running, states[2].running)
    assert not same(states[-1].best_params, states[3].params)


@pytest.mark.parametrize(("weights", "at_test_time"), [("stochastic", lambda w: w), ("deterministic", np.sign)])
def test_statistics_are_those_of_the_weights_at_test_time(weights, at_test_time):
    data = small_data()
    rows = loop.scale_pixels(data.train_x).reshape(60, 12)
    for state in run("binaryconnect", weights, data=data)[1]:
        s = rows @ at_test_time(state.params["fc1.w"])
        np.testing.assert_allclose(state.running["bn1.mean"], s.mean(0), atol=1e-5)
        np.testing.assert_allclose(state.running["bn1.var"], s.var(0), rtol=1e-4)


def test_statistics_average_over_full_batches_of_shuffled_pictures(monkeypatch):
    monkeypatch.setattr(loop, "EVALUATION_BATCH", 20)
    monkeypatch.setattr(loop, "STATISTICS_IMAGES", 50)
    x = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)
    parts = list(loop.statistics_batches(x, np.arange(60)[::-1]))
    np.testing.assert_array_equal(np.concatenate(parts), loop.scale_pixels(x[::-1][:40]))
    assert [len(part) for part in parts] == [20, 20]


def test_thousands_of_pictures_count_for_statistics_and_fits():
    """10,000 of the shuffled pictures for the ones, the first 50,000 for the others: with the limits as they are."""
    x = np.zeros((10_300, 1, 1, 1), np.uint8)
    x[:, 0, 0, 0] = np.arange(10_300) % 251
    order = RNG(0).permutation(10_300)
    np.testing.assert_array_equal(np.concatenate(list(loop.statistics_batches(x, order))),
                                  loop.scale_pixels(x[order[:10_000]]))

    def fit(pictures):
        raise RuntimeError(f"{len(pictures)} pictures")

    net = (network.Step("fitted", None, None, fit=fit),)
    x, y = np.zeros((50_100, 1, 1, 1), np.uint8), np.zeros(50_100, int)
    many = SimpleNamespace(train_x=x, train_y=y, valid_x=x, valid_y=y)
    with pytest.raises(RuntimeError, match="50000 pictures"):
        next(loop.train(net, recipe.Recipe("", 1, 1, (0.1, 0.1)), many, loop.State(0, {}, {}, {}, {}, {}), 0))


def test_the_validation_error_is_that_of_the_validation_pictures_after_the_epoch():
    rng = RNG(5)
    pictures = small_data()
    pictures.valid_x, pictures.valid_y = rng.integers(0, 256, (35, 1, 4, 3)).astype(np.uint8), rng.integers(0, 2, 35)
    net, states = run(data=pictures)
    for state in states:
        answers = network.predict(net, state.params, state.running, loop.scale_pixels(pictures.valid_x)).argmax(axis=1)
        wrong = int((answers != pictures.valid_y).sum())
        assert state.history[-1]["valid_error"] == pytest.approx(100 * wrong / 35)
    assert len({record["valid_error"] for record in states[-1].history}) > 1


def test_an_epoch_shows_every_picture_of_its_full_batches_once_with_its_label():
    """And its loss is the mean over them."""
    seen, losses_seen = [], []
    pictures = small_data()
    pictures.train_x[:, 0, 0, 0] = np.arange(60)

    def forward(y, labels):
        loss, cache = losses.squared_hinge_forward(y, labels)
        losses_seen.append(loss)
        return loss, (cache, labels)

    spy = losses.Loss("spy", forward, lambda dloss, cache: (
        seen[-1].append(cache[1]) or losses.squared_hinge_backward(dloss, cache[0])))
    eyes = network.Step("eyes", lambda x, u: (x, None), lambda dout, cache: dout, lambda x: x,
                        draw=lambda rng, x: seen.append([np.rint((x[:, 0, 0, 0] * 256 + 255) / 2).astype(int)]))
    chosen = recipe.Recipe("8FC", 2, 16, (0.01, 0.001), loss=spy)
    net = (eyes, *recipe.build(chosen, (1, 4, 3), 2, PAPERS["bnn"].VOCABULARIES["deterministic"]))
    *_, state = loop.train(net, chosen, pictures, loop.start(net, chosen, 0), 0)
    assert len(seen) == 6
    for epoch, steps_of_it in enumerate((seen[:3], seen[3:])):
        numbers = np.concatenate([numbers for numbers, _ in steps_of_it])
        assert len(numbers) == len(set(numbers)) == 48
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in steps_of_it]), numbers % 2)
        assert state.history[epoch]["loss"] == pytest.approx(np.mean(losses_seen[3 * epoch:3 * epoch + 3]), rel=1e-6)


def test_error_rate_counts_wrong_answers():
    net = (steps.flatten_step("flat"), steps.dense_step("fc1", 2, 2))
    params = {"fc1.w": np.eye(2, dtype=np.float32)}
    x = np.array([[255, 0], [0, 255], [255, 0]] * 200, np.uint8).reshape(600, 1, 1, 2)
    assert loop.error_rate(net, params, {}, x, np.array([0, 1, 1] * 200)) == pytest.approx(100 / 3)


def test_a_set_smaller_than_a_batch_is_one_batch():
    _, states = run(data=small_data(20), batch=64)
    assert states[-1].optimizer["t"] == 4


def test_float32_throughout():
    _, states = run("binaryconnect", dropout=(0.1, 0.3))
    last = states[-1]
    for arrays in (last.params, last.running, last.optimizer["m"], last.optimizer["u"]):
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_it_learns():
    for paper in ("float", "binaryconnect", "bnn"):
        for loss in (losses.SQUARED_HINGE, losses.SOFTMAX_CROSS_ENTROPY):
            _, states = run(paper, loss=loss, epochs=15)
            assert states[-1].history[-1]["valid_error"] <= 5


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    with np.errstate(all="ignore"), pytest.raises(loop.TrainingError, match=r"is (nan|inf) in epoch 1, step \d of 3"):
        run("float", lr=(1e30, 1e30))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_the_first_loss_that_is_not_finite_is_the_last(bad):
    seen = []

    def forward(y, labels):
        seen.append(labels)
        loss, cache = losses.squared_hinge_forward(y, labels)
        return (np.float32(bad) if len(seen) == 2 else loss), cache

    spy = losses.Loss("spy", forward, losses.squared_hinge_backward)
    with pytest.raises(loop.TrainingError, match=f"is {bad} in epoch 1, step 2 of 3"):
        run(loss=spy)
    assert len(seen) == 2


@pytest.mark.parametrize("power", [1, 2])
def test_rates_of_binary_weights_are_scaled_by_the_power_of_the_rule(power):
    seen = []
    spy = optim.Optimizer("spy", optim.sgd_init, lambda params, grads, state, rates: (
        seen.append(rates) or (params, state)), power)
    run(optimizer=spy, lr=(0.5, 0.5))
    c = np.sqrt(1.5 / (12 + 8))
    assert seen[0]["fc1.w"] == pytest.approx(0.5 / c**power)
    assert seen[0]["bn1.gamma"] == 0.5
