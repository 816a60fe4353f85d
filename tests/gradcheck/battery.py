"""Sixty pairs of forward and backward as people write them, right, and once more with a mistake in each.

`python -m tests.gradcheck.battery` checks all of them at 20 points (`--seeds N`: at N) and prints what was refused,
passed and named; with `--torch`, beside torch.autograd.gradcheck. The tests take a few of the points.
"""

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bnn_ref.gradcheck import check_op


@dataclass(frozen=True)
class Pair:
    """make(rng) -> forward's arguments. The mistake: spoil(gradient) -> the wrong one of the argument at place `wrong`.

    spoil = None: one entry has the wrong sign, the one that is largest at some fixed dout.
    """

    name: str
    make: Callable
    forward: Callable
    backward: Callable
    wrong: int
    spoil: Callable | None
    settings: dict

    def spoiled(self, dout, cache):
        """backward, with the mistake."""
        gradients = as_tuple(self.backward(dout, cache))
        wrong = np.array(gradients[self.wrong])
        if self.spoil is None:
            parts = as_tuple(dout)
            fixed = tuple(np.random.default_rng(7).standard_normal(np.shape(part)) for part in parts)
            at = np.abs(as_tuple(self.backward(fixed if isinstance(dout, tuple) else fixed[0], cache))[self.wrong])
            wrong.flat[at.argmax()] *= -1
        else:
            wrong = self.spoil(wrong)
        return tuple(wrong if place == self.wrong else right for place, right in enumerate(gradients))

    def check(self, args, backward=None):
        """What check_op says: "" or its refusal."""
        try:
            check_op(self.forward, backward or self.backward, *args, **self.settings)
        except AssertionError as error:
            return str(error)
        return ""


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


# --- operations ----------------------------------------------------------------------------------------------------


def dense_forward(x, w, b):
    return x @ w + b, (x, w)


def dense_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def scale_forward(x, g):
    return x * g, (x, g)


def scale_backward(dout, cache):
    x, g = cache
    return dout * g, (dout * x).sum(axis=0)


def norm_forward(x, gamma, beta, axis=0, eps=1e-5):
    centred = x - x.mean(axis=axis, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + eps)
    return centred * rstd * gamma + beta, (centred * rstd, gamma, rstd, axis)


def norm_backward(dout, cache):
    x_hat, gamma, rstd, axis = cache
    d = dout * gamma
    dx = rstd * (d - d.mean(axis=axis, keepdims=True) - x_hat * (d * x_hat).mean(axis=axis, keepdims=True))
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_forward(z):
    p = softmax(z)
    return p, p


def softmax_backward(dout, p):
    return p * (dout - (dout * p).sum(axis=-1, keepdims=True))


def cross_entropy_forward(z, labels):
    rows = np.arange(len(z))
    shifted = z - z.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]), (softmax(z), labels)


def cross_entropy_backward(dout, cache):
    p, labels = cache
    dz = p.copy()
    dz[np.arange(len(p)), labels] -= 1
    return dout * dz / len(p)


def attention_forward(q, k, v):
    p = softmax(q @ k.T / np.sqrt(q.shape[1]))
    return p @ v, (q, k, v, p)


def attention_backward(dout, cache):
    q, k, v, p = cache
    dz = softmax_backward(dout @ v.T, p) / np.sqrt(q.shape[1])
    return dz @ k, dz.T @ q, p.T @ dout


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_forward(x, h, c, w):
    z = np.concatenate([x, h], axis=1) @ w
    i, f, o, g = np.split(z, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    new_c = f * c + i * g
    return (o * np.tanh(new_c), new_c), (x, h, c, w, i, f, o, g, new_c)


def lstm_backward(dout, cache):
    dh, dc = dout
    x, h, c, w, i, f, o, g, new_c = cache
    t = np.tanh(new_c)
    dc = dc + dh * o * (1 - t * t)
    dz = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - g * g)], 1)
    dxh = dz @ w.T
    return dxh[:, :x.shape[1]], dxh[:, x.shape[1]:], dc * f, np.concatenate([x, h], axis=1).T @ dz


def pool_forward(x):
    windows = x.reshape(len(x), -1, 2)
    return windows.max(axis=2), windows


def pool_backward(dout, windows):
    dx = np.zeros(windows.shape)
    np.put_along_axis(dx, windows.argmax(axis=2)[..., None], dout[..., None], axis=2)
    return dx.reshape(len(dx), -1)


def conv_forward(x, w):
    out = np.stack([x[i:i + len(x) - len(w) + 1] for i in range(len(w))], axis=1) @ w
    return out, (x, w)


def conv_backward(dout, cache):
    x, w = cache
    return np.convolve(dout, w), np.array([dout @ x[i:i + len(dout)] for i in range(len(w))])


def embedding_forward(table, rows):
    return table[rows], (table.shape, rows)


def embedding_backward(dout, cache):
    shape, rows = cache
    dtable = np.zeros(shape)
    np.add.at(dtable, rows, dout)
    return dtable


def dropout_forward(x, keep, rate):
    return x * keep / (1 - rate), (keep, rate)


def dropout_backward(dout, cache):
    keep, rate = cache
    return dout * keep / (1 - rate)


def statistics_forward(x):
    return (x - x.mean(axis=0), x.mean(axis=0), np.mean(x * x)), x


def statistics_backward(dout, x):
    dcentred, dmean, dsquare = dout
    return dcentred - dcentred.mean(axis=0) + dmean / len(x) + dsquare * 2 * x / x.size


# --- the pairs -----------------------------------------------------------------------------------------------------

ONE_ENTRY = None                     # the mistakes: the wrong sign in one entry, entries shifted by one, or a factor


def shifted(gradient):
    return np.roll(gradient, 1)


def _pairs():
    def pair(name, make, forward, backward, wrong, mistake, **settings):
        spoil = (lambda gradient: mistake * gradient) if isinstance(mistake, float | int) else mistake
        return Pair(name, make, forward, backward, wrong, spoil, settings)

    def function(name, make, f, slope, mistake, **settings):
        return pair(name, make, lambda x: (f(x), x), lambda dout, x: dout * slope(x), 0, mistake, **settings)

    def normal(scale, *shape):
        return lambda rng: (scale * rng.standard_normal(shape),)

    def dense(scale_x, scale_w, n, d, m):
        return lambda rng: (scale_x * rng.standard_normal((n, d)), scale_w * rng.standard_normal((d, m)),
                            scale_x * scale_w * rng.standard_normal(m))

    def many(*shapes, scale=1.0):
        return lambda rng: tuple(scale * rng.standard_normal(shape) for shape in shapes)

    def pixels(rng):
        return rng.integers(0, 256, (1, 784)).astype(float), rng.standard_normal((784, 4)), rng.standard_normal(4)

    def near_kinks(distance, around=0.0):
        return lambda rng: (around + distance * rng.choice([-1, 1], 9) * rng.uniform(1, 2, 9),)

    def labelled(scale, n, classes):
        return lambda rng: (scale * rng.standard_normal((n, classes)), rng.integers(0, classes, n))

    for scale_x, scale_w in ((1, 1), (1e-8, 1), (1e8, 1), (1, 1e-8), (1e4, 1e-4), (1e8, 1e8)):
        yield pair(f"dense, x {scale_x:g}, w {scale_w:g}", dense(scale_x, scale_w, 4, 5, 3), dense_forward,
                   dense_backward, 1, ONE_ENTRY)
    yield pair("dense of pixels", pixels, dense_forward, dense_backward, 1, 1 / 255, sample=60)
    yield pair("dense of 1e5 weights", dense(1, 0.1, 8, 400, 250), dense_forward, dense_backward, 1, 0.125, sample=30)
    yield pair("dense of 1e6 weights, one wrong", dense(1, 0.1, 2, 1000, 1000), dense_forward, dense_backward, 1,
               ONE_ENTRY, sample=5)
    for scale in (1e-8, 1e-4, 1, 1e5, 1e8):
        yield pair(f"scale, x {scale:g}", many((6, 3), (3,), scale=scale), scale_forward, scale_backward, 1, 1 / 6)
    yield function("log near 0", lambda rng: (rng.uniform(1e-4, 1e-2, 8),), np.log, lambda x: 1 / x, 1.001)
    yield function("log at 1e-8", lambda rng: (1e-8 * rng.uniform(1, 9, 8),), np.log, lambda x: 1 / x, ONE_ENTRY)
    yield function("log of all sizes", lambda rng: (10**rng.uniform(-8, 8, 9),), np.log, lambda x: 1 / x, ONE_ENTRY)
    yield function("square root", lambda rng: (10**rng.uniform(-6, 2, 9),), np.sqrt, lambda x: 0.5 / np.sqrt(x), 2.0)
    yield function("exp", normal(3.0, 9), np.exp, np.exp, 1 + 1e-5)
    yield function("exp to 1e8", lambda rng: (rng.uniform(10, 18, 9),), np.exp, np.exp, ONE_ENTRY)
    yield function("tanh", normal(1.0, 4, 3), np.tanh, lambda x: 1 - np.tanh(x)**2, 1.0001)
    yield function("steep tanh", normal(1e-3, 9), lambda x: np.tanh(1e3 * x), lambda x: 1e3 / np.cosh(1e3 * x)**2, 1e-3)
    yield function("1e-11 sin", normal(1.0, 9), lambda x: 1e-11 * np.sin(x), lambda x: 1e-11 * np.cos(x), -1.0)
    yield function("1e11 sin", normal(1.0, 9), lambda x: 1e11 * np.sin(x), lambda x: 1e11 * np.cos(x), -1.0)
    yield function("sin of 1e5", lambda rng: (1e5 + rng.standard_normal(9),), np.sin, np.cos, -1.0)
    yield function("cube", normal(10.0, 9), lambda x: x**3, lambda x: 3 * x**2, 2 / 3)
    yield function("number", lambda rng: (float(rng.standard_normal()),), lambda x: x * x, lambda x: 2 * x, 0.5)
    yield function("array of no dimensions", lambda rng: (np.array(1e6 * rng.standard_normal()),), np.arctan,
                   lambda x: 1 / (1 + x * x), 2.0, tolerance=1e-6)    # six digits are lost: 1e-7 would be too coarse
    yield function("softplus", normal(5.0, 9), lambda x: np.logaddexp(0, x), sigmoid, ONE_ENTRY)
    yield function("1e6 tanh", normal(1.0, 1_000_000), np.tanh, lambda x: 1 - np.tanh(x)**2, 1.01, sample=4)
    for distance in (1e-2, 1e-4, 1e-6):
        yield function(f"relu, {distance:g} from its kink", near_kinks(distance), lambda x: np.maximum(x, 0),
                       lambda x: 1.0 * (x > 0), ONE_ENTRY)
    yield function("absolute value, 1e-5 from its kink", near_kinks(1e-5), np.abs, np.sign, ONE_ENTRY)
    yield function("clip, 1e-5 from 1", near_kinks(1e-5, 1.0), lambda x: np.clip(x, -1, 1),
                   lambda x: 1.0 * (np.abs(x) <= 1), ONE_ENTRY)
    yield function("leaky relu with zeros", lambda rng: (np.append(rng.standard_normal(8), [0.0, 0.0]),),
                   lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01), ONE_ENTRY)
    yield function("square above 1", lambda rng: (np.append(rng.standard_normal(8), 1.0),),
                   lambda x: np.maximum(x - 1, -2)**2, lambda x: 2 * np.maximum(x - 1, -2) * (x > -1), ONE_ENTRY)

    yield function("half the sum of 1,600 squares", normal(1.0, 1600), lambda x: 0.5 * np.sum(x * x), lambda x: x,
                   ONE_ENTRY)
    yield function("1e-6 of the mean of 5,000 squares", normal(1.0, 5000), lambda x: 1e-6 * np.mean(x * x),
                   lambda x: 2e-6 * x / x.size, 0.5, sample=50)
    yield function("sum of 1e6 squares", normal(1.0, 1_000_000), lambda x: np.sum(x * x), lambda x: 2 * x, 0.5,
                   sample=5)
    yield function("sum of squares at 1e8", normal(1e8, 30), lambda x: np.sum(x * x), lambda x: 2 * x, ONE_ENTRY)
    yield function("logarithm of a sum of exponentials", normal(3.0, 20), lambda x: np.log(np.sum(np.exp(x))),
                   softmax, 0.9)
    yield function("norm", normal(1.0, 25), lambda x: np.sqrt(np.sum(x * x)), lambda x: x / np.sqrt(np.sum(x * x)),
                   shifted)
    for scale, offset in ((1, 0), (1e-3, 1), (1e6, 0), (10, 100)):
        yield pair(f"batch norm, {scale:g} around {offset:g}", lambda rng, s=scale, o=offset: (
            o + s * rng.standard_normal((8, 3)), rng.standard_normal(3), rng.standard_normal(3)), norm_forward,
            norm_backward, 0, 1.01)
    yield pair("layer norm", many((4, 6), (6,), (6,)), lambda x, g, b: norm_forward(x, g, b, 1), norm_backward, 0,
               ONE_ENTRY)
    yield pair("softmax", normal(2.0, 4, 5), softmax_forward, softmax_backward, 0, ONE_ENTRY)
    yield pair("cross entropy", labelled(2.0, 6, 4), cross_entropy_forward, cross_entropy_backward, 0, 6.0)
    yield pair("cross entropy of 1e4 logits", labelled(2.0, 100, 100), cross_entropy_forward, cross_entropy_backward, 0,
               100.0, sample=40)
    yield pair("attention", many((3, 4), (5, 4), (5, 2)), attention_forward, attention_backward, 1, 2.0)
    yield pair("LSTM step", many((2, 3), (2, 4), (2, 4), (7, 16)), lstm_forward, lstm_backward, 2, ONE_ENTRY)
    yield pair("max pool", normal(1.0, 4, 6), pool_forward, pool_backward, 0, ONE_ENTRY)
    yield pair("max pool with ties", lambda rng: (rng.integers(0, 3, (3, 8)).astype(float) + np.tile([0, 0, 0, 9], 2),),
               pool_forward, pool_backward, 0, 2.0)
    yield pair("convolution", many((20,), (4,)), conv_forward, conv_backward, 1, shifted)
    yield pair("convolution of 1e5", many((100_000,), (9,)), conv_forward, conv_backward, 0, 1.5, sample=8)
    yield pair("embedding", lambda rng: (rng.standard_normal((6, 3)), np.array([0, 2, 2, 5])), embedding_forward,
               embedding_backward, 0, ONE_ENTRY)
    yield pair("dropout", lambda rng: (rng.standard_normal((5, 4)), (rng.random((5, 4)) < 0.7) * 1.0, 0.3),
               lambda x, keep, rate: dropout_forward(x, keep, rate), dropout_backward, 0, 0.7)
    yield pair("statistics beside the output", normal(1.0, 6, 3), statistics_forward, statistics_backward, 0, ONE_ENTRY)


PAIRS = tuple(_pairs())


def named(pair, args, refusal):
    """Whether a refusal names the spoiled argument and an index at which its gradient is wrong."""
    found = re.match(r"argument (\d+), index \(([\d, ]*)\)", refusal)
    if not found or int(found[1]) != pair.wrong:
        return False
    index = tuple(int(i) for i in re.findall(r"\d+", found[2]))
    out, cache = pair.forward(*args)
    rng = np.random.default_rng([0, 1])                      # the upstream gradient of check_op
    parts = tuple(rng.standard_normal(np.shape(part)) for part in as_tuple(out))
    dout = parts if isinstance(out, tuple) else parts[0]
    right, wrong = (np.asarray(as_tuple(backward(dout, cache))[pair.wrong])
                    for backward in (pair.backward, pair.spoiled))
    return bool(right[index] != wrong[index])


def run(pairs, seeds):
    """{name: (right ones refused, wrong ones passed, wrong ones named, seconds, refusals)}."""
    results = {}
    for pair in pairs:
        refused, passed, well, start, said = 0, 0, 0, time.perf_counter(), []
        for seed in seeds:
            args = pair.make(np.random.default_rng(seed))
            refusal = pair.check(args)
            refused += bool(refusal)
            said += [refusal] if refusal else []
            refusal = pair.check(args, pair.spoiled)
            passed += not refusal
            well += named(pair, args, refusal)
            said += [] if named(pair, args, refusal) else [f"(wrong) {refusal or 'passed'}"]
        results[pair.name] = refused, passed, well, time.perf_counter() - start, said
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--torch", action="store_true", help="beside torch.autograd.gradcheck")
    options = parser.parse_args()
    pairs = [pair for pair in PAIRS if options.only in pair.name]
    if options.torch:
        from tests.gradcheck.beside_torch import compare
        return compare(pairs, range(options.seeds))
    results = run(pairs, range(options.seeds))
    for name, (refused, passed, well, seconds, said) in results.items():
        print(f"{name:<40} right refused {refused:>3}  wrong passed {passed:>3}  named {well:>3}  {seconds:6.1f} s")
        for sentence in said[:3]:
            print(f"    {sentence}")
    count = len(results) * options.seeds
    refused, passed, named_well = (sum(result[i] for result in results.values()) for i in range(3))
    print(f"{len(results)} pairs, {options.seeds} points each: right refused {refused}, wrong passed {passed}, "
          f"wrong argument and index named {named_well / count:.1%}")
    return None


if __name__ == "__main__":
    main()
